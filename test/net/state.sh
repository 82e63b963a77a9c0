#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# state.sh [--host]: print what shunt might change in this network namespace, one fact a line,
# so that two of these can be compared. With --host, also what it might leave on the machine.

set -euo pipefail

tools=${LAB_TOOLS:-$(dirname "$0")/../../build/test}

# Values that change by themselves.
volatile='nf_conntrack_count|nf_conntrack_max|tcp_fastopen_key|stable_secret|\.base_reachable'

show() {
	local title=$1

	shift
	"$@" 2>/dev/null | sed "s/^/$title: /" || true
}

links() {
	ip -o link | sed -E 's/^[0-9]+: ([^:@]+).*/\1/'
}

main() {
	local family dev hook

	for family in -4 -6; do
		show "rule $family" ip "$family" rule
		# Lifetimes and gateways learnt by the kernel come and go.
		ip "$family" -d route show table all | sed -E 's/ expires [0-9]+sec//' | sort |
			sed "s/^/route $family: /"
	done
	show link ip -o -d link | sed -E 's/(_timer) +[0-9.]+/\1/g' # of bridges and their ports
	while read -r dev; do
		show "addr $dev" ip -o addr show dev "$dev"
		show "qdisc $dev" tc qdisc show dev "$dev"
		for hook in ingress egress; do
			show "filter $dev $hook" tc -d filter show dev "$dev" "$hook"
		done
		[[ ! -x $tools/tcx ]] || show "tcx $dev" "$tools/tcx" list "$dev"
	done < <(links)
	sysctl -a 2>/dev/null | grep '^net\.' | grep -vE "$volatile" | sort | sed 's/^/sysctl: /'
	show bpffs find /sys/fs/bpf -mindepth 1
	[[ ${1-} == --host ]] || return 0
	show netns find /run/netns -mindepth 1
	show run find /run/shunt
	show cgroup find /sys/fs/cgroup -type d -name 'shunt-*'
	for hook in prog map link; do
		echo "bpf $hook: $(bpftool "$hook" list 2>/dev/null | grep -c 'name shunt')" || true
	done
}

main "$@"
