#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Rule files with sets: both are replaced in one step, printed, tried, taken back and refused
# together; and `up -f`, which is all or nothing.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# decided SRC DST: priority of the rule that takes tcp to port 80
decided() {
	ctl --json explain in c0 tcp "$1:9" "$2:80" | jq .priority
}

generation() {
	ctl --json explain in c0 tcp 10.1.0.2:9 10.2.0.2:9 | jq .generation
}

together() {
	lab_up
	up
	ctl set add old 192.0.2.1
	ctl set add filled 192.0.2.2
	mkdir "$T/etc"
	printf '%s\n' 'set one 10.0.0.0/8,fd00::/8 # first' 'set two file lists/two' 'set one 11.0.0.0/8' \
		'set empty' '20 to @one drop' '10 from @two to not @one pass' '30 to @filled reject' \
		>"$T/etc/rules"
	mkdir "$T/etc/lists"
	printf '%s\n' '# two' 10.1.0.2 >"$T/etc/lists/two"
	local all=$'- set old 192.0.2.1\n+ set empty\n+ set one 10.0.0.0/8\n+ set one 11.0.0.0/8
+ set one fd00::/8\n+ set two 10.1.0.2\n+ 10 from @two to not @one pass\n+ 20 to @one drop
+ 30 to @filled reject'
	same 'dry run' "$(ctl apply -n "$T/etc/rules" | sort)" "$(sort <<<"$all")"
	same 'sets after the dry run' "$(ctl set list | sort)" $'filled: 1 prefix\nold: 1 prefix'
	same 'difference' "$(ctl apply "$T/etc/rules" | sort)" "$(sort <<<"$all")"
	same 'sets' "$(ctl set list | sort)" \
		$'empty: 0 prefixes\nfilled: 1 prefix\none: 3 prefixes\ntwo: 1 prefix'
	same 'in a set' "$(decided 10.1.0.3 10.2.0.2)" 20
	same 'in a set of a file' "$(decided 10.1.0.2 192.0.2.9)" 10
	same 'in the set that stays' "$(decided 10.1.0.3 192.0.2.2)" 30
	same 'in none' "$(decided 10.1.0.3 192.0.2.9)" null
	same 'again' "$(ctl apply "$T/etc/rules")" 'no difference'
	# What is printed makes the same, here and in an instance that has nothing.
	ctl rule list --sets >"$T/listed"
	same 'printed and read back' "$(ctl apply "$T/listed")" 'no difference'
	ctl down
	up -f "$T/listed"
	ctl rule list --sets | diff -U0 "$T/listed" - >&2
	same 'json' "$(ctl --json rule list --sets | jq -c '[(.sets | map(.prefixes | length)), (.rules | length)]')" \
		"$(jq -nc --argjson s "$(ctl --json set list | jq -c 'map(.prefixes)')" '[$s, 3]')"
	# A file without sets leaves them.
	echo '10 to @one pass' | ctl apply - >&2
	same 'sets kept' "$(ctl set list | wc -l)" 4
	printf '%s\n' 'set one 10.0.0.0/8' '10 to @one pass' >"$T/less"
	same 'json of a difference' \
		"$(ctl --json apply "$T/less" | jq -c '[.removed, .added, (.sets | map([.name, .change, (.removed | length)]))]')" \
		'[[],[],[["empty","removed",0],["filled","removed",1],["one","changed",2],["two","removed",1]]]'
}

# What is wrong changes neither rules nor sets, and its place is named.
refused() {
	lab_up
	up
	printf '%s\n' 'set one 10.0.0.0/8' '10 to @one drop' >"$T/good"
	ctl apply "$T/good" >&2
	ctl rule list --sets >"$T/before"
	local line want
	while IFS='|' read -r line want; do
		printf '%s\n' 'set one 10.0.0.0/8,12.0.0.0/8' "$line" '10 to @one pass' >"$T/bad"
		must_fail 1 "bad:2: $want" ctl apply "$T/bad"
		must_fail 1 "bad:2: $want" ctl up -f "$T/bad"
	done <<-'END'
		set|'set' needs a name
		set -x 1.2.3.4|set '-x': a name does not begin
		set x 1.2.3.4/8|prefix '1.2.3.4/8': host bits
		set x 1.2.3.4,|prefix '': not an address
		set x 1.2.3.4, 1.2.3.5|prefix '': not an address
		set x 1.2.3.4 1.2.3.5|a word too many: '1.2.3.5'
		set x file|'file' needs a path
		set x file nowhere|file 'nowhere': cannot open: No such file
		set x file .|.: cannot read: Is a directory
		set x file good|good:1: prefix 'set': one prefix a line
		sets x 1.2.3.4|a rule begins with its priority, not 'sets'
		10 drop set|unknown word 'set'
	END
	printf '%s\n' 'set two 10.0.0.0/8' '10 to @three drop' >"$T/bad"
	must_fail 1 "rule 10: there is no set 'three'" ctl apply "$T/bad"
	must_fail 1 "rule 10: there is no set 'three'" ctl apply -n "$T/bad"
	ctl rule list --sets | diff -U0 "$T/before" - >&2
}

# Both come back, and until then neither is changed.
tried() {
	lab_up
	up
	printf '%s\n' 'set one 10.0.0.0/8' '10 to @one drop' >"$T/old"
	printf '%s\n' 'set two 10.0.0.0/8' '10 to @two pass' >"$T/new"
	ctl apply "$T/old" >&2
	ctl apply --confirm 1 "$T/new" >&2
	same 'sets, tried' "$(ctl set list)" 'two: 1 prefix'
	must_fail 1 'waits for' ctl set add two 11.0.0.0/8
	must_fail 1 'waits for' ctl up -f "$T/old"
	wait_for 5 'ctl set list | says one'
	same 'all, taken back' "$(ctl rule list --sets)" "$(cat "$T/old")"
	ctl apply --confirm 60 "$T/new" >&2
	ctl confirm
	same 'all, confirmed' "$(ctl rule list --sets)" "$(cat "$T/new")"
}

# `up -f` on an instance that is up, and fails: no interface more, no slot of a target or device.
all_or_nothing() {
	local i

	lab_up
	up
	echo '10 drop' | ctl apply - >&2
	snapshot gw >"$T/up.before"
	ctl target list >"$T/targets.before"
	for i in {1..70}; do echo "$i on dev$i proxy t$i"; done >"$T/many"
	must_fail 1 "no room for target 't6" ctl up -i u0 -f "$T/many"
	must_fail 1 "no room for target 't6" ctl apply "$T/many"
	must_fail 1 "no room for target 't6" ctl apply -n "$T/many"
	printf '%s\n' '10 proxy other' '20 out cgroup /is/not/there drop' >"$T/late"
	must_fail 1 'cannot find cgroup' ctl up -i u0 --out -f "$T/late"
	must_fail 1 'cannot find cgroup' ctl apply "$T/late"
	must_fail 1 'cannot find cgroup' ctl apply -n "$T/late"
	ctl target list | diff -U0 "$T/targets.before" - >&2
	snapshot gw >"$T/up.after"
	assert_same_state "$T/up.before" "$T/up.after"
	same 'rules' "$(ctl rule list)" '10 drop'
	# There is room for all of them that fit, and nothing has gone.
	sed '64,$d' "$T/many" | ctl apply - >&2
	same 'targets' "$(ctl --json target list | jq length)" 63
	ctl down
	must_fail 1 'cannot find cgroup' ctl up -i u0 -f "$T/late"
	[[ ! -e /sys/fs/bpf/shunt ]] || fail 'a failed up has left something'
}

# on_devices PREFIX N: rules about so many interfaces, and about one that is there
on_devices() {
	echo '1 on x0 reject'
	seq -f "%.0f" 2 "$2" | sed "s/.*/& on $1& drop/"
}

# Names of interfaces that no rule has any more make room for others; those of rules stay.
device_names() {
	local prefix

	lab_up
	up
	for prefix in a b c; do
		on_devices $prefix 1500 | ctl apply - >/dev/null
	done
	ctl rule add 9000 on d0 drop
	ctl up -i x0 >&2
	same 'of the interface that is there' \
		"$(ctl --json explain in x0 tcp 10.3.0.2:9 10.2.0.2:80 | jq .priority)" 1
	same 'of another' "$(decided 10.1.0.2 10.2.0.2)" null
	same 'rules' "$(ctl rule list | wc -l)" 1501
}

# milliseconds COMMAND...
milliseconds() {
	local start=${EPOCHREALTIME/./}

	"$@" >/dev/null 2>&1 || return 1
	echo $(((${EPOCHREALTIME/./} - start) / 1000))
}

large() {
	local took

	lab_up
	up
	python3 - "$T" <<-'END'
		import sys
		dir = sys.argv[1]
		with open(f'{dir}/million', 'w') as f:
		    for i in range(1000000):
		        f.write(f'{20 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24\n')
		with open(f'{dir}/rules', 'w') as f:
		    f.write('set million file million\n')
		    f.write('1 to @million drop\n')
		    for i in range(100000):
		        f.write(f'{i + 2} tcp to 10.{i >> 16}.{i >> 8 & 255}.{i & 255} port {i % 1000 + 1} proxy\n')
	END
	took=$(milliseconds ctl apply "$T/rules")
	echo "-- 100,000 rules and a set of 1,000,000 prefixes: $took ms" >&2
	in_time 'all that' "$took" 20000
	same 'rules' "$(ctl --json rule list | jq length)" 100001
	same 'prefixes' "$(ctl --json set list | jq '.[0].prefixes')" 1000000
	same 'the last one' "$(decided 10.1.0.2 35.66.63.1)" 1
	same 'behind it' "$(decided 10.1.0.2 35.66.64.1)" null
	ctl rule list --sets >"$T/listed"
	same 'printed and read back' "$(ctl apply -n "$T/listed")" 'no difference'
	# An error in the last of a million lines.
	generation >"$T/generation"
	[[ $(cat "$T/generation") != null ]]
	echo '1.2.3.256' >>"$T/million"
	must_fail 1 "rules:1: million:1000001: prefix '1.2.3.256': not an address" \
		ctl apply "$T/rules"
	must_fail 1 "million:1000001: prefix '1.2.3.256': not an address" \
		ctl set load million "$T/million"
	seq -f '%.0f tcp to 10.0.0.1 port 80 pass' 1000000 >"$T/lines"
	echo '1000001 tcp port 80x pass' >>"$T/lines"
	must_fail 1 "lines:1000001: port '80x': not a number" ctl apply "$T/lines"
	must_fail 1 "lines:1000001: port '80x': not a number" ctl up -f "$T/lines"
	# More than an instance takes, but each line is right.
	sed -i '$d' "$T/lines"
	must_fail 1 '1000000 rules are too many' ctl apply "$T/lines"
	same 'the generation, after all this' "$(generation)" "$(cat "$T/generation")"
	same 'prefixes, at the end' "$(ctl --json set list | jq '.[0].prefixes')" 1000000
}

check AFILE-01 'rules and sets of a file, printed and read back' together
check AFILE-02 'what is wrong in a file changes nothing' refused
check AFILE-03 'rules and sets are taken back together' tried
check AFILE-04 'a refused `up -f` or `apply` leaves nothing behind' all_or_nothing
check AFILE-06 'interfaces that no rule names any more make room for others' device_names
check -t 180 AFILE-05 'a million lines, right or with an error in the last' large

story_run "$@"
