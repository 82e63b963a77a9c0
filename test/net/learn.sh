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

# lengths: of prefixes that packets look for in set two: IPv4, then IPv6
lengths() {
	local map

	for map in /sys/fs/bpf/shunt/*/*/timed_sets; do
		bpftool -j map dump pinned "$map" | jq -r '.[].value |
			map(explode | map(if . > 96 then . - 87 else . - 48 end) | .[2] * 16 + .[3]) |
			select(.[0:4] == [116, 119, 111, 0]) | .[40:40 + .[32]] + .[172:172 + .[33]] | join(" ")'
	done
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
	# What is there already is no difference, and another's is none of the file.
	same 'the same again' "$(ctl apply -n "$T/file")" 'no difference'
	sed -i 's/10.0.0.1/10.0.0.3/; /^set two/s/10.0.0.2/10.0.0.4/' "$T/file"
	same 'what is new' "$(ctl apply -n "$T/file" | grep -c timeout)" 1
	ctl apply "$T/file" >&2
	same 'one, for good' "$(lasting one)" 10.0.0.3
	same 'one, for a time' "$(timed one)" 10.0.0.9
	decides 10 in c0 tcp 10.1.0.2:9 10.0.0.9:1
	same 'two, for a time, again' "$(timed two)" '10.0.0.2 10.0.0.4 fd00::2'
	# A trial that is taken back, and one that is not, in which the set goes.
	echo '10 to 10.0.0.1 drop' >"$T/other"
	echo 'set three 10.0.0.7 timeout 1h' >>"$T/other"
	ctl apply --confirm 1 "$T/other" >&2
	wait_for 30 'ctl set list | says two'
	same 'two, after the trial' "$(timed two)" '10.0.0.2 10.0.0.4 fd00::2'
	decides 10 in c0 tcp 10.1.0.2:9 10.0.0.9:1
	ctl set add three
	same 'a set of the name of one that was tried' "$(timed three)" ''
	# What cannot be put in force leaves nothing behind.
	printf '%s\n' 'set two 10.0.0.2,10.0.0.99 timeout 2h' 'set five 10.0.0.5 timeout 1h' \
		'10 to @none drop' >"$T/bad"
	must_fail 1 "there is no set 'none'" ctl apply "$T/bad"
	same 'two, after a refusal' "$(timed two)" '10.0.0.2 10.0.0.4 fd00::2'
	! ctl set list two | says 'timeout [12]h' || fail 'a refused file has renewed a prefix'
	ctl set add five
	same 'five, after a refusal' "$(timed five)" ''
	ctl apply --confirm 600 "$T/other" >&2
	same 'three, for a time' "$(timed three)" 10.0.0.7
	ctl confirm
	same 'three, as confirmed' "$(timed three)" 10.0.0.7
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
	ctl set add two 10.0.8.0/25 fd00:1::/48 timeout 1h
	same 'lengths' "$(lengths)" '128 121 128 48'
	printf '%s\n' 10.0.0.5 '10.0.9.0/25 timeout 1h' | ctl set load two -
	same 'loaded, for a time' "$(timed two)" 10.0.9.0/25
	same 'lengths, given up' "$(lengths)" '128 121 128 255'
	echo 10.0.0.5 | ctl set load two -
	same 'loaded without' "$(timed two)" ''
	same 'lengths, all given up' "$(lengths)" '128 255 128 255'
	ctl set add two fd00:1::/56 timeout 1h
	same 'lengths, one in place of another' "$(lengths)" '128 255 128 56'
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
	printf '%s\n' 'set set1 10.0.0.7' 'set another 10.0.0.1 timeout 1h' '10 to @another drop' \
		>"$T/file"
	must_fail 1 'more than 28 sets with timeouts' ctl apply -n "$T/file"
	must_fail 1 'more than 28 sets with timeouts' ctl apply "$T/file"
	same 'rules, after a refusal' "$(ctl rule list)" ''
	same 'set1, after a refusal' "$(lasting set1)" ''
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
	printf '%s\n' 'set few 10.0.0.1 timeout 1h' '10 to @few drop' >"$T/file"
	must_fail 1 'no room for 1 more prefix with a timeout' ctl apply -n "$T/file"
	must_fail 1 'no room for 1 more prefix with a timeout' ctl apply "$T/file"
	same 'rules, after a refusal' "$(ctl rule list)" ''
	# Others in place of them all; one more than there can be changes nothing.
	sed 's/^20/21/' "$T/many" >"$T/others"
	{ cat "$T/others"; echo 10.0.0.2; echo 10.0.0.1 timeout 1h; } >"$T/more"
	must_fail 1 'at most 131072' ctl set load many "$T/more"
	same 'for good, after a refusal' "$(ctl --json set list | jq '.[0].prefixes')" 0
	ctl set load many "$T/others"
	same 'loaded, all others' "$(ctl set list many | grep -c '^21.* timeout ')" 131072
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

# ---- the proxy learns ---------------------------------------------------------------------------

# learning LINE...: shuntd with these settings, a line each
learning() {
	printf '%s\n' "$@" >"$T/shuntd.yml"
	shuntd -c "$T/shuntd.yml"
}

# large SIZE: a file of the server
large() {
	head -c "$1" /dev/zero >"$T/nginx-sv/www/large"
}

# download: cl gets all of it
download() {
	same 'bytes of the download' "$(fetch cl "http://$SV_U/large" | wc -c)" \
		"$(stat -c %s "$T/nginx-sv/www/large")"
}

# lines: of the flow log
lines() {
	wc -l <"$T/shuntd.out"
}

# status KEY: of the first line of `proxy status`
status() {
	ctl --json proxy status | jq ".$1"
}

# The second download goes past the proxy, and one after the timeout does not.
heavy_flows() {
	family "$1"
	lab_up
	web_server sv
	large 8M
	up -i u0
	ctl set add heavy
	rules '50 in on c0 tcp to @heavy route' '100 in on c0 tcp to any port 80 proxy'
	learning 'workers: 1' 'log-flows: true' 'learn: heavy timeout 1h when bytes over 4M'
	# A small flow is not learned.
	fetch_hello cl "http://$SV_U/hello"
	wait_for 20 '(($(lines) == 1))'
	becomes 'accepted' 1 proxied accepted
	download
	wait_for 20 '[[ $(timed heavy) == "$SV" ]]'
	becomes 'accepted, after a download' 2 proxied accepted
	becomes 'learned' 1 proxied learned
	wait_for 20 '(($(lines) == 2))'
	same 'source of the proxied download' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	download
	wait_for 20 '(($(requests sv) == 3))'
	same 'source of the second download' "$(seen sv | cut -d' ' -f1)" "$CL"
	same 'flows of rule 50' "$(rule_flows 50)" 1
	becomes 'accepted, after the second' 2 proxied accepted
	same 'lines of the flow log' "$(lines)" 2
	same 'learned, as the supervisor counts' "$(status learned)" 1
	# Time is over: the same address is made to expire.
	ctl set add heavy "$SV" timeout 1s
	wait_for 20 'expired heavy'
	fetch_hello cl "http://$SV_U/hello"
	becomes 'accepted, after the timeout' 3 proxied accepted
	wait_for 20 '(($(lines) == 3))'
}

# After some flows that ended well; those that did not are not counted.
clean_flows() {
	family "$1"
	lab_up
	web_server sv
	up -i u0
	ctl set add harmless
	rules '50 in on c0 tcp to @harmless route' '100 in on c0 tcp to any port 80,9 proxy'
	learning 'learn:' '  - heavy timeout 1h when bytes over 1G' \
		'  - harmless timeout 1h after 3 clean flows'
	for _ in 1 2; do
		fetch_hello cl "http://$SV_U/hello"
	done
	# Nobody listens there.
	must_fail '56|7' '.*' fetch cl "http://$SV_U:9/hello"
	wait_for 20 '(($(proxied ended_fin) == 2))'
	becomes 'accepted' 3 proxied accepted
	becomes 'learned' 0 proxied learned
	same 'harmless' "$(timed harmless)" ''
	fetch_hello cl "http://$SV_U/hello"
	wait_for 20 '[[ $(timed harmless) == "$SV" ]]'
	fetch_hello cl "http://$SV_U/hello"
	becomes 'accepted, in the end' 4 proxied accepted
	same 'flows of rule 50' "$(rule_flows 50)" 1
	same 'heavy, which the proxy has made' "$(timed heavy)" ''
}

# A flow that runs keeps to the proxy; so do its target's others until they are learned.
running() {
	lab_up
	web_server sv
	large 24M
	up -i u0
	ctl set add heavy
	rules '50 in on c0 tcp to @heavy route' '100 in on c0 tcp to any port 80 proxy'
	learning 'learn: heavy timeout 1h when bytes over 64K'
	family 4
	# It takes at once what has arrived, and then pauses for as long as that should have taken.
	nsenter --net=/run/netns/cl sysctl -q -w net.ipv4.tcp_rmem='4096 65536 65536'
	start slow cl curl -sS --noproxy '*' --limit-rate 100K -o "$T/got" "http://$SV_U/large"
	wait_for 20 '[[ $(timed heavy) == "$SV" ]]'
	same 'open flows' "$(ctl --json proxy list | jq length)" 1
	fetch_hello cl "http://$SV_U/hello"
	becomes 'accepted' 1 proxied accepted
	local got

	wait_for 20 "[[ -s $T/got ]]"
	got=$(stat -c %s "$T/got")
	wait_for 60 "((\$(stat -c %s '$T/got') > $got + 100000))"
	same 'open flows, later' "$(ctl --json proxy list | jq length)" 1
	becomes 'learned' 1 proxied learned
	stop slow || true # it has not got all
}

# The set is deleted, all rules are replaced, workers and supervisor are: learning goes on.
life() {
	lab_up
	web_server sv
	large 8M
	up -i u0
	family 4
	rules '100 in on c0 tcp to any port 80 proxy'
	learning 'learn: heavy timeout 1h when bytes over 4M'
	wait_for 20 'ctl set list | says heavy'
	download
	wait_for 20 '[[ $(timed heavy) == "$SV" ]]'
	# Learned is what no rule names yet.
	ctl rule add 50 in on c0 tcp to @heavy route
	download
	becomes 'accepted' 1 proxied accepted
	stop shuntd
	same 'heavy, without shuntd' "$(timed heavy)" "$SV"
	download
	learning 'learn: heavy timeout 1h when bytes over 4M'
	same 'heavy, after a restart' "$(timed heavy)" "$SV"
	download
	becomes 'accepted by the second' 0 proxied accepted
	ctl rule del 50
	ctl set del heavy
	download
	wait_for 20 '[[ $(timed heavy) == "$SV" ]]'
	becomes 'accepted by the second, without the rule' 1 proxied accepted
	# Others are learned from then on.
	echo 'learn: other timeout 1h when bytes over 4M' >"$T/shuntd.yml"
	ctl proxy reload
	download
	wait_for 20 '[[ $(timed other) == "$SV" ]]'
	kill -KILL "$(ctl --json proxy status | jq '.threads[0].worker')"
	wait_for 20 '[[ $(ctl --json proxy status | jq -r .state) == serving ]]'
	wait_for 20 'ctl set del other "$SV" 2>/dev/null || [[ ! $(timed other) ]]'
	wait_for 20 'download && [[ $(timed other) == "$SV" ]]'
	grep -v 'was ended by signal 9' "$T/shuntd.err" >"$T/err" || true
	mv "$T/err" "$T/shuntd.err"
}

# A trial without the set: what is learned is not put where nobody would look, and it is told.
trial() {
	lab_up
	web_server sv
	large 8M
	up -i u0
	family 4
	rules '100 in on c0 tcp to any port 80 proxy'
	learning 'learn: heavy timeout 1h when bytes over 4M'
	wait_for 20 'ctl set list | says heavy'
	download
	wait_for 20 '[[ $(timed heavy) == "$SV" ]]'
	printf '%s\n' 'set other' '100 in on c0 tcp to any port 80 proxy' >"$T/file"
	ctl apply --confirm 600 "$T/file" >&2
	download
	wait_for 20 '(($(status learn_failed) > 0))'
	same 'learned' "$(status learned)" 1
	ctl confirm
	wait_for 20 'download && [[ $(timed heavy) == "$SV" ]]'
	grep -v "waits for 'shuntctl confirm'" "$T/shuntd.err" >"$T/err" || true
	mv "$T/err" "$T/shuntd.err"
}

# left SET PREFIX: the seconds until it expires
left() {
	ctl --json set list "$1" | jq ".[] | objects | select(.prefix == \"$2\").expires"
}

# A trial that is taken back: the sets that stay hold what they did, and as long.
taken_back() {
	lab_up
	web_server sv
	large 8M
	up -i u0
	family 4
	rules '100 in on c0 tcp to any port 80 proxy'
	learning 'learn: heavy timeout 3h when bytes over 4M'
	wait_for 20 'ctl set list | says heavy'
	ctl set add heavy 10.9.0.1 10.9.0.2 timeout 1h
	ctl set add plain 10.9.0.9
	ctl set add mixed 10.9.0.9
	printf '%s\n' "set heavy 10.9.0.1,10.9.0.2,10.9.0.3,$SV timeout 2d" \
		'set plain 10.9.0.4 timeout 2d' 'set mixed 10.9.0.9' 'set only 10.9.0.5 timeout 2d' \
		'100 in on c0 tcp to any port 80 proxy' >"$T/file"
	ctl apply --confirm 10 "$T/file" >&2
	same 'heavy, tried' "$(timed heavy)" "10.2.0.2 10.9.0.1 10.9.0.2 10.9.0.3"
	same 'plain, tried' "$(timed plain)" 10.9.0.4
	at_least 'seconds left, tried' "$(left heavy 10.9.0.1)" 100000
	# Others change what the trial put there: one has it deleted, one learns it.
	ctl set del heavy 10.9.0.2
	download
	wait_for 20 '(($(status learned) == 1))'
	wait_for 30 '! ctl set list | says ^only'
	wait_for 30 '[[ ! $(timed plain) ]]'
	same 'heavy, taken back' "$(timed heavy)" '10.2.0.2 10.9.0.1'
	at_most 'seconds left, as before' "$(left heavy 10.9.0.1)" 3600
	at_most 'seconds left, as learned' "$(left heavy "$SV")" 10800
	at_least 'seconds left, as learned' "$(left heavy "$SV")" 7200
	same 'plain, for good' "$(lasting plain)" 10.9.0.9
	# It can have some again, and rules ask for them.
	ctl set add plain 10.9.0.6 timeout 1h
	ctl rule add 10 to @plain drop
	decides 10 in c0 tcp 10.1.0.2:9 10.9.0.6:1
	decides 100 in c0 tcp 10.1.0.2:9 10.9.0.4:80
}

for fam in 4 6; do
	check -t 180 "LEARN-01-v$fam" "a prefix with a timeout leaves its set by itself (IPv$fam)" \
		expires $fam
	check -t 180 "LEARN-08-v$fam" "a second download goes past the proxy (IPv$fam)" \
		heavy_flows $fam
	check -t 180 "LEARN-09-v$fam" "after some clean flows the next goes past (IPv$fam)" \
		clean_flows $fam
done
check -t 120 LEARN-02 'timeouts are renewed, and made to last' renewed
check -t 180 LEARN-03 'prefixes with a timeout match as others do' matched
check -t 180 LEARN-04 'files and trials leave alone what expires' applied
check -t 180 LEARN-05 'what cannot be is refused' errors
check -t 300 LEARN-06 'a full map is told, and room is found' full
check -t 60 LEARN-07 'rule check allows for what expires' checked
check -t 180 LEARN-10 'a running flow keeps its way' running
check -t 180 LEARN-11 'learning outlives rules, sets, workers and shuntd' life
check -t 180 LEARN-12 'learning tells that a trial has no such set' trial
check -t 180 LEARN-13 'a trial takes back what it put in for a time' taken_back

story_run "$@"
