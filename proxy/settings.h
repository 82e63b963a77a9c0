/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a user can choose, once: settings_table feeds the command line, its help and the
 * YAML file. A setting is a key of the file and a long option of the same name.
 */
#ifndef SHUNT_PROXY_SETTINGS_H
#define SHUNT_PROXY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum source_mode {
	SOURCE_PROXY,	    /* the host's own address */
	SOURCE_CLIENT,	    /* the client's address, a port of the kernel's choice */
	SOURCE_CLIENT_PORT, /* the client's address and port */
};

enum splice_mode {
	SPLICE_AUTO,  /* thick streams, for as long as they are */
	SPLICE_NEVER,
	SPLICE_ALWAYS,
};

struct settings {
	char *config;	/* owned, as every string here; NULL none */
	char *target;
	char *instance;
	char *netns;	/* NULL: the caller's */
	char *user;
	uint32_t source; /* enum source_mode */
	uint32_t splice; /* enum splice_mode */
	bool log_flows;
	uint32_t workers; /* 0: one per CPU */
	uint32_t port;	  /* of the first worker's listeners; 0: the kernel chooses */
	uint32_t connect_timeout; /* seconds, as all times here */
	uint32_t idle_timeout;
	uint32_t half_closed_timeout;
	uint32_t drain_timeout;
	uint32_t max_connections; /* 0: what the descriptor limit allows */
};

enum setting_type { SETTING_TEXT, SETTING_NAME, SETTING_NUMBER, SETTING_CHOICE, SETTING_FLAG };

struct setting {
	const char *name;
	char letter;		 /* 0 none */
	bool only_option;	 /* not a key of the file */
	enum setting_type type;
	size_t at;		 /* offset in struct settings */
	uint32_t min, max;	 /* SETTING_NUMBER */
	const char *const *words; /* SETTING_CHOICE, NULL-terminated, in the order of the enum */
	const char *argument;	 /* in help; NULL for a flag */
	const char *initial;	 /* NULL: unset, 0 or false */
	const char *help;
};

extern const struct setting settings_table[];
extern const size_t settings_count;

/* Set everything to its default. 0 or -ENOMEM. */
int settings_init(struct settings *s);
void settings_release(struct settings *s);
const struct setting *settings_find(const char *name);
/*
 * Set one value from text. -EINVAL with err set ("workers: '0x': not a number from 1 to 64")
 * and *s as it was. A flag takes true or false; NULL means true.
 */
int settings_set(struct settings *s, const struct setting *setting, const char *value, char *err,
		 size_t err_size);
/* Read a YAML mapping of keys to values; err begins with NAME:LINE. */
int settings_load(struct settings *s, FILE *in, const char *name, char *err, size_t err_size);

#endif
