/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes as a request of the control socket. What is refused is refused with words that can
 * be printed, and changes nothing; what is accepted is what the line says. Then the same bytes
 * as a text in an answer, which must come out as one string of JSON. Seeds: corpus/control.
 */
#include <ctype.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control_request.h"
#include "inspect.h"
#include "reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_message(const char *err)
{
	check(err[0] != '\0' && strlen(err) < 255);
	for (; *err; err++)
		check(isprint((unsigned char)*err));
}

/* A filter that is there does something: some address is outside it, unless it has all. */
static void check_filter(const struct flow_filter *f)
{
	struct address inside = { .ip = f->client.addr }, outside = inside;

	check(!f->id == !f->worker);
	if (!f->has_client)
		return;
	check(f->client.len <= 128);
	check(flow_filter_matches(f, f->id, &inside, &(struct address){ .ip = f->destination.addr }));
	if (!f->client.len)
		return;
	outside.ip.s6_addr[(f->client.len - 1) / 8] ^= (uint8_t)(0x80 >> (f->client.len - 1) % 8);
	check(!flow_filter_matches(f, f->id, &outside, &inside));
}

static void try_request(const char *line, size_t len)
{
	struct control_request r, before;
	char err[256] = "";

	memset(&r, 0x5a, sizeof(r));
	before = r;
	if (control_request_parse(&r, line, len, err, sizeof(err)) < 0) {
		check_message(err);
		check(!memcmp(&r, &before, sizeof(r)));
		return;
	}
	check(r.verb < CONTROL_VERBS);
	check(r.verb != CONTROL_KILL ||
	      r.all != (r.filter.has_client || r.filter.has_destination || r.filter.id));
	check(!r.has_timeout || r.timeout <= 86400);
	check_filter(&r.filter);
}

static void try_string(const char *text)
{
	struct json_object *value;
	struct reply reply = {};

	reply_add_string(&reply, text);
	check(!reply.lost && reply.len >= 2);
	for (size_t i = 0; i < reply.len; i++)
		check((unsigned char)reply.text[i] >= ' ');
	value = json_tokener_parse(reply.text);
	check(json_object_is_type(value, json_type_string));
	check(!strcmp(json_object_get_string(value), text));
	json_object_put(value);
	reply_release(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	check(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	try_request(text, size);
	if (size < 4096)
		try_string(text);
	free(text);
	return 0;
}
