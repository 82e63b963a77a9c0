/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rules and sets in the language of nftables. A rule becomes `meta mark set PRIORITY accept` in
 * the egress chain of its direction; a device becomes two, one of each direction.
 */
#ifndef SHUNT_TEST_NFT_RULES_H
#define SHUNT_TEST_NFT_RULES_H

#include "random_rules.h"

enum { NFT_DEVICES = RANDOM_DEVICES * 2 };

/* Where packets of this direction and device are sent. Returns buf. */
char *nft_device_name(char buf[IF_NAMESIZE], enum shunt_dir dir, const char *device);

/* The whole ruleset, in place of any other. Neither uid nor cgroup. 0 or -errno. */
int nft_rules_write(FILE *out, const struct shunt_rules *rules, const struct sets_in *sets);

#endif
