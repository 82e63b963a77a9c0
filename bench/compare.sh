#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# compare.sh: the ways in which flows reach the same proxy, side by side. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
ROUNDS=
SHORT=
KEEP=
DOCS=
WAYS=()
LOADS=(connections-64 requests-1 requests-64 up-1 up-4 down-1 down-4 packets-16 others-16)
KINDS=()
SIZES=(1 10 100 1000 10000 100000)
SCALE_ROUNDS=3
SCALE_SECONDS=1
COMMAND='sudo bench/compare.sh' # with the options that matter for the figures
TOOLS=
REPORT=$SOURCE/bench/compare_report.py

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SOURCE/bench/lib.sh"
# shellcheck source-path=SCRIPTDIR source=ways.sh
. "$SOURCE/bench/ways.sh"
# shellcheck source-path=SCRIPTDIR source=scaling.sh
. "$SOURCE/bench/scaling.sh"

usage() {
	cat <<-END
	usage: sudo bench/compare.sh [--short] [--rounds N] [--ways WAY,...] [--loads LOAD,...]
	                             [--kinds KIND,...|no] [--out DIR] [--build DIR] [--keep] [--docs]

	Measure one proxy, shuntd, behind netfilter's TPROXY and REDIRECT and behind shunt's steering,
	beside plain forwarding and forwarding in eBPF; and what rules and sets cost by their number.
	Between network namespaces of its own. Makes tables and a page with charts.

	  --short       3 rounds of short loads, and only 10 and 10,000 rules: under 3 minutes
	  --rounds N    each way is measured once in each round (5); rules and sets in 3 at most
	  --ways LIST   these only; direct, the base of all ratios, is always among them:
	                ${all_ways[*]}
	  --loads LIST  these only:
	                ${LOADS[*]}
	  --kinds LIST  these kinds of rules and sets only, or no:
	                ${all_kinds[*]}
	  --out DIR     where compare.json, .md and .html go (build/bench/results)
	  --build DIR   where to build (build/)
	  --keep        keep what is there in the build directory: do not configure and build
	  --docs        write docs/comparison-figures.md and .html, and the figures of
	                docs/comparison.md

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

usage_error() {
	echo "compare.sh: $*; try --help" >&2
	exit 2
}

# pick WHAT LIST KNOWN...: the words of the list, in CHOSEN; each must be known
pick() {
	local word

	IFS=, read -ra CHOSEN <<<"$2"
	for word in "${CHOSEN[@]}"; do
		[[ " ${*:3} " == *" $word "* ]] || usage_error "$1 '$word': not known"
	done
}

parse_arguments() {
	local ways='' loads='' kinds=''

	while (($#)); do
		case $1 in
		--rounds | --ways | --loads | --kinds | --out | --build)
			(($# > 1)) || usage_error "$1: needs a value" ;;&
		--rounds | --ways | --loads | --kinds) COMMAND+=" $1 $2" ;;&
		--rounds) ROUNDS=$2; shift ;;
		--ways) ways=$2; shift ;;
		--loads) loads=$2; shift ;;
		--kinds) kinds=$2; shift ;;
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
	[[ -z $SHORT ]] || SIZES=(10 10000) SCALE_ROUNDS=1 SCALE_SECONDS=0.2
	ROUNDS=${ROUNDS:-$([[ $SHORT ]] && echo 3 || echo 5)}
	[[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--rounds '$ROUNDS': not from 1 to 999"
	((SCALE_ROUNDS <= ROUNDS)) || SCALE_ROUNDS=$ROUNDS
	TOOLS=$BUILD/bench
	OUT=${OUT:-$BUILD/bench/results}
	[[ $OUT/ != /run/* ]] || usage_error "--out '$OUT': not below /run, which is private here"
	parse_lists "${ways:-$(IFS=,; echo "${all_ways[*]}")}" \
		"${loads:-$(IFS=,; echo "${LOADS[*]}")}" \
		"${kinds:-$(IFS=,; echo "${all_kinds[*]}")}"
}

# parse_lists WAYS LOADS KINDS; bases come first
parse_lists() {
	pick --ways "$1" "${all_ways[@]}"
	mapfile -t WAYS < <(printf '%s\n' direct "${CHOSEN[@]}" | awk '!seen[$0]++')
	pick --loads "$2" "${LOADS[@]}"
	LOADS=("${CHOSEN[@]}")
	[[ $3 != no ]] || return 0
	pick --kinds "$3" "${all_kinds[@]}"
	mapfile -t KINDS < <(printf '%s\n' none "${CHOSEN[@]}" | awk '!seen[$0]++')
}

# ---- before the sandbox ---------------------------------------------------------------------

install_programs() {
	local name program

	for program in python3 ss nsenter ethtool $(for name in "${WAYS[@]}"; do
		way_needs "$name"; done) $(for name in "${KINDS[@]}"; do kind_needs "$name"; done); do
		command -v "$program" >/dev/null || { "$SOURCE/deploy/packages.sh" bench; break; }
	done
	/usr/bin/python3 -c 'import matplotlib' 2>/dev/null ||
		"$SOURCE/deploy/packages.sh" bench || die 'cannot install packages'
}

# ---- what is measured -----------------------------------------------------------------------

# load_arguments LOAD: for relay-load
load_arguments() {
	local seconds=3 warm=0.5

	[[ -z $SHORT ]] || { seconds=0.25 warm=0.08; }
	case $1 in
	requests-1) echo "requests $SERVER $ECHO -a" ;;
	requests-*) echo "requests $SERVER $ECHO" ;;
	up-*) echo "up $SERVER $SINK" ;;
	down-*) echo "down $SERVER $SOURCE_PORT" ;;
	connections-*) echo "connections $SERVER $FIRST_ECHO-$LAST_ECHO -s 1" ;;
	packets-*) echo "datagrams $SERVER $PACKETS -n /run/netns/server" ;;
	others-*) echo "datagrams $SERVER $OTHER_PACKETS -n /run/netns/server" ;;
	esac
	echo "-P ${1##*-} -t $seconds -w $warm"
}

all_loads() {
	local load why

	for load in "${LOADS[@]}"; do
		why=$(way_cannot "$2" "$load")
		if [[ $why ]]; then
			record "$1" "$2" "$load" left_out "\"$why\""
		else
			measure "$1" "$2" "$load" "$3"
		fi
	done
}

# compare_up: the lab, with the interface that no flow comes by
compare_up() {
	lab_up
	ip link add $SPARE netns host type veth peer name spare1 netns host
	ip -n host link set $SPARE up
	ip -n host link set spare1 up
}

# measure_way ROUND WAY: in a new lab, where the way is verified, and must leave nothing
measure_way() {
	local reason watched=

	compare_up
	(($1 > 1)) || { wait_for 5 addresses_are_settled || true; state_of_host >"$T/before"; }
	if ! way_start "$2" 2>"$T/error"; then
		fail "$1" "$2" start "$(cat "$T/error")"
	elif ! reason=$(verify "$2"); then
		fail "$1" "$2" verify "$reason"
	else
		[[ -z $PROXY ]] || watched=$(tree "$PROXY" | paste -sd,)
		all_loads "$1" "$2" "$watched"
	fi
	way_stop "$2" || fail "$1" "$2" stop "it cannot be taken away"
	(($1 > 1)) || check_leavings "$2"
	lab_down
}

# Link-local addresses, and the routes to them, come a moment after the carrier.
addresses_are_settled() {
	(($(ip -n host -6 -o addr show scope link | grep -c fe80) == 4)) &&
		[[ -z $(ip -n host -6 addr show tentative) ]]
}

check_leavings() {
	local left

	state_of_host >"$T/after"
	left=$(diff "$T/before" "$T/after") || fail 1 "$1" leavings "$(head -c 300 <<<"$left")"
}

# Ways that this machine, or this shunt, has not got are left out, with the reason.
leave_out_missing() {
	local way why
	local -a kept=()

	compare_up
	for way in "${WAYS[@]}"; do
		why=$(way_missing "$way" | tr -c '[:alnum:] .,:()=-' ' ')
		if [[ $why ]]; then
			record 0 "$way" all left_out "\"$why\""
			progress - "$way" all "left out: $why"
		else
			kept+=("$way")
		fi
	done
	lab_down
	WAYS=("${kept[@]}")
}

way_rounds() {
	local round i n=${#WAYS[@]}

	for ((round = 1; round <= ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			# Another one begins each round: none always comes after the same.
			measure_way $round "${WAYS[(i + round - 1) % n]}"
		done
	done
}

governor() {
	cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor 2>/dev/null || echo 'none to be seen'
}

# Lines NAME<tab>VALUE, for compare.json
environment() {
	compare_up
	printf '%s\t%s\n' command "$COMMAND" date "$(date -u +%Y-%m-%dT%H:%MZ)" \
		kernel "$(uname -r)" machine "$(uname -m), $(nproc) CPUs, two of them shared by all" \
		cpu "$(sed -nE 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		commit "$COMMIT" rounds "$ROUNDS" short "${SHORT:-no}" \
		'clock source' "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" \
		governor "$(governor)" \
		'congestion control' "$(in_ns host sysctl -n net.ipv4.tcp_congestion_control)" \
		offloads "$(offloads_of lan0)" \
		'nice value' "$(nice)" \
		'load average at the start' "$(cut -d' ' -f1-3 /proc/loadavg)" \
		iptables "$(iptables-legacy --version 2>/dev/null || echo none)" \
		nft "$(nft --version 2>/dev/null || echo none)" \
		ipset "$(ipset --version 2>/dev/null | head -n 1)"
	lab_down
}

# ticks_of_machine: all, stolen
ticks_of_machine() {
	awk '/^cpu / { for (i = 2; i <= 9; i++) n += $i; print n, $9 }' /proc/stat
}

inside() {
	local all0 stolen0 all stolen

	private_world
	use_two_cpus
	: >"$OUT/runs"
	: >"$OUT/scaling"
	warn_if_busy
	environment >"$OUT/environment"
	read -r all0 stolen0 < <(ticks_of_machine)
	leave_out_missing
	way_rounds
	((${#KINDS[@]} == 0)) || ROUNDS=$SCALE_ROUNDS scale_rounds
	read -r all stolen < <(ticks_of_machine)
	printf 'CPU time stolen meanwhile\t%s\n' "$(awk "BEGIN {
		printf \"%.2f %%\", 100 * ($stolen - $stolen0) / ($all - $all0) }")" >>"$OUT/environment"
	printf 'load average at the end\t%s\n' "$(cut -d' ' -f1-3 /proc/loadavg)" >>"$OUT/environment"
}

main() {
	parse_arguments "$@"
	if [[ ${BENCH_INSIDE-} ]]; then
		inside
		return
	fi
	((EUID == 0)) || die 'must be root: it makes network namespaces'
	install_programs
	build shuntctl shuntd bench-tools
	mkdir -p "$OUT"
	COMMIT=$(commit_of_tree)
	export COMMIT
	enter_sandbox "$@" || die 'could not finish; what was measured is in '"$OUT/runs"
	"$REPORT" --make "$OUT"
	[[ -z $DOCS ]] || "$REPORT" --docs "$OUT/compare.json" "$SOURCE/docs"
	cat "$OUT/compare.md"
	! grep -q '"failed":"' "$OUT/runs" "$OUT/scaling"
}

main "$@"
