/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as a settings file. What is accepted has between one and 63 targets whose names
 * differ and whose settings go together; a message is there, printable, and says where.
 * Seeds: corpus/settings.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "settings_file.h"
#include "shunt/abi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_message(const char *err)
{
	check(!strncmp(err, "fuzz:", 5));
	for (; *err; err++)
		check(isprint((unsigned char)*err));
}

static void check_settings(const struct settings *s)
{
	const struct setting *at;
	char err[256];

	check(s->n_targets >= 1 && s->n_targets < SHUNT_MAX_TARGETS);
	for (uint32_t i = 0; i < s->n_targets; i++) {
		const struct target_settings *t = s->targets[i];

		check(settings_target(s, t->name) == t);
		check(t->users == 1 && t->upstreams.n <= UPSTREAMS_MAX);
		check(!target_settings_check(t, &at, err, sizeof(err)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char err[512] = "";
	struct settings s;
	FILE *in;

	if (!size)
		return 0;
	in = fmemopen((void *)data, size, "r");
	check(in && !settings_init(&s));
	if (!settings_load(&s, in, "fuzz", err, sizeof(err)))
		check_settings(&s);
	else
		check_message(err);
	settings_release(&s);
	fclose(in);
	return 0;
}
