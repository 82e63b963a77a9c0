// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A file of prefixes, one a line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "prefix.h"

struct set_file {
	struct shunt_prefix *v; /* owned */
	size_t n, room;
	size_t line;
	char *err;
	size_t err_size;
	const char *name;
};

static int fail(const struct set_file *f, int r, const char *word, const char *why)
{
	char shown[64] = "";

	if (word)
		snprintf(shown, sizeof(shown), "prefix '%.40s': ", word);
	for (char *c = shown; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	snprintf(f->err, f->err_size, "%s:%zu: %s%s", f->name, f->line, shown, why);
	return r;
}

static int append(struct set_file *f, const struct shunt_prefix *p)
{
	size_t room = f->room ? 2 * f->room : 64;
	struct shunt_prefix *grown;

	if (f->n == f->room) {
		grown = realloc(f->v, room * sizeof(*grown));
		if (!grown)
			return fail(f, -ENOMEM, NULL, "out of memory");
		f->v = grown;
		f->room = room;
	}
	f->v[f->n++] = *p;
	return 0;
}

/* text is a line of len bytes, which may hold NULs; it is changed. */
static int read_line(struct set_file *f, char *text, size_t len)
{
	const char *blanks = " \t\r\n\f\v", *why;
	struct shunt_prefix p;
	char *word, *end;
	int r;

	if (memchr(text, 0, len))
		return fail(f, -EINVAL, NULL, "a NUL is not text");
	text[strcspn(text, "#")] = '\0';
	word = text + strspn(text, blanks);
	if (!*word)
		return 0;
	end = word + strcspn(word, blanks);
	if (end[strspn(end, blanks)])
		return fail(f, -EINVAL, word, "one prefix a line");
	*end = '\0';
	r = shunt_prefix_parse(&p, word, &why);
	return r ? fail(f, r, word, why) : append(f, &p);
}

int shunt_set_parse(struct shunt_set *set, FILE *in, const char *name, char *err,
		    size_t err_size)
{
	struct set_file f = { .err = err, .err_size = err_size, .name = name };
	_cleanup_free_ char *text = NULL;
	struct shunt_prefix *grown;
	size_t size = 0;
	ssize_t len;
	int r = 0;

	errno = 0;
	while (!r && (len = getline(&text, &size, in)) >= 0) {
		f.line++;
		r = read_line(&f, text, (size_t)len);
	}
	if (!r && !feof(in)) {
		r = errno ? -errno : -EIO;
		snprintf(err, err_size, "%s: cannot read: %s", name, strerror(-r));
	}
	grown = r ? NULL : realloc(set->v, (set->n + f.n + 1) * sizeof(*grown));
	if (!r && !grown)
		r = fail(&f, -ENOMEM, NULL, "out of memory");
	if (!r) {
		set->v = grown;
		if (f.n)
			memcpy(grown + set->n, f.v, f.n * sizeof(*grown));
		set->n += f.n;
	}
	free(f.v);
	return r;
}
