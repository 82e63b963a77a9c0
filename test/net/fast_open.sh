#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# TCP Fast Open towards servers: a client's first bytes are in the SYN, once, and whatever comes
# between works as without.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

CLIENT_BIT=1 SERVER_BIT=2 ALL_LISTENERS=1024 # of net.ipv4.tcp_fastopen

# open_lab FAMILY SERVERS [SHUNTD-ARG...]: SERVERS is the sysctl where servers are
open_lab() {
	local servers=$2 ns

	family "$1"
	XL_U=$(in_url "$XL")
	lab_up
	for ns in sv xl; do
		nsenter --net=/run/netns/$ns sysctl -q -w net.ipv4.tcp_fastopen="$servers"
	done
	nsenter --net=/run/netns/gw sysctl -q -w \
		net.ipv4.tcp_fastopen="${GATEWAY:-$((CLIENT_BIT | SERVER_BIT))}"
	nsenter --net=/run/netns/cl sysctl -q -w net.ipv4.tcp_fastopen=$CLIENT_BIT
	lab_mark
	up -i u0 -i x0
	rules '100 in on c0 tcp to any port 7000 proxy fail closed'
	(($# < 3)) || shuntd "${@:3}"
}

# seen_by NS NAME: a counter of its kernel
seen_by() {
	nsenter --net="/run/netns/$1" nstat -asz "TcpExt$2" | awk -v name="TcpExt$2" '$1 == name { print $2 }'
}

REQUESTS=0 # so far

# requests_of N: clients who speak first. With --fast-open their bytes come in their SYN, and are
# there when shuntd looks, however slow this machine is; but for the first, which asks for a cookie.
requests_of() {
	local n=$1

	start_ready end sv "$tcploop" listen 7000 repeat:"$n" accept recv:1000 send:1000 \
		expect-eof close
	in_ns cl "$tcploop" fastopen repeat:"$n" connect "$SV_U:7000" send:1000 recv:1000 \
		close >&2
	finish end
	REQUESTS=$((REQUESTS + n))
	# What shuntd counts of them is counted then.
	becomes 'flows that have ended' $REQUESTS proxied ended_fin
}

# SYNs whose data NS took, whose data were acknowledged, and that shuntd gave data to
syns_with_data() {
	echo "$(seen_by "$1" TCPFastOpenPassive) $(seen_by gw TCPFastOpenActive) $(proxied fast_opens)"
}

# all_in_the_syn NS N: N requests, and NS takes the bytes of each from its SYN. Where a machine stalls
# for a second, a kernel sends a SYN again, without bytes (and without asking for a cookie): a round of
# three without that is enough.
all_in_the_syn() {
	local n=$2 taken acked opened round

	for round in 1 2 3; do
		read -r taken acked opened < <(syns_with_data "$1")
		requests_of "$n"
		say "round $round: $(syns_with_data "$1"), before $taken $acked $opened"
		[[ $(syns_with_data "$1") != "$((taken + n)) $((acked + n)) $((opened + n))" ]] || return 0
	done
	fail 'SYNs without bytes in each round'
}

# request_that_raises COMMAND...: what it prints; for the same reason one request of three is enough
request_that_raises() {
	local before

	before=$("$@")
	for _ in 1 2 3; do
		requests_of 1
		(($("$@") == before)) || return 0
	done
	fail "it is still $before: $*"
}

# The first one asks for the cookie.
in_the_syn() {
	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS)) --fast-open --fast-open-servers "${@:2}"
	requests_of 1
	same 'SYNs with data before there is a cookie' "$(syns_with_data sv)" '0 0 0'
	all_in_the_syn sv 20
	becomes 'bytes up' $((REQUESTS * 1000)) proxied bytes_up
}

# not_there FAMILY SERVERS GATEWAY [ARG...]: not without the setting, nor where a kernel may not
not_there() {
	GATEWAY=$3
	open_lab "$1" "$2" "${@:4}"
	requests_of 5
	same 'SYNs whose data were taken' "$(seen_by sv TCPFastOpenPassive)" 0
	becomes 'SYNs with bytes' 0 proxied fast_opens
	becomes 'bytes up' 5000 proxied bytes_up
}

# What a client says may be nothing, or come later; the server must not wait for it.
server_first() {
	local n=3

	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS)) --fast-open-servers
	start_ready end sv "$tcploop" listen 7000 repeat:$n accept send:100 recv:1000 send:10 \
		expect-eof close
	in_ns cl "$tcploop" repeat:$n connect "$SV_U:7000" recv:100 send:1000 recv:10 close >&2
	finish end
	becomes 'SYNs with bytes' 0 proxied fast_opens
	say 'a client that has finished already, and one that is gone'
	start_ready end sv "$tcploop" listen 7000 accept expect-eof send:100 close
	in_ns cl "$tcploop" connect "$SV_U:7000" shut-wr recv:100 expect-eof >&2
	finish end
	start_ready end sv "$tcploop" listen 7000 accept expect-rst
	in_ns cl "$tcploop" connect "$SV_U:7000" rst >&2
	finish end
}

# The server has the request with the SYN, and may have answered and reset before shuntd looks: the
# answer is delivered first, and that it could be connected is not asked again.
answered_and_reset() {
	local n=200 worker

	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS)) --fast-open --fast-open-servers --workers 1
	# The server's turn comes before that of shuntd.
	start busy gw taskset -c 0 chrt -i 0 bash -c 'while :; do :; done'
	worker=$(pgrep -P "${PIDS[shuntd]}")
	taskset -ap -c 0 "$worker" >&2
	chrt -a -i -p 0 "$worker" >&2
	start_ready end sv taskset -c 0 "$tcploop" listen 7000 repeat:$n accept recv:1000 \
		send:1000 rst
	in_ns cl "$tcploop" fastopen repeat:$n connect "$SV_U:7000" send:1000 recv:1000 \
		expect-rst close >&2
	finish end
	stop busy || true
	becomes 'SYNs with bytes, by shuntd' $((n - 1)) proxied fast_opens
	becomes 'bytes down' $((n * 1000)) proxied bytes_down
}

# Many flows of all sizes, of which most begin with data in the SYN; each byte arrives once.
many() {
	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS)) --fast-open-servers "${@:2}"
	flow_server
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 10 --max-size 100K >&2
	flows_right 300
	# Those of which the client was quick enough.
	at_least 'SYNs with bytes' "$(proxied fast_opens)" 1
	at_least 'SYNs whose data were acknowledged' "$(seen_by gw TCPFastOpenActive)" 1
}

# A cookie of a server that was restarted is worth nothing; and somebody on the way may drop SYNs
# that have data. What was in the SYN is sent again.
not_taken() {
	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS)) --fast-open --fast-open-servers
	local taken

	requests_of 1
	request_that_raises seen_by sv TCPFastOpenPassive
	taken=$(seen_by sv TCPFastOpenPassive)
	nsenter --net=/run/netns/sv sysctl -q -w \
		net.ipv4.tcp_fastopen_key=00000001-00000002-00000003-00000004
	request_that_raises proxied fast_opens
	same 'SYNs whose data the server took' "$(seen_by sv TCPFastOpenPassive)" "$taken"
	say 'SYNs with data are lost'
	request_that_raises seen_by sv TCPFastOpenPassive
	taken=$(seen_by sv TCPFastOpenPassive)
	nsenter --net=/run/netns/sv nft -f - <<-END
		table inet loss {
			chain in {
				type filter hook input priority 0
				tcp flags & (syn | ack) == syn meta length > 200 counter drop
			}
		}
	END
	requests_of 2
	at_least 'SYNs that were lost' "$(nsenter --net=/run/netns/sv nft -j list chain inet loss in |
		jq '.. | .counter? // empty | .packets')" 1
	same 'SYNs whose data the server took' "$(seen_by sv TCPFastOpenPassive)" "$taken"
	becomes 'bytes up' $((REQUESTS * 1000)) proxied bytes_up
	becomes 'flows that timed out' 0 proxied ended_timeout
}

# What was in the SYN to an upstream that refuses goes to another one.
another_upstream() {
	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS))
	flow_server
	shuntd --fast-open-servers --upstreams "$SV_U:7001,$SV_U:7000" --fail-limit 0
	in_ns cl "$flowgen" client "$XL_U:7000" -n 40 -c 1 --max-size 20K >&2
	flows_right 40
	at_least 'tried again' "$(proxied upstream_retries)" 20
	# Cookies are of the address, so those that were refused had bytes, too.
	at_least 'SYNs with bytes' "$(proxied fast_opens)" 1
	say 'and if there is none'
	stop shuntd
	shuntd --fast-open-servers --upstreams "$SV_U:7001,$SV_U:7002"
	must_fail 1 '' in_ns cl "$tcploop" connect "$SV_U:7000" send:1000 recv:1
	becomes 'ended as refused' 1 proxied ended_refused
}

# The greeting of a proxy is in the SYN.
to_a_proxy() {
	open_lab "$1" $((SERVER_BIT | ALL_LISTENERS))
	start socks xl microsocks -i "$( ((FAM == 4)) && echo 0.0.0.0 || echo ::)" -p 1080
	wait_for 10 "nsenter --net=/run/netns/xl ss -Hltn 'sport = :1080' | says ."
	shuntd --fast-open-servers --via socks5 --upstreams "$XL_U:1080"
	requests_of 1
	same 'SYNs with data before there is a cookie' "$(syns_with_data xl)" '0 0 0'
	all_in_the_syn xl 20
	say 'one that is not there is the fault of the upstream, not of the greeting'
	stop socks
	must_fail 1 '' in_ns cl "$tcploop" connect "$SV_U:7000" send:1000 recv:1
	becomes 'ended as refused' 1 proxied ended_refused
}

for fam in 4 6; do
	for source in proxy client client-port; do
		check "FASTOPEN-01-$source-v$fam" "bytes in the SYN, source $source (IPv$fam)" \
			in_the_syn $fam --source $source
	done
	check "FASTOPEN-01-pool-v$fam" "bytes in the SYN, source pool (IPv$fam)" in_the_syn $fam \
		--source pool --source-ports 40000-40999 \
		--source-pool "$( ((fam == 4)) && echo 10.9.0.4 || echo fd09::4)"
	check "FASTOPEN-02-unset-v$fam" "no bytes in the SYN unless told (IPv$fam)" \
		not_there $fam 1026 1 --fast-open
	check "FASTOPEN-02-server-v$fam" "a server that knows nothing of it (IPv$fam)" \
		not_there $fam 0 1 --fast-open-servers
	check "FASTOPEN-02-gateway-v$fam" "a gateway whose kernel may not (IPv$fam)" \
		not_there $fam 1026 0 --fast-open-servers
	check "FASTOPEN-03-v$fam" "servers that speak first (IPv$fam)" server_first $fam
	for splice in never always; do
		check "FASTOPEN-04-$splice-v$fam" "many flows (splice $splice, IPv$fam)" \
			many $fam --splice $splice
	done
	check "FASTOPEN-05-v$fam" "bytes of a SYN that are not taken (IPv$fam)" not_taken $fam
	check "FASTOPEN-06-v$fam" "another upstream gets the bytes (IPv$fam)" another_upstream $fam
	check "FASTOPEN-08-v$fam" "an answer and a reset at once (IPv$fam)" answered_and_reset $fam
	check "FASTOPEN-07-v$fam" "the greeting of a proxy (IPv$fam)" to_a_proxy $fam
done

story_run "$@"
