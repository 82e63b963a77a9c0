#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The pages of docs/ that tell how to set something up, done as they say in the lab, whose interfaces
# have the names that the pages give them; and then it is as they say.

# shellcheck source-path=SCRIPTDIR disable=SC2016 # the backquotes are those of Markdown

# shellcheck source=../net/lib.sh
. "$(dirname "$0")/../net/lib.sh"

ROOT=$(cd "$LAB_DIR/../.." && pwd)

# follow PAGE: all commands of its sh blocks, on the gateway; what they print to $T/followed
follow() {
	local line n=0

	mkdir -p "$T/etc"
	: >"$T/followed"
	while IFS= read -r line; do
		line=${line//\/etc\/shunt/$T/etc}
		[[ $line == 'sudo '* ]] || fail "$1 has a command without sudo: $line"
		line=${line#sudo }
		n=$((n + 1))
		echo "\$ $line" >>"$T/followed"
		case $line in
		tee\ *)
			while IFS= read -r line && [[ $line != END ]]; do
				echo "$line"
			done >"$(cut -d' ' -f2 <<<"$line")"
			;;
		shuntd*)
			# shellcheck disable=SC2086 # words of the command
			shuntd ${line#shuntd}
			;;
		shuntctl\ *)
			# shellcheck disable=SC2086
			ctl ${line#shuntctl } >>"$T/followed" </dev/null
			;;
		*) fail "$1 has a command this check does not know: $line" ;;
		esac
	done < <(sed -n '/^```sh$/,/^```$/p' "$ROOT/docs/$1" | sed '/^```/d')
	at_least "commands of $1" $n 7
	cat "$T/followed" >&2
}

# decides RULE WORD...
decides() {
	same "rule that decides: ${*:2}" \
		"$(ctl --json explain "${@:2}" | jq -r '.rule // "none" | split(" ")[0]')" "$1"
}

gateway() {
	family 4
	lab_up
	web_server sv
	head -c 20M /dev/zero >"$T/nginx-sv/www/large"
	follow gateway.md
	fetch_hello cl "http://$SV_U/hello"
	same 'source that the server saw' "$(tail -n 1 "$T/sv.access" | cut -d' ' -f1)" "$CL"
	becomes 'proxied flows' 1 proxied accepted
	same 'findings' "$(ctl --json rule check | jq '[.[] | select(.kind != "never-hit")] | length')" 0
	fetch cl "http://$SV_U/large" >"$T/large"
	wait_for 20 '[[ $(ctl set list heavy) == "$SV timeout"* ]]'
	fetch cl "http://$SV_U/large" >"$T/large"
	becomes 'proxied flows, after the second download' 2 proxied accepted
	same 'flows past the proxy' "$(rule_flows 50)" 1
	decides 10 in c0 tcp 10.1.0.2:9 192.168.0.1:80
	decides 20 in c0 udp 10.1.0.2:9 10.3.0.2:443
	decides 100 in c0 tcp 10.1.0.2:9 10.3.0.2:443
	decides 200 in c0 tcp 10.1.0.2:9 10.3.0.2:22
	decides 200 in c0 udp '[fd01::2]:9' '[fd03::2]:53'
}

uplinks() {
	lab_up
	ip -n gw route add default via 10.2.0.2
	ip -n gw -6 route add default via fd02::2
	lab_mark
	follow uplinks.md
	same 'video' "$(ctl set list video | sed 's/ timeout.*//' | xargs)" '10.201.0.0/24 10.202.0.9'
	decides 100 in c0 udp 10.1.0.2:9 10.201.0.9:443
	decides 100 in c0 udp 10.1.0.2:9 10.202.0.9:443
	decides none in c0 udp 10.1.0.2:9 10.200.0.9:443
	decides 110 in c0 tcp '[fd01::2]:9' '[2001:db8:200::1]:443'
	# A datagram arrives where the page says.
	in_ns xl ip addr add 10.201.0.9/32 dev lo
	start listener xl socat -u UDP4-RECV:443 OPEN:"$T/arrived",creat
	wait_for 20 '[[ $(in_ns xl ss -Hlun "sport = :443") ]]'
	wait_for 20 'echo hello | in_ns cl socat -u - UDP4-SENDTO:10.201.0.9:443
		grep -q hello "$T/arrived"'
	at_least 'flows of rule 100' "$(rule_flows 100)" 1
}

# as_user UID: fetch from the gateway itself
as_user() {
	same "answer for uid $1" "$(in_ns gw setpriv --reuid "$1" --regid "$1" --clear-groups curl -sS \
		--noproxy '*' --max-time 60 "http://$SV_U/hello")" 'hello from sv'
}

users() {
	family 4
	lab_up
	web_server sv
	follow users.md
	as_user 0
	as_user 999
	becomes 'proxied flows of others' 0 proxied accepted
	as_user 1000
	as_user 1999
	becomes 'proxied flows of the users' 2 proxied accepted
	same 'flows of rule 100' "$(rule_flows 100)" 2
	decides 200 in x0 tcp 10.3.0.2:9 10.2.0.2:80
	decides 210 in x0 udp 10.3.0.2:9 10.2.0.2:53
}

# container: one behind a bridge of the gateway, masqueraded, as Docker does it
container() {
	_ns_up ct
	ip -n gw -batch - <<-END
		link add docker0 type bridge
		addr add 172.17.0.1/16 dev docker0
		link set docker0 up
	END
	ip link add v0 netns gw type veth peer name eth0 netns ct
	ip -n gw link set v0 master docker0 up
	ip -n ct -batch - <<-END
		addr add 172.17.0.2/16 dev eth0
		link set eth0 up
		route add default via 172.17.0.1
	END
	in_ns gw nft -f - <<-END
		table ip nat {
			chain post {
				type nat hook postrouting priority 100;
				ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
			}
		}
	END
	wait_for 10 "ip -n gw -6 addr show dev docker0 scope link | says fe80"
	wait_for 10 '! ip -n gw -6 addr show tentative | says inet6'
	wait_for 10 "ip -n gw -6 addr show dev v0 scope link | says fe80"
	lab_mark
}

# out PORT: what the container gets from the server
out() {
	in_ns ct curl -sS --noproxy '*' --max-time 60 "http://$SV:$1/hello"
}

containers() {
	family 4
	lab_up
	container
	web_server sv
	same 'answer without a fence' "$(out 8080)" 'hello from sv'
	follow containers.md
	same 'answer of what is allowed' "$(out 80)" 'hello from sv'
	same 'source that the server saw' "$(tail -n 1 "$T/sv.access" | cut -d' ' -f1)" "$GW_U"
	must_fail 7 'connect|refused' out 8080
	same 'flows that were refused' "$(rule_flows 900)" 1
	decides 10 in docker0 udp 172.17.0.2:9 10.2.0.53:53
	decides 100 in docker0 tcp 172.17.0.2:9 203.0.113.9:443
	decides 900 in docker0 tcp 172.17.0.2:9 203.0.113.8:443
	decides 900 in docker0 udp 172.17.0.2:9 10.2.0.2:443
	decides 900 in docker0 tcp 172.17.0.2:9 172.17.0.1:22
	web_server ct
	same 'answer of the container' "$(in_ns cl curl -sS --noproxy '*' --max-time 60 \
		http://172.17.0.2/hello)" 'hello from ct'
	decides 900 in docker0 udp 172.17.0.2:53 10.1.0.2:4000
	ctl rule add 20 in on docker0 tcp port 8080 pass
	same 'answer of what is passed' "$(out 8080)" 'hello from sv'
	in_ns gw sysctl -q -w net.ipv4.conf.docker0.forwarding=0
	same 'answer without forwarding' "$(out 80)" 'hello from sv'
	must_fail '7|28' 'connect|route|tim' \
		in_ns ct curl -sS --noproxy '*' --max-time 5 "http://$SV:8080/hello"
	in_ns gw sysctl -q -w net.ipv4.conf.docker0.forwarding=1
	becomes 'proxied flows' 2 proxied accepted
	stop shuntd
	must_fail 28 'tim' in_ns ct curl -sS --noproxy '*' --max-time 2 "http://$SV/hello"
}

# denied FAMILY DELIVERY: input is denied by default, and accepted as operations.md says
denied() {
	local accept

	accept=$(sed -nE 's/^nft add rule inet filter input (.*)/\1/p' "$ROOT/docs/operations.md")
	family "$1"
	DELIVER=$2
	lab_up
	web_server sv
	up --hook auto
	rules '100 in tcp port 80 proxy fail closed'
	shuntd
	in_ns gw nft -f - <<-END
		table inet filter {
			chain input {
				type filter hook input priority 0; policy drop;
				meta l4proto ipv6-icmp accept
				ct state established accept
			}
		}
	END
	must_fail 28 'tim' in_ns cl curl -g -sS --noproxy '*' --max-time 2 "http://$SV_U/hello"
	# shellcheck disable=SC2086 # words of the rule
	in_ns gw nft add rule inet filter input $accept
	fetch_hello cl "http://$SV_U/hello"
	becomes 'proxied flows' 1 proxied accepted
	in_ns gw nft delete table inet filter
}

check -t 180 PAGE-01 'a gateway with the web proxied and the rest routed' gateway
check -t 120 PAGE-02 'a LAN with two uplinks by set' uplinks
check -t 120 PAGE-03 'a host that proxies some users only' users
check -t 120 PAGE-04 'a container whose egress is fenced' containers
for fam in 4 6; do
	check PAGE-05-v$fam "a firewall that denies input (IPv$fam)" denied $fam rule
	check PAGE-05-loopback-v$fam "a firewall that denies input, delivery by lo (IPv$fam)" \
		denied $fam loopback
done

story_run "$@"
