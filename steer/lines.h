/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of a file that a person writes: rules, prefixes. Lines may end in CR LF, a byte order
 * mark at the beginning is skipped, and a line has at most RULE_TEXT_MAX bytes and no NUL.
 */
#ifndef SHUNT_STEER_LINES_H
#define SHUNT_STEER_LINES_H

#include <stdio.h>

#include "rule_grammar.h"
#include "rule_text.h"

/* A line in full and its end, with room to read on in large pieces. */
enum { LINES_BUFFER = 4 * RULE_TEXT_MAX };

/* Zeroed, with `in` filled in. Too large for the stack. */
struct lines {
	FILE *in;
	size_t number; /* of the line last given, from 1; 0: an error is not the fault of a line */
	size_t start, end;
	bool at_eof;
	char buffer[LINES_BUFFER];
};

/* 1 and the next line without its end, 0 at the end of the file, or -errno with a message. */
int lines_next(struct lines *lines, struct rule_span *line, struct rule_error *e);

/* Put "NAME:LINE: " before the message; of a long name the end tells more. */
void lines_locate(const struct lines *lines, const char *name, struct rule_error *e);

#endif
