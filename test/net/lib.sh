# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The lab of the network stories. A story is a file of test cases:
#
#	. "$(dirname "$0")/lib.sh"
#	something() { lab_up; ...; }
#	check ID 'title' something ARG...
#	story_run "$@"
#
# Each case runs by itself in a sandbox (sandbox.sh) with a lab of its own:
#
#   +--------+              +----------------------+              +--------+
#   |   cl   |--eth0--------|c0         gw       u0|--------eth0--|   sv   |
#   +--------+   10.1.0.0/24|.1                  .1|10.2.0.0/24   +--------+
#   .2   | fd01::/64        |  forwards; shunt is  |fd02::/64       .2
#   +--------+              |  on c0 (and u0, lo   |
#   |  cl2   | .3 (macvlan  |  where a case says)  |
#   +--------+  on cl:eth0) +----------x0----------+
#                              .1      |
#                    10.3.0.0/24       |          not intercepted
#                    fd03::/64      +------+
#                             .2    |  xl  |
#                                   +------+
#
# A case passes if its function returns and the lab, after `shuntctl down`, is as it was when
# lab_up had built it. `set -e` holds in a case, so each failing command ends it.

set -Eeuo pipefail
export LC_ALL=C

LAB_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_BUILD=${LAB_BUILD:-$(cd "$LAB_DIR/../.." && pwd)/build}
export LAB_TOOLS=$LAB_BUILD/test
LAB_LOGS=${LAB_LOGS:-$LAB_BUILD/test-logs}
LAB_FAST=${LAB_FAST:-}
STORY=$(basename "$0" .sh)
# The bounds in the stories are for a machine that has nothing else to do. Only a failure takes
# longer when they are wider, so each is widened by this factor: of a wait, and of a case.
PATIENCE=8

flowgen=$LAB_TOOLS/flowgen tcploop=$LAB_TOOLS/tcploop rawsend=$LAB_TOOLS/rawsend
HOOK=auto # of up
DELIVER=${LAB_DELIVER:-} # of up, "" as it does by itself
: "$flowgen" "$tcploop" "$rawsend" "$LAB_FAST" # for the stories; not all use all

# ---- cases ---------------------------------------------------------------------------------

CASE_IDS=()
declare -A CASE_TITLE CASE_RUN CASE_LIMIT

# check [-t SECONDS] ID TITLE FUNCTION [ARG...]: declare a case. ID has no blanks.
check() {
	local limit=60

	if [[ $1 == -t ]]; then
		limit=$2
		shift 2
	fi
	[[ -z ${CASE_TITLE[$1]-} ]] || { echo "case '$1' twice in $STORY" >&2; exit 2; }
	CASE_IDS+=("$1")
	CASE_TITLE[$1]=$2
	CASE_LIMIT[$1]=$((limit * PATIENCE))
	CASE_RUN[$1]=$(printf '%q ' "${@:3}")
}

# skip REASON: the machine cannot do what the case needs.
skip() {
	echo "$*" >"$T/skipped"
	exit 77
}

_case_failed() {
	local code=$1 i

	((BASH_SUBSHELL == 0)) || return 0
	echo "-- failed with $code: $BASH_COMMAND"
	for ((i = 1; i < ${#FUNCNAME[@]} - 1; i++)); do
		echo "--   ${FUNCNAME[i]}, ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]}"
	done
	if [[ -n ${DEBUG_SHELL-} ]]; then
		echo "-- a shell in the lab: namespaces in /run/netns, files in $T"
		(cd "$T" && bash --norc -i <>/dev/tty >&0 2>&0) || true
	fi
}

# Inside the sandbox: run one case.
_case_main() {
	local id=$1 code

	[[ -n ${CASE_TITLE[$id]-} ]] || { echo "no case '$id' in $STORY" >&2; exit 2; }
	T=$(mktemp -d "/run/case.XXXXXX")
	chmod 755 "$T"
	trap 'code=$?; _case_failed $code >&2; exit $code' ERR
	trap '_show_outputs >&2' EXIT
	trap 'exit 124' TERM
	eval "${CASE_RUN[$id]}"
	_case_finish
	trap - EXIT
}

_show_outputs() {
	local f

	[[ ! -e $T/skipped ]] || { cp "$T/skipped" "$CASE_SKIPPED"; return 0; }
	for f in "$T"/*.err; do
		[[ ! -s $f ]] || { echo "-- end of ${f##*/}:"; tail -n 15 "$f"; }
	done
}

# Outside: start the sandbox of one case, and print its line.
_case_spawn() {
	local id=$1 log=$LAB_LOGS/$STORY/$1.log start=${EPOCHREALTIME/./} code=0 took

	mkdir -p "${log%/*}"
	export CASE_SKIPPED=${log%.log}.skipped
	rm -f "$CASE_SKIPPED"
	# A person in a debug shell has time, and the terminal.
	timeout ${DEBUG_SHELL:+--foreground} --kill-after=5 \
		"$([[ -n ${DEBUG_SHELL-} ]] && echo 0 || echo "${CASE_LIMIT[$id]}")" \
		"$LAB_DIR/sandbox.sh" "$0" --case "$id" >"$log" 2>&1 </dev/null &
	# timeout is in a process group of its own: Ctrl-C does not reach it.
	# shellcheck disable=SC2064 # now
	trap "kill $! 2>/dev/null; exit 130" INT TERM
	wait $! || code=$?
	trap - INT TERM
	took=$((${EPOCHREALTIME/./} - start))
	took=$(printf '(%d.%d)' $((took / 1000000)) $((took / 100000 % 10)))
	case $code in
	0)
		echo "ok $id ${CASE_TITLE[$id]} $took"
		return 0
		;;
	77)
		if [[ -s $CASE_SKIPPED ]]; then
			echo "skipped $id ${CASE_TITLE[$id]}: $(<"$CASE_SKIPPED")"
			return 0
		fi
		;;
	124 | 137) echo "-- not done after ${CASE_LIMIT[$id]} s" >>"$log" ;;
	esac
	echo "not ok $id ${CASE_TITLE[$id]} $took"
	tail -n "${LAB_TAIL:-25}" "$log" | sed 's/^/#   /'
	echo "#   whole log: $log"
	return 1
}

# story_run [-k PATTERN] [--list]: run the cases whose "STORY/ID TITLE" matches.
story_run() {
	local pattern='' list='' id failed=0

	while (($#)); do
		case $1 in
		-k) pattern=$2; shift ;;
		--list) list=yes ;;
		--case)
			_case_main "$2"
			exit 0
			;;
		*) echo "usage: $0 [-k PATTERN] [--list]" >&2; exit 2 ;;
		esac
		shift
	done
	if [[ -z $list ]] && ((EUID)); then
		echo "$0: must be root" >&2
		exit 1
	fi
	for id in "${CASE_IDS[@]}"; do
		[[ "$STORY/$id ${CASE_TITLE[$id]}" =~ $pattern ]] || continue
		if [[ -n $list ]]; then
			echo "$STORY/$id ${CASE_TITLE[$id]}"
		else
			_case_spawn "$id" || failed=1
		fi
	done
	return $failed
}

# ---- saying, waiting, asserting --------------------------------------------------------------

say() {
	echo "-- $*" >&2
}

fail() {
	echo "-- $*" >&2
	return 1
}

# wait_for SECONDS CONDITION: poll until the shell text is true; SECONDS are those of a quiet
# machine, many more are granted. The condition must not print.
wait_for() {
	local until=$((${EPOCHREALTIME/./} + $1 * PATIENCE * 1000000))

	until eval "$2" >/dev/null 2>&1; do
		((${EPOCHREALTIME/./} < until)) || fail "not within $1 s (times $PATIENCE): $2" || return 1
		sleep 0.03
	done
}

# must_fail CODE REGEX COMMAND...: it must end with that code (or one of A|B) and say that.
must_fail() {
	local want=$1 regex=$2 code=0 text

	shift 2
	text=$("$@" 2>&1 >/dev/null) || code=$?
	# in_ns echoes its command; that is not what the program said.
	text=$(grep -v '^[a-z0-9]*\$ ' <<<"$text" || true)
	[[ "|$want|" == *"|$code|"* ]] ||
		fail "exit code $code, not $want: $* (it said: $text)" || return 1
	[[ $text =~ $regex ]] || fail "'$text' does not match '$regex': $*"
}

# same WHAT ACTUAL EXPECTED
same() {
	[[ $2 == "$3" ]] || fail "$1 is '$2', not '$3'"
}

# at_most WHAT ACTUAL LIMIT, at_least WHAT ACTUAL LIMIT: integers
at_most() {
	(($2 <= $3)) || fail "$1 is $2, more than $3"
}

at_least() {
	(($2 >= $3)) || fail "$1 is $2, less than $3"
}

# says [GREP-OPTION...] REGEX: stdin has such a line. It reads all, which `grep -q` does not: who
# still writes when that has ended is killed by SIGPIPE, and fails the pipeline.
says() {
	local text

	text=$(cat)
	[[ -n $text ]] && grep -q "$@" <<<"$text"
}

# becomes WHAT EXPECTED COMMAND...: what it prints is that, soon. For what somebody writes down after
# the other end has seen it: an end of a flow, a line of a log.
becomes() {
	local what=$1 expected=$2 actual=''
	# shellcheck disable=SC2034 # in the text below, which is evaluated there and sees this
	local -a ask=("${@:3}")

	# shellcheck disable=SC2016
	wait_for 5 'actual=$("${ask[@]}"); [[ $actual == "$expected" ]]' ||
		same "$what" "$actual" "$expected"
}

# in_time WHAT MS LIMIT: what takes seconds, and must not take minutes
in_time() {
	at_most "$1, ms" "$2" $(($3 * PATIENCE))
}

# ---- processes -------------------------------------------------------------------------------

declare -A PIDS=()

# in_ns NS COMMAND...: `ip netns exec` would hide bpffs, so enter the network namespace only.
in_ns() {
	echo "$1\$ ${*:2}" >&2
	nsenter --net="/run/netns/$1" "${@:2}"
}

# start NAME NS COMMAND...: in the background, output in $T/NAME.out and $T/NAME.err
start() {
	local name=$1 ns=$2

	shift 2
	echo "$ns\$ $* &" >&2
	# What an earlier one of that name said is looked through at the end.
	[[ ! -s $T/$name.err ]] || mv "$T/$name.err" "$T/$name.err.$EPOCHREALTIME"
	# Now, not when the background job gets its turn: somebody waits for words in them.
	: >"$T/$name.out"
	: >"$T/$name.err"
	nsenter --net="/run/netns/$ns" "$@" >"$T/$name.out" 2>"$T/$name.err" </dev/null &
	PIDS[$name]=$!
}

# start_ready NAME NS COMMAND...: and wait until it says `ready` on stderr
start_ready() {
	start "$@"
	wait_for 10 "grep -q '^ready' '$T/$1.err' || ! alive $1"
	alive "$1" || fail "$1 ended at once"
}

alive() {
	[[ -n ${PIDS[$1]-} ]] && kill -0 "${PIDS[$1]}" 2>/dev/null
}

# finish NAME [SECONDS]: wait for its end; returns its exit code
finish() {
	local pid=${PIDS[$1]} code=0

	wait_for "${2:-30}" "! kill -0 $pid"
	wait "$pid" || code=$?
	unset "PIDS[$1]"
	return $code
}

# stop NAME [SIGNAL]: returns its exit code, 0 if that very signal ended it
stop() {
	local code=0 signal=${2:-TERM}

	[[ -n ${PIDS[$1]-} ]] || return 0
	kill "-$signal" "${PIDS[$1]}" 2>/dev/null || true
	finish "$1" 10 || code=$?
	((code != 128 + $(kill -l "$signal"))) || code=0
	return $code
}

# A crash or a sanitizer's report fails the case, whoever wrote it. EXPECT_DEATH=yes: the case
# kills workers on purpose.
nothing_broke() {
	local signs='Sanitizer|runtime error:' f

	[[ -n ${EXPECT_DEATH-} ]] || signs+='|was ended by signal|worker [0-9]+ failed'
	for f in "$T"/*.err*; do
		[[ ! -e $f ]] || ! grep -nE "$signs" "$f" >&2 || fail 'a program broke' || return 1
	done
}

# ---- the lab ---------------------------------------------------------------------------------

# family 4|6: the lab's addresses; the *_U forms fit a URL or ADDR:PORT
family() {
	FAM=$1
	if ((FAM == 4)); then
		CL=10.1.0.2 CL2=10.1.0.3 GW_C=10.1.0.1 GW_U=10.2.0.1 GW_X=10.3.0.1 SV=10.2.0.2
		XL=10.3.0.2 LOOP=127.0.0.1 NET_C=10.1.0.0/24 NET_U=10.2.0.0/24 ALL=0.0.0.0/0
		HOSTLEN=32
	else
		CL=fd01::2 CL2=fd01::3 GW_C=fd01::1 GW_U=fd02::1 GW_X=fd03::1 SV=fd02::2
		XL=fd03::2 LOOP=::1 NET_C=fd01::/64 NET_U=fd02::/64 ALL=::/0
		HOSTLEN=128
	fi
	CL_U=$(in_url "$CL") SV_U=$(in_url "$SV") GW_C_U=$(in_url "$GW_C") GW_U_U=$(in_url "$GW_U")
	LOOP_U=$(in_url "$LOOP")
	# For the stories; not all use all.
	: "$CL2" "$GW_X" "$XL" "$NET_C" "$NET_U" "$ALL" "$HOSTLEN" "$CL_U" "$SV_U" "$GW_C_U" \
		"$GW_U_U" "$LOOP_U"
}

in_url() {
	[[ $1 == *:* ]] && echo "[$1]" || echo "$1"
}

_ns_up() {
	local ns=$1

	ip netns add "$ns"
	nsenter --net="/run/netns/$ns" sysctl -q -w net.ipv4.tcp_congestion_control=reno \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0
	ip -n "$ns" link set lo up
}

# _leg NS N GWDEV: an end host NS and its wire to gw, in network N
_leg() {
	local ns=$1 n=$2 dev=$3

	ip link add "$dev" netns gw type veth peer name eth0 netns "$ns"
	ip -n gw -batch - <<-END
		addr add 10.$n.0.1/24 dev $dev
		addr add fd0$n::1/64 dev $dev nodad
		link set $dev up
	END
	ip -n "$ns" -batch - <<-END
		addr add 10.$n.0.2/24 dev eth0
		addr add fd0$n::2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.$n.0.1
		route add default via fd0$n::1
	END
}

lab_up() {
	local ns

	for ns in cl gw sv xl; do
		_ns_up "$ns"
	done
	nsenter --net=/run/netns/gw sysctl -q -w net.ipv4.ip_forward=1 \
		net.ipv6.conf.all.forwarding=1
	_leg cl 1 c0
	_leg sv 2 u0
	_leg xl 3 x0
	# A link-local address and its routes appear a moment after the carrier.
	for ns in cl sv xl; do
		wait_for 5 "ip -n $ns -6 addr show dev eth0 scope link | says fe80"
	done
	wait_for 10 "ip -n gw -6 addr show scope link | grep -c fe80 | says 3"
	lab_mark
}

# A second client on the link of the first.
lab_second_client() {
	_ns_up cl2
	ip -n cl link add m0 link eth0 type macvlan mode bridge
	ip -n cl link set m0 netns cl2 name eth0
	ip -n cl2 -batch - <<-END
		addr add 10.1.0.3/24 dev eth0
		addr add fd01::3/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.1.0.1
		route add default via fd01::1
	END
	lab_mark
}

# What the lab looks like now is what it must look like at the end.
lab_mark() {
	wait_for 20 _link_locals_are_routed
	snapshot gw >"$T/state.before"
}

# The kernel adds the two routes of a link-local address a moment after the address.
_link_locals_are_routed() {
	local addresses routes

	addresses=$(ip -n gw -6 addr show scope link | grep -c fe80) || true
	routes=$(ip -n gw -6 route show table local | grep -cE '^(local|anycast) fe80') || true
	((routes == 2 * addresses))
}

# snapshot NS
snapshot() {
	nsenter --net="/run/netns/$1" "$LAB_DIR/state.sh"
}

# assert_same_state BEFORE AFTER
assert_same_state() {
	diff -U0 "$1" "$2" >&2 || fail "the state has changed"
}

# After the case's function: what it started is stopped in good order, what it put up is taken
# down, and nothing may be left.
_case_finish() {
	local name instance

	for name in "${!PIDS[@]}"; do
		stop "$name" || fail "'$name' ended with an error" || return 1
	done
	nothing_broke || return 1
	[[ -e /run/netns/gw ]] || return 0
	for instance in /sys/fs/bpf/shunt/*/*; do
		[[ ! -d $instance ]] || ctl --instance "${instance##*/}" down || return 1
	done
	snapshot gw >"$T/state.after"
	assert_same_state "$T/state.before" "$T/state.after"
}

# lab_down: for a case that needs more than one lab
lab_down() {
	local ns

	_case_finish
	for ns in /run/netns/*; do
		ip netns del "${ns##*/}"
	done
}

# ---- shunt -----------------------------------------------------------------------------------

# ctl ARG...: shuntctl on the gateway
ctl() {
	in_ns gw "$LAB_BUILD/shuntctl" "$@"
}

# up [ARG...]: on c0, with the hook of the case
up() {
	ctl up -i c0 --hook "$HOOK" ${DELIVER:+--deliver "$DELIVER"} "$@" >/dev/null
}

# by_loopback FUNCTION [ARG...]: the same, with delivery by way of lo
by_loopback() {
	DELIVER=loopback
	"$@"
}

# rules LINE...: the rules are these
rules() {
	printf '%s\n' "$@" >"$T/rules"
	ctl up -f "$T/rules" >/dev/null
}

# shuntd [ARG...]: start it on the gateway
shuntd() {
	start_ready shuntd gw "$LAB_BUILD/shuntd" "$@"
}

# proxied NAME: a counter of shuntd itself
proxied() {
	local seen

	seen=$(grep -c 'active=' "$T/shuntd.err") || true
	kill -USR1 "${PIDS[shuntd]}"
	wait_for 5 "(( \$(grep -c 'active=' '$T/shuntd.err') > $seen ))"
	grep 'active=' "$T/shuntd.err" | tail -n 1 | grep -oE "(^| )$1=[0-9]+" | cut -d= -f2
}

# counter NAME
counter() {
	ctl --json status 2>/dev/null | jq -er ".counters.$1"
}

# settled_counter NAME: when it does not change any more, as it does while a connection ends
settled_counter() {
	local now before=''

	now=$(counter "$1")
	until [[ $now == "$before" ]]; do
		before=$now
		wait_for 1 "((${EPOCHREALTIME/./} + 400000 < \${EPOCHREALTIME/./}))"
		now=$(counter "$1")
	done
	echo "$now"
}

# rule_flows PRIORITY: flows that the rule decided
rule_flows() {
	ctl --json rule list 2>/dev/null | jq -er ".[] | select(.priority == $1) | .flows"
}

# ---- servers and clients ---------------------------------------------------------------------

# web_server NS: nginx on 80, 443 (plain) and 8080; $T/NS.access has a line per request
web_server() {
	local ns=$1 dir=$T/nginx-$1

	mkdir -p "$dir/www"
	echo "hello from $ns" >"$dir/www/hello"
	cat >"$dir/conf" <<-END
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr warn;
		events { worker_connections 4096; }
		http {
			log_format where '\$remote_addr \$remote_port \$server_addr \$server_port \$uri';
			access_log $T/$ns.access where;
			server {
				listen unix:$dir/settled;
				access_log off;
				return 204;
			}
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 80;
				listen [::]:80;
				listen 443;
				listen [::]:443;
				listen 8080;
				listen [::]:8080;
				root $dir/www;
				sendfile on;
			}
		}
	END
	: >"$T/$ns.access"
	rm -f "$dir/settled"
	start "nginx-$ns" "$ns" nginx -p "$dir" -c "$dir/conf" -e stderr
	wait_for 10 "nsenter --net=/run/netns/$ns ss -Hltn 'sport = :8080' | says '\[::\]'"
}

# fetch NS URL [CURL-OPTION...]: the body on stdout
fetch() {
	in_ns "$1" curl -sS --noproxy '*' --max-time 60 "${@:3}" "$2"
}

# fetch_hello NS URL: and it is the server's
fetch_hello() {
	same "answer of $2" "$(fetch "$@")" 'hello from sv'
}

# no_connections NS...: none is open there any more, or about to end
no_connections() {
	local ns

	for ns in "$@"; do
		wait_for 10 "! nsenter --net=/run/netns/$ns ss -Htan exclude listening \
			exclude time-wait | says ."
	done
}

# flow_server [NS]: flowgen's server on port 7000
flow_server() {
	start_ready server "${1:-sv}" "$flowgen" server 7000
}

# flows_right N [NAME]: the flows that the server has seen so far, all of them right
flows_right() {
	local want=$1 name=${2:-server}

	# The server may learn of the last close after the client.
	wait_for 5 "(( \$(flow_report .flows $name) >= $want ))" || true
	same "flows that '$name' saw" "$(flow_report .flows "$name")" "$want"
	same "flows that were right at '$name'" "$(flow_report .ok "$name")" "$want"
}

# flow_report JQ [NAME]: of a server, or of another mode of flowgen that reports, now
flow_report() {
	report_again "${2:-server}"
	tail -n 1 "$T/${2:-server}.out" | jq -er "$1"
}

# report_again NAME: make a flowgen report, and wait for the line
report_again() {
	local seen

	seen=$(wc -l <"$T/$1.out")
	kill -USR1 "${PIDS[$1]}"
	wait_for 5 "(( \$(wc -l <'$T/$1.out') > $seen ))"
}

# load_start SIZE: 1100 new flows a second until load_end, which wants each of them right. Less
# where the machine cannot take that many: no more than 100 at a time.
load_start() {
	LOAD_START=${EPOCHREALTIME/./}
	start load cl "$flowgen" rate 1100 1000 "$SV_U:7000" --max-size "$1" -c 100
	wait_for 10 '(($(flow_report .flows) > 300))'
}

load_end() {
	local report=$T/load.out ms now

	# What has happened meanwhile is no harm to those that come later, either.
	now=$(flow_report .flows)
	wait_for 10 '(($(flow_report .flows) > now + 300))'
	ms=$(((${EPOCHREALTIME/./} - LOAD_START) / 1000))
	alive load || fail 'the load has ended by itself'
	stop load || true # those that are just open make it a failure
	same 'flows of the load that went wrong' \
		"$(jq '.short + .excess + .mismatched + .resets + .no_connect + .stuck' "$report")" 0
	# 1100 a second where the machine has nothing else to do.
	say "load: $(jq .ok "$report") flows in $ms ms, $(($(jq .ok "$report") * 1000 / ms)) a second"
}

# lab_sanitizer: of the build, or none
lab_sanitizer() {
	sed -n 's/^SHUNT_SANITIZE:STRING=//p' "$LAB_BUILD/CMakeCache.txt"
}

# Its one process writes the line of a request when it has sent the answer, and turns to the next
# one then: who has an answer to a question of now knows that no line is missing.
_web_settled() {
	[[ -z ${PIDS[nginx-$1]-} ]] ||
		curl -sS --max-time 60 --unix-socket "$T/nginx-$1/settled" http://nginx/ 2>/dev/null || true
}

# seen NS: address and port that the server saw in the last request
seen() {
	_web_settled "$1"
	tail -n 1 "$T/$1.access" | cut -d' ' -f1,2
}

# requests NS: how many the server has answered
requests() {
	_web_settled "$1"
	wc -l <"$T/$1.access"
}
