#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What comes in by links other than plain Ethernet: devices without a link header, VLAN tags,
# and packets that a sender has shaped.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# A client behind a tun device: tn 10.4.0.2, fd04::2 -- t0 gw
lab_tun() {
	local side n=1

	_ns_up tn
	start_ready wire gw "$LAB_TOOLS/tunlab" gw:t0 tn:t0
	for side in gw tn; do
		ip -n $side -batch - <<-END
			addr add 10.4.0.$n/24 dev t0
			addr add fd04::$n/64 dev t0 nodad
			link set t0 up
		END
		n=$((n + 1))
		wait_for 5 "ip -n $side -6 addr show dev t0 scope link | says fe80"
	done
	ip -n tn -batch - <<-END
		route add default via 10.4.0.1
		route add default via fd04::1
	END
}

tun_in() {
	HOOK=$1
	family "$2"
	lab_up
	lab_tun
	flow_server
	web_server sv
	ctl up -i t0 --hook "$HOOK" >/dev/null
	rules '100 in tcp to any port 80,7000 proxy'
	shuntd
	fetch_hello tn "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	same source "$(seen sv | cut -d' ' -f1)" "$GW_U"
	in_ns tn "$flowgen" client "$SV_U:7000" -n 100 --max-size 100K >&2
	flows_right 100
	same 'steered flows' "$(counter steer_new)" 101
	fetch_hello tn "http://$SV_U:8080/hello"
	same 'steered flows, after another port' "$(counter steer_new)" 101
	stop shuntd
	ctl down
	stop wire # and t0 goes with it
}

# Flows routed to a device without a link header are sent on; what comes from one is the kernel's.
tun_routed() {
	local n

	HOOK=$1
	family "$2"
	lab_up
	lab_tun
	web_server sv
	web_server tn
	ctl up -i t0 -i c0 -i u0 --hook "$HOOK" >/dev/null
	rules '100 in tcp to any port 80 route'
	fetch_hello tn "http://$SV_U/hello"
	same 'flows from tn' "$(rule_flows 100)" 1
	same 'answer of tn' \
		"$(fetch cl "http://$([[ $FAM == 4 ]] && echo 10.4.0.2 || echo '[fd04::2]')/hello")" \
		'hello from tn'
	same 'flows' "$(rule_flows 100)" 2
	at_least 'routed, to tn' "$(counter routed)" 8
	at_least 'left to the kernel, from tn' "$(counter route_other)" 8
	n=$(settled_counter routed)
	fetch_hello tn "http://$SV_U:8080/hello"
	same 'routed, after another port' "$(counter routed)" "$n"
	stop nginx-tn
	ctl down
	stop wire # and t0 goes with it
}

tun_out() {
	HOOK=$1
	family "$2"
	lab_up
	lab_tun
	flow_server tn
	ctl up -i t0 --out --hook "$HOOK" >/dev/null
	rules '100 out tcp to any port 7000 proxy'
	shuntd
	in_ns gw "$flowgen" client "$( (($2 == 4)) && echo 10.4.0.2 || echo '[fd04::2]'):7000" -n 100 \
		--max-size 100K >&2
	flows_right 100
	becomes accepted 100 proxied accepted
	stop shuntd
	ctl down
	stop wire
}

# raw [OPTION...]: a SYN of a client that does not exist, to the selected port
raw() {
	local source=10.1.0.77

	((FAM == 4)) || source='[fd01::77]'
	in_ns cl "$rawsend" eth0 --dst-mac "$C0_MAC" --src "$source:$RAW_PORT" --dst "$SV_U:80" "$@" >&2
	RAW_PORT=$((RAW_PORT + 1))
}

# Nothing but rawsend sends to the selected port here, so counters tell.
lab_raw() {
	HOOK=$1
	family "$2"
	lab_up
	C0_MAC=$(ip -n gw -j link show c0 | jq -r '.[0].address')
	RAW_PORT=4000
	up
	rules '100 in tcp to any port 80 proxy'
	shuntd
}

# counts NAME N WHAT
counts() {
	wait_for 2 "((\$(counter $1) == $2))" || fail "$3: $1 is $(counter "$1"), not $2"
}

vlans() {
	lab_raw "$@"
	raw
	counts steer_new 1 'untagged'
	raw --vlan 100
	raw --vlan 999
	counts vlan 2 'tagged for another network'
	raw --vlan 0
	counts steer_new 2 'priority tag: VID 0 is this network'
	raw --vlan 0xe000
	counts steer_new 3 'priority tag with priority 7'
	raw --vlan 0x88a8,5 --vlan 10
	raw --vlan 5 --vlan 10
	raw --vlan 0x88a8,0 --vlan 10
	counts steer_new 3 'two tags'
	# A frame for another host on this link.
	in_ns cl "$rawsend" eth0 --dst-mac 02:00:00:00:00:99 --src "$CL_U:4999" --dst "$SV_U:80" >&2
	raw
	counts steer_new 4 'for another host, and untagged again'
}

shaped() {
	lab_raw "$@"
	raw --tx-ring
	counts steer_new 1 'only the link header is linear'
	at_least pulled "$(counter pulled)" 1
	if ((FAM == 4)); then
		raw --ip-options 01010101
		counts steer_new 2 'four bytes of options'
		raw --ip-options "$(printf '01%.0s' {1..40})" --tx-ring
		counts steer_new 3 'forty bytes of options, not linear'
	else
		raw --ext hbh,dst
		counts steer_new 2 'two extension headers'
		raw --ext hbh,dst,dst,dst,dst,dst,dst,dst --tx-ring
		counts steer_new 3 'eight extension headers, not linear'
		raw --ext hbh,dst,dst,dst,dst,dst,dst,dst,dst
		counts ext_limit 1 'nine extension headers'
	fi
	raw --truncate 40
	raw --flags SA
	raw --flags SR
	raw --flags SF
	raw --flags A
	raw --flags F
	raw --ethertype 0x0806
	raw --ethertype 0x8864
	raw
	counts steer_new 4 'a plain SYN behind what opens no flow'
}

for hook in tcx clsact; do
	for fam in 4 6; do
		check "IF-10-$hook-v$fam" "flows routed from and to a tun device ($hook, IPv$fam)" \
			tun_routed $hook $fam
		check "IF-06-in-$hook-v$fam" "a tun device, clients behind it ($hook, IPv$fam)" \
			tun_in $hook $fam
		check "IF-06-out-$hook-v$fam" "a tun device, servers behind it ($hook, IPv$fam)" \
			tun_out $hook $fam
		check "IF-07-$hook-v$fam" "VLAN tags ($hook, IPv$fam)" vlans $hook $fam
		check "PKT-05-$hook-v$fam" "packets that a sender has shaped ($hook, IPv$fam)" \
			shaped $hook $fam
	done
done

story_run "$@"
