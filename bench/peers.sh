# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The ways that are compared: how each is started on the machine `host`, and how it must show
# when it is checked. A way is a name; PROXY is the pid of what it has started ('' none).
#
# Peers get what is best for them: packets are marked by one nft rule and no conntrack where
# TPROXY will do, no logging, as many threads as CPUs, room for all connections.

default_ways=(direct shuntd shuntd-client shuntd-poll)
peer_ways=(haproxy haproxy-64k haproxy-splice-auto haproxy-splice-auto-64k haproxy-splice
	haproxy-splice-64k haproxy-clientip haproxy-clientip-64k nginx nginx-64k
	nginx-transparent nginx-transparent-64k redsocks redsocks-64k redsocks-splice)

# way_known NAME
way_known() {
	[[ " ${default_ways[*]} ${peer_ways[*]} " == *" $1 "* ]]
}

# way_needs NAME: programs
way_needs() {
	case $1 in
	haproxy*) echo haproxy nft ;;
	nginx*) echo nginx nft ;;
	redsocks*) echo redsocks nft ;;
	esac
}

# way_source NAME: the address that the server must see
way_source() {
	case $1 in
	direct | *-client | *-clientip* | *-transparent*) echo "$CLIENT" ;;
	*) echo "$HOST" ;;
	esac
}

# way_cannot NAME LOAD: why it is left out; nothing if it is not
way_cannot() {
	[[ $* != 'redsocks-splice idle-'* ]] ||
		echo 'two pipes for each connection: 5,000 exceed the limit of descriptors'
}

# way_buffer NAME: bytes
way_buffer() {
	[[ $1 == *-64k ]] && echo 65536 || echo 16384
}

way_start() {
	PROXY=
	case $1 in
	direct) ;;
	shuntd) start_shuntd proxy ;;
	shuntd-client) start_shuntd client ;;
	shuntd-poll) start_shuntd proxy --busy-poll 30 ;;
	haproxy*) start_haproxy "$1" ;;
	nginx*) start_nginx "$1" ;;
	redsocks*) start_redsocks "$1" ;;
	esac
}

way_stop() {
	[[ -z $PROXY ]] || stop "$PROXY"
	[[ $1 != shuntd* ]] || in_ns host "$BUILD/shuntctl" down || true # it goes with the lab
	PROXY=
}

# ---- shunt -----------------------------------------------------------------------------------

start_shuntd() {
	echo "100 in tcp from $CLIENT to any port $RULE_PORTS proxy" >"$T/rules"
	in_ns host "$BUILD/shuntctl" up -i lan0 -i wan0 -f "$T/rules" || return 1
	on_host "$T/proxy.log" "$BUILD/shuntd" --source "$@"
	up_when "grep -q '^ready' $T/proxy.log"
}

# ---- netfilter, for the peers ------------------------------------------------------------------

# To the transparent listener of LISTEN, the address as it is. No conntrack.
steer_by_tproxy() {
	deliver_marked
	in_ns host nft -f - <<-END
		table ip bench {
			chain prerouting {
				type filter hook prerouting priority mangle;
				meta l4proto tcp socket transparent 1 meta mark set 1 accept
				iifname "lan0" tcp dport { $RULE_PORTS } tproxy to :$LISTEN meta mark set 1 accept
			}
		}
	END
}

# steer_by_redirect [PORT]: by NAT, to any listener; without a port it stays the same
steer_by_redirect() {
	in_ns host nft -f - <<-END
		table ip bench {
			chain prerouting {
				type nat hook prerouting priority dstnat;
				iifname "lan0" tcp dport { $RULE_PORTS } redirect ${1:+to :$1}
			}
		}
	END
}

# Packets back to sockets with the client's address. These flows go past conntrack, where they
# may have the same addresses and ports as the client's own, which then both break.
deliver_transparent() {
	deliver_marked
	in_ns host nft -f - <<-END
		table ip bench {
			chain there {
				type filter hook output priority raw;
				ip saddr $CLIENT notrack
			}
			chain back {
				type filter hook prerouting priority raw;
				iifname "wan0" ip daddr $CLIENT notrack
				iifname "wan0" meta l4proto tcp socket transparent 1 meta mark set 1
			}
		}
	END
}

# ---- HAProxy: transparent listener, tcp mode ---------------------------------------------------

haproxy_options() {
	case $1 in
	haproxy-splice-auto*) echo 'option splice-auto' ;;
	haproxy-splice*) printf '%s\n' 'option splice-request' 'option splice-response' ;;
	esac
}

start_haproxy() {
	cat >"$T/haproxy.cfg" <<-END
		global
			maxconn 7000
			tune.bufsize $(way_buffer "$1")
		defaults
			mode tcp
			timeout connect 10s
			timeout client 1h
			timeout server 1h
			$(haproxy_options "$1")
		listen all
			bind 0.0.0.0:$LISTEN transparent
			$([[ $1 != *-clientip* ]] || echo 'source 0.0.0.0 usesrc clientip')
			server origin 0.0.0.0
	END
	on_host "$T/proxy.log" haproxy -db -f "$T/haproxy.cfg"
	up_when "((\$(listening $LISTEN) > 0))" && steer_by_tproxy
}

# ---- nginx: its listeners cannot be transparent, so REDIRECT and one listener a port -----------

start_nginx() {
	local -a ports

	IFS=, read -ra ports <<<"$RULE_PORTS"
	cat >"$T/nginx.conf" <<-END
		daemon off;
		pid $T/nginx.pid;
		error_log stderr error;
		user root;
		worker_processes 2;
		worker_rlimit_nofile $(ulimit -Hn);
		load_module /usr/lib/nginx/modules/ngx_stream_module.so;
		events { worker_connections 16384; }
		stream {
			server {
				$(printf 'listen %s backlog=4096; ' "${ports[@]}")
				proxy_pass $SERVER:\$server_port;
				proxy_buffer_size $(way_buffer "$1");
				proxy_timeout 1h;
				$([[ $1 != *-transparent* ]] ||
					echo "proxy_bind \$remote_addr transparent;")
			}
		}
	END
	on_host "$T/proxy.log" nginx -p "$T" -c "$T/nginx.conf" -e stderr
	up_when "((\$(listening $WHO) > 0 && \$(pgrep -c -P $PROXY) == 2))" || return 1
	steer_by_redirect
	[[ $1 != *-transparent* ]] || deliver_transparent
}

# ---- redsocks: needs a SOCKS5 server, and the benchmark's own server is one ---------------------

start_redsocks() {
	cat >"$T/redsocks.conf" <<-END
		base {
			log_info = off;
			log = stderr;
			daemon = off;
			redirector = iptables;
			rlimit_nofile = $(ulimit -Hn);
			redsocks_conn_max = 9000;
		}
		redsocks {
			local_ip = 0.0.0.0;
			local_port = $LISTEN;
			ip = $SERVER;
			port = $SOCKS;
			type = socks5;
			listenq = 4096;
			splice = $([[ $1 == *-splice ]] && echo true || echo false);
		}
	END
	on_host "$T/proxy.log" env LD_PRELOAD="$TOOLS/redsocks-buffers.so" \
		RELAY_BUFFER="$(way_buffer "$1")" redsocks -c "$T/redsocks.conf"
	up_when "((\$(listening $LISTEN) > 0))" && steer_by_redirect $LISTEN
}
