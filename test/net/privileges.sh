#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the worker is allowed, as the kernel says it. What that comes to, call by call, is
# tested in unit/test_proxy_syscalls.c.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# status_of PID KEY
status_of() {
	sed -nE "s/^$2:[[:space:]]+//p" "/proc/$1/status"
}

# CAP_NET_RAW is bit 13.
worker_has_one_capability() {
	local pid task set sanitizer n=0

	family 4
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 proxy'
	shuntd
	fetch_hello cl "http://$SV_U/hello"
	becomes 'flows of shuntd' 1 proxied accepted
	pid=$(pgrep -P "${PIDS[shuntd]}")
	sanitizer=$(lab_sanitizer)
	for task in "/proc/$pid/task"/*; do
		task=${task##*/}
		# The C library gives each of its threads the capability; ThreadSanitizer's own thread
		# is none of these, and has nothing.
		[[ $sanitizer != thread || $(status_of "$task" CapEff) != 0000000000000000 ]] ||
			continue
		n=$((n + 1))
		for set in CapEff CapPrm CapBnd; do
			same "$set of thread $task" "$(status_of "$task" $set)" 0000000000002000
		done
		for set in CapInh CapAmb; do
			same "$set of thread $task" "$(status_of "$task" $set)" 0000000000000000
		done
		same "no_new_privs of thread $task" "$(status_of "$task" NoNewPrivs)" 1
		[[ $sanitizer != none ]] ||
			same "seccomp of thread $task" "$(status_of "$task" Seccomp)" 2
		same "user of thread $task" "$(status_of "$task" Uid | tr -s '\t' ' ')" \
			'65534 65534 65534 65534'
		same "groups of thread $task" "$(status_of "$task" Groups | tr -d ' ')" ''
	done
	at_least 'threads of the worker' $n 2
	# Files of a process that nobody may look into belong to root.
	same 'owner of its files in /proc' "$(stat -c %u "/proc/$pid/status")" 0
	# The negative control: the supervisor has more, and is not looked at by mistake.
	[[ $(status_of "${PIDS[shuntd]}" CapEff) != 0000000000002000 ]]
}

# Neither process holds a file that is not its business.
descriptors() {
	local pid fd to

	family 4
	lab_up
	up
	rules '100 in tcp to any port 80 proxy'
	shuntd
	pid=$(pgrep -P "${PIDS[shuntd]}")
	for fd in "/proc/$pid/fd"/*; do
		to=$(readlink "$fd")
		case ${fd##*/}:$to in
		[012]:*) ;;
		*:socket:* | *:pipe:* | *:anon_inode:\[event* | *:anon_inode:\[signalfd\]) ;;
		*) fail "the worker has '$to' open" ;;
		esac
	done
	# The supervisor has listeners, which it never accepts on, and talks to the kernel.
	same 'TCP connections of the supervisor' \
		"$(in_ns gw ss -Htnp | grep -c "pid=${PIDS[shuntd]},")" 0
}

# What the systemd unit leaves is enough for all that shuntd does.
capabilities_of_unit() {
	local unit=$LAB_BUILD/deploy/shuntd.service caps old

	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr ' A-Z' '\na-z' |
		sed 's/^cap_/+/' | paste -sd,)
	[[ $caps == *+net_raw* ]]
	family 4
	lab_up
	web_server sv
	up
	up -i u0
	rules '100 in tcp to any port 80 proxy fail closed'
	start_ready shuntd gw setpriv --bounding-set="-all,$caps" --no-new-privs \
		"$LAB_BUILD/shuntd" --source client-port --control-group daemon
	same 'group of the control socket' "$(stat -c %G /run/shunt/*.control)" daemon
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 1))'
	same source "$(seen sv | cut -d' ' -f1)" "$CL"
	# And for a successor, a worker that is killed, and an end.
	old=$(ctl --json proxy status 2>/dev/null | jq .pid)
	kill -USR2 "$old"
	finish shuntd 5
	fetch_hello cl "http://$SV_U/hello"
	ctl proxy drain
	wait_for 5 '[[ ! -e /run/shunt ]]'
	# The negative control: without one of them it does not start.
	must_fail 1 'cannot listen|not permitted' in_ns gw setpriv \
		--bounding-set="-all,${caps//+chown/+fowner}" --no-new-privs \
		"$LAB_BUILD/shuntd" --control-group daemon
}

check SEC-01 'the worker has CAP_NET_RAW and nothing else' worker_has_one_capability
check SEC-01-files 'the worker holds sockets, pipes and event descriptors only' descriptors
check SEC-01-unit 'the capabilities of the systemd unit are enough' capabilities_of_unit

story_run "$@"
