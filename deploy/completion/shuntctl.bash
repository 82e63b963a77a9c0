# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bash completion of shuntctl: commands, options, interfaces, words of a rule.

_shuntctl_words() {
	# Commands and options are what the program's own help lists.
	local help

	help=$(shuntctl "$@" --help 2>/dev/null) || return 0
	sed -nE '/^commands:/,/^$/s/^  ([a-z]+) ?([a-z]*) .*/\1 \2/p' <<<"$help"
	sed -nE 's/^  (-[a-zA-Z], )?(--[a-z]+).*/\2/p' <<<"$help"
}

_shuntctl_interfaces() {
	sed -nE 's/^ *([^:]+):.*/\1/p' /proc/net/dev
}

_shuntctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words command=''
	local rule='in out on tcp udp from sport to port uid any not'
	local w

	rule+=' pass drop proxy fail open closed'

	for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		[[ $w == -* ]] || command+=${command:+ }$w
	done
	case "$prev $command" in
	-i\ * | --interface\ *) words=$(_shuntctl_interfaces) ;;
	-f\ * | --file\ *)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return 0
		;;
	--hook\ *) words='auto tcx clsact' ;;
	on\ *) words=$(_shuntctl_interfaces) ;;
	*\ rule\ add*) words=$rule ;;
	*\ explain) words='in out' ;;
	in\ explain*) words=$(_shuntctl_interfaces) ;;
	*\ rule | *\ target | *\ set | *\ proxy) words=$(_shuntctl_words | sed -nE "s/^$command //p") ;;
	*\ ) words=$(_shuntctl_words | sed -E 's/^([a-z]+) .*/\1/' | sort -u) ;;
	*)
		read -ra w <<<"$command"
		words=$(_shuntctl_words "${w[@]}" | grep '^--')
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _shuntctl shuntctl
