#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# sandbox.sh BUILD-DIR: show shunt at work in throwaway network namespaces, with real requests
# to a real nginx, and check each answer. Called by shunt-deploy.sh --sandbox.
#
# Everything happens in namespaces of this process (mounts, processes, network), so whatever
# it makes is gone when it ends, however it ends.

set -euo pipefail
export LC_ALL=C

# In the background, as unshare itself would not end by ^C; with it goes all that it started.
if [[ ${2-} != --inside ]]; then
	trap 'kill -KILL $!; echo; echo "sandbox: broken off; nothing of it is left" >&2; exit 1' \
		INT TERM HUP
	unshare --mount --net --pid --fork --kill-child --mount-proc "$0" "$1" --inside &
	wait $! && exit 0
	exit 1
fi

BUILD=$1
T=/run/sandbox		# in our own /run
USER_ID=1000		# the rule for flows of this host is about this user
CLIENT_PORT=40123
SHUNTD=			# pid
N_WRONG=0

# The network; index 4 or 6.
declare -A client=([4]=10.0.1.2 [6]=fd00:1::2) gateway=([4]=10.0.1.1 [6]=fd00:1::1)
declare -A host=([4]=10.0.2.1 [6]=fd00:2::1) server=([4]=10.0.2.2 [6]=fd00:2::2)

die() {
	echo "sandbox: $*" >&2
	exit 1
}

# wait_for SECONDS CONDITION: poll until the shell text is true
wait_for() {
	local until=$((${EPOCHREALTIME/./} + $1 * 1000000))

	until eval "$2" >/dev/null 2>&1; do
		((${EPOCHREALTIME/./} < until)) || return 1
		sleep 0.02
	done
}

in_ns() {
	nsenter --net="/run/netns/$1" "${@:2}"
}

ctl() {
	in_ns host "$BUILD/shuntctl" "$@"
}

# ---- the machines ------------------------------------------------------------------------------

private_world() {
	mount --make-rprivate /
	mount -t tmpfs -o mode=755 tmpfs /run
	mount -t bpf bpf /sys/fs/bpf || die 'cannot mount bpffs: has this kernel BPF?'
	mkdir -p /run/netns "$T/www"
}

make_machine() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	in_ns "$1" sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
}

# make_wire MACHINE DEVICE FAR4 NEAR4 FAR6 NEAR6: its eth0 to that device of host
make_wire() {
	ip link add "$2" netns host type veth peer name eth0 netns "$1"
	ip -n host -batch - <<-END
		addr add $4/24 dev $2
		addr add $6/64 dev $2 nodad
		link set $2 up
	END
	ip -n "$1" -batch - <<-END
		addr add $3/24 dev eth0
		addr add $5/64 dev eth0 nodad
		link set eth0 up
		route add default via $4
		route add default via $6
	END
}

make_network() {
	local machine

	for machine in client host server; do
		make_machine $machine
	done
	in_ns host sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	make_wire client lan0 "${client[4]}" "${gateway[4]}" "${client[6]}" "${gateway[6]}"
	make_wire server wan0 "${server[4]}" "${host[4]}" "${server[6]}" "${host[6]}"
}

start_nginx() {
	echo 'hello from nginx' >"$T/www/hello"
	: >"$T/access"
	cat >"$T/nginx.conf" <<-END
		daemon off;
		master_process off;
		pid $T/nginx.pid;
		error_log stderr warn;
		events { }
		http {
			log_format seen '\$remote_addr \$remote_port';
			access_log $T/access seen;
			client_body_temp_path $T/body;
			proxy_temp_path $T/proxy;
			fastcgi_temp_path $T/fastcgi;
			uwsgi_temp_path $T/uwsgi;
			scgi_temp_path $T/scgi;
			server {
				listen 80; listen [::]:80;
				listen 443; listen [::]:443;
				listen 8080; listen [::]:8080;
				root $T/www;
			}
		}
	END
	nsenter --net=/run/netns/server nginx -p "$T" -c "$T/nginx.conf" -e stderr \
		2>"$T/nginx.err" &
	wait_for 60 "in_ns server curl -sf --noproxy '*' http://[::1]:8080/hello" ||
		die "nginx does not answer: $(tail -n 3 "$T/nginx.err")"
	: >"$T/access"
}

start_shuntd() {
	# Not by in_ns: $! would be the pid of the function's shell.
	nsenter --net=/run/netns/host "$BUILD/shuntd" --log-flows "$@" \
		>"$T/flows" 2>"$T/shuntd.err" &
	SHUNTD=$!
	wait_for 60 "grep -q '^ready' $T/shuntd.err || ! kill -0 $SHUNTD"
	kill -0 "$SHUNTD" 2>/dev/null || die "shuntd ended: $(tail -n 3 "$T/shuntd.err")"
}

stop_shuntd() {
	kill "$SHUNTD"
	wait "$SHUNTD" || die "shuntd ended with an error: $(tail -n 3 "$T/shuntd.err")"
	SHUNTD=
}

# ---- one request ---------------------------------------------------------------------------------

# Connections that shuntd has accepted so far. A worker whose pipe nobody empties leaves the line
# out, so it is asked more than once.
accepted() {
	local seen tries

	[[ -n $SHUNTD ]] || { echo 0; return 0; }
	seen=$(grep -c '^counters ' "$T/shuntd.err" || true)
	for ((tries = 0; tries < 6; tries++)); do
		kill -USR1 "$SHUNTD" || break
		wait_for 20 "(( \$(grep -c '^counters ' $T/shuntd.err) > $seen ))" && break
	done
	((tries < 6)) || die 'shuntd does not print its counters'
	grep '^counters ' "$T/shuntd.err" | tail -n 1 | grep -oE ' accepted=[0-9]+' | cut -d= -f2
}

in_url() {
	[[ $1 == *:* ]] && echo "[$1]" || echo "$1"
}

# explain WHO FAMILY PORT: the rule that decides, as the loaded program itself says
explain() {
	local to

	to=$(in_url "${server[$2]}"):$3
	case $1 in
	client) ctl explain in lan0 tcp "$(in_url "${client[$2]}"):50000" "$to" ;;
	user) ctl explain out tcp "$(in_url "${host[$2]}"):50000" "$to" uid $USER_ID ;;
	root) ctl explain out tcp "$(in_url "${host[$2]}"):50000" "$to" uid 0 ;;
	esac | sed -nE 's/^rule: (none)? ?(matches)?/\1/p'
}

# request WHO FAMILY PORT SECONDS: the answer on stdout
request() {
	local -a curl=(curl -sS --noproxy '*' --max-time "$4"
		--local-port "$CLIENT_PORT-$((CLIENT_PORT + 99))"
		"http://$(in_url "${server[$2]}"):$3/hello")

	case $1 in
	client) in_ns client "${curl[@]}" ;;
	user) in_ns host setpriv --reuid $USER_ID --regid $USER_ID --clear-groups "${curl[@]}" ;;
	root) in_ns host "${curl[@]}" ;;
	esac
}

row() {
	printf '  %-14s  %-17s  %-15s  %-6s  %-37s  %s\n' "$@"
}

header() {
	printf '\n%s\n' "$1"
	row 'who asks' 'whom' 'nginx saw' 'shuntd' 'rule that decides' ''
}

# show WHO FAMILY PORT SOURCE SHUNTD RULE: make the request, print what happened, and check it.
# SOURCE: the address, or ADDRESS:PORT, that nginx must see ('nothing': no answer);
# SHUNTD: yes or no, the flow goes through it; RULE: priority of the deciding rule, or none.
show() {
	local who=$1 family=$2 port=$3 want="$4 $5 $6" before lines answer saw via=no rule verdict
	local -A names=([client]=client [user]="host, uid $USER_ID" [root]='host, uid 0')

	rule=$(explain "$who" "$family" "$port")
	before=$(accepted)
	lines=$(wc -l <"$T/access")
	# A busy machine may take its time; where nothing comes, one need not wait for it.
	answer=$(request "$who" "$family" "$port" \
		"$([[ $4 == nothing ]] && echo 2 || echo 30)" 2>&1) || true
	if [[ $answer == 'hello from nginx' ]]; then
		wait_for 30 "(( \$(wc -l <$T/access) > $lines ))" || true
		saw=$(tail -n 1 "$T/access")
		[[ $4 == *" "* ]] || saw=${saw% *}
	else
		saw=nothing
	fi
	(($(accepted) == before)) || via=yes
	verdict=ok
	if [[ "$saw $via ${rule%% *}" != "$want" ]]; then
		verdict="NOT AS EXPECTED ($want)"
		N_WRONG=$((N_WRONG + 1))
	fi
	row "${names[$who]}" "$(in_url "${server[$family]}"):$port" "$saw" "$via" \
		"${rule% \#*}" "$verdict"
}

# ---- what is shown -------------------------------------------------------------------------------

state() {
	in_ns host sh -c 'ip rule; ip -6 rule; ip route show table all; ip -6 route show table all
		sysctl net.ipv4.conf.lo.accept_local; tc qdisc show'
	find /sys/fs/bpf -mindepth 1
}

introduce() {
	cat <<-END
		The sandbox: three machines, each a network namespace of its own.

		  client -------------- lan0  host  wan0 -------------- server (nginx)
		  ${client[4]}       ${gateway[4]}        ${host[4]}       ${server[4]}
		  ${client[6]}      ${gateway[6]}       ${host[6]}      ${server[6]}

		On the host, with these rules:

	END
	cat >"$T/rules" <<-END
		100 in tcp to any port 80 proxy # as gateway
		110 in tcp to any port 443 proxy fail closed # no way round
		200 out tcp to any port 80 uid $USER_ID proxy # of the host itself
	END
	sed 's/^/  /' "$T/rules"
	cat <<-END

		  shuntctl up -i lan0 -i wan0 --out -f rules
		  shuntd --source proxy
	END
}

show_proxy_source() {
	local f

	header "shuntd --source proxy: servers see the host's address"
	for f in 4 6; do
		show client $f 80 "${host[$f]}" yes 100
		show client $f 8080 "${client[$f]}" no none
		show user $f 80 "${host[$f]}" yes 200
		show user $f 8080 "${host[$f]}" no none
		show root $f 80 "${host[$f]}" no none
	done
}

show_client_source() {
	local f

	header "shuntd --source client: servers see the client's address"
	for f in 4 6; do
		show client $f 80 "${client[$f]}" yes 100
		show client $f 8080 "${client[$f]}" no none
		show user $f 80 "${host[$f]}" yes 200
	done
}

show_client_port() {
	local f

	header "shuntd --source client-port: servers see the client's address and port"
	for f in 4 6; do
		CLIENT_PORT=$((CLIENT_PORT + 100))
		show client $f 80 "${client[$f]} $CLIENT_PORT" yes 100
	done
}

show_no_shuntd() {
	local f

	header "shuntd stopped: rule 100 fails open, rule 110 fails closed"
	for f in 4 6; do
		show client $f 80 "${client[$f]}" no 100
		show client $f 443 nothing no 110
	done
}

take_down() {
	printf '\nWhat the rules decided (shuntctl rule list --counters):\n'
	ctl rule list --counters | sed 's/^/  /'
	printf '\nshuntctl down: '
	ctl down
	state >"$T/state.after"
	if diff "$T/state.before" "$T/state.after" >"$T/state.diff"; then
		echo 'the host is as it was before'
		return 0
	fi
	echo 'NOT AS EXPECTED, the host has changed:'
	cat "$T/state.diff"
	N_WRONG=$((N_WRONG + 1))
}

main() {
	private_world
	make_network
	start_nginx
	introduce
	state >"$T/state.before"
	ctl up -i lan0 -i wan0 --out -f "$T/rules" || die 'shuntctl up failed'
	start_shuntd --source proxy
	show_proxy_source
	stop_shuntd
	start_shuntd --source client
	show_client_source
	stop_shuntd
	start_shuntd --source client-port
	show_client_port
	printf '\nWhat shuntd --log-flows wrote of the last two:\n'
	stop_shuntd
	sed 's/^/  /' "$T/flows"
	show_no_shuntd
	take_down
	((N_WRONG == 0)) || die "$N_WRONG of the above are not as expected"
	echo 'All as expected. Nothing of it is left on this machine.'
}

main
