#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Replacing the rules in one step, trying them first, and taking them back.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

difference() {
	lab_up
	up
	printf '%s\n' '10 pass to 10.0.0.0/8' '100 in tcp to any port 80 proxy' >"$T/one"
	printf '%s\n' '10 pass to 10.0.0.0/8 # ours' '100 in tcp port 80 proxy' '200 drop' >"$T/two"
	same 'first' "$(ctl apply "$T/one")" $'+ 10 to 10.0.0.0/8 pass\n+ 100 in tcp port 80 proxy'
	same 'dry run' "$(ctl apply --dry-run "$T/two")" \
		$'- 10 to 10.0.0.0/8 pass\n+ 10 to 10.0.0.0/8 pass # ours\n+ 200 drop'
	same 'after the dry run' "$(ctl rule list | wc -l)" 2
	ctl apply "$T/two" >&2
	same 'again' "$(ctl apply "$T/two")" 'no difference'
	same 'json' "$(ctl --json apply "$T/one" | jq -c '[(.removed | length), (.added | length)]')" '[2,1]'
	# What is printed can be applied.
	ctl rule list >"$T/listed"
	same 'printed and read back' "$(ctl apply "$T/listed")" 'no difference'
	echo '300 drop tcpp' >>"$T/listed"
	must_fail 1 'listed:3: .*tcpp' ctl apply "$T/listed"
	must_fail 1 'nowhere' ctl apply "$T/nowhere"
	must_fail 2 'confirm' ctl apply --confirm 0 "$T/two"
	same 'after the errors' "$(ctl rule list | wc -l)" 2
}

# Each comes back from the kernel as it was given, also after changes of its neighbours.
kept_exactly() {
	lab_up
	up
	printf '%s\n' '20 to ::/0 drop' '21 to not ::/0 drop' '22 from 0.0.0.0/0 to 0.0.0.0/0 pass' \
		'40 tcp from 10.0.0.0/8,2001:db8::/32 to 192.168.0.0/16 drop' '50 to 1.2.3.4 proxy' \
		'60 in on c0,eth7 tcp sport 1-9,20 port 80,443 reject limit 5/s per src log # x' >"$T/all"
	ctl apply "$T/all" >&2
	ctl rule add 99 drop
	ctl rule del 99
	ctl rule list | diff -U0 "$T/all" - >&2
	same 'again' "$(ctl apply "$T/all")" 'no difference'
	same 'IPv4 is not ::/0' \
		"$(ctl --json explain in c0 tcp 10.1.0.2:9 10.2.0.2:9 | jq .priority)" 21
	same 'IPv6 is' "$(ctl --json explain in c0 tcp '[fd01::2]:9' '[fd02::2]:9' | jq .priority)" 20
}

# Lists that multiply to billions of combinations are held as sets, and more audit rules than the
# program can look at are refused, not cut.
very_much() {
	lab_up
	up
	echo '10 pass' | ctl apply - >&2
	python3 - >"$T/combinations" <<-'END'
		pairs = lambda net: ','.join(f'{net}.{i}.{j}.0/24' for i in range(16) for j in range(128))
		print('20 tcp from', pairs(10), 'to', pairs(11), 'port',
		      ','.join(str(p) for p in range(1, 2048, 2)), 'drop')
	END
	ctl apply "$T/combinations" >&2
	same 'inside of all lists' \
		"$(ctl --json explain in c0 tcp 10.15.127.9:9 11.3.77.1:2047 | jq .priority)" 20
	same 'outside of one' \
		"$(ctl --json explain in c0 tcp 10.15.127.9:9 11.3.128.1:2047 | jq .priority)" null
	same 'outside of the ports' \
		"$(ctl --json explain in c0 tcp 10.15.127.9:9 11.3.77.1:2046 | jq .priority)" null
	ctl rule list | diff -q - "$T/combinations" >&2
	echo '10 pass' | ctl apply - >&2
	for ((i = 1; i < 18; i++)); do echo "$i drop audit"; done >"$T/audits"
	must_fail 1 'audit are too many' ctl apply "$T/audits"
	same 'rules' "$(ctl rule list)" '10 pass'
}

confirmed() {
	lab_up
	web_server sv
	up
	rules '100 in tcp to any port 80 pass'
	echo '100 in tcp to any port 80 reject' >"$T/two"
	must_fail 1 'nothing waits' ctl confirm
	# Taken back by itself: what has locked its author out is gone.
	ctl apply --confirm 1 "$T/two" >&2
	must_fail 7 'connect' fetch cl http://10.2.0.2/hello
	must_fail 1 'waits for' ctl rule add 50 drop
	must_fail 1 'waits for' ctl apply "$T/two"
	wait_for 5 'ctl rule list 2>/dev/null | says pass'
	fetch_hello cl http://10.2.0.2/hello
	ctl rule add 50 in tcp to any port 81 drop
	ctl rule del 50
	# Kept.
	ctl apply --confirm 1 "$T/two" >&2
	ctl confirm
	since=$EPOCHSECONDS
	# shellcheck disable=SC2034 # in the condition
	wait_for 5 '((EPOCHSECONDS > since + 2))'
	must_fail 7 'connect' fetch cl http://10.2.0.2/hello
	# Down while it waits: nothing comes back.
	echo '110 drop' | ctl apply --confirm 1 - >&2
	ctl down
	since=$EPOCHSECONDS
	wait_for 5 '((EPOCHSECONDS > since + 2))'
	[[ ! -e /sys/fs/bpf/shunt ]]
}

# Rules that may come back name targets and groups of next hops by their places.
needed_again() {
	lab_up
	web_server gw
	up
	ctl target add web listen 0.0.0.0:80
	ctl hop add way 10.2.0.2
	rules '100 in tcp to any port 80 proxy web' '110 in tcp to any port 81 route via @way'
	echo '120 pass' >"$T/two"
	ctl apply --confirm 600 "$T/two" >&2
	must_fail 1 'waits for' ctl target del web
	must_fail 1 'waits for' ctl hop del way
	# Others are made meanwhile, and take no place that is needed.
	ctl target add other listen 0.0.0.0:80
	ctl hop add other 10.3.0.2
	ctl confirm
	ctl target del web
	ctl hop del way
	ctl target add web listen 0.0.0.0:80
	rules '100 in tcp to any port 80 proxy web'
	ctl apply --confirm 1 "$T/two" >&2
	wait_for 5 'ctl rule list 2>/dev/null | says proxy'
	same 'target' "$(ctl --json explain in c0 tcp 10.1.0.2:9 10.2.0.2:80 | jq -r .target.name)" web
}

# A script that holds a lock, or whose output is read to its end, has ended when it has ended.
holds_nothing() {
	lab_up
	up
	rules '100 pass'
	echo '110 pass' >"$T/two"
	exec {lock}>"$T/lock"
	flock "$lock"
	ctl apply --confirm 600 "$T/two" >&2
	exec {lock}>&-
	wait_for 5 "flock -n '$T/lock' true"
	must_fail 1 'waits for' ctl rule add 50 drop
	ctl confirm
}

check APPLY-01 'apply prints the difference and makes it' difference
check APPLY-03 'rules come back from the kernel as they were given' kept_exactly
check APPLY-04 'very long lists, very many audit rules' very_much
check APPLY-02 'a change that nobody confirms is taken back' confirmed
check APPLY-05 'what rules that may come back name stays' needed_again
check APPLY-06 'what waits to take a change back holds nothing of its caller' holds_nothing

story_run "$@"
