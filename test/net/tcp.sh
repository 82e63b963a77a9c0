#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# TCP's corners: TIME_WAIT, SYN cookies, resets with data before them.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# syns_again NS: SYNs that were sent again there
syns_again() {
	nsenter --net="/run/netns/$1" nstat -asz TcpExtTCPSynRetrans |
		awk '$1 == "TcpExtTCPSynRetrans" { print $2 }'
}

# The server closes first, so the gateway's side of the client's connection is in TIME_WAIT
# when the client comes back with the same source port.
time_wait() {
	local mode=$1 special=$3 n=1000 early

	[[ -z $LAB_FAST ]] || n=200
	family "$2"
	lab_up
	case $special in
	timestamps) ;;
	no-timestamps) nsenter --net=/run/netns/cl sysctl -q -w net.ipv4.tcp_timestamps=0 ;;
	rfc1337) nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.tcp_rfc1337=1 ;;
	esac
	lab_mark
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000,80 proxy'
	shuntd --source "$mode"
	# Small, since a sequence number must prove that a SYN within the same millisecond is new,
	# and those grow by one in 64 ns: after 2 KB the kernel itself loses a few of thousand.
	in_ns cl "$flowgen" reconnect $n "$SV_U:7000" --bind "$CL_U:5000" --up 10 --down 10 \
		--order client-fin-last >"$T/report"
	same 'flows that were right' "$(jq .ok "$T/report")" $n
	flows_right $n
	becomes accepted $n proxied accepted
	at_least 'SYNs that met a TIME_WAIT' "$(counter steer_timewait)" $((n * 9 / 10))
	# A SYN whose numbers TIME_WAIT does not take is sent again, but at once (Linux: 2 ticks).
	at_most 'SYNs in all' $(($(counter steer_timewait) + $(counter steer_new))) $((n * 11 / 10))
	# They did not wait for the timer of their SYN, which is 1 s, but for those whose SYN came when
	# the connection before was not in TIME_WAIT yet, or from us to the server's. The kernel drops
	# it then (docs/architecture.md). Such a SYN is counted as a packet of that connection.
	early=$((n + $(syns_again cl) - $(counter steer_timewait) - $(counter steer_new)))
	say "SYNs before TIME_WAIT: $early; slowest, ms: $(jq '.max_ms | floor' "$T/report")"
	at_most 'flows that waited for a SYN' "$(jq .timeouts "$T/report")" \
		$((early + $(syns_again gw)))
}

# A service of the gateway itself on the same port must not get a client's connection to
# another host.
time_wait_host_service() {
	family "$1"
	lab_up
	start_ready local gw "$flowgen" server 7000
	flow_server
	up
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd
	in_ns cl "$flowgen" reconnect 100 "$SV_U:7000" --bind "$CL_U:5000" --max-size 2K \
		--order client-fin-last >&2
	at_least 'SYNs that met a TIME_WAIT' "$(counter steer_timewait)" 90
	flows_right 100
	in_ns cl "$flowgen" client "$GW_U_U:7000" >&2 # the service is there
	flows_right 1 local
}

cookies() {
	family "$1"
	lab_up
	nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.tcp_syncookies=2
	lab_mark
	flow_server
	up
	# A flow from before the rules stays with its server.
	start held cl "$flowgen" hold 20 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 50 --max-size 4K >&2
	becomes accepted 300 proxied accepted
	same 'ACKs that answered a cookie' "$(counter steer_cookie)" 300
	kill -USR1 "${PIDS[held]}"
	wait_for 5 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'older flows that live' "$(tail -n 1 "$T/held.out" | jq .served)" 20
}

flood() {
	local source=10.1.0.128 seconds=5

	family "$1"
	(($1 == 4)) || source='[fd01::8000]'
	lab_up
	nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.tcp_max_syn_backlog=16
	lab_mark
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	start flood cl "$rawsend" eth0 --src "$source:1" --dst "$SV_U:7000" --random-src 7 \
		--dst-mac "$(ip -n gw -j link show c0 | jq -r '.[0].address')" \
		--rate 20000 --count 100000000
	wait_for 5 '(($(counter steer_new) > 1000))'
	in_ns cl "$flowgen" rate 50 $seconds "$SV_U:7000" --max-size 2K >"$T/report"
	stop flood
	at_least 'ACKs that answered a cookie' "$(counter steer_cookie)" 1
	say "slowest percent, ms: $(jq '.p99_ms | floor' "$T/report")"
}

# play SERVER-ACTIONS -- CLIENT-ACTIONS, both through the proxy
play() {
	local -a server=()

	while [[ $1 != -- ]]; do
		server+=("$1")
		shift
	done
	shift
	start_ready end sv "$tcploop" -v listen 7000 "${server[@]}"
	in_ns cl "$tcploop" -v connect "$SV_U:7000" "$@" >&2
	finish end 12 || fail "the server's end: $(tail -n 1 "$T/end.err")"
}

# spliced_as SPLICE: the bytes went the way that the setting says
spliced_as() {
	case $1 in
	never) becomes 'bytes spliced' 0 proxied spliced ;;
	always) becomes 'bytes spliced' $(($(proxied bytes_up) + $(proxied bytes_down))) \
		proxied spliced ;;
	esac
}

resets() {
	local mode=$1 splice=${3:-auto}

	family "$2"
	lab_up
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$mode" --splice "$splice"
	say 'the server resets at once'
	play accept recv:5 rst -- send:5 expect-rst
	say 'the server resets after data that was acknowledged'
	play accept recv:5 send:1000000 drain rst -- send:5 recv:1000000 expect-rst
	say 'the same, after a half-close of the client'
	play accept recv:5 expect-eof send:1000000 drain rst -- \
		send:5 shut-wr recv:1000000 expect-rst
	say 'the client resets after data that was acknowledged'
	play accept recv:1000000 expect-rst -- send:1000000 drain rst
	say 'the client resets in the middle of an answer'
	play accept recv:5 send:200000 expect-rst -- send:5 recv:200000 rst
	say 'the client resets with data unread'
	play accept recv:5 send:50000 drain make-file:"$T/sent-$mode" expect-rst -- \
		send:5 wait-file:"$T/sent-$mode" recv:5 rst
	say 'the server resets with data unread'
	play accept wait-file:"$T/up-$mode" rst -- send:50000 make-file:"$T/up-$mode" expect-rst
	wait_for 5 '(($(proxied active) == 0))'
	becomes 'resets by servers' 4 proxied ended_server-reset
	becomes 'resets by clients' 3 proxied ended_client-reset
	spliced_as "$splice"
}

# Endings without a reset.
endings() {
	local splice=${2:-auto}

	family "$1"
	lab_up
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd --splice "$splice"
	say 'the server speaks first'
	play accept send:100 recv:5 close -- recv:100 send:5 expect-eof close
	say 'the server finishes, the client goes on'
	play accept send:100 shut-wr recv:1000000 expect-eof close -- \
		recv:100 expect-eof send:1000000 close
	say 'the client finishes, the server goes on'
	play accept recv:100 expect-eof send:20000000 close -- send:100 shut-wr recv:20000000 \
		expect-eof close
	say 'data and end at once, and a reader that comes late'
	play accept send:50000 close -- wait-file:"$T/late" recv:50000 expect-eof close &
	wait_for 5 "(( \$(proxied bytes_down) >= 20050200 ))"
	: >"$T/late"
	wait $!
	wait_for 5 '(($(proxied active) == 0))'
	becomes 'ended in good order' 4 proxied ended_fin
	spliced_as "$splice"
}

# A server that answers and closes while the client still sends: the answer arrives whole.
early_answer() {
	local i

	family "$1"
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 7000,80 proxy'
	shuntd --splice "$2"
	say 'the server closes with data unread'
	# Not before the client has said all: a reset that meets it in the middle ends its send.
	play accept recv:1000 send:100000 "wait-file:$T/said" drain close -- \
		send:200000 "make-file:$T/said" recv:100000 expect-rst
	say 'nginx refuses an upload that is too large'
	truncate -s 60M "$T/upload"
	for i in 1 2 3 4 5; do
		in_ns cl curl -sS --noproxy '*' --max-time 60 -H 'Expect:' -T "$T/upload" \
			"http://$SV_U/upload" >"$T/answer" 2>"$T/curl.$i" || true
		grep -q '413 Request Entity Too Large' "$T/answer" || fail "answer $i is lost"
	done
	becomes accepted 6 proxied accepted
}

for fam in 4 6; do
	for mode in proxy client-port; do
		for special in timestamps no-timestamps rfc1337; do
			check "TCP-03-$mode-$special-v$fam" \
				"same source port again, source $mode, $special (IPv$fam)" \
				time_wait $mode $fam $special
		done
		check "TCP-06-$mode-v$fam" "resets, and data before them, source $mode (IPv$fam)" \
			resets $mode $fam
	done
	check "TCP-03-host-v$fam" "TIME_WAIT, and a service of the gateway (IPv$fam)" \
		time_wait_host_service $fam
	for mode in proxy client-port; do
		check "TCP-03-$mode-loopback-v$fam" \
			"same source port again, source $mode, by lo (IPv$fam)" \
			by_loopback time_wait $mode $fam timestamps
		check "TCP-06-$mode-loopback-v$fam" \
			"resets, and data before them, source $mode, by lo (IPv$fam)" \
			by_loopback resets $mode $fam
	done
	check "TCP-04-loopback-v$fam" "SYN cookies always (by lo, IPv$fam)" \
		by_loopback cookies $fam
	check "TCP-04-v$fam" "SYN cookies always (IPv$fam)" cookies $fam
	check "TCP-04-flood-v$fam" "SYN cookies under a flood (IPv$fam)" flood $fam
	check "TCP-02-v$fam" "half-closes and late readers (IPv$fam)" endings $fam
	for splice in never always; do
		check "TCP-07-$splice-v$fam" "an answer before the request is over (splice $splice, IPv$fam)" \
			early_answer $fam $splice
		check "TCP-10-resets-$splice-v$fam" "resets, splice $splice (IPv$fam)" \
			resets proxy $fam $splice
		check "TCP-10-endings-$splice-v$fam" "half-closes, splice $splice (IPv$fam)" \
			endings $fam $splice
	done
done

story_run "$@"
