#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# relay.sh: measure shuntd beside plain forwarding and beside other proxies. See usage below.

set -euo pipefail
export LC_ALL=C

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$SOURCE/build
OUT=
ROUNDS=
SHORT=
PEERS=
KEEP=
DOCS=
WAYS=()
COMMAND='sudo bench/relay.sh' # with the options that matter for the figures
# Memory first, while the proxy is fresh.
loads=(idle-5000 requests-1 one-cpu-1 requests-64 up-1 up-4 down-1 down-4 connections-64)
TOOLS=
REPORT=$SOURCE/bench/report.py # --line of it says what was measured

# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$SOURCE/bench/lib.sh"
# shellcheck source-path=SCRIPTDIR source=peers.sh
. "$SOURCE/bench/peers.sh"

usage() {
	cat <<-END
	usage: sudo bench/relay.sh [--short] [--peers] [--rounds N] [--ways WAY,...] [--loads LOAD,...]
	                           [--out DIR] [--build DIR] [--keep] [--docs]

	Measure TCP flows through shuntd beside plain forwarding, between network namespaces of its
	own: throughput, connections, latency, CPU time, memory, system calls. Prints tables.

	  --short       3 rounds of short loads, for a first look (5 rounds of longer ones)
	  --peers       HAProxy, nginx and redsocks, too; installs what is missing of them
	  --rounds N    each way is measured once in each round
	  --ways LIST   these only; direct, the base of all ratios, is always among them:
	$(printf '%s ' "${default_ways[@]}" "${peer_ways[@]}" | fold -s -w 70 |
		sed 's/^/                  /')
	  --loads LIST  these only:
	$(printf '%s ' "${loads[@]}" | fold -s -w 70 | sed 's/^/                  /')
	  --out DIR     where relay.json, with all that was measured, goes (build/bench/results)
	  --build DIR   where to build (build/)
	  --keep        keep what is there in the build directory: do not configure and build
	  --docs        write docs/relay-bench.md

	Exit 0 if all was measured, 1 if anything could not be, 2 for usage.
	END
}

usage_error() {
	echo "relay.sh: $*; try --help" >&2
	exit 2
}

parse_arguments() {
	local list='' these='' way load

	while (($#)); do
		case $1 in
		--rounds | --ways | --loads | --out | --build) (($# > 1)) || usage_error "$1: needs a value" ;;&
		--rounds) ROUNDS=$2 COMMAND+=" $1 $2"; shift ;;
		--ways) list=$2 COMMAND+=" $1 $2"; shift ;;
		--loads) these=$2 COMMAND+=" $1 $2"; shift ;;
		--out) OUT=$(realpath -m "$2"); shift ;;
		--build) BUILD=$(realpath -m "$2"); shift ;;
		--short) SHORT=yes COMMAND+=" $1" ;;
		--peers) PEERS=yes COMMAND+=" $1" ;;
		--keep) KEEP=yes ;;
		--docs) DOCS=yes ;;
		-h | --help) usage; exit 0 ;;
		*) usage_error "'$1': unknown option" ;;
		esac
		shift
	done
	if [[ $these ]]; then
		for load in ${these//,/ }; do
			[[ " ${loads[*]} " == *" $load "* ]] || usage_error "--loads '$load': no such load"
		done
		IFS=, read -ra loads <<<"$these"
	fi
	ROUNDS=${ROUNDS:-$([[ $SHORT ]] && echo 3 || echo 5)}
	[[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--rounds '$ROUNDS': not from 1 to 999"
	TOOLS=$BUILD/bench
	OUT=${OUT:-$BUILD/bench/results}
	if [[ $list ]]; then
		IFS=, read -ra WAYS <<<"direct,$list"
	else
		WAYS=("${default_ways[@]}")
	fi
	[[ -z $PEERS ]] || WAYS+=("${peer_ways[@]}")
	mapfile -t WAYS < <(printf '%s\n' "${WAYS[@]}" | awk '!seen[$0]++')
	for way in "${WAYS[@]}"; do
		way_known "$way" || usage_error "--ways '$way': no such way"
	done
}

# ---- before the sandbox ---------------------------------------------------------------------

needed_programs() {
	local way

	echo python3 ss nsenter ethtool
	for way in "${WAYS[@]}"; do
		way_needs "$way"
	done
}

missing_programs() {
	local program

	for program in $(needed_programs); do
		command -v "$program" >/dev/null || echo "$program"
	done
	[[ " ${WAYS[*]} " != *nginx* || -e /usr/lib/nginx/modules/ngx_stream_module.so ]] ||
		echo 'nginx stream'
}

# Debian's packages start their services and enable them: not for being measured here.
install_peers() {
	local policy=/usr/sbin/policy-rc.d ours='' program had=" "

	[[ $(missing_programs) ]] || return 0
	for program in haproxy nginx redsocks; do
		! command -v $program >/dev/null || had+="$program "
	done
	if [[ ! -e $policy ]]; then
		ours=yes
		trap 'rm -f "/usr/sbin/policy-rc.d"' EXIT
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	"$SOURCE/deploy/packages.sh" bench || die 'cannot install packages'
	[[ -z $ours ]] || { rm -f $policy; trap - EXIT; }
	for program in haproxy nginx redsocks; do
		[[ $had == *" $program "* ]] || ! command -v systemctl >/dev/null ||
			systemctl --quiet disable $program.service >/dev/null 2>&1 || true
	done
	[[ -z $(missing_programs) ]] || die "missing: $(missing_programs | tr '\n' ' ')"
}

# ---- what is measured -----------------------------------------------------------------------

# load_arguments LOAD: for relay-load
load_arguments() {
	local seconds=1.5 warm=0.3

	[[ -z $SHORT ]] || { seconds=0.7 warm=0.15; }
	case $1 in
	idle-*) echo "idle $SERVER $ECHO" ;;
	requests-1) echo "requests $SERVER $ECHO -a" ;;
	requests-* | one-cpu-*) echo "requests $SERVER $ECHO" ;;
	up-*) echo "up $SERVER $SINK" ;;
	down-*) echo "down $SERVER $SOURCE_PORT" ;;
	connections-*) echo "connections $SERVER $FIRST_ECHO-$LAST_ECHO -s 1" ;;
	esac
	echo "-P ${1##*-} -t $seconds -w $warm"
}

# verify WAY: that it does what its name says
verify() {
	local seen expected=2 n

	[[ $1 != direct ]] || expected=0
	read -r seen n < <(ask_who "$WHO")
	[[ $seen == "$(way_source "$1")" && $n == "$expected" ]] && return 0
	echo "the server saw $seen (must be $(way_source "$1")), $n sockets were on the host" \
		"(must be $expected)"
	return 1
}

# count_calls WAY LOAD PIDS: a run of its own, as counting costs time
count_calls() {
	local -a arguments
	local counted

	read -r -d '' -a arguments <<<"$(load_arguments "$2")" || true
	settled || true
	if counted=$(calls "$3" nsenter --net=/run/netns/client timeout 60 "$TOOLS/relay-load" \
		"${arguments[@]}" -t 1 -w 0 2>"$T/error"); then
		counted=$(awk '{ printf "%s\"%s\":%s", sep, $1, $2; sep = "," }' <<<"$counted")
		record 0 "$1" "$2" calls "{$counted}"
		record 0 "$1" "$2" under_trace "$(cat "$T/load")"
		progress - "$1" "$2" 'system calls counted'
	else
		fail 0 "$1" "$2" "$(cat "$T/error")"
	fi
}

# with_way ROUND WAY FUNCTION: FUNCTION ROUND WAY PIDS in a new lab where the way is verified
with_way() {
	local reason watched=

	lab_up
	if ! way_start "$2" 2>"$T/error"; then
		fail "$1" "$2" start "$(cat "$T/error")"
	elif ! reason=$(verify "$2"); then
		fail "$1" "$2" verify "$reason"
	else
		[[ -z $PROXY ]] || watched=$(tree "$PROXY" | paste -sd,)
		"$3" "$1" "$2" "$watched"
	fi
	way_stop "$2"
	lab_down
}

all_loads() {
	local load

	for load in "${loads[@]}"; do
		if [[ $(way_cannot "$2" "$load") ]]; then
			record "$1" "$2" "$load" left_out "\"$(way_cannot "$2" "$load")\""
		else
			measure "$1" "$2" "$load" "$3"
		fi
	done
}

all_calls() {
	local load

	for load in connections-64 requests-1 requests-64; do
		[[ " ${loads[*]} " != *" $load "* ]] || count_calls "$2" "$load" "$3"
	done
}

run_rounds() {
	local round i n=${#WAYS[@]}

	for ((round = 1; round <= ROUNDS; round++)); do
		for ((i = 0; i < n; i++)); do
			# Another one begins each round: none always comes after the same.
			with_way $round "${WAYS[(i + round - 1) % n]}" all_loads
		done
	done
	for ((i = 0; i < n; i++)); do
		[[ ${WAYS[i]} == direct ]] || with_way 0 "${WAYS[i]}" all_calls
	done
}

version_of() {
	case $1 in
	haproxy) haproxy -v | sed -nE '1s/.*version ([^ ]+).*/\1/p' ;;
	nginx) nginx -v 2>&1 | sed 's/.*nginx.//' ;;
	redsocks) dpkg-query -W -f '${Version}' redsocks 2>/dev/null || echo unknown ;;
	esac
}

# Lines NAME<tab>VALUE, for relay.json
environment() {
	local program

	lab_up
	printf '%s\t%s\n' command "$COMMAND" date "$(date -u +%Y-%m-%dT%H:%MZ)" \
		kernel "$(uname -r)" machine "$(uname -m), $(nproc) CPUs shared by all" \
		cpu "$(sed -nE 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		commit "$COMMIT" rounds "$ROUNDS" short "${SHORT:-no}" \
		'clock source' "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" \
		'congestion control' "$(in_ns host sysctl -n net.ipv4.tcp_congestion_control)" \
		offloads "$(offloads_of lan0)" \
		'load average at the start' "$(cut -d' ' -f1-3 /proc/loadavg)" \
		'system calls counted by' "$TRACER"
	for program in haproxy nginx redsocks; do
		[[ "${WAYS[*]}" != *$program* ]] || printf '%s\t%s\n' $program "$(version_of $program)"
	done
	lab_down
}

inside() {
	private_world
	use_two_cpus
	TRACER=$(perf_works && echo perf || echo strace)
	: >"$OUT/runs"
	warn_if_busy
	environment >"$OUT/environment"
	run_rounds
}

main() {
	parse_arguments "$@"
	if [[ ${BENCH_INSIDE-} ]]; then
		inside
		return
	fi
	((EUID == 0)) || die 'must be root: it makes network namespaces'
	install_peers
	build shuntctl shuntd bench-tools
	mkdir -p "$OUT"
	COMMIT=$(commit_of_tree)
	export COMMIT
	enter_sandbox "$@" || die 'could not finish; what was measured is in '"$OUT/runs"
	"$SOURCE/bench/report.py" --join "$OUT"
	[[ -z $DOCS ]] || "$SOURCE/bench/report.py" --document "$OUT/relay.json" \
		>"$SOURCE/docs/relay-bench.md"
	"$SOURCE/bench/report.py" "$OUT/relay.json"
	! grep -q '"failed":"' "$OUT/runs"
}

main "$@"
