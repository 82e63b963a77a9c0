#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What is wrong gets a clear answer and changes nothing.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

shuntctl=$LAB_BUILD/shuntctl

# refuses CODE REGEX COMMAND...: as must_fail, and nothing has changed
refuses() {
	snapshot gw >"$T/state.then"
	must_fail "$@"
	snapshot gw >"$T/state.now"
	assert_same_state "$T/state.then" "$T/state.now"
}

# The rules in the instance are as before.
refuses_rule() {
	ctl --json rule list >"$T/rules.then"
	refuses "$@"
	ctl --json rule list | diff -U0 "$T/rules.then" - >&2
}

surroundings() {
	lab_up
	refuses 1 "root|privilege|permi|capab" \
		in_ns gw setpriv --reuid 1000 --regid 1000 --clear-groups "$shuntctl" up -i c0
	refuses 1 'bpffs|/sys/fs/bpf' \
		in_ns gw unshare --mount sh -c "umount /sys/fs/bpf && exec $shuntctl up -i c0"
	refuses 1 "'nope'" ctl up -i nope
	refuses 1 "'nope'" ctl up -i c0 -i nope
	refuses 1 "'nope'" in_ns gw "$shuntctl" --netns nope up -i c0
	refuses 1 '[^a-z]up|not up|no instance' ctl status
	refuses 1 '[^a-z]up|not up|no instance' ctl rule list
	refuses 1 '[^a-z]up|not up|no instance' ctl rule add 100 in tcp port 80 proxy
	ctl down
}

usage() {
	lab_up
	up
	refuses 2 . ctl
	refuses 2 'frobnicate' ctl frobnicate
	refuses 2 'frobnicate' ctl rule frobnicate
	refuses 2 . ctl up --no-such-option
	refuses 2 . ctl rule del
	refuses '1|2' "'12x'" ctl rule del 12x
	refuses 2 "priority '0': no number that a rule can have" ctl rule del 0
	refuses 2 "priority '4294967296': no number that a rule can have" ctl rule del 4294967296
	refuses '1|2' 'hook|sometimes' ctl up -i c0 --hook sometimes
	refuses '1|2' '0x7|bits' ctl up -i u0 --mark 0x7
	refuses '1|2' 'table|-5' ctl up -i u0 --table -5
	refuses '1|2' 'instance|name|\.\.' ctl --instance ../x up -i c0
	in_ns gw "$shuntctl" --help >"$T/help"
	grep -q '^usage\|^Usage' "$T/help"
	same 'what help says on stderr' "$("$shuntctl" --help 2>&1 >/dev/null)" ''
	in_ns gw "$LAB_BUILD/shuntd" --help | says .
	refuses 2 'frobnicate' in_ns gw "$LAB_BUILD/shuntd" --frobnicate
	refuses 2 'source' in_ns gw "$LAB_BUILD/shuntd" --source nobody
	echo 'no-such-key: 1' >"$T/conf"
	refuses 1 'conf:1|no-such-key' in_ns gw "$LAB_BUILD/shuntd" -c "$T/conf"
	refuses 1 "cannot read.*nowhere" in_ns gw "$LAB_BUILD/shuntd" -c "$T/nowhere"
}

rules_in_words() {
	local rule

	lab_up
	up
	rules '10 pass to 10.0.0.0/8' '100 in tcp to any port 80 proxy'
	while IFS='|' read -r rule word; do
		# shellcheck disable=SC2086 # words
		refuses_rule '1|2' "$word" ctl rule add $rule
	done <<-'END'
		in tcp proxy|priority
		x in tcp proxy|'x'
		-1 in tcp proxy|'-1'
		4294967296 in tcp proxy|4294967296
		200|action
		200 in tcp|action
		200 in tcp port 80x proxy|'80x'
		200 in tcp port 65536 proxy|'65536'
		200 in tcp port 90-80 proxy|90-80
		200 in tcp to 10.0.0.0/33 proxy|10.0.0.0/33
		200 in tcp to 10.0.0.1/8 proxy|10.0.0.1/8
		200 in tcp to 10.0.0 proxy|'10.0.0'
		200 in tcp to fd00::/129 proxy|fd00::/129
		200 in tcp to ::ffff:10.0.0.1 proxy|::ffff:10.0.0.1
		200 in sctp to any proxy|'sctp'
		200 in tcp to any proxy two targets|targets
		200 in tcp to any drop drop|drop
		200 in tcp in tcp to any drop|in
		200 in tcp from any from any drop|from
		200 in uid 0 tcp to any proxy fail maybe|maybe
		200 in tcp on a-name-that-is-too-long to any drop|a-name-that-is-too-long
		200 in tcp port 80 proxy ../../etc|../../etc
	END
	refuses_rule 1 '100' ctl rule add 100 in tcp to any port 81 proxy
	refuses_rule 1 '200' ctl rule del 200
	refuses_rule 1 'forwards flows that come in' ctl rule add 200 uid 0 route
	refuses_rule 1 'carries tcp only' ctl rule add 200 udp proxy
	refuses_rule 1 'elsewhere|set' ctl rule add 200 in tcp to @elsewhere port 81 proxy
}

rule_files() {
	lab_up
	up
	rules '10 pass to 10.0.0.0/8' '100 in tcp to any port 80 proxy'
	printf '%s\n' '# a comment' '20 in tcp to any drop' '30 in tcp port 80x proxy' >"$T/bad"
	refuses_rule 1 "bad:3:.*'80x'" ctl up -f "$T/bad"
	printf '%s\n' '20 in tcp to any drop' '20 in udp to any drop' >"$T/bad"
	refuses_rule 1 'bad:2:.*20' ctl up -f "$T/bad"
	printf '20 in tcp to any drop\n30 in tcp \0 drop\n' >"$T/bad"
	refuses_rule 1 'bad:2:' ctl up -f "$T/bad"
	head -c 100000 /dev/zero | tr '\0' 'x' >"$T/bad"
	refuses_rule 1 'bad:1:' ctl up -f "$T/bad"
	refuses_rule 1 "nowhere" ctl up -f "$T/nowhere"
	refuses_rule 1 "'?$T'?" ctl up -f "$T"
	: >"$T/empty"
	ctl up -f "$T/empty" >&2
	same 'rules after an empty file' "$(ctl --json rule list | jq length)" 0
	# `up -f` with a bad file leaves nothing.
	ctl down
	printf '30 in tcp port 80x proxy\n' >"$T/bad"
	refuses 1 "bad:1:" ctl up -i c0 -f "$T/bad"
}

ports() {
	lab_up
	up
	start_ready taken gw "$tcploop" -t 60 listen 15001 accept
	refuses 1 '15001' in_ns gw "$LAB_BUILD/shuntd" --port 15001 --workers 1
	stop taken KILL
	start_ready shuntd gw "$LAB_BUILD/shuntd" --port 15001 --workers 1
	must_fail 1 'another shuntd' in_ns gw "$LAB_BUILD/shuntd"
}

# What others have in the same places is left alone, by `up` and by `down`.
others() {
	local option

	lab_up
	for option in -4 -6; do
		ip -n gw $option rule add pref 1000 fwmark 0x200000/0x200000 lookup 77
		ip -n gw $option rule add pref 1000 iif c0 lookup 78
	done
	lab_mark
	up
	ctl down
	snapshot gw >"$T/state.now"
	assert_same_state "$T/state.before" "$T/state.now"
	ip -n gw route add 192.0.2.0/24 via 10.2.0.2 table 3020
	ip -n gw -6 route add 2001:db8::/32 via fd02::2 table 3020
	lab_mark
	# A table that is somebody's: refused, or shared and left as it was.
	ctl up -i c0 >/dev/null || refuses 1 '3020' ctl up -i c0
	ctl down
	snapshot gw >"$T/state.now"
	assert_same_state "$T/state.before" "$T/state.now"
	ctl up -i c0 --table 3021 --pref 900 >/dev/null
}

# root_without CAPABILITIES COMMAND...: as root of a container has it
root_without() {
	in_ns gw setpriv --bounding-set "$1" --inh-caps "$1" "${@:2}"
}

# What people get wrong first, and what they need to be told.
mistakes() {
	lab_up
	refuses 1 'no CAP_NET_ADMIN here' root_without -net_admin "$shuntctl" up -i c0
	refuses 1 'no CAP_BPF here' root_without -bpf,-sys_admin "$shuntctl" up -i c0
	refuses 1 'no CAP_PERFMON here' root_without -perfmon,-sys_admin "$shuntctl" up -i c0
	refuses 1 "no such interface 'c0,u0': give -i once for each" ctl up -i c0,u0
	refuses 2 "no argument 'c0'; try 'shuntctl up --help'" ctl up c0
	refuses 1 'ip netns exec' \
		in_ns gw unshare --mount sh -c "umount /sys/fs/bpf && exec $shuntctl up -i c0"
	start blind gw unshare --mount sh -c "umount /sys/fs/bpf && exec $LAB_BUILD/shuntd"
	wait_for 10 'grep -q "no bpf file system at /sys/fs/bpf" "$T/blind.err"'
	stop blind
	up
	refuses 1 'there is no process 2147483647' ctl target add web adopt 2147483647 80
	refuses 1 'not in this network namespace' ctl target add web adopt $$ 80
	refuses 1 'no TCP socket listens on port 7777' ctl target add web listen 0.0.0.0:7777
	same 'targets that were left behind' "$(ctl --json target list | jq length)" 0
}

# A target's name that is mistyped, or whose shuntd does not run.
unserved() {
	lab_up
	up
	ctl rule add 100 in tcp port 80 proxy wbe 2>"$T/said"
	grep -q "'wbe' has no live socket, so flows of rule 100 pass (fail open)$" "$T/said"
	start_ready shuntd gw "$LAB_BUILD/shuntd" -t web
	ctl rule add 110 in tcp port 81 proxy wbe fail closed 2>"$T/said"
	grep -q "flows of rule 110 are dropped (fail closed); 'web' has some$" "$T/said"
	ctl rule add 120 in tcp port 82 proxy web 2>"$T/said"
	same 'warnings about web' "$(grep -c warning "$T/said" || true)" 0
	printf '%s\n' '100 in tcp proxy web' '200 in tcp proxy bew' >"$T/rules"
	ctl apply -n "$T/rules" 2>"$T/said" >&2
	same 'warnings of a dry run' "$(grep -c warning "$T/said" || true)" 0
	ctl apply "$T/rules" 2>"$T/said" >&2
	grep -q "'bew' has no live socket, so flows of rule 200 pass" "$T/said"
	same 'warnings of apply' "$(grep -c warning "$T/said" || true)" 1
	must_fail 1 "control-group" in_ns gw setpriv --reuid 1000 --regid 1000 --clear-groups \
		"$shuntctl" proxy status -t web
}

check IN-01 'no root, no bpffs, no such interface, nothing up' surroundings
check IN-02 'wrong words and options' usage
check -t 90 IN-03 'wrong rules' rules_in_words
check IN-04 'wrong rule files' rule_files
check IN-05 'port in use, second daemon' ports
check IN-06 'rules and tables of others' others
check IN-07 'what people get wrong first' mistakes
check IN-08 'a target without sockets is told when a rule names it' unserved

story_run "$@"
