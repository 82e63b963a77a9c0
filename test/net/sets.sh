#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Sets of addresses: rules name them, and they are changed while they are in use.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# steered_after URL N: cl fetches it, and N flows have been steered since the lab was built
steered_after() {
	fetch_hello cl "$1"
	same "steered flows after $1" "$(counter steer_new)" "$2"
}

members_only() {
	family "$1"
	lab_up
	lab_second_client
	web_server sv
	up
	must_fail 1 "rule 100: there is no set 'clients'" \
		ctl rule add 100 in tcp from @clients port 80 proxy
	ctl set add clients
	ctl rule add 100 in tcp from @clients port 80 proxy
	shuntd
	steered_after "http://$SV_U/hello" 0
	ctl set add clients "$CL" 192.0.2.0/24 2001:db8::/32
	steered_after "http://$SV_U/hello" 1
	fetch_hello cl2 "http://$SV_U/hello"
	same 'steered flows after that of another client' "$(counter steer_new)" 1
	ctl set add clients "$CL" # once more is no error
	same 'members' "$(ctl --json set list clients | jq length)" 3
	ctl set del clients "$CL"
	steered_after "http://$SV_U/hello" 1
	same 'flows of rule 100, kept over all this' "$(rule_flows 100)" 1
	# The other side, and turned round.
	ctl rule add 90 in tcp to not @clients port 80 proxy
	steered_after "http://$SV_U/hello" 2
	ctl set add clients "$SV"
	steered_after "http://$SV_U/hello" 2
}

errors() {
	lab_up
	up
	ctl set add one 10.0.0.0/8
	ctl set add two fd00::/8
	ctl rule add 100 to @one drop
	must_fail 1 "set 'one' is used by rule 100" ctl set del one
	ctl set del two
	same 'sets' "$(ctl set list)" 'one: 1 prefix'
	must_fail 1 "no set 'two'" ctl set del two
	must_fail 1 "no set 'two'" ctl set list two
	must_fail 1 'does not hold 10.0.0.0/9' ctl set del one 10.0.0.0/8 10.0.0.0/9
	must_fail 2 'host bits' ctl set add one 10.0.0.1/8
	must_fail 1 'a name is' ctl set add 'a b' 10.0.0.0/8
	printf '%s\n' '# bogons' '192.0.2.0/24 # test' '' '10.0.0.300' >"$T/bad"
	must_fail 1 'bad:4: .*10\.0\.0\.300' ctl set load one "$T/bad"
	must_fail 1 'nowhere' ctl set load one "$T/nowhere"
	same 'the set, after the errors' "$(ctl set list one)" 10.0.0.0/8
	# What is printed can be loaded; rules without the set can be loaded, and then it can go.
	ctl set add one 2001:db8::1 10.1.2.3
	ctl set list one >"$T/listed"
	ctl set load one - <"$T/listed"
	same 'printed and read back' "$(ctl set list one)" "$(cat "$T/listed")"
	ctl rule flush
	ctl set del one
	same 'sets, at the end' "$(ctl set list)" ''
}

# memory WHAT: bytes, as status says
memory() {
	ctl --json status | jq ".memory.$1"
}

# A hundred thousand prefixes of each family, and one of them is the client's.
many() {
	lab_up
	web_server sv
	up
	ctl set add many
	rules '100 in tcp from @many port 80 proxy'
	shuntd
	awk 'BEGIN { for (i = 0; i < 100000; i++) {
		printf "%d.%d.%d.%d/%d\n", 20 + i % 100, i / 100 % 256, i / 25600, i % 7 * 32, 27
		printf "2001:db8:%x:%x::/64\n", i / 1000, i % 1000 } }' >"$T/many"
	local empty full

	empty=$(memory rules_used)
	ctl set load many "$T/many"
	full=$(memory rules_used)
	at_least 'bytes for 200,000 prefixes' $((full - empty)) 5000000
	at_most 'bytes for 200,000 prefixes' $((full - empty)) 12000000
	at_least 'bytes of the map' "$(memory rules)" "$full"
	at_least 'bytes of all maps' "$(memory all)" "$(memory rules)"
	same 'prefixes' "$(ctl --json set list | jq '.[0].prefixes')" "$(sort -u "$T/many" | wc -l)"
	steered_after http://10.2.0.2/hello 0
	steered_after 'http://[fd02::2]/hello' 0
	ctl set add many 10.1.0.2/32 fd01::2
	steered_after http://10.2.0.2/hello 1
	steered_after 'http://[fd02::2]/hello' 2
	ctl set del many 10.1.0.2
	steered_after http://10.2.0.2/hello 2
	steered_after 'http://[fd02::2]/hello' 3
}

# A trial of rules leaves the sets, and its end brings back both.
tried() {
	lab_up
	up
	ctl set add one 10.0.0.0/8
	rules '100 to @one drop'
	echo '100 to @one pass' >"$T/two"
	ctl apply --confirm 1 "$T/two" >&2
	must_fail 1 'waits for' ctl set add one 11.0.0.0/8
	wait_for 5 'ctl rule list | says drop'
	same 'the set' "$(ctl set list one)" 10.0.0.0/8
	ctl set add one 11.0.0.0/8
}

for f in 4 6; do
	check "SET-01-v$f" "a rule selects the members of its set, which changes (IPv$f)" members_only $f
done
check SET-02 'what is refused changes nothing' errors
check -t 120 SET-03 'a hundred thousand prefixes of each family' many
check SET-04 'sets stay while rules are tried' tried

story_run "$@"
