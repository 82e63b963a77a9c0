#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Delivery by way of lo (`up --deliver loopback`): there is no routing rule and no route of ours,
# and what is steered gets to its socket nevertheless. How flows fare then is in gateway, host, tcp
# and pmtu, too, in the cases whose names have `loopback`.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# All that decides about the way of a packet through gw, and lo's settings
routing_of_gw() {
	local family

	for family in -4 -6; do
		ip -n gw "$family" rule
		ip -n gw "$family" route show table all | sed -E 's/ expires [0-9]+sec//' | sort
	done
	in_ns gw sysctl net.ipv4.conf.lo
}

hello_as() {
	fetch_hello cl "http://$SV_U/hello"
	same "the source that the server saw" "$(seen sv | cut -d' ' -f1)" "$1"
}

no_rule_is_made() {
	family "$1"
	lab_up
	web_server sv
	hello_as "$CL"
	routing_of_gw >"$T/routing.before"
	ctl up -i c0 -i u0 --out --deliver loopback >/dev/null
	rules '100 in tcp to any port 80 proxy'
	shuntd
	hello_as "$GW_U"
	routing_of_gw >"$T/routing.after"
	diff "$T/routing.before" "$T/routing.after" >&2
	same 'steered flows' "$(counter steer_new)" 1
	at_least 'packets turned round' "$(counter redirect)" 3
	same delivery "$(ctl --json status | jq -r .delivery)" loopback
	same conflicts "$(ctl --json status | jq -c .conflicts)" '[]'
	# What no rule selects goes by the routing table.
	fetch_hello cl "http://$SV_U:8080/hello"
	same 'source of what no rule selects' "$(seen sv | cut -d' ' -f1)" "$CL"
	same 'steered flows, after another port' "$(counter steer_new)" 1
}

# An instance stays what it is; up again finds nothing to do, or repairs what has gone.
kept() {
	local counted

	family 4
	lab_up
	web_server sv
	must_fail 2 "'wire': one of rule, loopback" ctl up -i c0 --deliver wire
	ctl up -i c0 --deliver loopback >/dev/null
	rules '100 in tcp to any port 80 proxy'
	must_fail 1 'delivers by lo.*down' ctl up -i c0 --deliver rule
	ctl up -i c0 >/dev/null
	ctl up -i c0 --deliver loopback >/dev/null
	same 'routing rules' "$(ip -n gw rule | grep -c 0x1000 || true)" 0
	shuntd
	hello_as "$GW_U"
	counted=$(counter steer_new)
	# The target's end is the rule's: here it passes.
	stop shuntd
	hello_as "$CL"
	same 'steered flows, without shuntd' "$(counter steer_new)" "$counted"
	ctl down
	ctl up -i c0 >/dev/null
	same delivery "$(ctl --json status | jq -r .delivery)" rule
	must_fail 1 'delivers by a routing rule.*down' ctl up -i c0 --deliver loopback
}

# Two instances share lo: each takes what it has turned round itself.
two_instances() {
	family "$1"
	lab_up
	web_server sv
	up --deliver loopback
	rules '100 in tcp to any port 80 proxy'
	ctl --instance two up -i x0 --mark 0x2020 --table 3021 --deliver loopback >/dev/null
	echo '100 in tcp to any port 80 proxy' >"$T/rules.two"
	ctl --instance two up -f "$T/rules.two" >/dev/null
	shuntd
	start_ready second gw "$LAB_BUILD/shuntd" --instance two
	hello_as "$GW_U"
	fetch_hello xl "http://$SV_U/hello"
	same 'the source that the server saw' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	same 'flows of the first' "$(counter steer_new)" 1
	same 'flows of the second' \
		"$(ctl --json --instance two status | jq .counters.steer_new)" 1
	stop second
	ctl --instance two down
	hello_as "$GW_U"
}

# What has lost its destination is for nobody here, and a qdisc that might do that is named.
destination_lost() {
	local lost before

	family 4
	lab_up
	up --deliver loopback
	lost=$(counter lo_lost)
	before=$(counter lo_other)
	# A datagram that carries our mark (SO_MARK) and was turned round by nobody
	echo x | in_ns gw socat - UDP4-SENDTO:127.0.0.1:9,setsockopt-int=1:36:4096
	wait_for 10 "(( \$(counter lo_lost) > $lost ))"
	lost=$(counter lo_lost)
	echo x | in_ns gw socat - UDP4-SENDTO:127.0.0.1:9
	wait_for 10 "(( \$(counter lo_other) > $before ))"
	same 'lost ones' "$(counter lo_lost)" "$lost"
	same conflicts "$(ctl --json status | jq -c .conflicts)" '[]'
	nsenter --net=/run/netns/gw tc qdisc add dev lo root tbf rate 1gbit burst 1mb latency 50ms
	ctl --json status | jq -r '.conflicts[]' | says "'lo': its qdisc 'tbf'"
	nsenter --net=/run/netns/gw tc qdisc del dev lo root
	same conflicts "$(ctl --json status | jq -c .conflicts)" '[]'
}

# Marks are what tells instances apart, however they deliver.
same_marks() {
	lab_up
	up --deliver "$1"
	must_fail 1 "mark bits 0x1010, which overlap ours .0x2010.*--mark" \
		ctl --instance two up -i u0 --mark 0x2010 --table 3021 --deliver "$2"
	[[ ! -e $(echo /sys/fs/bpf/shunt/*/)two ]]
	ctl --instance two up -i u0 --mark 0x2020 --table 3021 --deliver "$2"
}

# Without a routing rule no table is used: who uses ours may go on.
table_in_use() {
	lab_up
	ip -n gw route add 192.0.2.0/24 dev u0 table 3020
	ip -n gw rule add pref 900 to 192.0.2.0/24 lookup 3020
	lab_mark
	must_fail 1 'table 3020' ctl up -i c0
	ctl up -i c0 --deliver loopback
}

for fam in 4 6; do
	check "DLV-01-v$fam" "no routing rule, no route, no sysctl (IPv$fam)" no_rule_is_made $fam
	check "DLV-03-v$fam" "two instances on one lo (IPv$fam)" two_instances $fam
done
check DLV-02 'an instance keeps how it delivers' kept
check DLV-04 'a packet that has lost its destination' destination_lost
check DLV-05-loopback 'marks of an instance that delivers by lo' same_marks loopback rule
check DLV-05-rule 'marks of an instance that delivers by a rule' same_marks rule loopback
check DLV-05-both 'marks of two instances that deliver by lo' same_marks loopback loopback
check DLV-06 'the routing table is in use, which is not needed' table_in_use

story_run "$@"
