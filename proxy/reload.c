/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "shunt/shunt.h"
#include "upstream.h"

enum { FILE_MAX = 4 << 20 };

/* Messages go to whoever asked for the reload. */
struct words {
	char *text;
	size_t size;
};

static void keep_error(void *arg, enum shunt_level level, const char *text)
{
	struct words *words = arg;

	if (level == SHUNT_LOG_ERROR)
		snprintf(words->text, words->size, "%s", text);
}

static int copy(int to, int from)
{
	char bytes[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(from, bytes, sizeof(bytes))) > 0) {
		total += (size_t)n;
		if (total > FILE_MAX)
			return -EFBIG;
		if (write(to, bytes, (size_t)n) != n)
			return -EIO;
	}
	if (n < 0)
		return -errno;
	return lseek(to, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* What could keep us waiting is for the start alone: flows and workers depend on this process. */
static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return -ENOTSUP;
}

static int open_copy(const char *path)
{
	int from = open_file(path);
	int to, r;

	if (from < 0)
		return from;
	to = memfd_create("shuntd-settings", MFD_CLOEXEC);
	r = to < 0 ? -errno : copy(to, from);
	close(from);
	if (!r)
		return to;
	if (to >= 0)
		close(to);
	return r;
}

/* The parser gets a descriptor of its own, but the place in the file is shared. */
static int parse(struct settings *out, int fd, const struct settings *running)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *in = own < 0 ? NULL : fdopen(own, "r");
	int r;

	if (!in) {
		if (own >= 0)
			close(own);
		return shunt_err(-ENOMEM, "out of memory");
	}
	r = options_reread(out, running, in);
	fclose(in);
	if (!r && lseek(fd, 0, SEEK_SET) < 0) {
		settings_release(out);
		r = -errno;
	}
	return r;
}

static int check(const struct settings *fresh, const struct settings *running)
{
	const struct setting *fixed = settings_fixed_difference(fresh, running);

	if (fixed)
		return shunt_err(-EINVAL, "%s: cannot be changed by a reload, but by a restart",
				 fixed->name);
	for (uint32_t i = 0; i < running->n_targets; i++)
		if (fresh->n_targets != running->n_targets ||
		    strcmp(fresh->targets[i]->name, running->targets[i]->name))
			return shunt_err(-EINVAL,
					 "targets: cannot be added, removed, renamed or put in "
					 "another order by a reload, but by a restart");
	for (uint32_t i = 0; i < fresh->n_targets; i++) {
		int r = upstream_check_kernel(fresh->targets[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int reload_read(struct settings *out, int *fd, const struct settings *running, char *err,
		size_t err_size)
{
	struct words words = { .text = err, .size = err_size };
	int copied, r;

	if (!running->config) {
		snprintf(err, err_size, "there is no settings file: shuntd was started without -c");
		return -ENOENT;
	}
	copied = open_copy(running->config);
	if (copied < 0) {
		snprintf(err, err_size, "cannot read '%s': %s", running->config,
			 copied == -ENOTSUP ? "not a regular file" : strerror(-copied));
		return copied;
	}
	snprintf(err, err_size, "out of memory");
	shunt_set_sink(keep_error, &words);
	r = parse(out, copied, running);
	if (!r) {
		r = check(out, running);
		if (r < 0)
			settings_release(out);
	}
	shunt_set_sink(NULL, NULL);
	if (r < 0)
		close(copied);
	else
		*fd = copied;
	return r;
}
