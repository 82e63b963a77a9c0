#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Settings that become options of TCP: each does what it says, and nothing without it.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

options_lab() {
	family "$1"
	shift
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd "$@"
}

# Nothing is heard of that machine any more: vanish cl|sv; appear ends it
vanish() {
	ip -n "$1" route add blackhole "$(unheard_by "$1")"
}

appear() {
	ip -n "$1" route del blackhole "$(unheard_by "$1")"
}

unheard_by() {
	[[ $1 == cl ]] && echo "$SV/$HOSTLEN" || echo "$GW_U/$HOSTLEN"
}

# timers ADDRESS: the timers of established sockets of gw whose peer that is
timers() {
	in_ns gw ss -Htno state established "dst $1"
}

# Both ends have the probes that were asked for; one that has gone is noticed by them alone.
keepalive() {
	local fam=$1 side=$2 start ms

	options_lab "$fam" --keepalive-idle 1 --keepalive-interval 1 --keepalive-count 2
	start held cl "$flowgen" hold 3 "$SV_U:7000"
	wait_for 10 '(($(proxied active) == 3))'
	wait_for 5 "[[ \$(timers $CL_U | grep -c keepalive) == 3 ]]"
	wait_for 5 "[[ \$(timers $SV_U | grep -c keepalive) == 3 ]]"
	# Those that answer live on.
	wait_for 10 "(($(probes) + 6 <= \$(probes)))"
	becomes active 3 proxied active
	vanish "$side"
	start=${EPOCHREALTIME/./}
	wait_for 15 '(($(proxied active) == 0))'
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	at_least 'noticed after, ms' $ms 1000
	becomes 'ended by a timeout' 3 proxied ended_timeout
	appear "$side"
}

probes() {
	nsenter --net=/run/netns/gw nstat -asz TcpExtTCPKeepAlive |
		awk '/KeepAlive/ { print $2 }'
}

no_keepalive() {
	options_lab "$1" --keepalive-idle 0
	start held cl "$flowgen" hold 3 "$SV_U:7000"
	wait_for 10 '(($(proxied active) == 3))'
	# The server's end gets its options after a while, at its age of a second.
	wait_for 5 "[[ \$(in_ns gw ss -Htn state established dst $SV_U | wc -l) == 3 ]]"
	same 'sockets that probe clients' "$(timers "$CL_U" | grep -c keepalive)" 0
	same 'sockets that probe servers' "$(timers "$SV_U" | grep -c keepalive)" 0
}

# What the server does not acknowledge is given up after the time that was set.
user_timeout() {
	local start ms

	family "$1"
	lab_up
	start_ready server sv "$tcploop" listen 7000 accept recv:51000 close
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --user-timeout "$2" --keepalive-idle 0
	start end cl "$tcploop" connect "$SV_U:7000" send:1000 wait-file:"$T/go" send:50000 \
		expect-rst
	wait_for 10 '(($(proxied bytes_up) == 1000))'
	vanish sv
	start=${EPOCHREALTIME/./}
	: >"$T/go"
	wait_for 5 '(($(proxied bytes_up) > 1000))'
	wait_for 20 '(($(proxied ended_timeout) == 1))'
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	at_most 'given up after, ms' $ms $(($2 * 1000 + 20000))
	at_least 'given up after, ms' $ms $(($2 * 1000 - 1500))
	appear sv
}

# The length of the queue of each listener, as the kernel shows it.
backlog() {
	options_lab "$1" --workers 2 "${@:3}"
	same 'lengths of the queues' "$(in_ns gw ss -Hltnp 'sport != :22' |
		awk '/shuntd/ { print $3 }' | sort -u)" "$2"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 -c 5 >&2
}

# Data in the SYN: taken by the listener or not, delivered once in any case.
fast_open() {
	local fam=$1 expected=$2 n=20

	family "$fam"
	lab_up
	nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.tcp_fastopen=3
	nsenter --net=/run/netns/cl sysctl -q -w net.ipv4.tcp_fastopen=1
	lab_mark
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd "${@:3}"
	start_ready end sv "$tcploop" listen 7000 repeat:$n accept recv:1000 send:1000 \
		expect-eof close
	in_ns cl "$tcploop" fastopen repeat:$n connect "$SV_U:7000" send:1000 recv:1000 close >&2
	finish end
	becomes 'bytes up' $((n * 1000)) proxied bytes_up
	# The first one asks for the cookie.
	same 'SYNs whose data were taken' "$(nsenter --net=/run/netns/gw nstat -asz \
		TcpExtTCPFastOpenPassive | awk '/Passive/ { print $2 }')" "$expected"
}

for fam in 4 6; do
	check "OPT-01-client-v$fam" "keepalive: the client has gone (IPv$fam)" keepalive $fam cl
	check "OPT-01-server-v$fam" "keepalive: the server has gone (IPv$fam)" keepalive $fam sv
	check "OPT-02-v$fam" "no keepalive (IPv$fam)" no_keepalive $fam
	check "OPT-03-v$fam" "user timeout (IPv$fam)" user_timeout $fam 3
	check "OPT-04-v$fam" "backlog (IPv$fam)" backlog $fam 17 --backlog 17
	check "OPT-04-default-v$fam" "backlog, not set (IPv$fam)" backlog $fam 4096
	check "OPT-05-v$fam" "fast open (IPv$fam)" fast_open $fam 19 --fast-open
	check "OPT-05-off-v$fam" "no fast open (IPv$fam)" fast_open $fam 0
done

story_run "$@"
