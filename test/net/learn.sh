#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sets with timeouts: what is in a set for a time leaves it by itself. And the proxy puts
# destinations into sets, so that their next flows go past it.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# steered_after N URL: cl fetches it, and N flows have been steered since the lab was built
steered_after() {
	fetch_hello cl "$2"
	same "steered flows after $2" "$(counter steer_new)" "$1"
}

# expired: nothing is left of what the set holds for a time
expired() {
	[[ $(ctl --json set list | jq ".[] | select(.name == \"$1\").timed") == 0 ]]
}

# Added, it is in force at once; it expires by itself, with no process of ours but shuntd.
expires() {
	family "$1"
	lab_up
	web_server sv
	up
	ctl set add heavy
	rules '50 to @heavy pass' '100 in tcp to any port 80 proxy'
	shuntd
	steered_after 1 "http://$SV_U/hello"
	ctl set add heavy "$SV" timeout 1h
	steered_after 1 "http://$SV_U/hello"
	same 'flows of rule 50' "$(rule_flows 50)" 1
	ctl set add heavy "$SV" timeout 1s
	wait_for 20 'expired heavy'
	steered_after 2 "http://$SV_U/hello"
	same 'flows of rule 50, at the end' "$(rule_flows 50)" 1
}

# timed NAME: what the set holds for a time
timed() {
	ctl --json set list "$1" | jq -r '.[] | objects | .prefix' | xargs
}

# lasting NAME: and for good
lasting() {
	ctl --json set list "$1" | jq -r '.[] | strings' | xargs
}

# Another timeout replaces the one before; without one it is for good.
renewed() {
	lab_up
	up
	ctl set add heavy 10.2.0.2 10.2.0.3 10.2.0.4 fd02::2 fd02::3 timeout 1s
	ctl set add heavy 10.2.0.3 fd02::3 timeout 1h30m
	ctl set add heavy 10.2.0.4
	wait_for 20 '[[ $(timed heavy) == "10.2.0.3 fd02::3" ]]'
	same 'for good' "$(lasting heavy)" 10.2.0.4
	must_fail 1 "holds 10.2.0.4 for good: delete it first" ctl set add heavy 10.2.0.4 timeout 1h
	ctl set del heavy 10.2.0.4
	ctl set add heavy 10.2.0.4 timeout 1h
	ctl set del heavy 10.2.0.3
	same 'for a time' "$(timed heavy)" '10.2.0.4 fd02::3'
	same 'for good, at the end' "$(lasting heavy)" ''
	must_fail 1 'does not hold 10.2.0.3' ctl set del heavy 10.2.0.3
	must_fail 1 'does not hold 10.2.0.3' ctl set del heavy 10.2.0.4 10.2.0.3
	same 'for a time, at the end' "$(timed heavy)" '10.2.0.4 fd02::3'
	same 'sets' "$(ctl set list)" 'heavy: 0 prefixes, 2 with a timeout'
	ctl set del heavy
	ctl set add heavy
	same 'a set of the same name' "$(timed heavy)" ''
}

# decides RULE WORD...: that rule does, for such a flow
decides() {
	same "rule that decides: ${*:2}" \
		"$(ctl --json explain "${@:2}" | jq -r '.rule // "none" | split(" ")[0]')" "$1"
}

# Prefixes of any length, `not`, both sides, several sets, beside what is there for good.
matched() {
	lab_up
	up
	ctl set add one 10.2.0.0/28
	ctl set add two
	rules '10 in tcp from @two to @one port 1 pass' '20 in tcp to not @one port 2 pass' \
		'30 in tcp from not @two port 3 pass' '40 in tcp to @one port 4-5 drop'
	decides none in c0 tcp 10.1.0.2:9 10.2.0.2:1
	decides 20 in c0 tcp 10.1.0.2:9 10.2.9.2:2
	ctl set add two 10.1.0.0/24 fd01::/64 timeout 1h
	ctl set add one 10.2.9.0/25 10.2.128.0/17 10.2.10.1 fd02::/16 timeout 1h
	decides 10 in c0 tcp 10.1.0.2:9 10.2.0.2:1
	decides 10 in c0 tcp 10.1.0.2:9 10.2.9.127:1
	decides none in c0 tcp 10.1.0.2:9 10.2.9.128:1
	decides none in c0 tcp 10.1.1.2:9 10.2.9.2:1
	decides none in c0 tcp 10.1.0.2:9 10.2.9.2:2
	decides 20 in c0 tcp 10.1.0.2:9 10.2.9.129:2
	decides none in c0 tcp 10.1.0.2:9 10.2.9.2:3
	decides 30 in c0 tcp 10.1.1.2:9 10.2.9.2:3
	decides 40 in c0 tcp 10.1.1.2:9 10.2.200.1:5
	decides 40 in c0 tcp '[fd01::9]:9' '[fd02:ffff::1]:4'
	decides 10 in c0 tcp '[fd01::9]:9' '[fd02:ffff::1]:1'
	decides none in c0 tcp '[fd01::9]:9' '[fd03::1]:4'
	# Rules, also in place, and sets that come and go.
	ctl rule add 5 in tcp to @one port 4 proxy
	decides 5 in c0 tcp 10.1.1.2:9 10.2.10.1:4
	ctl set add three 10.2.10.1 timeout 1h
	ctl rule add 4 in tcp to @three port 4 pass
	decides 4 in c0 tcp 10.1.1.2:9 10.2.10.1:4
	ctl rule del 4
	ctl set del three
	ctl set add four
	ctl rule add 4 in tcp to @four port 4 pass
	decides 5 in c0 tcp 10.1.1.2:9 10.2.10.1:4
	ctl set del one 10.2.10.1
	decides none in c0 tcp 10.1.1.2:9 10.2.10.1:4
	ctl explain in c0 tcp 10.1.0.2:9 10.2.9.2:2 >"$T/explained"
	grep -q 'to: 10.2.9.2 is in 10.2.9.0/25 of @one' "$T/explained" ||
		fail "explain does not tell why: $(<"$T/explained")"
}

# What a file says stands for good; what came with a timeout stays, as long as its set does.
applied() {
	lab_up
	up
	printf '%s\n' 'set one 10.0.0.1' 'set two 10.0.0.2,fd00::2 timeout 1h' \
		'10 to @one drop' '20 to @two pass' >"$T/file"
	same 'what is to be added' "$(ctl apply -n "$T/file" | grep -c '^+ set two.* timeout 1h$')" 2
	same 'sets after a dry run' "$(ctl set list)" ''
	ctl apply "$T/file" >&2
	same 'two, for a time' "$(timed two)" '10.0.0.2 fd00::2'
	decides 20 in c0 tcp 10.1.0.2:9 10.0.0.2:1
	decides 20 in c0 tcp '[fd01::2]:9' '[fd00::2]:1'
	ctl set add one 10.0.0.9 timeout 1h
	sed -i 's/10.0.0.1/10.0.0.3/; /^set two/s/10.0.0.2/10.0.0.4/' "$T/file"
	ctl apply "$T/file" >&2
	same 'one, for good' "$(lasting one)" 10.0.0.3
	same 'one, for a time' "$(timed one)" 10.0.0.9
	decides 10 in c0 tcp 10.1.0.2:9 10.0.0.9:1
	same 'two, for a time, again' "$(timed two)" '10.0.0.2 10.0.0.4 fd00::2'
	# A trial that is taken back, and one that is not, in which the set goes.
	echo '10 to 10.0.0.1 drop' >"$T/other"
	echo 'set three 10.0.0.7 timeout 1h' >>"$T/other"
	ctl apply --confirm 1 "$T/other" >&2
	same 'three, for a time' "$(timed three)" 10.0.0.7
	wait_for 20 'ctl set list | grep -q two'
	same 'two, after the trial' "$(timed two)" '10.0.0.2 10.0.0.4 fd00::2'
	decides 10 in c0 tcp 10.1.0.2:9 10.0.0.9:1
	ctl apply --confirm 60 "$T/other" >&2
	ctl confirm
	ctl set add two
	same 'a set of the same name' "$(timed two)" ''
	# What is printed can be read again; load says all that there is.
	ctl set add two 10.0.0.2 fd00::2
	ctl set add two 10.0.0.4 timeout 1d
	ctl set list two >"$T/two"
	ctl set load two "$T/two"
	same 'loaded, for a time' "$(timed two)" 10.0.0.4
	ctl rule list --sets >"$T/all"
	grep -q '^set two 10.0.0.4 timeout ' "$T/all" || fail "not listed: $(<"$T/all")"
	ctl apply "$T/all" >&2
	echo 10.0.0.5 | ctl set load two -
	same 'loaded without' "$(timed two)" ''
}

# Each that is too much is refused, and said how.
errors() {
	lab_up
	up
	must_fail 2 "timeout '5': not a time" ctl set add one 10.0.0.1 timeout 5
	must_fail 2 "timeout '5m1h': not a time" ctl set add one 10.0.0.1 timeout 5m1h
	must_fail 2 "timeout '0s': not from" ctl set add one 10.0.0.1 timeout 0s
	must_fail 2 "'timeout' needs a time" ctl set add one 10.0.0.1 timeout
	must_fail 2 "'timeout' needs prefixes" ctl set add one timeout 5m
	echo 'set one 10.0.0.1 timeout soon' >"$T/bad"
	must_fail 1 "bad:1: timeout 'soon'" ctl apply "$T/bad"
	echo '10.0.0.1 for 5m' >"$T/bad"
	must_fail 1 'one prefix a line' ctl set load one "$T/bad"
	same 'sets' "$(ctl set list)" ''
	local i

	for ((i = 0; i < 28; i++)); do
		ctl set add "set$i" 10.0.0.1 timeout 1h
	done
	must_fail 1 'more than 28 sets with timeouts' ctl set add more 10.0.0.1 timeout 1h
	ctl set del set3
	ctl set add more 10.0.0.1 timeout 1h
	same 'sets with a timeout' "$(ctl set list | grep -c timeout)" 28
}

# The map is full: the message says what to do; what has expired makes room.
full() {
	lab_up
	up
	awk 'BEGIN { for (i = 0; i < 131072; i++)
		printf "20.%d.%d.%d timeout 1h\n", i / 65536, i / 256 % 256, i % 256 }' >"$T/many"
	ctl set load many "$T/many"
	same 'prefixes' "$(ctl --json set list | jq '.[0].timed')" 131072
	must_fail 1 'at most 131072 prefixes with a timeout: delete some' \
		ctl set add many 10.0.0.1 timeout 1h
	ctl set add many 20.0.0.1 timeout 1s
	wait_for 20 '(($(ctl --json set list | jq ".[0].timed") == 131071))'
	ctl set add many 10.0.0.1 timeout 1h
	same 'prefixes, at the end' "$(ctl --json set list | jq '.[0].timed')" 131072
}

# What expires is nothing that rules can be blamed for.
checked() {
	lab_up
	up
	ctl set add heavy 10.2.0.2 timeout 1h
	ctl set add heavy 10.9.0.0/16
	rules '10 in tcp to @heavy drop' '20 in tcp,udp to 10.9.0.0/16 pass' '30 in tcp,udp to @heavy pass' \
		'40 in tcp,udp to any pass' '50 in tcp,udp to @heavy drop'
	same 'findings' "$(ctl --json rule check |
		jq -r '.[] | select(.kind != "never-hit") | "\(.kind) \(.rule)"')" 'shadowed 50'
}

for fam in 4 6; do
	check -t 90 "LEARN-01-v$fam" "a prefix with a timeout leaves its set by itself (IPv$fam)" \
		expires $fam
done
check -t 60 LEARN-02 'timeouts are renewed, and made to last' renewed
check LEARN-03 'prefixes with a timeout match as others do' matched
check -t 60 LEARN-04 'files and trials leave alone what expires' applied
check LEARN-05 'what cannot be is refused' errors
check -t 120 LEARN-06 'a full map is told, and room is found' full
check LEARN-07 'rule check allows for what expires' checked

story_run "$@"
