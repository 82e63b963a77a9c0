#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A target with servers of its own: which one a flow goes to, and what happens without one.
#
#   cl ---- gw (shuntd) ---- sv: a, b and c, three nginx with an address each

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# start_nginx NAME: answers with its name
start_nginx() {
	start "nginx-$1" sv nginx -p "$T/nginx-$1" -c "$T/nginx-$1/conf" -e stderr
	wait_for 10 "nsenter --net=/run/netns/sv ss -Hltn src ${AT[$1]} | says ."
}

make_nginx() {
	local dir=$T/nginx-$1

	mkdir -p "$dir"
	cat >"$dir/conf" <<-END
		daemon off;
		master_process off;
		pid $dir/pid;
		error_log stderr crit;
		events { worker_connections 4096; }
		http {
			access_log off;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			server {
				listen ${AT[$1]};
				location / { return 200 "$1 \$remote_addr\n"; }
			}
		}
	END
	start_nginx "$1"
}

declare -A AT=()

# The lab, and the servers of family $1; ports 80 go to target web.
servers() {
	local i=0 name

	family "$1"
	lab_up
	for name in a b c; do
		if ((FAM == 4)); then
			AT[$name]=10.2.0.1$i:80
			ip -n sv addr add 10.2.0.1$i/24 dev eth0
		else
			AT[$name]="[fd02::1$i]:80"
			ip -n sv addr add fd02::1$i/64 dev eth0 nodad
		fi
		i=$((i + 1))
		make_nginx $name
	done
	lab_mark
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy web fail closed'
}

# web LINE...: shuntd with target web, and these settings
web() {
	{
		printf 'workers: 2\ntargets:\n  web:\n'
		printf '    %s\n' "$@"
	} >"$T/shuntd.yml"
	shuntd -c "$T/shuntd.yml"
}

# ask N [CURL-OPTION...]: so many requests one after the other; "COUNT NAME" of who answered
ask() {
	in_ns cl curl -sS --noproxy '*' --max-time 60 --no-keepalive -H 'Connection: close' \
		"${@:2}" "http://$SV_U/[1-$1]" | grep -v '^--_curl_--' | cut -d' ' -f1 |
		sort | uniq -c | awk '{ print $1, $2 }' | paste -sd,
}

by_turns() {
	servers "$1"
	web "upstreams: ['${AT[a]} weight 2', '${AT[b]}', '${AT[c]}']" 'log-flows: true'
	same answers "$(ask 40)" '20 a,10 b,10 c'
	same source "$(fetch cl "http://$SV_U/" | cut -d' ' -f2)" "$GW_U"
	wait_for 5 "(( \$(wc -l <$T/shuntd.out) == 41 ))"
	same 'lines with a server' "$(grep -cF " server=${AT[b]} " "$T/shuntd.out")" 10
	becomes retries 0 proxied upstream_retries
}

# connections_to NAME: that the gateway has open
connections_to() {
	nsenter --net=/run/netns/gw ss -Htn state established dst "${AT[$1]}" | wc -l
}

by_least() {
	local name

	servers "$1"
	web "upstreams: ['${AT[a]} weight 2', '${AT[b]}', '${AT[c]}']" 'balance: leastconn' \
		'source: client'
	for name in 1 2 3 4; do
		start "held-$name" cl socat -u "TCP:$SV_U:80" -
		wait_for 5 "(( \$(connections_to a) + \$(connections_to b) + \
			\$(connections_to c) == $name ))"
	done
	same 'connections to a, b, c' "$(connections_to a) $(connections_to b) $(connections_to c)" \
		'2 1 1'
	same source "$(fetch cl "http://$SV_U/" | cut -d' ' -f2)" "$CL"
}

# nth_client N: one more address of the client
nth_client() {
	((FAM == 4)) && echo "10.1.0.$1" || echo "fd01::$1"
}

by_source() {
	local i answers='' again=''
	local -a clients=({40..55})

	servers "$1"
	for i in "${clients[@]}"; do
		ip -n cl addr add "$(nth_client "$i")/$( ((FAM == 4)) && echo 24 || echo 64)" \
			dev eth0 nodad
	done
	web "upstreams: ['${AT[a]}', '${AT[b]}', '${AT[c]}']" 'balance: source' 'fail-limit: 1'
	for i in "${clients[@]}"; do
		answers+=$(ask 2 --interface "$(nth_client "$i")")
		answers+=$'\n'
	done
	same 'clients with one server each' "$(grep -cxE '2 [abc]' <<<"$answers")" 16
	same 'servers used' "$(sed '/^$/d' <<<"$answers" | sort -u | wc -l)" 3
	stop nginx-b
	for i in "${clients[@]}"; do
		again+=$(ask 2 --interface "$(nth_client "$i")")
		again+=$'\n'
	done
	same 'clients of a and c, of which none moves' \
		"$(paste -d' ' <(echo "$answers") <(echo "$again") | grep '2 [ac] 2' |
			awk '$2 != $4' | wc -l)" 0
	same 'clients served' "$(grep -cxE '2 [ac]' <<<"$again")" 16
}

# A port without a server, and an address without a host.
retried() {
	local nobody

	servers "$1"
	nobody=$( ((FAM == 4)) && echo 10.2.0.77 || echo '[fd02::77]')
	web "upstreams: ['${AT[a]}', '${AT[a]%:*}:81']" 'retries: 1' 'fail-limit: 2' 'fail-hold: 60'
	same answers "$(ask 20)" '20 a'
	# Its turns came until it was out.
	becomes retries 2 proxied upstream_retries
	becomes 'taken out' 1 proxied upstreams_out
	wait_for 5 "grep -qF \"upstream ${AT[a]%:*}:81 of target 'web' is out for 60 s\" $T/shuntd.err"
	stop shuntd
	web "upstreams: '$nobody:80, ${AT[b]}'" 'connect-timeout: 1' 'fail-limit: 1'
	same answers "$(ask 6)" '6 b'
	becomes retries 1 proxied upstream_retries
	stop shuntd
	web "upstreams: ['${AT[a]%:*}:81', '${AT[b]%:*}:81']" 'retries: 5'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/"
	becomes 'tried' 1 proxied upstream_retries
	becomes 'ended as refused' 1 proxied ended_refused
	stop shuntd
	web "upstreams: ['${AT[a]%:*}:81', '${AT[b]}']" 'retries: 0' 'fail-limit: 0'
	must_fail '7|52|56' '' fetch cl "http://$SV_U/"
	same answer "$(ask 1)" '1 b'
	becomes retries 0 proxied upstream_retries
}

checked() {
	servers "$1"
	web "upstreams: ['${AT[a]}', '${AT[b]}']" 'health-interval: 1' 'health-fall: 1' \
		'health-rise: 1' 'fail-limit: 0'
	same answers "$(ask 10)" '5 a,5 b'
	stop nginx-b
	wait_for 5 "grep -qF \"upstream ${AT[b]} of target 'web' is out: checks fail\" $T/shuntd.err"
	same answers "$(ask 10)" '10 a'
	becomes 'retries once it is out' 0 proxied upstream_retries
	start_nginx b
	wait_for 5 "grep -qF \"upstream ${AT[b]} of target 'web' is back: checks succeed\" \
		$T/shuntd.err"
	same answers "$(ask 10)" '5 a,5 b'
	# Checks are not flows.
	becomes accepted 30 proxied accepted
}

# One of three stops and starts while 40 at a time ask. What is lost was in flight.
under_load() {
	local lost

	servers "$1"
	web "upstreams: ['${AT[a]}', '${AT[b]}', '${AT[c]}']" 'fail-hold: 1'
	start load cl curl -sS --noproxy '*' --max-time 60 -H 'Connection: close' --parallel \
		--parallel-max 40 -o /dev/null -w '%{http_code}\n' "http://$SV_U/[1-12000]"
	wait_for 10 "(( \$(grep -c 200 $T/load.out) > 1500 ))"
	stop nginx-b
	wait_for 10 "(( \$(proxied upstreams_out) > 0 ))"
	wait_for 10 "(( \$(grep -c 200 $T/load.out) > 5000 ))"
	alive load || fail 'the load was over too early to mean anything'
	start_nginx b
	wait_for 10 "(( \$(connections_to b) > 0 ))"
	alive load || fail 'the load was over too early to mean anything'
	finish load || true
	mv "$T/load.err" "$T/load.said"
	same requests "$(wc -l <"$T/load.out")" 12000
	lost=$(grep -vc '^200$' "$T/load.out") || true
	# A server that stops resets what it has accepted, and what waits to be accepted.
	at_most 'requests lost' "$lost" 40
	say "lost: $lost, retries: $(proxied upstream_retries)"
	becomes 'refused flows' 0 proxied ended_refused
}

# New settings without a restart: what is named again keeps its flows and its health.
reloaded() {
	servers "$1"
	web "upstreams: ['${AT[a]}', '${AT[b]}']" 'balance: leastconn' 'fail-limit: 1' \
		'fail-hold: 60'
	stop nginx-b
	start held-1 cl socat -u "TCP:$SV_U:80" -
	start held-2 cl socat -u "TCP:$SV_U:80" -
	wait_for 5 '(($(connections_to a) == 2))'
	becomes 'upstreams out' 1 proxied upstreams_out
	sed -i "s/upstreams:.*/upstreams: ['${AT[b]}', '${AT[c]}', '${AT[a]}']/" "$T/shuntd.yml"
	ctl proxy reload -t web
	# b is still out, and a has two flows: c is next, and then next again.
	start held-3 cl socat -u "TCP:$SV_U:80" -
	wait_for 5 '(($(connections_to c) == 1))'
	start held-4 cl socat -u "TCP:$SV_U:80" -
	wait_for 5 '(($(connections_to c) == 2))'
	same 'flows of before' "$(connections_to a)" 2
	becomes 'retries, of before' 1 proxied upstream_retries
	say 'a file that is wrong changes nothing'
	sed -i 's/balance:.*/balance: luck/' "$T/shuntd.yml"
	must_fail 1 "shuntd.yml:5:14: balance: 'luck': not roundrobin, leastconn or source" \
		ctl proxy reload -t web
	[[ $(ask 2) =~ ^(2 a|2 c|1 a,1 c)$ ]]
}

# how NAME JQ: a word about an upstream, as shuntctl has it
how() {
	ctl --json proxy status -t web 2>/dev/null |
		jq -er ".upstreams[] | select(.address == \"${AT[$1]}\") | $2"
}

told() {
	servers "$1"
	AT[d]=${AT[a]%:*}:81
	web "upstreams: ['${AT[a]} weight 3', '${AT[b]}', '${AT[d]}']" 'fail-limit: 1' \
		'fail-hold: 3600'
	same upstreams "$(ctl --json proxy status -t web 2>/dev/null |
		jq -c '[.upstreams[] | .address, .target, .weight]')" \
		"[\"${AT[a]}\",\"web\",3,\"${AT[b]}\",\"web\",1,\"${AT[d]}\",\"web\",1]"
	same 'before anything' "$(how a '"\(.state) \(.why) \(.check) \(.connections) \(.total)"')" \
		'up null null 0 0'
	start held cl socat -u "TCP:$SV_U:80" -
	wait_for 10 '(($(connections_to a) == 1))'
	same answers "$(ask 10)" '7 a,3 b'
	wait_for 10 '(($(how a .connections) == 1 && $(how b .connections) == 0))'
	same 'of a' "$(how a '"\(.state) \(.total) \(.failures)"')" 'up 8 0'
	same 'of b' "$(how b '"\(.state) \(.total) \(.failures)"')" 'up 3 0'
	# Its turn came, and nobody listens on it.
	same 'of d' "$(how d '"\(.state) \(.why) \(.connections) \(.total) \(.failures)"')" \
		'out connections fail 0 1 1'
	at_least 'back after, ms' "$(how d .back_ms)" 1000000
	ctl proxy status -t web >"$T/text"
	grep -qF "upstream ${AT[a]} of web, worker $(how a .worker), weight 3: up, 1 connection of 8, 0 failed" "$T/text"
	grep -qE "weight 1: out, connections fail, tried again in 3[0-9]+\.[0-9] s, 0 connections of 1, 1 failed$" "$T/text"
	say 'with checks, which take effect with a reload; a keeps what it has'
	printf '    health-interval: 1\n    health-fall: 1\n    health-rise: 1\n' >>"$T/shuntd.yml"
	ctl proxy reload -t web >&2
	wait_for 10 "[[ \$(how d .why) == 'checks fail' ]]"
	same 'check of d' "$(how d .check)" 'Connection refused'
	wait_for 10 "[[ \$(how a .check) == ok ]]"
	same 'of a' "$(how a '"\(.state) \(.connections) \(.total)"')" 'up 1 8'
	at_most 'checked before, ms' "$(how a .checked_ms)" 60000
	stop nginx-b
	wait_for 10 "[[ \$(how b .state) == out ]]"
	start_nginx b
	wait_for 10 "[[ \$(how b .state) == up ]]"
	ctl proxy status -t web | says -E "failed, checked [0-9]+\.[0-9] s ago: Connection refused$"
	say 'a target without upstreams, and one of several'
	stop held
	stop shuntd
	printf 'targets:\n  none:\n  web:\n    upstreams: "%s"\n  more:\n    upstreams: "%s"\n' \
		"${AT[a]}" "${AT[b]}" >"$T/shuntd.yml"
	shuntd -c "$T/shuntd.yml"
	same upstreams "$(ctl --json proxy status -t none 2>/dev/null |
		jq -c '[.upstreams[] | .target, .address]')" \
		"[\"web\",\"${AT[a]}\",\"more\",\"${AT[b]}\"]"
	stop shuntd
	shuntd -t web
	same 'no upstreams' "$(ctl --json proxy status -t web 2>/dev/null | jq -c .upstreams)" '[]'
}

# As many as there may be: pages of the answer, and lines of the protocol, are bounded.
told_all() {
	local i list

	servers 4
	for ((i = 0; i < 64; i++)); do
		list+="${list:+,}10.2.1.$i:80 weight 256"
	done
	printf 'targets:\n' >"$T/shuntd.yml"
	for ((i = 0; i < 8; i++)); do
		printf '  t%d:\n    upstreams: "%s"\n' "$i" "$list" >>"$T/shuntd.yml"
	done
	shuntd -c "$T/shuntd.yml"
	same upstreams "$(ctl --json proxy status -t t3 2>/dev/null |
		jq '[.upstreams[] | .target + .address] | unique | length')" 512
}

for fam in 4 6; do
	check "UPS-01-v$fam" "upstreams by turns, with weights (IPv$fam)" by_turns $fam
	check "UPS-02-v$fam" "upstreams by connections, with the client's address (IPv$fam)" \
		by_least $fam
	check "UPS-03-v$fam" "upstreams by client, who stay when another goes (IPv$fam)" \
		by_source $fam
	check "UPS-04-v$fam" "another upstream where one cannot be reached (IPv$fam)" retried $fam
	check "UPS-05-v$fam" "checks take an upstream out and bring it back (IPv$fam)" checked $fam
	check "UPS-06-v$fam" "one of three servers stops and starts under load (IPv$fam)" \
		under_load $fam
	check "UPS-07-v$fam" "upstreams keep flows and health over a reload (IPv$fam)" reloaded $fam
	check "UPS-08-v$fam" "the state of upstreams as shuntctl tells it (IPv$fam)" told $fam
done
check UPS-09 'the state of as many upstreams as there may be' told_all

story_run "$@"
