// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Rules and sets from a file or standard input. */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

int read_rule_file(const char *path, struct shunt_config *out)
{
	bool is_stdin = !strcmp(path, "-");
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	char err[256], *copy;
	int r;

	if (!f)
		return shunt_err(-errno, "cannot open '%s': %s", path, strerror(errno));
	copy = strdup(path);
	if (copy)
		r = shunt_config_parse(out, f, is_stdin ? "standard input" : path,
				       is_stdin ? "." : dirname(copy), err, sizeof(err));
	else
		r = -ENOMEM;
	if (!is_stdin)
		fclose(f);
	if (r)
		shunt_err(r, "%s", copy ? err : "out of memory");
	free(copy);
	return r;
}
