#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The client is connected before the server is asked. When there is no way to the server, the
# client hears of it as soon as shuntd knows, by a reset and without a byte.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# took_ms COMMAND...: how long it took
took_ms() {
	local start=${EPOCHREALTIME/./}

	"$@" >&2 || return 1
	echo $(((${EPOCHREALTIME/./} - start) / 1000))
}

# reset_by ADDR:PORT: connect, and expect nothing but a reset
reset_by() {
	in_ns cl "$tcploop" connect-reset "$1"
}

dead_lab() {
	family "$1"
	lab_up
	up
	rules '100 in tcp to any port 7000-7009 proxy'
	shuntd --splice "$2" --connect-timeout 2
}

closed() {
	dead_lab "$1" "$2"
	reset_by "$SV_U:7001"
	# At once: not by the timeout, which has another reason.
	becomes 'ended as refused' 1 proxied ended_refused
	becomes accepted 1 proxied accepted
}

# The server's answers have no way back.
filtered() {
	local ms

	dead_lab "$1" "$2"
	ip -n sv route add blackhole "$GW_U/$HOSTLEN"
	ms=$(took_ms reset_by "$SV_U:7000")
	at_least 'time to the reset, ms' "$ms" 1900
	at_most 'time to the reset, ms' "$ms" 20000 # SYNs alone would go on for two minutes
	wait_for 2 '(($(proxied ended_timeout) == 1))'
}

unroutable() {
	local nowhere=203.0.113.7

	dead_lab "$1" "$2"
	(($1 == 4)) || nowhere='[2001:db8:77::7]'
	reset_by "$nowhere:7000"
	becomes 'ended as unreachable' 1 proxied ended_unreachable
}

# A hundred flows can be open to one server, and no more.
no_port() {
	family "$1"
	lab_up
	nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.ip_local_port_range='40000 40099' \
		net.ipv4.tcp_max_tw_buckets=100
	lab_mark
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --splice "$2"
	start held cl "$flowgen" hold 150 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	at_most 'flows that are served' "$(jq .served "$T/held.out")" 100
	at_least 'flows that are served' "$(jq .served "$T/held.out")" 90
	becomes 'flows without a port' $((150 - $(jq .served "$T/held.out"))) proxied ended_no-port
	reset_by "$SV_U:7000"
	# The server closes first, so that TIME_WAIT is there and the ports are free at once.
	stop server
	wait_for 5 '(($(proxied active) == 0))'
	stop held
	flow_server
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 10 --order client-fin-last >&2
}

for fam in 4 6; do
	for splice in never always; do
		check "TCP-01-closed-$splice-v$fam" "nobody listens (splice $splice, IPv$fam)" \
			closed $fam $splice
		check "TCP-01-filtered-$splice-v$fam" "no answer (splice $splice, IPv$fam)" \
			filtered $fam $splice
		check "TCP-01-unroutable-$splice-v$fam" "no route (splice $splice, IPv$fam)" \
			unroutable $fam $splice
		check "RES-12-$splice-v$fam" "source ports run out (splice $splice, IPv$fam)" \
			no_port $fam $splice
	done
done

story_run "$@"
