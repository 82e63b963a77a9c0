#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# New settings in a running shuntd: in force for new flows, old ones untouched, and a bad file
# changes nothing.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# settings LINE...: the file is this
settings() {
	printf '%s\n' "$@" >"$T/conf.new"
	mv "$T/conf.new" "$T/conf"
}

lab_with_file() {
	family "$1"
	shift
	lab_up
	flow_server
	web_server sv
	up
	up -i u0
	rules '100 in tcp to any port 80,7000-7999 proxy'
	settings "$@"
	shuntd -c "$T/conf"
}

reload() {
	ctl proxy reload
}

# How servers see new flows, before and after; old flows live.
in_force() {
	lab_with_file "$1" 'source: proxy'
	start held cl "$flowgen" hold 100 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 1))'
	same 'source before' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	settings 'source: client-port' 'log-flows: true'
	reload
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 2))'
	same 'source after' "$(seen sv | cut -d' ' -f1)" "$CL"
	wait_for 2 "(( \$(grep -c '^flow ' '$T/shuntd.out') == 1 ))"
	kill -USR1 "${PIDS[held]}"
	wait_for 5 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'old flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 100
	# By signal, too; it says so.
	settings 'source: proxy'
	kill -HUP "${PIDS[shuntd]}"
	wait_for 5 "(( \$(grep -c 'are in force' '$T/shuntd.err') == 2 ))"
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 3))'
	same 'source at last' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	# An old flow keeps what it began with: no line of the log for it.
	stop held
	wait_for 5 '(($(proxied active) == 0))'
	same 'lines of the flow log' "$(grep -c '^flow ' "$T/shuntd.out")" 1
}

# The limit of connections is one of the process.
limits() {
	lab_with_file 4 'max-connections: 10'
	start held cl "$flowgen" hold 20 "$SV_U:7000" --stuck 2
	wait_for 5 '(($(proxied active) == 10))'
	settings 'max-connections: 100'
	reload
	wait_for 5 '(($(proxied active) >= 20))'
	settings 'max-connections: 99999999'
	must_fail 1 'max-connections 99999999: the descriptor limit allows' reload
	stop held || true
	wait_for 5 '(($(proxied active) == 0))'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 20 >&2
}

# refused REGEX LINE...: a file that is not taken
refused() {
	local regex=$1

	shift
	settings "$@"
	must_fail 1 "$regex" reload
	fetch_hello cl "http://$SV_U/hello"
	same 'source of a new flow' "$(seen sv | cut -d' ' -f1)" "$CL"
}

bad_files() {
	lab_with_file 4 'source: client'
	refused 'conf:1:1.*nonsense' 'nonsense: 1'
	refused 'source: .proxxy' 'source: proxxy'
	refused 'conf:2' 'source: proxy' 'idle-timeout: x'
	refused 'workers: cannot be changed by a reload' 'source: proxy' 'workers: 7'
	refused 'port: cannot be changed' 'source: proxy' 'port: 7777'
	refused 'user: cannot be changed' 'source: proxy' 'user: daemon'
	refused 'targets: cannot be added' 'source: proxy' 'target: other'
	refused 'targets: cannot be added' 'source: proxy' 'targets:' '  default:' '  more:'
	rm "$T/conf"
	must_fail 1 'cannot read .*conf' reload
	kill -HUP "${PIDS[shuntd]}"
	wait_for 5 "grep -q 'stay as they were: cannot read' '$T/shuntd.err'"
	settings 'source: proxy'
	reload
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 "[[ \$(seen sv | cut -d' ' -f1) == $GW_U ]]"
	stop shuntd
	shuntd
	must_fail 1 'without -c' reload
}

# A pipe may have nobody who writes: shuntd would wait for ever, and with it all that it does.
no_pipe() {
	lab_with_file 4 'source: client'
	rm "$T/conf"
	mkfifo "$T/conf"
	must_fail 1 "cannot read .*conf': not a regular file" reload
	rm "$T/conf"
	mkdir "$T/conf"
	must_fail 1 "cannot read .*conf': not a regular file" reload
	rmdir "$T/conf"
	settings 'source: proxy'
	reload
	fetch_hello cl "http://$SV_U/hello"
	wait_for 10 "[[ \$(seen sv | cut -d' ' -f1) == $GW_U ]]"
	stop shuntd
	say 'but at the start a pipe will do'
	rm "$T/conf"
	mkfifo "$T/conf"
	start writer gw sh -c "echo 'source: client' >'$T/conf'"
	shuntd -c "$T/conf"
	finish writer
	fetch_hello cl "http://$SV_U/hello"
	wait_for 10 "[[ \$(seen sv | cut -d' ' -f1) == $CL ]]"
}

# allowed LINE...: flows that the descriptor limit allows with these settings
allowed() {
	settings 'max-connections: 99999999' "$@"
	{ reload 2>&1 || true; } | grep -oE 'limit allows [0-9]+' | cut -d' ' -f3
}

# Checks of upstreams take descriptors, also those that a reload brings.
checks_count() {
	local i most list=''

	lab_with_file 4 'source: client'
	for ((i = 0; i < 20; i++)); do
		list+="${list:+, }10.2.0.$((i + 100)):7000"
	done
	most=$(allowed)
	at_least 'flows without checks' "$most" 10
	same 'flows with upstreams' "$(allowed "upstreams: $list")" "$most"
	same 'flows with 20 checks' "$(allowed "upstreams: $list" 'health-interval: 3600')" \
		$((most - 10))
	settings "upstreams: $list" 'health-interval: 3600' "max-connections: $((most - 9))"
	must_fail 1 'beside 20 for checks' reload
	settings "upstreams: $list" 'health-interval: 3600' "max-connections: $((most - 10))"
	reload
	stop shuntd
	# As if it had begun with them.
	must_fail 1 'max-connections' in_ns gw "$LAB_BUILD/shuntd" -c "$T/conf" \
		--max-connections $((most - 9))
	shuntd -c "$T/conf"
	same 'flows without checks' "$(allowed)" "$most"
}

# Options win over the file, at a reload as at the start.
options_win() {
	lab_with_file 4 'source: proxy'
	stop shuntd
	shuntd -c "$T/conf" --source client
	settings 'source: proxy' 'log-flows: true'
	reload
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 1))'
	same source "$(seen sv | cut -d' ' -f1)" "$CL"
	wait_for 2 "grep -q '^flow ' '$T/shuntd.out'"
}

# The instance is not up yet: settings are taken nevertheless.
before_up() {
	family 4
	lab_up
	web_server sv
	settings 'source: proxy'
	start shuntd gw "$LAB_BUILD/shuntd" -c "$T/conf"
	wait_for 5 "grep -q waiting '$T/shuntd.err'"
	settings 'source: client'
	reload
	up
	up -i u0
	rules '100 in tcp to any port 80 proxy'
	wait_for 5 "grep -q ready '$T/shuntd.err'"
	fetch_hello cl "http://$SV_U/hello"
	wait_for 2 '(($(requests sv) == 1))'
	same source "$(seen sv | cut -d' ' -f1)" "$CL"
}

# Reloads beside 1000 new flows a second: none is lost.
under_load() {
	local reloads=$2 i

	lab_with_file "$1" 'source: proxy'
	load_start 4K
	for ((i = 0; i < reloads; i++)); do
		settings "source: $( ((i % 2)) && echo proxy || echo client)" \
			"connect-timeout: $((10 + i % 3))"
		reload 2>/dev/null
	done
	load_end
	same 'reloads' "$(grep -c 'are in force' "$T/shuntd.err")" "$reloads"
}

for fam in 4 6; do
	check "RELOAD-01-v$fam" "new flows have new settings, old ones live (IPv$fam)" in_force $fam
done
check LIFE-09-reload-v4 '100 reloads at 1000 connections a second (IPv4)' under_load 4 100
check LIFE-09-reload-v6 '20 reloads at 1000 connections a second (IPv6)' under_load 6 20
check RELOAD-02 'the connection limit' limits
check RELOAD-03 'a bad file changes nothing' bad_files
check RELOAD-04 'options win' options_win
check RELOAD-06 'a settings file that is none' no_pipe
check RELOAD-07 'checks of upstreams are in the budget of descriptors' checks_count
check RELOAD-05 'before the instance is up' before_up

story_run "$@"
