#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What happens at a limit: shuntd waits, says so, and goes on when there is room again.

# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# CPU time of shuntd and its worker, in ticks
shuntd_ticks() {
	local pid sum=0 fields

	for pid in "${PIDS[shuntd]}" $(pgrep -P "${PIDS[shuntd]}"); do
		# The name in parentheses may hold blanks.
		read -ra fields < <(sed 's/.*) //' "/proc/$pid/stat")
		sum=$((sum + fields[11] + fields[12]))
	done
	echo $sum
}

held_answers() {
	local before

	before=$(wc -l <"$T/$1.out")
	kill -USR1 "${PIDS[$1]}"
	wait_for 5 "((\$(wc -l <$T/$1.out) > $before))"
	tail -n 1 "$T/$1.out" | jq .served
}

descriptors() {
	local ticks lines served hz

	family "$1"
	shift
	hz=$(getconf CLK_TCK)
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	start_ready shuntd gw prlimit --nofile=256 "$LAB_BUILD/shuntd" "$@"
	start old cl "$flowgen" hold 50 "$SV_U:7000"
	wait_for 10 "[[ -s $T/old.out ]]"
	same 'flows before the limit' "$(jq .served "$T/old.out")" 50
	start many cl "$flowgen" hold 1000 "$SV_U:7000" --stuck 2
	wait_for 10 "[[ -s $T/many.out ]]"
	served=$(jq .served "$T/many.out")
	at_least 'more flows, up to the limit' "$served" 10
	at_most 'more flows, up to the limit' "$served" 200
	at_least 'pauses' $(($(proxied pauses) + $(proxied limit_pauses))) 1

	ticks=$(shuntd_ticks)
	lines=$(wc -l <"$T/shuntd.err")
	# The time itself is what is measured here.
	sleep 3
	at_most 'CPU in 3 s at the limit, ticks' $(($(shuntd_ticks) - ticks)) $((3 * hz / 10))
	at_most 'lines of log in 3 s' $(($(wc -l <"$T/shuntd.err") - lines)) 4
	same 'old flows that answer' "$(held_answers old)" 50

	stop old
	wait_for 3 "((\$(held_answers many) >= $served + 40))"
	stop many
	wait_for 5 '(($(proxied active) == 0))'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 20 >&2
}

res_lab() {
	family "$1"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
}

worker() {
	pgrep -P "${PIDS[shuntd]}" | head -n 1
}

open_files() {
	ls "/proc/$(worker)/fd" | wc -l
}

resident_kb() {
	sed -nE 's/^VmRSS:[[:space:]]*([0-9]+).*/\1/p' "/proc/$1/status"
}

# one_in N: one in N of the system calls that faults.so knows fails; 0 none
one_in() {
	printf '%b' "\\x$(printf %02x "$1")\\0\\0\\0\\0\\0\\0\\0" |
		dd of="$T/faults" conv=notrunc status=none
}

# Errors of the system that a server sees rarely, one in a hundred calls, in all places.
faults() {
	local before calls

	res_lab "$1"
	: >"$T/faults"
	chmod 666 "$T/faults"
	start_ready shuntd gw env FAULTS="$T/faults" LD_PRELOAD="$LAB_TOOLS/faults.so" \
		ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0" \
		"$LAB_BUILD/shuntd" --splice "$2"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 -c 20 --max-size 100K >&2
	before=$(open_files)
	one_in 100
	# Flows may fail now; they must end.
	in_ns cl "$flowgen" client "$SV_U:7000" -n 3000 -c 100 --max-size 100K --stuck 20 \
		>"$T/report" 2>/dev/null || true
	one_in 0
	say "under faults: $(<"$T/report")"
	at_least 'flows that were right' "$(jq .ok "$T/report")" 300
	# One that fails is reset: an end of stream would be a lie.
	same 'flows that ended early, or with wrong bytes' \
		"$(jq '.short + .mismatched + .excess' "$T/report")" 0
	calls=$(od -An -v -tu8 -w8 -j8 "$T/faults" | awk '$1 > 0' | wc -l)
	at_least 'kinds of calls that failed' "$calls" 5
	wait_for 10 '(($(proxied active) == 0))'
	at_most 'descriptors of the worker' "$(open_files)" $((before + 16))
	in_ns cl "$flowgen" client "$SV_U:7000" -n 300 -c 50 --max-size 100K >&2
}

# More connections than allowed, at once, on all workers.
overshoot() {
	res_lab "$1"
	shuntd --max-connections 500 --workers 4
	start many cl "$flowgen" hold 3000 "$SV_U:7000" --stuck 3
	wait_for 15 "[[ -s $T/many.out ]]"
	becomes 'flows that are served' 500 held_answers many
	becomes active 500 proxied active
	same 'connections at the server' "$(flow_report .open)" 500
	stop many
	wait_for 10 '(($(proxied active) == 0))'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 100 -c 50 >&2
}

# with_files N ARG...: shuntd with so many descriptors allowed
with_files() {
	local n=$1

	shift
	start_ready shuntd gw prlimit --nofile="$n" "$LAB_BUILD/shuntd" "$@"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 10 >&2
	[[ $(lab_sanitizer) != none ]] || at_most "KiB of a worker with $n files" \
		"$(resident_kb "$(worker)")" 20480
	stop shuntd
}

budget() {
	res_lab "$1"
	must_fail 1 'descriptors are too few' in_ns gw prlimit --nofile=40 "$LAB_BUILD/shuntd"
	must_fail 1 'descriptors are too few' in_ns gw prlimit --nofile=16 "$LAB_BUILD/shuntd"
	with_files 100 --workers 2
	with_files 1024
	must_fail 1 'max-connections 100000000 needs 200000[0-9]* descriptors, the limit is 1024' \
		in_ns gw prlimit --nofile=1024 "$LAB_BUILD/shuntd" --max-connections 100000000
	with_files "$(ulimit -Hn)"
}

# Rounds of flows; what the first two have left is what the last has.
leaks() {
	local i kb files

	res_lab "$1"
	shuntd
	for i in 1 2 3 4 5 6; do
		in_ns cl "$flowgen" client "$SV_U:7000" -n 2000 -c 200 --max-size 50K >&2
		wait_for 5 '(($(proxied active) == 0))'
		((i != 2)) || kb=$(resident_kb "$(worker)") files=$(open_files)
	done
	at_most 'descriptors of the worker' "$(open_files)" $((files + 16)) # pipes that are kept
	[[ $(lab_sanitizer) != none ]] ||
		at_most 'KiB of the worker' "$(resident_kb "$(worker)")" $((kb + 2048))
}

memory_group() {
	local v1 v2

	v1=$(findmnt -n -o TARGET,OPTIONS -t cgroup | awk '$2 ~ /(^|,)memory(,|$)/ { print $1; exit }')
	v2=$(findmnt -n -o TARGET -t cgroup2 | head -n 1)
	if [[ -n $v1 ]]; then
		GROUP=$v1/shunt-test-$BASHPID-$RANDOM LIMIT=memory.limit_in_bytes
	elif [[ -n $v2 ]] && grep -qw memory "$v2/cgroup.subtree_control"; then
		GROUP=$v2/shunt-test-$BASHPID-$RANDOM LIMIT=memory.max
	else
		skip 'no memory cgroup to write to'
	fi
	mkdir "$GROUP"
	echo 67108864 >"$GROUP/$LIMIT"
}

# 64 MB, and receivers that do not read.
memory_limit() {
	local n=3000 before ns

	[[ $(lab_sanitizer) == none ]] || skip 'a sanitizer needs more memory'
	[[ -z $LAB_FAST ]] || n=500
	ulimit -n 16384
	memory_group
	# The sandbox does not take cgroups away. This is for a case that fails.
	trap 'kill -KILL "${PIDS[shuntd]-}" 2>/dev/null; remove_group; _show_outputs >&2' EXIT
	family "$1"
	lab_up
	# Small buffers of the kernel, so that it is shuntd that holds what is not read.
	for ns in cl gw sv; do
		nsenter --net="/run/netns/$ns" sysctl -q -w net.ipv4.tcp_rmem='4096 16384 65536' \
			net.ipv4.tcp_wmem='4096 16384 16384'
	done
	lab_mark
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	start_ready shuntd gw sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$GROUP" \
		"$LAB_BUILD/shuntd"
	before=$(worker)
	start_ready crowd cl "$LAB_TOOLS/slowpokes" read $n "$SV_U:7000" 100M
	wait_for 10 "((\$(proxied active) == $n))"
	wait_for 20 "stopped_growing"
	say "held: $(resident_kb "$(worker)") KiB; of the group $(grep . "$GROUP"/memory.*usage* \
		"$GROUP"/memory.peak 2>/dev/null | sed 's/.*memory\.//' | tr '\n' ' ')"
	stop crowd
	same 'the worker' "$(worker)" "$before"
	wait_for 10 '(($(proxied active) == 0))'
	in_ns cl "$flowgen" client "$SV_U:7000" -n 200 -c 50 >&2
	stop shuntd
	remove_group
}

# Its last process may have ended just now.
remove_group() {
	wait_for 5 'rmdir "$GROUP"'
}

stopped_growing() {
	local now

	now=$(proxied bytes_down)
	[[ $now == "${BEFORE-}" ]] || BEFORE=$now SINCE=$EPOCHSECONDS
	((now > 1000000 && EPOCHSECONDS >= SINCE + 2))
}

# More SYNs than the kernel's table of flows has room for: flows that are open do not need it.
table_full() {
	local source=10.1.0.128

	res_lab "$1"
	(($1 == 4)) || source='[fd01::8000]'
	shuntd
	start held cl "$flowgen" hold 100 "$SV_U:7000"
	wait_for 10 "[[ -s $T/held.out ]]"
	until (($(counter steer_new) > 100000)); do # a busy machine drops some on the way
		in_ns cl "$rawsend" eth0 --src "$source:1" --dst "$SV_U:7000" --random-src 7 \
			--count 150000 \
			--dst-mac "$(ip -n gw -j link show c0 | jq -r '.[0].address')" >&2
	done
	same 'flows that answer' "$(held_answers held)" 100
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 10 >&2
}

# A reader of events that stands still loses events, by number, and nothing else is hurt.
events_full() {
	local n=200000 source=10.1.0.128 lost

	family "$1"
	(($1 == 4)) || source='[fd01::8000]'
	lab_up
	flow_server
	up
	rules '90 in tcp to any port 7001 drop log' '100 in tcp to any port 7000 proxy'
	shuntd
	start log gw "$LAB_BUILD/shuntctl" --json log
	wait_for 5 "ls -l /proc/${PIDS[log]}/fd | says bpf"
	kill -STOP "${PIDS[log]}"
	in_ns cl "$rawsend" eth0 --src "$source:1" --dst "$SV_U:7001" --random-src 7 --count $n \
		--dst-mac "$(ip -n gw -j link show c0 | jq -r '.[0].address')" >&2
	n=$(settled_counter rule_drop) # a busy machine drops some on the way
	at_least 'frames that the rule met' "$n" 100000
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 10 >&2
	lost=$(counter event_lost)
	at_least 'events lost' "$lost" 1
	kill -CONT "${PIDS[log]}"
	wait_for 20 "((\$(wc -l <'$T/log.out') + lost == n))" 
	# And now none is lost any more.
	in_ns cl "$rawsend" eth0 --src "$source:1" --dst "$SV_U:7001" --random-src 7 --count 100 \
		--dst-mac "$(ip -n gw -j link show c0 | jq -r '.[0].address')" >&2
	wait_for 10 "((\$(counter rule_drop) > n &&
		\$(wc -l <'$T/log.out') + lost == \$(counter rule_drop)))"
	same 'events lost at the end' "$(counter event_lost)" "$lost"
	stop log
}

# Links and routing rules come and go by the thousand.
netlink_storm() {
	local i

	res_lab "$1"
	shuntd
	start load cl "$flowgen" rate 200 4 "$SV_U:7000"
	for ((i = 0; i < 300; i++)); do
		echo "link add storm$i type veth peer mrots$i"
		echo "rule add pref $((20000 + i)) fwmark $((i + 1)) table 7"
	done | ip -n gw -batch -
	up -i u0
	for ((i = 0; i < 300; i++)); do
		echo "link del storm$i"
		echo "rule del pref $((20000 + i)) fwmark $((i + 1)) table 7"
	done | ip -n gw -batch -
	finish load
	wait_for 5 "ctl --json status | jq -e '.conflicts == []'" || fail "$(ctl status)"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 10 >&2
}

# typical_ms: the median time of a small flow
typical_ms() {
	in_ns cl "$flowgen" rate 200 2 "$SV_U:7000" -c 50 --max-size 4K | jq '.p50_ms | ceil'
}

# One thick stream, and new connections beside it.
fairness() {
	local alone beside=9999 round

	res_lab "$1"
	shuntd --splice "$2" --workers 1
	alone=$(typical_ms)
	start elephant cl "$flowgen" client "$SV_U:7000" --up 0 --down 200G --order free
	wait_for 5 '(($(proxied bytes_down) > 100000000))'
	# Once in a while is enough: another process may take the machine, too.
	for ((round = 0; round < 5 && beside > alone * 3 + 20; round++)); do
		beside=$(typical_ms)
	done
	alive elephant || fail 'the thick stream was over too early'
	at_most "median of a connection beside a thick stream, ms; alone $alone" "$beside" \
		$((alone * 10 + 1000))
	# What it has done is enough.
	kill "${PIDS[elephant]}"
	finish elephant || true
}

# Nobody reads the flow log.
log_blocked() {
	local n=0

	res_lab "$1"
	mkfifo "$T/fifo"
	exec 9<>"$T/fifo"
	start_ready shuntd gw sh -c 'exec "$@" >"$0"' "$T/fifo" "$LAB_BUILD/shuntd" --log-flows
	# How many fit into its pipe depends on how many are written at once.
	until (($(proxied log_dropped) >= 500)); do
		in_ns cl "$flowgen" client "$SV_U:7000" -n 3000 -c 100 --max-size 4K >&2
		n=$((n + 3000))
		flows_right $n
	done
	becomes accepted $n proxied accepted
	exec 9>&-
}

# The disk with the flow log is full.
log_full() {
	res_lab "$1"
	mkdir "$T/disk"
	mount -t tmpfs -o size=64k tmpfs "$T/disk"
	start_ready shuntd gw sh -c 'exec "$@" >>"$0"' "$T/disk/log" "$LAB_BUILD/shuntd" --log-flows
	in_ns cl "$flowgen" client "$SV_U:7000" -n 3000 -c 100 --max-size 4K >&2
	flows_right 3000
	at_most 'bytes of log' "$(stat -c %s "$T/disk/log")" 65536
	at_least 'lines of log that were dropped' "$(proxied log_dropped)" 500
	: >"$T/disk/log"
	in_ns cl "$flowgen" client "$SV_U:7000" -n 10 >&2
	wait_for 5 "((\$(grep -c '^flow .*end=' '$T/disk/log') >= 10))"
	stop shuntd
	umount "$T/disk"
}

# kib PID FIELD: of its memory
kib() {
	sed -nE "s/^$2:[[:space:]]*([0-9]+).*/\1/p" "/proc/$1/status"
}

fds() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

# Thousands that say nothing: two descriptors and a few hundred bytes each, and they all live.
idle_thousands() {
	local n=9500 pid fds_before kib_before

	ulimit -n 20000
	family "$1"
	lab_up
	flow_server
	up
	rules '100 in tcp to any port 7000 proxy'
	start_ready shuntd gw prlimit --nofile=20000:20000 "$LAB_BUILD/shuntd"
	pid=$(worker)
	fds_before=$(fds "$pid")
	kib_before=$(kib "$pid" RssAnon)
	start held cl "$flowgen" hold $n "$SV_U:7000" --stuck 400
	wait_for 60 "[[ -s $T/held.out ]]"
	same 'flows that were served' "$(jq .served "$T/held.out")" $n
	becomes active $n proxied active
	same 'descriptors for these' $(($(fds "$pid") - fds_before)) $((2 * n))
	[[ $(lab_sanitizer) != none ]] || at_most 'bytes of user memory for each' \
		$((($(kib "$pid" RssAnon) - kib_before) * 1024 / n)) 500
	in_ns cl "$flowgen" client "$SV_U:7000" -n 50 -c 20 >&2
	same 'idle flows that answer' "$(held_answers held)" $n
	stop held
	wait_for 20 '(($(proxied active) == 0))'
}

for fam in 4 6; do
	for splice in never always; do
		check "RES-02-$splice-v$fam" "errors of the system (splice $splice, IPv$fam)" \
			faults $fam $splice
		check "RES-11-$splice-v$fam" "one thick stream and many thin (splice $splice, IPv$fam)" \
			fairness $fam $splice
	done
	check "RES-03-v$fam" "more connections than allowed (IPv$fam)" overshoot $fam
	check "RES-04-v$fam" "budgets of descriptors (IPv$fam)" budget $fam
	check "RES-05-v$fam" "a limit of memory (IPv$fam)" memory_limit $fam
	check "RES-06-v$fam" "nothing leaks from round to round (IPv$fam)" leaks $fam
	check "RES-08-v$fam" "the table of flows overflows (IPv$fam)" table_full $fam
	check "RES-09-v$fam" "the ring of events overflows (IPv$fam)" events_full $fam
	check "RES-10-v$fam" "links and routing rules come and go (IPv$fam)" netlink_storm $fam
	check "RES-13-fifo-v$fam" "nobody reads the log (IPv$fam)" log_blocked $fam
	check "RES-13-disk-v$fam" "the disk of the log is full (IPv$fam)" log_full $fam
	check -t 120 "RES-04-idle-v$fam" "9,500 idle flows at 20,000 descriptors (IPv$fam)" \
		idle_thousands $fam
	check "RES-01-v$fam" "descriptors run out, limit by itself (IPv$fam)" descriptors $fam --workers 2
	check "RES-01-one-v$fam" "the same with one worker (IPv$fam)" descriptors $fam --workers 1
done

story_run "$@"
