#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# run.sh: build everything and run every test of the tree. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$SOURCE/build
PATTERN=''
SANITIZER=none
LIST=''
KEEP=''
FAST=''
RESULTS=''
WORK=''
JOBS=$(nproc)

usage() {
	cat <<-END
	usage: sudo test/run.sh [-k PATTERN] [--build DIR] [--sanitizer none|address|thread]
	                        [--list] [--keep] [--fast] [-j N]

	Install what is missing, build, and run all tests: unit tests, BPF tables, fuzzers and the
	stories in network namespaces. Nothing is left on the machine, and that is checked.

	  -k PATTERN    only the cases that match, as --list prints them
	  --build DIR   where to build (build/)
	  --sanitizer   build and test with it
	  --list        print the cases; run none
	  --keep        keep what is there in DIR: do not configure and build
	  --fast        small transfers, two seconds for each fuzzer
	  -j N          so many programs and stories at once (one for each CPU)
	  FUZZ_SECONDS  environment: time for each fuzzer (20)
	  DEBUG_SHELL=1 environment: a shell in the lab when a case fails

	Logs stay in DIR/test-logs. Exit 0 if all passed, 1 if any failed or none ran, 2 for usage.
	END
}

die() {
	echo "run.sh: $*" >&2
	exit 1
}

parse_arguments() {
	while (($#)); do
		case $1 in
		-k | --build | --sanitizer | -j)
			(($# > 1)) || { usage >&2; exit 2; }
			;;&
		-k) PATTERN=$2; shift ;;
		-j) JOBS=$2; shift ;;
		--build) BUILD=$(realpath -m "$2"); shift ;;
		--sanitizer) SANITIZER=$2; shift ;;
		--list) LIST=yes ;;
		--keep) KEEP=yes ;;
		--fast) FAST=yes ;;
		-h | --help) usage; exit 0 ;;
		*) usage >&2; exit 2 ;;
		esac
		shift
	done
	case $SANITIZER in
	none | address | thread) ;;
	*) usage >&2; exit 2 ;;
	esac
	[[ $JOBS =~ ^[1-9][0-9]?$ ]] || { usage >&2; exit 2; }
}

# ---- building --------------------------------------------------------------------------------

# loud_if_wrong LOG COMMAND...: show the log only if it fails
loud_if_wrong() {
	local log=$1

	shift
	"$@" >"$log" 2>&1 && return 0
	tail -n 40 "$log" >&2
	return 1
}

build() {
	loud_if_wrong "$BUILD/test-logs/configure.log" \
		cmake -S "$SOURCE" -B "$BUILD" -DSHUNT_SANITIZE="$SANITIZER" ||
		die 'cannot configure'
	loud_if_wrong "$BUILD/test-logs/build.log" \
		cmake --build "$BUILD" --parallel "$(nproc)" || die 'cannot build'
}

# libFuzzer comes with clang, so the fuzzers have a build of their own.
build_fuzzers() {
	local -a targets

	mapfile -t targets < <(names_of "$SOURCE"/test/fuzz/fuzz_*.c)
	((${#targets[@]})) || return 0
	loud_if_wrong "$BUILD/test-logs/fuzz-build.log" \
		cmake -S "$SOURCE" -B "$BUILD/fuzzing" -DCMAKE_C_COMPILER=clang \
		-DSHUNT_SANITIZE=address -DSHUNT_FUZZERS=ON \
		-DCMAKE_C_FLAGS=-fsanitize=fuzzer-no-link || return 1
	loud_if_wrong "$BUILD/test-logs/fuzz-build.log" \
		cmake --build "$BUILD/fuzzing" --parallel "$(nproc)" --target "${targets[@]}"
}

names_of() {
	local f

	for f in "$@"; do
		[[ ! -e $f ]] || basename "${f%.c}"
	done
}

# ---- cases -------------------------------------------------------------------------------------

# selected NAME: does -k want it
selected() {
	[[ $1 =~ $PATTERN ]]
}

# pooled COMMAND...: in the background, when fewer than JOBS are at work. Each is in a sandbox of
# its own. What it prints comes in one piece, when it ends.
pooled() {
	while (($(jobs -rp | wc -l) >= JOBS)); do
		wait -n || true
	done
	print_at_end "$@" &
}

print_at_end() {
	local out

	out=$(mktemp "$WORK/out.XXXXXX")
	"$@" >"$out" 2>&1 || record "not ok $* ended with code $?" >>"$out"
	cat "$out"
}

# record LINE: print a result line and count it
record() {
	echo "$1"
	echo "$1" >>"$RESULTS"
}

# run_tap KIND PROGRAM: a cmocka program; each of its cases is a line
run_tap() {
	local kind=$1 program=$2 name log code=0 line bad='' cases=0

	name=$kind/$(basename "$program")
	log=$BUILD/test-logs/$name.log
	mkdir -p "${log%/*}"
	# cmocka writes its lines to stdout; messages of the code under test go to the log, too.
	CMOCKA_MESSAGE_OUTPUT=TAP timeout --kill-after=5 1800 \
		"$SOURCE/test/net/sandbox.sh" "$program" >"$log" 2>&1 </dev/null || code=$?
	while read -r line; do
		cases=$((cases + 1))
		record "${line%% *} $name ${line#* }"
	done < <(sed -nE 's/^ok [0-9]+ (- )?(.*)/ok \2/p' "$log")
	while read -r line; do
		bad=yes
		record "not ok $name $line"
	done < <(sed -nE 's/^not ok [0-9]+ (- )?(.*)/\2/p' "$log")
	if [[ $code != 0 && -z $bad ]]; then
		record "not ok $name ended with code $code"
	elif [[ -z $bad ]] && ((!cases)); then
		record "not ok $name ran no case"
	fi
	if [[ $code != 0 || -n $bad ]]; then
		show_tail "$log"
	fi
}

show_tail() {
	tail -n 25 "$1" | sed 's/^/#   /'
	echo "#   whole log: $1"
}

run_taps() {
	local kind=$1 source name

	for source in "$SOURCE/test/$kind"/test_*.c; do
		[[ -e $source ]] || continue
		name=$(basename "${source%.c}")
		selected "$kind/$name" || continue
		if [[ -n $LIST ]]; then
			echo "$kind/$name"
		elif [[ -x $BUILD/test/$kind/$name ]]; then
			pooled run_tap "$kind" "$BUILD/test/$kind/$name"
		else
			record "not ok $kind/$name is not built"
		fi
	done
}

run_fuzzer() {
	local name=$1 seconds=$2 log=$BUILD/test-logs/fuzz/$1.log
	local corpus=$SOURCE/test/fuzz/corpus/${1#fuzz_} fresh=$WORK/corpus-$1
	local -a inputs=("$fresh")

	mkdir -p "${log%/*}" "$fresh"
	[[ ! -d $corpus ]] || inputs+=("$corpus")
	# What is found goes to the first directory; the corpus of the tree is only read.
	if (cd "${log%/*}" && timeout --kill-after=5 $((seconds + 300)) \
		"$BUILD/fuzzing/test/fuzz/$name" -max_total_time="$seconds" -timeout=60 \
		-print_final_stats=1 "${inputs[@]}") >"$log" 2>&1 </dev/null; then
		record "ok fuzz/$name $(sed -nE 's/^stat::number_of_executed_units: *//p' "$log") runs"
	else
		record "not ok fuzz/$name"
		show_tail "$log"
	fi
}

run_fuzzers() {
	local seconds=${FUZZ_SECONDS:-20} source name built=yes
	local -a names=()

	[[ -z $FAST ]] || seconds=2
	for source in "$SOURCE"/test/fuzz/fuzz_*.c; do
		[[ -e $source ]] || continue
		name=$(basename "${source%.c}")
		! selected "fuzz/$name" || names+=("$name")
	done
	((${#names[@]})) || return 0
	[[ -n $LIST || -n $KEEP ]] || build_fuzzers || built=''
	for name in "${names[@]}"; do
		if [[ -n $LIST ]]; then
			echo "fuzz/$name"
		elif [[ -n $built && -x $BUILD/fuzzing/test/fuzz/$name ]]; then
			pooled run_fuzzer "$name" "$seconds"
		else
			record "not ok fuzz/$name is not built"
		fi
	done
}

run_stories() {
	local story name

	# Of test/docs, too: what is written is checked in the same lab.
	export LAB_BUILD=$BUILD LAB_LOGS=$BUILD/test-logs LAB_FAST=$FAST
	for story in "$SOURCE"/test/net/*.sh "$SOURCE"/test/docs/*.sh; do
		name=$(basename "$story" .sh)
		case $name in
		lib | sandbox | state) continue ;;
		esac
		if [[ -n $LIST ]]; then
			"$story" -k "$PATTERN" --list
			continue
		fi
		pooled run_story "$story" "$name"
	done
}

run_story() {
	local story=$1 name=$2 lines=$WORK/$2.lines

	"$story" -k "$PATTERN" 2>&1 | tee "$lines" || true
	sed -nE "s/^(ok|not ok|skipped) /\1 $name\//p" "$lines" >>"$RESULTS"
	check_story "$story" "$name" "$lines"
}

# A story that breaks off, or runs fewer cases than it lists, has failed.
check_story() {
	local story=$1 name=$2 lines=$3 listed ran

	listed=$("$story" -k "$PATTERN" --list | wc -l) || listed=-1
	ran=$(grep -cE '^(ok|not ok|skipped) ' "$lines") || true
	((listed == ran)) || record "not ok $name ran $ran of $listed cases"
}

# ---- the machine ---------------------------------------------------------------------------------

host_state() {
	LAB_TOOLS=$BUILD/test "$SOURCE/test/net/state.sh" --host
}

# The kernel frees programs and namespaces a little after their last user has gone.
check_host() {
	local i

	for ((i = 0; i < 240; i++)); do
		host_state >"$WORK/host.after"
		if cmp -s "$WORK/host.before" "$WORK/host.after"; then
			echo 'ok host: the machine is as it was'
			return 0
		fi
		sleep 0.25
	done
	record 'not ok host: the machine is not as it was'
	diff -U0 "$WORK/host.before" "$WORK/host.after" | sed 's/^/#   /' || true
}

summary() {
	local passed failed skipped line

	passed=$(grep -c '^ok ' "$RESULTS") || true
	failed=$(grep -c '^not ok ' "$RESULTS") || true
	skipped=$(grep -c '^skipped ' "$RESULTS") || true
	cp "$RESULTS" "$BUILD/test-logs/results"
	if ((failed)); then
		echo 'failed:'
		sed -n 's/^not ok /  /p' "$RESULTS"
	fi
	line="$passed passed, $failed failed"
	((!skipped)) || line+=", $skipped skipped"
	echo "$line"
	((failed == 0 && passed > 0))
}

main() {
	parse_arguments "$@"
	if [[ -n $LIST ]]; then
		run_taps unit
		run_taps bpf
		run_fuzzers
		run_stories
		return 0
	fi
	((EUID == 0)) || die 'must be root: it makes network namespaces and loads BPF programs'
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
	RESULTS=$WORK/results
	: >"$RESULTS"
	mkdir -p "$BUILD/test-logs"
	if [[ -z $KEEP ]]; then
		"$SOURCE/deploy/packages.sh" test || die 'cannot install packages'
		build
	fi
	host_state >"$WORK/host.before"
	run_taps unit
	run_taps bpf
	run_fuzzers
	run_stories
	wait
	check_host
	summary
}

main "$@"
