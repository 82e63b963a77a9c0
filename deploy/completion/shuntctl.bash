# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bash completion of shuntctl: commands, options, interfaces, sets, files, words of a rule.

_shuntctl_words() {
	# Commands and options are what the program's own help lists.
	local help

	help=$(shuntctl "$@" --help 2>/dev/null) || return 0
	sed -nE '/^commands:/,/^$/s/^  ([a-z]+) ?([a-z]*) .*/\1 \2/p' <<<"$help"
	sed -nE 's/^  (-[a-zA-Z], )?(--[a-z-]+).*/\2/p' <<<"$help"
}

_shuntctl_interfaces() {
	sed -nE 's/^ *([^:]+):.*/\1/p' /proc/net/dev
}

_shuntctl_sets() {
	shuntctl set list 2>/dev/null | sed 's/:.*//'
}

# The words of a rule: as the grammar lists them, and those that are values.
_shuntctl_rule_words() {
	shuntctl rule add --help | sed -nE '/^MATCH/,/^ADDRS/s/^  ([a-z]+).*/\1/p'
	echo any not open closed src rule
}

_shuntctl_kinds() {
	shuntctl rule check --help | sed -nE '/^kinds/,$s/^  ([a-z-]+) .*/\1/p'
}

_shuntctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words command=''
	local w

	for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $w == -* ]] || command+=${command:+ }$w
	done
	case "$prev $command" in
	--kind\ *) words=$(_shuntctl_kinds) ;;
	-i\ * | --interface\ * | --peer\ *) words=$(_shuntctl_interfaces) ;;
	-f\ * | --file\ * | *\ apply | *\ rule\ check | *\ set\ load\ *)
		if [[ $cur != -* ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return 0
		fi
		read -ra w <<<"$command"
		words=$(_shuntctl_words "${w[@]}" | grep '^--')
		;;
	--hook\ *) words='auto tcx clsact' ;;
	--deliver\ *) words='rule loopback' ;;
	on\ * | dev\ *) words=$(_shuntctl_interfaces) ;;
	from\ rule\ add* | to\ rule\ add* | not\ rule\ add*)
		words="any not $(_shuntctl_sets | sed 's/^/@/')"
		;;
	*\ rule\ add*) words=$(_shuntctl_rule_words) ;;
	*\ set\ add | *\ set\ load | *\ set\ del | *\ set\ list) words=$(_shuntctl_sets) ;;
	*\ set\ add\ *[.:]*) words=timeout ;;
	*\ explain) words='in out' ;;
	in\ explain*) words=$(_shuntctl_interfaces) ;;
	*\ rule | *\ target | *\ set | *\ hop | *\ proxy) words=$(_shuntctl_words | sed -nE "s/^$command //p") ;;
	*\ ) words=$(_shuntctl_words | sed -E 's/^([a-z]+) .*/\1/' | sort -u) ;;
	*)
		read -ra w <<<"$command"
		words=$(_shuntctl_words "${w[@]}" | grep '^--')
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _shuntctl shuntctl
