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
	start held cl "$flowgen" hold $flows "$SV_U:7000" --stuck 20
	wait_for 25 "[[ -s $T/held.out ]]"
	all_served $flows
	at_least 'ports used twice' "$(shared_ports)" 100
	# Once more through all of them: what was refused late would show now.
	kill -USR1 "${PIDS[held]}"
	wait_for 25 "((\$(wc -l <'$T/held.out') == 2))"
	all_served $flows
	same accepted "$(proxied accepted)" $flows
	same active "$(proxied active)" $flows
	same 'refused as its own' "$(proxied ended_self)" 0
	# Client and gateway are one kernel here, with one secret for sequence numbers: a SYN of the
	# client on the tuple of ours, made in the same 64 ns, is the same to the bit. It is taken
	# for ours, and comes again after a second.
	own=$(counter own)
	at_most 'SYNs taken for our own' "$own" 20
	same 'flows of the rule' "$(rule_flows 100)" $((flows + own))
}

for fam in 4 6; do
	check "SRC-09-v$fam" "thousands of flows with the client's address are all served (IPv$fam)" \
		thousands auto $fam
done

story_run "$@"
