#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Rules and the flows that are there already; which of many rules decides; bad rule files.
# (Changes under load, and half of them: atomic.sh.)

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

who=$LAB_TOOLS/who
HELD=500

# ---- flows keep the decision of their first packet -----------------------------------------------

# hold NS: so many flows from NS to the server are open
hold() {
	start held "$1" "$flowgen" hold "$HELD" "$SV_U:7000"
	wait_for 20 "[[ -s $T/held.out ]]"
	same 'flows that are held' "$(jq .served "$T/held.out")" "$HELD"
}

# still_held: each of them gives an answer when it is asked now
still_held() {
	local seen

	seen=$(wc -l <"$T/held.out")
	kill -USR1 "${PIDS[held]}"
	wait_for 20 "(( \$(wc -l <'$T/held.out') > $seen ))"
	same 'flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" "$HELD"
}

# one_more NS [SECONDS]: a new flow, and its result; less time where it must fail. In the foreground,
# as timeout sends SIGCONT behind SIGTERM else: that takes back the SIGSTOP by which the leak check
# of AddressSanitizer waits for the process, for ever.
one_more() {
	in_ns "$1" timeout --foreground --kill-after=20 "${2:-60}" "$flowgen" client "$SV_U:7000" \
		--up 10 --down 10 >/dev/null 2>&1 || return 1
}

# up_for in|out
up_for() {
	if [[ $1 == in ]]; then up; else ctl up -i u0 --out >/dev/null; fi
}

# The rule that proxies is deleted, and comes back as another, and so on: flows of the proxy stay
# there, and new ones do what the rules say then.
proxied_flows() {
	local dir=$2 ns=$3

	family "$1"
	lab_up
	flow_server
	up_for "$dir"
	rules "100 $dir tcp to $SV port 7000 proxy"
	shuntd
	hold "$ns"
	becomes 'accepted by shuntd' "$HELD" proxied accepted
	ctl rule del 100
	one_more "$ns"
	becomes 'accepted by shuntd without the rule' "$HELD" proxied accepted
	still_held
	ctl rule add 100 "$dir" tcp to "$SV" port 7000 drop
	! one_more "$ns" 1 || fail 'the new rule does not drop'
	still_held
	ctl rule flush
	ctl rule add 90 "$dir" tcp to "$SV" port 7000 reject
	! one_more "$ns" 1 || fail 'the new rule does not reject'
	still_held
	rules "100 $dir tcp to $SV port 7000 proxy"
	one_more "$ns"
	still_held
	becomes 'accepted by shuntd at the end' $((HELD + 1)) proxied accepted
}

# Flows that go direct, because of a rule or because there is none, are not touched by rules
# that come later: only new ones are.
direct_flows() {
	local dir=$2 ns=$3

	family "$1"
	lab_up
	flow_server
	up_for "$dir"
	shuntd
	if [[ $4 == pass ]]; then rules "100 $dir tcp to $SV port 7000 pass"; fi
	hold "$ns"
	rules "100 $dir tcp to $SV port 7000 proxy"
	still_held
	becomes 'accepted by shuntd' 0 proxied accepted
	one_more "$ns"
	becomes 'accepted by shuntd, of a new flow' 1 proxied accepted
	rules "100 $dir tcp to $SV port 7000 drop"
	still_held
	! one_more "$ns" 1 || fail 'the rule does not drop'
	rules "100 $dir tcp to $SV port 7000 reject"
	still_held
	! one_more "$ns" 1 || fail 'the rule does not reject'
	stop held
	# The server has seen each of the held flows from its first byte to its last.
	wait_for 5 '(($(flow_report .open) == 0))'
	same 'flows that were right' "$(flow_report .ok)" $((HELD + 1))
}

# udp_echo: on sv, port 9000
udp_echo() {
	start_ready echo sv python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 9000))
print("ready", file=sys.stderr, flush=True)
while True:
    s.sendto(*s.recvfrom(2000))'
}

# udp_from NS PORT: what comes back for a datagram from that port
udp_from() {
	in_ns "$1" python3 - "$SV" "$2" "${3:-60}" <<-'END'
		import socket, sys
		six = ':' in sys.argv[1]
		s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
		s.bind(('::' if six else '0.0.0.0', int(sys.argv[2])))
		s.settimeout(float(sys.argv[3]))
		s.connect((sys.argv[1], 9000))
		s.send(b'answer')
		try:
		    print(s.recv(10).decode())
		except ConnectionRefusedError:
		    print('refused')
		except TimeoutError:
		    print('nothing')
	END
}

# A UDP flow is one 5-tuple, whoever's socket sends it. With a rule that passes it, or none.
udp_flows() {
	local dir=$2 ns=$3

	family "$1"
	lab_up
	udp_echo
	up_for "$dir"
	if [[ $4 == pass ]]; then rules "100 $dir udp to $SV port 9000 pass"; fi
	same 'to a flow' "$(udp_from "$ns" 5001)" answer
	rules "100 $dir udp to $SV port 9000 drop"
	same 'to the flow' "$(udp_from "$ns" 5001)" answer
	same 'to a new flow' "$(udp_from "$ns" 5002 0.5)" nothing
	rules "100 $dir udp to $SV port 9000 reject"
	same 'to the flow' "$(udp_from "$ns" 5001)" answer
	same 'to a new flow' "$(udp_from "$ns" 5002)" refused
	at_least 'datagrams that went on' "$(counter udp_flow)" 2
	# What was refused has not begun: it may now.
	ctl rule flush
	same 'to the refused flow' "$(udp_from "$ns" 5002)" answer
}

# ---- which of many rules decides ------------------------------------------------------------------

# Random rules that overlap, real flows, and a plain list that is gone through from its first
# line. Destinations are near the borders of the prefixes.
overlapping() {
	lab_up
	ip -n gw route add 10.9.0.0/16 via 10.2.0.2
	ip -n gw route add fd09::/64 via fd02::2
	ip -n sv route add local 10.9.0.0/16 dev lo
	ip -n sv route add local fd09::/64 dev lo
	lab_mark
	start_ready sv sv "$who" server sv=0.0.0.0:80 sv=0.0.0.0:81 'sv=[::]:80' 'sv=[::]:81'
	start_ready targets gw "$who" server a=127.0.0.1:7001 'a=[::1]:7001' \
		b=127.0.0.1:7002 'b=[::1]:7002'
	up
	ctl target add a adopt "${PIDS[targets]}" 7001
	ctl target add b adopt "${PIDS[targets]}" 7002
	in_ns gw python3 - "$1" "$LAB_BUILD/shuntctl" "$who" <<-'END'
		import ipaddress, random, subprocess, sys

		count, shuntctl, who = int(sys.argv[1]), *sys.argv[2:]
		random.seed(1)
		FLOWS = 60
		BASE = {4: ipaddress.ip_address('10.9.0.0'), 6: ipaddress.ip_address('fd09::')}

		def address(v):
		    return BASE[v] + random.choice((0, 1, 127, 128, 129, 255, 256, 257, 4095, 4096, 65535))

		def prefix():
		    v = random.choice((4, 6))
		    at = random.choice((address(v), address(v), ipaddress.ip_address('0.0.0.0' if v == 4 else '::')))
		    bits = at.max_prefixlen
		    keep = random.choice((0, 1, bits - 16, bits - 12, bits - 8, bits - 7, bits - 1, bits))
		    return ipaddress.ip_network((at, keep), strict=False)

		class Rule:
		    def __init__(self, priority, sets):
		        self.priority, self.negated = priority, random.random() < 0.2
		        self.set = random.choice((None, None, 'x', 'y'))
		        self.to = sets[self.set] if self.set else [prefix() for _ in range(random.randint(0, 3))]
		        self.any = not self.set and not self.to
		        if len({p.version for p in self.to if not p.prefixlen}) == 2 and not self.set:
		            self.negated = False  # it would match nothing, and is refused
		        self.port = random.choice((None, (80, 80), (81, 81), (1, 80), (81, 65535)))
		        self.action = random.choice(('proxy a', 'proxy b', 'pass', 'reject', 'pass audit'))

		    def __str__(self):
		        words = [str(self.priority), 'tcp']
		        if not self.any:
		            words += ['to'] + ['not'] * self.negated
		            words += ['@' + self.set if self.set else ','.join(map(str, self.to))]
		        if self.port:
		            words += ['port', '%d-%d' % self.port]
		        return ' '.join(words + [self.action])

		    def matches(self, to, port):
		        if self.port and not self.port[0] <= port <= self.port[1]:
		            return False
		        return self.any or any(to in p for p in self.to) != self.negated

		def answer(rules, to, port):
		    for rule in rules:
		        if rule.matches(to, port) and 'audit' not in rule.action:
		            return {'proxy a': 'a', 'proxy b': 'b', 'pass': 'sv', 'reject': '-'}[rule.action]
		    return 'sv'

		wrong, seen = 0, {}
		for turn in range(count):
		    sets = {name: [prefix() for _ in range(random.randint(0, 4))] for name in 'xy'}
		    rules = [Rule(10 * i + 1, sets) for i in range(random.randint(1, 20))]
		    lines = ['set %s %s' % (n, ','.join(map(str, p))) if p else 'set ' + n for n, p in sets.items()]
		    text = '\n'.join(lines + [str(r) for r in random.sample(rules, len(rules))]) + '\n'
		    subprocess.run([shuntctl, 'apply', '-'], input=text, text=True, check=True, stdout=subprocess.DEVNULL)
		    asked = [(address(v), random.choice((80, 81))) for v in (4, 6) for _ in range(FLOWS // 2)]
		    ends = ['%s:%d' % (a if a.version == 4 else '[%s]' % a, p) for a, p in asked]
		    out = subprocess.run(['nsenter', '--net=/run/netns/cl', who, 'ask', '5000', '0', *ends],
		                         capture_output=True, text=True).stdout
		    got = {}
		    for line in out.splitlines():
		        _, _, to, name = line.split()
		        got.setdefault(to, []).append(name)
		    assert sum(map(len, got.values())) == FLOWS, out
		    for (to, port), end in zip(asked, ends):
		        want, name = answer(rules, to, port), got[end].pop()
		        seen[want] = seen.get(want, 0) + 1
		        if name != want:
		            wrong += 1
		            print(f'-- to {end}: {name}, not {want}, by\n{text}', file=sys.stderr)
		print('-- flows, by who is right:', seen, file=sys.stderr)
		sys.exit(wrong > 0 or len(seen) != 4)
	END
}

# ---- bad files -------------------------------------------------------------------------------------

# refused REGEX COMMAND...: with exit code 1 and such words, and nothing is changed
refused() {
	must_fail 1 "$1" ctl "${@:2}"
	ctl rule list --sets | diff -U0 "$T/in-force" - >&2
}

# refused_rules REGEX TEXT: as a rule file whose second line is bad; TEXT is of printf's form
refused_rules() {
	# shellcheck disable=SC2059 # on purpose
	printf "10 pass\n$2\n30 pass\n" >"$T/bad"
	refused "bad:2: .*$1" apply "$T/bad"
}

bad_rule_files() {
	local long

	refused_rules "priority '0'" '0 drop'
	refused_rules '99999999999999999999' '99999999999999999999 drop'
	refused_rules '2147483648' '2147483648 drop'
	refused_rules '-1' '-1 drop'
	refused_rules '10\.0\.0\.0/33' '20 to 10.0.0.0/33 drop'
	refused_rules 'fd00::/129' '20 to fd00::/129 drop'
	refused_rules '10\.0\.0\.0/8x' '20 to 10.0.0.0/8x drop'
	refused_rules '10\.0\.0\.256' '20 to 10.0.0.256 drop'
	refused_rules "'0'" '20 port 0 drop'
	refused_rules '65536' '20 port 65536 drop'
	refused_rules '443-80' '20 port 443-80 drop'
	refused_rules 'limit' '20 pass limit 99999999999'
	refused_rules 'NUL byte' '20 dr\0op'
	refused_rules 'begins with its priority' '\xef\xbb\xbf\xef\xbb\xbf20 drop'
	refused_rules 'NUL byte' '2\x000\x00 \x00d\x00r\x00o\x00p\x00'
	refused_rules "unknown word 'drop" '20 drop\r30 drop'
	refused_rules 'not printable UTF-8' '20 drop # \xff\xfe'
	refused_rules '10' '10 drop'
	long=$(printf '%070000d' 0)
	refused_rules '65536' "20 drop # $long"
	printf '10 drop\n20 to @nowhere drop\n' >"$T/bad"
	refused 'nowhere' apply "$T/bad"
	rm "$T/bad"
	truncate -s 1G "$T/bad" # NUL bytes in one line
	refused 'bad:1: ' apply "$T/bad"
	refused 'bad:1: ' set load x "$T/bad"
	rm "$T/bad"
	refused 'directory' apply "$T"
	refused 'ls:1: ' apply /bin/ls
}

# More than there may be, and an error at the very end.
huge_files() {
	seq -f '%.0f to 192.0.2.1 drop' 1000000 >"$T/bad"
	refused 'too many' apply "$T/bad"
	seq -f '%.0f to 192.0.2.1 drop' 100000 >"$T/bad"
	echo '100001 to 192.0.2.1 dorp' >>"$T/bad"
	refused "bad:100001: .*'dorp'" apply "$T/bad"
	awk 'BEGIN { for (i = 0; i < 999999; i++)
		printf "10.%d.%d.%d\n", i / 65536, i / 256 % 256, i % 256 }' >"$T/bad"
	echo 10.0.0.0/33 >>"$T/bad"
	refused 'bad:1000000: .*10\.0\.0\.0/33' set load x "$T/bad"
}

bad_files() {
	family 4
	lab_up
	flow_server
	up
	printf '%s\n' 'set x 192.0.2.0/24' '90 to @x drop' '100 in tcp to any port 7000 proxy' \
		>"$T/good"
	ctl apply "$T/good" >/dev/null
	ctl rule list --sets >"$T/in-force"
	shuntd
	HELD=20
	hold cl
	bad_rule_files
	huge_files
	still_held
	one_more cl
	becomes 'accepted by shuntd' 21 proxied accepted
	# What is unusual and right: a byte order mark, CR LF, no end of the last line, nothing.
	printf '\xef\xbb\xbf10 drop\r\n\r\n# x\r\n20 pass' >"$T/unusual"
	ctl apply "$T/unusual" >&2
	same 'rules' "$(ctl rule list)" $'10 drop\n20 pass'
	ctl apply /dev/null >&2
	same 'rules of an empty file' "$(ctl rule list)" ''
}

sets_of_rules=100
[[ -z $LAB_FAST ]] || sets_of_rules=25
for fam in 4 6; do
	check "RULE-03-in-v$fam" "flows of a rule that is deleted or replaced go on (IPv$fam)" \
		proxied_flows $fam in cl
	check "RULE-03-out-v$fam" "so do those of this host (IPv$fam)" \
		proxied_flows $fam out gw
	check "RULE-04-in-v$fam" "direct flows are not touched by a new rule (IPv$fam)" \
		direct_flows $fam in cl none
	check "RULE-04-out-v$fam" "nor are those of this host (IPv$fam)" \
		direct_flows $fam out gw none
	check "RULE-04-pass-v$fam" "nor those that a rule has passed (IPv$fam)" \
		direct_flows $fam in cl pass
done
for fam in 4 6; do
	check "RULE-03-udp-v$fam" "a UDP flow of a rule that is replaced goes on (IPv$fam)" \
		udp_flows $fam in cl pass
	check "RULE-04-udp-v$fam" "a UDP flow is not touched by a new rule (IPv$fam)" \
		udp_flows $fam in cl none
	check "RULE-04-udp-out-v$fam" "nor is one of this host (IPv$fam)" udp_flows $fam out gw none
done
check -t 120 RULE-05 "$sets_of_rules sets of overlapping rules decide as a plain list does" \
	overlapping $sets_of_rules
check -t 120 RULE-06 'bad files name the line and change nothing' bad_files

story_run "$@"
