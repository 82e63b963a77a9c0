/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strict command-line values and the ways a tool ends. Nothing here allocates. */
#ifndef TEST_TOOLS_ARGS_H
#define TEST_TOOLS_ARGS_H

#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_STR = 64 };

/* Print "NAME: text" and exit 1 (a failure) or 2 (a usage error). */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The whole string is one number, decimal or 0x, with an optional K, M or G (powers of 1024). */
uint64_t arg_u64(const char *what, const char *text, uint64_t max);

/* "10.0.0.1:80", "[fd01::1]:80", "[fe80::1%eth0]:80", or "PORT", which is [::]:PORT. */
void arg_sockaddr(struct sockaddr_storage *out, const char *text);
/* An address without a port. */
void arg_address(struct sockaddr_storage *out, const char *text);

socklen_t sockaddr_len(const struct sockaddr_storage *a);
uint16_t sockaddr_port(const struct sockaddr_storage *a);
void sockaddr_set_port(struct sockaddr_storage *a, uint16_t port);
/* In the form arg_sockaddr reads. buf has ADDR_STR bytes. Returns buf. */
char *sockaddr_str(char *buf, const struct sockaddr_storage *a);

uint64_t now_ns(void); /* CLOCK_MONOTONIC */

#endif
