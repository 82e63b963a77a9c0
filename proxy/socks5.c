/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "socks5.h"

#include <errno.h>
#include <string.h>

enum {
	VERSION = 5,
	AUTH_VERSION = 1,
	METHOD_NONE = 0,
	METHOD_PASSWORD = 2,
	METHOD_NO_OTHER = 0xff,
	COMMAND_CONNECT = 1,
	TYPE_IPV4 = 1,
	TYPE_NAME = 3,
	TYPE_IPV6 = 4,
	REPLY_HEAD = 5, /* with the first byte of the address, which is a name's length */
};

static void expect(struct socks5 *s, enum socks5_state state, uint32_t want)
{
	s->state = state;
	s->have = 0;
	s->want = want;
}

size_t socks5_begin(struct socks5 *s, const char *user, const char *password,
		    const struct peer_name *to, uint8_t *out)
{
	memset(s, 0, sizeof(*s));
	s->user = user;
	s->password = password ? password : "";
	s->to = to;
	expect(s, SOCKS5_METHOD, 2);
	out[0] = VERSION;
	out[1] = user ? 2 : 1;
	out[2] = METHOD_NONE;
	out[3] = METHOD_PASSWORD;
	return 2 + (size_t)out[1];
}

static size_t put_field(uint8_t *out, const char *text)
{
	size_t len = strlen(text);

	if (len > SOCKS5_FIELD)
		len = SOCKS5_FIELD;
	out[0] = (uint8_t)len;
	memcpy(out + 1, text, len);
	return 1 + len;
}

static size_t put_account(const struct socks5 *s, uint8_t *out)
{
	size_t len = 0;

	out[len++] = AUTH_VERSION;
	len += put_field(out + len, s->user);
	return len + put_field(out + len, s->password);
}

static size_t put_request(const struct socks5 *s, uint8_t *out)
{
	const struct in6_addr *ip = &s->to->address.ip;
	uint16_t port = s->to->address.port;
	size_t len = 4;

	memcpy(out, (uint8_t[]){ VERSION, COMMAND_CONNECT, 0, 0 }, len);
	if (s->to->name[0]) {
		out[3] = TYPE_NAME;
		len += put_field(out + len, s->to->name);
	} else if (address_is_v4(&s->to->address)) {
		out[3] = TYPE_IPV4;
		memcpy(out + len, &ip->s6_addr[12], 4);
		len += 4;
	} else {
		out[3] = TYPE_IPV6;
		memcpy(out + len, ip, 16);
		len += 16;
	}
	out[len++] = (uint8_t)(port >> 8);
	out[len++] = (uint8_t)port;
	return len;
}

static int got_method(struct socks5 *s, uint8_t *out, size_t *out_len)
{
	s->code = s->in[1];
	if (s->in[0] != VERSION)
		return -EPROTO;
	if (s->code == METHOD_NO_OTHER || (s->code == METHOD_PASSWORD && !s->user))
		return -EKEYREJECTED;
	if (s->code == METHOD_PASSWORD) {
		*out_len = put_account(s, out);
		expect(s, SOCKS5_AUTH, 2);
	} else if (s->code == METHOD_NONE) {
		*out_len = put_request(s, out);
		expect(s, SOCKS5_REPLY, REPLY_HEAD);
	} else {
		return -EPROTO;
	}
	return 0;
}

static int got_auth(struct socks5 *s, uint8_t *out, size_t *out_len)
{
	s->code = s->in[1];
	if (s->in[0] != AUTH_VERSION)
		return -EPROTO;
	if (s->code)
		return -EKEYREJECTED;
	*out_len = put_request(s, out);
	expect(s, SOCKS5_REPLY, REPLY_HEAD);
	return 0;
}

static int reply_error(uint8_t code)
{
	switch (code) {
	case 3: /* network unreachable */
	case 4: /* host unreachable */
	case 6: /* TTL expired */
		return -EHOSTUNREACH;
	case 5:
		return -ECONNREFUSED;
	default:
		return -EREMOTEIO;
	}
}

static int got_reply(struct socks5 *s)
{
	s->code = s->in[1];
	if (s->in[0] != VERSION)
		return -EPROTO;
	/* On failure the rest is of no use, and some servers leave it out. */
	if (s->code)
		return reply_error(s->code);
	if (s->have > REPLY_HEAD) {
		s->state = SOCKS5_DONE;
		return 1;
	}
	if (s->in[3] == TYPE_IPV4)
		s->want = 4 + 4 + 2;
	else if (s->in[3] == TYPE_IPV6)
		s->want = 4 + 16 + 2;
	else if (s->in[3] == TYPE_NAME)
		s->want = 4 + 1 + s->in[4] + 2U;
	else
		return -EPROTO;
	return 0;
}

static int got_message(struct socks5 *s, uint8_t *out, size_t *out_len)
{
	switch (s->state) {
	case SOCKS5_METHOD:
		return got_method(s, out, out_len);
	case SOCKS5_AUTH:
		return got_auth(s, out, out_len);
	case SOCKS5_REPLY:
		return got_reply(s);
	case SOCKS5_DONE:
		break;
	}
	return 1;
}

/* A refusal may be cut short after its code. */
static bool is_complete(const struct socks5 *s)
{
	return s->have == s->want || (s->state == SOCKS5_REPLY && s->have == 2 && s->in[1]);
}

int socks5_feed(struct socks5 *s, const uint8_t *in, size_t n, size_t *used, uint8_t *out,
		size_t *out_len)
{
	int r = s->state == SOCKS5_DONE;

	*used = 0;
	*out_len = 0;
	while (!r && !*out_len && *used < n) {
		s->in[s->have++] = in[(*used)++];
		if (is_complete(s))
			r = got_message(s, out, out_len);
	}
	return r;
}

const char *socks5_reason(const struct socks5 *s)
{
	static const char *const replies[] = {
		"succeeded", "general failure", "not allowed by its rules", "network unreachable",
		"host unreachable", "connection refused", "TTL expired", "command not supported",
		"address type not supported",
	};

	if (s->state == SOCKS5_METHOD)
		return s->code == METHOD_PASSWORD ? "it wants user and password"
						  : "no way to log in, or not SOCKS5";
	if (s->state == SOCKS5_AUTH)
		return "wrong user or password";
	return s->code < sizeof(replies) / sizeof(replies[0]) ? replies[s->code] : "unknown reply";
}
