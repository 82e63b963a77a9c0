#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A process of shuntd is killed under load: what it held is reset, nothing else is touched, and
# the next one is there within a second.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

EXPECT_DEATH=yes
PAIRS=5

# The worker that accepts, as shuntd itself says.
worker() {
	ctl --json proxy status 2>/dev/null |
		jq -er 'first(.threads[] | select(.state == "serving") | .worker)'
}

lab_under_load() {
	family "$1"
	shift
	lab_up
	flow_server
	start_ready direct xl "$flowgen" server 7000
	up
	rules "100 in tcp to $SV port 7000-7999 proxy fail closed"
	shuntd "$@"
}

# Flows of which each end says how it ended: by a reset, and nothing before it.
open_pairs() {
	local i

	for ((i = 0; i < PAIRS; i++)); do
		start_ready "server$i" sv "$tcploop" listen "$SV_U:$((7100 + i))" accept recv:5 \
			send:7 expect-rst
		start "client$i" cl "$tcploop" connect "$SV_U:$((7100 + i))" send:5 recv:7 \
			"make-file:$T/open$i" expect-rst
	done
	for ((i = 0; i < PAIRS; i++)); do
		wait_for 5 "[[ -e $T/open$i ]]"
	done
	# Flows that end within a second go without the option that costs them a call.
	wait_for 5 "((\$(ctl --json proxy list 2>/dev/null |
		jq '[.[] | select(.age_ms > 1400)] | length') == PAIRS))"
}

pairs_are_reset() {
	local i

	for ((i = 0; i < PAIRS; i++)); do
		finish "client$i" 5 || fail "client $i saw something else"
		finish "server$i" 5 || fail "server $i saw something else"
	done
}

worker_killed() {
	local old start

	lab_under_load "$1" "${@:2}"
	open_pairs
	start load cl "$flowgen" rate 1000 5 "$SV_U:7000" -c 50 --max-size 4K
	start bystander cl "$flowgen" rate 200 5 "$(in_url "$XL"):7000" -c 50 --max-size 4K
	wait_for 5 '(($(ctl --json proxy status 2>/dev/null |
		jq "[.threads[].counters.accepted] | add") > 500))'
	old=$(worker)
	start=${EPOCHREALTIME/./}
	kill -KILL "$old"
	wait_for 5 "pgrep -P ${PIDS[shuntd]} | says -vx $old"
	in_time 'the next worker' $(((${EPOCHREALTIME/./} - start) / 1000)) 1000
	pairs_are_reset
	# Those of the load that were open are lost, up to 50, and what came until it was noticed;
	# those that came later are not. No connection was refused, though the rule fails closed.
	finish load 15 || true
	finish bystander 15
	at_least 'flows of the load that were not lost' "$(jq .ok "$T/load.out")" 4700
	same 'connections of the load that were refused' "$(jq .no_connect "$T/load.out")" 0
	same 'flows of the load that hung' "$(jq .stuck "$T/load.out")" 0
	same 'flows of the bystander' "$(jq .ok "$T/bystander.out")" 1000
	same 'SYNs that met no socket' "$(counter fail_closed)" 0
}

# Again and again: each is replaced, and a worker that does not live long is waited for.
worker_killed_often() {
	local i old

	lab_under_load 4
	for ((i = 0; i < 6; i++)); do
		old=$(worker)
		kill -KILL "$old"
		wait_for 3 "[[ -n \$(worker) && \$(worker) != $old ]]"
		in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	done
	same 'workers' "$(pgrep -c -P "${PIDS[shuntd]}")" 1
}

# Without its supervisor the worker ends, and takes the sockets with it.
supervisor_killed() {
	local old

	lab_under_load "$1"
	open_pairs
	old=$(worker)
	stop shuntd KILL
	pairs_are_reset
	wait_for 2 "! kill -0 $old"
	ctl --json status 2>/dev/null |
		jq -e '.targets[] | select(.name == "default") | .live_v4 + .live_v6 == 0' >&2
	must_fail 28 'timed out' fetch cl "http://$SV_U:7000/" --max-time 1
	at_least 'SYNs that met no socket' "$(counter fail_closed)" 1
	shuntd
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	becomes 'flows of the next' 50 proxied accepted
}

# As by a shuntctl that changes the instance for long, or hangs.
lock_instance() {
	local dir

	dir=/sys/fs/bpf/shunt/$(stat -L -c %i /run/netns/gw)
	start locker gw flock --no-fork "$dir" sleep infinity
	wait_for 5 "! flock --nonblock '$dir' true"
}

# new_worker PID: another one serves
new_worker() {
	wait_for 5 "[[ -n \$(worker) && \$(worker) != $1 ]]"
}

# says_shuntd TEXT N: so many times by now
says_shuntd() {
	wait_for 5 "((\$(grep -c '$1' '$T/shuntd.err') == $2))"
}

# A worker that is a second old is replaced at once, with the same sockets.
worker_is_old() {
	local since=${EPOCHREALTIME/./}

	wait_for 5 "((\${EPOCHREALTIME/./} > $since + 1500000))"
}

# shuntd has something to change, and cannot: it goes on with what it is there for.
worker_killed_while_locked() {
	local old

	printf 'learn: big timeout 1h when bytes over 1G\n' >"$T/shuntd.yml"
	lab_under_load "$1" -c "$T/shuntd.yml"
	old=$(worker)
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	ctl set del big
	lock_instance
	kill -HUP "${PIDS[shuntd]}" # it would make the set again
	says_shuntd 'are in force' 1
	worker_is_old
	kill -KILL "$old"
	new_worker "$old"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	says_shuntd 'has instance .default. locked for long' 1
	say 'workers that do not live long: new sockets have to wait for the lock'
	old=$(worker)
	kill -KILL "$old"
	new_worker "$old"
	old=$(worker)
	kill -KILL "$old"
	new_worker "$old"
	same 'sets while it is locked' "$(ctl set list)" ''
	same 'times that it was ready' "$(grep -c '^ready' "$T/shuntd.err")" 1
	stop locker
	wait_for 5 "ctl set list | says '^big'"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
}

# It is started, and ended, while the instance is locked.
locked_from_the_first() {
	lab_under_load "$1"
	stop shuntd
	lock_instance
	start shuntd gw "$LAB_BUILD/shuntd"
	wait_for 5 "[[ -n \$(worker) ]]"
	says_shuntd 'locked for long' 1
	stop shuntd
	start shuntd gw "$LAB_BUILD/shuntd"
	wait_for 5 "[[ -n \$(worker) ]]"
	stop locker
	says_shuntd '^ready' 1
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	say 'it leaves while the instance is locked: the fail mode holds'
	lock_instance
	stop shuntd
	must_fail 28 'timed out' fetch cl "http://$SV_U:7000/" --max-time 1
	at_least 'SYNs that met no socket' "$(counter fail_closed)" 1
	stop locker
}

for fam in 4 6; do
	check "LIFE-02-worker-v$fam" "the worker is killed under load (IPv$fam)" worker_killed $fam
	check "LIFE-02-supervisor-v$fam" "the supervisor is killed (IPv$fam)" supervisor_killed $fam
done
check LIFE-02-locked 'the worker is killed while the instance is locked' \
	worker_killed_while_locked 4
check LIFE-02-locked-start 'shuntd starts and ends while the instance is locked' \
	locked_from_the_first 4
check LIFE-02-one 'the only thread is killed under load' worker_killed 4 --workers 1
check LIFE-02-often 'workers are killed again and again' worker_killed_often

story_run "$@"
