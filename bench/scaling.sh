# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Rules and sets by their number: what they cost flows that none of them selects, and what it takes
# to load and change them. There is no proxy; a machine of its own for each case.
#
# Rule i selects what goes to the prefix 20.0.0.0/24 + 512 i: no two are neighbours, so that nothing
# can be merged; and no more, so that each packet (of shunt: the first of each flow) is looked up.

all_kinds=(none iptables-rules iptables-ipset nft-rules nft-set nft-map shunt-rules shunt-set
	   shunt-loopback)
readonly LARGEST_SET=1000000
readonly TPROXY=(-j TPROXY --on-ip 127.0.0.1 --on-port "$LISTEN" --tproxy-mark 1)

# kind_sizes KIND
kind_sizes() {
	case $1 in
	none) echo 0 ;;
	*) echo "${SIZES[@]}" ;;
	esac
	case $1 in
	*set | shunt-loopback) [[ $SHORT ]] || echo $LARGEST_SET ;;
	esac
}

# kind_needs KIND: programs
kind_needs() {
	case $1 in
	iptables-ipset) echo iptables-legacy ipset ;;
	iptables-*) echo iptables-legacy ;;
	nft-*) echo nft ;;
	esac
}

# prefixes FIRST N FORM: lines of FORM, an awk format, for N prefixes from number FIRST on
prefixes() {
	awk -v first="$1" -v n="$2" -v form="$3\n" 'BEGIN {
		for (i = first; i < first + n; i++) {
			a = 20 * 16777216 + i * 512
			printf form, sprintf("%d.%d.%d.0/24", a / 16777216, a / 65536 % 256,
					     a / 256 % 256), i + 100
		}
	}'
}

# ---- files -----------------------------------------------------------------------------------

nft_head() {
	echo 'table ip bench { chain proxied {'
	echo "meta l4proto { tcp, udp } tproxy to 127.0.0.1:$LISTEN meta mark set 1 accept"
	echo '}'
}

nft_hook() {
	echo 'chain prerouting { type filter hook prerouting priority mangle;'
}

# kind_file KIND N: what its command reads
kind_file() {
	case $1 in
	iptables-rules)
		echo '*mangle'
		prefixes 0 "$2" "-A PREROUTING -d %s -p tcp ${TPROXY[*]}"
		echo COMMIT
		;;
	iptables-ipset)
		echo "create bench hash:net maxelem $((2 * LARGEST_SET))"
		prefixes 0 "$2" 'add bench %s'
		;;
	nft-rules)
		nft_head
		nft_hook
		prefixes 0 "$2" 'ip daddr %s goto proxied'
		printf '}\n}\n'
		;;
	nft-set)
		nft_head
		echo 'set s { type ipv4_addr; flags interval; elements = {'
		prefixes 0 "$2" '%s,'
		printf '}\n}\n'
		nft_hook
		echo 'ip daddr @s goto proxied'
		printf '}\n}\n'
		;;
	nft-map)
		nft_head
		echo 'map m { type ipv4_addr : verdict; flags interval; elements = {'
		prefixes 0 "$2" '%s : goto proxied,'
		printf '}\n}\n'
		nft_hook
		echo 'ip daddr vmap @m'
		printf '}\n}\n'
		;;
	shunt-rules) prefixes 0 "$2" '%s %d' | awk '{ print $2, "in to", $1, "proxy" }' ;;
	shunt-set | shunt-loopback) prefixes 0 "$2" '%s' ;;
	esac
}

# ---- loading and changing ----------------------------------------------------------------------

# kind_prepare KIND: what is there before anything is loaded
kind_prepare() {
	case $1 in
	shunt-loopback) in_ns host "$BUILD/shuntctl" up -i lan0 -i wan0 --deliver loopback ;;
	shunt-*) in_ns host "$BUILD/shuntctl" up -i lan0 -i wan0 ;;
	esac
}

# kind_load KIND FILE
kind_load() {
	local protocol

	case $1 in
	iptables-rules) in_ns host iptables-legacy-restore <"$2" ;;
	iptables-ipset)
		in_ns host ipset restore <"$2" || return 1
		for protocol in tcp udp; do
			in_ns host iptables-legacy -t mangle -A PREROUTING -p $protocol -m set \
				--match-set bench dst "${TPROXY[@]}" || return 1
		done
		;;
	nft-*) in_ns host nft -f "$2" ;;
	shunt-rules) in_ns host "$BUILD/shuntctl" apply "$2" ;;
	shunt-set | shunt-loopback)
		in_ns host "$BUILD/shuntctl" set load bench "$2" || return 1
		in_ns host "$BUILD/shuntctl" rule add '100 in to @bench proxy'
		;;
	esac
}

# kind_add KIND I: one more entry, the I-th
kind_add() {
	local prefix

	prefix=$(entry "$2")
	case $1 in
	iptables-rules)
		in_ns host iptables-legacy -t mangle -A PREROUTING -d "$prefix" -p tcp \
			"${TPROXY[@]}"
		;;
	iptables-ipset) in_ns host ipset add bench "$prefix" ;;
	nft-rules)
		in_ns host nft add rule ip bench prerouting ip daddr "$prefix" goto proxied
		;;
	nft-set) in_ns host nft add element ip bench s "{ $prefix }" ;;
	nft-map) in_ns host nft add element ip bench m "{ $prefix : goto proxied }" ;;
	shunt-rules)
		in_ns host "$BUILD/shuntctl" rule add "$((300000 + $2)) in to $prefix proxy"
		;;
	shunt-set | shunt-loopback) in_ns host "$BUILD/shuntctl" set add bench "$prefix" ;;
	esac
}

# entry I: its prefix. Not of prefixes(): that forks, and this is within what is timed.
entry() {
	local a=$((20 * 16777216 + $1 * 512))

	echo "$((a >> 24)).$((a >> 16 & 255)).$((a >> 8 & 255)).0/24"
}

# Of the kernel's, in bytes, as far as it says so.
kind_memory() {
	case $1 in
	iptables-ipset) in_ns host ipset list -t bench | sed -n 's/^Size in memory: //p' ;;
	shunt-*)
		in_ns host "$BUILD/shuntctl" --json status | tr ',{}' '\n' |
			sed -nE 's/^ *"rules_used": *([0-9]+).*/\1/p' | head -n 1
		;;
	*) echo $(($(kernel_memory) - $2)) ;;
	esac
}

# What the kernel has allocated for itself: of the whole machine, so others are in it.
kernel_memory() {
	awk '/^(Slab|VmallocUsed):/ { n += $2 } END { printf "%.0f\n", n * 1024 }' /proc/meminfo
}

# ---- measuring -------------------------------------------------------------------------------

milliseconds_since() {
	local us=$((${EPOCHREALTIME/./} - $1))

	printf '%d.%03d' $((us / 1000)) $((us % 1000))
}

# scale_connections [SECONDS]: new connections that no rule selects
scale_connections() {
	in_ns client timeout 60 "$TOOLS/relay-load" connections "$SERVER" $FIRST_ECHO-$LAST_ECHO \
		-s 1 -P 16 -t "${1:-$SCALE_SECONDS}" -w 0.1
}

# changes KIND FIRST: entries are added while connections are made; prints ["ms",...] and leaves
# what the connections were in $T/changing
changes() {
	local i begin list='' load

	scale_connections >"$T/changing" 2>"$T/error" &
	load=$!
	for ((i = 0; i < 200; i++)); do
		begin=${EPOCHREALTIME/./}
		kind_add "$1" $(($2 + i)) >/dev/null || return 1
		list+=,$(milliseconds_since "$begin")
		# Three at least, but of what takes seconds one will do.
		((i < 2 && ${EPOCHREALTIME/./} - begin < 2000000)) || kill -0 $load 2>/dev/null || break
	done
	wait $load || return 1
	echo "[${list#,}]"
}

# scale_case KIND N: fields of JSON
scale_case() {
	local before begin result

	kind_prepare "$1" >&2 || return 1
	before=$(kernel_memory)
	begin=${EPOCHREALTIME/./}
	if [[ $1 != none ]]; then
		kind_load "$1" "$T/case" >&2 || return 1
		printf '"load_ms":%s,"memory":%s,' "$(milliseconds_since "$begin")" \
			"$(kind_memory "$1" "$before")"
	fi
	result=$(scale_connections) || return 1
	printf '"connections":%s,' "$result"
	result=$(in_ns client timeout 60 "$TOOLS/relay-load" datagrams "$SERVER" $OTHER_PACKETS \
		-n /run/netns/server -P 16 -t "$SCALE_SECONDS" -w 0.1) || return 1
	printf '"packets":%s' "$result"
	[[ $1 != none ]] || return 0
	result=$(changes "$1" "$2") || return 1
	printf ',"change_ms":%s,"changing":%s' "$result" "$(cat "$T/changing")"
}

# scale_measure ROUND KIND N
scale_measure() {
	local round=$1 kind=$2 n=$3 line reason

	kind_file "$kind" "$n" >"$T/case"
	lab_up
	if line=$(scale_case "$kind" "$n" 2>"$T/error"); then
		printf '{"round":%d,"kind":"%s","n":%d,%s}\n' "$round" "$kind" "$n" "$line" >>"$OUT/scaling"
		progress "$round" "$kind" "$n" "$("$REPORT" --scaling-line "{$line}")"
	else
		reason=$(head -n 2 "$T/error" | tr -c '[:alnum:] .,:()=-' ' ')
		printf '{"round":%d,"kind":"%s","n":%d,"failed":"%s"}\n' "$round" "$kind" "$n" \
			"$reason" >>"$OUT/scaling"
		progress "$round" "$kind" "$n" "FAILED: $reason"
	fi
	in_ns host "$BUILD/shuntctl" down
	lab_down
}

# All kinds, another one first in each round.
scale_rounds() {
	local round i kind n k=${#KINDS[@]}

	for ((round = 1; round <= SCALE_ROUNDS; round++)); do
		for ((i = 0; i < k; i++)); do
			kind=${KINDS[(i + round - 1) % k]}
			for n in $(kind_sizes "$kind"); do
				scale_measure $round "$kind" "$n"
			done
		done
	done
}
