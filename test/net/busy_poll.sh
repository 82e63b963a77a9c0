#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A loop may ask for events for a while before it sleeps (busy-poll): where that pays, as long as
# it is set, and never for connections that are idle. Not how fast it is: bench/relay.sh.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

poll_lab() {
	family "$1"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
}

# One small flow after the other: there is one event at a time.
traffic() {
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 1 --max-size 100 >&2
}

# Some traffic, and then: were there events that a loop need not sleep for?
has_hits() {
	traffic
	(($(proxied busy_hits) > 0))
}

# quiet: one look after the other shows no poll. Loops that ask without end do so some hundred times
# in this time, and looking takes none of theirs.
quiet() {
	local before i

	before=$(proxied busy_polls)
	for ((i = 0; i < 20; i++)); do
		[[ $(proxied busy_polls) == "$before" ]] || return 1
	done
}

settings() {
	echo "busy-poll: $1" >"$T/conf.new"
	mv "$T/conf.new" "$T/conf"
}

# In force where it is set, not where it is 0, and changed by a reload.
in_force() {
	local before

	poll_lab "$1"
	settings 0
	shuntd -c "$T/conf"
	traffic
	same 'polls, where it is 0' "$(proxied busy_polls)" 0
	settings 1000
	ctl proxy reload
	wait_for 30 has_hits
	at_least polls "$(proxied busy_polls)" "$(proxied busy_hits)"
	settings 0
	ctl proxy reload
	wait_for 30 quiet
	before=$(proxied busy_polls)
	traffic
	same 'polls, where it is 0 again' "$(proxied busy_polls)" "$before"
}

# Connections that say nothing cost nothing, whatever there was before.
idle() {
	poll_lab "$1"
	shuntd --busy-poll 1000 --keepalive-idle 0
	start held cl "$flowgen" hold 100 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	wait_for 30 has_hits # it does ask, while there is something to do
	wait_for 30 quiet
	kill -USR1 "${PIDS[held]}"
	wait_for 10 "((\$(wc -l <$T/held.out) == 2))"
	same 'idle connections that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 100
	stop held
}

for fam in 4 6; do
	check "POLL-01-v$fam" "asking for events is a setting (IPv$fam)" in_force $fam
	check "POLL-02-v$fam" "idle connections are not asked for (IPv$fam)" idle $fam
done

story_run "$@"
