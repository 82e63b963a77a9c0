/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keep every CPU from going idle, by a thread on each that yields to anything else. Waking an
 * idle virtual CPU costs tens of microseconds and is the hypervisor's doing, not the proxy's: it
 * would be most of what the latency of a single request shows. Costs throughput: only for that.
 */
#ifndef SHUNT_BENCH_AWAKE_H
#define SHUNT_BENCH_AWAKE_H

/* 0 or -errno. They end with the process. */
int awake_start(void);

#endif
