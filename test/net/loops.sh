#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The proxy never talks to itself: not by its own port, not by its own address, not by its own
# connections, and not around through the network.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PORT=15001

shuntd_fds() {
	local pid n=0

	for pid in "${PIDS[shuntd]}" $(pgrep -P "${PIDS[shuntd]}"); do
		n=$((n + $(find "/proc/$pid/fd" -mindepth 1 | wc -l)))
	done
	echo $n
}

# knock NS ADDRESS...: connect to the proxy's port there; it must end at once, by a reset
knock() {
	local ns=$1 address

	shift
	for address in "$@"; do
		must_fail '7|55|56' '.*' fetch "$ns" "http://$address:$PORT/" --max-time 2
		KNOCKS=$((KNOCKS + 1))
	done
}

own_port() {
	local fds local_c0 outside inside

	family "$1"
	lab_up
	if (($1 == 4)); then
		ip -n gw addr add 10.1.0.9/24 dev c0
		ip -n gw route add local 10.255.254.1 dev lo
		outside="10.1.0.1 10.2.0.1 10.3.0.1 10.1.0.9 10.255.254.1"
		inside="127.0.0.1 127.0.0.2"
	else
		ip -n gw addr add fd01::9/64 dev c0 nodad
		ip -n gw route add local fd0e::1 dev lo
		local_c0=$(ip -n gw -j -6 addr show dev c0 scope link | jq -r '.[].addr_info[]?.local // empty')
		outside="[fd01::1] [fd02::1] [fd03::1] [fd01::9] [fd0e::1]"
		inside="[::1]"
	fi
	lab_mark
	up
	rules '100 tcp to any proxy'
	start_ready shuntd gw prlimit --nofile=256 "$LAB_BUILD/shuntd" --port $PORT --workers 1
	fds=$(shuntd_fds)
	KNOCKS=0
	# shellcheck disable=SC2086 # lists of words
	for ns in cl xl sv; do
		knock $ns $outside
	done
	# shellcheck disable=SC2086
	knock gw $outside $inside
	(($1 == 4)) || knock cl "[${local_c0}%25eth0]"
	at_most 'what shuntd accepted' "$(proxied accepted)" $KNOCKS
	becomes 'of these, refused as its own' "$(proxied accepted)" proxied ended_self
	at_least 'refused as its own, in tc or in shuntd' \
		$(($(counter reject_self) + $(proxied ended_self))) 1
	wait_for 2 "((\$(shuntd_fds) == $fds))"
}

own_address() {
	HOOK=$1
	family "$2"
	lab_up
	web_server gw
	up -i u0
	rules '100 in tcp to any proxy'
	shuntd
	must_fail '7|55|56' '.*' fetch cl "http://$GW_C_U:9/" --max-time 2
	must_fail '7|55|56' '.*' fetch cl "http://$GW_U_U:9/" --max-time 2
	at_most accepted "$(proxied accepted)" 2
	same answer "$(fetch cl "http://$GW_C_U/hello")" 'hello from gw'
	at_most 'accepted, with an answer' "$(proxied accepted)" 3
}

own_connections() {
	local flows=1000

	HOOK=$2
	family "$3"
	lab_up
	flow_server
	up -i u0 -i x0 --out
	rules '100 tcp to any port 7000 proxy'
	shuntd --source "$1"
	in_ns cl "$flowgen" client "$SV_U:7000" -n $flows -c 100 --max-size 2K >&2
	flows_right $flows
	becomes accepted $flows proxied accepted
	# A SYN that is sent again before it is answered counts again.
	at_least 'flows of the rule' "$(rule_flows 100)" $flows
	at_most 'flows of the rule' "$(rule_flows 100)" $((flows + 10))
}

u0_bytes() {
	ip -n gw -s -j link show u0 | jq '.[0].stats64 | .rx.bytes + .tx.bytes'
}

# sv sends what is for this address back to gw: without a proxy, until its TTL is over.
hairpin() {
	local far=10.9.9.9 before

	HOOK=$2
	family "$3"
	lab_up
	(($3 == 4)) || far=fd09::9
	ip -n gw "-$3" route add $far via "$SV"
	ip -n sv "-$3" route add $far via "$GW_U"
	nsenter --net=/run/netns/sv sysctl -q -w net.ipv4.ip_forward=1 \
		net.ipv6.conf.all.forwarding=1 net.ipv4.conf.{all,eth0}.send_redirects=0
	lab_mark
	up -i u0
	rules '100 in tcp to any port 80 proxy'
	start_ready shuntd gw prlimit --nofile=256 "$LAB_BUILD/shuntd" --source "$1" \
		--connect-timeout 2
	must_fail '7|28|52|56' '.*' fetch cl "http://$(in_url $far)/" --max-time 3
	at_most 'connections made for one' $(($(proxied accepted) - $(proxied ended_self))) 2
	before=$(u0_bytes)
	# The time itself is what is measured here.
	sleep 1
	at_most 'bytes on u0 in a second after the end' $(($(u0_bytes) - before)) 70000
}

for fam in 4 6; do
	check "LOOP-01-v$fam" "the proxy's own port, at every address (IPv$fam)" own_port $fam
	for hook in tcx clsact; do
		check "LOOP-02-$hook-v$fam" "the gateway's own address ($hook, IPv$fam)" \
			own_address $hook $fam
		for mode in proxy client client-port; do
			check "LOOP-03-$mode-$hook-v$fam" \
				"1000 flows, all interfaces and out, source $mode ($hook, IPv$fam)" \
				own_connections $mode $hook $fam
			check "LOOP-04-$mode-$hook-v$fam" \
				"a router sends it back, source $mode ($hook, IPv$fam)" \
				hairpin $mode $hook $fam
		done
	done
done

story_run "$@"
