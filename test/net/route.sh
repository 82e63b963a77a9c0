#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Flows that a rule routes: what leaves, where, and as what; against the kernel's own forwarding.
#
#   cl ---- c0 gw u0 ---- sv      sv and xl both have FAR: two ways to it
#                 x0 ---- xl

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

frames="$LAB_DIR/route_frames.py"

# Both ways lead to FAR; the kernel's by sv.
lab_far() {
	FAR=198.51.100.1
	((FAM == 4)) || FAR=2001:db8:f::1
	FAR_U=$(in_url "$FAR")
	for ns in sv xl; do
		ip -n $ns addr add "$FAR/$HOSTLEN" dev lo
	done
	ip -n gw "-$FAM" route add "$FAR/$HOSTLEN" via "$SV"
	lab_mark
}

mac_of() {
	ip -n "$1" -j link show dev "$2" | jq -r '.[0].address'
}

# ---- against the kernel ---------------------------------------------------------------------

# exchange NAME: random frames from cl to $TO; what arrives at sv and xl, and what gw says to cl, to
# $T/NAME.*
exchange() {
	local end

	start_ready catch-sv sv python3 "$frames" catch eth0
	start_ready catch-xl xl python3 "$frames" catch eth0
	start_ready catch-cl cl python3 "$frames" catch eth0
	in_ns cl python3 "$frames" send eth0 "$(mac_of gw c0)" "$CL" "${TO-$SV}" "$FRAMES" 7 \
		"${TAG-}" >&2
	end=$(printf 'that is all' | od -An -v -tx1 | tr -d ' \n')
	wait_for 30 "grep -q $end '$T/catch-sv.out' && grep -q $end '$T/catch-cl.out'"
	stop catch-sv
	stop catch-xl
	stop catch-cl
	# From cl's address; and errors from gw, without what is different each time.
	grep -E "$(packet_from)" "$T/catch-sv.out" | sort >"$T/$1.sv"
	{ grep -E "$(packet_from)" "$T/catch-xl.out" || true; } | sort >"$T/$1.xl"
	grep -E "$(error_to)" "$T/catch-cl.out" | cut -c"$ERROR_FIELDS" | sort >"$T/$1.cl"
}

packet_from() {
	local hex

	hex=$(python3 "$frames" hex "$CL")
	if ((FAM == 4)); then
		echo "^.{24}08004.{23}$hex"
	else
		echo "^.{24}86dd6.{15}$hex"
	fi
}

# ICMP time exceeded, and fragmentation needed or packet too big; sum, and id of the error's own
# IP header are left out.
error_to() {
	if ((FAM == 4)); then
		echo '^.{24}080045.{16}01.{20}(0b00|0304)'
	else
		echo '^.{24}86dd6.{11}3a.{66}(0300|0200)'
	fi
}

same_lines() {
	diff "$2" "$3" >"$T/diff" || fail "$1 are others: $(head -n 4 "$T/diff")"
}

# as_the_kernel FAMILY MTU [OPTION...]: of `up`
as_the_kernel() {
	local u0_mtu=$2 least=2 n

	family "$1"
	[[ -z ${TO-} ]] || least=8
	FRAMES=4000 ERROR_FIELDS=1-28,53-68,69-72,77-
	((FAM == 4)) || ERROR_FIELDS=1-28,45-112,117-
	lab_up
	in_ns gw sysctl -q -w net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
		net.ipv4.icmp_msgs_per_sec=1000000 net.ipv4.icmp_msgs_burst=1000000
	ip -n gw link set u0 mtu "$u0_mtu"
	# Neighbours are known, or the first frames wait in a queue of the kernel.
	web_server sv
	fetch_hello cl "http://$SV_U/hello"
	[[ -z ${TO-} ]] || networks
	lab_mark
	exchange kernel
	at_least 'frames that the kernel forwarded' "$(wc -l <"$T/kernel.sv")" $((FRAMES / least))
	at_least 'errors of the kernel' "$(wc -l <"$T/kernel.cl")" 100
	up "${@:3}"
	rules '100 in route'
	exchange routed
	same_lines 'frames that arrived' "$T/kernel.sv" "$T/routed.sv"
	same_lines 'frames that arrived at xl' "$T/kernel.xl" "$T/routed.xl"
	same_lines 'errors that came back' "$T/kernel.cl" "$T/routed.cl"
	at_least 'routed' "$(counter routed)" $((FRAMES * 8 / least / 10))
	for n in route_ttl route_options route_fragment; do
		at_least "$n" "$(counter $n)" 20
	done
	((FAM == 6)) || at_least bad_header "$(counter bad_header)" 20
	((u0_mtu >= 1500)) || at_least route_too_big "$(counter route_too_big)" 20
	# The control: frames that another network's rule selects go by the kernel.
	n=$(settled_counter routed)
	rules '100 in to 192.0.2.0/24,2001:db8::/32 route'
	in_ns cl python3 "$frames" send eth0 "$(mac_of gw c0)" "$XL" "$SV" 50 8 >&2
	same 'routed, by a rule about others' "$(counter routed)" "$n"
}

# A tag of VLAN 0 is a priority, not a network, and does not leave with the packet. (A tag of another
# VLAN: links.sh.)
priority_tagged() {
	TAG=e000
	as_the_kernel "$@"
	! grep -q '^.\{24\}8100' "$T/routed.sv" || fail 'a tag has been sent on'
}

# Networks behind sv and xl, and such as nothing is sent to.
networks() {
	local n

	for n in 1 2 3 4; do
		TO=${TO/NET$n/$([[ $FAM == 4 ]] && echo "198.51.100.$n" || echo "2001:db8:f::$n")}
	done
	read -ra n <<<"${TO//,/ }"
	web_server xl
	fetch cl "http://$(in_url "$XL")/hello" >/dev/null
	ip -n gw -batch - <<-END
		route add ${n[1]} via $XL
		route add prohibit ${n[2]}
		route add blackhole ${n[3]}
		route add unreachable ${n[4]}
	END
}

several_networks() {
	family "$1"
	TO=$SV,NET1,NET2,NET3,NET4
	as_the_kernel "$1" 1500
	at_least 'frames at xl' "$(wc -l <"$T/routed.xl")" $((FRAMES / 8))
	at_least route_no_route "$(counter route_no_route)" $((FRAMES / 8))
}

# ---- ways -----------------------------------------------------------------------------------

two_uplinks_by_set() {
	HOOK=$1
	family "$2"
	lab_up
	lab_far
	web_server sv
	web_server xl
	up
	same 'answer without rules' "$(fetch cl "http://$FAR_U/hello")" 'hello from sv'
	ctl set add far 203.0.113.0/24 2001:db8:e::/48
	rules "100 in tcp to @far route via $XL"
	same 'answer when the set does not hold it' "$(fetch cl "http://$FAR_U/hello")" 'hello from sv'
	ctl set add far "$FAR"
	same 'answer by the other uplink' "$(fetch cl "http://$FAR_U/hello")" 'hello from xl'
	same 'the address that xl saw' "$(seen xl | cut -d' ' -f1)" "$CL"
	fetch_hello cl "http://$SV_U/hello"
	same 'flows of rule 100' "$(rule_flows 100)" 1
	at_least routed "$(counter routed)" 4
	ctl explain in c0 tcp "$CL_U:4000" "$FAR_U:80" >"$T/explained"
	grep -q "^route: leaves by x0 to $XL$" "$T/explained" || fail "explain says: $(<"$T/explained")"
	ctl set del far "$FAR"
	same 'answer when it is taken out' "$(fetch cl "http://$FAR_U/hello")" 'hello from sv'
	rules "100 in tcp to @far route via $XL dev u0 fail closed" \
		"110 in tcp to $FAR port 8080 route dev x0"
	ctl set add far "$FAR"
	must_fail 28 'timed out' fetch cl "http://$FAR_U/hello" --max-time 1
	at_least 'failed closed' "$(counter fail_closed)" 1
	ctl rule del 100
	same 'answer after the rule is gone' "$(fetch cl "http://$FAR_U/hello")" 'hello from sv'
}

# A router of IPv6 is mostly known by its link-local address.
link_local_hop() {
	local hop

	family 6
	lab_up
	lab_far
	web_server sv
	web_server xl
	up
	hop=$(ip -n xl -j -6 addr show dev eth0 | jq -r '.[].addr_info[]? | select(.scope == "link") | .local')
	must_fail 2 'via a link-local address needs dev' ctl rule add "5 in route via $hop"
	rules "100 in tcp to $FAR port 80 route via $hop dev x0"
	same 'answer by the link-local hop' "$(fetch cl "http://$FAR_U/hello")" 'hello from xl'
	same 'flows of rule 100' "$(rule_flows 100)" 1
	at_least routed "$(counter routed)" 4
	same 'answer of another port' "$(fetch cl "http://$FAR_U:8080/hello")" 'hello from sv'
}

# Each next hop of a rule takes a place, which is given back when no rule names it any more.
many_next_hops() {
	local first

	family 4
	lab_up
	lab_far
	web_server xl
	up
	ctl hop add named "$SV"
	for first in 1 2 3 4; do
		mapfile -t lines < <(seq 1 200 | sed "s/.*/& to 192.0.2.& route via 10.3.$first.&/")
		rules "${lines[@]}" "500 in tcp to $FAR route via $XL"
	done
	same 'answer' "$(fetch cl "http://$FAR_U/hello")" 'hello from xl'
	same 'group with a name' "$(ctl hop list)" "named: $SV weight 1, alive"
	mapfile -t lines < <(seq 1 600 | sed 's/.*/& to 192.0.2.1 port & route via 10.3.9.1/')
	rules "${lines[@]}"
	mapfile -t lines < <(seq 1 600 | awk '{ print $1, "route via 10.3." int($1 / 200) "." $1 % 200 + 1 }')
	printf '%s\n' "${lines[@]}" >"$T/too-many"
	must_fail 1 'no room for another group of next hops' ctl apply "$T/too-many"
	same 'rules after the refusal' "$(ctl rule list | wc -l)" 600
}

# The command stream of `hold`, and its last line.
ask() {
	local n

	n=$(wc -l <"$T/hold.out")
	echo "$*" >&"$HOLD"
	wait_for 20 "((\$(wc -l <'$T/hold.out') > $n))"
	tail -n 1 "$T/hold.out"
}

hold_flows() {
	mkfifo "$T/commands"
	: >"$T/hold.out" # its reader may be before the background job
	start_ready echo-sv sv python3 "$frames" serve sv "$FAR" 7
	start_ready echo-xl xl python3 "$frames" serve xl "$FAR" 7
	nsenter --net=/run/netns/cl python3 "$frames" hold "$FAR" 7 <"$T/commands" \
		>"$T/hold.out" 2>"$T/hold.err" &
	PIDS[hold]=$!
	exec {HOLD}>"$T/commands"
}

number_of() { # NAME 'sv=3 xl=4'
	sed -nE "s/.*\b$1=([0-9]+).*/\1/p" <<<"$2"
}

spread_and_remove() {
	local n at_sv at_xl lost

	family "$1"
	lab_up
	lab_far
	up -i u0 -i x0
	ctl hop add ways "$SV"
	ctl hop add ways "$XL" dev x0 weight 3
	rules "100 in on c0 tcp to $FAR route via @ways"
	same 'the rule as it is listed' "$(ctl rule list)" "100 in on c0 tcp to $FAR route via @ways"
	must_fail 1 "is used by rule 100" ctl hop del ways
	must_fail 1 "there is no group of next hops 'none'" ctl rule add '5 in route via @none'
	hold_flows
	n=$(ask open 400)
	say "flows: $n"
	at_sv=$(number_of sv "$n") at_xl=$(number_of xl "$n")
	same 'flows' $((at_sv + at_xl)) 400
	at_least 'flows by the next hop of weight 1' "$at_sv" 60
	at_most 'flows by the next hop of weight 1' "$at_sv" 140
	# A flow keeps its next hop: nobody else would know it.
	same 'answers of sv' "$(ask ask sv)" "$at_sv"
	same 'answers of xl' "$(ask ask xl)" "$at_xl"
	lost=$(in_ns cl nstat -asz TcpRetransSegs | awk '/Retrans/ {print $2}')
	ctl hop del ways "$XL" dev x0
	same 'answers of sv, after xl is out' "$(ask ask sv)" "$at_sv"
	# One for each would be the sign; one for a busy machine is none.
	at_most 'segments sent again meanwhile' \
		"$(in_ns cl nstat -asz TcpRetransSegs | awk '/Retrans/ {print $2}')" $((lost + at_sv / 4))
	# Those of xl go on by sv, which knows nothing of them.
	same 'answers of xl, after it is out' "$(ask ask xl)" 0
	n=$(ask open 50)
	same 'new flows by sv' "$(number_of sv "$n")" $((at_sv + 50))
	exec {HOLD}>&-
	finish hold
}

state_of_hop() {
	ctl --json hop list ways | jq -r ".[] | select(.address == \"$1\") | .state"
}

# What is not confirmed is asked again within seconds, if it is in use.
neighbours_soon_old() {
	in_ns gw sysctl -q -w net.ipv4.neigh.x0.base_reachable_time_ms=4000 \
		net.ipv6.neigh.x0.base_reachable_time_ms=4000 \
		net.ipv4.neigh.x0.delay_first_probe_time=1 \
		net.ipv6.neigh.x0.delay_first_probe_time=1 \
		net.ipv4.neigh.x0.retrans_time_ms=200 net.ipv6.neigh.x0.retrans_time_ms=200
	lab_mark
}

# dead_next_hop FAMILY link|neighbour|silent [OPTION...]: of `up`
dead_next_hop() {
	local n what

	family "$1"
	lab_up
	lab_far
	[[ $2 != silent ]] || neighbours_soon_old
	up "${@:3}"
	ctl hop add ways "$SV"
	ctl hop add ways "$XL"
	rules "100 in tcp to $FAR route via @ways"
	hold_flows
	n=$(ask open 60)
	at_least 'flows by xl' "$(number_of xl "$n")" 15
	same 'states' "$(state_of_hop "$SV") $(state_of_hop "$XL")" 'alive alive'
	[[ $2 != silent ]] || wait_for 20 "ip -n gw neigh show $XL dev x0 | says STALE"
	if [[ $2 == link ]]; then
		ip -n xl link set eth0 down
	else
		# It does not answer any more, and the kernel has found out; or has yet to.
		ip -n xl link set eth0 arp off
		ip -n xl -6 addr flush dev eth0
		[[ $2 == silent ]] || ip -n gw neigh flush dev x0
	fi
	# Old flows are enough to find it out, though all that comes is put into the peer.
	[[ $2 == silent ]] && what="ask xl" || what="open 1"
	wait_for 30 "ask $what; [[ \$(state_of_hop $XL) == dead ]]"
	n=$(ask names)
	same 'flows by xl when it is dead' "$(number_of xl "$(ask open 40)")" "$(number_of xl "$n")"
	same 'the state of the other' "$(state_of_hop "$SV")" alive
	[[ $2 != link ]] || link_comes_back
	exec {HOLD}>&-
	finish hold
}

# It is tried every ten seconds, if there are flows.
link_comes_back() {
	local n

	n=$(number_of xl "$(ask names)")
	ip -n xl -batch - <<-END
		link set eth0 up
		addr replace $XL/$([[ $FAM == 4 ]] && echo 24 || echo 64) dev eth0
		route replace default via $GW_X
	END
	wait_for 30 "((\$(number_of xl \"\$(ask open 4)\") > $n))"
	same state "$(state_of_hop "$XL")" alive
	wait_for 5 "ip -n gw -6 addr show dev x0 scope link | grep fe80 | says -v tentative"
}

# ---- life of a flow ---------------------------------------------------------------------------

first_decision() {
	local n

	family "$1"
	lab_up
	lab_far
	up
	rules "100 in tcp to $FAR route via $XL"
	hold_flows
	same 'flows' "$(ask open 5)" 'xl=5'
	ctl rule flush
	same 'flows, without the rule' "$(ask open 5)" 'sv=5 xl=5'
	same 'answers to old flows' "$(ask ask xl)" 5
	n=$(settled_counter routed)
	same 'answers to new flows' "$(ask ask sv)" 5
	same 'routed, of flows without a rule' "$(counter routed)" "$n"
	exec {HOLD}>&-
	finish hold
}

# And begin to count anew.
chain_saw() {
	in_ns gw nft -j reset counters | jq '[.nftables[].counter.packets // 0] | add'
}

# Each datagram that the rules were asked about counts as a flow of the rule.
datagrams() {
	family "$1"
	lab_up
	web_server sv
	fetch_hello cl "http://$SV_U/hello" # so that the neighbour is known
	up
	rules '100 in udp to any port 9 route' '110 in udp to any port 10 pass'
	in_ns cl python3 "$frames" datagrams "$SV" 9 500 >&2
	same 'flows of the rule' "$(rule_flows 100)" 1
	same 'routed' "$(counter routed)" 500
	in_ns cl python3 "$frames" datagrams "$SV" 10 5 >&2
	same 'routed, after datagrams that a rule passes' "$(counter routed)" 500
}

# With conntrack, which sees neither direction of a routed flow, and drops what it takes as invalid.
beside_conntrack() {
	family "$1"
	lab_up
	web_server sv
	in_ns gw nft -f - <<-END
		table inet filter {
			chain forward {
				type filter hook forward priority 0; policy accept;
				ct state invalid drop
				counter name seen
			}
			counter seen { }
		}
	END
	lab_mark
	up -i u0
	rules '100 in on c0 tcp to any port 80 route'
	fetch_hello cl "http://$SV_U:8080/hello"
	no_connections cl sv
	at_least 'packets that the chain saw of a flow without a rule' "$(chain_saw)" 8
	fetch_hello cl "http://$SV_U/hello"
	no_connections cl sv
	same 'packets that the chain saw of a routed flow' "$(chain_saw)" 0
}

big_packets() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	dd if=/dev/zero of="$T/nginx-sv/www/big" bs=1M count=20 status=none
	ip -n gw link set c0 mtu 1300 # the way back is narrow, and the server does not know
	lab_mark
	up -i u0
	rules '100 in on c0 tcp to any port 80 route'
	fetch cl "http://$SV_U/big" | cmp - "$T/nginx-sv/www/big"
	at_least 'too big' "$(counter route_too_big)" 1
	at_least 'routed' "$(counter routed)" 50
	same 'MTU that the server has learnt' \
		"$(ip -n sv -j "-$FAM" route get "$CL" | jq -r '.[0].metrics[0].mtu')" 1300
}

mixed_rules() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up -i u0
	rules "10 in tcp to any port 443 drop" "20 pass to any port 8081" \
		"100 in on c0 tcp to any port 80 proxy" "110 in on c0 tcp to any port 8080 route" \
		"120 in on c0 tcp to $GW_U route"
	shuntd
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	same 'source of the proxied flow' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	same 'routed, of a proxied flow' "$(counter routed)" 0
	fetch_hello cl "http://$SV_U:8080/hello"
	wait_for 5 '(($(requests sv) == 2))'
	same 'source of the routed flow' "$(seen sv | cut -d' ' -f1)" "$CL"
	at_least routed "$(counter routed)" 8
	must_fail 28 'timed out' fetch cl "http://$SV_U:443/hello" --max-time 1
	same 'steered flows' "$(counter steer_new)" 1
	# This host itself is not routed to.
	must_fail 7 connect fetch cl "http://$GW_U_U:9/hello"
	same 'meant for this host' "$(counter route_local)" 1
	# The server does not answer to the proxy any more; what is routed does not notice.
	stop shuntd
	fetch_hello cl "http://$SV_U:8080/hello"
}

# ---- into the peer of a veth -------------------------------------------------------------------

# What came out of the veth itself, and not into its peer past it.
sent_by() {
	ip -n gw -s -j link show dev "$1" | jq '.[0].stats64.tx.packets'
}

# The fetch of a megabyte, and how much of it went by the egress of u0 and c0.
fetch_by() {
	local u0 c0

	u0=$(sent_by u0) c0=$(sent_by c0)
	fetch cl "http://$SV_U$1/big" | cmp - "$T/nginx-sv/www/big"
	BY_U0=$(($(sent_by u0) - u0)) BY_C0=$(($(sent_by c0) - c0))
	say "by u0: $BY_U0, by c0: $BY_C0 packets"
}

# A packet in seconds goes by the egress, for the neighbour's sake.
into_the_peer() {
	local n

	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	dd if=/dev/urandom of="$T/nginx-sv/www/big" bs=1M count=8 status=none
	# So that the packets are many.
	in_ns sv ethtool -K eth0 tso off gso off >&2
	up -i u0
	rules '100 in on c0 tcp to any port 80 route'
	fetch_by ''
	at_least 'packets by c0, not told to pass it by' "$BY_C0" 500
	ctl up --peer c0 --hook "$HOOK"
	same 'what status says of the peers' \
		"$(ctl --json status | jq -c '[.devices[] | [.name, .peer]]')" \
		'[["c0",true],["u0",false]]'
	fetch_by ''
	at_most 'packets by c0' "$BY_C0" 50
	at_least 'packets by u0' "$BY_U0" 10
	n=$(counter routed)
	at_least routed "$n" 1000
	# The control: without a rule they go by the kernel, past nothing.
	fetch_by :8080
	at_least 'packets by c0, of a flow without a rule' "$BY_C0" 500
	same 'routed, of a flow without a rule' "$(counter routed)" "$n"
	# It stays so, until `down`.
	ctl up -i c0 --peer u0 --hook "$HOOK"
	fetch_by ''
	at_most 'packets by c0' "$BY_C0" 50
	at_most 'packets by u0' "$BY_U0" 50
	ctl down
	up -i u0
	rules '100 in on c0 tcp to any port 80 route'
	fetch_by ''
	at_least 'packets by c0, after down and up' "$BY_C0" 500
}

peers_refused() {
	family 4
	lab_up
	web_server sv
	ip -n gw link add v0 type veth peer name v1
	must_fail 1 "'v0' has its peer in this network namespace: give '-i v0' instead of --peer" \
		ctl up --peer v0
	ip -n gw link add b0 type bridge
	must_fail 1 "'b0' is not a veth, and has no peer: give '-i b0' instead of --peer" \
		ctl up -i c0 --peer b0
	must_fail 1 "no such interface 'nix0'" ctl up --peer nix0
	must_fail 1 'is not up' ctl status
	ip -n gw link del v0
	ip -n gw link del b0
	lab_mark
	up
	# Nobody's queue is passed by without a word.
	in_ns gw tc qdisc add dev u0 root pfifo limit 100
	lab_mark
	ctl up --peer u0 --hook "$HOOK" 2>"$T/said"
	grep -q "'u0': its qdisc 'pfifo' does not see what is routed straight into the peer" \
		"$T/said" || fail "up says: $(<"$T/said")"
	ctl status | says "'u0': its qdisc 'pfifo' does not see" || fail "$(ctl status)"
	# A peer that comes home is not lost sight of.
	ip -n sv link set eth0 netns gw
	ctl status | says "'u0': its peer is in this network namespace now" ||
		fail "$(ctl status)"
	ctl up -i u0 --hook "$HOOK"
	same 'what status says of the peer' \
		"$(ctl --json status | jq -c '.devices[] | select(.name == "u0") | .peer')" false
	ip -n gw link set eth0 netns sv
	ctl down
	lab_mark
}

# What a peer gets has the link addresses that would have come through the pair.
peer_sees() {
	local macs

	family "$1"
	lab_up
	web_server sv
	fetch_hello cl "http://$SV_U/hello"
	up --peer u0
	rules '100 in on c0 udp to any port 9 route'
	start_ready catch-sv sv python3 "$frames" catch eth0
	in_ns cl python3 "$frames" datagrams "$SV" 9 200 >&2
	macs=$(mac_of sv eth0)$(mac_of gw u0)
	wait_for 10 "((\$(grep -c '^${macs//:/}.*0009.\{8\}78\(00\)*$' '$T/catch-sv.out') == 200))"
	same routed "$(counter routed)" 200
	stop catch-sv
}

for fam in 4 6; do
	check -t 180 "ROUTE-01-v$fam" "routed packets leave as the kernel's do (IPv$fam)" as_the_kernel $fam 1500
	check -t 180 "ROUTE-02-v$fam" "and with a narrow way (IPv$fam)" as_the_kernel $fam 1280
	check -t 180 "ROUTE-19-v$fam" "and to several networks (IPv$fam)" several_networks $fam
	check -t 180 "ROUTE-18-v$fam" "priority-tagged packets leave as the kernel's do (IPv$fam)" \
		priority_tagged $fam 1500
	check -t 180 "ROUTE-18-peer-v$fam" "and into a peer (IPv$fam)" \
		priority_tagged $fam 1500 --peer u0 --peer c0
	for hook in tcx clsact; do
		check "ROUTE-03-$hook-v$fam" "two uplinks by a set ($hook, IPv$fam)" \
			two_uplinks_by_set $hook $fam
		check "ROUTE-08-$hook-v$fam" "the sender of a large packet hears of it ($hook, IPv$fam)" \
			big_packets $hook $fam
		check "ROUTE-09-$hook-v$fam" "pass, drop, proxy and route at once ($hook, IPv$fam)" \
			mixed_rules $hook $fam
	done
	check "ROUTE-04-v$fam" "weights; a next hop that goes moves its own flows only (IPv$fam)" \
		spread_and_remove $fam
	check -t 90 "ROUTE-05-link-v$fam" "a next hop whose link is down is not used (IPv$fam)" \
		dead_next_hop $fam link
	check "ROUTE-05-neighbour-v$fam" "nor one that does not answer (IPv$fam)" \
		dead_next_hop $fam neighbour
	check -t 180 "ROUTE-17-link-v$fam" "nor the peer of a veth whose link is down (IPv$fam)" \
		dead_next_hop $fam link --peer u0 --peer x0
	check -t 180 "ROUTE-17-silent-v$fam" "nor a peer that stops to answer (IPv$fam)" \
		dead_next_hop $fam silent --peer u0 --peer x0
	check "ROUTE-06-v$fam" "a flow follows its first decision (IPv$fam)" first_decision $fam
	check "ROUTE-10-v$fam" "a UDP flow is decided once (IPv$fam)" datagrams $fam
	for hook in tcx clsact; do
		check -t 120 "ROUTE-13-$hook-v$fam" "straight into the peer of a veth ($hook, IPv$fam)" \
			into_the_peer $hook $fam
	done
	check "ROUTE-15-v$fam" "a peer sees the link addresses of the pair (IPv$fam)" peer_sees $fam
	check -t 180 "ROUTE-16-v$fam" "frames of peers leave as the kernel's do (IPv$fam)" \
		as_the_kernel $fam 1500 --peer u0 --peer c0
	check "ROUTE-07-v$fam" "conntrack sees nothing of a routed flow (IPv$fam)" beside_conntrack $fam
done

check ROUTE-11 "a link-local next hop" link_local_hop

check ROUTE-14 "a peer that cannot be redirected into" peers_refused

check ROUTE-12 "places of next hops are given back" many_next_hops

story_run "$@"
