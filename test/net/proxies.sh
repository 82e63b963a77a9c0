#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Proxies on the way, and who says what before the client's bytes: SOCKS5 (microsocks, dante),
# HTTP CONNECT (tinyproxy, squid), PROXY protocol (nginx, HAProxy).
#
#   cl ---- gw (shuntd) ---- sv: web server
#            |
#            +-- xl: proxies

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# setup 4|6: the lab; port 80 and 7000 of sv go to target far
setup() {
	family "$1"
	XL_U=$(in_url "$XL")
	lab_up
	up -i u0 -i x0
	rules '100 in on c0 tcp to any port 80-81,7000 proxy far fail closed'
}

# far LINE...: shuntd with target far, and these settings
far() {
	{
		printf 'workers: 2\ntargets:\n  far:\n'
		printf '    %s\n' "$@"
	} >"$T/shuntd.yml"
	shuntd -c "$T/shuntd.yml"
}

# listens NS PORT
listens() {
	wait_for 5 "nsenter --net=/run/netns/$1 ss -Hltn 'sport = :$2' | says ."
}

# socks PORT [ARG...]: microsocks at xl
socks() {
	start "socks-$1" xl microsocks -i "$( ((FAM == 4)) && echo 0.0.0.0 || echo ::)" -p "$@"
	listens xl "$1"
}

# tiny PORT [LINE...]: tinyproxy at xl
tiny() {
	printf '%s\n' "Port $1" "Listen $XL" 'Timeout 20' 'MaxClients 200' 'LogLevel Error' \
		"LogFile \"$T/tiny.log\"" "PidFile \"$T/tiny-$1.pid\"" "${@:2}" >"$T/tiny-$1.conf"
	start "tiny-$1" xl tinyproxy -d -c "$T/tiny-$1.conf"
	listens xl "$1"
}

# system_user NAME PASSWORD: dante asks the host for them; ours is gone with the case
system_user() {
	cp -a /etc/passwd /etc/shadow "$T"
	echo "$1:x:4242:4242::/:/usr/sbin/nologin" >>"$T/passwd"
	echo "$1:$(python3 -W ignore -c 'import crypt, sys; print(crypt.crypt(sys.argv[1]))' \
		"$2"):19000:0:99999:7:::" >>"$T/shadow"
	mount --bind "$T/passwd" /etc/passwd
	mount --bind "$T/shadow" /etc/shadow
}

# dante PORT METHOD: danted at xl; METHOD is none or username
dante() {
	cat >"$T/dante-$1.conf" <<-END
		logoutput: $T/dante-$1.log
		internal.protocol: ipv4 ipv6
		internal: $XL port = $1
		external.protocol: ipv4 ipv6
		external: $XL
		socksmethod: $2
		clientmethod: none
		user.privileged: root
		user.unprivileged: nobody
		client pass { from: 0/0 to: 0/0 }
		socks pass { from: 0/0 to: 0/0 }
	END
	start "dante-$1" xl danted -p "$T/dante-$1.pid" -f "$T/dante-$1.conf"
	listens xl "$1"
}

# squid PORT [LINE...]: squid at xl
squid() {
	printf '%s\n' "http_port $XL_U:$1" 'pid_filename none' 'access_log none' \
		"cache_log $T/squid-$1.log" 'cache deny all' 'cache_mem 8 MB' 'icon_directory /' \
		'shutdown_lifetime 0 seconds' 'visible_hostname xl' 'pinger_enable off' \
		'cache_effective_user nobody' 'max_filedescriptors 1024' \
		"${@:2}" 'http_access allow all' >"$T/squid-$1.conf"
	install -o nobody /dev/null "$T/squid-$1.log"
	start "squid-$1" xl squid -N -n "at$1" -f "$T/squid-$1.conf"
	wait_for 10 "nsenter --net=/run/netns/xl ss -Hltn 'sport = :$1' | says . ||
		! alive 'squid-$1'"
	alive "squid-$1" || fail "squid ended: $(tail -n 5 "$T/squid-$1.log")"
}

# Small and large answers come from the web server, which saw $1.
serves() {
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 "[[ -s $T/sv.access ]]"
	same 'who the server saw' "$(seen sv | cut -d' ' -f1)" "$1"
	same 'digest of a large answer' "$(fetch cl "http://$SV_U/large" | sha256sum)" \
		"$(sha256sum <"$T/nginx-sv/www/large")"
}

web() {
	web_server sv
	head -c 5000000 /dev/urandom >"$T/nginx-sv/www/large"
}

# Servers that speak first, and bytes in both directions.
speaks_first() {
	start_ready end sv "$tcploop" -v listen 7000 accept send:100 recv:500000 send:5 close
	in_ns cl "$tcploop" -v connect "$SV_U:7000" recv:100 send:500000 recv:5 expect-eof >&2
	finish end 12 || fail "the server's end: $(tail -n 1 "$T/end.err")"
}

# ---- SOCKS5 ------------------------------------------------------------------------------------

socks5() {
	setup "$1"
	web
	socks 1080
	socks 1081 -u me -P 'se cret'
	far 'via: socks5' "upstreams: '$XL_U:1080'"
	serves "$XL"
	speaks_first
	say 'a server that is not there'
	must_fail '7|52|56' '' fetch cl "http://$SV_U:81/"
	becomes 'ended as refused' 1 proxied ended_refused
	wait_for 3 "grep -qF 'did not connect to $SV_U:81: connection refused' $T/shuntd.err"
	stop shuntd
	say 'with user and password'
	far 'via: socks5' "upstreams: '$XL_U:1081'" 'via-user: me' "via-password: 'se cret'"
	serves "$XL"
	stop shuntd
	say 'with a wrong one, and with none'
	far 'via: socks5' "upstreams: '$XL_U:1081'" 'via-user: me' 'via-password: secret'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
	wait_for 3 "grep -qF 'wrong user or password' $T/shuntd.err"
	! grep -q 'secret' "$T/shuntd.err" || fail 'the password is in the log'
	stop shuntd
	far 'via: socks5' "upstreams: '$XL_U:1081'"
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
}

# The proxy looks the name up: here it is in a hosts file that only it can have read.
names() {
	setup "$1"
	web
	echo "$SV web.example" >"$T/hosts"
	mount --bind "$T/hosts" /etc/hosts
	socks 1080
	tiny 3128
	far 'via: socks5' "upstreams: '$XL_U:1080'" 'destination: web.example:8080'
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	same 'port that the server saw' "$(cut -d' ' -f4 "$T/sv.access")" 8080
	stop shuntd
	far 'via: connect' "upstreams: '$XL_U:3128'" 'destination: web.example:8080'
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 "(( \$(requests sv) == 2 ))"
	same 'port that the server saw' "$(tail -n 1 "$T/sv.access" | cut -d' ' -f4)" 8080
	umount /etc/hosts
}

# ---- CONNECT -----------------------------------------------------------------------------------

http_connect() {
	setup "$1"
	web
	tiny 3128
	tiny 3129 'BasicAuth me secret'
	far 'via: connect' "upstreams: '$XL_U:3128'"
	serves "$XL"
	speaks_first
	say 'a server that is not there'
	must_fail '7|52|56' '' fetch cl "http://$SV_U:81/"
	becomes 'ended by the proxy' 1 proxied ended_via
	wait_for 3 "grep -qE 'did not connect to .*:81: status 50[0-9]' $T/shuntd.err"
	stop shuntd
	say 'with user and password'
	far 'via: connect' "upstreams: '$XL_U:3129'" 'via-user: me' 'via-password: secret'
	serves "$XL"
	stop shuntd
	far 'via: connect' "upstreams: '$XL_U:3129'" 'via-user: me' 'via-password: wrong'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
	wait_for 3 "grep -qE 'status 40[17]' $T/shuntd.err"
}

# The same with others, as no two read an RFC alike.
socks5_by_dante() {
	command -v danted >/dev/null || skip 'no danted here: install dante-server'
	setup "$1"
	web
	system_user me 'se cret'
	dante 1080 none
	dante 1081 username
	far 'via: socks5' "upstreams: '$XL_U:1080'"
	serves "$XL"
	speaks_first
	say 'a server that is not there'
	must_fail '7|52|56' '' fetch cl "http://$SV_U:81/"
	becomes 'ended as refused' 1 proxied ended_refused
	stop shuntd
	say 'with user and password'
	far 'via: socks5' "upstreams: '$XL_U:1081'" 'via-user: me' "via-password: 'se cret'"
	serves "$XL"
	stop shuntd
	say 'with a wrong one, and with none'
	far 'via: socks5' "upstreams: '$XL_U:1081'" 'via-user: me' 'via-password: secret'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
	stop shuntd
	far 'via: socks5' "upstreams: '$XL_U:1081'"
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
}

connect_by_squid() {
	[[ -x /usr/sbin/squid ]] || skip 'no squid here'
	setup "$1"
	web
	mount -t tmpfs tmpfs /dev/shm # where squid would leave files, or meet those of others
	echo "me:$(python3 -W ignore -c 'import crypt; print(crypt.crypt("secret"))')" >"$T/users"
	squid 3128
	squid 3129 "auth_param basic program /usr/lib/squid/basic_ncsa_auth $T/users" \
		'auth_param basic children 1' 'acl known proxy_auth REQUIRED' \
		'http_access deny !known'
	far 'via: connect' "upstreams: '$XL_U:3128'"
	serves "$XL"
	speaks_first
	say 'a server that is not there'
	must_fail '7|52|56' '' fetch cl "http://$SV_U:81/"
	becomes 'ended by the proxy' 1 proxied ended_via
	wait_for 10 "grep -qE 'did not connect to .*:81: status 50[0-9]' $T/shuntd.err"
	stop shuntd
	say 'with user and password'
	far 'via: connect' "upstreams: '$XL_U:3129'" 'via-user: me' 'via-password: secret'
	serves "$XL"
	stop shuntd
	far 'via: connect' "upstreams: '$XL_U:3129'" 'via-user: me' 'via-password: wrong'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
	wait_for 10 "grep -qE 'status 407' $T/shuntd.err"
}

# ---- proxies that misbehave ----------------------------------------------------------------------

misbehaving() {
	setup "$1"
	web
	say 'the answer, bytes of the server and its end in one packet'
	cat >"$T/at-once" <<-'END'
		#!/bin/sh
		while read -r line && [ ${#line} -gt 1 ]; do :; done
		printf 'HTTP/1.1 200 OK\r\n\r\nhello\n'
	END
	chmod +x "$T/at-once"
	start at-once xl socat "TCP-LISTEN:3128,pf=ip$FAM,fork,reuseaddr" "EXEC:$T/at-once"
	listens xl 3128
	far 'via: connect' "upstreams: '$XL_U:3128'"
	same 'what the client got' "$(in_ns cl socat -u "TCP:$SV_U:80" -)" hello
	stop shuntd
	say 'one that never answers'
	start silent xl socat -u "TCP-LISTEN:1083,pf=ip$FAM,fork" /dev/null
	listens xl 1083
	far 'via: socks5' "upstreams: '$XL_U:1083'" 'handshake-timeout: 3'
	start waiting cl curl -sS --noproxy '*' --max-time 60 "http://$SV_U/hello"
	wait_for 3 "[[ -n \$(ctl --json proxy list -t far | jq -r '.[] |
		select(.state == \"handshake\" and .server == \"$XL_U:1083\") | .id') ]]"
	! finish waiting || fail 'an answer out of nothing'
	rm "$T/waiting.err"
	becomes 'ended by a timeout' 1 proxied ended_timeout
	stop shuntd
	stop silent
	say 'one that goes away, and another that does not'
	start gone xl socat "TCP-LISTEN:1082,pf=ip$FAM" 'SYSTEM:head -c 3 >/dev/null'
	listens xl 1082
	socks 1080
	far 'via: socks5' "upstreams: ['$XL_U:1082', '$XL_U:1080']"
	fetch_hello cl "http://$SV_U/hello"
	becomes retries 1 proxied upstream_retries
	finish gone
	say 'no proxy at all, but a web server'
	stop shuntd
	far 'via: socks5' "upstreams: '$SV_U:80'"
	must_fail '7|52|56' '' fetch cl "http://$SV_U/hello"
	becomes 'ended by the proxy' 1 proxied ended_via
}

# ---- PROXY protocol ------------------------------------------------------------------------------

# nginx at 81 and HAProxy at 82 of sv read the header, and say what is in it.
readers() {
	local dir=$T/readers

	mkdir -p "$dir"
	cat >"$dir/nginx" <<-END
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr crit;
		events { }
		http {
			access_log off;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen 81 proxy_protocol;
				listen [::]:81 proxy_protocol;
				location / {
					return 200 "\$proxy_protocol_addr \$proxy_protocol_server_addr \$proxy_protocol_server_port \$remote_addr\n";
				}
			}
		}
	END
	cat >"$dir/haproxy" <<-END
		global
		  maxconn 100
		defaults
		  mode http
		  timeout client 5s
		  timeout connect 5s
		  timeout server 5s
		frontend seen
		  bind 0.0.0.0:82 accept-proxy
		  bind :::82 v6only accept-proxy
		  http-request return status 200 content-type text/plain lf-string "%[src] %[dst] %[dst_port] haproxy\n"
	END
	start readers-nginx sv nginx -p "$dir" -c "$dir/nginx" -e stderr
	start readers-haproxy sv haproxy -db -f "$dir/haproxy"
	listens sv 81
	listens sv 82
}

proxy_protocol() {
	local version

	setup "$1"
	web_server sv
	readers
	socks 1080
	for version in v1 v2; do
		say "version $version, to nginx at the original destination"
		far "proxy-protocol: $version"
		same 'what nginx read' "$(fetch cl "http://$SV_U:81/")" "$CL $SV 81 $GW_U"
		stop shuntd
		say 'with the address of the client, too'
		far "proxy-protocol: $version" 'source: client'
		same 'what nginx read' "$(fetch cl "http://$SV_U:81/")" "$CL $SV 81 $CL"
		stop shuntd
		say 'to HAProxy, in place of the original destination'
		far "proxy-protocol: $version" "upstreams: '$SV_U:82'"
		same 'what HAProxy read' "$(fetch cl "http://$SV_U/")" "$CL $SV 80 haproxy"
		stop shuntd
		say 'through a proxy'
		far "proxy-protocol: $version" 'via: socks5' "upstreams: '$XL_U:1080'"
		same 'what nginx read' "$(fetch cl "http://$SV_U:81/")" "$CL $SV 81 $XL"
		stop shuntd
	done
	say 'none: the same servers refuse it'
	far 'source: proxy'
	must_fail 52 '' fetch cl "http://$SV_U:81/"
}

# time_waits PORT: connections of the gateway's to a server's port that are in TIME_WAIT
time_waits() {
	nsenter --net=/run/netns/gw ss -Htn state time-wait "( dport = :$1 )" | wc -l
}

# Who closes first has the TIME_WAIT, as without a proxy.
close_order() {
	setup "$1"
	socks 1080
	far 'via: socks5' "upstreams: '$XL_U:1080'" 'proxy-protocol: v2'
	start end sv socat -u "TCP-LISTEN:7000,pf=ip$FAM,reuseaddr" /dev/null
	listens sv 7000
	in_ns cl "$tcploop" -v connect "$SV_U:7000" send:6 close >&2
	finish end 5
	wait_for 5 "(( \$(proxied active) == 0 ))"
	wait_for 5 "(( \$(time_waits 1080) == 1 ))"
	# It reads the header first: to close with bytes unread would be a reset.
	start end sv socat "TCP-LISTEN:7000,pf=ip$FAM,reuseaddr" \
		"SYSTEM:head -c $( ((FAM == 4)) && echo 28 || echo 52) >/dev/null; cat /etc/hostname"
	listens sv 7000
	in_ns cl socat -u "TCP:$SV_U:7000" - >&2
	finish end 5
	wait_for 5 "(( \$(proxied active) == 0 ))"
	same 'TIME_WAIT to the proxy that closed first' "$(time_waits 1080)" 1
	becomes 'ended in good order' 2 proxied ended_fin
}

for fam in 4 6; do
	check "PRX-01-v$fam" "SOCKS5, with and without user (IPv$fam)" socks5 $fam
	check "PRX-02-v$fam" "names that the proxy looks up (IPv$fam)" names $fam
	check "PRX-03-v$fam" "HTTP CONNECT, with and without user (IPv$fam)" http_connect $fam
	check "PRX-07-v$fam" "SOCKS5 by dante (IPv$fam)" socks5_by_dante $fam
	check "PRX-08-v$fam" "HTTP CONNECT by squid (IPv$fam)" connect_by_squid $fam
	check "PRX-04-v$fam" "proxies that misbehave (IPv$fam)" misbehaving $fam
	check "PRX-05-v$fam" "PROXY protocol read by nginx and HAProxy (IPv$fam)" proxy_protocol $fam
	check "PRX-06-v$fam" "TIME_WAIT falls to who closes first, through a proxy (IPv$fam)" \
		close_order $fam
done

story_run "$@"
