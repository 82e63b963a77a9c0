#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The control socket: what it tells, what it does, who may ask, and that nobody who does can
# hold up the flows.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# sock [TARGET]: its path
sock() {
	echo "/run/shunt/$(stat -Lc %i /run/netns/gw)-default-${1-default}.control"
}

# ask REQUEST: the answer, as it comes
ask() {
	printf '%s\n' "$1" | socat -t 60 - "UNIX-CONNECT:$(sock)"
}

# hold COUNT NAME: idle flows of cl
hold() {
	start "$2" cl "$flowgen" hold "$1" "$SV_U:7000"
	wait_for 10 "[[ -s $T/$2.out ]]"
	same "flows of $2" "$(jq .served "$T/$2.out")" "$1"
}

proxy() {
	ctl --json proxy "$@" 2>/dev/null
}

lab_with_shuntd() {
	family "${1:-4}"
	shift || true
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd "$@"
}

status() {
	local all

	lab_with_shuntd "$1" --workers 2
	hold 30 held
	all=$(proxy status)
	same version "$(jq -r '"shuntd " + .version' <<<"$all")" "$("$LAB_BUILD/shuntd" --version)"
	same pid "$(jq .pid <<<"$all")" "${PIDS[shuntd]}"
	same state "$(jq -r .state <<<"$all")" serving
	same targets "$(jq -c .targets <<<"$all")" '["default"]'
	same threads "$(jq '.threads | length' <<<"$all")" 2
	same flows "$(jq '[.threads[].flows] | add' <<<"$all")" 30
	# It says what SIGUSR1 says.
	same accepted "$(jq '[.threads[].counters.accepted] | add' <<<"$all")" \
		"$(proxied accepted)"
	same bytes "$(jq '[.threads[].counters.bytes_up] | add' <<<"$all")" "$(proxied bytes_up)"
	stop held
	wait_for 5 '(($(proxy status | jq "[.threads[].flows] | add") == 0))'
	all=$(proxy status)
	same ended "$(jq '[.threads[].ended[]] | add' <<<"$all")" 30
	ctl proxy status | says "^shuntd .* pid ${PIDS[shuntd]}, .* serving$"
}

# Two targets of one process have one socket under two names.
targets() {
	family 4
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy web'
	printf 'targets:\n  web:\n  mail:\n' >"$T/conf"
	shuntd -c "$T/conf"
	hold 3 held
	same 'targets of web' "$(proxy status -t web | jq -c .targets)" '["web","mail"]'
	same 'targets of mail' "$(proxy status -t mail | jq -c .targets)" '["web","mail"]'
	same 'target of the flows' "$(proxy list -t mail | jq -r '.[].target' | sort -u)" web
	must_fail 1 "no shuntd serves target 'default'" ctl proxy status
	stop held
	stop shuntd
	[[ ! -e $(sock web) && ! -L $(sock mail) ]]
}

# list agrees with the kernel: the sockets of the client.
listed() {
	local flow id

	lab_with_shuntd "$1" --source client-port
	up -i u0
	hold 300 held
	proxy list >"$T/list"
	same 'flows' "$(jq length "$T/list")" 300
	same 'different ids' "$(jq -r '.[].id' "$T/list" | sort -u | wc -l)" 300
	diff <(jq -r '.[].client' "$T/list" | sort) \
		<(in_ns cl ss -Htn "dport = :7000" | awk '{ print $4 }' | sort) >&2
	same destinations "$(jq -r '.[].destination' "$T/list" | sort -u)" "$SV_U:7000"
	same states "$(jq -r '.[].state' "$T/list" | sort -u)" relaying
	same rules "$(jq '.[].rule' "$T/list" | sort -u)" 100
	at_least bytes "$(jq '[.[].up] | min' "$T/list")" 1
	# By a filter, and by one that is nobody's.
	flow=$(jq -r '.[17]' "$T/list")
	id=$(jq -r .id <<<"$flow")
	same 'the flow by its id' "$(proxy list --id "$id" | jq -r '.[].client')" \
		"$(jq -r .client <<<"$flow")"
	same 'flows of the client' "$(proxy list --client "$NET_C" | jq length)" 300
	same 'flows of others' "$(proxy list --client "$NET_U" | jq length)" 0
	same 'flows to the server' "$(proxy list --destination "$SV" | jq length)" 300
	same 'flows to others' "$(proxy list --destination "$XL" | jq length)" 0
	must_fail 2 'host bits|prefix' ctl proxy list --client 10.0.0.1/8
	# The text has a line for each.
	same lines "$(ctl proxy list | grep -c 'rule 100$')" 300
}

killed() {
	local id

	lab_with_shuntd "$1"
	hold 100 held
	hold 50 spared
	id=$(proxy list | jq -r '.[0].id')
	must_fail 2 'needs either' ctl proxy kill
	must_fail 2 'needs either' ctl proxy kill --all --id "$id"
	same 'killed of others' "$(proxy kill --client "$NET_U" | jq .killed)" 0
	same 'flows before' "$(proxy list | jq length)" 150
	same 'killed by id' "$(proxy kill --id "$id" | jq .killed)" 1
	same 'killed twice' "$(proxy kill --id "$id" | jq .killed)" 0
	same 'flows left' "$(proxy list | jq length)" 149
	wait_for 5 '(($(flow_report .open) == 149))'
	same 'killed by client' "$(proxy kill --client "$CL" --destination "$SV" | jq .killed)" 149
	wait_for 5 '(($(flow_report .open) == 0))'
	same 'killed, as counted' \
		"$(proxy status | jq '[.threads[].ended.killed] | add')" 150
	hold 1 new
	same 'killed, in words' "$(ctl proxy kill --all)" '1 flow killed'
	stop new || true
	wait_for 5 '(($(proxy list | jq length) == 0))'
	same 'nothing killed, in words' "$(ctl proxy kill --all)" '0 flows killed'
	hold 5 new
	same 'all of the new' "$(proxy kill --all | jq .killed)" 5
	# They hold nothing any more, which is no good end for them.
	stop held || true
	stop spared || true
	stop new || true
}

# Both ends see a reset, not an end of stream.
killed_both_ends() {
	lab_with_shuntd "$1"
	start_ready slow sv "$tcploop" listen "$SV_U:7001" accept recv:5 expect-rst
	rules '100 in tcp to any port 7001 proxy'
	start one cl "$tcploop" connect "$SV_U:7001" send:5 expect-rst
	wait_for 5 '(($(proxy list | jq ".[0].up // 0") == 5))'
	ctl proxy kill --all >&2
	finish one
	finish slow
}

drained() {
	lab_with_shuntd "$1"
	hold 20 held
	ctl proxy drain --timeout 100
	wait_for 2 'ctl --json status | jq -e ".targets[] | select(.name == \"default\") |
		.live_v4 == 0 and .live_v6 == 0"'
	same state "$(proxy status | jq -r .state)" draining
	same 'flows that go on' "$(proxy list | jq length)" 20
	alive shuntd
	stop held
	finish shuntd 5
	# Without flows it ends at once.
	shuntd
	ctl proxy drain
	finish shuntd 5
}

# Whoever is not root needs the group.
permissions() {
	local as=(setpriv --reuid 65534 --regid 65534 --clear-groups)

	lab_with_shuntd 4
	same 'mode and owner' "$(stat -c '%a %u %g' "$(sock)")" '600 0 0'
	must_fail 1 'Permission denied' in_ns gw "${as[@]}" "$LAB_BUILD/shuntctl" proxy status
	stop shuntd
	shuntd --control-group daemon
	same 'mode and owner with a group' "$(stat -c '%a %u %G' "$(sock)")" '660 0 daemon'
	must_fail 1 'Permission denied' in_ns gw "${as[@]}" "$LAB_BUILD/shuntctl" proxy status
	as=(setpriv --reuid 65534 --regid 65534 --groups "$(getent group daemon | cut -d: -f3)")
	in_ns gw "${as[@]}" "$LAB_BUILD/shuntctl" --json proxy status | jq -e '.state' >&2
	stop shuntd
	must_fail 1 "group 'nobody-here' does not exist" in_ns gw "$LAB_BUILD/shuntd" \
		--control-group nobody-here
	[[ ! -e /run/shunt ]]
}

# Requests that are none get an answer, and shuntd stays as it is.
bad_requests() {
	local request

	lab_with_shuntd 4
	for request in '' '1' '2 status' '1 nonsense' '1 status now' '1 list client=x' \
		'1 list client=10.0.0.1/8' '1 kill' '1 kill all id=1.1' '1 kill id=1' \
		'1 kill id=1.1 id=1.2' '1 drain timeout=-1' '1 drain timeout=99999999' \
		$'1 status\t' $'1 \x01' "1 list client=$(printf '1%.0s' {1..600})"; do
		same "answer to '$request'" "$(ask "$request" | jq -r .end)" error
	done
	same 'answer to a good one' "$(ask '1 status' | tail -n 1)" '{"end":"ok"}'
	# No newline: nothing to answer, and the connection ends.
	same 'answer to half a request' "$(printf '1 stat' | socat -t 60 - "UNIX-CONNECT:$(sock)")" ''
	head -c 100000 /dev/zero | socat -t 60 - "UNIX-CONNECT:$(sock)" >"$T/zeros" || true
	alive shuntd
	proxy status | jq -e '.state == "serving"' >&2
}

# KiB of the supervisor
resident() {
	awk '/^VmRSS/ { print $2 }' "/proc/${PIDS[shuntd]}/status"
}

# More clients than are served: some say half a request, some never read a long answer. The
# flows do not notice, and another client gets its answer once they have been cut.
hostile_clients() {
	local before

	lab_with_shuntd 4
	hold 3000 held
	before=$(resident)
	start hostile gw python3 -c 'import signal, socket, sys
clients = []
for i in range(20):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.send(b"1 list\n" if i % 2 else b"1 li")
    clients.append(s)
print("ready", file=sys.stderr, flush=True)
signal.pause()' "$(sock)"
	wait_for 5 "grep -q ready $T/hostile.err"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 20 >&2
	# Those in front are cut after 5 s, or 10 s.
	ctl --json proxy list >"$T/list"
	same 'flows in the list' "$(jq length "$T/list")" 3000
	at_most 'growth of the supervisor, KiB' $(($(resident) - before)) 4096
	alive hostile
}

# switches: how often the supervisor has gone to sleep
switches() {
	awk '/^voluntary_ctxt/ { print $2 }' "/proc/${PIDS[shuntd]}/status"
}

# Clients take all descriptors that there are: the supervisor waits for one, does not spin, and does
# not take the instance for gone because it cannot be looked at.
no_descriptors() {
	local before first

	lab_with_shuntd 4
	hold 3 held
	first=$(proxy list | jq -r '.[0].id')
	prlimit --pid "${PIDS[shuntd]}" \
		--nofile=$(($(find "/proc/${PIDS[shuntd]}/fd" -type l | wc -l) + 3)):
	start clients gw python3 -c 'import signal, socket, sys
clients = []
for i in range(12):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    clients.append(s)
print("ready", file=sys.stderr, flush=True)
signal.pause()' "$(sock)"
	wait_for 5 "grep -q ready $T/clients.err"
	before=$(switches)
	# shellcheck disable=SC2034 # in the condition
	since=$EPOCHSECONDS
	wait_for 10 "((EPOCHSECONDS > since + 2 && \$(switches) >= $before + 10))"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 30 -c 5 >&2
	stop clients
	wait_for 10 '[[ $(proxy status | jq -r .state) == serving ]]'
	same 'the first flow' "$(proxy list | jq -r '.[0].id')" "$first"
	if says 'taken down' <"$T/shuntd.err"; then
		fail 'the instance was taken for gone'
	fi
}

# An answer that breaks off: no half a list, and a failure.
broken_off() {
	local path

	family 4
	lab_up
	path=$(sock broken)
	mkdir /run/shunt
	cat >"$T/answer" <<-'END'
		#!/bin/sh
		read -r request
		echo '{"id":"1.1"}'
		echo '{"id":"1.2"}'
	END
	chmod +x "$T/answer"
	start broken gw socat "UNIX-LISTEN:$path,fork" "EXEC:$T/answer"
	# The path is there before somebody listens at it.
	wait_for 10 "in_ns gw ss -Hlx | says '$path'"
	must_fail 1 'shuntd broke off its answer' ctl --json proxy list -t broken
	same 'what was printed' "$(ctl --json proxy list -t broken 2>/dev/null || true)" ''
	stop broken
	rm -f "$path"
	rmdir /run/shunt
}

# list, again and again, beside a load of new flows.
under_load() {
	lab_with_shuntd 4
	hold 2000 held
	start load cl "$flowgen" rate 1000 4 "$SV_U:7000" -c 200
	while alive load; do
		at_least 'flows in the list' "$(proxy list | jq length)" 2000
		proxy status | jq -e '.threads | length > 0' >/dev/null
	done
	finish load
	at_least 'flows of the load' "$(jq .ok "$T/load.out")" 3000
}

for fam in 4 6; do
	check "CTL-01-v$fam" "status says what SIGUSR1 says (IPv$fam)" status $fam
	check "CTL-02-v$fam" "list shows the flows there are (IPv$fam)" listed $fam
	check "CTL-03-v$fam" "kill ends those that are meant (IPv$fam)" killed $fam
	check "CTL-03-ends-v$fam" "kill resets both sides (IPv$fam)" killed_both_ends $fam
	check "CTL-04-v$fam" "drain lets open flows finish (IPv$fam)" drained $fam
done
check CTL-05 'two targets, one process, one socket' targets
check CTL-06 'who may ask' permissions
check CTL-07 'requests that are none' bad_requests
check CTL-08 'clients that do not ask or do not read hold nobody up' hostile_clients
check CTL-11 'clients that take all descriptors' no_descriptors
check CTL-10 'an answer that breaks off' broken_off
check CTL-09 'list and status under load' under_load

story_run "$@"
