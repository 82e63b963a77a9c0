#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# classify.sh: what the classifier takes for a packet, by the number of rules and prefixes.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
ROUNDS=
SHORT=
KEEP=
DOCS=
COMMAND='sudo bench/classify.sh'
DEVICE=near

usage() {
	cat <<-END
	usage: sudo bench/classify.sh [--short] [--rounds N] [--out DIR] [--build DIR] [--keep] [--docs]

	Measure the loaded programs by BPF_PROG_TEST_RUN: nanoseconds for a SYN with 1 to 100,000
	rules and sets of up to 1,000,000 prefixes, IPv4 and IPv6, beside an empty program; what
	loading and changing them takes, and their memory. Prints tables.

	  --short       the smallest and largest cases only
	  --rounds N    each case is measured so many times, beside the empty program (15)
	  --out DIR     where classify.json, with all that was measured, goes (build/bench/results)
	  --build DIR   where to build (build/)
	  --keep        keep what is there in the build directory: do not configure and build
	  --docs        write the tables into docs/classifier.md

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

die() {
	echo "classify.sh: $*" >&2
	exit 1
}

usage_error() {
	echo "classify.sh: $*; try --help" >&2
	exit 2
}

parse_arguments() {
	while (($#)); do
		case $1 in
		--rounds | --out | --build) (($# > 1)) || usage_error "$1: needs a value" ;;&
		--rounds) ROUNDS=$2 COMMAND+=" $1 $2"; shift ;;
		--out) OUT=$(realpath -m "$2"); shift ;;
		--build) BUILD=$(realpath -m "$2"); shift ;;
		--short) SHORT=yes COMMAND+=" $1" ;;
		--keep) KEEP=yes ;;
		--docs) DOCS=yes ;;
		-h | --help) usage; exit 0 ;;
		*) usage_error "'$1': unknown option" ;;
		esac
		shift
	done
	ROUNDS=${ROUNDS:-15}
	[[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--rounds '$ROUNDS': not from 1 to 999"
	OUT=${OUT:-$BUILD/bench/results}
}

build() {
	local log=$BUILD/bench.log

	[[ -z $KEEP ]] || return 0
	mkdir -p "$BUILD"
	{ cmake -S "$SOURCE" -B "$BUILD" && cmake --build "$BUILD" --parallel "$(nproc)" \
		--target shuntctl classify-load; } >"$log" 2>&1 && return 0
	tail -n 30 "$log" >&2
	die "cannot build: $log"
}

# ---- cases -----------------------------------------------------------------------------------

# Lines "KIND FAMILY RULES SET"
cases() {
	local family kind n set

	for family in 4 6; do
		for kind in destination source port mixed; do
			for n in 1 10 100 1000 10000 100000; do
				[[ -z $SHORT || $kind == mixed && ($n == 10 || $n == 100000) ]] || continue
				echo "$kind $family $n 0"
			done
		done
		for set in 1000 100000 1000000; do
			[[ $SHORT ]] || echo "destination $family 10 $set"
		done
		echo "mixed $family 100000 1000000"
	done
}

# milliseconds COMMAND...: how long it takes, as a number
milliseconds() {
	local begin=${EPOCHREALTIME/./}

	"$@" >/dev/null
	echo $(((${EPOCHREALTIME/./} - begin + 500) / 1000))
}

# changes N COMMAND...: how long each of N takes; $i in the command is its number
changes() {
	local i n=$1 list=''

	shift
	for ((i = 0; i < n; i++)); do
		list+=,$(milliseconds "${@//@/$i}")
	done
	echo "[${list#,}]"
}

# load KIND FAMILY RULES SET: prints how long rules, and then the set, took to load
load() {
	local set=0 rules

	"$BUILD/bench/classify-load" rules "$@" >/run/rules
	"$BUILD/bench/classify-load" set "$@" >/run/set
	"$BUILD/shuntctl" down
	"$BUILD/shuntctl" up -i "$DEVICE"
	if (($4)); then
		set=$(milliseconds "$BUILD/shuntctl" set load large /run/set)
	fi
	rules=$(milliseconds "$BUILD/shuntctl" apply /run/rules)
	echo "\"apply_ms\":$rules,\"set_load_ms\":$set"
}

# change_all FAMILY SET: rules and prefixes added to what is loaded, and taken away again
change_all() {
	local prefix=203.0.113. n=5

	[[ $1 == 4 ]] || prefix=3fff:0:113::
	printf '"rule_add_ms":%s,' "$(changes $n "$BUILD/shuntctl" rule add \
		"200000@ to ${prefix}1 tcp port 80 pass")"
	printf '"rule_del_ms":%s' "$(changes $n "$BUILD/shuntctl" rule del 200000@)"
	(($2)) || return 0
	printf ',"set_add_ms":%s,' "$(changes $n "$BUILD/shuntctl" set add large "${prefix}1@")"
	printf '"set_del_ms":%s' "$(changes $n "$BUILD/shuntctl" set del large "${prefix}1@")"
}

# measure KIND FAMILY RULES SET: a line of JSON
measure() {
	local loaded times memory changed=''

	echo "classify.sh: $*" >&2
	loaded=$(load "$@")
	times=$("$BUILD/bench/classify-load" time "$@" "$DEVICE" "$ROUNDS")
	memory=$("$BUILD/bench/classify-load" memory)
	# One change of the largest cases, and of those with few rules to compare.
	if (($3 == 10 || $3 == 100000)) && [[ $1 == mixed || $4 != 0 ]]; then
		changed=",$(change_all "$2" "$4")"
	fi
	printf '{"by":"%s","family":%d,"rules":%d,"set":%d,%s,%s,%s%s}\n' "$@" "$loaded" \
		"${times:1:-1}" "${memory:1:-1}" "$changed"
}

inside() {
	local line

	ip link add $DEVICE type veth peer name far
	ip link set $DEVICE up
	: >"$OUT/classify.cases"
	while read -r line; do
		# shellcheck disable=SC2086 # words
		measure $line >>"$OUT/classify.cases"
	done < <(cases)
}

# ---- outside ---------------------------------------------------------------------------------

environment() {
	local commit changed=''

	commit=$(git -c safe.directory="$SOURCE" -C "$SOURCE" rev-parse --short HEAD 2>/dev/null) ||
		commit=unknown
	[[ -z $(git -c safe.directory="$SOURCE" -C "$SOURCE" status --porcelain 2>/dev/null) ]] ||
		changed=', with changes'
	printf '%s\t%s\n' command "$COMMAND" date "$(date -u +%Y-%m-%dT%H:%MZ)" \
		kernel "$(uname -r)" machine "$(uname -m), $(nproc) CPUs" \
		cpu "$(sed -nE 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		commit "$commit$changed" rounds "$ROUNDS" \
		'load average at the start' "$(cut -d' ' -f1-3 /proc/loadavg)"
}

main() {
	parse_arguments "$@"
	if [[ ${CLASSIFY_INSIDE-} ]]; then
		inside
		return
	fi
	((EUID == 0)) || die 'must be root: it loads BPF programs'
	build
	mkdir -p "$OUT"
	environment >"$OUT/classify.environment"
	CLASSIFY_INSIDE=yes "$SOURCE/test/net/sandbox.sh" "${BASH_SOURCE[0]}" "$@" ||
		die "could not finish; what was measured is in $OUT/classify.cases"
	"$SOURCE/bench/classify_report.py" --join "$OUT"
	[[ -z $DOCS ]] || "$SOURCE/bench/classify_report.py" --docs "$OUT/classify.json" \
		"$SOURCE/docs/classifier.md"
	"$SOURCE/bench/classify_report.py" "$OUT/classify.json"
}

main "$@"
