#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# ICMP errors about flows whose sockets here wear other people's addresses: they must reach those
# sockets, or path MTU discovery stalls on either leg.
#
#   cl --10.1/24-- c0 gw u0 --10.2/24-- sv
#                     w0 --10.4/24-- rt --10.5/24, MTU 1300-- far

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

lab_with_narrow_hop() {
	lab_up
	_ns_up rt
	_ns_up far
	nsenter --net=/run/netns/rt sysctl -q -w net.ipv4.ip_forward=1 \
		net.ipv6.conf.all.forwarding=1
	ip link add w0 netns gw type veth peer name eth0 netns rt
	ip link add eth1 netns rt type veth peer name eth0 netns far
	ip -n gw -batch - <<-END
		addr add 10.4.0.1/24 dev w0
		addr add fd04::1/64 dev w0 nodad
		link set w0 up
		route add 10.5.0.0/24 via 10.4.0.2
		route add fd05::/64 via fd04::2
	END
	ip -n rt -batch - <<-END
		addr add 10.4.0.2/24 dev eth0
		addr add fd04::2/64 dev eth0 nodad
		link set eth0 up
		addr add 10.5.0.1/24 dev eth1
		addr add fd05::1/64 dev eth1 nodad
		link set eth1 mtu 1300
		link set eth1 up
		route add default via 10.4.0.1
		route add default via fd04::1
	END
	# The far end sends what the hop takes (veth drops more in silence), but offers the MSS of
	# 1500, so that it does not hide the hop from others.
	ip -n far -batch - <<-END
		addr add 10.5.0.2/24 dev eth0
		addr add fd05::2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.5.0.1 mtu 1300 advmss 1460
		route add default via fd05::1 mtu 1300 advmss 1440
	END
	wait_for 5 "ip -n gw -6 addr show scope link | grep -c fe80 | says 4"
	wait_for 5 "ip -n far -6 addr show scope link | says fe80"
	((FAM == 4)) && FAR_U=10.5.0.2 || FAR_U='[fd05::2]'
	lab_mark
}

# The upstream leg, from the client's address; and one that is not steered.
towards_server() {
	family "$2"
	lab_with_narrow_hop
	flow_server far
	up -i w0
	rules '100 in on c0 tcp to any port 7000 proxy'
	shuntd --source "$1"
	in_ns cl "$flowgen" client "$FAR_U:7000" --up 2M --down 2M >&2
	flows_right 1
	becomes accepted 1 proxied accepted
	case $1 in
	proxy) ;;
	*) at_least 'ICMP errors given to our socket' "$(counter steer_icmp)" 1 ;;
	esac
	ctl rule flush
	in_ns cl "$flowgen" client "$FAR_U:7000" --up 2M --down 2M >&2
	flows_right 2
	becomes accepted 1 proxied accepted
}

# The client's leg, from the server's address.
towards_client() {
	family "$2"
	lab_with_narrow_hop
	flow_server sv
	ctl up -i w0 -i u0
	rules '100 in on w0 tcp to any port 7000 proxy'
	shuntd --source "$1"
	in_ns far "$flowgen" client "$SV_U:7000" --up 2M --down 2M >&2
	flows_right 1
	becomes accepted 1 proxied accepted
	at_least 'ICMP errors given to our socket' "$(counter steer_icmp)" 1
}

for fam in 4 6; do
	for mode in proxy client client-port; do
		check "SRC-05-up-$mode-v$fam" \
			"path MTU is learnt towards the server (source $mode, IPv$fam)" \
			towards_server $mode $fam
		check "SRC-05-down-$mode-v$fam" \
			"path MTU is learnt towards the client (source $mode, IPv$fam)" \
			towards_client $mode $fam
		check "SRC-05-up-$mode-loopback-v$fam" \
			"path MTU is learnt towards the server (source $mode, by lo, IPv$fam)" \
			by_loopback towards_server $mode $fam
	done
	check "SRC-05-down-loopback-v$fam" \
		"path MTU is learnt towards the client (by lo, IPv$fam)" \
		by_loopback towards_client proxy $fam
done

story_run "$@"
