#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What happens at a limit: shuntd waits, says so, and goes on when there is room again.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# CPU time of shuntd and its worker, in ticks
shuntd_ticks() {
	local pid sum=0 fields

	for pid in "${PIDS[shuntd]}" $(pgrep -P "${PIDS[shuntd]}"); do
		# The name in parentheses may hold blanks.
		read -ra fields < <(sed 's/.*) //' "/proc/$pid/stat")
		sum=$((sum + fields[11] + fields[12]))
	done
	echo $sum
}

held_answers() {
	local before

	before=$(wc -l <"$T/$1.out")
	kill -USR1 "${PIDS[$1]}"
	wait_for 5 "((\$(wc -l <$T/$1.out) > $before))"
	tail -n 1 "$T/$1.out" | jq .served
}

descriptors() {
	local ticks lines served hz

	family "$1"
	shift
	hz=$(getconf CLK_TCK)
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	start_ready shuntd gw prlimit --nofile=256 "$LAB_BUILD/shuntd" "$@"
	start old cl "$flowgen" hold 50 "$SV_U:7000"
	wait_for 10 "[[ -s $T/old.out ]]"
	same 'flows before the limit' "$(jq .served "$T/old.out")" 50
	start many cl "$flowgen" hold 1000 "$SV_U:7000" --stuck 2
	wait_for 10 "[[ -s $T/many.out ]]"
	served=$(jq .served "$T/many.out")
	at_least 'more flows, up to the limit' "$served" 10
	at_most 'more flows, up to the limit' "$served" 200
	at_least 'pauses' $(($(proxied pauses) + $(proxied limit_pauses))) 1

	ticks=$(shuntd_ticks)
	lines=$(wc -l <"$T/shuntd.err")
	# The time itself is what is measured here.
	sleep 3
	at_most 'CPU in 3 s at the limit, ticks' $(($(shuntd_ticks) - ticks)) $((3 * hz / 10))
	at_most 'lines of log in 3 s' $(($(wc -l <"$T/shuntd.err") - lines)) 4
	same 'old flows that answer' "$(held_answers old)" 50

	stop old
	wait_for 3 "((\$(held_answers many) >= $served + 40))"
	stop many
	wait_for 5 '(($(proxied active) == 0))'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 20 >&2
}

for fam in 4 6; do
	check "RES-01-v$fam" "descriptors run out, limit by itself (IPv$fam)" descriptors $fam
	check "RES-01-one-v$fam" "the same with one worker (IPv$fam)" descriptors $fam --workers 1
done

story_run "$@"
