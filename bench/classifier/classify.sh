#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Nanoseconds per SYN by the number of rules and prefixes: a table, the JSON beside it, and
# status 1 if a goal is missed. Needs CAP_BPF and CAP_NET_ADMIN.
#
#   classify.sh [quick|large]      BUILD: build directory, OUT: file for the JSON
set -eu
BUILD=${BUILD:-$(dirname "$0")/../build}
OUT=${OUT:-$BUILD/classify.json}
"$BUILD/classify_bench" "$BUILD/probe.bpf.o" "$@" >"$OUT"
jq -r '.[] | [.family, .by, .rules, .set, .syn_ns, .hot_ns, .cold_ns, .compile_ms, .rule_add_ms,
	.prefix_add_ms, .used_bytes_each, .tables] | @tsv' "$OUT" |
	awk -F'\t' 'BEGIN { f = "%-3s %-12s %7s %8s %8s %7s %8s %10s %9s %9s %8s %6s\n"
		printf f, "fam", "by", "rules", "set", "syn_ns", "hot_ns", "cold_ns", "load_ms",
			"add_ms", "pfx_ms", "B_each", "tables" }
	{ printf f, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 }'
# The goals of docs/: 3 times the cost with 10 rules and 300 ns (IPv6: 600), loads and changes.
[ -n "${1:-}" ] || jq -e '
	def one($f; $by; $n; $s): .[] | select(.family == $f and .by == $by and .rules == $n and .set == $s);
	one(4; "mixed"; 10; 0) as $few | one(4; "mixed"; 100000; 1000000) as $all |
	one(6; "mixed"; 100000; 1000000) as $six |
	{ three_times: ($all.syn_ns <= 3 * $few.syn_ns), ipv4_300: ($all.syn_ns <= 300),
	  ipv6_600: ($six.syn_ns <= 600),
	  load_rules: ([.[] | select(.set == 0) | .compile_ms + .publish_ms] | max <= 2000),
	  load_set: ([.[] | select(.rules == 10) | .compile_ms + .publish_ms] | max <= 5000),
	  add: ([.[] | .rule_add_max_ms, .prefix_add_max_ms] | max <= 50) }
	| ., (all(.[]; .) or error("a goal is missed"))' "$OUT"
