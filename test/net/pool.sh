#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Connections to servers from a pool of addresses, which are the gateway's or nobody's.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# setup 4|6: the lab; POOL is four addresses that no host has
setup() {
	family "$1"
	POOL=$( ((FAM == 4)) && echo 10.9.0.4/30 || echo fd09::4/126)
	PREFIX=${POOL%4/*}
	lab_up
	up -i u0
	rules '100 in on c0 tcp to any port 80,7000 proxy pool fail closed'
}

# pool LINE...: shuntd with target pool, and these settings
pool() {
	{
		printf 'workers: 2\ntargets:\n  pool:\n    source: pool\n'
		printf '    %s\n' "$@"
	} >"$T/shuntd.yml"
	shuntd -c "$T/shuntd.yml"
}

# sources: "COUNT ADDRESS" of what the server saw
sources() {
	cut -d' ' -f1 "$T/sv.access" | sort | uniq -c | awk '{ print $1, $2 }' | paste -sd,
}

by_turns() {
	local i

	setup "$1"
	web_server sv
	pool "source-pool: [$POOL]" 'source-ports: 40000-40999'
	for i in {1..8}; do
		fetch_hello cl "http://$SV_U/hello"
	done
	wait_for 5 '(($(requests sv) == 8))'
	same 'sources at the server' "$(sources)" \
		"2 ${PREFIX}4,2 ${PREFIX}5,2 ${PREFIX}6,2 ${PREFIX}7"
	same 'ports outside the range' "$(awk '$2 < 40000 || $2 > 40999' "$T/sv.access")" ''
	stop shuntd
	say 'with an address of the gateway, and with bytes'
	flow_server
	pool "source-pool: $GW_U" 'log-flows: yes'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 -c 50 --max-size 40K >&2
	flows_right 200
	wait_for 5 "(( \$(grep -cF ' source=$GW_U_U:' $T/shuntd.out) == 200 ))" ||
		fail "$(grep -vF " source=$GW_U_U:" "$T/shuntd.out"; wc -l <"$T/shuntd.out")"
	stop shuntd
	say 'ports without a pool'
	: >"$T/sv.access"
	shuntd -t pool --source-ports 41000-41001
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	awk -v want="$GW_U" '$1 != want || $2 < 41000 || $2 > 41001 { exit 1 }' "$T/sv.access"
}


# connections_from ADDRESS: that the server has
connections_from() {
	nsenter --net=/run/netns/sv ss -Htn state established dst "$1" sport = :7000 | wc -l
}

# held NAME N: so many idle connections, and all are there
held() {
	start "$1" cl "$flowgen" hold "$2" "$SV_U:7000"
	wait_for 10 "[[ -s $T/$1.out ]]"
	same "connections of $1" "$(jq .served "$T/$1.out")" "$2"
}

least_used() {
	setup "$1"
	flow_server
	pool "source-pool: $POOL" 'source-pick: leastconn'
	held a 10
	held b 6
	same 'connections of each' "$(for i in 4 5 6 7; do
		connections_from "$(in_url "$PREFIX$i")"; done | paste -sd,)" 4,4,4,4
}

# Two addresses with four ports each: eight connections to one server, and no ninth.
used_up() {
	setup "$1"
	flow_server
	pool "source-pool: ['${PREFIX}4', '${PREFIX}5']" 'source-ports: 40000-40003'
	held eight 8
	must_fail 1 '' in_ns cl "$flowgen" client "$SV_U:7000"
	at_least 'other ports and addresses that were tried' "$(proxied port_retries)" 1
	at_least 'flows without a port' "$(proxied ended_no-port)" 1
	say 'ports come back'
	stop eight
	wait_for 5 "(( \$(proxied active) == 0 ))"
	in_ns cl "$flowgen" client "$SV_U:7000" --max-size 10K >&2
}

# The client closes first, so the gateway has the TIME_WAIT of each connection: of all ports that
# there are. They serve again all the same.
time_wait() {
	setup "$1"
	flow_server
	pool "source-pool: ['${PREFIX}4', '${PREFIX}5']" 'source-ports: 40000-40001'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 40 -c 1 --max-size 2K \
		--order server-fin-last >&2
	flows_right 40
	same 'ports in TIME_WAIT' "$(nsenter --net=/run/netns/gw \
		ss -Htn state time-wait "( dport = :7000 )" | wc -l)" 4
	at_least 'ports used again' "$(proxied port_retries)" 36
	becomes 'flows without a port' 0 proxied ended_no-port
}

# No port to one upstream: another one has its own.
other_upstream() {
	setup "$1"
	flow_server
	pool "source-pool: '${PREFIX}4'" 'source-ports: 40000-40000' 'balance: source' \
		"upstreams: ['$SV_U:7000', '$( ((FAM == 4)) && echo 10.2.0.9 || echo '[fd02::9]'):7000']"
	ip -n sv addr add "$( ((FAM == 4)) && echo 10.2.0.9/24 || echo fd02::9/64)" dev eth0 nodad
	held two 2
	becomes 'other upstreams' 1 proxied upstream_retries
	# That is no fault of theirs.
	becomes 'upstreams out' 0 proxied upstreams_out
}

for fam in 4 6; do
	check "POOL-01-v$fam" "addresses by turns, from a range of ports (IPv$fam)" by_turns $fam
	check "POOL-02-v$fam" "the least used address (IPv$fam)" least_used $fam
	check "POOL-03-v$fam" "ports that are used up, and come back (IPv$fam)" used_up $fam
	check "POOL-04-v$fam" "ports in TIME_WAIT serve again (IPv$fam)" time_wait $fam
	check "POOL-05-v$fam" "no port to one upstream, but to another (IPv$fam)" other_upstream $fam
done

story_run "$@"
