#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections to servers with the client's own address.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# few_ports NS: so few that two who choose from them choose the same
few_ports() {
	nsenter --net="/run/netns/$1" sysctl -q -w net.ipv4.ip_local_port_range='30000 34999'
}

# Ports that both a client and an upstream socket have, with the same address and server.
shared_ports() {
	nsenter --net=/run/netns/gw ss -Htn state established | awk '
		{ l = $3; p = $4; sub(/.*:/, "", l); sub(/.*:/, "", p) }
		p == 7000 { up[l] } l == 7000 { down[p] }
		END { for (i in up) n += i in down; print n + 0 }'
}

# all_served N: the report that the held connections gave last
all_served() {
	same 'connections that are served' "$(tail -n 1 "$T/held.out" | jq .served)" "$1"
	same 'connections that ended' "$(tail -n 1 "$T/held.out" | jq .flows)" 0
}

thousands() {
	local flows=4000 own

	HOOK=$1
	family "$2"
	ulimit -n 16384 # two for each flow in shuntd, and room for pipes
	lab_up
	few_ports cl
	few_ports gw
	lab_mark
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source client
	start held cl "$flowgen" hold $flows "$SV_U:7000" --stuck 200
	wait_for 25 "[[ -s $T/held.out ]]"
	all_served $flows
	at_least 'ports used twice' "$(shared_ports)" 100
	# Once more through all of them: what was refused late would show now.
	kill -USR1 "${PIDS[held]}"
	wait_for 25 "((\$(wc -l <'$T/held.out') == 2))"
	all_served $flows
	becomes accepted $flows proxied accepted
	becomes active $flows proxied active
	becomes 'refused as its own' 0 proxied ended_self
	# Client and gateway are one kernel here, with one secret for sequence numbers: a SYN of the
	# client on the tuple of ours, made in the same 64 ns, is the same to the bit. It is taken
	# for ours, and comes again after a second.
	own=$(counter own)
	at_most 'SYNs taken for our own' "$own" 20
	at_least 'flows of the rule' "$(rule_flows 100)" $((flows + own))
	at_most 'flows of the rule' "$(rule_flows 100)" $((flows + own + 20))
}

# rsts NS: resets that a namespace has sent
rsts() {
	nsenter --net="/run/netns/$1" nstat -asz TcpOutRsts | awk '$1 == "TcpOutRsts" { print $2 }'
}

# The servers' answers go to the client's address, and shuntd's sockets get them.
answers() {
	local ns before

	family "$2"
	lab_up
	flow_server
	up # not on u0: the answers are forwarded to the client, who knows nothing of them
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$1" --splice "$3" --connect-timeout 1
	must_fail 1 '' in_ns cl "$flowgen" client "$SV_U:7000" --stuck 3
	up -i u0
	before=$(rsts cl)
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 100 --max-size 100K >&2
	# Some are of the failed flow, more of them and later on a slow machine.
	at_most 'resets of the client' "$(rsts cl)" $((before + 20))
	for ns in gw sv; do
		at_most "resets of $ns" "$(rsts $ns)" 20
	done
}

# More flows of one client to one server than there are ports, one after another.
many_ports() {
	local n=$4

	[[ -z $LAB_FAST ]] || n=3000
	family "$2"
	lab_up
	few_ports gw
	lab_mark
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$1" --splice "$3"
	in_ns cl "$flowgen" client "$SV_U:7000" -n $n -c 50 --max-size 200 \
		--order client-fin-last >"$T/report" || fail "$(cat "$T/report")"
	becomes accepted $n proxied accepted
	becomes 'flows without a port' 0 proxied ended_no-port
}

# The client is the host of the proxy.
own_client() {
	family "$2"
	lab_up
	flow_server
	ctl up -i u0 --out --hook "$HOOK" >/dev/null
	rules '100 out tcp to any port 7000 proxy'
	shuntd --source "$1"
	in_ns gw "$flowgen" client "$SV_U:7000" -n 500 -c 50 --max-size 10K >&2
	flows_right 500
	becomes accepted 500 proxied accepted
}

# The same source port with the proxy, without it, and with it again.
by_turns() {
	local i

	family "$1"
	lab_up
	flow_server
	up -i u0
	shuntd --source client-port
	for i in 1 2 3; do
		rules '100 in on c0 tcp to any port 7000 proxy'
		in_ns cl "$flowgen" reconnect 20 "$SV_U:7000" --bind "$CL_U:5000" --max-size 2K \
			--order client-fin-last >&2
		rules '100 in on c0 tcp to any port 7001 proxy'
		in_ns cl "$flowgen" reconnect 20 "$SV_U:7000" --bind "$CL_U:5000" --max-size 2K \
			--order client-fin-last >&2
	done
	flows_right 120
	becomes accepted 60 proxied accepted
}

# syn_from ADDR: a SYN that claims to come from there, ten times
syn_from() {
	in_ns cl "$rawsend" eth0 --src "$(in_url "$1"):4000" --dst "$SV_U:7000" --count 10 \
		--dst-mac "$(ip -n gw -j link show c0 | jq -r '.[0].address')" >&2
}

# Who sends with the address of another gets nobody to connect in that name.
spoofed() {
	local addr

	family "$2"
	lab_up
	lab_second_client
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$1"
	syn_from "$CL2"
	wait_for 5 '(($(rsts cl2) >= 1))'
	for addr in "$GW_C" "$GW_U" "$SV" "$XL" "$LOOP" $([[ $2 == 4 ]] &&
		echo 0.0.0.0 224.0.0.5 255.255.255.255 || echo :: ff02::5 fe80::99); do
		syn_from "$addr"
	done
	# All have been looked at: what comes after them is served.
	in_ns cl "$flowgen" client "$SV_U:7000" --bind "$CL_U:4001" >&2
	becomes accepted 1 proxied accepted
	flows_right 1
	same 'connections at the server' "$(nsenter --net=/run/netns/sv nstat -asz TcpPassiveOpens |
		awk '$1 == "TcpPassiveOpens" { print $2 }')" 1
}

# Servers of another family than the client: with the proxy's address, not with the client's.
other_family() {
	local other=fd02::2

	family "$1"
	lab_up
	(($1 == 4)) || other=10.2.0.2
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy own' '110 in on c0 tcp to any port 81 proxy theirs'
	cat >"$T/shuntd.yml" <<-END
		upstreams: ["$(in_url $other):7000"]
		targets:
		  own:
		  theirs:
		    source: client
	END
	shuntd -c "$T/shuntd.yml"
	in_ns cl "$flowgen" client "$SV_U:80" -n 20 >&2
	in_ns cl "$tcploop" connect-reset "$SV_U:81" >&2
	wait_for 2 '(($(proxied ended_unreachable) == 1))'
	flows_right 20
}

# The client's address becomes one of the host: nothing loops, nothing breaks.
becomes_local() {
	family "$2"
	lab_up
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$1"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	# shellcheck disable=SC2046 # nodad or nothing
	ip -n gw addr add "$CL/$HOSTLEN" dev lo $( (($2 == 4)) || echo nodad)
	must_fail 1 '' in_ns cl "$flowgen" client "$SV_U:7000" -n 5 --stuck 2
	ip -n gw addr del "$CL/$HOSTLEN" dev lo
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	at_most accepted "$(proxied accepted)" 45
	wait_for 10 '(($(proxied active) == 0))'
}

# A rule keeps clients out whose source port is one that services answer to.
reflection() {
	family "$1"
	lab_up
	flow_server
	up -i u0
	rules '50 in tcp sport 1-1023 reject' '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source client-port
	in_ns cl "$tcploop" bind "$CL_U:123" connect-refused "$SV_U:7000" >&2
	in_ns cl "$flowgen" reconnect 1 "$SV_U:7000" --bind "$CL_U:1024" >&2
	becomes accepted 1 proxied accepted
	# Without the rule the worker, who has no right to such a port, takes another.
	rules '100 in on c0 tcp to any port 7000 proxy'
	in_ns cl "$flowgen" reconnect 1 "$SV_U:7000" --bind "$CL_U:123" >&2
	becomes 'ports that were not to be had' 1 proxied port_retries
	flows_right 2
}

for fam in 4 6; do
	for mode in client client-port; do
		for splice in never always; do
			check "SRC-01-$mode-$splice-v$fam" \
				"answers come back, source $mode (splice $splice, IPv$fam)" \
				answers $mode $fam $splice
			n=6000
			[[ $mode-$splice != client-never ]] || n=60000
			check -t 90 "SRC-02-$mode-$splice-v$fam" \
				"$n flows of one client, source $mode (splice $splice, IPv$fam)" \
				many_ports $mode $fam $splice $n
		done
		check "SRC-02-host-$mode-v$fam" "the client is the host, source $mode (IPv$fam)" \
			own_client $mode $fam
		check "SRC-04-$mode-v$fam" "addresses of others, source $mode (IPv$fam)" \
			spoofed $mode $fam
		check "SRC-07-$mode-v$fam" "the client's address becomes local, source $mode (IPv$fam)" \
			becomes_local $mode $fam
	done
	check "SRC-03-v$fam" "one source port, with and without the proxy (IPv$fam)" by_turns $fam
	check "SRC-06-v$fam" "servers of the other family (IPv$fam)" other_family $fam
	check "SRC-08-v$fam" "privileged source ports (IPv$fam)" reflection $fam
	check "SRC-09-v$fam" "thousands of flows with the client's address are all served (IPv$fam)" \
		thousands auto $fam
done

story_run "$@"
