#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Beginnings and ends: killed at any point, started twice, stopped with flows open, and other
# people's programs on the same interface.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# Kill COMMAND on the gateway after so many milliseconds.
killed_after() {
	local ms=$1

	shift
	in_ns gw timeout --signal=KILL "$(printf '0.%03d' "$ms")" "$@" >/dev/null 2>&1 || true
}

# Exactly one of each thing of ours.
exactly_one() {
	local option

	for option in -4 -6; do
		same "rules of ours ($option)" "$(ip -n gw -j $option rule |
			jq '[.[] | select(.iif == "c0")] | length')" 1
		same "routes of ours ($option)" "$(ip -n gw -j $option route show table 3020 |
			jq length)" 1
	done
	if [[ $HOOK == tcx ]]; then
		same 'programs on c0' "$(in_ns gw "$LAB_TOOLS/tcx" list c0 | grep -c '^ingress [0-9]* [^ ]*$')" 1
	else
		same 'programs on c0' "$(in_ns gw tc filter show dev c0 ingress | grep -c 'handle')" 1
	fi
}

killed() {
	local i rounds=40 steps ms

	[[ -z $LAB_FAST ]] || rounds=12
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	echo '100 in tcp to any port 80 proxy' >"$T/rules"
	RANDOM=1
	for ((i = 0; i < rounds; i++)); do
		ms=$((RANDOM % 40 + 1))
		case $((i % 4)) in
		0) killed_after $ms "$LAB_BUILD/shuntctl" up -i c0 --hook "$HOOK" ;;
		1) killed_after $ms "$LAB_BUILD/shuntctl" up -f "$T/rules" ;;
		2) killed_after $ms "$LAB_BUILD/shuntctl" down ;;
		3) killed_after $ms "$LAB_BUILD/shuntd" ;;
		esac
		up
		rules '100 in tcp to any port 80 proxy'
		shuntd
		exactly_one
		fetch_hello cl "http://$SV_U/hello"
		becomes "flows of the rule in round $i" 1 proxied accepted
		stop shuntd KILL
		steps=$((i % 3))
		((steps)) || ctl down
	done
}

# shuntd dies with flows open: both ends see it, and the next one takes over.
killed_with_flows() {
	family "$1"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	start held cl "$flowgen" hold 200 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	same 'flows that are held' "$(jq .served "$T/held.out")" 200
	stop shuntd KILL
	wait_for 5 'kill -USR1 ${PIDS[held]}; (($(tail -n 1 $T/held.out | jq .open) == 0))'
	wait_for 5 '(($(flow_report .open) == 0))'
	shuntd
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	becomes 'accepted by the second shuntd' 50 proxied accepted
}

foreign_filters() {
	tc -n gw qdisc add dev c0 clsact
	tc -n gw filter add dev c0 ingress prio 1 handle 1 protocol all \
		bpf bytecode '1,6 0 0 0,'
	tc -n gw filter add dev c0 ingress prio 49152 protocol ip u32 match u32 0 0 \
		classid 1:1
	tc -n gw filter add dev c0 egress prio 1 handle 1 protocol all bpf bytecode '1,6 0 0 0,'
}

# theirs: what others have on c0
theirs() {
	in_ns gw "$LAB_TOOLS/tcx" list c0 2>/dev/null | grep -o '[0-9]* somebody_else' || true
	for hook in ingress egress; do
		# Ours have a preference of their own.
		tc -n gw -d filter show dev c0 "$hook" | grep -vE 'pref 3020 ' || true
	done
}

foreign_objects() {
	local with_filters=$2

	HOOK=$1
	family 4
	lab_up
	web_server sv
	start_ready first gw "$LAB_TOOLS/tcx" hold c0 ingress first
	[[ -z $with_filters ]] || foreign_filters
	lab_mark
	theirs >"$T/theirs"
	up
	theirs | diff -U0 "$T/theirs" - >&2
	rules '100 in tcp to any port 80 proxy'
	shuntd
	fetch_hello cl "http://$SV_U/hello"
	same 'steered flows' "$(counter steer_new)" 1
	kill -USR1 "${PIDS[first]}"
	wait_for 5 "[[ -s $T/first.out ]]"
	at_least 'packets that the other program saw' "$(jq .packets "$T/first.out")" 4
	up -i u0
	theirs | diff -U0 "$T/theirs" - >&2
	stop shuntd
	ctl down
	theirs | diff -U0 "$T/theirs" - >&2
	snapshot gw >"$T/now"
	assert_same_state "$T/state.before" "$T/now"
	# The other program leaves before the lab is looked at again.
	stop first
	lab_mark
}

# comes_up NAME: with all that the kernel adds on its own a moment later
comes_up() {
	ip -n gw link set "$1" up
	wait_for 20 "ip -n gw -6 route show table local dev '$1' | says '^anycast fe80::'"
	wait_for 20 "ip -n gw -6 route show table local dev '$1' | says '^local fe80::'"
}

odd_names() {
	local name

	HOOK=$1
	family 4
	lab_up
	web_server sv
	for name in eth0.100 abcdefghijklmno c0:1@x; do
		ip -n gw link set c0 down
		ip -n gw link set c0 name "${name}" 2>/dev/null || { comes_up c0; continue; }
		comes_up "$name"
		snapshot gw >"$T/named"
		ctl up -i "$name" --hook "$HOOK" >/dev/null
		rules "100 in on $name tcp to any port 80 proxy"
		same 'the rule as listed' "$(ctl rule list | grep -oE "on [^ ]+")" "on $name"
		shuntd
		fetch_hello cl "http://$SV_U/hello"
		same 'steered flows' "$(counter steer_new)" 1
		stop shuntd
		ctl down
		snapshot gw >"$T/now"
		assert_same_state "$T/named" "$T/now"
		ip -n gw link set "$name" down
		ip -n gw link set "$name" name c0
		comes_up c0
	done
	lab_mark
}

twice() {
	HOOK=$1
	family 4
	lab_up
	web_server sv
	up
	up
	exactly_one
	rules '100 in tcp to any port 80 proxy'
	shuntd
	fetch_hello cl "http://$SV_U/hello"
	must_fail 1 'another shuntd' in_ns gw "$LAB_BUILD/shuntd"
	fetch_hello cl "http://$SV_U/hello"
	becomes 'accepted by the first' 2 proxied accepted
	# The same names in another network namespace are another instance.
	in_ns sv "$LAB_BUILD/shuntctl" up -i eth0 --hook "$HOOK" >/dev/null
	start_ready other sv "$LAB_BUILD/shuntd"
	in_ns sv "$LAB_BUILD/shuntctl" down
	stop other
	fetch_hello cl "http://$SV_U/hello"
	becomes 'accepted by the first, at last' 3 proxied accepted
}

drain() {
	family "$1"
	lab_up
	flow_server
	web_server sv
	up
	rules '100 in tcp to any port 7000,80 proxy'
	shuntd --drain-timeout 12
	start held cl "$flowgen" hold 500 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	same 'flows that are held' "$(jq .served "$T/held.out")" 500
	kill -TERM "${PIDS[shuntd]}"
	# New flows find no proxy and, the rule fails open, go to the server.
	wait_for 2 'ctl --json status | jq -e ".targets[] | select(.name == \"default\") |
		.live_v4 == 0 and .live_v6 == 0"'
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 1))'
	same source "$(seen sv | cut -d' ' -f1)" "$CL"
	# The old flows live.
	kill -USR1 "${PIDS[held]}"
	wait_for 3 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'flows that answer while draining' "$(tail -n 1 "$T/held.out" | jq .served)" 500
	finish shuntd 20
	# Time is up: the rest was ended, and the ends know it.
	wait_for 5 '(($(flow_report .open) == 0))'
}

drain_idle() {
	family 4
	lab_up
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	kill -TERM "${PIDS[shuntd]}"
	finish shuntd 2
}

for hook in tcx clsact; do
	check -t 120 "LIFE-01-$hook" "killed at 40 points, started again ($hook)" killed $hook 4
	check "LIFE-06-$hook" "other people's tcx program stays ($hook)" foreign_objects $hook ''
	check "LIFE-06-clsact-$hook" "other people's tcx program and filters stay ($hook)" \
		foreign_objects $hook yes
	check "LIFE-06-names-$hook" "interfaces with odd names ($hook)" odd_names $hook
	check "LIFE-12-$hook" "up twice, a second daemon, another namespace ($hook)" twice $hook
done
for fam in 4 6; do
	check "LIFE-02-v$fam" "shuntd killed with 200 flows open (IPv$fam)" killed_with_flows $fam
	check "LIFE-13-v$fam" "SIGTERM with 500 flows open (IPv$fam)" drain $fam
done
check LIFE-13-idle 'SIGTERM without flows' drain_idle

story_run "$@"
