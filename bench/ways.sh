# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The ways in which flows reach the proxy, all with the same shuntd: how each is set up on the
# machine `host`, how it must show when it is checked, and how it is taken away.
#
# All select the same: TCP from the client to RULE_PORTS. What is not of shunt has what is best for
# it: no conntrack where TPROXY will do, packets of established flows first, and flows shared
# among the listeners of shuntd's threads, of which there are two.

readonly OTHER_WHO=7004 # a port that no rule selects
readonly PACKETS=7020 OTHER_PACKETS=7021 # UDP
SERVER_ROLES+=("who=$OTHER_WHO")
all_ways=(direct iptables-tproxy nft-tproxy nft-redirect tc-clsact tc-tcx tc-loopback ebpf-route)
readonly SPARE=spare0 # an interface that no flow comes by

# way_known NAME
way_known() {
	[[ " ${all_ways[*]} " == *" $1 "* ]]
}

# way_needs NAME: programs
way_needs() {
	case $1 in
	iptables-*) echo iptables-legacy ;;
	nft-*) echo nft ;;
	esac
}

# way_is_proxied NAME: shuntd is on the way
way_is_proxied() {
	[[ $1 != direct && $1 != ebpf-route ]]
}

# way_is_steered NAME: the flows' interfaces are shunt's
way_is_steered() {
	[[ $1 == tc-* || $1 == ebpf-route ]]
}

# way_cannot NAME LOAD: why it is left out; nothing if it is not
way_cannot() {
	[[ $2 != packets-* ]] || ! way_is_proxied "$1" || echo 'shuntd relays TCP'
}

# way_hook NAME
way_hook() {
	case $1 in
	tc-clsact) echo clsact ;;
	tc-tcx) echo tcx ;;
	*) echo auto ;;
	esac
}

# way_delivery NAME
way_delivery() {
	case $1 in
	tc-loopback) echo loopback ;;
	*) echo rule ;;
	esac
}

# way_missing NAME: why this machine has not got it; nothing if it has
way_missing() {
	way_is_steered "$1" || return 0
	shunt_rules "$1"
	steer "$1" 2>"$T/error" || tail -n 1 "$T/error"
	way_stop "$1"
}

way_start() {
	PROXY=
	case $1 in
	direct) return 0 ;;
	esac
	shunt_rules "$1"
	steer "$1" || return 1
	case $1 in
	nft-redirect) start_shuntd --original-destination conntrack ;;
	ebpf-route) return 0 ;;
	*) start_shuntd ;;
	esac || return 1
	case $1 in
	iptables-tproxy) steer_by_iptables ;;
	nft-tproxy) steer_by_nft ;;
	nft-redirect) redirect_by_nft ;;
	esac
}

way_stop() {
	[[ -z $PROXY ]] || stop "$PROXY"
	PROXY=
	case $1 in
	direct) return 0 ;;
	iptables-tproxy) in_ns host iptables-legacy -t mangle -F ;;
	nft-*) in_ns host nft delete table ip bench ;;
	esac
	[[ $1 != *-tproxy ]] || deliver_marked_no_more
	in_ns host "$BUILD/shuntctl" down
}

# ---- shunt -----------------------------------------------------------------------------------

shunt_rules() {
	local tcp=tcp ports=$RULE_PORTS action=proxy

	# What is routed is routed whatever the protocol.
	[[ $1 != ebpf-route ]] || tcp='' ports=$RULE_PORTS,$PACKETS action=route
	echo "100 in $tcp from $CLIENT to any port $ports $action" >"$T/rules"
}

# shuntd needs an instance in any case: without steering on an interface of its own.
steer() {
	if way_is_steered "$1"; then
		in_ns host "$BUILD/shuntctl" up -i lan0 -i wan0 --hook "$(way_hook "$1")" \
			--deliver "$(way_delivery "$1")" -f "$T/rules"
	else
		in_ns host "$BUILD/shuntctl" up -i $SPARE
	fi
}

start_shuntd() {
	on_host "$T/proxy.log" "$BUILD/shuntd" --port $LISTEN --workers 2 "$@"
	up_when "grep -q '^ready' $T/proxy.log"
}

# ---- netfilter -------------------------------------------------------------------------------

deliver_marked_no_more() {
	ip -n host rule del fwmark 1 lookup 100
	ip -n host route flush table 100
}

steer_by_iptables() {
	local -a select=(-s "$CLIENT" -p tcp -m multiport --dports "${RULE_PORTS//-/:}")
	local -a to=(-j TPROXY --on-ip 127.0.0.1 --tproxy-mark 1)

	deliver_marked
	in_ns host iptables-legacy-restore <<-END
		*mangle
		-A PREROUTING -p tcp -m socket --transparent -j MARK --set-mark 1
		-A PREROUTING -m mark --mark 1 -j ACCEPT
		-A PREROUTING ${select[*]} -m statistic --mode nth --every 2 --packet 0 ${to[*]} --on-port $LISTEN
		-A PREROUTING ${select[*]} ${to[*]} --on-port $((LISTEN + 1))
		COMMIT
	END
}

# An expression for nft: one listener, then the other
both_listeners() {
	echo ":numgen inc mod 2 map { 0 : $LISTEN, 1 : $((LISTEN + 1)) }"
}

steer_by_nft() {
	deliver_marked
	in_ns host nft -f - <<-END
		table ip bench {
			chain prerouting {
				type filter hook prerouting priority mangle;
				meta l4proto tcp socket transparent 1 meta mark set 1 accept
				ip saddr $CLIENT tcp dport { $RULE_PORTS } tproxy to 127.0.0.1$(both_listeners) meta mark set 1 accept
			}
		}
	END
}

redirect_by_nft() {
	in_ns host nft -f - <<-END
		table ip bench {
			chain prerouting {
				type nat hook prerouting priority dstnat;
				ip saddr $CLIENT tcp dport { $RULE_PORTS } redirect to $(both_listeners)
			}
		}
	END
}

# ---- checks ----------------------------------------------------------------------------------

# seen_is PORT ADDRESS SOCKETS: what the server sees there, and the connections on host
seen_is() {
	local seen n

	read -r seen n < <(ask_who "$1")
	[[ $seen == "$2" && $n == "$3" ]] && return 0
	echo "port $1: the server saw $seen (must be $2), $n sockets were on the host (must be $3)"
	return 1
}

# counter NAME
counter() {
	in_ns host "$BUILD/shuntctl" --json status | tr ',{}' '\n' |
		sed -nE "s/^ *\"$1\": *([0-9]+).*/\1/p" | head -n 1
}

# flows_of_rule: how many the rule has decided
flows_of_rule() {
	in_ns host "$BUILD/shuntctl" --json rule list | tr ',{}' '\n' |
		sed -nE 's/^ *"flows": *([0-9]+).*/\1/p' | head -n 1
}

# verify WAY: that it does what its name says, and nothing else
verify() {
	if way_is_proxied "$1"; then
		seen_is $WHO "$HOST" 2 || return 1
	else
		seen_is $WHO "$CLIENT" 0 || return 1
	fi
	seen_is $OTHER_WHO "$CLIENT" 0 || return 1
	way_is_steered "$1" || return 0
	(($(flows_of_rule) == 1)) || {
		echo "the rule has decided $(flows_of_rule) flows (must be 1)"
		return 1
	}
	[[ $1 != ebpf-route ]] || (($(counter routed) > 0)) || {
		echo 'no packet was routed in eBPF'
		return 1
	}
}

# All that a way could leave on host, a fact a line.
state_of_host() {
	LAB_TOOLS=$BUILD/test in_ns host "$SOURCE/test/net/state.sh"
	! command -v nft >/dev/null || in_ns host nft list ruleset 2>/dev/null
	! command -v iptables-legacy-save >/dev/null || in_ns host iptables-legacy-save -t mangle |
		grep -v '^[#:]'
}
