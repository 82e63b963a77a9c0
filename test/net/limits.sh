#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Limits of a target and of each client: connections, new ones in a second, bytes in a second.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# setup 4|6 [SETTING...]: the lab with two clients, and shuntd
setup() {
	family "$1"
	lab_up
	lab_second_client
	flow_server
	up
	rules '100 in on c0 tcp to any port 7000 proxy fail closed'
	shuntd --workers 2 "${@:2}"
}

# held NAME NS N: so many idle connections, and all are there
held() {
	start "$1" "$2" "$flowgen" hold "$3" "$SV_U:7000"
	wait_for 10 "[[ -s $T/$1.out ]]"
	same "connections of $1" "$(jq .served "$T/$1.out")" "$3"
}

served() {
	in_ns "$1" "$flowgen" client "$SV_U:7000" -n "${2:-1}" -c 1 --max-size 1K >&2
}

# refused NS REASON: a connection, and counted as that
refused() {
	local before

	before=$(proxied "ended_$2")
	must_fail 1 '' in_ns "$1" "$flowgen" client "$SV_U:7000" --max-size 100
	becomes "flows that ended as $2" $((before + 1)) proxied "ended_$2"
}

connections() {
	setup "$1" --limit-connections 6
	held six cl 6
	refused cl limit-connections
	refused cl2 limit-connections
	stop six
	wait_for 5 "(( \$(proxied active) == 0 ))"
	served cl2 8
}

source_connections() {
	setup "$1" --limit-source-connections 4 --limit-connections 100
	held four cl 4
	refused cl limit-source-connections
	held others cl2 4
	refused cl2 limit-source-connections
	stop four
	wait_for 5 "(( \$(proxied active) == 4 ))"
	served cl 10
}

# rate 4|6 OPTION REASON: 10 at once, then 10 in a second; tries come faster than that
rate() {
	local passed took start

	setup "$1" "$2" 10
	start=${EPOCHREALTIME/./}
	# At once: what takes a while gets new ones meanwhile, and more than 100 take no 9 s.
	in_ns cl "$flowgen" client "$SV_U:7000" -n 100 --max-size 100 >"$T/report" || true
	passed=$(jq .ok "$T/report")
	took=$(((${EPOCHREALTIME/./} - start) / 1000 + 1))
	at_least 'connections that passed' $passed 10
	at_most 'connections that passed' $passed $((10 + took / 100 + 1))
	# The reset may be there before the client has seen that it was connected.
	same 'connections refused at once' "$(jq '.resets + .no_connect' "$T/report")" $((100 - passed))
	becomes 'connections refused' $((100 - passed)) proxied "ended_$3"
	if [[ $2 == --limit-source-rate ]]; then
		say 'the other client has its own'
		served cl2 10
	fi
}

bytes() {
	local direction=$2 size=6000000 limit=4000000 start took

	setup "$1" --limit-bytes $limit --splice "$3"
	start=${EPOCHREALTIME/./}
	if [[ $direction == down ]]; then
		in_ns cl "$flowgen" client "$SV_U:7000" -n 2 --up 10 --down $((size / 2)) >&2
	else
		in_ns cl "$flowgen" client "$SV_U:7000" -n 2 --up $((size / 2)) --down 10 >&2
	fi
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	flows_right 2
	# An eighth of a second's worth is free, and nobody waits for the last chunk.
	at_least 'ms for the bytes' $took $((size * 1000 / limit - 175))
	in_time 'the bytes' $took $((size * 1000 / limit))
	# Reading waits for a time, it does not ask again and again.
	at_least 'pauses' "$(proxied byte_pauses)" 10
	at_most 'pauses' "$(proxied byte_pauses)" $((size / 16384))
}

# Each of two clients has its own, at the same time.
source_bytes() {
	local size=3000000 limit=400000 start took

	setup "$1" --limit-source-bytes $limit
	start=${EPOCHREALTIME/./}
	start other cl2 "$flowgen" client "$SV_U:7000" --up 10 --down $size
	in_ns cl "$flowgen" client "$SV_U:7000" --up 10 --down $size >&2
	finish other
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	at_least 'ms for the bytes' $took $((size * 1000 / limit - 400))
	# If they shared it, twice as long.
	at_most 'ms for the bytes of both' $took $((size * 1900 / limit))
}

for fam in 4 6; do
	check "LIM-01-v$fam" "connections of a target (IPv$fam)" connections $fam
	check "LIM-02-v$fam" "connections of each client (IPv$fam)" source_connections $fam
	check "LIM-03-v$fam" "new connections in a second (IPv$fam)" \
		rate $fam --limit-rate limit-rate
	check "LIM-03-source-v$fam" "new connections in a second of each client (IPv$fam)" \
		rate $fam --limit-source-rate limit-source-rate
	check "LIM-04-down-v$fam" "bytes in a second, from the server (IPv$fam)" bytes $fam down auto
	check "LIM-04-up-v$fam" "bytes in a second, from the client, spliced (IPv$fam)" \
		bytes $fam up always
	check "LIM-05-v$fam" "bytes in a second of each client (IPv$fam)" source_bytes $fam
done

story_run "$@"
