#!/bin/sh
# Build the drivers of this directory; CC and EXTRA from the environment. Out of tree: ../build
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
FLAGS="-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -O2 -g
 -Iinclude -Isteer -Itest -I. -I../../include -I../../steer $(pkg-config --cflags libbpf) ${EXTRA:-}"
TEXT=$(ls ../../steer/rule*.c ../../steer/prefix.c ../../steer/msg.c | grep -v '/rules\.c$')
COMMON="test/reference.c test/random_rules.c $TEXT"
for what in "$@"; do
	case $what in
	classify_diff) src="test/classify_diff.c test/probe_run.c $COMMON $(ls steer/*.c)" ;;
	classify_race) src="test/classify_race.c test/probe_run.c $COMMON $(ls steer/*.c)" ;;
	classify_bench) src="bench/classify_bench.c bench/classify_cases.c test/probe_run.c $COMMON $(ls steer/*.c)" ;;
	nft_diff) src="test/nft_diff.c test/nft_rules.c test/probe_run.c $COMMON $(ls steer/*.c)" ;;
	generator_check) src="test/generator_check.c $COMMON" ;;
	*) echo "unknown: $what" >&2; exit 2 ;;
	esac
	${CC:-gcc} $FLAGS -o build/$what $src -lbpf -lpthread
done
