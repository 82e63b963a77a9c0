#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A socket of ours in TIME_WAIT on a tuple must not swallow a newer flow that is not steered.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# One flow from a fixed port. The server closes first, so TIME_WAIT falls on what stands in its
# place: the proxy's accepted socket. $1: whose address and port the server must see
from_port() {
	start_ready server sv "$tcploop" listen "$SV_U:80" accept print recv:5 send:10 \
		shut-wr expect-eof close
	in_ns cl "$tcploop" bind "$CL_U:33333" connect "$SV_U:80" send:5 recv-all close >&2
	finish server
	[[ ! ${1-} ]] || same 'source that the server saw' \
		"$(grep -o 'remote .*' "$T/server.out")" "remote $1"
}

# after WHAT: what makes the next flow of the tuple go direct
not_swallowed() {
	local after=$1 mode=$2

	HOOK=$3
	family "$4"
	lab_up
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy'
	shuntd --source "$mode"
	from_port
	wait_for 5 "nsenter --net=/run/netns/gw ss -Htan state time-wait | says 33333"
	same 'steered flows' "$(counter steer_new)" 1
	case $after in
	stop) stop shuntd ;;
	flush) ctl rule flush ;;
	pass) rules '50 pass' '100 in on c0 tcp to any port 80 proxy' ;;
	esac
	from_port "$CL_U:33333"
	same 'steered flows, after' "$(counter steer_new)" 1
}

for fam in 4 6; do
	for mode in proxy client-port; do
		for after in stop flush pass; do
			check "TCP-03-direct-$after-$mode-v$fam" \
				"TIME_WAIT does not swallow a direct flow ($after, $mode, IPv$fam)" \
				not_swallowed $after $mode auto $fam
		done
	done
done

story_run "$@"
