// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sysctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

static FILE *open_sysctl(const char *path, const char *mode)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	return fopen(full, mode);
}

int sysctl_read(const char *path, int *out)
{
	FILE *f = open_sysctl(path, "re");
	int value, n;

	if (!f)
		return -errno;
	n = fscanf(f, "%d", &value);
	fclose(f);
	if (n != 1)
		return -EIO;
	*out = value;
	return 0;
}

int sysctl_write(const char *path, int value)
{
	FILE *f = open_sysctl(path, "we");
	int r;

	if (!f)
		return -errno;
	r = fprintf(f, "%d\n", value) < 0 ? -EIO : 0;
	if (fclose(f) && !r)
		r = -errno;
	return r;
}
