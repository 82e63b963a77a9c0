#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# No byte is lost, added, moved or given to another flow: large transfers and many small ones.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

large() {
	local direction=$1 size=4G

	[[ -z $LAB_FAST ]] || size=256M
	family "$2"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	shuntd
	in_ns cl "$flowgen" client "$SV_U:7000" --up 100 --down 100 "--$direction" $size \
		--order free >"$T/report"
	flows_right 1
	becomes 'accepted by shuntd' 1 proxied accepted
	becomes 'bytes down' "$(jq .received "$T/report")" proxied bytes_down
	# The client's header of 32 bytes is no payload to flowgen.
	becomes 'bytes up' "$(($(jq .sent "$T/report") + 32))" proxied bytes_up
}

# Random sizes, empty directions, and half-closes from either side, at any time.
many() {
	local mode=$1 flows=1000

	family "$2"
	lab_up
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$mode"
	in_ns cl "$flowgen" client "$SV_U:7000" -n $flows --max-size 256K --seed 7 >"$T/report"
	same 'flows that were right at the client' "$(jq .ok "$T/report")" $flows
	flows_right $flows
	same 'bytes up' "$(flow_report .received)" "$(jq .sent "$T/report")"
	same 'bytes down' "$(flow_report .sent)" "$(jq .received "$T/report")"
	becomes 'accepted by shuntd' $flows proxied accepted
	wait_for 5 '(($(proxied active) == 0))'
	becomes 'flows that ended in good order' $flows proxied ended_fin
}

for fam in 4 6; do
	for direction in up down; do
		check -t 120 "TR-01-$direction-v$fam" "4 GiB $direction (IPv$fam)" large $direction $fam
	done
	for mode in proxy client-port; do
		check -t 120 "TR-02-$mode-v$fam" "1000 flows at once, source $mode (IPv$fam)" \
			many $mode $fam
	done
done

story_run "$@"
