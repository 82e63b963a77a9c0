#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# route.sh: what forwarding by a rule with `route` costs beside the kernel's own. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
# shellcheck disable=SC2034 # of lib.sh
KEEP=
ROUNDS=5
TOOLS=

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SOURCE/bench/lib.sh"

die() {
	echo "route.sh: $*" >&2
	exit 1
}

usage() {
	cat <<-END
	usage: sudo bench/route.sh [--rounds N] [--build DIR] [--out DIR] [--keep]

	Measure forwarding by the kernel, and in eBPF by a rule with \`route\`, between network
	namespaces of its own: small datagrams and a TCP stream, alone, with conntrack, with 1,000
	nft rules, straight into the peers of veths (\`up --peer\`), and by sets of one and of a
	million prefixes. Prints a table: the median of all
	rounds, and of its ratios to the base in the same round.

	  --rounds N    each way is measured once in each round (5)
	  --build DIR   where to build (build/)
	  --out DIR     where runs, a line of JSON for each, goes (build/bench/route)
	  --keep        keep what is there in the build directory: do not build

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

# WAY BASE: what it is compared with
ways=('plain plain' 'route plain' 'conntrack plain' 'route-conntrack conntrack'
	'route-peer plain' 'route-peer-conntrack conntrack'
	'nft-1000 plain' 'route-nft-1000 nft-1000' 'route-set-1 plain' 'route-set-1m route-set-1')

shuntctl() {
	in_ns host "$BUILD/shuntctl" "$@" >/dev/null
}

# What netfilter has to do.
filter() {
	{
		printf 'table ip bench {\nchain forward {\ntype filter hook forward priority 0\n'
		case $1 in
		*conntrack) printf 'ct state invalid drop\nct state established accept\n' ;;
		*nft-1000)
			for ((i = 0; i < 1000; i++)); do
				echo "ip saddr 192.0.2.$((i % 256)) tcp dport $((i + 1)) drop"
			done
			;;
		esac
		printf '}\n}\n'
	} | in_ns host nft -f -
}

# A million prefixes that the server's address is not in, and one that it is.
million() {
	[[ -s $T/million ]] || awk 'BEGIN {
		print "10.0.2.0/24"
		for (i = 0; i < 1000000; i++)
			printf "%d.%d.%d.%d/32\n", 20 + i % 100, i / 100 % 256, i / 25600 % 256,
			       i % 251
	}' | sort -u >"$T/million"
	echo "$T/million"
}

way_start() {
	[[ $1 != *conntrack && $1 != *nft-1000 ]] || filter "$1"
	[[ $1 == route* ]] || return 0
	if [[ $1 == *peer* ]]; then
		shuntctl up --peer lan0 --peer wan0
	else
		shuntctl up -i lan0 -i wan0
	fi
	case $1 in
	route-set-1) shuntctl set add far 10.0.2.0/24 ;;
	route-set-1m) shuntctl set load far "$(million)" ;;
	esac
	if [[ $1 == route-set* ]]; then
		shuntctl rule add '100 in on lan0 to @far route'
	else
		shuntctl rule add '100 in on lan0 route'
	fi
}

way_stop() {
	[[ $1 != route* ]] || shuntctl down
}

# Is it forwarded as the way's name says?
verify() {
	local routed=0

	[[ $1 != route* ]] || routed=$(in_ns host "$BUILD/shuntctl" --json status |
		sed -nE 's/.*"routed": *([0-9]+).*/\1/p')
	[[ $1 == route* ]] || return 0
	((routed > 1000)) || die "$1: only $routed packets were routed"
}

# Datagrams of 18 bytes that arrive in a second, and the CPU time of one.
small_packets() {
	local sink

	in_ns server "$TOOLS/route-packets" sink 9 -w 0.3 -t 1 >"$T/sink" 2>"$T/sink.ready" &
	sink=$!
	wait_for 5 "grep -q ready '$T/sink.ready'" || die 'the sink does not begin'
	in_ns client "$TOOLS/route-packets" blast "$SERVER" 9 -t 1.4 >"$T/blast"
	wait $sink
	note "$1" "$2" small "$(sed -E 's/.*"n":([0-9]+).*/\1/' "$T/sink")"
	note "$1" "$2" cost "$(sed -E 's/.*"n":([0-9]+),"cpu_ns":([0-9]+).*/\2 \1/' "$T/blast" |
		awk '{ printf "%.1f", $1 / $2 }')"
}

bulk() {
	in_ns client "$TOOLS/relay-load" up "$SERVER" "$SINK" -P 1 -t 1 -w 0.3 >"$T/bulk"
	note "$1" "$2" bulk "$(sed -nE 's/.*"bytes": ?([0-9]+).*/\1/p' "$T/bulk")"
}

# note ROUND WAY LOAD VALUE
note() {
	record "$1" "$2" "$3" value "$4"
	progress "$1" "$2" "$3" "$4"
}

inside() {
	local round way i n=${#ways[@]}

	private_world
	use_two_cpus
	: >"$OUT/runs"
	for ((round = 1; round <= ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			way=${ways[(i + round) % n]% *}
			lab_up
			way_start "$way"
			small_packets $round "$way"
			bulk $round "$way"
			verify "$way"
			way_stop "$way"
			lab_down
		done
	done
}

report() {
	printf '%s\n' "${ways[@]}" >"$OUT/ways"
	python3 - "$OUT" <<-'END'
		import json, statistics, sys
		out = sys.argv[1]
		ways = [line.split() for line in open(out + "/ways")]
		value = {}
		for r in map(json.loads, open(out + "/runs")):
		    value[r["load"], r["way"], r["round"]] = r["value"]
		rounds = sorted({k[2] for k in value})
		loads = [("small", "datagrams a second", 1, "{:,.0f}"),
		         ("cost", "CPU ns of one", 1, "{:,.0f}"),
		         ("bulk", "Gbit/s", 8e-9, "{:.1f}")]
		print("| way | compared with | " + " | ".join(
		    f"{title} | ratio" for _, title, _, _ in loads) + " |")
		print("|---|---|" + "---:|---:|" * len(loads))
		for way, base in ways:
		    cells = []
		    for load, _, scale, form in loads:
		        v = [value[load, way, r] for r in rounds]
		        ratio = [value[load, way, r] / value[load, base, r] for r in rounds]
		        cells += [form.format(statistics.median(v) * scale),
		                  f"{statistics.median(ratio):.2f} ({min(ratio):.2f}-{max(ratio):.2f})"]
		    print(f"| {way} | {base} | " + " | ".join(cells) + " |")
	END
}

run_rounds "$@"
