#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The lab itself, before anything of shunt is in it: if this fails, no other story means much.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

reaches() {
	family "$1"
	lab_up
	lab_second_client
	web_server sv
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	same "the server's view" "$(cut -d' ' -f1,3-5 "$T/sv.access")" "$CL $SV 80 /hello"
	fetch_hello xl "http://$SV_U:8080/hello"
	fetch_hello cl2 "http://$SV_U:443/hello"
	wait_for 5 '(($(requests sv) == 3))'
	same 'the second client' "$(seen sv | cut -d' ' -f1)" "$CL2"
}

flows() {
	family "$1"
	lab_up
	flow_server
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 --max-size 200K >"$T/client"
	in_ns cl "$flowgen" reconnect 50 "$SV_U:7000" --bind "$CL_U:5000" \
		--order client-fin-last >"$T/again"
	same 'flows right at the client' "$(jq .ok "$T/client")" 200
	flows_right 250
	same 'bytes' "$(jq -s '.[0].sent + .[1].sent' "$T/client" "$T/again")" \
		"$(flow_report .received)"
}

# The checks must be able to fail.
notices() {
	lab_up
	ip -n gw rule add pref 77 lookup main
	snapshot gw >"$T/now"
	must_fail 1 'the state has changed' assert_same_state "$T/state.before" "$T/now"
	ip -n gw rule del pref 77
	start_ready foreign gw "$LAB_TOOLS/tcx" hold c0 ingress first 0x40
	snapshot gw >"$T/now"
	must_fail 1 'the state has changed' assert_same_state "$T/state.before" "$T/now"
	start_ready server sv "$tcploop" listen 7000 accept recv:10 send:10 rst
	must_fail 1 'recv-all: Connection reset by peer' \
		in_ns cl "$tcploop" connect 10.2.0.2:7000 send:10 recv-all
	kill -USR1 "${PIDS[foreign]}"
	wait_for 5 "[[ -s $T/foreign.out ]]"
	at_least 'packets somebody else saw' "$(jq .packets "$T/foreign.out")" 3
}

for fam in 4 6; do
	check "LAB-01-v$fam" "clients reach the server, IPv$fam" reaches $fam
	check "LAB-02-v$fam" "flows arrive whole, IPv$fam" flows $fam
done
check LAB-03 'the checks see what they must' notices

story_run "$@"
