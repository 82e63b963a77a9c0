#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Ends that are slow, silent or gone, and a proxy that stands still: nobody else pays.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# worker_status FIELD: of the worker, from /proc/PID/status
worker_status() {
	sed -nE "s/^$1:[[:space:]]*([0-9]+).*/\1/p" "/proc/$(worker)/status"
}

worker() {
	pgrep -P "${PIDS[shuntd]}" | head -n 1
}

# tcp_count NS NAME: a counter of TCP
tcp_count() {
	nsenter --net="/run/netns/$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'
}

# typical_ms: time of a new connection with a few KB. The median: the tail tells of the machine.
typical_ms() {
	in_ns cl "$flowgen" rate 200 3 "$SV_U:7000" -c 50 --max-size 8K --order client-fin-last \
		>"$T/rate" || return 1
	jq '.p50_ms | ceil' "$T/rate"
}

# The kernel's buffers are small: what a thousand stalled flows may keep at the usual limits (6 MB
# and 4 MB a socket) is more than it gives to all of TCP, with or without a proxy.
stall_lab() {
	local ns

	family "$1"
	ulimit -n 16384
	lab_up
	for ns in cl gw sv; do
		nsenter --net="/run/netns/$ns" sysctl -q -w net.ipv4.tcp_rmem='4096 65536 131072' \
			net.ipv4.tcp_wmem='4096 65536 131072'
	done
	lab_mark
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --splice "$2"
}

# crowd MODE COUNT BYTES
crowd() {
	start_ready "crowd-$1" cl "$LAB_TOOLS/slowpokes" "$1" "$2" "$SV_U:7000" "$3"
}

# crowd_report MODE JQ: as it is now
crowd_report() {
	local name=crowd-$1 seen

	seen=$(wc -l <"$T/$name.out")
	kill -USR1 "${PIDS[$name]}"
	wait_for 5 "(( \$(wc -l <'$T/$name.out') > $seen ))"
	tail -n 1 "$T/$name.out" | jq -er "$2"
}

slow_ends() {
	local n=1000 before with after beside=9999 round

	[[ -z $LAB_FAST ]] || n=200
	stall_lab "$1" "$2"
	before=$(worker_status VmRSS)
	with=$(typical_ms)
	crowd read $n 1G
	crowd send $n 1M
	# What the server offers fills all that is between: sockets, and what shuntd holds.
	wait_for 20 "held_back $n"
	after=$(worker_status VmRSS)
	[[ $(lab_sanitizer) != none ]] ||
		at_most 'KiB that a stalled flow holds in user space' $(((after - before) / n)) 64
	# Once in a while is enough: another process may take the machine, too.
	for ((round = 0; round < 5 && beside > with * 2 + 50; round++)); do
		beside=$(typical_ms)
	done
	at_most "median of others beside them, ms; alone $with" $beside $((with * 5 + 150))
	# And those that are slow are served, byte by byte.
	wait_for 10 "((\$(crowd_report read .bytes) >= 2 * $n))"
	wait_for 10 "((\$(crowd_report send .bytes) >= 2 * $n))"
	same 'slow readers that live' "$(crowd_report read .alive)" $n
	same 'wrong bytes' "$(crowd_report read .wrong)" 0
	same 'slow senders that live' "$(crowd_report send .alive)" $n
	stop crowd-read
	stop crowd-send
	wait_for 10 '(($(proxied active) == 0))'
}

# held_back N: for each of N flows the server could send no more, for a while
held_back() {
	local now

	now=$(proxied bytes_down)
	# shellcheck disable=SC2034 # from call to call
	((now > 10000 * $1 && now == ${HELD_BACK:-0})) || { HELD_BACK=$now; return 1; }
}

# Bounds: the moment of the last byte, and that of the reset as the client sees it.
idle() {
	local n=200 start ms

	family "$1"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --idle-timeout 3 --log-flows
	start=${EPOCHREALTIME/./}
	crowd mute $n 1
	wait_for 6 "((\$(crowd_report mute .ended) == $n))"
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	at_least 'all had ended after, ms' $ms 2700
	wait_for 2 "((\$(proxied ended_idle) == $n))"
	wait_for 2 "((\$(grep -c ' ms=' $T/shuntd.out) == $n))"
	sed -nE 's/.* ms=([0-9]+).*/\1/p' "$T/shuntd.out" | sort -n >"$T/ms"
	at_least 'first to end, ms' "$(head -n 1 "$T/ms")" 2700
	in_time 'the last to end' "$(tail -n 1 "$T/ms")" 3600
	becomes active 0 proxied active
}

# One side has finished, the other says nothing more.
half_closed() {
	family "$1"
	lab_up
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --half-closed-timeout 2 --log-flows
	start_ready end sv "$tcploop" listen 7000 accept expect-eof wait-file:"$T/done"
	in_ns cl "$tcploop" connect "$SV_U:7000" shut-wr expect-rst >&2
	: >"$T/done"
	finish end
	wait_for 2 '(($(proxied ended_idle) == 1))'
	wait_for 2 "grep -q ' ms=' $T/shuntd.out"
	at_least 'time to the end, ms' "$(sed -nE 's/.* ms=([0-9]+).*/\1/p' "$T/shuntd.out")" 1800
	in_time 'the end' "$(sed -nE 's/.* ms=([0-9]+).*/\1/p' "$T/shuntd.out")" 2800
	# No socket of it is left on the gateway.
	same 'sockets to the server' \
		"$(nsenter --net=/run/netns/gw ss -Htan exclude time-wait exclude listening \
			"( dport = :7000 or sport = :7000 )" | wc -l)" 0
}

# shuntd stands still, the queue of new connections overflows, and all comes right after.
overflow() {
	local n=1500

	family "$1"
	lab_up
	# A queue small enough to overflow.
	nsenter --net=/run/netns/gw sysctl -q -w net.core.somaxconn=128 \
		net.ipv4.tcp_abort_on_overflow="$2"
	lab_mark
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	kill -STOP "$(worker)"
	start load cl "$flowgen" client "$SV_U:7000" -n $n -c $n --max-size 2K \
		--order client-fin-last
	wait_for 10 '(($(tcp_count gw TcpExtListenOverflows) > 100))'
	kill -CONT "$(worker)"
	# Those that found no room may have been told so: by the kernel's reset if it is asked for one,
	# else if the half-open connection was forgotten before there was room. No others fail.
	finish load 40 || true
	at_most 'flows that failed' "$(jq '.resets + .no_connect' "$T/load.out")" \
		"$(tcp_count gw TcpExtListenOverflows)"
	same 'flows in all' "$(jq '.resets + .no_connect + .ok' "$T/load.out")" $n
	becomes 'flows accepted and served' "$(jq .ok "$T/load.out")" proxied ended_fin
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 20 >&2
}

for fam in 4 6; do
	check "TCP-05-v$fam" "a queue of connections that overflows (IPv$fam)" overflow $fam 0
	check "TCP-05-abort-v$fam" "the same, with resets (IPv$fam)" overflow $fam 1
	for splice in never always; do
		check -t 90 "TCP-08-$splice-v$fam" \
			"thousands of slow readers and senders (splice $splice, IPv$fam)" \
			slow_ends $fam $splice
	done
	check "TCP-09-idle-v$fam" "silent connections are ended in time (IPv$fam)" idle $fam
	check "TCP-09-half-closed-v$fam" "half-closed ones sooner (IPv$fam)" half_closed $fam
done

story_run "$@"
