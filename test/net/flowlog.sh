#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What shuntd --log-flows says of a flow is what happened.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# field NAME: of the last line of the flow log
field() {
	tail -n 1 "$T/shuntd.out" | grep -oE "(^| )$1=[^ ]+" | cut -d= -f2-
}

lines() {
	wc -l <"$T/shuntd.out"
}

log_is_true() {
	family "$1"
	lab_up
	web_server sv
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy' '110 in on c0 tcp to any port 9 proxy'
	shuntd --log-flows --workers 1
	in_ns cl curl -sS --noproxy '*' --max-time 60 --local-port 33333 "http://$SV_U/hello" >&2
	wait_for 5 '(($(lines) == 1))'
	same client "$(field client)" "$CL_U:33333"
	same destination "$(field destination)" "$SV_U:80"
	same rule "$(field rule)" 100
	same end "$(field end)" fin
	same 'source that the server saw' "$(field source)" "$(seen sv | sed "s/ /:/; s/^$GW_U/$GW_U_U/")"
	at_least 'bytes down' "$(field down)" 100
	# A loop that has slept must not count its sleep to the flow that wakes it.
	# shellcheck disable=SC2034 # in the condition below
	since=$SECONDS
	wait_for 5 '((SECONDS > since + 4))'
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(lines) == 2))'
	at_most 'duration, ms' "$(field ms)" 3900
	must_fail '56|7' '.*' fetch cl "http://$SV_U:9/hello"
	wait_for 5 '(($(lines) == 3))'
	same 'rule of the refused flow' "$(field rule)" 110
	same 'end of the refused flow' "$(field end)" refused
	# Not steered, not logged.
	fetch_hello cl "http://$SV_U:8080/hello"
	same lines "$(lines)" 3
}

# take_pipes USER: all that the kernel gives a user without privileges; its next have two pages
take_pipes() {
	# shellcheck disable=SC2016
	start_ready pipes gw python3 -c '
import fcntl, os, pwd, resource, signal, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
os.setuid(pwd.getpwnam(sys.argv[1]).pw_uid)
SET, GET, PAGE = 1031, 1032, os.sysconf("SC_PAGE_SIZE") # F_SETPIPE_SZ, F_GETPIPE_SZ
end = os.pipe()[1]
while fcntl.fcntl(end, GET) > 2 * PAGE:
	try:
		fcntl.fcntl(end, SET, 1 << 20)
	except PermissionError:
		pass
	end = os.pipe()[1]
print("ready", file=sys.stderr, flush=True)
signal.pause()' "$1"
}

# The user of the worker has no pipes left, as where another worker splices through many. Nobody
# reads the log, so it has to wait in the pipe, which has room for it all the same.
pipes_taken() {
	family 4
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	take_pipes daemon
	mkfifo "$T/fifo"
	exec 9<>"$T/fifo"
	dd if=/dev/zero of="$T/fifo" bs=4096 oflag=nonblock 2>/dev/null || true # until it is full
	start_ready shuntd gw sh -c 'exec "$@" >"$0"' "$T/fifo" "$LAB_BUILD/shuntd" --log-flows \
		--user daemon --splice never
	in_ns cl "$flowgen" client "$SV_U:7000" -n 100 -c 1 --max-size 4K >&2
	becomes 'flows' 100 proxied ended_fin
	same 'lines that were dropped' "$(proxied log_dropped)" 0
	start reader gw cat "$T/fifo"
	wait_for 5 "((\$(grep -ac 'flow proto=tcp' '$T/reader.out') == 100))"
	exec 9>&-
}

check FLOWLOG-02 'other pipes of the same user take none of the log' pipes_taken
for fam in 4 6; do
	check "FLOWLOG-01-v$fam" "the flow log tells what happened (IPv$fam)" log_is_true $fam
done

story_run "$@"
