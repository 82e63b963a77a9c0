#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `log`: its lines are what they say they are, whatever an interface is called, and go to one
# reader.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# A name with what JSON has to escape.
odd_names() {
	local name='v"o\x'

	lab_up
	ip link add vp netns cl type veth peer name vg netns gw
	ip -n gw link set vg name "$name"
	ip -n gw addr add 10.9.0.1/24 dev "$name"
	ip -n gw link set "$name" up
	ip -n cl addr add 10.9.0.2/24 dev vp
	ip -n cl link set vp up
	ctl up -i "$name" >&2
	echo '10 in tcp port 9 reject log' | ctl apply - >&2
	start log gw "$LAB_BUILD/shuntctl" --json log --count 1
	must_fail 7 '' fetch cl http://10.9.0.1:9/
	finish log
	same 'the line' "$(wc -l <"$T/log.out")" 1
	same 'device' "$(jq -r .device "$T/log.out")" "$name"
	same 'the others' "$(jq -c '[.dir, .proto, .destination, .rule, .action, .outcome]' "$T/log.out")" \
		'["in","tcp","10.9.0.1:9",10,"reject","rule_reject"]'
	ctl down
	ip -n gw link del "$name"
}

one_reader() {
	lab_up
	up
	echo '10 in tcp port 9 reject log' | ctl apply - >&2
	start log gw "$LAB_BUILD/shuntctl" log
	must_fail 7 '' fetch cl http://10.2.0.2:9/
	wait_for 5 "grep -q rule=10 '$T/log.out'"
	must_fail 1 'another reader of events' ctl log --count 1
	must_fail 1 'another reader of events' ctl --json log
	# It has taken nothing from the first, which goes on; and changes are not locked out.
	ctl rule add 20 drop
	must_fail 7 '' fetch cl http://10.2.0.2:9/
	wait_for 5 "grep -c rule=10 '$T/log.out' | says 2"
	# Another instance has its own.
	ctl --instance two up -i u0 --mark 0x110000 --table 3030 --pref 1010 >&2
	start other gw "$LAB_BUILD/shuntctl" --instance two log
	stop log
	start log gw "$LAB_BUILD/shuntctl" log
	must_fail 7 '' fetch cl http://10.2.0.2:9/
	wait_for 5 "grep -q rule=10 '$T/log.out'"
	stop other
	# It does not wait for events of an instance that is gone.
	ctl down
	local code=0
	finish log 5 || code=$?
	same 'exit status' $code 1
	grep -q 'taken down' "$T/log.err"
}

check LOG-01 'a line of JSON is one, whatever an interface is called' odd_names
check LOG-02 'events go to one reader, and a second is told so' one_reader

story_run "$@"
