#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `explain`: the decision is that of the program; why earlier rules did not take the flow, where
# it goes and from which address.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# why RULE QUESTION...: why this earlier rule did not decide, sentences with ';'
why() {
	ctl --json explain "${@:2}" |
		jq -r ".candidates[] | select(.priority == $1) | .why | join(\"; \")"
}

# field JQ QUESTION...
field() {
	ctl --json explain "${@:2}" | jq -cr "$1"
}

words() {
	local q=(in c0 tcp 10.1.0.2:4000 10.2.0.2:80)

	lab_up
	up -i u0 --out
	printf '%s\n' 'set far 192.0.2.0/24,10.3.0.0/16' 'set near 10.1.0.0/24,fd01::/64' \
		'1 out drop' '2 on u0 drop' '3 on u0,x0,x1,x2,x3 drop' '4 udp drop' \
		'5 from 10.1.0.3 drop' '6 to 10.3.0.0/24,10.4.0.0/16,10.5.0.1,10.6.0.1,fd00::/8 drop' \
		'7 to @far drop' '8 from not @near drop' '9 to not 10.2.0.0/16 drop' \
		'10 sport 1-100 drop' '11 port 443 drop' '12 port 81,443,1000-2000,5000 drop' \
		'13 out uid 0 drop' '14 drop audit' '15 udp to fd00::/8 port 53 drop' \
		'16 out uid 1000-2000 drop' '20 in pass log' >"$T/rules"
	ctl apply "$T/rules" >&2
	same 1 "$(why 1 "${q[@]}" --candidates 99)" 'out: the flow arrives at an interface'
	same 2 "$(why 2 "${q[@]}" --candidates 99)" 'on: c0 is not u0'
	same 3 "$(why 3 "${q[@]}" --candidates 99)" 'on: c0 is not one of u0,x0,x1 or 2 more'
	same 4 "$(why 4 "${q[@]}" --candidates 99)" 'udp: this is TCP'
	same 5 "$(why 5 "${q[@]}" --candidates 99)" 'from: 10.1.0.2 is not in 10.1.0.3'
	same 6 "$(why 6 "${q[@]}" --candidates 99)" \
		'to: 10.2.0.2 is not in 10.3.0.0/24,10.4.0.0/16,10.5.0.1 or 2 more'
	same 7 "$(why 7 "${q[@]}" --candidates 99)" 'to: 10.2.0.2 is not in @far'
	same 8 "$(why 8 "${q[@]}" --candidates 99)" \
		'from: 10.1.0.2 is in 10.1.0.0/24 of @near, which the rule leaves out'
	same 9 "$(why 9 "${q[@]}" --candidates 99)" \
		'to: 10.2.0.2 is in 10.2.0.0/16, which the rule leaves out'
	same 10 "$(why 10 "${q[@]}" --candidates 99)" 'sport: 4000 is not in 1-100'
	same 11 "$(why 11 "${q[@]}" --candidates 99)" 'port: 80 is not 443'
	same 12 "$(why 12 "${q[@]}" --candidates 99)" 'port: 80 is not in 81,443,1000-2000 or 1 more'
	same 13 "$(why 13 "${q[@]}" --candidates 99)" 'out: the flow arrives at an interface; uid: who sends is known only of flows that start on this host'
	same 14 "$(why 14 "${q[@]}" --candidates 99)" ''
	ctl explain "${q[@]}" --candidates 99 | grep -A1 '^not 14 drop audit$' | says 'audit: it matches'
	same 15 "$(why 15 "${q[@]}" --candidates 99)" \
		'udp: this is TCP; to: 10.2.0.2 is not in fd00::/8; port: 80 is not 53'
	same 'decided by' "$(field .priority "${q[@]}")" 20
	same 'rules before' "$(field .rules_before "${q[@]}")" 16
	same 'shown' "$(field '.candidates | length' "${q[@]}")" 10
	# The nearest: none with two or three misses, and the audit rule.
	same 'which' "$(field '.candidates | map(.priority) | join(",")' "${q[@]}")" '4,5,6,7,8,9,10,11,12,14'
	ctl explain "${q[@]}" | says 'and not 6 more that are asked'
	ctl explain "${q[@]}" --candidates 15 | says 'and not 1 more that is asked'
	same 'none shown' "$(field '.candidates | length' "${q[@]}" --candidates 0)" 0
	must_fail 1 "'x0' has none of our programs at ingress: run 'shuntctl up -i x0'" \
		ctl explain in x0 tcp 10.1.0.2:4000 10.2.0.2:80
	# Who sends.
	q=(out tcp 10.1.0.2:4000 10.2.0.9:80)
	ctl rule del 1
	same 'uid is another' "$(why 16 "${q[@]}" uid 5 --candidates 99)" 'uid: 5 is not in 1000-2000'
	same 'no uid' "$(why 16 "${q[@]}" --candidates 99)" 'uid: the question names no user'
	# An action that does not go with such a flow.
	printf '%s\n' '10 proxy' '20 route' '30 udp drop' '40 drop' | ctl apply - >/dev/null
	q=(out udp 10.1.0.2:4000 10.2.0.9:80)
	same 'udp and proxy' "$(why 10 "${q[@]}")" 'proxy: it carries TCP only'
	same 'out and route' "$(why 20 "${q[@]}")" \
		'route: it forwards flows that come in, not those that start on this host'
	same 'decided by' "$(field .priority "${q[@]}")" 30
	q[1]=tcp
	ctl rule flush
	same 'no rules' "$(field '[.asked, .rule, .outcome, (.candidates | length)]' "${q[@]}")" \
		'[true,null,"no_match",0]'
}

# Target, fail mode, limit, log, route and source.
where() {
	family "$1"
	local q=(in c0 tcp "$CL_U:4000" "$SV_U:80")

	lab_up
	up -i u0 --out
	printf '%s\n' '10 in tcp port 80 proxy web fail closed limit 100/s per src log' \
		'20 in tcp port 81 pass' '30 in tcp port 82 reject' >"$T/rules"
	ctl apply "$T/rules" >&2
	same 'without a socket' "$(field '[.outcome, .fail, .target.name, .target.live_v4, .route]' "${q[@]}")" \
		'["fail_closed","closed","web",0,null]'
	shuntd --target web
	same 'with one' "$(field '[.outcome, .fail, .limit, .log]' "${q[@]}")" \
		'["steer_new","closed",{"rate":100,"burst":5,"per":"src"},true]'
	at_least 'live sockets' "$(field ".target.live_v$FAM" "${q[@]}")" 1
	same 'route of the proxy' "$(field '.route | [.of, .error, .device, .local, .via, .source]' "${q[@]}")" \
		"[\"proxy\",null,\"u0\",false,null,\"$GW_U\"]"
	ctl explain "${q[@]}" >"$T/text"
	grep -q '^target: web, .* sockets live, process [0-9]*$' "$T/text"
	grep -q '^fail: closed: ' "$T/text"
	grep -q '^limit: 100/s, 5 at once, of each source address' "$T/text"
	grep -q "^log: " "$T/text"
	grep -q "^route: the proxy's connection leaves by u0$" "$T/text"
	grep -q "^source: $GW_U; the client's own if the proxy takes it$" "$T/text"
	grep -q '^outcome: steer_new ' "$T/text"
	# It passes: where it would go.
	same 'route of a flow that passes' \
		"$(field '[.outcome, .fail, .target, .route.of, .route.device]' in c0 tcp "$CL_U:4000" "$SV_U:81")" \
		'["rule_pass",null,null,"flow","u0"]'
	same 'route to this host' "$(field '[.outcome, .route.local]' in c0 tcp "$CL_U:4000" "$GW_C_U:83")" \
		'["no_match",true]'
	same 'route of what is rejected' "$(field '[.outcome, .route]' in c0 tcp "$CL_U:4000" "$SV_U:82")" \
		'["rule_reject",null]'
	# A next hop, and no route at all.
	ip -n gw route add 198.51.100.0/24 via 10.3.0.2
	ip -n gw route add 2001:db8:1::/48 via fd03::2
	if ((FAM == 4)); then
		same 'by a next hop' "$(field '.route | [.device, .via]' in c0 tcp "$CL_U:4000" 198.51.100.7:81)" \
			'["x0","10.3.0.2"]'
		same 'no route' "$(field '.route.error' in c0 tcp "$CL_U:4000" 203.0.113.1:80)" \
			'Network is unreachable'
	else
		same 'by a next hop' "$(field '.route | [.device, .via]' in c0 tcp "$CL_U:4000" '[2001:db8:1::7]:81')" \
			'["x0","fd03::2"]'
		same 'no route' "$(field '.route.error' in c0 tcp "$CL_U:4000" '[2001:db8:2::7]:80')" \
			'Network is unreachable'
	fi
	ip -n gw route del 198.51.100.0/24
	ip -n gw route del 2001:db8:1::/48
}

# The words that are said to hold or not are what the program goes by: no rule in front of the
# one that decides holds in all its words.
agrees() {
	local question n=0

	lab_up
	up -i u0 --out
	python3 - "$T" <<-'END'
		import random, sys
		random.seed(3)
		pick = random.choice
		both = ['not 10.1.0.2', '@a', 'not @a', 'not fd00::/8', '10.2.0.0/16,fd02::/64']
		def addrs(v6):
		    return pick(both + (['fd01::/64', '::/0'] if v6 else ['10.1.0.0/24', '10.1.0.2', '0.0.0.0/0']))
		with open(sys.argv[1] + '/rules', 'w') as f:
		    f.write('set a 10.2.0.2,fd02::2,10.1.0.0/25\n')
		    for i in range(250):
		        side, v6 = pick(['in', 'out', '']), random.random() < .4
		        words = [str(i + 1), side, pick(['tcp', 'udp', ''])]
		        if random.random() < .6: words.append('to ' + addrs(v6))
		        if random.random() < .6: words.append('from ' + addrs(v6))
		        words.append('port ' + pick(['80', '443', '1-100', '80,443']))
		        if random.random() < .3: words.append('sport ' + pick(['4000', '1-5000']))
		        if random.random() < .3: words.append('on ' + pick(['c0', 'u0', 'c0,x9']))
		        if side != 'in' and random.random() < .4: words.append('uid ' + pick(['0', '0-10', '0-4294967294']))
		        words.append(pick(['pass', 'drop', 'reject']))
		        f.write(' '.join(words) + '\n')
		with open(sys.argv[1] + '/questions', 'w') as f:
		    for i in range(60):
		        v6 = random.random() < .4
		        one = pick(['[fd01::2]', '[fd02::2]', '[fd03::9]']) if v6 else pick(['10.1.0.2', '10.2.0.2', '10.9.0.1'])
		        two = pick(['[fd02::2]', '[fd04::7]']) if v6 else pick(['10.2.0.2', '10.2.7.7', '10.8.0.1'])
		        q = pick(['in c0', 'in u0', 'out'])
		        q += f' {pick(["tcp", "udp"])} {one}:{pick([4000, 40000])} {two}:{pick([80, 443, 50, 7000])}'
		        if q.startswith('out') and random.random() < .7: q += f' uid {pick([0, 5, 1000, 65534])}'
		        f.write(q + '\n')
	END
	ctl apply "$T/rules" >/dev/null
	while read -r question; do
		# shellcheck disable=SC2086 # words
		nsenter --net=/run/netns/gw "$LAB_BUILD/shuntctl" --json explain $question \
			--candidates 1000 >"$T/answer"
		jq -e '[.candidates[].why[] | select(test("passed it over"))] == [] and
			([.candidates[] | select(.why == [])] == [])' "$T/answer" >/dev/null ||
			fail "of '$question': $(cat "$T/answer")"
		n=$((n + $(jq 'if .priority then 1 else 0 end' "$T/answer")))
	done <"$T/questions"
	at_least 'questions that a rule decides' $n 20
}

many() {
	local took

	lab_up
	up
	{
		echo 'set million file million'
		echo '1 from @million drop'
		seq -f '%.0f tcp to 10.2.0.0/16 port 1000-2000 drop' 2 100000
		echo '100001 tcp to 10.2.0.2 port 443 drop'
		echo '100002 tcp port 80 pass'
	} >"$T/rules"
	python3 -c 'for i in range(1000000): print(f"{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24")' >"$T/million"
	ctl apply "$T/rules" >/dev/null
	took=${EPOCHREALTIME/./}
	ctl explain in c0 tcp 10.1.0.2:4000 10.2.0.2:80 >"$T/text"
	took=$(((${EPOCHREALTIME/./} - took) / 1000))
	echo "-- 100,002 rules and a set of a million prefixes: $took ms" >&2
	in_time 'the answer' $took 5000
	grep -q '^rule: 100002 tcp port 80 pass$' "$T/text"
	same 'the last candidate' "$(grep -A1 '^not 100001 ' "$T/text" | tail -n 1)" $'\tport: 80 is not 443'
	grep -q '^and not 99991 more' "$T/text"
	at_most 'lines' "$(wc -l <"$T/text")" 40
}

check EXPLAIN-01 'each word of an earlier rule that does not hold is named' words
for f in 4 6; do
	check "EXPLAIN-02-v$f" "target, fail mode, limit, route and source are shown (IPv$f)" where $f
done
check -t 120 EXPLAIN-03 'what is said of the words is what the program goes by' agrees
check -t 120 EXPLAIN-04 'among a hundred thousand rules the nearest are shown' many

story_run "$@"
