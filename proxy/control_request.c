/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "control_request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shunt/control.h"

enum word { WORD_CLIENT, WORD_DESTINATION, WORD_ID, WORD_ALL, WORD_TIMEOUT, WORDS };

enum { DAY = 86400 };

static const char *const word_names[WORDS] = {
	[WORD_CLIENT] = "client",   [WORD_DESTINATION] = "destination", [WORD_ID] = "id",
	[WORD_ALL] = "all",	    [WORD_TIMEOUT] = "timeout",
};

#define BIT(word) (1U << (word))
#define FILTER (BIT(WORD_CLIENT) | BIT(WORD_DESTINATION) | BIT(WORD_ID))

static const struct {
	const char *name;
	uint32_t words; /* that it takes */
} verbs[CONTROL_VERBS] = {
	[CONTROL_STATUS] = { "status", 0 },
	[CONTROL_UPSTREAMS] = { "upstreams", 0 },
	[CONTROL_LIST] = { "list", FILTER },
	[CONTROL_KILL] = { "kill", FILTER | BIT(WORD_ALL) },
	[CONTROL_DRAIN] = { "drain", BIT(WORD_TIMEOUT) },
	[CONTROL_RELOAD] = { "reload", 0 },
	[CONTROL_TAKEOVER] = { "takeover", 0 },
};

struct parser {
	struct control_request *request;
	uint32_t seen; /* words */
	char *err;
	size_t err_size;
};

static int __attribute__((format(printf, 2, 3))) refuse(struct parser *p, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(p->err, p->err_size, fmt, args);
	va_end(args);
	return -EINVAL;
}

static bool parse_number(uint64_t *out, const char *text, size_t len, uint64_t max)
{
	uint64_t n = 0;

	if (!len || len > 19)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		n = 10 * n + (uint64_t)(text[i] - '0');
	}
	*out = n;
	return n <= max;
}

bool flow_id_parse(uint32_t *worker, uint64_t *id, const char *text)
{
	size_t dot = strcspn(text, ".");
	uint64_t pid, number;

	if (!text[dot] || !parse_number(&pid, text, dot, INT32_MAX) ||
	    !parse_number(&number, text + dot + 1, strlen(text + dot + 1), INT64_MAX) || !pid ||
	    !number)
		return false;
	*worker = (uint32_t)pid;
	*id = number;
	return true;
}

static int take_prefix(struct parser *p, struct shunt_prefix *out, bool *has, const char *name,
		       const char *value)
{
	const char *why;

	if (shunt_prefix_parse(out, value, &why) < 0)
		return refuse(p, "%s: '%.64s': %s", name, value, why);
	*has = true;
	return 0;
}

static int take_value(struct parser *p, enum word word, const char *value)
{
	struct control_request *r = p->request;
	struct flow_filter *f = &r->filter;
	uint64_t seconds;

	switch (word) {
	case WORD_CLIENT:
		return take_prefix(p, &f->client, &f->has_client, "client", value);
	case WORD_DESTINATION:
		return take_prefix(p, &f->destination, &f->has_destination, "destination", value);
	case WORD_ID:
		if (flow_id_parse(&f->worker, &f->id, value))
			return 0;
		return refuse(p, "id: '%.64s': not a flow's id, as 'PID.NUMBER'", value);
	case WORD_TIMEOUT:
		if (!parse_number(&seconds, value, strlen(value), DAY))
			return refuse(p, "timeout: '%.64s': not a number from 0 to %d", value, DAY);
		r->timeout = (uint32_t)seconds;
		r->has_timeout = true;
		return 0;
	case WORD_ALL:
	case WORDS:
		break;
	}
	return refuse(p, "'%s' takes no value", word_names[word]);
}

static int take_word(struct parser *p, const char *text)
{
	size_t len = strcspn(text, "=");
	int word = 0;

	while (word < WORDS &&
	       (strlen(word_names[word]) != len || memcmp(word_names[word], text, len)))
		word++;
	if (word == WORDS || !(verbs[p->request->verb].words & BIT(word)))
		return refuse(p, "'%.64s': '%s' does not take that", text,
			      verbs[p->request->verb].name);
	if (p->seen & BIT(word))
		return refuse(p, "'%s': given twice", word_names[word]);
	p->seen |= BIT(word);
	if (text[len])
		return take_value(p, (enum word)word, text + len + 1);
	if (word != WORD_ALL)
		return refuse(p, "'%s': needs a value", word_names[word]);
	p->request->all = true;
	return 0;
}

static int take_verb(struct parser *p, const char *text)
{
	for (int i = 0; i < CONTROL_VERBS; i++) {
		if (strcmp(verbs[i].name, text))
			continue;
		p->request->verb = (enum control_verb)i;
		return 0;
	}
	return refuse(p, "'%.64s': unknown request", text);
}

static int take_line(struct parser *p, char *text)
{
	char version[16], *save = NULL, *word = strtok_r(text, " ", &save);
	int r;

	snprintf(version, sizeof(version), "%d", SHUNT_CONTROL_VERSION);
	if (!word || strcmp(word, version))
		return refuse(p, "this shuntd speaks version %s of the control protocol", version);
	word = strtok_r(NULL, " ", &save);
	if (!word)
		return refuse(p, "a request needs a verb behind the version");
	r = take_verb(p, word);
	while (!r && (word = strtok_r(NULL, " ", &save)))
		r = take_word(p, word);
	if (r < 0)
		return r;
	if (p->request->verb == CONTROL_KILL && !(p->seen & FILTER) == !p->request->all)
		return refuse(p, "'kill' needs either a filter or 'all'");
	return 0;
}

int control_request_parse(struct control_request *out, const char *line, size_t len, char *err,
			  size_t err_size)
{
	struct control_request request = {};
	struct parser p = { .request = &request, .err = err, .err_size = err_size };
	char text[SHUNT_CONTROL_REQUEST_MAX];
	int r;

	if (len >= sizeof(text))
		return refuse(&p, "the request is longer than %zu bytes", sizeof(text) - 1);
	for (size_t i = 0; i < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			return refuse(&p, "the request has a byte that is not printable ASCII");
	memcpy(text, line, len);
	text[len] = '\0';
	r = take_line(&p, text);
	if (!r)
		*out = request;
	return r;
}
