#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# shunt-deploy.sh: set a Debian host up with shunt, show what is set up, or take it away. See
# usage below. Uses shuntctl and shuntd alone: no iptables, no nft, no ip, no tc.

set -euo pipefail
shopt -s extglob
export LC_ALL=C

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
ETC=/etc/shunt
RECORD=$ETC/deployed	# what a deployment made, for the next run and for --remove
FILES=$ETC/installed	# its files and directories
RUN=/run/shunt
PID_FILE=$RUN/shuntd.pid # without systemd
LOG_FILE=$RUN/shuntd.log

BUILD=$SOURCE/build
VERB=deploy
PREFIX=
INTERFACES=()
OUT=
RULES=
SOURCE_MODE=proxy
TARGET=default
PACKAGES=yes
CHANGED=		# what is not as it runs: programs, or options (and perhaps programs)
OLD_TARGET=		# of the shuntd that runs

usage() {
	cat <<-END
	usage: shunt-deploy.sh --sandbox
	       shunt-deploy.sh -i IFACE [-i IFACE ...] [--out] [-f RULES] [--source MODE]
	                       [--target NAME] [--prefix DIR] [--no-install-packages]
	       shunt-deploy.sh --status | --remove

	Install what is missing of Debian's packages, build, install, steer the flows that rules
	choose to shuntd, and show the outcome. Run again, it changes only what is different.

	  --sandbox      the same in throwaway network namespaces, with real requests: see it work
	                 without touching this host
	  -i IFACE       steer what arrives on this interface; may be repeated
	  --out          steer also flows of this host that leave by these interfaces
	  -f RULES       file of rules (docs/rules.md); copied to $ETC/rules. Without it the rules
	                 in force stay; if nothing is up, those of that file are taken
	  --source MODE  address that servers see: proxy, client or client-port (proxy)
	  --target NAME  name under which rules refer to shuntd (default)
	  --prefix DIR   where to install (/usr/local)
	  --build DIR    where to build (build/)
	  --no-install-packages
	                 what is needed is there already
	  --status       what is deployed, and is it well? Exit 1 if not
	  --remove       take everything away, installed files too; packages stay

	Exit 0 done, 1 failed, 2 for usage.
	END
}

say() {
	echo "== $*"
}

note() {
	echo "   note: $*"
}

die() {
	echo "shunt-deploy: $*" >&2
	exit 1
}

usage_error() {
	echo "shunt-deploy: $*; try --help" >&2
	exit 2
}

parse_arguments() {
	while (($#)); do
		case $1 in
		-i | -f | --source | --target | --prefix | --build)
			(($# > 1)) || usage_error "option '$1' needs a value"
			;;&
		--sandbox | --status | --remove) VERB=${1#--} ;;
		-i) INTERFACES+=("$2"); shift ;;
		--out) OUT=--out ;;
		-f) RULES=$2; shift ;;
		--source) SOURCE_MODE=$2; shift ;;
		--target) TARGET=$2; shift ;;
		--prefix) PREFIX=$(realpath -m "$2"); shift ;;
		--build) BUILD=$(realpath -m "$2"); shift ;;
		--no-install-packages) PACKAGES= ;;
		-h | --help) usage; exit 0 ;;
		*) usage_error "unknown argument '$1'" ;;
		esac
		shift
	done
	case $SOURCE_MODE in
	proxy | client | client-port) ;;
	*) usage_error "--source '$SOURCE_MODE': one of proxy, client, client-port" ;;
	esac
	# They go through a file whose values are split at blanks.
	[[ $TARGET =~ ^[A-Za-z0-9_.-]{1,31}$ ]] ||
		usage_error "--target '$TARGET': 1 to 31 of letters, digits, '.', '_', '-'"
	[[ $VERB != deploy || ${#INTERFACES[@]} != 0 ]] || usage_error 'name an interface with -i'
}

# ---- checks before anything is changed ----------------------------------------------------------

# Of the caller's network namespace, whatever /sys shows.
interface_exists() {
	grep -qxF -- "$1" <<<"$(sed -nE 's/^ *([^:]+):.*/\1/p' /proc/net/dev)"
}

check_arguments() {
	local i

	for i in "${INTERFACES[@]}"; do
		interface_exists "$i" || die "no such interface '$i'; there are: $(sed -nE \
			's/^ *([^:]+):.*/\1/p' /proc/net/dev | grep -vx lo | xargs)"
	done
	[[ -z $RULES || -r $RULES ]] || die "cannot read the rules '$RULES'"
	# It is copied to another directory, where such a path would lead elsewhere.
	[[ -z $RULES || $RULES -ef $ETC/rules ]] ||
		! grep -qE '^[[:blank:]]*set[[:blank:]]+[^[:blank:]]+[[:blank:]]+file[[:blank:]]+[^/[:blank:]]' "$RULES" ||
		die "'$RULES': give the files of sets with their whole paths, '/...'"
}

# systemd runs services in the network namespace of process 1.
has_systemd() {
	[[ -d /run/systemd/system && /proc/1/ns/net -ef /proc/self/ns/net ]]
}

# Load programs and rules in a namespace of their own first: a wrong rule, or a kernel that
# cannot, changes nothing here.
check_kernel_and_rules() {
	local rules=${RULES:-$SOURCE/deploy/rules.example}

	[[ -z $RULES && -e $ETC/rules ]] && rules=$ETC/rules
	# The flags say: lo is up (IFF_UP, IFF_LOOPBACK), or it takes no IPv6 route.
	# shellcheck disable=SC2016 # for the inner shell
	unshare --net --mount sh -ec '
		mount --make-rprivate /
		mount -t sysfs sysfs /sys
		echo 0x9 >/sys/class/net/lo/flags
		mount -t bpf bpf /sys/fs/bpf
		"$1" up -f "$2"' sh "$BUILD/shuntctl" "$rules" ||
		die "a trial in a namespace of its own failed, as said above; nothing was changed"
}

# ---- packages and build --------------------------------------------------------------------------

# install_packages build|test
install_packages() {
	[[ -n $PACKAGES ]] || return 0
	say 'packages'
	command -v apt-get >/dev/null ||
		die 'this is not Debian: see docs/operations.md, and add --no-install-packages'
	"$SOURCE/deploy/packages.sh" "$1" ||
		die 'cannot install packages: is the network up, and is this Debian 12?'
}

build() {
	local log=$BUILD/deploy.log units=lib/systemd/system

	say "build, in $BUILD"
	# systemd looks for units below /usr, /usr/local and /etc alone.
	[[ $PREFIX == /usr/local || $PREFIX == /usr ]] || units=/etc/systemd/system
	mkdir -p "$BUILD"
	{
		cmake -S "$SOURCE" -B "$BUILD" -DSHUNT_SANITIZE=none \
			-DCMAKE_INSTALL_PREFIX="$PREFIX" -DSHUNT_UNIT_DIR=$units &&
			cmake --build "$BUILD" --parallel "$(nproc)" --target shuntctl shuntd
	} >"$log" 2>&1 && return 0
	tail -n 20 "$log" >&2
	die "cannot build; the whole log is '$log'"
}

# ---- installing ----------------------------------------------------------------------------------

# The installed one; if somebody has deleted that, the one that was built.
shuntctl_path() {
	if [[ -x $PREFIX/sbin/shuntctl ]]; then
		echo "$PREFIX/sbin/shuntctl"
	else
		echo "$BUILD/shuntctl"
	fi
}

shuntctl() {
	"$(shuntctl_path)" "$@"
}

is_up() {
	shuntctl status >/dev/null 2>&1
}

up_options() {
	echo "${INTERFACES[*]/#/-i }${OUT:+ $OUT}"
}

# The value of a variable in one of our files.
value_of() {
	sed -nE "s/^$1=\"?([^\"]*)\"?$/\1/p" "$2" 2>/dev/null || true
}

# What this script wrote it may replace and remove; a file of somebody else it may not.
own_rules() {
	record RULES_SUM "$(sha256sum <"$ETC/rules")"
}

rules_are_ours() {
	[[ ! -e $ETC/rules ||
		$(sha256sum <"$ETC/rules") == "$(value_of RULES_SUM "$RECORD")" ]]
}

# The rules and sets in force. What is in sets for a time is no part of them: it stays there, and
# saved it would differ from what is in force by the time it is looked at.
rules_in_force() {
	shuntctl rule list --sets | sed -E 's/^(set [^ ]+) [^ ]+ timeout .*/\1/' | uniq
}

# Sets in force that the file does not define: it makes no difference to them while they are there.
sets_beside_the_file() {
	comm -23 <(shuntctl set list | cut -d: -f1 | sort) \
		<(awk '$1 == "set" { print $2 }' "$ETC/rules" | sort -u)
}

# Without -f the rules in force stay, also those changed by hand since: `up` will read the file.
keep_rules() {
	local rules

	[[ -z $RULES ]] || return 0
	is_up || return 0
	if [[ -e $ETC/rules && $(shuntctl apply --dry-run "$ETC/rules") == 'no difference' ]]; then
		[[ -n $(sets_beside_the_file) ]] || return 0
		# They stay as they are, unless the steering is made anew.
		rules_are_ours || [[ -n $(why_anew) ]] || return 0
	fi
	rules_are_ours || die "rules or sets in force differ from $ETC/rules, which was edited:" \
		"give -f $ETC/rules, or save the others with 'shuntctl rule list --sets'"
	rules=$(rules_in_force) ||
		die "'shuntctl rule list --sets' failed, as said above"
	say "save the rules in force, in $ETC/rules"
	mkdir -p "$ETC"
	record PREFIX "$PREFIX" # a record without it would stop the next run
	echo "$rules" >"$ETC/rules.new"
	mv "$ETC/rules.new" "$ETC/rules"
	own_rules
}

# `up` adds to what is there. Other programs, or something less than before, need a `down`.
why_anew() {
	local old word why=''

	cmp -s "$BUILD/shuntctl" "$PREFIX/sbin/shuntctl" ||
		why='its shuntctl is another version or gone'
	old=$(value_of SHUNT_UP_OPTIONS "$ETC/steer.conf")
	for word in $old; do
		[[ " $(up_options) " == *" $word "* ]] || why="'$word' is no longer wanted"
	done
	echo "$why"
}

make_way() {
	local why

	is_up || return 0
	why=$(why_anew)
	[[ -n $why ]] || return 0
	say "take the old steering down, $why; open flows through the proxy are cut"
	shuntctl down || die "'shuntctl down' failed, as said above"
}

# Which files and directories an installation makes, from a trial below another root.
list_files() {
	local stage

	stage=$(mktemp -d)
	DESTDIR=$stage cmake --install "$BUILD" >/dev/null || { rm -rf "$stage"; return 1; }
	(cd "$stage" && find . ! -type d -printf '/%P\n')
	(cd "$stage" && find . -mindepth 1 -type d -printf '/%P\n') | while read -r dir; do
		[[ -d $dir ]] || echo "$dir/"
	done
	rm -rf "$stage"
}

install_files() {
	local list

	say "install, below $PREFIX"
	cmp -s "$BUILD/shuntctl" "$PREFIX/sbin/shuntctl" &&
		cmp -s "$BUILD/shuntd" "$PREFIX/sbin/shuntd" || CHANGED=programs
	mkdir -p "$ETC"
	list=$(list_files) || die "cannot install from '$BUILD'"
	# Directories that an earlier run made are still ours.
	touch "$FILES"
	sort -u - "$FILES" <<<"$list" >"$FILES.new"
	mv "$FILES.new" "$FILES"
	cmake --install "$BUILD" >/dev/null || die "cannot install below '$PREFIX': see above"
}

# write FILE TEXT: returns 1 if the file says that already
write() {
	[[ -e $1 && $(<"$1") == "$2" ]] && return 1
	echo "$2" >"$1"
}

write_configuration() {
	say "configuration, in $ETC"
	write "$ETC/steer.conf" "# Written by shunt-deploy.sh, for shunt-steer.service
SHUNT_UP_OPTIONS=\"$(up_options)\"" || true
	OLD_TARGET=$(value_of SHUNTD_OPTIONS "$ETC/shuntd.conf")
	OLD_TARGET=${OLD_TARGET#--target }
	OLD_TARGET=${OLD_TARGET%% *}
	write "$ETC/shuntd.conf" "# Written by shunt-deploy.sh, for shuntd.service
SHUNTD_OPTIONS=\"--target $TARGET --source $SOURCE_MODE\"" && CHANGED=options
	[[ -n $RULES || -e $ETC/rules ]] || RULES=$SOURCE/deploy/rules.example
	if [[ -n $RULES && ! $RULES -ef $ETC/rules ]]; then
		cp "$RULES" "$ETC/rules"
		own_rules
	fi
}

# record NAME VALUE
record() {
	{
		grep -v "^$1=" "$RECORD" 2>/dev/null || true
		echo "$1=$2"
	} >"$RECORD.new"
	mv "$RECORD.new" "$RECORD"
}

mount_bpffs() {
	[[ $(stat -f -c %T /sys/fs/bpf 2>/dev/null) != bpf_fs ]] || return 0
	say 'mount bpffs on /sys/fs/bpf'
	mount -t bpf bpf /sys/fs/bpf ||
		die 'cannot mount bpffs: has this kernel CONFIG_BPF_SYSCALL?'
	record MOUNTED_BPFFS yes
}

# Only if we mounted it and nobody has pinned anything since; *.debug is the kernel's own.
unmount_bpffs() {
	[[ $(value_of MOUNTED_BPFFS "$RECORD") == yes ]] || return 0
	[[ -z $(find /sys/fs/bpf -mindepth 1 ! -name '*.debug') ]] || return 0
	umount /sys/fs/bpf || note 'bpffs is in use, so it stays mounted'
}

# ---- running -------------------------------------------------------------------------------------

# The pid of the shuntd that this script started.
shuntd_pid() {
	local pid

	[[ -e $PID_FILE ]] || return 1
	pid=$(<"$PID_FILE")
	is_our_shuntd "$pid" && echo "$pid"
}

is_our_shuntd() {
	[[ $(readlink "/proc/$1/exe" 2>/dev/null) == "$PREFIX/sbin/shuntd"* ]]
}

# Those that were taken over from and still have flows: their sockets have their pids.
draining_pids() {
	local socket pid

	for socket in "$RUN/$(netns_inode)"-*.draining; do
		pid=${socket%.draining}
		pid=${pid##*.}
		[[ ! $pid =~ ^[0-9]+$ ]] || ! is_our_shuntd "$pid" || echo "$pid"
	done
}

# end PID: SIGTERM, and wait while it drains
end() {
	local until=$((SECONDS + 60))

	kill "$1" 2>/dev/null || return 0
	while kill -0 "$1" 2>/dev/null; do
		((SECONDS < until)) || die "shuntd (pid $1) does not end: look at '$LOG_FILE'"
		sleep 0.1
	done
}

stop_shuntd() {
	local pid

	if pid=$(shuntd_pid); then
		end "$pid"
	fi
	for pid in $(draining_pids); do
		end "$pid"
	done
	rm -f "$PID_FILE" "$LOG_FILE"
}

# launch [--takeover]: returns 1 if it ended at once
launch() {
	local until=$((SECONDS + 60)) pid

	mkdir -p "$RUN"
	rm -f "$LOG_FILE" # who is taken over from still writes to the old one
	# shellcheck disable=SC2046 # split on purpose
	setsid "$PREFIX/sbin/shuntd" $(value_of SHUNTD_OPTIONS "$ETC/shuntd.conf") "$@" \
		>"$LOG_FILE" 2>&1 </dev/null &
	pid=$!
	# Until it has taken over the old one is ours. Without one, it is this one even if it is
	# never ready, or nobody could end it.
	[[ -n $* ]] || echo "$pid" >"$PID_FILE"
	until grep -qs '^ready' "$LOG_FILE"; do
		kill -0 "$pid" 2>/dev/null || return 1
		((SECONDS < until)) || die "shuntd is not ready after 60 s: look at '$LOG_FILE'"
		sleep 0.1
	done
	echo "$pid" >"$PID_FILE"
}

# One that runs is taken over from: no connection is lost, and its flows finish there. If that
# cannot be, as between versions that are too far apart, it is restarted.
start_shuntd() {
	local old=''

	if old=$(shuntd_pid) && [[ -z $CHANGED ]]; then
		return 0
	fi
	# With the steering made anew it gives nothing away before it has registered again.
	if [[ -n $old ]] && is_served_soon "${OLD_TARGET:-$TARGET}" && launch --takeover; then
		# With another target it has taken over from nobody.
		grep -qs '^taken over' "$LOG_FILE" || end "$old"
		return 0
	fi
	[[ -z $old ]] || note 'shuntd cannot be taken over from, so it is restarted'
	stop_shuntd
	launch && return 0
	cat "$LOG_FILE" >&2
	die 'shuntd ended at once, as said above'
}

main_pid() {
	systemctl show --property=MainPID --value shuntd.service
}

# The shuntd that runs starts the new program, which takes over: no connection is lost. The old one
# says who is the main one then. Returns 1 if that does not happen.
upgrade_by_systemd() {
	local until old now

	old=$(main_pid)
	# Before that it gives nothing away.
	is_served_soon "$TARGET" || return 1
	systemctl kill --kill-whom=main --signal=USR2 shuntd.service || return 1
	until=$((SECONDS + 60))
	while now=$(main_pid) && [[ $now == "$old" || $now == 0 ]]; do
		((SECONDS < until)) || return 1
		sleep 0.1
	done
}

start_by_systemd() {
	systemctl daemon-reload
	systemctl --quiet enable shunt-steer.service shuntd.service
	systemctl reload-or-restart shunt-steer.service ||
		die "cannot start shunt-steer.service: see 'journalctl -u shunt-steer'"
	if [[ $CHANGED == programs ]] && systemctl --quiet is-active shuntd.service; then
		upgrade_by_systemd && return
		note 'shuntd cannot be taken over from, so it is restarted'
	fi
	systemctl --no-block "$([[ -n $CHANGED ]] && echo restart || echo start)" shuntd.service ||
		die "cannot start shuntd.service: see 'journalctl -u shuntd'"
}

start_by_hand() {
	# shellcheck disable=SC2046 # split on purpose
	shuntctl up $(up_options) -f "$ETC/rules" || die "'shuntctl up' failed, as said above"
	start_shuntd
	note "systemd does not run here: after a reboot, run this script again"
}

# is_served_soon TARGET: shuntd finds a steering that is new within half a second. Returns 1 if it
# has not after a minute.
is_served_soon() {
	local until=$((SECONDS + 60))

	until [[ $(shuntctl target list | awk -v name="$1:" '$1 == name') =~ \ [1-9][0-9]*\ IPv[46] ]]; do
		((SECONDS < until)) || return 1
		sleep 0.1
	done
}

give_hints() {
	[[ $(</proc/sys/net/ipv4/ip_forward) == 1 ]] ||
		note 'this host does not forward IPv4, and that was not changed;' \
			"for a gateway: sysctl -w net.ipv4.ip_forward=1"
	[[ $(cat /proc/sys/net/ipv6/conf/all/forwarding 2>/dev/null || echo 1) == 1 ]] ||
		note 'this host does not forward IPv6, and that was not changed;' \
			"for a gateway: sysctl -w net.ipv6.conf.all.forwarding=1"
	[[ $SOURCE_MODE == proxy || ${#INTERFACES[@]} -gt 1 || -n $OUT ]] ||
		note "with --source $SOURCE_MODE the interface towards the servers needs -i, too," \
			'or their answers pass us by'
	grep -qvE '^[[:space:]]*(#|$)' "$ETC/rules" ||
		note "there is no rule yet, so nothing is steered: shuntctl rule add" \
			"'100 in tcp to any port 80 proxy'"
}

# ---- the verbs -----------------------------------------------------------------------------------

deploy() {
	: "${PREFIX:=$(value_of PREFIX "$RECORD")}" "${PREFIX:=/usr/local}"
	if [[ -e $RECORD && $(value_of PREFIX "$RECORD") != "$PREFIX" ]]; then
		die "deployed below '$(value_of PREFIX "$RECORD")' already: --remove that first"
	fi
	check_arguments
	install_packages build
	build
	check_kernel_and_rules
	keep_rules
	make_way
	mkdir -p "$ETC"
	record PREFIX "$PREFIX"
	install_files
	mount_bpffs
	write_configuration
	say 'steering and shuntd'
	if has_systemd; then
		start_by_systemd
	else
		start_by_hand
	fi
	is_served_soon "$TARGET" ||
		die "shuntd has not registered target '$TARGET' after 60 s: see its log"
	give_hints
	say 'done; take it away with: shunt-deploy.sh --remove'
	status
}

shuntd_state() {
	local pid

	if has_systemd; then
		systemctl is-active shuntd.service
	elif pid=$(shuntd_pid); then
		echo "running, pid $pid, log $LOG_FILE"
	else
		echo 'not running: run shunt-deploy.sh again, or see man shuntd'
		return 1
	fi
}

status() {
	local well=yes text

	PREFIX=$(value_of PREFIX "$RECORD")
	[[ -n $PREFIX ]] || die 'nothing is deployed here'
	say "shunt, installed below $PREFIX"
	text=$(shuntd_state) || well=
	echo "shuntd: $text"
	if text=$(shuntctl status); then
		echo "$text"
		! grep -qE '^conflicts|NOT ATTACHED|NONE$|: 0 IPv4 and 0 IPv6 sockets live' \
			<<<"$text" || well=
	else
		well=
	fi
	[[ -n $well ]] || die 'not all is well, see above'
}

netns_inode() {
	stat -L -c %i /proc/self/ns/net
}

# A shuntd that was killed leaves its lock and its control socket. Removed as shuntd does it: with
# the lock held.
remove_run() {
	local lock

	[[ -d $RUN ]] || return 0
	for lock in "$RUN/$(netns_inode)"-*.lock; do
		[[ ! -f $lock ]] || flock -n "$lock" rm -f "${lock%.lock}.control" \
			"${lock%.lock}".+([0-9]).draining "$lock" ||
			note "'$lock' is held by another shuntd, so it stays"
	done
	rmdir --ignore-fail-on-non-empty "$RUN"
}

remove_configuration() {
	if rules_are_ours; then
		rm -f "$ETC/rules"
	else
		note "'$ETC/rules' was written or changed by somebody else, so it stays"
	fi
	rm -f "$ETC/steer.conf" "$ETC/shuntd.conf" "$RECORD" "$FILES"
	rmdir --ignore-fail-on-non-empty "$ETC"
	remove_run
}

remove_files() {
	local name

	[[ -e $FILES ]] || return 0
	while read -r name; do
		if [[ $name == */ ]]; then
			[[ ! -d $name ]] || rmdir --ignore-fail-on-non-empty "$name"
		else
			rm -f "$name"
		fi
	done < <(sort -r "$FILES")
}

# Is there something that only shuntctl can take down?
is_steering() {
	[[ $(stat -f -c %T /sys/fs/bpf 2>/dev/null) == bpf_fs &&
		-d /sys/fs/bpf/shunt/$(netns_inode)/default ]]
}

remove() {
	PREFIX=$(value_of PREFIX "$RECORD")
	if [[ -z $PREFIX ]]; then
		say 'nothing is deployed here'
		return 0
	fi
	[[ -x $(shuntctl_path) ]] || ! is_steering ||
		die "steering is in force, and to take it down there is neither" \
			"'$PREFIX/sbin/shuntctl' nor '$BUILD/shuntctl': build it, or name its" \
			'directory with --build; nothing was stopped or removed'
	say 'stop shuntd and steering'
	if has_systemd; then
		systemctl --quiet disable --now shuntd.service shunt-steer.service || true
	else
		stop_shuntd
	fi
	if [[ -x $(shuntctl_path) && $(stat -f -c %T /sys/fs/bpf) == bpf_fs ]]; then
		shuntctl down ||
			die "'shuntctl down' failed, as said above; shuntd does not run any more," \
				'but nothing was removed'
	fi
	unmount_bpffs
	say 'remove what was installed'
	remove_files
	remove_configuration
	! has_systemd || systemctl daemon-reload
	say 'done; packages stay, and so does what was built'
}

sandbox() {
	: "${PREFIX:=/usr/local}"
	install_packages test
	build
	say 'sandbox'
	exec "$SOURCE/deploy/sandbox.sh" "$BUILD"
}

main() {
	parse_arguments "$@"
	((EUID == 0)) || die "must be root: sudo $0 $*"
	"$VERB"
}

main "$@"
