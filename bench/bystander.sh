#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bystander.sh: what packets pay that no rule selects. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
# shellcheck disable=SC2034 # of lib.sh
KEEP=
ROUNDS=7
TOOLS=

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SOURCE/bench/lib.sh"
# shellcheck source-path=SCRIPTDIR source=scaling.sh
. "$SOURCE/bench/scaling.sh"

die() {
	echo "bystander.sh: $*" >&2
	exit 1
}

usage() {
	cat <<-END
	usage: sudo bench/bystander.sh [--rounds N] [--build DIR] [--out DIR] [--keep]

	Measure small packets that no rule selects, between network namespaces of its own: with nothing
	there; with a routing rule, as TPROXY needs; with rules of iptables and of nft; with shunt that
	delivers by a routing rule, and by lo. Prints a table: CPU time of what the kernel does to
	forward a packet of UDP and of TCP, and of a datagram from its sender to its receiver; the
	median of all rounds, and of the ratios to nothing in the same round.

	  --rounds N    each way is measured once in each round (7)
	  --build DIR   where to build (build/)
	  --out DIR     where runs, a line of JSON for each, goes (build/bench/bystander)
	  --keep        keep what is there in the build directory: do not build

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

# iptables and nft with what is best for many prefixes, and the routing rule that they need to deliver.
ways=(nothing routing-rule iptables-1 iptables-ipset-100k nft-1 nft-set-100k shunt-1 shunt-100k
	shunt-loopback-1 shunt-loopback-100k)

# way_start WAY
way_start() {
	local n=1 kind

	[[ $1 != *-100k ]] || n=100000
	case $1 in
	nothing) return 0 ;;
	routing-rule) ;;
	iptables-1) kind=iptables-rules ;;
	iptables-*) kind=iptables-ipset ;;
	nft-1) kind=nft-rules ;;
	nft-*) kind=nft-set ;;
	shunt-loopback-*) kind=shunt-rules && shuntctl up -i lan0 -i wan0 --deliver loopback ;;
	shunt-*) kind=shunt-rules && shuntctl up -i lan0 -i wan0 ;;
	esac
	[[ $1 == shunt-* ]] || deliver_marked
	[[ $1 != routing-rule ]] || return 0
	[[ -s $T/$kind-$n ]] || kind_file "$kind" $n >"$T/$kind-$n"
	kind_load "$kind" "$T/$kind-$n" >/dev/null
}

shuntctl() {
	in_ns host "$BUILD/shuntctl" "$@" >/dev/null
}

# Have the packets been looked at, and let by?
verify() {
	local seen

	[[ $1 == shunt-* ]] || return 0
	seen=$(in_ns host "$BUILD/shuntctl" --json status | tr ',' '\n' |
		awk -F: '/"(udp_flow|mid_flow)"/ { n += $2 } END { print n + 0 }')
	((seen > 1000)) || die "$1: only $seen packets came by"
}

# way_stop WAY; the sets of ipset go with their namespace
way_stop() {
	[[ $1 != shunt-* ]] || shuntctl down
}

# forwarded ROUND WAY PROTOCOL: CPU ns of the kernel's forwarding alone
forwarded() {
	local result

	result=$(in_ns host "$TOOLS/forward-load" lan0 wan0 "$3" "$CLIENT" 198.51.100.1 -n 50000 -r 5)
	note "$1" "$2" "$3" "$(sed -E 's/.*"ns":([0-9.]+).*/\1/' <<<"$result")"
}

# datagrams ROUND WAY: CPU ns of a datagram from the sender through the host
datagrams() {
	local sink

	in_ns server "$TOOLS/route-packets" sink 9 -w 0.2 -t 0.5 >"$T/sink" 2>"$T/sink.ready" &
	sink=$!
	wait_for 20 "grep -q ready '$T/sink.ready'" || die 'the sink does not begin'
	in_ns client "$TOOLS/route-packets" blast "$SERVER" 9 -t 0.8 >"$T/blast"
	wait $sink
	note "$1" "$2" datagram "$(sed -E 's/.*"n":([0-9]+),"cpu_ns":([0-9]+).*/\2 \1/' "$T/blast" |
		awk '{ printf "%.1f", $1 / $2 }')"
}

# note ROUND WAY LOAD VALUE
note() {
	record "$1" "$2" "$3" value "$4"
	progress "$1" "$2" "$3" "$4"
}

measure_way() {
	lab_up
	# So that all link addresses are known.
	in_ns client bash -c ": <>/dev/tcp/$SERVER/$WHO" || die 'the server does not answer'
	ip -n host route add 198.51.100.0/24 via "$SERVER"
	way_start "$2"
	forwarded "$1" "$2" udp
	forwarded "$1" "$2" tcp
	datagrams "$1" "$2"
	verify "$2"
	way_stop "$2"
	lab_down
}

inside() {
	local round i n=${#ways[@]}

	private_world
	use_two_cpus
	: >"$OUT/runs"
	for ((round = 1; round <= ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			measure_way $round "${ways[(i + round) % n]}"
		done
	done
}

report() {
	python3 - "$OUT" "${ways[@]}" <<-'END'
		import json, statistics, sys
		out, ways = sys.argv[1], sys.argv[2:]
		value = {}
		for r in map(json.loads, open(out + "/runs")):
		    value[r["load"], r["way"], r["round"]] = r["value"]
		rounds = sorted({k[2] for k in value})
		loads = [("udp", "UDP, forwarding"), ("tcp", "TCP, forwarding"), ("datagram", "a datagram")]
		print("| | " + " | ".join(f"{title}, ns | of nothing" for _, title in loads) + " |")
		print("|---|" + "---:|---:|" * len(loads))
		for way in ways:
		    cells = []
		    for load, _ in loads:
		        v = [value[load, way, r] for r in rounds]
		        ratio = [value[load, way, r] / value[load, "nothing", r] for r in rounds]
		        cells += [f"{statistics.median(v):,.0f}", f"{100 * statistics.median(ratio):.1f} %"]
		    print(f"| {way} | " + " | ".join(cells) + " |")
	END
}

run_rounds "$@"
