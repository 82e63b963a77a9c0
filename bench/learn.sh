#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# learn.sh: what the first and the second flow of a learned destination cost. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
ROUNDS=7
# shellcheck disable=SC2034 # of lib.sh
KEEP=
TOOLS=
ADDS=50000

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SOURCE/bench/lib.sh"

usage() {
	cat <<-END
	usage: sudo bench/learn.sh [--rounds N] [--build DIR] [--out DIR] [--keep]

	Measure a download between network namespaces of its own: forwarded by the kernel (plain); the
	first one through shuntd, which learns its destination (first); the second one, which the rule
	about what was learned routes in eBPF (second). And what it takes to add one address to a
	set. Prints a table: the median of all rounds, and of the ratios to plain in the same round.

	  --rounds N    each is measured once in each round (7)
	  --build DIR   where to build (build/)
	  --out DIR     where learn.json, with all that was measured, goes (build/bench/learn)
	  --keep        keep what is there in the build directory: do not build

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

shuntctl() {
	in_ns host "$BUILD/shuntctl" "$@"
}

# counter NAME
counter() {
	shuntctl --json status | sed -nE "s/.*\"$1\": *([0-9]+).*/\1/p" | head -n 1
}

# download ROUND WAY [PID]: for a second; CPU time is that of both ends, the host, and all
download() {
	local result

	result=$(in_ns client "$TOOLS/relay-load" down "$SERVER" "$SOURCE_PORT" -P 1 -t 1 -w 0.3 \
		${3:+-p "$3"})
	record "$1" "$2" down result "$result"
	progress "$1" "$2" down "$(sed -E 's/.*"bytes":([0-9]+).*/\1 bytes/' <<<"$result")"
}

is_learned() {
	[[ $(shuntctl set list heavy) == "$SERVER timeout"* ]]
}

learn_start() {
	shuntctl up -i lan0 -i wan0 >/dev/null
	shuntctl set add heavy
	shuntctl rule add "50 in on lan0 tcp to @heavy route"
	shuntctl rule add "100 in on lan0 tcp port $RULE_PORTS proxy"
	on_host "$T/proxy.log" "$BUILD/shuntd" --port $LISTEN --workers 2 \
		--learn 'heavy timeout 10m when bytes over 1M'
	up_when "grep -q ready '$T/proxy.log'" || die 'shuntd does not begin'
}

# Each download went the way that it says, or the run is worth nothing.
verify() {
	local steered routed

	steered=$(counter steer_new)
	routed=$(counter routed)
	((steered == 1)) || die "$steered flows went through shuntd, not one"
	((routed > 1000)) || die "only $routed packets were routed"
}

one_round() {
	lab_up
	download "$1" plain
	lab_down
	lab_up
	learn_start
	download "$1" first "$(tree "$PROXY" | paste -sd,)"
	wait_for 10 is_learned || die 'the destination was not learned'
	download "$1" second "$(tree "$PROXY" | paste -sd,)"
	verify
	record "$1" set add result "$(in_ns host "$TOOLS/learn-adds" $ADDS)"
	stop "$PROXY"
	shuntctl down >/dev/null
	lab_down
}

inside() {
	private_world
	use_two_cpus
	: >"$OUT/runs"
	for ((round = 1; round <= ROUNDS; round++)); do
		one_round $round
	done
}

report() {
	python3 - "$OUT" "$(uname -r)" "$(commit_of_tree)" <<-'END'
		import json, statistics, sys
		out, kernel, commit = sys.argv[1:]
		runs = [json.loads(line) for line in open(out + "/runs")]
		json.dump({"kernel": kernel, "commit": commit, "runs": runs},
		          open(out + "/learn.json", "w"), indent=1)
		down = {(r["way"], r["round"]): r["result"] for r in runs if r["load"] == "down"}
		adds = [r["result"] for r in runs if r["load"] == "add"]
		rounds = sorted({round for _, round in down})
		cells = [("Gbit/s", "{:.1f}", lambda r: 8e-9 * r["bytes"] / r["seconds"]),
		         ("CPU s/GB, all", "{:.2f}", lambda r: r["machine_ns"] / r["bytes"]),
		         ("CPU s/GB, shuntd", "{:.2f}", lambda r: r["cpu_ns"] / r["bytes"])]
		print(f"kernel {kernel}, commit {commit}, {len(rounds)} rounds\n")
		print("| download | " + " | ".join(c[0] for c in cells) + " | rate, of plain |")
		print("|---|" + "---:|" * (len(cells) + 1))
		for way in ("plain", "first", "second"):
		    row = [form.format(statistics.median(value(down[way, r]) for r in rounds))
		           for _, form, value in cells]
		    rate = [cells[0][2](down[way, r]) / cells[0][2](down["plain", r]) for r in rounds]
		    row.append(f"{statistics.median(rate):.2f} ({min(rate):.2f}-{max(rate):.2f})")
		    print(f"| {way} | " + " | ".join(row) + " |")
		print("\n| one address into a set | us |\n|---|---:|")
		for key, name in (("add_ns", "added"), ("renew_ns", "renewed")):
		    v = [a[key] / 1000 for a in adds]
		    print(f"| {name}, of {adds[0]['n']:,} | {statistics.median(v):.2f} "
		          f"({min(v):.2f}-{max(v):.2f}) |")
	END
}

run_rounds "$@"
