#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# deploy/shunt-deploy.sh on gw, as on a host without systemd: from nothing to steered flows, again,
# changed, and away.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

ROOT=$(cd "$LAB_DIR/../.." && pwd)

# The script writes to /etc: give it one of its own.
private_etc() {
	cp -a /etc "$T/etc"
	mount --bind "$T/etc" /etc
	mkdir "$T/prefix"
	files >"$T/files.before"
}

files() {
	{
		find /etc "$T/prefix"
		[[ ! -e /run/shunt ]] || find /run/shunt
	} | sort
}

same_files() {
	files | diff "$T/files.before" - >&2 || fail 'files are left, or have gone'
}

numbers_of_rules() {
	ctl rule list 2>/dev/null | cut -d' ' -f1 | xargs
}

# As nothing else would: it leaves its log and its lock.
kill_shuntd() {
	kill -KILL "$(</run/shunt/shuntd.pid)"
	wait_for 5 "[[ \$(ctl --json target list 2>/dev/null | jq '.[].live_v4') == 0 ]]"
	# Its workers hold the lock, too.
	wait_for 5 "flock -n $(own_lock) true"
}

own_lock() {
	echo "/run/shunt/$(stat -L -c %i /run/netns/gw)-default-default.lock"
}

# Of a shuntd for target 'default.1', which we know nothing of
of_another_target() {
	local lock

	lock=$(own_lock)
	echo "${lock%.lock}.1.1234.draining"
}

# A build of its own, as it sets prefix and sanitizer.
deploy() {
	in_ns gw "$ROOT/deploy/shunt-deploy.sh" --no-install-packages \
		--build "$LAB_BUILD/deploy" --prefix "$T/prefix" "$@" >&2
}

# seen_as ADDRESS URL
seen_as() {
	local before

	before=$(requests sv)
	fetch_hello cl "$2"
	wait_for 5 "((\$(requests sv) == $before + 1))"
	same "the source that the server saw for $2" "$(seen sv | cut -d' ' -f1)" "$1"
}

life() {
	local pid

	family 4
	lab_up
	web_server sv
	private_etc
	echo '100 in tcp to any port 80 proxy' >"$T/rules"
	deploy -i c0 -f "$T/rules"
	seen_as "$GW_U" "http://$SV/hello"
	seen_as "$CL" "http://$SV:8080/hello"
	pid=$(</run/shunt/shuntd.pid)

	deploy -i c0 -f "$T/rules"
	same 'pid of shuntd, after the same again' "$(</run/shunt/shuntd.pid)" "$pid"
	same 'steered flows, after the same again' "$(counter steer_new)" 1

	deploy -i c0 -i u0 --out --source client
	seen_as "$CL" "http://$SV/hello"
	same 'steered flows with source client' "$(counter steer_new)" 2

	ctl rule add 50 in tcp to any port 8080 proxy
	deploy -i c0
	seen_as "$GW_U" "http://$SV:8080/hello"
	same 'devices, after --out and u0 were left out' \
		"$(ctl --json status 2>/dev/null | jq -r '.devices[].name' | xargs)" c0

	# Another version: its steering is made anew, with the rules that are in force.
	ctl rule add 60 in tcp to any port 9 drop
	deploy -i c0
	same 'rules, after the same again' "$(numbers_of_rules)" '50 60 100'
	# What a set holds for a time is no part of the rules, and no reason to write them again.
	ctl set add heavy 10.9.0.0/24 10.9.9.0/24
	ctl set add heavy 10.9.1.1 10.9.1.2 timeout 1h
	ctl set add learned 10.9.1.1 10.9.1.2 timeout 1h
	ctl rule add 55 in tcp to @learned port 9 pass
	deploy -i c0
	same 'sets that were saved' "$(grep ^set /etc/shunt/rules)" \
		$'set heavy 10.9.0.0/24,10.9.9.0/24\nset heavy\nset learned'
	touch -d @1 /etc/shunt/rules
	ctl set add learned 10.9.1.3 timeout 1h
	deploy -i c0
	same 'when the rules were saved' "$(stat -c %Y /etc/shunt/rules)" 1
	same 'for a time' "$(ctl --json set list learned | jq -c 'map(.prefix)')" \
		'["10.9.1.1","10.9.1.2","10.9.1.3"]'
	same 'steered flows, after the same again' "$(counter steer_new)" 1
	say 'sets that no rule names: the file of before makes no difference to them'
	ctl set add spare 10.9.2.0/24
	deploy -i c0
	same 'the set, saved' "$(grep '^set spare' /etc/shunt/rules)" 'set spare 10.9.2.0/24'
	ctl rule add 70 in tcp to any port 10 drop
	printf x >>"$T/prefix/sbin/shuntctl"
	deploy -i c0
	same 'rules, after another version' "$(numbers_of_rules)" '50 55 60 70 100'
	same 'the set, after another version' "$(ctl set list spare)" 10.9.2.0/24
	same 'steered flows of the new steering' "$(counter steer_new)" 0
	grep -q '^taken over' /run/shunt/shuntd.log || fail 'shuntd was restarted, not taken over from'

	deploy --status
	kill_shuntd
	must_fail 1 'not all is well' deploy_quietly --status
	deploy -i c0
	deploy --status
	kill_shuntd
	[[ -e $(own_lock) ]] || fail 'there is no lock to remove: this check is blind'
	touch "$(of_another_target)"
	deploy --remove
	rm "$(of_another_target)" # or it ends here: it was to stay
	rmdir /run/shunt
	deploy --remove
	same_files
	must_fail 1 'nothing is deployed' deploy_quietly --status
}

# must_fail takes standard error.
deploy_quietly() {
	in_ns gw "$ROOT/deploy/shunt-deploy.sh" --no-install-packages \
		--build "$LAB_BUILD/deploy" --prefix "$T/prefix" "$@"
}

flows_in_the_list() {
	ctl --json proxy list 2>/dev/null | jq length
}

# A shuntd that is changed takes over from the one that runs; with another target it cannot.
upgrade() {
	local old new

	family 4
	lab_up
	flow_server
	private_etc
	echo '100 in tcp to any port 7000 proxy fail closed' >"$T/rules"
	deploy -i c0 -f "$T/rules"
	old=$(</run/shunt/shuntd.pid)
	start held cl "$flowgen" hold 20 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	start load cl "$flowgen" rate 20 1000 "$SV_U:7000" --max-size 4K
	deploy -i c0 -i u0 --source client
	new=$(</run/shunt/shuntd.pid)
	[[ $new != "$old" ]] || fail 'it was not replaced'
	stop load || true # those that are just open make it a failure
	at_least 'flows of the load' "$(jq .ok "$T/load.out")" 1
	same 'flows of the load that went wrong' \
		"$(jq '.short + .excess + .mismatched + .resets + .no_connect + .stuck' "$T/load.out")" 0
	same 'SYNs that met no socket' "$(counter fail_closed)" 0
	kill -0 "$old" || fail 'the old one has not waited for its flows'
	kill -USR1 "${PIDS[held]}"
	wait_for 10 "(( \$(wc -l <$T/held.out) == 2 ))"
	same 'old flows that answer' "$(tail -n 1 "$T/held.out" | jq .served)" 20
	# Those of the load are about to end.
	becomes 'old flows, in the list' 20 flows_in_the_list
	say 'another target'
	echo '100 in tcp to any port 7000 proxy other fail closed' >"$T/rules"
	deploy -i c0 -i u0 -f "$T/rules" --target other || true # 'default' has nobody now
	wait_for 10 "! kill -0 $new"
	same 'targets' "$(ctl --json proxy status -t other 2>/dev/null | jq -c .targets)" '["other"]'
	deploy --remove
	! kill -0 "$old" 2>/dev/null || fail 'the old one is still there'
	stop held || true
	same_files
}

bad_input() {
	family 4
	lab_up
	private_etc
	echo '100 in tcp to any port 80x proxy' >"$T/rules"
	must_fail 1 "no such interface 'nosuch'; there are: .*c0" deploy_quietly -i nosuch
	must_fail 1 "port '80x': not a number.*nothing was changed" \
		deploy_quietly -i c0 -f "$T/rules"
	must_fail 1 "cannot read the rules" deploy_quietly -i c0 -f "$T/nosuch"
	echo 'set x file list' >"$T/relative"
	must_fail 1 "files of sets with their whole paths" deploy_quietly -i c0 -f "$T/relative"
	must_fail 2 "name an interface" deploy_quietly
	must_fail 2 "one of proxy, client" deploy_quietly -i c0 --source me
	must_fail 2 "unknown argument" deploy_quietly --removed
	same_files
}

# A file that was edited is neither put in force nor overwritten unasked, nor removed.
edited_rules() {
	family 4
	lab_up
	private_etc
	echo '100 in tcp to any port 80 proxy' >"$T/rules"
	deploy -i c0 -f "$T/rules"
	ctl rule add 50 in tcp to any port 8080 proxy
	echo '200 drop' >>/etc/shunt/rules
	cp /etc/shunt/rules "$T/edited"
	must_fail 1 'differ from /etc/shunt/rules, which was edited' deploy_quietly -i c0
	same 'rules, after the refusal' "$(numbers_of_rules)" '50 100'
	printf x >>"$T/prefix/sbin/shuntctl"
	must_fail 1 'differ from /etc/shunt/rules, which was edited' deploy_quietly -i c0
	same 'rules, after the refusal of another version' "$(numbers_of_rules)" '50 100'
	cmp /etc/shunt/rules "$T/edited" >&2

	deploy -i c0 -f /etc/shunt/rules
	same 'rules, after the file was given' "$(numbers_of_rules)" '100 200'
	# A set beside the file stays by itself, but not when the steering is made anew.
	echo '# mine' >>/etc/shunt/rules
	ctl set add spare 10.9.2.0/24
	deploy -i c0
	same 'the set, after the same again' "$(ctl set list spare)" 10.9.2.0/24
	printf x >>"$T/prefix/sbin/shuntctl"
	must_fail 1 'rules or sets in force differ from /etc/shunt/rules' deploy_quietly -i c0
	same 'the set, after a refusal' "$(ctl set list spare)" 10.9.2.0/24
	sed -i '$d' /etc/shunt/rules
	cmp /etc/shunt/rules "$T/edited" >&2
	ctl set del spare
	deploy -i c0
	same 'rules, after the same again' "$(numbers_of_rules)" '100 200'
	deploy --remove
	cmp /etc/shunt/rules "$T/edited" >&2
	rm -r /etc/shunt
	same_files
}

# A file that was there before outlives the deployment, given with -f or not.
foreign_rules() {
	local given

	family 4
	lab_up
	private_etc
	mkdir /etc/shunt
	echo '100 in tcp to any port 80 proxy' >/etc/shunt/rules
	cp /etc/shunt/rules "$T/rules"
	files >"$T/files.before"
	for given in '' '-f /etc/shunt/rules'; do
		# shellcheck disable=SC2086 # split on purpose
		deploy -i c0 $given
		deploy -i c0
		same 'rules' "$(numbers_of_rules)" 100
		deploy --remove
		cmp /etc/shunt/rules "$T/rules" >&2
		same_files
	done
}

# The installed shuntctl was deleted: what is in force is not forgotten.
without_shuntctl() {
	local pid

	family 4
	lab_up
	private_etc
	echo '100 in tcp to any port 80 proxy' >"$T/rules"
	deploy -i c0 -f "$T/rules"
	ctl rule add 50 in tcp to any port 8080 proxy
	rm "$T/prefix/sbin/shuntctl"
	deploy -i c0
	same 'rules, after shuntctl was installed again' "$(numbers_of_rules)" '50 100'

	pid=$(</run/shunt/shuntd.pid)
	touch /run/shunt/1-default-default.lock # of another network namespace
	rm "$T/prefix/sbin/shuntctl"
	must_fail 1 'steering is in force.*nothing was stopped' \
		deploy_quietly --build "$T/nosuch" --remove
	kill -0 "$pid" || fail 'shuntd was stopped'
	same 'rules, after the refusal' "$(numbers_of_rules)" '50 100'
	deploy --remove
	[[ ! -e /sys/fs/bpf/shunt ]] || fail 'steering is left'
	rm /run/shunt/1-default-default.lock # or it ends here: it was to stay
	rmdir /run/shunt
	same_files
}

check -t 300 DEPLOY-01 'a deployment, again, changed, and removed' life
check -t 300 DEPLOY-06 'a deployment over one that runs loses no connection' upgrade
check -t 300 DEPLOY-02 'bad input of the deployment changes nothing' bad_input
check -t 300 DEPLOY-03 'rules that were edited meet others in force' edited_rules
check -t 300 DEPLOY-04 'rules that were there before a deployment stay' foreign_rules
check -t 300 DEPLOY-05 'a deployment whose shuntctl was deleted' without_shuntctl

story_run "$@"
