#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The benchmarks run, check what they measure, and report it. Figures are not looked at.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

BENCH=$LAB_DIR/../../bench
OUT=$LAB_BUILD/bench/tested # the sandbox of a benchmark has a /run of its own, where $T is

# compare ARG...: bench/compare.sh with what is built, its files in $T/out
compare() {
	mkdir -p "$OUT"
	[[ -x $LAB_BUILD/bench/relay-load ]] || cmake --build "$LAB_BUILD" --target bench-tools >&2
	"$BENCH/compare.sh" --keep --build "$LAB_BUILD" --out "$OUT" --short --rounds 1 \
		"$@" >"$T/report" 2>"$T/progress.err"
}

# compare_once ARG...: on a machine with much other work a short load may get nothing done in its
# time, which is a failed run. One that is whole is enough.
compare_once() {
	local round

	for round in 1 2 3; do
		! compare "$@" || return 0
		say "round $round was not whole: $(tail -n 3 "$T/progress.err")"
	done
	fail 'no run was whole'
}

# results WAY LOAD: how many were measured
results() {
	jq "[.runs[] | select(.way == \"$1\" and .load == \"$2\" and .result)] | length" \
		"$OUT/compare.json"
}

# Each way is verified to intercept and to leave nothing, which makes the run fail if not.
compare_ways() {
	local way

	compare_once --loads connections-64 --kinds no
	for way in direct iptables-tproxy nft-tproxy nft-redirect tc-clsact tc-tcx tc-loopback \
		ebpf-route; do
		same "results of $way" "$(results $way connections-64)" 1
		grep -q "^| $way |" "$T/report" || fail "no $way in the report"
	done
	same 'failures' "$(jq '[.runs[] | select(.failed)] | length' "$OUT/compare.json")" 0
	grep -q '<svg' "$OUT/compare.html"
	! grep -qE '(src|href)="?https?:' "$OUT/compare.html" ||
		fail 'the page wants something from elsewhere'
}

compare_scaling() {
	compare_once --ways direct --loads packets-16 --kinds iptables-ipset,nft-set,shunt-set,shunt-loopback
	same 'cases' "$(jq '[.scaling[] | select(.connections and .packets)] | length' \
		"$OUT/compare.json")" 9
}

# A way that does not intercept is not measured: here nothing listens where it leads.
compare_notices() {
	rm -rf "$OUT/broken"
	mkdir -p "$OUT/broken"
	cp -r "$BENCH" "$BENCH/../test" "$OUT/broken"
	ln -s "$(realpath "$BENCH/../deploy")" "$OUT/broken/deploy"
	sed -i 's/^readonly LISTEN=.*/readonly LISTEN=12000 WRONG=13000/' "$OUT/broken/bench/lib.sh"
	sed -i '/^steer_by_nft/,/^}/s/\$(both_listeners)/:$WRONG/' "$OUT/broken/bench/ways.sh"
	sed -i '/^way_stop/,/^}/s/shuntctl" down/shuntctl" status/' "$OUT/broken/bench/ways.sh"
	BENCH=$OUT/broken/bench
	! compare --ways nft-tproxy --loads connections-64 --kinds no ||
		fail 'a run with a broken way must fail'
	same 'results' "$(results nft-tproxy connections-64)" 0
	same 'failures to verify' "$(jq '[.runs[] | select(.load == "verify")] | length' \
		"$OUT/compare.json")" 1
	same 'leavings found' "$(jq '[.runs[] | select(.load == "leavings" and
		.way == "nft-tproxy")] | length' "$OUT/compare.json")" 1
}

# Which verifies by itself that one download is steered, and the next one routed.
learn_measured() {
	cmake --build "$LAB_BUILD" --target bench-tools >&2
	"$BENCH/learn.sh" --keep --build "$LAB_BUILD" --out "$OUT" --rounds 1 >"$T/report" 2>"$T/progress.err"
	same 'rows' "$(grep -cE '^\| (plain|first|second|added|renewed)' "$T/report")" 5
	same 'downloads' "$(jq '[.runs[] | select(.load == "down" and .result.bytes > 0)] | length' \
		"$OUT/learn.json")" 3
}

# rounds_measured NAME VALUES ROW...: one round of a benchmark; each row stands in its table
rounds_measured() {
	local row

	cmake --build "$LAB_BUILD" --target bench-tools >&2
	"$BENCH/$1.sh" --keep --build "$LAB_BUILD" --out "$OUT/$1" --rounds 1 >"$T/report" \
		2>"$T/progress.err"
	same 'values above 0' "$(jq -s 'map(select(.value > 0)) | length' "$OUT/$1/runs")" "$2"
	for row in "${@:3}"; do
		same "rows of $row" "$(grep -c "^| $row |" "$T/report")" 1
	done
}

check -t 240 BENCH-01 'compare.sh measures each way' compare_ways
check -t 240 BENCH-02 'compare.sh measures rules and sets' compare_scaling
check BENCH-03 'compare.sh notices a way that does not intercept, and what is left' compare_notices
check -t 240 BENCH-04 'learn.sh measures first and second downloads' learn_measured
check -t 240 BENCH-05 'route.sh measures what is routed' rounds_measured route 30 \
	plain route route-peer conntrack route-conntrack nft-1000 route-nft-1000 route-set-1m
check -t 240 BENCH-06 'bystander.sh measures what passes by' rounds_measured bystander 30 \
	nothing routing-rule iptables-1 nft-set-100k shunt-100k shunt-loopback-100k

story_run "$@"
