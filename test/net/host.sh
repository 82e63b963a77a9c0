#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Flows that start on the host itself: gw is also the client, `up --out` steers what it sends
# out of u0.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

up_out() {
	ctl up -i u0 --out --hook "$HOOK" ${DELIVER:+--deliver "$DELIVER"} >/dev/null
}

# as_user UID COMMAND...: on gw
as_user() {
	in_ns gw setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"
}

user_fetches() {
	same "answer to user $1" "$(as_user "$1" curl -sS --noproxy '*' --max-time 60 "$2")" \
		'hello from sv'
}

by_user() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up_out
	rules '100 out tcp to any port 80 uid 1000-1010 proxy'
	shuntd
	user_fetches 1005 "http://$SV_U/hello"
	same 'flows of the rule' "$(rule_flows 100)" 1
	becomes 'accepted by shuntd' 1 proxied accepted
	user_fetches 0 "http://$SV_U/hello"
	user_fetches 1011 "http://$SV_U/hello"
	user_fetches 1005 "http://$SV_U:8080/hello"
	same 'flows of the rule, after others' "$(rule_flows 100)" 1
	fetch_hello cl "http://$SV_U/hello"
	same 'flows of the rule, after a forwarded one' "$(rule_flows 100)" 1
	becomes 'accepted by shuntd at the end' 1 proxied accepted
	wait_for 5 '(($(requests sv) == 5))'
}

# With a rule for everybody, shuntd's own connections match it, too.
never_itself() {
	HOOK=$1
	family "$2"
	lab_up
	flow_server
	up_out
	rules '100 out tcp to any port 7000 proxy'
	shuntd
	in_ns gw "$flowgen" client "$SV_U:7000" -n 200 -c 50 >&2
	flows_right 200
	same 'flows of the rule' "$(rule_flows 100)" 200
	becomes 'accepted by shuntd' 200 proxied accepted
}

large() {
	local size=1G

	[[ -z $LAB_FAST ]] || size=64M
	HOOK=$1
	family "$2"
	lab_up
	flow_server
	up_out
	rules '100 out tcp to any port 7000 uid 1000 proxy'
	shuntd
	as_user 1000 "$flowgen" client "$SV_U:7000" --up $size --down $size --order free >&2
	flows_right 1
	becomes 'accepted by shuntd' 1 proxied accepted
	becomes 'bytes through shuntd' "$(flow_report .sent)" proxied bytes_down
}

no_proxy() {
	HOOK=$1
	family "$2"
	lab_up
	web_server sv
	up_out
	rules '100 out tcp to any port 80 proxy fail open' \
		'110 out tcp to any port 8080 proxy fail closed'
	user_fetches 1000 "http://$SV_U/hello"
	must_fail '7|28' 'connect|timed out' \
		as_user 1000 curl -sS --max-time 2 "http://$SV_U:8080/hello"
	same 'requests that reached the server' "$(requests sv)" 1
	at_least 'failed open' "$(counter fail_open)" 1
	at_least 'failed closed' "$(counter fail_closed)" 1
}

# in_cgroup PATH URL: cl's answer to a process of that cgroup on gw
in_cgroup() {
	same "answer in cgroup $1" "$(sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' \
		"$CGROUP/$1" nsenter --net=/run/netns/gw \
		curl -sS --noproxy '*' --max-time 60 "$2")" 'hello from sv'
}

# Also when the case fails: the sandbox does not take cgroups away.
remove_cgroups() {
	local dir

	for dir in "$CGROUP/$MINE/in/deep" "$CGROUP/$MINE/in" "$CGROUP/$MINE/beside" "$CGROUP/$MINE"; do
		[[ ! -d $dir ]] || rmdir "$dir"
	done
}

by_cgroup() {
	local url

	family "$1"
	CGROUP=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	[[ -n $CGROUP && -w $CGROUP ]] || skip 'no cgroup v2 to write to'
	MINE=shunt-test-$BASHPID-$RANDOM
	trap 'remove_cgroups; _show_outputs >&2' EXIT
	mkdir -p "$CGROUP/$MINE/in/deep" "$CGROUP/$MINE/beside"
	lab_up
	web_server sv
	up_out
	must_fail 1 "cannot find cgroup '/$MINE/none'" ctl rule add 100 out cgroup "$MINE/none" pass
	rules "100 out tcp to any port 80 cgroup $MINE/in proxy"
	shuntd
	url="http://$SV_U/hello"
	in_cgroup "$MINE/in" "$url"
	in_cgroup "$MINE/in/deep" "$url"
	same 'flows of the rule' "$(rule_flows 100)" 2
	in_cgroup "$MINE/beside" "$url"
	in_cgroup "$MINE" "$url"
	in_ns gw curl -sS --noproxy '*' --max-time 60 "$url" >&2
	same 'flows of the rule, after others' "$(rule_flows 100)" 2
	local from="$GW_U_U:40000" to="$SV_U:80"
	same 'explain below it' "$(ctl --json explain out tcp "$from" "$to" \
		cgroup "$MINE/in/deep" | jq .priority)" 100
	same 'explain beside it' "$(ctl --json explain out tcp "$from" "$to" \
		cgroup "$MINE/beside" | jq .priority)" null
	remove_cgroups
}

for hook in tcx clsact; do
	for fam in 4 6; do
		check "HOST-01-$hook-v$fam" "only the selected user is proxied ($hook, IPv$fam)" \
			by_user $hook $fam
		check "HOST-02-$hook-v$fam" "shuntd never takes its own connections ($hook, IPv$fam)" \
			never_itself $hook $fam
		check "HOST-03-$hook-v$fam" "1 GiB up and down arrives whole ($hook, IPv$fam)" \
			large $hook $fam
		check "HOST-04-$hook-v$fam" "without shuntd: fail open, fail closed ($hook, IPv$fam)" \
			no_proxy $hook $fam
	done
done

for fam in 4 6; do
	check "HOST-01-loopback-v$fam" "only the selected user is proxied (by lo, IPv$fam)" \
		by_loopback by_user auto $fam
	check "HOST-03-loopback-v$fam" "1 GiB up and down arrives whole (by lo, IPv$fam)" \
		by_loopback large auto $fam
	check "HOST-05-v$fam" "only the selected cgroup is proxied (IPv$fam)" by_cgroup $fam
done

story_run "$@"
