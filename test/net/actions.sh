#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What rules do beside proxy: drop, reject, limit, log, audit. Each with a neighbour that it must
# not touch.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# refused_by NS COMMAND...: its first SYN is answered, and not one that was sent again later. A machine
# that stalls for a second sends one again by itself: once of three times is enough.
refused_by() {
	local before rejected

	for _ in 1 2 3; do
		before=$(syns_again "$1")
		rejected=$(counter rule_reject)
		must_fail 7 'connect' "${@:2}"
		[[ $(syns_again "$1") != "$before" ]] || break
	done
	same 'SYNs sent again' "$(syns_again "$1")" "$before"
	same 'rejected, of one SYN' "$(counter rule_reject)" $((rejected + 1))
}

syns_again() {
	nsenter --net="/run/netns/$1" nstat -asz TcpExtTCPSynRetrans |
		awk '/SynRetrans/ { print $2 }'
}

# udp_answer NS ADDRESS PORT: what a connected UDP socket gets for one datagram
udp_answer() {
	in_ns "$1" python3 - "$2" "$3" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET,
		                  socket.SOCK_DGRAM)
		s.settimeout(2 if sys.argv[2] == '54' else 60) # 54 is dropped
		s.connect((sys.argv[1], int(sys.argv[2])))
		s.send(b'x' * 400)
		try:
		    print(s.recv(10))
		except ConnectionRefusedError:
		    print('refused')
		except TimeoutError:
		    print('nothing')
	END
}

reject_in() {
	local rejected

	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 reject' '110 in udp to any port 53 reject' \
		'120 in udp to any port 54 drop' '130 in tcp to any port 443 drop'
	refused_by cl fetch cl "http://$SV_U/hello"
	rejected=$(counter rule_reject)
	fetch_hello cl "http://$SV_U:8080/hello"
	must_fail 28 'timed out' fetch cl "http://$SV_U:443/hello" --max-time 1
	# Nobody listens on 9999 of sv, so its own kernel refuses; 54 is dropped on the way.
	same 'UDP port 53' "$(udp_answer cl "$SV" 53)" refused
	same 'UDP port 54' "$(udp_answer cl "$SV" 54)" nothing
	same 'UDP port 9999' "$(udp_answer cl "$SV" 9999)" refused
	same 'rejected, of UDP' "$(counter rule_reject)" $((rejected + 1))
	same 'requests that reached the server' "$(requests sv)" 1
	same 'packets to port 53 that reached the server' \
		"$(nsenter --net=/run/netns/sv nstat -asz UdpNoPorts Udp6NoPorts | awk '/NoPorts/ {n += $2} END {print n}')" 1
	ctl rule flush
	fetch_hello cl "http://$SV_U/hello"
}

reject_out() {
	local rejected

	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	ctl up -i u0 --out --hook "$HOOK"
	rules '100 out tcp to any port 80 uid 1000 reject' '110 out udp to any port 53 reject'
	refused_by gw in_ns gw setpriv --reuid 1000 --clear-groups curl -sS --noproxy '*' \
		--max-time 60 "http://$SV_U/hello"
	rejected=$(counter rule_reject)
	fetch_hello gw "http://$SV_U/hello"
	same 'UDP port 53' "$(udp_answer gw "$SV" 53)" refused
	same 'rejected, of UDP' "$(counter rule_reject)" $((rejected + 1))
	same 'requests that reached the server' "$(requests sv)" 1
}

limit_per_source() {
	local n

	family "$1"
	lab_up
	lab_second_client
	flow_server
	up
	rules "100 in tcp from $NET_C to any port 7000 pass limit 100 per src"
	# 2 clients at 300 a second for 3 s: each is let through 100 a second and the burst of 5.
	start a cl "$flowgen" rate 300 3 "$SV_U:7000" --stuck 10
	start b cl2 "$flowgen" rate 300 3 "$SV_U:7000" --stuck 10
	# Others are not limited.
	in_ns xl "$flowgen" rate 300 3 "$SV_U:7000" >"$T/x.out"
	wait_for 30 '! alive a && ! alive b'
	finish a || true
	finish b || true
	same 'flows of the other network' "$(jq .ok "$T/x.out")" 900
	n=$(rule_flows 100)
	at_least 'flows that met the rule' "$n" 1000
	n=$((n - $(counter rule_limit)))
	say "let through: $n"
	at_least 'flows let through, for each of 2 sources' $((n / 2)) 280
}

log_and_audit() {
	family "$1"
	lab_up
	web_server sv
	up
	rules '50 in tcp to any port 80 drop audit' '60 in tcp to any port 8080 pass audit' \
		'100 in tcp to any port 80,8080 pass log' '110 in tcp to any port 443 pass'
	start log gw "$LAB_BUILD/shuntctl" --json log --count 4
	wait_for 5 "ls -l /proc/${PIDS[log]}/fd | says bpf"
	fetch_hello cl "http://$SV_U/hello"
	fetch_hello cl "http://$SV_U:443/hello"
	fetch_hello cl "http://$SV_U:8080/hello"
	wait_for 5 '! alive log'
	finish log
	same 'what was logged' "$(jq -r '[.rule, .action, .outcome] | join(" ")' "$T/log.out" | xargs)" \
		'50 drop audited 100 pass rule_pass 60 pass audited 100 pass rule_pass'
	same destination "$(head -n 1 "$T/log.out" | jq -r .destination)" "$SV_U:80"
	same device "$(head -n 1 "$T/log.out" | jq -r .device)" c0
	same 'flows of the audit rule' "$(rule_flows 50)" 1
	same 'audited' "$(counter audited)" 2
	same 'dropped' "$(counter rule_drop)" 0
}

for hook in tcx clsact; do
	for fam in 4 6; do
		check "ACT-01-$hook-v$fam" "reject answers, drop does not ($hook, IPv$fam)" \
			reject_in $hook $fam
		check "ACT-02-$hook-v$fam" "reject of flows of this host ($hook, IPv$fam)" \
			reject_out $hook $fam
	done
done
for fam in 4 6; do
	check "ACT-03-v$fam" "a limit for each source (IPv$fam)" limit_per_source $fam
	check "ACT-04-v$fam" "log and audit say what happened (IPv$fam)" log_and_audit $fam
done

story_run "$@"
