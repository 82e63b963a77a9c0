#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Another shuntd takes over: no connection is lost, and if it fails nothing has happened.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# serving: the pid of the shuntd that serves
serving() {
	ctl --json proxy status 2>/dev/null | jq -er 'select(.state == "serving") | .pid'
}

# Our own copy of the program, which a case may replace.
lab_with_shuntd() {
	family "$1"
	shift
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy fail closed'
	cp "$LAB_BUILD/shuntd" "$T/shuntd"
	start_ready shuntd gw "$T/shuntd" "$@"
}

hold() {
	start "$2" cl "$flowgen" hold "$1" "$SV_U:7000"
	wait_for 10 "[[ -s $T/$2.out ]]"
	same "flows of $2" "$(jq .served "$T/$2.out")" "$1"
}

# upgrade: the one that serves starts the program that is there now
upgrade() {
	local old

	old=$(serving)
	kill -USR2 "$old"
	wait_for 5 "[[ \$(serving) -ne $old ]]"
}

# The last one is no child of this shell.
stop_serving() {
	local pid

	pid=$(serving)
	kill -TERM "$pid"
	wait_for 5 "! kill -0 $pid"
	[[ ! -e /run/shunt ]]
}

under_load() {
	local upgrades=$2 i first

	lab_with_shuntd "$1"
	hold 100 held
	first=$(serving)
	load_start 4K
	for ((i = 0; i < upgrades; i++)); do
		upgrade
	done
	load_end
	same 'takeovers' "$(grep -c 'taken over: open' "$T/shuntd.err")" "$upgrades"
	# The flows of the first are still its own; it leaves with the last of them.
	kill -USR1 "${PIDS[held]}"
	wait_for 5 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'old flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 100
	alive shuntd
	# All those between have gone, and are no zombies of the first.
	wait_for 5 "((\$(pgrep -c -x shuntd) == 4))"
	stop held
	finish shuntd 5
	wait_for 5 "((\$(pgrep -c -x shuntd) == 2))"
	[[ $(serving) != "$first" ]]
	same 'SYNs that met no socket' "$(counter fail_closed)" 0
	same 'pid in the lock' "$(cat /run/shunt/*.lock)" "$(serving)"
	stop_serving
}

# By hand, and with nobody there.
by_hand() {
	lab_with_shuntd "$1"
	hold 10 held
	start second gw "$LAB_BUILD/shuntd" --takeover
	wait_for 5 "grep -q 'taken over' '$T/second.err'"
	same 'who serves' "$(serving)" "${PIDS[second]}"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	must_fail 1 'another shuntd serves' in_ns gw "$LAB_BUILD/shuntd"
	stop held
	finish shuntd 5
	stop second
	start_ready third gw "$LAB_BUILD/shuntd" --takeover
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	# One that was taken over from has a deadline when it is told so.
	hold 10 more
	start fourth gw "$LAB_BUILD/shuntd" --takeover
	wait_for 5 "grep -q 'taken over' '$T/fourth.err'"
	alive third
	kill -TERM "${PIDS[third]}"
	# A second one that comes before the first is taken is the same one.
	wait_for 5 "grep -q '^ShdPnd:[[:space:]]*0*$' /proc/${PIDS[third]}/status"
	kill -TERM "${PIDS[third]}"
	finish third 5
	stop more || true
}

# Whatever is wrong with the new one, the old one serves on.
failures() {
	local i pid

	lab_with_shuntd 4
	pid=$(serving)
	hold 10 held
	cp "$T/shuntd" "$T/good"
	cp /bin/false "$T/broken"
	mv "$T/broken" "$T/shuntd"
	kill -USR2 "$pid"
	wait_for 5 "grep -q 'started to take over has ended' '$T/shuntd.err'"
	rm "$T/shuntd"
	kill -USR2 "$pid"
	wait_for 5 "grep -q 'cannot run' '$T/shuntd.err'"
	cp "$T/good" "$T/shuntd"
	must_fail 1 "nobody-here.* does not exist" in_ns gw "$LAB_BUILD/shuntd" --takeover \
		--user nobody-here
	printf 'targets:\n  default:\n  other:\n' >"$T/conf"
	must_fail 1 'other targets' in_ns gw "$LAB_BUILD/shuntd" --takeover -c "$T/conf"
	# Killed at any point of it.
	for ((i = 1; i <= 12; i++)); do
		in_ns gw "$LAB_TOOLS/killat" syscall $((30 * i)) "$LAB_BUILD/shuntd" \
			--takeover >/dev/null 2>&1 || true
		[[ $(serving) == "$pid" ]] || break
		in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	done
	at_least 'points at which it was killed' "$i" 2
	[[ -n $(serving) ]] || shuntd # it was killed when it served
	same 'SYNs that met no socket' "$(counter fail_closed)" 0
	kill -USR1 "${PIDS[held]}"
	wait_for 5 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'old flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 10
	stop held
}

# A group may ask, but not become shuntd.
not_root() {
	local as

	lab_with_shuntd 4 --control-group daemon
	as=(setpriv --reuid 65534 --regid 65534 --groups "$(getent group daemon | cut -d: -f3)")
	same answer "$(echo '1 takeover' | in_ns gw "${as[@]}" socat -t 60 - \
		"UNIX-CONNECT:$(echo /run/shunt/*.control)")" \
		'{"end":"error","message":"only root can take over"}'
}

# Two that take over at the same time would both serve.
two_at_once() {
	lab_with_shuntd 4
	mkfifo "$T/words"
	# shellcheck disable=SC2016 # for the inner shell
	start heir gw sh -c 'exec socat -t 9 - "UNIX-CONNECT:$0" <"$1"' \
		"$(echo /run/shunt/*.control)" "$T/words"
	exec 9>"$T/words"
	echo '1 takeover' >&9
	wait_for 5 "[[ -s $T/heir.out ]]"
	must_fail 1 'refuses.*"another process is taking over"}' in_ns gw "$LAB_BUILD/shuntd" --takeover
	same 'who serves' "$(serving)" "${PIDS[shuntd]}"
	exec 9>&-
	finish heir 12
	start second gw "$LAB_BUILD/shuntd" --takeover
	wait_for 5 "grep -q 'taken over' '$T/second.err'"
	finish shuntd 5
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
}

# Before the instance is up, and when it was made anew in between.
without_instance() {
	family 4
	lab_up
	flow_server
	start first gw "$LAB_BUILD/shuntd"
	wait_for 5 "grep -q waiting '$T/first.err'"
	start second gw "$LAB_BUILD/shuntd" --takeover
	wait_for 5 "grep -q 'taken over' '$T/second.err'"
	finish first 5
	up
	rules '100 in tcp to any port 7000 proxy fail closed'
	wait_for 5 "grep -q ready '$T/second.err'"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
}

# made_by ABI: the instance says that the version of that number made it
made_by() {
	local map word

	map=$(echo /sys/fs/bpf/shunt/*/default/instance)
	word=$(bpftool -j map lookup pinned "$map" key 0 0 0 0 | jq -r '.value | join(" ")')
	# shellcheck disable=SC2086 # bytes; magic, abi, the rest
	set -- "$1" $word
	# shellcheck disable=SC2086
	bpftool map update pinned "$map" key 0 0 0 0 value \
		"${@:2:4}" "$(printf '0x%02x' "$1")" 0 0 0 "${@:10}"
}

this_abi() {
	bpftool -j map lookup pinned /sys/fs/bpf/shunt/*/default/instance key 0 0 0 0 |
		jq -r '.value[4]'
}

# A new shuntd cannot use the instance of another version: the old one can, and serves on.
other_abi() {
	local abi

	lab_with_shuntd 4
	hold 10 held
	abi=$(($(this_abi)))
	made_by $((abi - 1))
	must_fail 1 'another version of shunt.*shuntctl down' in_ns gw "$LAB_BUILD/shuntd" --takeover
	same 'who serves' "$(serving)" "${PIDS[shuntd]}"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	kill -USR1 "${PIDS[held]}"
	wait_for 10 "(( \$(wc -l <$T/held.out) == 2 ))"
	stop held
	must_fail 1 "another version of shunt.*run 'shuntctl down'" ctl up -i c0
	say 'one that starts waits, and says for what'
	stop shuntd
	start waiting gw "$LAB_BUILD/shuntd"
	wait_for 10 "grep -q 'waiting for instance' '$T/waiting.err'"
	grep -q 'another version of shunt' "$T/waiting.err"
	say 'what a newer version made is not ours to take down'
	made_by $((abi + 1))
	must_fail 1 'another version of shunt.*its .shuntctl down' ctl down
	made_by $((abi - 1))
	ctl down
	[[ ! -e /sys/fs/bpf/shunt ]]
	same 'routing rules that are left' "$(ip -n gw rule | grep -c 3020 || true)" 0
	up
	rules '100 in tcp to any port 7000 proxy fail closed'
	wait_for 10 "grep -q ready '$T/waiting.err'"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
}

# A worker has not answered a question when its supervisor lets go: it answers to nobody.
question_open() {
	local worker

	lab_with_shuntd 4
	hold 10 held
	worker=$(pgrep -P "${PIDS[shuntd]}")
	kill -STOP "$worker"
	start asking gw "$LAB_BUILD/shuntctl" proxy status
	# Its connection, beside the socket that listens.
	wait_for 5 "((\$(in_ns gw ss -Hxa | grep -c '/run/shunt/.*control') == 2))"
	start second gw "$LAB_BUILD/shuntd" --takeover
	wait_for 5 "grep -q 'taken over' '$T/second.err'"
	wait_for 5 "grep -q 'taken over: open' '$T/shuntd.err'"
	finish asking || true # it is cut
	kill -CONT "$worker"
	kill -USR1 "${PIDS[held]}"
	wait_for 5 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'old flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 10
	alive shuntd
	stop held
	finish shuntd 5
}

# The number of threads is that of before, and is said.
threads() {
	lab_with_shuntd 4 --workers 3 --port 5000
	start second gw "$LAB_BUILD/shuntd" --takeover --workers 1 --port 6000 --backlog 77
	wait_for 5 "grep -q 'taken over' '$T/second.err'"
	grep -q 'workers 1: there are 3' "$T/second.err"
	grep -q 'port 6000: it is 5000' "$T/second.err"
	same 'ports and their backlogs' \
		"$(in_ns gw ss -Hltn | awk '{ sub(".*:", "", $4); print $4, $3 }' | sort -u | xargs)" \
		'5000 77 5001 77 5002 77'
	same threads "$(ctl --json proxy status 2>/dev/null | jq '.threads | length')" 3
	in_ns cl "$flowgen" client "$SV_U:7000" -n 100 >&2
	finish shuntd 5
}

# A signal for the process that is started to take over is none for this one, also before the new
# program runs in it.
told_to_end_early() {
	local pid

	family 4
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy fail closed'
	start_ready shuntd gw env LATE_EXEC="$T/late" LD_PRELOAD="$LAB_TOOLS/late_exec.so" \
		ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0" "$LAB_BUILD/shuntd"
	kill -USR2 "${PIDS[shuntd]}"
	wait_for 10 "[[ -s $T/late ]]"
	pid=$(<"$T/late")
	kill -TERM "$pid"
	wait_for 10 "grep -q '^ShdPnd:[[:space:]]*0*$' /proc/$pid/status || [[ ! -e /proc/$pid ]]"
	rm -f "$T/late"
	wait_for 10 "grep -q 'was started to take over has ended' '$T/shuntd.err'"
	same state "$(ctl --json proxy status 2>/dev/null | jq -r .state)" serving
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 >&2
	stop_serving
}

# Flows that finish in old processes are listed, told of and killed with all others.
old_flows() {
	local pids worker

	lab_with_shuntd 4
	hold 10 first
	start second gw "$LAB_BUILD/shuntd" --takeover
	wait_for 10 "grep -q 'taken over: open' '$T/shuntd.err'"
	hold 5 middle
	start third gw "$LAB_BUILD/shuntd" --takeover
	wait_for 10 "grep -q 'taken over: open' '$T/second.err'"
	hold 3 last
	same flows "$(ctl --json proxy list 2>/dev/null | jq 'map(.id) | unique | length')" 18
	same 'lines of flows' "$(ctl proxy list | wc -l)" 18
	same 'who serves' "$(serving)" "${PIDS[third]}"
	pids=$(printf '%s\n' "${PIDS[shuntd]}" "${PIDS[second]}" | sort -n | xargs)
	same 'who finishes' "$(ctl --json proxy status 2>/dev/null |
		jq -r '.draining[] | select(.state == "draining") | .pid' | sort -n | xargs)" "$pids"
	# And those that were in their queues when they were taken over from.
	at_least 'flows of those' "$(ctl --json proxy status 2>/dev/null |
		jq '[.draining[].threads[].flows] | add')" 15
	same 'processes in the text' "$(ctl proxy status | grep -c '^shuntd ')" 3
	say 'what one that finishes does not do'
	must_fail 1 'about to end' ask_old 'reload'
	must_fail 1 'about to end' ask_old 'takeover'
	say 'one by one, and all'
	worker=$(pgrep -P "${PIDS[shuntd]}")
	same killed "$(ctl --json proxy kill --id "$(ctl --json proxy list 2>/dev/null |
		jq -r "[.[] | select(.id | startswith(\"$worker.\"))][0].id")" | jq .killed)" 1
	same flows "$(ctl --json proxy list 2>/dev/null | jq length)" 17
	same 'killed in all' "$(ctl --json proxy kill --all 2>/dev/null | jq .killed)" 17
	finish shuntd 10
	finish second 10
	same draining "$(ctl --json proxy status 2>/dev/null | jq -c .draining)" '[]'
	same 'sockets of those that have ended' "$(find /run/shunt -name '*.draining')" ''
	for name in first middle last; do
		stop $name || true
	done
}

# ask_old REQUEST: of the first one that was taken over from; fails as shuntctl would
ask_old() {
	local answer

	answer=$(echo "1 $1" | socat -t 60 - "UNIX-CONNECT:$(echo /run/shunt/*."${PIDS[shuntd]}".draining)")
	jq -er 'select(.end == "ok")' <<<"$answer" || { echo "$answer" >&2; return 1; }
}

# One that is killed leaves its socket: nobody minds, and the next one takes it away. Those whose
# serving process is gone can still be asked; another target's are not asked.
old_socket() {
	printf 'targets:\n  web:\n  web.1:\n' >"$T/conf"
	lab_with_shuntd 4 -c "$T/conf"
	rules '100 in tcp to any port 7000 proxy web fail closed'
	hold 10 held
	start second gw "$LAB_BUILD/shuntd" --takeover -c "$T/conf"
	wait_for 10 "grep -q 'taken over: open' '$T/shuntd.err'"
	stop second
	must_fail 1 "no shuntd serves target 'default'" ctl proxy list
	same 'flows of the old one' "$(ctl --json proxy list -t web 2>/dev/null | jq length)" 10
	same 'state of the old one' "$(ctl --json proxy status -t web.1 2>/dev/null |
		jq -r .state)" draining
	shuntd_again second
	same 'who serves' "$(ctl --json proxy status -t web 2>/dev/null |
		jq -r '"\(.state) \(.pid) \(.draining[0].pid)"')" \
		"serving ${PIDS[second]} ${PIDS[shuntd]}"
	stop shuntd KILL
	stop held || true
	same 'sockets that are left' "$(find /run/shunt -name '*.draining' | wc -l)" 2
	same flows "$(ctl --json proxy list -t web 2>/dev/null | jq -c .)" '[]'
	stop second
	shuntd_again second
	same 'sockets that are left' "$(find /run/shunt -name '*.draining' | wc -l)" 0
}

# One that ends while it is asked: it accepts, reads perhaps, and is gone.
ends_while_asked() {
	local control socket does

	lab_with_shuntd 4
	hold 10 held
	control=$(echo /run/shunt/*.control)
	socket=${control%.control}.99999999.draining
	for does in true 'read -r line'; do
		start going gw socat "UNIX-LISTEN:$socket,fork" "SYSTEM:$does"
		wait_for 10 "in_ns gw ss -Hxl 2>/dev/null | grep -q '$socket'"
		same flows "$(ctl --json proxy list 2>/dev/null | jq length)" 10
		same 'who serves' "$(serving)" "${PIDS[shuntd]}"
		stop going || true
		rm -f "$socket"
	done
	start going gw socat "UNIX-LISTEN:$socket,fork" "SYSTEM:read -r line; echo no"
	wait_for 10 "in_ns gw ss -Hxl 2>/dev/null | grep -q '$socket'"
	must_fail 1 'no JSON' ctl proxy list
	stop going || true
	rm -f "$socket"
	ctl proxy kill --all >&2
	stop held || true
}

shuntd_again() {
	start_ready "$1" gw "$LAB_BUILD/shuntd" -c "$T/conf"
}

# New settings while another one takes over would be lost, or not: they are refused.
reload_meanwhile() {
	echo 'source: proxy' >"$T/conf"
	lab_with_shuntd 4 -c "$T/conf"
	mkfifo "$T/words"
	# shellcheck disable=SC2016 # for the inner shell
	start heir gw sh -c 'exec socat -t 9 - "UNIX-CONNECT:$0" <"$1"' \
		"$(echo /run/shunt/*.control)" "$T/words"
	exec 9>"$T/words"
	echo '1 takeover' >&9
	wait_for 10 "[[ -s $T/heir.out ]]"
	must_fail 1 'another shuntd is taking over, try again' ctl proxy reload
	kill -HUP "${PIDS[shuntd]}"
	wait_for 10 "grep -q 'stay as they were: another shuntd is taking over' '$T/shuntd.err'"
	exec 9>&-
	finish heir 20
	ctl proxy reload
	same 'settings that were put in force' "$(grep -c 'are in force' "$T/shuntd.err")" 1
}

for fam in 4 6; do
	check "UPGRADE-01-v$fam" "taking over by hand (IPv$fam)" by_hand $fam
done
check LIFE-09-upgrade-v4 '20 upgrades at 1000 connections a second (IPv4)' under_load 4 20
check LIFE-09-upgrade-v6 '5 upgrades at 1000 connections a second (IPv6)' under_load 6 5
check UPGRADE-02 'a new one that fails changes nothing' failures
check UPGRADE-03 'only root takes over' not_root
check UPGRADE-04 'without an instance' without_instance
check UPGRADE-11 'the instance is of another version' other_abi
check UPGRADE-06 'a question to the worker is open meanwhile' question_open
check UPGRADE-07 'two that take over at the same time' two_at_once
check UPGRADE-08 'flows of old processes are listed and killed' old_flows
check UPGRADE-09 'sockets of old processes that are left over' old_socket
check UPGRADE-12 'an old process that ends while it is asked' ends_while_asked
check UPGRADE-10 'new settings during a takeover' reload_meanwhile
check UPGRADE-13 'the new one is told to end before it runs' told_to_end_early
check UPGRADE-05 'other settings of the new one' threads

story_run "$@"
