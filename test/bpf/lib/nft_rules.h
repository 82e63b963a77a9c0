/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many rule sets in the language of nftables, in one script. A packet comes with the number of
 * its rule set as its mark and leaves with NFT_DECIDED | priority of the rule that decides, or
 * as it came. All is done at the egress of devices: shunt's `in` and `out` on a device are two
 * devices here. Neither uid nor cgroup.
 */
#ifndef TEST_BPF_NFT_RULES_H
#define TEST_BPF_NFT_RULES_H

#include "random_rules.h"

enum { NFT_DEVICES = RANDOM_DEVICES * 2 };
#define NFT_DECIDED 0x80000000U

struct nft_script {
	FILE *parts[3]; /* sets; chains; which rule set has which chain */
	char *text[3];	/* owned */
	size_t len[3];
	unsigned int n_sets;
};

/* Where packets of this direction and device are sent. Returns buf. */
char *nft_device_name(char buf[IF_NAMESIZE], enum shunt_dir dir, const char *device);

/* 0 or -ENOMEM, as the next one. */
int nft_script_begin(struct nft_script *s);
int nft_script_add(struct nft_script *s, const struct random_case *c, uint32_t number);
/* Write it all, in place of any other ruleset, and release s. */
void nft_script_end(struct nft_script *s, FILE *out);

#endif
