#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# How connections begin: who speaks first, what SYNs carry, who is gone at once, and where the
# client wanted to go.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# open_lab FAMILY SPLICE [SYSCTL=VALUE...]: the settings hold in all namespaces
open_lab() {
	local splice=$2 ns

	family "$1"
	shift 2
	lab_up
	for ns in cl gw sv; do
		(($# == 0)) || nsenter --net="/run/netns/$ns" sysctl -q -w "$@"
	done
	lab_mark
	up
	rules '100 in tcp to any port 7000,80 proxy'
	shuntd --splice "$splice" --log-flows
}

# The worker's descriptors
descriptors() {
	ls "/proc/$(pgrep -P "${PIDS[shuntd]}")/fd" | wc -l
}

# The server accepts and closes at once; to epoll that looks much like a refused connection.
closed_at_once() {
	local n=5000 before

	[[ -z $LAB_FAST ]] || n=500
	open_lab "$1" "$2"
	in_ns cl "$tcploop" connect-reset "$SV_U:7000" >&2
	before=$(descriptors)
	start_ready end sv "$tcploop" listen 7000 repeat:$n accept close
	in_ns cl "$tcploop" repeat:$n connect "$SV_U:7000" expect-eof close >&2
	finish end
	wait_for 5 '(($(proxied active) == 0))'
	becomes 'ended in good order' $n proxied ended_fin
	becomes 'refused' 1 proxied ended_refused
	# A pipe that is kept for the next stream has two.
	at_most 'descriptors of the worker' "$(descriptors)" $((before + 4))
}

# Data in a SYN arrive once, whether the other kernels take them there or not.
fast_open() {
	local n=20

	open_lab "$1" "$2" net.ipv4.tcp_fastopen="$3"
	nsenter --net=/run/netns/cl sysctl -q -w net.ipv4.tcp_fastopen=1
	start_ready end sv "$tcploop" fastopen listen 7000 repeat:$n accept recv:1000 send:1000 \
		expect-eof close
	in_ns cl "$tcploop" fastopen repeat:$n connect "$SV_U:7000" send:1000 recv:1000 close >&2
	finish end
	becomes accepted $n proxied accepted
	wait_for 5 '(($(proxied ended_fin) == $(proxied accepted)))'
	becomes 'bytes up' $((n * 1000)) proxied bytes_up
}

# A client of Multipath TCP gets a plain connection.
multipath() {
	[[ -e /proc/sys/net/mptcp/enabled ]] || skip 'this kernel has no Multipath TCP'
	open_lab "$1" "$2" net.mptcp.enabled=1
	start_ready end sv "$tcploop" mptcp listen 7000 accept recv:200000 send:200000 expect-eof
	in_ns cl "$tcploop" mptcp connect "$SV_U:7000" send:200000 recv:200000 close >&2
	finish end
	becomes accepted 1 proxied accepted
	same 'connections that fell back to TCP' "$(nsenter --net=/run/netns/cl nstat -asz \
		'MPTcpExtMPCapableFallbackSYNACK' 'MPTcpExtMPCapableFallbackACK' |
		awk '/Fallback/ { n += $2 } END { print (n > 0) }')" 1
}

# with WHAT SYSCTL=VALUE...: flows of all kinds are right under these settings
options() {
	local fam=$1 splice=$2

	shift 2
	open_lab "$fam" "$splice" "$@"
	flow_server
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 -c 50 --max-size 200K >&2
	flows_right 200
	becomes accepted 200 proxied accepted
}

# A path with small packets, and clients that say so.
small_packets() {
	local cl_route=10.2.0.0/24 via=10.1.0.1

	open_lab "$1" "$2"
	(($1 == 4)) || cl_route=fd02::/64 via=fd01::1
	ip -n cl route add "$cl_route" via "$via" advmss "$3"
	flow_server
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 10 --max-size 100K >&2
	flows_right 50
	becomes accepted 50 proxied accepted
}

# Urgent data stay in the stream, where the receiver finds them in line.
urgent() {
	open_lab "$1" "$2"
	start_ready end sv "$tcploop" -v listen 7000 accept oobinline recv:5 send:5 recv:30000 \
		expect-eof send-urgent:3 send:1000 close
	in_ns cl "$tcploop" -v connect "$SV_U:7000" oobinline send-urgent:5 recv:5 send:9999 \
		send-urgent:1 send:20000 shut-wr recv:1003 expect-eof close >&2
	finish end || fail "the server's end: $(tail -n 1 "$T/end.err")"
	becomes accepted 1 proxied accepted
}

# Windows that close and open again.
zero_window() {
	open_lab "$1" "$2"
	start_ready end sv "$tcploop" rcvbuf:4096 listen 7000 accept wait-file:"$T/go" \
		recv:3000000 expect-eof close
	start upload cl "$tcploop" connect "$SV_U:7000" send:3000000 close
	wait_for 10 'closed_windows'
	: >"$T/go"
	finish upload
	finish end
	becomes 'bytes up' 3000000 proxied bytes_up
}

# Somebody asks, again and again, whether there is room.
closed_windows() {
	(($(nsenter --net=/run/netns/gw nstat -asz TcpExtTCPWinProbe |
		awk '/WinProbe/ { print $2 }') > 0))
}

# The client says nothing before it has seen the banner.
banner() {
	local ms=9999 round

	open_lab "$1" "$2"
	# A delayed acknowledgement or a timer in each would be 2 s and more, each time; a machine
	# that does something else meanwhile is not that slow each time.
	for ((round = 1; round <= 10 && ms > 1900; round++)); do
		start_ready end sv "$tcploop" listen 7000 repeat:50 accept send:20 expect-eof close
		ms=${EPOCHREALTIME/./}
		in_ns cl "$tcploop" repeat:50 connect "$SV_U:7000" recv:20 close >&2
		ms=$(((${EPOCHREALTIME/./} - ms) / 1000))
		finish end
	done
	becomes accepted $((50 * (round - 1))) proxied accepted
	at_most 'time for 50 banners, ms' $ms 1900
}

# A client whose proxy has died and come back is told at once, and not by silence.
restarted() {
	open_lab "$1" "$2"
	flow_server
	start end sv "$tcploop" listen 80 accept recv:5 send:5 wait-file:"$T/over"
	wait_for 5 "grep -q ^ready '$T/end.err'"
	start talk cl "$tcploop" connect "$SV_U:80" send:5 recv:5 make-file:"$T/up" \
		wait-file:"$T/again" expect-rst
	wait_for 5 "[[ -e '$T/up' ]]"
	stop shuntd KILL
	wait_for 5 'ctl --json status | jq -e ".targets[] | select(.name == \"default\") |
		.live_v4 == 0 and .live_v6 == 0"'
	shuntd
	: >"$T/again"
	finish talk 5
	: >"$T/over"
	finish end
	in_ns cl "$flowgen" client "$SV_U:7000" >&2
}

# What the log says of the destination is what was in the packet, also where somebody tracks
# connections and rewrites some.
true_destinations() {
	local n=400 i addr

	open_lab "$1" "$2"
	flow_server
	nsenter --net=/run/netns/gw nft -f - <<-END
		table inet other {
			chain track { type filter hook prerouting priority 0; ct state new counter; }
			chain nat { type nat hook prerouting priority -100; tcp dport 9 redirect to :10; }
		}
	END
	for i in 1 2 3 4; do
		addr=10.2.0.10$i/24
		(($1 == 4)) || addr=fd02::10$i/64
		ip -n sv addr add "$addr" dev eth0 ${addr##*4}
	done
	for i in 1 2 3 4; do
		addr=10.2.0.10$i
		(($1 == 4)) || addr="[fd02::10$i]"
		in_ns cl "$flowgen" client "$addr:7000" -n $((n * i)) -c 50 --max-size 1K >&2
	done
	flows_right $((n * 10))
	wait_for 5 "((\$(grep -c '^flow ' '$T/shuntd.out') == n * 10))"
	for i in 1 2 3 4; do
		addr=10.2.0.10$i
		(($1 == 4)) || addr="[fd02::10$i]"
		same "flows logged to $addr" \
			"$(grep -cF " destination=$addr:7000 " "$T/shuntd.out")" $((n * i))
	done
	nsenter --net=/run/netns/gw nft delete table inet other
}

for fam in 4 6; do
	for splice in never always; do
		how="splice $splice, IPv$fam"
		to="$splice-v$fam"
		check "TCP-11-$to" "a server that closes at once ($how)" closed_at_once $fam $splice
		check "TCP-12-$to" "data in the SYN ($how)" fast_open $fam $splice 3
		check "TCP-12-off-$to" "data in the SYN, not taken ($how)" fast_open $fam $splice 0
		check "TCP-13-$to" "Multipath TCP ($how)" multipath $fam $splice
		check "TCP-14-ecn-$to" "ECN ($how)" options $fam $splice net.ipv4.tcp_ecn=1
		check "TCP-14-plain-$to" "no window scaling, SACK or timestamps ($how)" \
			options $fam $splice net.ipv4.tcp_window_scaling=0 net.ipv4.tcp_sack=0 \
			net.ipv4.tcp_timestamps=0
		check "TCP-14-mss-$to" "segments of 88 bytes ($how)" small_packets $fam $splice 88
		check "TCP-14-urgent-$to" "urgent data ($how)" urgent $fam $splice
		check "TCP-14-window-$to" "closed windows ($how)" zero_window $fam $splice
		check "TCP-15-$to" "the server speaks first ($how)" banner $fam $splice
		check "TCP-16-$to" "the proxy dies and comes back ($how)" restarted $fam $splice
	done
	check "TCP-17-v$fam" "the destination is that of the packet (IPv$fam)" \
		true_destinations $fam auto
done

story_run "$@"
