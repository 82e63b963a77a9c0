#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A gateway in front of clients: cl reaches sv through the proxy on gw, and only where a rule
# says so.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# hello_from ADDRESS URL: cl gets its answer, and the server sees that address
hello_from() {
	local before

	before=$(requests sv)
	fetch_hello cl "$2"
	wait_for 5 "((\$(requests sv) == $before + 1))"
	same "the source that the server saw for $2" "$(seen sv | cut -d' ' -f1)" "$1"
}

selected_port_only() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	hello_from "$CL" "http://$SV_U/hello"
	up
	hello_from "$CL" "http://$SV_U/hello"
	rules '100 in tcp to any port 80 proxy'
	shuntd
	hello_from "$GW_U" "http://$SV_U/hello"
	same 'destination' "$(tail -n 1 "$T/sv.access" | cut -d' ' -f3,4)" "$SV 80"
	same 'steered flows' "$(counter steer_new)" 1
	same 'flows of rule 100' "$(rule_flows 100)" 1
	hello_from "$CL" "http://$SV_U:8080/hello"
	hello_from "$CL" "http://$SV_U:443/hello"
	same 'steered flows, after other ports' "$(counter steer_new)" 1
	at_least 'flows without a rule' "$(counter no_match)" 2
	ctl rule del 100
	hello_from "$CL" "http://$SV_U/hello"
	same 'steered flows, after the rule is gone' "$(counter steer_new)" 1
}

# Other interfaces are not touched, and a rule's match is obeyed part by part.
selected_source_only() {
	HOOK=$1
	family "$2"
	lab_up
	lab_second_client
	web_server sv
	up
	rules '50 in tcp from 192.0.2.0/24,2001:db8::/32 to any port 80 drop' \
		"60 pass to $GW_X" "100 in on c0 tcp from $CL to $NET_U port 80,443 proxy"
	shuntd
	hello_from "$GW_U" "http://$SV_U/hello"
	hello_from "$GW_U" "http://$SV_U:443/hello"
	fetch_hello cl2 "http://$SV_U/hello"
	fetch_hello xl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 4))'
	same 'sources' "$(tail -n 2 "$T/sv.access" | cut -d' ' -f1 | xargs)" "$CL2 $XL"
	same 'steered flows' "$(counter steer_new)" 2
	same 'flows of rule 50' "$(rule_flows 50)" 0
}

source_mode() {
	local mode=$1

	HOOK=$2
	family "$3"
	lab_up
	web_server sv
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy'
	shuntd --source "$mode"
	in_ns cl curl -sS --noproxy '*' --max-time 60 --local-port 33333 "http://$SV_U/hello" \
		>"$T/answer"
	same answer "$(<"$T/answer")" 'hello from sv'
	wait_for 5 '(($(requests sv) == 1))'
	case $mode in
	proxy) same source "$(seen sv | cut -d' ' -f1)" "$GW_U" ;;
	client) same source "$(seen sv | cut -d' ' -f1)" "$CL" ;;
	client-port) same source "$(seen sv)" "$CL 33333" ;;
	esac
	same 'steered flows' "$(counter steer_new)" 1
	# Again at once, with the same source port: TIME_WAIT of the first is in the way.
	in_ns cl curl -sS --noproxy '*' --max-time 60 --local-port 33334 "http://$SV_U/hello" \
		"http://$SV_U/hello" >"$T/answer"
	same answers "$(wc -l <"$T/answer")" 2
}

absent_proxy() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 proxy fail open' \
		'110 in tcp to any port 8080 proxy fail closed'
	hello_from "$CL" "http://$SV_U/hello"
	at_least 'failed open' "$(counter fail_open)" 1
	must_fail '7|28' 'connect|timed out' fetch cl "http://$SV_U:8080/hello" --max-time 2
	at_least 'failed closed' "$(counter fail_closed)" 1
	same 'requests that reached the server' "$(requests sv)" 1
	shuntd
	hello_from "$GW_U" "http://$SV_U/hello"
	hello_from "$GW_U" "http://$SV_U:8080/hello"
	stop shuntd
	hello_from "$CL" "http://$SV_U/hello"
	must_fail '7|28' 'connect|timed out' fetch cl "http://$SV_U:8080/hello" --max-time 2
	shuntd
	hello_from "$GW_U" "http://$SV_U:8080/hello"
}

refused_upstream() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up
	rules '100 in tcp to any proxy'
	shuntd
	# Nobody listens on the server's port: the client must see a reset and no byte.
	must_fail '56|7' '.*' fetch cl "http://$SV_U:9/hello"
	becomes 'refused by the server' 1 proxied ended_refused
	hello_from "$GW_U" "http://$SV_U/hello"
}

for hook in tcx clsact; do
	for fam in 4 6; do
		check "GW-01-$hook-v$fam" "only the selected port is proxied ($hook, IPv$fam)" \
			selected_port_only $hook $fam
		check "GW-02-$hook-v$fam" "only the selected clients are proxied ($hook, IPv$fam)" \
			selected_source_only $hook $fam
		for mode in proxy client client-port; do
			check "GW-03-$mode-$hook-v$fam" \
				"the server sees the source of mode $mode ($hook, IPv$fam)" \
				source_mode $mode $hook $fam
		done
		check "GW-04-$hook-v$fam" "without shuntd: fail open, fail closed ($hook, IPv$fam)" \
			absent_proxy $hook $fam
		check "GW-05-$hook-v$fam" "a refusing server is a reset ($hook, IPv$fam)" \
			refused_upstream $hook $fam
	done
done

for fam in 4 6; do
	check "GW-01-loopback-v$fam" "only the selected port is proxied (by lo, IPv$fam)" \
		by_loopback selected_port_only clsact $fam
	for mode in proxy client client-port; do
		check "GW-03-$mode-loopback-v$fam" \
			"the server sees the source of mode $mode (by lo, IPv$fam)" \
			by_loopback source_mode $mode tcx $fam
	done
done

story_run "$@"
