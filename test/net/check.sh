#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# `rule check` on a running instance: what its interfaces, targets and counters say about rules.
# What it says about rules alone is in test/unit/test_check.c.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# kinds_of RULE|SET: the kinds of findings about it, in order
kinds_of() {
	ctl --json rule check | jq -r --arg name "$1" \
		'[.[] | select((.rule | tostring) == $name or .set == $name) | .kind] | join(" ")'
}

alive_rules() {
	lab_up
	web_server sv
	up
	printf '%s\n' 'set empty' 'set unused 10.0.0.0/8' '10 in to @empty drop' \
		'20 in on eth7 drop' '30 in on eth7,c0 to 192.0.2.1 drop' '40 out uid 0 drop' \
		'50 in tcp port 80 proxy fail closed' '60 in tcp port 81 proxy' \
		'70 in tcp from 10.1.0.0/24 port 80 reject' '80 in pass' >"$T/rules"
	ctl apply "$T/rules" >&2
	same 'of an empty set' "$(kinds_of empty)" set-empty
	same 'of an unused set' "$(kinds_of unused)" set-unused
	same 'of a rule whose set is empty' "$(kinds_of 10)" never-match
	same 'of a rule of a missing interface' "$(kinds_of 20)" never-match
	same 'of a rule of an interface that is there, too' "$(kinds_of 30)" 'one-family never-hit'
	same 'of a rule about own flows' "$(kinds_of 40)" never-match
	same 'of a rule without a socket' "$(kinds_of 50)" 'tcp-only no-socket never-hit'
	same 'of another of the same target' "$(kinds_of 60)" 'tcp-only never-hit'
	same 'of a rule in the shadow' "$(kinds_of 70)" shadowed
	ctl rule check | says "^rule 40: never-match: .* 'shuntctl up -i IFACE --out'$"
	ctl rule check | says "^rule 50: no-socket: target 'default' .*are dropped"
	# Flows, a server and the other direction take findings away.
	shuntd
	fetch_hello cl http://10.2.0.2/hello
	up -i c0 --out
	same 'with a socket and a flow' "$(kinds_of 50)" tcp-only
	same 'with --out' "$(kinds_of 40)" never-hit
	ctl set add empty 192.0.2.2
	same 'with a prefix' "$(kinds_of 10)" 'one-family never-hit'
	same 'and the set' "$(kinds_of empty)" ''
	# Status: findings are no failure unless they are asked to be.
	ctl rule check >&2
	must_fail 1 '^$' ctl rule check --strict
	must_fail 2 "kind 'nothing': one of duplicate" ctl rule check --kind nothing
	same 'of one kind' "$(ctl rule check --kind shadowed,duplicate | cut -d: -f1)" 'rule 70'
	echo '80 pass' | ctl apply - >&2
	ctl set del unused
	ctl set del empty
	ctl rule check --strict >&2
	same 'never hit' "$(kinds_of 80)" never-hit
	same 'nothing of a kind' "$(ctl rule check --kind shadowed)" 'nothing found'
}

# A file is checked without an instance, and by anybody.
file() {
	chmod 755 "$T"
	printf '%s\n' '10 drop' '20 pass' >"$T/rules"
	same 'of a file' "$(setpriv --reuid 65534 --clear-groups "$LAB_BUILD/shuntctl" rule check "$T/rules" | cut -d: -f1-2)" \
		'rule 20: shadowed'
	seq -f '%g drop' 22 >"$T/rules"
	same 'of one too many to be shown' "$("$LAB_BUILD/shuntctl" rule check "$T/rules" | tail -n 1)" \
		'and 1 more that is duplicate: --kind duplicate shows all'
	echo '10 dropp' >"$T/rules"
	must_fail 1 "rules:1: unknown word 'dropp'" "$LAB_BUILD/shuntctl" rule check "$T/rules"
	must_fail 1 'is not up' "$LAB_BUILD/shuntctl" rule check
}

cgroup_gone() {
	local dir

	lab_up
	up -i c0 --out
	dir=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	[[ -n $dir && -w $dir ]] || skip 'no cgroup v2 to write to'
	dir=$(mktemp -d "$dir/shunt-check-XXXXXX")
	echo "10 out cgroup /${dir##*/} drop" | ctl apply - >&2 || { rmdir "$dir"; return 1; }
	same 'of a cgroup' "$(kinds_of 10)" never-hit || { rmdir "$dir"; return 1; }
	rmdir "$dir"
	same 'of one that is gone' "$(kinds_of 10)" never-match
	# The same name, but not the cgroup that the kernel looks for.
	mkdir "$dir"
	same 'of one that was made anew' "$(kinds_of 10)" never-match || { rmdir "$dir"; return 1; }
	ctl rule check | says 'was made anew' || { rmdir "$dir"; return 1; }
	ctl --json explain out tcp 10.1.0.1:9 10.1.0.2:9 cgroup "${dir##*/}" >"$T/explained" ||
		{ rmdir "$dir"; return 1; }
	rmdir "$dir"
	grep -q 'made anew since the rule was loaded' "$T/explained"
}

# A hundred thousand rules, of a kind that overlap a lot and of one that do not.
many() {
	local took

	python3 - "$T" <<-'END'
		import random, sys
		random.seed(1)
		with open(sys.argv[1] + '/apart', 'w') as f:
		    for i in range(100000):
		        f.write(f'{i + 1} tcp to 10.{i >> 16}.{i >> 8 & 255}.{i & 255} port 80 proxy\n')
		    f.write('100001 to 10.0.0.0/24 port 80 tcp pass\n')
		with open(sys.argv[1] + '/mixed', 'w') as f:
		    for i in range(100000):
		        lo = random.randrange(1, 60000)
		        f.write(f'{i + 1} from {random.randrange(1, 220)}.0.0.0/8 '
		                f'to {random.randrange(1, 220)}.{random.randrange(256)}.0.0/16 '
		                f'port {lo}-{lo + random.randrange(5000)} drop\n')
	END
	for f in apart mixed; do
		took=${EPOCHREALTIME/./}
		"$LAB_BUILD/shuntctl" --json rule check "$T/$f" >"$T/$f.found"
		took=$(((${EPOCHREALTIME/./} - took) / 1000))
		echo "-- $f: $took ms, $(jq -c 'group_by(.kind) | map([.[0].kind, length])' "$T/$f.found")" >&2
		in_time "$f" $took 20000
	done
	# 256 rules together.
	same 'of the last rule' "$(jq -c '[.[] | select(.rule == 100001) | [.kind, .by[0], .by[-1], (.by | length)]]' "$T/apart.found")" \
		'[["shadowed",1,256,256]]'
	at_least 'shadowed of mixed ones' "$(jq '[.[] | select(.kind == "shadowed")] | length' "$T/mixed.found")" 1
}

check CHECK-01 'interfaces, targets, counters and sets say what is odd' alive_rules
check CHECK-02 'a file is checked by itself' file
check CHECK-03 'a rule whose cgroup is gone' cgroup_gone
check CHECK-04 'a hundred thousand rules are checked in seconds' many

story_run "$@"
