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
	find /etc "$T/prefix" | sort
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
	printf x >>"$T/prefix/sbin/shuntctl"
	deploy -i c0
	same 'rules, after another version' "$(ctl rule list 2>/dev/null | cut -d' ' -f1 | xargs)" \
		'50 60 100'
	same 'steered flows of the new steering' "$(counter steer_new)" 0

	deploy --status
	kill -KILL "$(</run/shunt/shuntd.pid)"
	wait_for 5 "[[ \$(ctl --json target list 2>/dev/null | jq '.[].live_v4') == 0 ]]"
	must_fail 1 'not all is well' deploy_quietly --status
	deploy -i c0
	deploy --status
	rm /etc/shunt/rules
	deploy --remove
	deploy --remove
	files | diff "$T/files.before" - >&2 || fail 'files are left'
	must_fail 1 'nothing is deployed' deploy_quietly --status
}

# must_fail takes standard error.
deploy_quietly() {
	in_ns gw "$ROOT/deploy/shunt-deploy.sh" --no-install-packages \
		--build "$LAB_BUILD/deploy" --prefix "$T/prefix" "$@"
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
	must_fail 2 "name an interface" deploy_quietly
	must_fail 2 "one of proxy, client" deploy_quietly -i c0 --source me
	must_fail 2 "unknown argument" deploy_quietly --removed
	files | diff "$T/files.before" - >&2 || fail 'files are left'
}

check -t 300 DEPLOY-01 'a deployment, again, changed, and removed' life
check -t 300 DEPLOY-02 'bad input of the deployment changes nothing' bad_input

story_run "$@"
