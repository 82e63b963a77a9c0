#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# One shuntd, several targets, each with settings of its own.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

settings_file() {
	cat >"$T/shuntd.yml"
}

two_targets() {
	family "$1"
	lab_up
	web_server sv
	flow_server
	up -i u0
	rules '100 in on c0 tcp to any port 80 proxy web' \
		'110 in on c0 tcp to any port 443 proxy as-client' \
		'120 in on c0 tcp to any port 7000 proxy as-client'
	settings_file <<-END
		workers: 2
		targets:
		  web:
		    log-flows: true
		  as-client:
		    source: client
	END
	shuntd -c "$T/shuntd.yml"
	grep -q "^ready: 2 targets of instance 'default', 2 workers" "$T/shuntd.err"
	same 'targets' "$(ctl --json target list 2>/dev/null | jq -c '[.[].name] | sort')" \
		'["as-client","web"]'
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 1))'
	same 'source of web' "$(seen sv | cut -d' ' -f1)" "$GW_U"
	fetch_hello cl "http://$SV_U:443/hello"
	wait_for 5 '(($(requests sv) == 2))'
	same 'source of as-client' "$(seen sv | cut -d' ' -f1)" "$CL"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 -c 20 --max-size 20K >&2
	flows_right 200
	becomes accepted 202 proxied accepted
	# Only web has a log.
	wait_for 5 "(( \$(wc -l <$T/shuntd.out) == 1 ))"
	grep -q "^flow proto=tcp client=.* destination=$(sed 's/[][]/\\&/g' <<<"$SV_U"):80 .* rule=100 " \
		"$T/shuntd.out"
	stop shuntd
	same 'flows logged' "$(wc -l <"$T/shuntd.out")" 1
	# Both targets are empty: by the rule's fail mode there is no proxy any more.
	fetch_hello cl "http://$SV_U/hello"
	wait_for 5 '(($(requests sv) == 3))'
	same 'source without shuntd' "$(seen sv | cut -d' ' -f1)" "$CL"
}

# The target of the file is one for the lock, too.
conflicts() {
	lab_up
	up
	settings_file <<-END
		targets: {a: , b: }
	END
	shuntd -c "$T/shuntd.yml"
	must_fail 1 "another shuntd serves target 'b' of instance 'default' here" \
		in_ns gw "$LAB_BUILD/shuntd" -t b
	must_fail 2 'target: the file has targets of its own' \
		in_ns gw "$LAB_BUILD/shuntd" -c "$T/shuntd.yml" -t c
	printf 'targets:\n  a:\n    workers: 2\n' >"$T/bad.yml"
	must_fail 1 "bad.yml:3:5: 'workers': not a setting of a target" \
		in_ns gw "$LAB_BUILD/shuntd" -c "$T/bad.yml"
	must_fail 1 'port 65530 leaves no room for 8 listeners' \
		in_ns gw "$LAB_BUILD/shuntd" -c "$T/shuntd.yml" --workers 4 --port 65530
}

# A worker that is killed is replaced, for all targets.
worker_dies() {
	family 4
	lab_up
	web_server sv
	up
	rules '100 in on c0 tcp to any port 80 proxy a fail closed' \
		'110 in on c0 tcp to any port 443 proxy b fail closed'
	settings_file <<-END
		targets: {a: , b: }
	END
	shuntd -c "$T/shuntd.yml"
	EXPECT_DEATH=yes
	kill -KILL "$(pgrep -P "${PIDS[shuntd]}")"
	wait_for 5 "(( \$(grep -c '^ready' '$T/shuntd.err') == 2 ))"
	fetch_hello cl "http://$SV_U/hello"
	fetch_hello cl "http://$SV_U:443/hello"
	becomes accepted 2 proxied accepted
}

for fam in 4 6; do
	check "TGT-01-v$fam" "two targets of one process, each with its settings (IPv$fam)" \
		two_targets $fam
done
check TGT-02 'targets of the file are served once, and bad files refused' conflicts
# shuntd would not notice, and serve nobody from then on.
served_stays() {
	family 4
	lab_up
	flow_server
	up
	shuntd
	must_fail 1 "live sockets of process ${PIDS[shuntd]}" ctl target del default
	rules '100 in tcp to any port 7000 proxy fail closed'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 20 >&2
	ctl rule del 100
	stop shuntd
	ctl target del default
	same targets "$(ctl --json target list | jq -c .)" '[]'
}

check TGT-04 'a target that is served is not deleted' served_stays
check TGT-03 'a new worker serves all targets' worker_dies

story_run "$@"
