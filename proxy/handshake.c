/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "handshake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http_connect.h"
#include "loop.h"
#include "proxy_header.h"
#include "socks5.h"
#include "upstream.h"

enum stage { STAGE_VIA, STAGE_HEADER, STAGE_END };

struct handshake {
	enum stage stage;
	bool final;
	struct peer_name to;
	union {
		struct socks5 socks5;
		struct http_connect http;
	};
	size_t out_at, out_len;
	char out[HTTP_CONNECT_OUT];
};

_Static_assert((int)HTTP_CONNECT_OUT >= (int)SOCKS5_OUT, "SOCKS5 fits");
_Static_assert((int)HTTP_CONNECT_OUT > (int)PROXY_HEADER_MAX, "the header fits");

static void begin_via(struct handshake *h, const struct flow *f)
{
	const struct target_settings *s = f->target->settings;

	if (!s->destination || !peer_name_parse(&h->to, s->destination))
		h->to.address = f->destination;
	if (s->via == VIA_SOCKS5)
		h->out_len = socks5_begin(&h->socks5, s->via_user, s->via_password, &h->to,
					  (uint8_t *)h->out);
	else
		h->out_len = http_connect_begin(&h->http, s->via_user, s->via_password, &h->to,
						h->out);
}

static void begin_header(struct handshake *h, const struct flow *f)
{
	uint32_t version = f->target->settings->proxy_protocol;

	h->stage = STAGE_HEADER;
	h->out_at = 0;
	if (version == HEADER_V1)
		h->out_len = proxy_header_v1(h->out, &f->client, &f->destination);
	else if (version == HEADER_V2)
		h->out_len = proxy_header_v2(h->out, &f->client, &f->destination);
	else
		h->stage = STAGE_END;
}

struct handshake *handshake_new(const struct flow *f)
{
	struct handshake *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	if (f->target->settings->via == VIA_NONE)
		begin_header(h, f);
	else
		begin_via(h, f);
	return h;
}

/* 0 all is sent, -EAGAIN, or what went wrong. */
static int send_out(struct handshake *h, struct flow *f)
{
	struct end *e = &f->end[SERVER];

	while (h->out_at < h->out_len) {
		ssize_t n = send(e->fd, h->out + h->out_at, h->out_len - h->out_at,
				 MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		e->sent |= n > 0; /* the client's bytes are not the first: no Nagle for them */
		h->out_at += n > 0 ? (size_t)n : 0;
	}
	h->out_len = 0;
	h->out_at = 0;
	return 0;
}

int handshake_greet(struct handshake *h, struct flow *f)
{
	int r = send_out(h, f);

	return r == -EAGAIN || r == -EINPROGRESS ? 0 : r;
}

static void say_refused(struct handshake *h, struct flow *f, int error)
{
	char proxy[ADDRESS_STR], to[PEER_NAME_STR], status[32];
	const char *why = status;

	if (f->target->settings->via == VIA_SOCKS5)
		why = socks5_reason(&h->socks5);
	else if (error == -EPROTO)
		why = "not an answer of HTTP/1";
	else
		snprintf(status, sizeof(status), "status %u", h->http.status);
	flowlog_warn(&f->loop->log, "proxy %s did not connect to %s: %s",
		     address_str(proxy, upstream_address(f)), peer_name_str(to, &h->to), why);
}

/* What belongs to the handshake is known only once it is parsed: look first, then take it. */
static int read_via(struct handshake *h, struct flow *f)
{
	int fd = f->end[SERVER].fd;
	char in[1024];
	ssize_t n = recv(fd, in, sizeof(in), MSG_PEEK);
	size_t used;
	int r;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (!n)
		return -ECONNRESET; /* it left in the middle */
	if (f->target->settings->via == VIA_SOCKS5)
		r = socks5_feed(&h->socks5, (uint8_t *)in, (size_t)n, &used, (uint8_t *)h->out,
				&h->out_len);
	else
		r = http_connect_feed(&h->http, in, (size_t)n, &used);
	if (r < 0) {
		h->final = true;
		say_refused(h, f, r);
		return r;
	}
	if (recv(fd, in, used, 0) != (ssize_t)used)
		return -EIO;
	return r;
}

int handshake_run(struct handshake *h, struct flow *f, bool *room)
{
	int r;

	*room = false;
	while (h->stage != STAGE_END) {
		r = send_out(h, f);
		*room = r == -EAGAIN;
		if (r < 0)
			return r;
		if (h->stage == STAGE_HEADER) {
			h->stage = STAGE_END;
			break;
		}
		r = read_via(h, f);
		if (r < 0)
			return r;
		if (r > 0)
			begin_header(h, f);
	}
	return 0;
}

bool handshake_is_final(const struct handshake *h)
{
	return h->final;
}
