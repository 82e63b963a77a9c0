#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Other people's sysctls, marks and rules.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

set_sysctl() {
	nsenter --net=/run/netns/gw sysctl -q -w "$@"
}

# some_flows N: new flows through the proxy work
some_flows() {
	in_ns cl "$flowgen" client "$SV_U:7000" -n "$1" --max-size 4K >&2
}

# src_valid_mark makes the kernel look up the way back with our mark.
sysctls() {
	local mode=$1 where strict accept n=0

	family "$2"
	lab_up
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$mode"
	for where in all c0; do
		set_sysctl net.ipv4.conf.all.src_valid_mark=0 net.ipv4.conf.c0.src_valid_mark=0
		set_sysctl "net.ipv4.conf.$where.src_valid_mark=1"
		for strict in 0 1 2; do
			for accept in 0 1; do
				set_sysctl "net.ipv4.conf.c0.rp_filter=$strict" \
					"net.ipv4.conf.all.rp_filter=$strict" \
					"net.ipv4.conf.c0.accept_local=$accept"
				some_flows 5
				n=$((n + 5))
				same "steered flows with src_valid_mark on $where, rp_filter $strict, \
accept_local $accept" "$(counter steer_new)" $n
			done
		done
	done
	set_sysctl net.ipv4.tcp_fwmark_accept=1
	some_flows 5
	set_sysctl net.ipv4.tcp_fwmark_accept=0 net.ipv4.ip_early_demux=0
	some_flows 5
	same 'steered flows' "$(counter steer_new)" $((n + 10))
	# These are the case's doing and not what it asks about.
	stop shuntd
	ctl down
	set_sysctl net.ipv4.conf.{all,c0}.src_valid_mark=0 net.ipv4.conf.{all,c0}.rp_filter=0 \
		net.ipv4.conf.c0.accept_local=0 net.ipv4.ip_early_demux=1
}

# Bits that others keep in the mark stay theirs: Tailscale, Kubernetes, portmap, Istio, Antrea.
foreign_marks() {
	local mark sum=0 flows=0

	family "$1"
	lab_up
	flow_server
	ip -n gw "-$1" rule add pref 5250 fwmark 0x80000/0xff0000 unreachable
	lab_mark
	up --hook tcx
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd
	for mark in 0x80000 0x40000 0xc000 0x2000 0x529 0x800 0x80; do
		start_ready before gw "$LAB_TOOLS/tcx" hold c0 ingress first $mark
		start_ready behind gw "$LAB_TOOLS/tcx" hold c0 ingress last
		some_flows 3
		flows=$((flows + 3))
		kill -USR1 "${PIDS[behind]}"
		wait_for 5 "[[ -s $T/behind.out ]]"
		sum=$(($(jq -r .marks "$T/behind.out")))
		same "bits of $mark that are left" $((sum & mark)) $((mark))
		same "bits beside ours and those of $mark" $((sum & ~mark & ~0x1010)) 0
		stop before
		stop behind
		rm "$T/behind.out"
	done
	same 'steered flows' "$(counter steer_new)" $flows
}

# A rule that reads one of our bits is somebody's, so `up` does not go on without being told.
overlapping_rule() {
	family "$1"
	lab_up
	ip -n gw "-$1" rule add pref 500 fwmark 0x1000/0xf000 lookup 99
	lab_mark
	must_fail 1 '0x1000|fwmark|mark' ctl up -i c0
	snapshot gw >"$T/now"
	assert_same_state "$T/state.before" "$T/now"
	ctl up -i c0 --mark 0x00220000 >/dev/null
	ctl down
	snapshot gw >"$T/now"
	assert_same_state "$T/state.before" "$T/now"
	ctl up -i c0 --force >/dev/null
}

# What systemd-networkd does to rules that are not `proto kernel`.
networkd() {
	local family_option

	family "$1"
	lab_up
	flow_server
	for family_option in -4 -6; do
		ip -n gw $family_option rule add pref 3000 lookup main
	done
	up
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd
	some_flows 3
	for family_option in -4 -6; do
		ip -n gw -d -j $family_option rule |
			jq -r '.[] | select(.protocol != "kernel") | .priority' |
			while read -r pref; do
				ip -n gw $family_option rule del pref "$pref"
			done
		same "rules of ours ($family_option)" "$(ip -n gw -d -j $family_option rule |
			jq '[.[] | select(.fwmark and .protocol == "kernel" and .iif == "c0")] | length')" 1
		same "routes of ours ($family_option)" "$(ip -n gw -d -j $family_option route show \
			table 3020 | jq '[.[] | select(.protocol == "kernel")] | length')" 1
	done
	some_flows 3
	same 'steered flows' "$(counter steer_new)" 6
}

resets_of_server() {
	in_ns sv cat /proc/net/snmp 2>/dev/null | awk '$1 == "Tcp:" { n = $15 } END { print n }'
}

# Without early demux a segment of an open flow does not reach the server either, when our rule is
# gone: the server would reset the flow.
no_early_demux() {
	local steered resets name=$2

	family "$1"
	lab_up
	flow_server
	set_sysctl "$name=0"
	up
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd
	start held cl "$flowgen" hold 10 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	same flows "$(jq .served "$T/held.out")" 10
	ip -n gw "-$1" rule del pref 1000
	steered=$(settled_counter steer_flow)
	resets=$(resets_of_server)
	kill -USR1 "${PIDS[held]}"
	wait_for 10 "(( \$(counter steer_flow) >= $steered + 10 ))"
	same 'resets that the server has sent' "$(resets_of_server)" "$resets"
	up
	wait_for 20 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 10
	stop held
	stop shuntd
	ctl down
	set_sysctl "$name=1"
}

for fam in 4 6; do
	for what in ip tcp; do
		check "RT-06-$what-v$fam" "no ${what}_early_demux, and the rule is gone (IPv$fam)" \
			no_early_demux $fam "net.ipv4.${what}_early_demux"
	done
	for mode in proxy client-port; do
		check -t 90 "RT-01-$mode-v$fam" \
			"src_valid_mark, rp_filter, accept_local; source $mode (IPv$fam)" sysctls $mode $fam
	done
	check "RT-03-v$fam" "bits of others in the mark are kept (IPv$fam)" foreign_marks $fam
	check "RT-03-rule-v$fam" "a rule that reads our bits stops \`up\` (IPv$fam)" \
		overlapping_rule $fam
	check "RT-05-v$fam" "what systemd-networkd deletes is not ours (IPv$fam)" networkd $fam
done

story_run "$@"
