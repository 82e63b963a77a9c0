/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Real packets through nftables, in the network namespace of the caller. */
#ifndef TEST_BPF_NFT_LAB_H
#define TEST_BPF_NFT_LAB_H

#include "nft_rules.h"

struct nft_lab {
	int send, tap; /* packet sockets */
	unsigned int devices[2][RANDOM_DEVICES];
};

/* These return 0 or -errno with a message. */
int nft_lab_open(struct nft_lab *lab);
void nft_lab_close(struct nft_lab *lab);
/* Releases the script. */
int nft_lab_load(struct nft_script *s);
/* Send n packets to the rule set of that number: the marks they leave with. */
int nft_lab_ask(struct nft_lab *lab, uint32_t number, const struct ref_packet *packets,
		uint32_t n, uint32_t *marks);

#endif
