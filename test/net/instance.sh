#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Instances beside each other, and instances whose surroundings change.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

two_instances() {
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 proxy fail closed'
	snapshot gw >"$T/state.one"
	must_fail 1 'table 3020' ctl --instance two up -i u0
	must_fail 1 'table 3020' ctl --instance two up -i u0 --mark 0x40040
	must_fail 1 'mark bits' ctl --instance two up -i u0 --table 3021
	snapshot gw | diff -U0 "$T/state.one" - >&2
	ctl --instance two up -i u0 --mark 0x40040 --table 3021
	ctl --instance two rule add 100 in tcp to any port 81 drop
	same 'rules of the first' "$(ctl rule list | wc -l)" 1
	ctl --instance two down
	snapshot gw | diff -U0 "$T/state.one" - >&2
	shuntd
	fetch_hello cl http://10.2.0.2/hello
	same 'steered flows' "$(counter steer_new)" 1
}

loopback_down() {
	lab_up
	ip -n gw link set lo down
	lab_mark
	must_fail 1 'ip link set lo up' up
	[[ ! -e /sys/fs/bpf/shunt ]]
}

# Someone removed parts of it: status says so, up repairs, down takes away what is left.
broken() {
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 proxy'
	shuntd
	nsenter --net=/run/netns/gw ip route flush table 3020
	ctl --json status | jq -r '.conflicts[]' | says 'IPv4 route of table 3020 is gone'
	up
	fetch_hello cl http://10.2.0.2/hello
	ctl --json status | jq -e '.conflicts == []' >&2
	rm /sys/fs/bpf/shunt/*/default/events
	must_fail 1 "events'.*shuntctl down" ctl status
	ctl down
	[[ ! -e /sys/fs/bpf/shunt ]]
	must_fail 2 'main is asked first' in_ns gw sh -c \
		"'$LAB_BUILD/shuntctl' up -i c0 --pref 40000 || exit 2"
}

# The programs stay with the device, the routing rules with the old name.
renamed() {
	HOOK=$1
	lab_up
	web_server sv
	up
	rules '100 in on c0,eth9 tcp to any port 80 proxy fail closed'
	shuntd
	fetch_hello cl http://10.2.0.2/hello
	ip -n gw link set c0 name eth9
	ctl --json status | jq -e '.conflicts | length > 0' >&2
	ctl up -i eth9
	ctl --json status | jq -e '.conflicts == []' >&2
	fetch_hello cl http://10.2.0.2/hello
	same 'steered flows' "$(counter steer_new)" 2
	same 'devices' "$(ctl --json status | jq -c '[.devices[].name]')" '["eth9"]'
	# A rule goes by the name that it says, and not by what had that name once.
	rules '90 in on c0 tcp to any port 8080 drop' '91 in on eth9 tcp to any port 443 drop'
	fetch_hello cl http://10.2.0.2:8080/hello
	must_fail 28 '.*' in_ns cl curl -sS --noproxy '*' --max-time 1 http://10.2.0.2:443/hello
	ip -n gw link set eth9 name eth8
	ctl up -i eth8
	fetch_hello cl http://10.2.0.2:443/hello
	ip -n gw link set eth8 name c0
	ctl up -i c0
	must_fail 28 '.*' in_ns cl curl -sS --noproxy '*' --max-time 1 http://10.2.0.2:8080/hello
	same 'rules' "$(ctl rule list | cut -d' ' -f1-4 | xargs)" '90 in on c0 91 in on eth9'
	ctl down
	ip -n gw link set c0 name eth9
	ip -n gw link set eth9 name c0
}

# decides WHAT DEVICE PRIORITY|null: of a flow that comes in there
decides() {
	same "$1" "$(ctl --json explain in "$2" tcp 10.1.0.2:9 10.2.0.2:80 | jq .priority)" "$3"
}

# An `up` that fails has taken up the device's new name, so the rules go by it, too; but not while
# they may come back.
renamed_in_vain() {
	lab_up
	up
	rules '100 in on c0 tcp to any port 80 drop'
	decides 'the rule that decides' c0 100
	ip -n gw link set c0 name eth9
	echo '100 in to @nowhere drop' >"$T/bad"
	must_fail 1 "no set 'nowhere'" ctl up -i eth9 -f "$T/bad"
	decides 'what decides under another name' eth9 null
	ip -n gw link set eth9 name c0
	ctl up -i c0
	decides 'the rule under its name' c0 100
	ctl rule list >"$T/same"
	ctl apply --confirm 600 "$T/same" >&2
	ip -n gw link set c0 name eth9
	must_fail 1 'waits for' ctl up -i eth9
	ctl confirm
	ctl up -i eth9
	decides 'what decides once it is confirmed' eth9 null
	ip -n gw link set eth9 name c0
	ctl up -i c0
	decides 'the rule at the end' c0 100
}

check INST-01 'two instances need two tables and leave each other alone' two_instances
check INST-02 'up says so if the loopback device is down' loopback_down
check INST-03 'parts of it are removed' broken
for hook in tcx clsact; do
	check "IF-03-$hook" "a renamed device is taken up again ($hook)" renamed $hook
done
check IF-03-fails 'a renamed device, and an up that fails' renamed_in_vain

story_run "$@"
