#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Limits hold, second by second, and touch nobody else.
#
#   cl: 12 sources, SYNs and datagrams ---c0 gw u0--- sv
#                   `arrivals` writes here ^     ^ and here
#
# A limit of 1000 a second has a burst of 50. Each source above it must get at most 1050 through in
# a second, and at least 950 in a second in which its sender did not pause; and, pauses or not, as
# many as a token bucket gives to what came in.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

SECONDS_SENT=8
HOSTS= # the network of the senders, without its last digits

# send NAME PROTO PORT SOURCE N RATE: N sources from SOURCE on, each at RATE
send() {
	# So that it pauses less when the machine has much else to do.
	start "$1" cl nice -n -20 "$rawsend" eth0 --dst-mac "$MAC" --proto "$2" --src "$(in_url "$HOSTS$4"):1024" \
		--dst "$SV_U:$3" --sources "$5" --rate $(($5 * $6)) --count $(($5 * $6 * SECONDS_SENT))
	sent+=("$1")
}

measured() {
	local proto name some others sent=()

	family "$1"
	HOSTS=$([[ $1 == 4 ]] && echo 10.1.0. || echo fd01::)
	lab_up
	MAC=$(ip -n gw -j link show dev c0 | jq -r '.[0].address')
	# Answers would only look for neighbours that are not there.
	ip -n sv route add blackhole "$NET_C"
	up
	# 16-31 are limited each, 32-47 together; to port 9002 nobody is.
	some=$HOSTS$([[ $1 == 4 ]] && echo 16/28 || echo 10/124)
	others=$HOSTS$([[ $1 == 4 ]] && echo 32/28 || echo 20/124)
	rules "10 tcp from $some port 9001 pass limit 1000/s per src" \
		"20 udp from $some port 9001 pass limit 1000/s per src" \
		"30 tcp from $others port 9001 pass limit 1000 per rule" \
		"40 udp from $others port 9001 pass limit 1000"
	start_ready offered gw nice -n -20 "$LAB_TOOLS/arrivals" in c0 9001 9002
	start_ready accepted gw nice -n -20 "$LAB_TOOLS/arrivals" out u0 9001 9002
	for proto in tcp udp; do
		send "above-$proto" $proto 9001 "$(last 16)" 3 1500
		send "below-$proto" $proto 9001 "$(last 24)" 1 500
		send "together-$proto" $proto 9001 "$(last 32)" 3 600
		send "elsewhere-$proto" $proto 9002 "$(last 16)" 1 1500
	done
	for name in "${sent[@]}"; do
		finish "$name"
	done
	stop offered
	stop accepted
	judged "$T/offered.out" "$T/accepted.out"
}

# last N: the last digits of a host's address
last() {
	if ((FAM == 4)); then echo "$1"; else printf '%x\n' "$1"; fi
}

# judged OFFERED ACCEPTED
judged() {
	python3 - "$@" <<-'END'
		import collections, ipaddress, sys

		RATE, BURST = 1000, 50
		SECOND = 10**6

		def read(path):
		    seen = collections.defaultdict(list)
		    for line in open(path):
		        proto, port, source, at = line.split()
		        host = int(ipaddress.ip_address(source)) % 256
		        seen[proto, int(port), host].append(int(at))
		    return seen

		offered, accepted = map(read, sys.argv[1:])
		wrong = []

		def together(side, keys):
		    return sorted(at for key in keys for at in side[key])

		def token_bucket(times):
		    tokens, last, taken = BURST, times[0], 0
		    for at in times:
		        tokens, last = min(BURST, tokens + (at - last) * RATE / SECOND), at
		        if tokens >= 1:
		            tokens, taken = tokens - 1, taken + 1
		    return taken

		def paused(times, begin, end):
		    times = [begin] + [at for at in times if begin < at < end] + [end]
		    return max(b - a for a, b in zip(times, times[1:])) > 20000

		def limited(what, keys):
		    came, went = together(offered, keys), together(accepted, keys)
		    n, steady = [], 0
		    for begin in range(came[0], came[-1] - SECOND, SECOND):
		        n.append(sum(begin <= at < begin + SECOND for at in went))
		        # What came a moment before has filled or emptied the bucket.
		        if not paused(came, begin - 100000, begin + SECOND):
		            steady += 1
		            if n[-1] < 950:
		                wrong.append(f'{what}: only {n[-1]} in a second')
		        if n[-1] > 1050:
		            wrong.append(f'{what}: {n[-1]} in a second')
		    want = token_bucket(came)
		    print('--', what, n, 'of', len(came), 'in all', len(went), 'steady', steady,
		          file=sys.stderr)
		    if abs(len(went) - want) > 5 + want / 200:
		        wrong.append(f'{what}: {len(went)} in all, not {want}')

		def untouched(what, key, want):
		    came, went = len(offered[key]), len(accepted[key])
		    print('--', what, went, 'of', came, file=sys.stderr)
		    # A pause, and what is late comes at once: more than the burst is too much.
		    if came < 1000 or abs(went - (want(offered[key]) if want else came)) > (3 if want else 0):
		        wrong.append(f'{what}: {went} of {came}')

		for proto in 'tcp', 'udp':
		    for host in 16, 17, 18:
		        limited(f'{proto}, source {host}', [(proto, 9001, host)])
		    limited(f'{proto}, three of a rule', [(proto, 9001, h) for h in (32, 33, 34)])
		    untouched(f'{proto}, below the limit', (proto, 9001, 24), token_bucket)
		    untouched(f'{proto}, no limit', (proto, 9002, 16), None)
		for line in wrong:
		    print('--', line, file=sys.stderr)
		sys.exit(bool(wrong))
	END
}

for fam in 4 6; do
	check -t 120 "LIMIT-01-v$fam" "1000 a second: per source, per rule, TCP and UDP (IPv$fam)" \
		measured $fam
done

story_run "$@"
