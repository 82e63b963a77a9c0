#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Feeding a server that knows nothing of it: an nginx on gw takes flows that were meant for others.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# who_was_seen EXPECTED...: the last line of nginx on gw is "CLIENT PORT DESTINATION PORT URI"
who_was_seen() {
	wait_for 5 "[[ -s '$T/gw.access' ]]"
	same 'client, destination' "$(tail -n 1 "$T/gw.access" | cut -d' ' -f1,3,4)" "$*"
}

adopt_by_pid() {
	family "$1"
	lab_up
	web_server sv
	web_server gw
	up
	ctl target add web adopt "$(<"$T/nginx-gw/pid")" 8080
	same 'live sockets' "$(ctl --json target list | jq -c '[.[0].live_v4, .[0].live_v6]')" '[1,1]'
	rules '100 in tcp to any port 80 proxy web'
	same answer "$(fetch cl "http://$SV_U/hello")" 'hello from gw'
	who_was_seen "$CL" "$SV" 80
	# Not selected: another port, and the server's own address and port.
	same 'other port' "$(fetch cl "http://$SV_U:8080/hello")" 'hello from sv'
	same 'the server itself' "$(fetch cl "http://$GW_C_U:8080/hello")" 'hello from gw'
	same 'steered flows' "$(counter steer_new)" 1
	# The server ends: its sockets leave the target by themselves, the rule fails open.
	stop nginx-gw
	same 'without the server' "$(fetch cl "http://$SV_U/hello")" 'hello from sv'
	same 'live sockets' "$(ctl --json target list | jq -c '[.[0].live_v4, .[0].live_v6]')" '[0,0]'
}

adopt_by_address() {
	family "$1"
	lab_up
	web_server sv
	start python gw python3 -m http.server 8090 --bind :: --directory "$T"
	wait_for 10 "nsenter --net=/run/netns/gw ss -ltn | says :8090"
	up
	# One dual-stack socket serves both families.
	ctl target add py listen '[::]:8090'
	same 'live sockets' "$(ctl --json target list | jq -c '[.[0].live_v4, .[0].live_v6]')" '[1,1]'
	rules '100 in tcp to any port 80 proxy py'
	must_fail 22 404 in_ns cl curl -sS -f --noproxy '*' --max-time 60 "http://$SV_U/no-such-file"
	same 'steered flows' "$(counter steer_new)" 1
}

adopt_refusals() {
	lab_up
	web_server gw
	up
	must_fail 1 'no TCP socket listens on port 9999' ctl target add web listen 0.0.0.0:9999
	must_fail 1 'no TCP socket listens on port 9999 in that process' \
		ctl target add web adopt "$(<"$T/nginx-gw/pid")" 9999
	must_fail 1 'not in this network namespace' ctl target add web adopt $$ 80
	must_fail 2 'not a process number' ctl target add web adopt x 80
	must_fail 2 'not ADDRESS:PORT' ctl target add web listen 8080
	shuntd
	must_fail 1 "target 'default' has live sockets" \
		ctl target add default adopt "$(<"$T/nginx-gw/pid")" 8080
	rules '100 in tcp to any port 80 proxy web'
	must_fail 1 'is used by rule 100' ctl target del web
	ctl rule flush
	ctl target del web
	must_fail 1 "no target 'web'" ctl target del web
}

for fam in 4 6; do
	check "ADOPT-01-v$fam" "an nginx takes steered flows (IPv$fam)" adopt_by_pid $fam
	check "ADOPT-02-v$fam" "a dual-stack server by its address (IPv$fam)" adopt_by_address $fam
done
check ADOPT-03 'what cannot be adopted is refused with a reason' adopt_refusals

story_run "$@"
