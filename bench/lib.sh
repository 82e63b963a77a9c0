# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The lab of relay.sh and compare.sh: three machines, each a network namespace of its own, made anew
# for each round of each way, so that no way finds what another has left (TIME_WAIT, conntrack,
# qdiscs, grown pools).
#
#   client eth0 ---------- lan0 host wan0 ---------- eth0 server
#   10.0.1.2              10.0.1.1   10.0.2.1           10.0.2.2
#
# IPv4, veth as it comes, reno (bbr halves bulk over veth). To be sourced inside the sandbox:
# private mounts, processes and network.

readonly CLIENT=10.0.1.2 HOST=10.0.2.1 SERVER=10.0.2.2
readonly SINK=7000 SOURCE_PORT=7001 ECHO=7002 WHO=7003 SOCKS=1080
# New connections take these in turn: each adds to the ports that a pair of addresses has.
readonly FIRST_ECHO=7010 LAST_ECHO=7017
readonly RULE_PORTS=7000-7003,7010-7017 # what is intercepted: all that the loads use
readonly LISTEN=12000 # a proxy's own port
T=/run/bench
SERVER_PID=
SERVER_ROLES=() # more of them, for relay-server
PROXY= # pid of what a way has started on host; '' none
CPUS=()
TRACER= # perf or strace: who counts system calls

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# wait_for SECONDS CONDITION: poll until the shell text is true
wait_for() {
	local until=$((${EPOCHREALTIME/./} + $1 * 1000000))

	until eval "$2" >/dev/null 2>&1; do
		((${EPOCHREALTIME/./} < until)) || return 1
		sleep 0.02
	done
}

# in_ns MACHINE COMMAND...; exec, so that in the background $! is the command's pid
in_ns() {
	nsenter --net="/run/netns/$1" "${@:2}"
}

private_world() {
	mount --make-rprivate /
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/netns /run/lock "$T"
	mount -t bpf bpf /sys/fs/bpf || die 'cannot mount bpffs: has this kernel BPF?'
	mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || true # for perf
	ulimit -n "$(ulimit -Hn)"
}

# Everything on the same two CPUs, as all figures here are about sharing them.
use_two_cpus() {
	mapfile -t CPUS < <(taskset -cp $$ | sed 's/.*: //' | tr , '\n' |
		while IFS=- read -r first last; do seq "$first" "${last:-$first}"; done)
	CPUS=("${CPUS[@]:0:2}")
	use_cpus "$(IFS=,; echo "${CPUS[*]}")" $$
}

# use_cpus LIST PID...: with all their threads
use_cpus() {
	local pid

	for pid in "${@:2}"; do
		taskset -acp "$1" "$pid" >/dev/null
	done
}

# pin_all PIDS, unpin_all PIDS: these (with commas), the server and what is started from now on, to
# one CPU. Between two the scheduler's choice, who wakes whom across CPUs, is most of the latency.
pin_all() {
	local -a pids

	IFS=, read -ra pids <<<"$1"
	use_cpus "${2:-${CPUS[0]}}" $$ "$SERVER_PID" "${pids[@]}"
}

unpin_all() {
	pin_all "$1" "$(IFS=,; echo "${CPUS[*]}")"
}

# ---- machines ------------------------------------------------------------------------------

make_machine() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	# Client and proxy close first, and both would run out of ports in seconds else.
	in_ns "$1" sysctl -q -w net.ipv4.tcp_congestion_control=reno net.ipv4.tcp_tw_reuse=1 \
		net.ipv4.ip_local_port_range='10240 65535' net.core.somaxconn=4096
}

# make_wire MACHINE DEVICE FAR NEAR: its eth0 to that device of host
make_wire() {
	ip link add "$2" netns host type veth peer name eth0 netns "$1"
	ip -n host addr add "$4/24" dev "$2"
	ip -n host link set "$2" up
	ip -n "$1" addr add "$3/24" dev eth0
	ip -n "$1" link set eth0 up
	ip -n "$1" route add default via "$4"
}

lab_up() {
	local machine

	for machine in client host server; do
		make_machine $machine
	done
	in_ns host sysctl -q -w net.ipv4.ip_forward=1
	make_wire client lan0 "$CLIENT" 10.0.1.1
	make_wire server wan0 "$SERVER" "$HOST"
	nsenter --net=/run/netns/server "$TOOLS/relay-server" sink=$SINK source=$SOURCE_PORT \
		echo=$ECHO who=$WHO echo=$FIRST_ECHO-$LAST_ECHO socks=$SOCKS \
		"${SERVER_ROLES[@]}" &
	SERVER_PID=$!
	wait_for 5 "[[ \$(in_ns server ss -Hltn 'sport = :$SOCKS' | wc -l) == 1 ]]" ||
		die 'the server does not listen'
}

lab_down() {
	local machine

	kill -KILL "$SERVER_PID"
	wait "$SERVER_PID" 2>/dev/null || true
	for machine in client host server; do
		ip netns del $machine
	done
}

# ---- processes -----------------------------------------------------------------------------

# tree PID: it and all that descend from it
tree() {
	local child

	echo "$1"
	for child in $(pgrep -P "$1"); do
		tree "$child"
	done
}

# stop PID: let it end; for it and its children alike
stop() {
	kill "$1" 2>/dev/null || true
	wait_for 5 "! kill -0 $1" || kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

host_connections() {
	in_ns host ss -Htn state established | wc -l
}

open_connections() {
	in_ns host ss -Htn state all exclude time-wait exclude listening | wc -l
}

# The connections of the last load are gone, in the proxy as well.
settled() {
	wait_for 10 "((\$(open_connections) == 0))"
}

# ask_who PORT: "ADDRESS SOCKETS": what the server sees of a connection there, and how many
# connections are on host while it is held
ask_who() {
	local seen n who_out who_in who_pid

	coproc who { in_ns client "$TOOLS/relay-load" who "$SERVER" "$1"; }
	# bash forgets these when the coprocess ends
	who_out=${who[0]} who_in=${who[1]} who_pid=$!
	read -r -t 5 seen _ <&"$who_out" || seen=nothing
	n=$(host_connections)
	exec {who_in}>&- {who_out}<&-
	wait "$who_pid" || true
	echo "$seen $n"
}

# ---- proxies -------------------------------------------------------------------------------

# on_host LOG COMMAND...: start the proxy
on_host() {
	: >"$1" # at once: the last one's words are not this one's
	nsenter --net=/run/netns/host "${@:2}" >>"$1" 2>&1 &
	PROXY=$!
}

# listening PORT: so many sockets listen there on host
listening() {
	in_ns host ss -Hltn "sport = :$1" | wc -l
}

# up_when CONDITION: the proxy must be ready soon
up_when() {
	wait_for 10 "$1 || ! kill -0 $PROXY" && kill -0 "$PROXY" 2>/dev/null && return 0
	tail -n 5 "$T/proxy.log" >&2
	return 1
}

# Packets of transparent sockets, and those to be intercepted, are delivered here.
deliver_marked() {
	ip -n host rule add fwmark 1 lookup 100
	ip -n host route add local default dev lo table 100
}

# ---- runs ----------------------------------------------------------------------------------

# record ROUND WAY LOAD KEY VALUE: a line of JSON; VALUE is JSON itself
record() {
	printf '{"round":%d,"way":"%s","load":"%s","%s":%s}\n' "$@" >>"$OUT/runs"
}

fail() {
	local reason

	reason=$(tr -c '[:alnum:] .,:()=-' ' ' <<<"$4")
	record "$1" "$2" "$3" failed "\"$reason\""
	progress "$1" "$2" "$3" "FAILED: $reason"
}

progress() {
	printf '%(%H:%M:%S)T  round %s/%s  %-24s %-15s %s\n' -1 "$1" "$ROUNDS" "$2" "$3" "$4" >&2
}

# measure ROUND WAY LOAD PIDS
measure() {
	local -a arguments
	local result

	read -r -d '' -a arguments <<<"$(load_arguments "$3")" || true
	[[ -z $4 ]] || arguments+=(-p "$4")
	[[ $3 != one-cpu-* ]] || pin_all "$4"
	if ! settled; then
		fail "$1" "$2" "$3" 'connections of the load before are still open on the host'
	elif result=$(in_ns client timeout 60 "$TOOLS/relay-load" "${arguments[@]}" 2>"$T/error"); then
		record "$1" "$2" "$3" result "$result"
		progress "$1" "$2" "$3" "$("$REPORT" --line "$3" "$result")"
	else
		fail "$1" "$2" "$3" "$(cat "$T/error")"
	fi
	[[ $3 != one-cpu-* ]] || unpin_all "$4"
}

offloads_of() {
	in_ns host ethtool -k "$1" | grep -E '^(tx-check|tcp-seg|generic)' |
		sed 's/ \[fixed\]//; s/://' | paste -sd,
}

warn_if_busy() {
	local load

	read -r load _ </proc/loadavg
	((${load%.*} < 1)) || echo "${0##*/}: the machine is busy (load average $load):" \
		'what is measured now is not to be quoted' >&2
}

# ---- before the sandbox ----------------------------------------------------------------------

# build TARGET...
build() {
	local log=$BUILD/bench.log

	[[ -z $KEEP ]] || return 0
	[[ $BUILD != "$SOURCE/build" ]] || "$SOURCE/deploy/packages.sh" build
	mkdir -p "$BUILD"
	{ cmake -S "$SOURCE" -B "$BUILD" && cmake --build "$BUILD" --parallel "$(nproc)" \
		--target "$@"; } >"$log" 2>&1 && return 0
	tail -n 30 "$log" >&2
	die 'cannot build'
}

# The commit that is measured, before the sandbox hides who owns the tree.
commit_of_tree() {
	local commit

	commit=$(git -c safe.directory="$SOURCE" -C "$SOURCE" rev-parse --short HEAD 2>/dev/null) ||
		commit=unknown
	[[ -z $(git -c safe.directory="$SOURCE" -C "$SOURCE" status --porcelain 2>/dev/null) ]] ||
		commit+=', with changes'
	echo "$commit"
}

# In the background, as unshare itself would not end by ^C; with it goes all that it started.
enter_sandbox() {
	local sandbox

	trap 'kill -KILL "$sandbox" 2>/dev/null; wait "$sandbox" 2>/dev/null || true
		echo "${0##*/}: broken off; nothing of it is left" >&2
		exit 1' INT TERM HUP
	BENCH_INSIDE=yes unshare --mount --net --pid --fork --kill-child --mount-proc \
		"$0" "$@" &
	sandbox=$!
	wait "$sandbox"
}

# ---- benchmarks of rounds alone ------------------------------------------------------------

# parse_round_options ARG...: --rounds, --build, --out, --keep and --help, of one that has no others;
# its results are in a directory of its name
parse_round_options() {
	local name=${0##*/}

	while (($#)); do
		case $1 in
		--rounds | --build | --out)
			(($# > 1)) || { echo "$name: $1: needs a value" >&2; exit 2; }
			;;&
		--rounds) ROUNDS=$2; shift ;;
		--build) BUILD=$(realpath -m "$2"); shift ;;
		--out) OUT=$(realpath -m "$2"); shift ;;
		--keep) KEEP=yes ;;
		-h | --help) usage; exit 0 ;;
		*) echo "$name: '$1': unknown option; try --help" >&2; exit 2 ;;
		esac
		shift
	done
	[[ $ROUNDS =~ ^[1-9][0-9]?$ ]] || { echo "$name: --rounds '$ROUNDS'" >&2; exit 2; }
	TOOLS=$BUILD/bench
	OUT=${OUT:-$BUILD/bench/${name%.sh}}
}

# run_rounds ARG...: what such a one does: `inside` in a sandbox, and then `report`
run_rounds() {
	parse_round_options "$@"
	if [[ ${BENCH_INSIDE-} ]]; then
		inside
		return
	fi
	((EUID == 0)) || die 'must be root: it makes network namespaces'
	build shuntctl shuntd bench-tools
	mkdir -p "$OUT"
	warn_if_busy
	enter_sandbox "$@"
	report
}

# ---- system calls --------------------------------------------------------------------------

traced_calls=(accept accept4 bind clock_gettime close close_range connect epoll_ctl epoll_pwait
	epoll_wait fcntl futex getpeername getsockname getsockopt gettimeofday ioctl pipe2 read
	readv recvfrom recvmsg sendmsg sendto setsockopt shutdown socket splice timerfd_settime
	write writev)

perf_works() {
	command -v perf >/dev/null && [[ -d /sys/kernel/tracing/events/raw_syscalls ]] &&
		perf stat -e raw_syscalls:sys_enter true 2>/dev/null
}

# perf_calls PIDS COMMAND...: lines "NAME COUNT" ('all': their sum); the command's output to $T/load
perf_calls() {
	local call events=raw_syscalls:sys_enter

	for call in "${traced_calls[@]}"; do
		[[ ! -d /sys/kernel/tracing/events/syscalls/sys_enter_$call ]] ||
			events+=,syscalls:sys_enter_$call
	done
	perf stat -x, -o "$T/perf" -e "$events" -p "$1" -- "${@:2}" >"$T/load" || return 1
	sed -nE 's/^([0-9]+),,(raw_syscalls:sys_enter|syscalls:sys_enter_([a-z0-9_]+)),.*/\2 \1/p' \
		"$T/perf" | sed -E 's/^raw_syscalls:sys_enter /all /; s/^syscalls:sys_enter_//'
}

is_traced() {
	grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$1/status"
}

# The same by strace, which slows the proxy down, so that more happens between two waits.
strace_calls() {
	local -a pids
	local tracer

	IFS=, read -ra pids <<<"$1"
	strace -c -f -o "$T/strace" "${pids[@]/#/-p}" 2>/dev/null &
	tracer=$!
	wait_for 5 "is_traced ${pids[-1]}" || return 1
	"${@:2}" >"$T/load" || return 1
	kill -INT "$tracer"
	wait "$tracer" || true
	awk '$1 ~ /^[0-9.]+$/ { name = $NF == "total" ? "all" : $NF; print name, $4 }' "$T/strace"
}

# calls PIDS COMMAND...
calls() {
	if [[ $TRACER == perf ]]; then
		perf_calls "$@"
	else
		strace_calls "$@"
	fi
}
