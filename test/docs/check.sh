#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What is written is true: manual pages and help say the same, every counter and map is
# described, commands and rules of the docs exist and are accepted, the quickstart runs.

# shellcheck source-path=SCRIPTDIR disable=SC2016 # the backquotes are those of Markdown

# shellcheck source=../net/lib.sh
. "$(dirname "$0")/../net/lib.sh"

ROOT=$(cd "$LAB_DIR/../.." && pwd)
SHUNTCTL=$LAB_BUILD/shuntctl
SHUNTD=$LAB_BUILD/shuntd
DOCS=("$ROOT/README.md" "$ROOT"/docs/*.md)

# same_lists WHAT LEFT RIGHT: two lists, a word or line each
same_lists() {
	[[ -n $2 ]] || fail "no $1 found: this check is blind" || return 1
	diff -U0 <(sort -u <<<"$2") <(sort -u <<<"$3") >&2 || fail "$1 differ"
}

# ---- manual pages and help -----------------------------------------------------------------------

commands() {
	"$SHUNTCTL" --help | sed -nE '/^commands:/,/^$/s/^  ([a-z]+( [a-z]+)?)  .*/\1/p'
}

options_of_help() {
	"$@" --help | sed -nE 's/^ +(-[a-zA-Z], *)?--([a-z-]+).*/\2/p'
}

letters_of_help() {
	"$@" --help | sed -nE 's/^ +-([a-zA-Z]), *--.*/\1/p'
}

# options_of_man PAGE: names of .It lines
options_of_man() {
	grep -E '^\.It Fl' "$ROOT/docs/man/$1" | grep -oE '(^| )Fl -[a-z-]+' | sed 's/.*Fl -//'
}

letters_of_man() {
	sed -nE 's/^\.It Fl ([a-zA-Z]) .*/\1/p' "$ROOT/docs/man/$1"
}

man_of_shuntctl() {
	local command all='' letters=''

	while read -r command; do
		# shellcheck disable=SC2086 # words of the command
		all+=$(options_of_help "$SHUNTCTL" $command)$'\n'
		# shellcheck disable=SC2086
		letters+=$(letters_of_help "$SHUNTCTL" $command)$'\n'
	done < <(commands)
	same_lists 'options of shuntctl in help and manual' "$(sed '/^$/d' <<<"$all")" \
		"$(options_of_man shuntctl.8)"
	same_lists 'letters of shuntctl in help and manual' "$(sed '/^$/d' <<<"$letters")" \
		"$(letters_of_man shuntctl.8)"
	same_lists 'commands in help and synopsis' "$(commands)" \
		"$(sed -nE '/^\.Sh SYN/,/^\.Sh DESC/s/^\.Cm ([a-z]+( [a-z]+)?)$/\1/p' \
			"$ROOT/docs/man/shuntctl.8" | grep -v '^tcp')"
	same_lists 'commands in help and description' "$(commands)" \
		"$(sed -nE 's/^\.It Cm (.*)/\1/p' "$ROOT/docs/man/shuntctl.8")"
}

man_of_shuntd() {
	same_lists 'options of shuntd in help and manual' "$(options_of_help "$SHUNTD")" \
		"$(options_of_man shuntd.8)"
	same_lists 'letters of shuntd in help and manual' "$(letters_of_help "$SHUNTD")" \
		"$(letters_of_man shuntd.8)"
	# The synopsis has them all but those that only print.
	same_lists 'options of shuntd in manual and synopsis' \
		"$(options_of_man shuntd.8 | grep -vxE 'help|version|config|target')" \
		"$(sed -nE '/^\.Sh SYN/,/^\.Sh DESC/s/^\.Op Fl -([a-z-]+).*/\1/p' \
			"$ROOT/docs/man/shuntd.8")"
}

# Defaults that help shows stand in the manual's paragraph of that option.
defaults_of_shuntd() {
	local option value text n=0

	while read -r option value; do
		text=$(sed -n "/^\.It.* Fl -$option/,/^\.It Fl/p" "$ROOT/docs/man/shuntd.8" |
			sed 1d)
		grep -qE "(^|[^a-z0-9])$value([^a-z0-9]|$)" <<<"$text" ||
			fail "the manual does not say that --$option is $value"
		n=$((n + 1))
	done < <("$SHUNTD" --help | sed -nE 's/^ .*--([a-z-]+) .*\(([a-z0-9]+)\)$/\1 \2/p')
	at_least 'defaults found' $n 5
}

# rows_of_settings RANGE: "| `name` | value | meaning | default |" of the lines of --help
rows_of_settings() {
	"$SHUNTD" --help | sed -n "$1" | awk '
		/^  (-., |    )(--|  )[a-z]/ {
			name = value = substr($0, 9, 26)
			sub(/ .*/, "", name)
			sub(/^[^ ]+ +/, "", value)
			sub(/ +$/, "", value)
			sub(/\|/, " or ", value)
			meaning = substr($0, 36)
			initial = ""
			if (match(meaning, / \([^()]*\)$/)) {
				initial = substr(meaning, RSTART + 2, RLENGTH - 3)
				meaning = substr(meaning, 1, RSTART - 1)
			}
			if (name !~ /^(config|takeover|version|help)$/)
				printf "| `%s` | %s | %s | %s |\n", name, value, meaning, initial
		}'
}

reference_of_settings() {
	same_lists 'settings of the process in help and shuntd.md' \
		"$(rows_of_settings '/^Options (/,/^$/p')" \
		"$(sed -n '/^### Of the process/,/^### /p' "$ROOT/docs/shuntd.md" | grep '^| `')"
	same_lists 'settings of a target in help and shuntd.md' \
		"$(rows_of_settings '/^Options of/,/^The keys/p')" \
		"$(sed -n '/^### Of a target/,/^##* [^O]/p' "$ROOT/docs/shuntd.md" | grep '^| `')"
}

# Each YAML block of the docs is a file that shuntd takes: it then finds no network namespace.
files_of_settings() {
	local n=0 file

	mkdir "$T/yaml"
	cat "$ROOT"/docs/{shuntd,operations,learning}.md | awk -v dir="$T/yaml" '
		/^```yaml$/ { n++; inside = 1; next }
		/^```$/ { inside = 0 }
		inside { print >(dir "/" n ".yml") }'
	sed -n '/^\.Sh EXAMPLES/,$p' "$ROOT/docs/man/shuntd.8" | sed -n '/^\.Bd/,/^\.Ed/p' |
		sed '/^\./d' >"$T/yaml/man.yml"
	for file in "$T"/yaml/*; do
		must_fail 1 "cannot open network namespace '/nothing'" \
			"$SHUNTD" -c "$file" --netns /nothing || fail "$(<"$file")"
		n=$((n + 1))
	done
	at_least 'files' $n 2
}

# ---- names in the code and in the docs -----------------------------------------------------------

# rows_of_macro FILE MACRO: "| `name` | sentence |" of each X(id, "name", "sentence")
rows_of_macro() {
	sed -n "/define $2(X)/,/^$/p" "$1" |
		grep -oE 'X\([A-Z0-9_]+,\s+"[a-z0-9_-]+",\s+"[^"]*"\)' |
		sed -E 's/[^"]*"([^"]*)"[^"]*"([^"]*)".*/| `\1` | \2 |/'
}

described_counters() {
	local rows

	rows=$(rows_of_macro "$ROOT/include/shunt/abi.h" SHUNT_COUNTERS)
	same 'counters' "$(wc -l <<<"$rows")" \
		"$(grep -cE '^\s+X\(' "$ROOT/include/shunt/abi.h")"
	same_lists 'counters in abi.h and operations.md' "$rows" \
		"$(sed -n '/^## Counters/,/^## /p' "$ROOT/docs/operations.md" | grep '^| `')"
}

described_reasons() {
	same_lists 'reasons in counters.h and operations.md' \
		"$(rows_of_macro "$ROOT/proxy/counters.h" FLOW_REASONS)" \
		"$(sed -n '/^| end |/,/^$/p' "$ROOT/docs/operations.md" | grep '^| `')"
}

described_counters_of_shuntd() {
	local rows

	rows=$(rows_of_macro "$ROOT/proxy/counters.h" COUNTERS)
	same 'counters of shuntd' "$(wc -l <<<"$rows")" \
		"$(sed -n '/define COUNTERS(X)/,/^$/p' \
			"$ROOT/proxy/counters.h" | grep -cE '^\s+X\(')"
	same_lists 'counters of shuntd in counters.h and operations.md' "$rows" \
		"$(sed -n '/^| counter | of a thread/,/^$/p' "$ROOT/docs/operations.md" | grep '^| `')"
}

# The tables of fixed size are most of it, so it is much the same on every machine.
described_memory() {
	local said is

	said=$(grep -oE '[0-9]+ MB for an instance without rules' "$ROOT/docs/operations.md" |
		cut -d' ' -f1)
	"$SHUNTCTL" up -f /dev/null
	is=$(("$("$SHUNTCTL" --json status | jq .memory.all)" / 1000000))
	"$SHUNTCTL" down
	at_most "MB of an instance, where $said are said" $is $((said * 5 / 4))
	at_least "MB of an instance, where $said are said" $is $((said * 3 / 4))
}

described_findings() {
	same_lists 'findings in shunt.h and rules.md' \
		"$(rows_of_macro "$ROOT/include/shunt/shunt.h" SHUNT_FINDINGS)" \
		"$(sed -n '/^## Checking/,/^## /p' "$ROOT/docs/rules.md" | grep '^| `')"
}

# keys_of JQ COMMAND...: keys of an object in the output of shuntctl --json
keys_of() {
	"$SHUNTCTL" --json "${@:2}" | jq -r "$1 | keys[]"
}

# row_of COMMAND: the words in the second column of the table of JSON keys
row_of() {
	sed -n '/^## JSON/,/^## /p' "$ROOT/docs/operations.md" | grep -F "| \`$1\` |" |
		cut -d'|' -f3 | grep -oE '`[a-z0-9_]+`' | tr -d '`'
}

described_json() {
	ip link add d0 type veth peer name d1
	ip link set d0 up
	printf '%s\n' 'set one 1.2.3.4' '10 to @one pass' '20 to 1.2.3.4 drop' >"$T/rules"
	"$SHUNTCTL" up -i d0 -f "$T/rules"
	echo 'set two 1.2.3.4' >"$T/other"
	same_lists 'keys of rule list' "$(keys_of '.[0]' rule list)" "$(row_of 'rule list')"
	same_lists 'keys of rule list --sets' \
		"$(keys_of . rule list --sets; keys_of '.sets[0]' rule list --sets)" \
		"$(row_of 'rule list --sets')"
	same_lists 'keys of apply' \
		"$(keys_of . apply -n "$T/other"; keys_of '.sets[0]' apply -n "$T/other")" \
		"$(row_of apply)"
	same_lists 'keys of rule check' "$(keys_of '.[0]' rule check)" "$(row_of 'rule check')"
	same_lists 'keys of status' "$(keys_of . status)" "$(row_of status)"
	same_lists 'keys of explain' \
		"$(keys_of . explain in d0 tcp 10.0.0.1:1 10.0.0.2:2)" "$(row_of explain)"
	"$SHUNTCTL" down
	ip link del d0
}

described_maps() {
	same_lists 'maps in maps.h and architecture.md' \
		"$(sed -nE 's/^\} ([a-z_]+) SEC\("\.maps"\);/\1/p' "$ROOT/bpf/maps.h")" \
		"$(sed -n '/^## Maps/,/^## /p' "$ROOT/docs/architecture.md" |
			sed -nE 's/^\| `([a-z_]+)`.*/\1/p')"
}

# Paths that the docs name exist.
named_files() {
	local doc path n=0

	for doc in "${DOCS[@]}"; do
		while read -r path; do
			n=$((n + 1))
			[[ -e ${doc%/*}/$path ]] ||
				fail "${doc##*/} links to '$path', which is not there"
		done < <(grep -oE '\]\([^)#:]+\)' "$doc" | tr -d '()]')
	done
	at_least 'links' $n 5
	while read -r path; do
		[[ -e $ROOT/$path ]] || fail "the README's tree names '$path', which is not there"
	done < <(sed -n '/^## The tree/,/^## /p' "$ROOT/README.md" | grep -oE '^[a-z]+/')
	for path in "$ROOT"/*/; do
		path=$(basename "$path")
		[[ $path == build* || $path == LICENSES ]] ||
			grep -q "^$path/ " "$ROOT/README.md" ||
			fail "the README's tree does not name '$path/'"
	done
}

# headings FILE: as links to them are written
headings() {
	sed -nE '/^```/,/^```/d; s/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' |
		sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# Headings that the docs link to exist.
named_headings() {
	local doc path heading n=0

	for doc in "${DOCS[@]}"; do
		while IFS='#' read -r path heading; do
			n=$((n + 1))
			path=${path:+${doc%/*}/$path}
			headings "${path:-$doc}" | says -xF -- "$heading" ||
				fail "${doc##*/} links to '#$heading' of '${path:-$doc}', which is not there"
		done < <(grep -oE '\]\([^):]*#[^):]+\)' "$doc" | tr -d '()]')
	done
	at_least 'links' $n 5
}

# ---- commands ----------------------------------------------------------------------------------

# Lines of the docs' sh blocks, without sudo and here-documents.
runnable() {
	cat "${DOCS[@]}" | sed -n '/^```sh$/,/^```$/p' | sed '/^```/d; /<<END/,/^END$/d' |
		sed -E 's/^sudo //; s/^sh -c .(.*).$/\1/; s/ *[<>].*//'
}

# known_options LINE HELP: each --option of the line is in the text
known_options() {
	local option

	while read -r option; do
		grep -qE -- "(^|[ ,|[])$option([ ,]|$)" <<<"$2" || fail "no option '$option': $1"
	done < <(grep -oE ' -(-[a-z-]+|[a-z])\b' <<<"$1")
}

known_command() {
	local line=$1 command

	while read -r command; do
		if [[ " $line " == *"shuntctl $command "* ]]; then
			# shellcheck disable=SC2086 # words of the command
			known_options "$line" "$("$SHUNTCTL" $command --help)"
			return
		fi
	done < <(commands)
	fail "no such command: $line"
}

commands_exist() {
	local line n=0

	while read -r line; do
		n=$((n + 1))
		case $line in
		shuntctl\ * | build/shuntctl\ *) known_command "$line" ;;
		shuntd* | build/shuntd*) known_options "$line" "$("$SHUNTD" --help)" ;;
		deploy/shunt-deploy.sh\ *)
			known_options "$line" "$("$ROOT/deploy/shunt-deploy.sh" --help)" ;;
		test/run.sh*) known_options "$line" "$("$ROOT/test/run.sh" --help)" ;;
		cmake\ *) ;;
		*) fail "the docs have a command this check does not know: $line" ;;
		esac
	done < <(runnable)
	at_least 'commands' $n 10
}

# Rules in here-documents and in `rule add` lines are loaded into an instance.
rules_are_accepted() {
	local n=0 rule

	ip link add x0 type veth peer name x1 # rules with `dev` want it
	"$SHUNTCTL" up -f /dev/null
	sed -n '/<<END$/,/^END$/p' "${DOCS[@]}" | grep -E '^[0-9]+ ' >"$T/lines"
	grep -ohE 'shuntctl rule add [0-9][^`]*' "${DOCS[@]}" "$ROOT"/docs/man/*.8 |
		sed 's/shuntctl rule add //' >>"$T/lines"
	sed -nE 's/^# ([0-9]+ .*)/\1/p' "$ROOT/deploy/rules.example" >>"$T/lines"
	while read -r rule; do
		n=$((n + 1))
		# With the sets that it names.
		sed -nE 's/.*(from|to) (not )?@([a-z0-9]+).*/set \3/p' <<<"$rule" >"$T/rule"
		echo "$rule" >>"$T/rule"
		"$SHUNTCTL" up -f "$T/rule" || fail "the docs have a rule that is refused: $rule"
	done <"$T/lines"
	at_least 'rules' $n 8
	"$SHUNTCTL" down
	ip link del x0
}

# The piece of C of the README compiles.
readme_code() {
	sed -n '/^```c$/,/^```$/p' "$ROOT/README.md" | sed '/^```/d' >"$T/serve.c"
	grep -q shunt_target_set_sockets "$T/serve.c"
	cc -fsyntax-only -std=gnu11 -D_GNU_SOURCE -Wall -Werror -I "$ROOT/include" \
		"$T/serve.c"
}

manual_is_well_formed() {
	mandoc -Tlint -Wwarning "$ROOT"/docs/man/*.8 >&2
}

completion() {
	local -a COMP_WORDS=(shuntctl '') COMPREPLY=()
	local COMP_CWORD=1

	PATH=$LAB_BUILD:$PATH
	# shellcheck source=../../deploy/completion/shuntctl.bash
	. "$ROOT/deploy/completion/shuntctl.bash"
	_shuntctl
	same_lists 'commands in help and completion' "$(commands | cut -d' ' -f1)" \
		"$(printf '%s\n' "${COMPREPLY[@]}" | grep -v '^-')"
	COMP_WORDS=(shuntctl up -i '') COMP_CWORD=3
	_shuntctl
	[[ " ${COMPREPLY[*]} " == *' lo '* ]] || fail "no 'lo' in: ${COMPREPLY[*]}"
	COMP_WORDS=(shuntctl rule add 10 '') COMP_CWORD=4
	_shuntctl
	same_lists 'words of rules in grammar and completion' \
		"$("$SHUNTCTL" rule add --help |
			sed -nE '/^MATCH/,/^ADDRS/s/^  ([a-z]+).*/\1/p'; printf '%s\n' any not open closed src rule)" \
		"$(printf '%s\n' "${COMPREPLY[@]}")"
	COMP_WORDS=(shuntctl apply --d) COMP_CWORD=2
	_shuntctl
	same 'an option with two words' "${COMPREPLY[*]}" --dry-run
	COMP_WORDS=(shuntctl rule check --kind dup) COMP_CWORD=4
	_shuntctl
	same 'a kind of finding' "${COMPREPLY[*]}" duplicate
	COMP_WORDS=(shuntctl apply "$ROOT/READ") COMP_CWORD=2
	_shuntctl
	same 'a file' "${COMPREPLY[*]}" "$ROOT/README.md"
}

quickstart() {
	"$ROOT/deploy/sandbox.sh" "$LAB_BUILD" >"$T/sandbox.out"
	at_least 'lines as expected' "$(grep -c ' ok$' "$T/sandbox.out")" 20
	! grep -q 'NOT AS EXPECTED' "$T/sandbox.out" || fail 'some are not as expected'
}

check DOC-01 'manual and help of shuntctl name the same' man_of_shuntctl
check DOC-02 'manual and help of shuntd name the same' man_of_shuntd
check DOC-03 'manual and help of shuntd give the same defaults' defaults_of_shuntd
check DOC-04 'every counter is described' described_counters
check DOC-05 'every reason for the end of a flow is described' described_reasons
check DOC-06 'every map is described' described_maps
check DOC-19 'every kind of finding of rule check is described' described_findings
check DOC-21 'every counter of shuntd is described' described_counters_of_shuntd
check DOC-22 'the memory that an instance takes is as said' described_memory
check DOC-20 'every key of JSON is described' described_json
check DOC-07 'every file the docs name exists' named_files
check DOC-23 'every heading the docs link to exists' named_headings
check DOC-08 'every command of the docs exists' commands_exist
check DOC-09 'every rule of the docs is accepted' rules_are_accepted
check DOC-10 'the code of the README compiles' readme_code
check DOC-14 'every setting of shuntd has its row in the reference' reference_of_settings
check DOC-15 'every settings file of the docs is accepted' files_of_settings
if command -v mandoc >/dev/null; then
	check DOC-11 'the manual pages are well-formed' manual_is_well_formed
fi
check DOC-12 'completion knows the commands' completion
check -t 120 DOC-13 'the sandbox of the README works' quickstart

story_run "$@"
