// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "lines.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int lines_fill(struct lines *lines, struct rule_error *e)
{
	size_t held = lines->end - lines->start, got;

	memmove(lines->buffer, lines->buffer + lines->start, held);
	lines->start = 0;
	errno = 0;
	got = fread(lines->buffer + held, 1, sizeof(lines->buffer) - held, lines->in);
	lines->end = held + got;
	if (lines->end == sizeof(lines->buffer))
		return 0;
	if (ferror(lines->in)) {
		int r = errno ? -errno : -EIO;

		lines->number = 0; /* not the fault of a line */
		rule_error(e, "cannot read: %s", strerror(-r));
		return r;
	}
	lines->at_eof = true;
	return 0;
}

/* What belongs to the file and not to the line: a byte order mark, a CR before the LF. */
static struct rule_span line_strip(struct rule_span line, size_t number)
{
	if (number == 1 && line.len >= 3 && !memcmp(line.at, "\xef\xbb\xbf", 3))
		line = (struct rule_span){ line.at + 3, line.len - 3 };
	if (line.len > 0 && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

int lines_next(struct lines *lines, struct rule_span *line, struct rule_error *e)
{
	char *start = lines->buffer + lines->start, *newline;
	int r;

	newline = memchr(start, '\n', lines->end - lines->start);
	if (!newline && !lines->at_eof && lines->end - lines->start <= RULE_TEXT_MAX + 4) {
		r = lines_fill(lines, e);
		if (r)
			return r;
		start = lines->buffer;
		newline = memchr(start, '\n', lines->end);
	}
	if (!newline && lines->start == lines->end)
		return 0;
	lines->number++;
	line->at = start;
	line->len = newline ? (size_t)(newline - start) : lines->end - lines->start;
	lines->start += line->len + (newline ? 1 : 0);
	*line = line_strip(*line, lines->number);
	if (line->len > RULE_TEXT_MAX)
		return rule_error(e, "longer than %d bytes", RULE_TEXT_MAX);
	if (memchr(line->at, '\0', line->len))
		return rule_error(e, "there is a NUL byte in the line");
	return 1;
}

void lines_locate(const struct lines *lines, const char *name, struct rule_error *e)
{
	enum { NAME_SHOWN = 60 };
	char message[sizeof(e->text)], number[24] = "";
	size_t len = strlen(name);

	memcpy(message, e->text, sizeof(message));
	if (lines->number > 0)
		snprintf(number, sizeof(number), ":%zu", lines->number);
	if (len > NAME_SHOWN)
		rule_error(e, "...%s%s: %s", name + len - NAME_SHOWN, number, message);
	else
		rule_error(e, "%s%s: %s", name, number, message);
	for (char *c = e->text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
}
