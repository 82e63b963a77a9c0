#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# sandbox.sh COMMAND...: run a command with private mounts, network, processes, bpffs and /run.
# Whatever it makes there (namespaces, pins, processes, sockets) goes away when it ends.

set -euo pipefail

if [[ ${1-} != --inside ]]; then
	exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside "$@"
fi
shift
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
exec "$@"
