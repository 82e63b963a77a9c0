#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Rules and sets change in one step: under load no flow is decided by a mixture, whatever changes
# them, and whoever is killed while doing so.
#
# The gateway has the targets a, b and t, each a server that says its name; sv has all of
# 10.9.0.0/16 and fd09::/64 and says 'sv'. Of two generations the one gives every flow to a, the
# other to b, each by rules and sets that make t of it, or sv, if only a part of them is seen.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

who=$LAB_TOOLS/who churn=$LAB_TOOLS/churn

named_servers() {
	lab_up
	ip -n gw route add 10.9.0.0/16 via 10.2.0.2
	ip -n gw route add fd09::/64 via fd02::2
	ip -n sv route add local 10.9.0.0/16 dev lo
	ip -n sv route add local fd09::/64 dev lo
	lab_mark
	start_ready sv sv "$who" server sv=0.0.0.0:80 'sv=[::]:80'
	start_ready targets gw "$who" server a=127.0.0.1:7001 'a=[::1]:7001' \
		b=127.0.0.1:7002 'b=[::1]:7002' t=127.0.0.1:7003 't=[::1]:7003'
	up
	ctl target add a adopt "${PIDS[targets]}" 7001
	ctl target add b adopt "${PIDS[targets]}" 7002
	ctl target add t adopt "${PIDS[targets]}" 7003
}

# generations N: N rules with a destination of their own, in opposite order; rules by sets that
# are exchanged; and, of the one, an audit rule behind which the search goes on, between the
# two of the other. $T/rules.a, $T/rules.b
generations() {
	local i n=$1

	{
		echo 'set x 10.9.0.0/24,fd09::/120'
		echo 'set y'
		echo '10 tcp to @x proxy a'
		echo '20 tcp to @y proxy t'
		for ((i = 0; i < n; i++)); do
			echo "$((1000 + i)) tcp to $(host "$i") proxy a"
		done
		echo '500 tcp to 10.9.2.0/24,fd09::2:0/112 pass audit'
		echo '600 tcp to 10.9.2.0/24,fd09::2:0/112 proxy a'
		echo '9000 tcp to 10.9.0.0/16,fd09::/64 proxy t'
	} >"$T/rules.a"
	{
		echo 'set x'
		echo 'set y 10.9.0.0/24,fd09::/120'
		echo '10 tcp to @x proxy t'
		echo '20 tcp to @y proxy b'
		for ((i = 0; i < n; i++)); do
			echo "$((2000 - i)) tcp to $(host "$i") proxy b"
		done
		echo '400 tcp to 10.9.2.0/24,fd09::2:0/112 proxy b'
		echo '9000 tcp to 10.9.0.0/16,fd09::/64 proxy t'
	} >"$T/rules.b"
}

# host I: of those with a rule of their own
host() {
	echo "10.9.$((16 + $1 / 256)).$(($1 % 256)),fd09::10:$(printf %x "$1")"
}

# load RATE N: from cl, so many flows a second of each family, to all of these destinations
load() {
	start_ready four cl "$who" ask "$1" 600 10.9.0.0:80+250 "10.9.16.0:80+$2" 10.9.2.0:80+250
	start_ready six cl "$who" ask "$1" 600 "[fd09::]:80+250" "[fd09::10:0]:80+$2" \
		"[fd09::2:0]:80+250"
}

# The load has gone on all the time, and nobody was left without an answer.
load_right() {
	local name

	for name in four six; do
		stop "$name" || fail "not all flows of '$name' were answered" || return 1
		cat "$T/$name.err" >&2
	done
	at_least 'flows' "$(cat "$T/four.out" "$T/six.out" | wc -l)" 1000
	# As a SYN that met no rule and no server would be.
	at_most 'SYNs sent again' "$(nsenter --net=/run/netns/cl nstat -asz TcpExtTCPSynRetrans |
		awk '/SynRetrans/ { print $2 }')" 10
}

# answered_by NAMES: these have answered flows, and no others
answered_by() {
	local name

	for name in four six; do
		same "who answered '$name'" "$(cut -d' ' -f4 "$T/$name.out" | sort -u | xargs)" "$1"
	done
}

# consistent FLOWS CHANGES NAME0 NAME1: each flow was answered by whom a state says that was in
# force at some time between its begin and its end: NAME0 before the first change. A state may
# be in force from the begin of its change to the end of the next one.
consistent() {
	python3 - "$@" <<-'END'
		import bisect, collections, sys
		flows, changes, *names = sys.argv[1:]
		changes = [tuple(map(int, line.split())) for line in open(changes)]
		begins = [0] + [c[0] for c in changes]
		ends = [c[1] for c in changes]
		states = [1 - changes[0][2]] + [c[2] for c in changes]
		seen, during, wrong = collections.Counter(), 0, []
		for line in open(flows):
		    begin, end, to, name = line.split()
		    first = bisect.bisect_left(ends, int(begin))
		    last = bisect.bisect_right(begins, int(end)) - 1
		    seen[name] += 1
		    during += first != last
		    if name not in {names[s] for s in states[first:last + 1]}:
		        wrong.append(line.strip())
		print('--', dict(seen), f'{during} of them while something changed', file=sys.stderr)
		for line in wrong[:10]:
		    print('-- not by the rules of its time:', line, file=sys.stderr)
		sys.exit(bool(wrong) or set(seen) != set(names))
	END
}

# swaps COUNT: from the first to the second and back, and so on
swaps() {
	in_ns gw "$churn" swap "$1" "$T/rules.a" "$T/rules.b"
}

swapped() {
	named_servers
	generations 996
	swaps 2 >/dev/null
	load 600 996
	swaps "$1" >"$T/changes"
	load_right
	consistent "$T/four.out" "$T/changes" a b
	consistent "$T/six.out" "$T/changes" a b
}

# The rules of the one with the sets of the other are in force for a moment: that must be seen.
mixed() {
	named_servers
	generations 10
	swaps 2 >/dev/null
	load 600 10
	wait_for 10 "(( \$(wc -l <$T/four.out) > 500 ))"
	swaps 1 >"$T/changes"
	cat <(grep ^set "$T/rules.b") <(grep -v ^set "$T/rules.a") >"$T/rules.half"
	in_ns gw "$churn" swap 1 "$T/rules.b" "$T/rules.half" >/dev/null
	in_ns gw "$churn" swap 1 "$T/rules.half" "$T/rules.a" >>"$T/changes"
	load_right
	must_fail 1 'not by the rules of its time' consistent "$T/four.out" "$T/changes" a b
	must_fail 1 'not by the rules of its time' consistent "$T/six.out" "$T/changes" a b
}

operations() {
	named_servers
	generations 50
	printf '%s\n' 'set z 192.0.2.0/24' '4 tcp to @z proxy b' >>"$T/rules.a"
	swaps 2 >/dev/null
	load 600 50
	in_ns gw "$churn" rule $(($1 / 2)) '5 tcp to 10.9.0.0/16,fd09::/64 proxy b' >"$T/changes"
	in_ns gw "$churn" set $(($1 / 2)) z 10.9.0.0/16 fd09::/64 >>"$T/changes"
	load_right
	consistent "$T/four.out" "$T/changes" a b
	consistent "$T/six.out" "$T/changes" a b
}

# ---- killed ---------------------------------------------------------------------------------

# all_of_it: rules and sets as they are listed
all_of_it() {
	ctl rule list --sets
}

# change ROUND: what is done in this round, of four kinds in turn, and back; the words in CHANGE
change() {
	case $(($1 % 8)) in
	0) CHANGE=(apply "$T/rules.d") ;;
	1) CHANGE=(apply "$T/rules.c") ;;
	2) CHANGE=(rule add 5 tcp to '10.9.0.0/16,fd09::/64' proxy b) ;;
	3) CHANGE=(rule del 5) ;;
	4) CHANGE=(set add x 10.9.0.0/16 fd09::/64) ;;
	5) CHANGE=(set del x 10.9.0.0/16 fd09::/64) ;;
	6) CHANGE=(set load x "$T/members") ;;
	7) CHANGE=(set load x "$T/no-members") ;;
	esac
}

killed_inputs() {
	local i

	for ((i = 0; i < 300; i++)); do
		echo "$((1000 + i)) tcp to $(host "$i") proxy a" >>"$T/rules.c"
		echo "$((2000 - i)) tcp to $(host "$i") proxy b" >>"$T/rules.d"
	done
	printf '%s\n' 'set y 10.9.0.0/22,fd09::/110' '3000 tcp to @y proxy a' >>"$T/rules.c"
	printf '%s\n' 'set y 10.9.0.0/21,fd09::/109' '3000 tcp to @y proxy b' >>"$T/rules.d"
	printf '%s\n' 'set x 192.0.2.0/24' '4 tcp to @x proxy b' '9000 tcp to 10.9.0.0/16,fd09::/64 proxy t' |
		tee -a "$T/rules.c" >>"$T/rules.d"
	printf '%s\n' 192.0.2.0/24 >"$T/no-members"
	printf '%s\n' 192.0.2.0/24 10.9.0.0/16 fd09::/64 >"$T/members"
	ctl set load x "$T/no-members"
	ctl apply "$T/rules.c" >/dev/null
	# Every state that there is when nobody is killed.
	for ((i = 0; i < 8; i++)); do
		all_of_it >"$T/before.$i"
		change $i
		calls[i]=$( (in_ns gw "$LAB_TOOLS/killat" syscall 1000000 "$LAB_BUILD/shuntctl" \
			"${CHANGE[@]}" || (($? == 3))) 2>&1 >/dev/null | tail -n 1 | cut -d' ' -f1)
		all_of_it >"$T/after.$i"
		! cmp -s "$T/before.$i" "$T/after.$i" || fail "'${CHANGE[*]}' changes nothing"
	done
}

# killed_in ROUND HOW POINT: 0 and the count in old, new or ended goes up
killed_in() {
	local round=$1 code=0

	change "$round"
	in_ns gw "$LAB_TOOLS/killat" "$2" "$3" "$LAB_BUILD/shuntctl" "${CHANGE[@]}" >/dev/null || code=$?
	all_of_it >"$T/now"
	if ((code == 3)); then
		ended=$((ended + 1))
		diff -U0 "$T/after.$((round % 8))" "$T/now" >&2
	elif cmp -s "$T/before.$((round % 8))" "$T/now"; then
		old=$((old + 1))
		ctl "${CHANGE[@]}" >/dev/null
	else
		new=$((new + 1))
		diff -U0 "$T/after.$((round % 8))" "$T/now" >&2 ||
			fail "killed before $2 $3: neither the old nor the new state" || return 1
	fi
}

killed() {
	local i last old=0 new=0 ended=0 calls=()

	named_servers
	killed_inputs
	load 600 300
	RANDOM=1
	for ((i = 0; i < $1; i++)); do
		# Anywhere, and near the end, where the change is made.
		last=$((i / 8 % 2 ? 40 : calls[i % 8]))
		killed_in "$i" syscall $((calls[i % 8] - RANDOM % last))
	done
	say "killed before a system call: $old old, $new new, $ended had ended"
	at_least 'killed before the change' "$old" 5
	at_least 'killed behind the change' "$new" 5
	for ((i = 0; i < $1; i++)); do
		killed_in "$i" usec $((RANDOM % 25000))
	done
	say "and after some time: $old old, $new new, $ended had ended"
	load_right
	answered_by 'a b'
}

# ---- several at once -------------------------------------------------------------------------

# again NAME N COMMAND...: shuntctl, so many times, in the background; @I is the number
again() {
	# shellcheck disable=SC2016 # for the shell that is begun
	start "$1" gw bash -c 'for ((i = 0; i < $0; i++)); do
		"${@//@I/$i}" || exit 1
	done' "$2" "$LAB_BUILD/shuntctl" "${@:3}"
}

all_ended() {
	local name

	for name in "$@"; do
		finish "$name" 60 || fail "one of '$name' failed" || return 1
	done
}

concurrent() {
	local i seen=0 kept

	named_servers
	killed_inputs
	ctl apply "$T/rules.d" >/dev/null
	all_of_it >"$T/d"
	ctl apply "$T/rules.c" >/dev/null
	all_of_it >"$T/c"
	load 600 300
	again c 60 apply "$T/rules.c"
	again d 60 apply "$T/rules.d"
	while alive c && alive d; do
		all_of_it >"$T/now"
		cmp -s "$T/c" "$T/now" || cmp -s "$T/d" "$T/now" ||
			fail "a list is neither: $(diff "$T/c" "$T/now" | head -n 5)"
		seen=$((seen + 1))
	done
	all_ended c d
	at_least 'lists seen meanwhile' $seen 10
	# None of many changes is lost.
	kept=$(ctl rule list | wc -l)
	again c 30 rule add 1@I to 192.0.2.1 drop
	again d 30 rule add 2@I to 192.0.2.2 drop
	again e 30 set add x 198.51.100.@I
	again f 30 set add x 203.0.113.@I
	all_ended c d e f
	same 'rules' "$(ctl rule list | wc -l)" $((kept + 60))
	same 'prefixes' "$(ctl set list x | wc -l)" 61
	again c 30 rule del 1@I
	again d 30 set del x 203.0.113.@I
	all_ended c d
	same 'rules' "$(ctl rule list | wc -l)" $((kept + 30))
	same 'prefixes' "$(ctl set list x | wc -l)" 31
	load_right
	answered_by 'a b'
}

# An operation waits for an RCU grace period, up to 16 ms; LAB_OPERATIONS=10000 takes 3 minutes.
swaps=1000 operations=${LAB_OPERATIONS:-2000} kills=240
[[ -z $LAB_FAST ]] || swaps=100 operations=1000 kills=80
check -t 120 RULE-01 "$swaps swaps of all rules and sets under load" swapped $swaps
check RULE-01-seen 'a mixture of two generations would be seen' mixed
check -t 300 RULE-01-ops "$operations changes of a rule or a set under load" operations "$operations"
check -t 180 RULE-02 "killed at $((2 * kills)) points of a change under load" killed $kills
check RULE-02-two 'several at once do not mix, and no change is lost' concurrent

story_run "$@"
