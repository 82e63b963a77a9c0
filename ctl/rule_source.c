// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rules from a file or standard input. */
#include <errno.h>
#include <string.h>

#include "command.h"

int read_rule_file(const char *path, struct shunt_rules *out)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	char err[256];
	int r;

	if (!f)
		return shunt_err(-errno, "cannot open '%s': %s", path, strerror(errno));
	r = shunt_rules_parse(out, f, is_stdin ? "standard input" : path, err, sizeof(err));
	if (!is_stdin)
		fclose(f);
	return r ? shunt_err(r, "%s", err) : 0;
}
