#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# shuntd behind redirectors of netfilter: nothing is steered here, and the instance is up on an
# interface that the flows do not pass.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

readonly PORT=12000

# netfilter_lab FAMILY [OPTION...]: shuntd with a fixed port, and no rule of netfilter yet
netfilter_lab() {
	family "$1"
	shift
	lab_up
	web_server sv
	ctl up -i x0 >/dev/null
	shuntd --port $PORT --workers 2 "$@"
}

# nft_table KIND LINE...: a chain of that kind with these lines
nft_table() {
	local IP

	((FAM == 4)) && IP=ip || IP=ip6
	printf '%s\n' "table $IP lab {" "chain c {" "type $1;" "${@:2}" "}" "}" |
		in_ns gw nft -f -
}

nft_gone() {
	in_ns gw nft delete table "$( ((FAM == 4)) && echo ip || echo ip6)" lab
}

# By both listeners, in turn.
redirect() {
	nft_table 'nat hook prerouting priority dstnat' \
		"iifname \"c0\" tcp dport 80 redirect to :numgen inc mod 2 map { 0 : $PORT, 1 : $((PORT + 1)) }"
}

# To the original server, from the proxy's address: ten connections, and the server has seen them.
proxied_hello() {
	local i before after

	before=$(proxied accepted)
	for ((i = 0; i < 10; i++)); do
		fetch_hello cl "http://$SV_U/hello"
		same 'the server saw' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	done
	after=$(proxied accepted)
	same 'flows of shuntd' $((after - before)) 10
}

redirected() {
	netfilter_lab "$1" --original-destination conntrack
	fetch_hello cl "http://$SV_U/hello"
	same 'before the rule the server saw' "$(seen sv | cut -d' ' -f1)" "$CL"
	redirect
	proxied_hello
	# A port without a rule goes past.
	fetch_hello cl "http://$SV_U:8080/hello"
	same 'at another port the server saw' "$(seen sv | cut -d' ' -f1)" "$CL"
	becomes 'flows of shuntd' 10 proxied accepted
	nft_gone
}

# Who knocks at the listener itself is not connected to it again, whether conntrack knows him or not.
knocked() {
	netfilter_lab "$1" --original-destination conntrack
	must_fail '7|52|56' '' fetch cl "http://$GW_C_U:$PORT/hello"
	becomes 'refused, unknown' 1 proxied ended_error
	redirect # from now on there is conntrack
	must_fail '7|52|56' '' fetch cl "http://$GW_C_U:$PORT/hello"
	becomes 'refused, to itself' 1 proxied ended_self
	becomes 'accepted' 2 proxied accepted
	proxied_hello
	nft_gone
}

# Without the setting a redirected flow has its listener for a destination.
not_asked() {
	netfilter_lab "$1"
	if (($1 == 4)); then
		in_ns gw sysctl -q -w net.ipv4.conf.c0.route_localnet=1
		nft_table 'nat hook prerouting priority dstnat' \
			"iifname \"c0\" tcp dport 80 dnat to 127.0.0.1:$PORT"
	else
		redirect
	fi
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	same 'requests at the server' "$(requests sv)" 0
	nft_gone
	(($1 == 6)) || in_ns gw sysctl -q -w net.ipv4.conf.c0.route_localnet=0
	fetch_hello cl "http://$SV_U/hello"
}

# TPROXY needs no setting but the port.
tproxied() {
	netfilter_lab "$1"
	ip -n gw "-$1" rule add fwmark 1 lookup 100
	ip -n gw "-$1" route add local default dev lo table 100
	nft_table 'filter hook prerouting priority mangle' \
		'meta l4proto tcp socket transparent 1 meta mark set 1 accept' \
		"iifname \"c0\" tcp dport 80 tproxy to $LOOP_U:numgen inc mod 2 map { 0 : $PORT, 1 : $((PORT + 1)) } meta mark set 1 accept"
	proxied_hello
	nft_gone
	ip -n gw "-$1" rule del fwmark 1 lookup 100
	ip -n gw "-$1" route flush table 100
	fetch_hello cl "http://$SV_U/hello"
	same 'without the rule the server saw' "$(seen sv | cut -d' ' -f1)" "$CL"
}

# Listeners of the other kind are not taken over, and who has them serves on.
not_taken_over() {
	netfilter_lab 4 --original-destination conntrack
	must_fail 1 'original-destination: restart it' \
		in_ns gw "$LAB_BUILD/shuntd" --takeover --port $PORT --workers 2
	redirect
	proxied_hello
	start_ready shuntd2 gw "$LAB_BUILD/shuntd" --takeover --port $PORT --workers 2 \
		--original-destination conntrack
	finish shuntd
	fetch_hello cl "http://$SV_U/hello"
	same 'after the takeover the server saw' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	nft_gone
}

for fam in 4 6; do
	check "NF-01-v$fam" "REDIRECT, by conntrack (IPv$fam)" redirected $fam
	check "NF-02-v$fam" "conntrack: a connection that nothing redirected (IPv$fam)" knocked $fam
	check "NF-03-v$fam" "REDIRECT, conntrack is not asked (IPv$fam)" not_asked $fam
	check "NF-04-v$fam" "TPROXY to a fixed port (IPv$fam)" tproxied $fam
done
check NF-05 'a takeover does not change the original-destination' not_taken_over

story_run "$@"
