#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# packages.sh build|test|bench|run: install what is missing of the Debian 12 packages that
# building, testing, comparing or running shunt needs. The only list of their names.

set -euo pipefail

run_packages=(libbpf1 libnl-3-200 libnl-route-3-200 libevent-core-2.1-7
	libevent-pthreads-2.1-7 libjson-c5 libcap-ng0 libseccomp2
	libyaml-0-2)

build_packages=(cmake make gcc clang llvm libc6-dev linux-libc-dev pkg-config libbpf-dev
	libelf-dev zlib1g-dev libnl-3-dev libnl-route-3-dev libevent-dev libjson-c-dev
	libcap-ng-dev libseccomp-dev libyaml-dev libcmocka-dev bpftool)

bench_packages=(iproute2 util-linux procps ethtool nftables strace linux-perf python3-minimal
	haproxy nginx-light libnginx-mod-stream redsocks iptables ipset python3-matplotlib)

test_packages=(iproute2 util-linux procps curl nginx-light jq bpftool strace socat mandoc
	libclang-rt-14-dev python3 haproxy microsocks nftables tinyproxy
	ethtool iptables ipset python3-matplotlib)

# More peers for the stories, which skip what is not there.
test_wishes=(dante-server squid)

usage() {
	echo "usage: packages.sh build|test|bench|run"
}

# A package counts as there, too, if another one that is installed provides it. (No grep -q: it
# would close the pipe on a dpkg-query that still writes, which pipefail takes for an error.)
is_installed() {
	local name=$1

	[[ $(dpkg-query -W -f '${Status}' "$name" 2>/dev/null) == "install ok installed" ]] ||
		dpkg-query -W -f '${Status}, ${Provides},\n' 2>/dev/null |
		grep -E "^install ok installed, (.*, )?${name//./\\.}( \([^)]*\))?," >/dev/null
}

missing_of() {
	local name

	for name in "$@"; do
		is_installed "$name" || echo "$name"
	done
}

# A server that comes with a package (nginx, HAProxy) must not start by that: policy-rc.d is
# Debian's way to say so. One that is there already is left as it is.
POLICY=/usr/sbin/policy-rc.d

forbid_services() {
	[[ ! -e $POLICY ]] || return 0
	printf '#!/bin/sh\nexit 101\n' >"$POLICY"
	chmod 755 "$POLICY"
	trap 'rm -f "$POLICY"' EXIT
}

# Nor at the next boot, if it is new.
disable_new_services() {
	local name

	command -v systemctl >/dev/null || return 0
	for name in "$@"; do
		case $name in
		nginx-light) systemctl --quiet disable nginx.service ;;
		dante-server) systemctl --quiet disable danted.service ;;
		haproxy | redsocks | tinyproxy | microsocks | squid) systemctl --quiet disable "$name.service" ;;
		esac >/dev/null 2>&1 || true
	done
}

install_packages() {
	export DEBIAN_FRONTEND=noninteractive
	apt-get install -y --no-install-recommends "$@"
}

# What is nice to have does not wait for a server that does not answer. Only the download has a
# deadline: dpkg is not to be cut.
download_soon() {
	timeout 300 apt-get install -y --no-install-recommends --download-only \
		-o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 -o Acquire::Retries=0 "$@"
}

# What could not be had is said, and no failure. The lists are not read anew for it.
install_wishes() {
	local -a missing

	mapfile -t missing < <(missing_of "$@")
	((${#missing[@]} && !EUID)) || return 0
	forbid_services
	if { download_soon "${missing[@]}" && install_packages "${missing[@]}"; } >/dev/null 2>&1; then
		disable_new_services "${missing[@]}"
	else
		echo "packages.sh: without ${missing[*]}: the tests that need them are skipped"
	fi
}

install_needed() {
	local -a missing

	mapfile -t missing < <(missing_of "$@")
	((${#missing[@]})) || return 0
	echo "installing: ${missing[*]}"
	if ((EUID)); then
		echo "packages.sh: must be root to install: ${missing[*]}" >&2
		return 1
	fi
	forbid_services
	# The package lists may be absent or old: read them anew only if they do not do.
	if ! install_packages "${missing[@]}" >/dev/null 2>&1; then
		apt-get update
		install_packages "${missing[@]}"
	fi
	disable_new_services "${missing[@]}"
}

main() {
	local -a wanted wishes=()

	case ${1-} in
	run) wanted=("${run_packages[@]}") ;;
	build) wanted=("${run_packages[@]}" "${build_packages[@]}") ;;
	test)
		wanted=("${run_packages[@]}" "${build_packages[@]}" "${test_packages[@]}")
		wishes=("${test_wishes[@]}")
		;;
	bench) wanted=("${run_packages[@]}" "${bench_packages[@]}") ;;
	-h | --help)
		usage
		return 0
		;;
	*)
		usage >&2
		return 2
		;;
	esac
	install_needed "${wanted[@]}"
	install_wishes "${wishes[@]}"
}

main "$@"
