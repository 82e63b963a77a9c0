// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "proxy_client.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shunt/control.h"

enum { PATIENCE_S = 30 };

/* ---- JSON --------------------------------------------------------------------------------- */

const char *json_text(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) && value
		       ? json_object_get_string(value) : "";
}

uint64_t json_number(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_uint64(value) : 0;
}

/* ---- the connection ----------------------------------------------------------------------- */

static int find_netns(const char *name, unsigned long long *out)
{
	char path[4096] = "/proc/self/ns/net";
	struct stat st;

	if (name)
		snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : "/run/netns/",
			 name);
	if (stat(path, &st) < 0)
		return shunt_err(-errno, "cannot find network namespace '%s': %s",
				 name ? name : path, strerror(errno));
	*out = st.st_ino;
	return 0;
}

static int explain_failure(int r, const char *target, const char *path)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return shunt_err(r, "no shuntd serves target '%s' here: nobody listens on '%s'",
				 target, path);
	return shunt_err(r, "cannot ask the shuntd of target '%s' on '%s': %s", target, path,
			 strerror(-r));
}

static int open_socket(const struct globals *g, const char *target)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	const char *instance = g->where.instance ? g->where.instance : "default";
	unsigned long long netns;
	int fd, r = find_netns(g->where.netns, &netns);

	if (r < 0)
		return r;
	if (strchr(instance, '/') || strchr(target, '/') ||
	    shunt_run_path(sa.sun_path, netns, instance, target, "control") < 0)
		return shunt_err(-EINVAL, "'%s': not a name of a target", target);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return explain_failure(-errno, target, sa.sun_path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		r = -errno;
		close(fd);
		return explain_failure(r, target, sa.sun_path);
	}
	return fd;
}

static int send_request(int fd, const char *request)
{
	char line[SHUNT_CONTROL_REQUEST_MAX];
	int len = snprintf(line, sizeof(line), "%d %s\n", SHUNT_CONTROL_VERSION, request);

	if ((size_t)len >= sizeof(line))
		return shunt_err(-EINVAL, "the request is longer than %zu bytes", sizeof(line));
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) != len)
		return shunt_err(-errno, "cannot ask shuntd: %s", strerror(errno));
	return 0;
}

/* ---- the answer --------------------------------------------------------------------------- */

struct reader {
	FILE *in;
	proxy_line_fn fn;
	void *arg;
	struct json_object *end;
};

static int take_end(struct reader *r, struct json_object *line)
{
	if (!strcmp(json_text(line, "end"), "ok")) {
		r->end = line;
		return 1;
	}
	shunt_err(-EPROTO, "shuntd: %s", json_text(line, "message"));
	json_object_put(line);
	return -EPROTO;
}

/* 0: there are more, 1: that was the last. */
static int take_line(struct reader *r, const char *text)
{
	struct json_object *line = json_tokener_parse(text);

	if (!json_object_is_type(line, json_type_object)) {
		json_object_put(line);
		return shunt_err(-EPROTO, "shuntd gave an answer that is no JSON");
	}
	if (json_object_object_get_ex(line, "end", NULL))
		return take_end(r, line);
	if (r->fn)
		r->fn(r->arg, line);
	json_object_put(line);
	return 0;
}

static int read_answer(struct reader *r)
{
	char text[SHUNT_CONTROL_LINE_MAX];
	int done = 0;

	while (!done) {
		errno = 0;
		if (!fgets(text, sizeof(text), r->in))
			return shunt_err(-EPROTO, "shuntd broke off its answer: %s",
					 errno ? strerror(errno) : "the connection has ended");
		done = take_line(r, text);
	}
	return done < 0 ? done : 0;
}

int proxy_ask(const struct globals *g, const char *target, const char *request, proxy_line_fn fn,
	      void *arg, struct json_object **end)
{
	struct reader reader = { .fn = fn, .arg = arg };
	int fd = open_socket(g, target), r;

	if (fd < 0)
		return fd;
	r = send_request(fd, request);
	reader.in = r ? NULL : fdopen(fd, "r");
	if (!reader.in) {
		close(fd);
		return r ? r : shunt_err(-ENOMEM, "out of memory");
	}
	r = read_answer(&reader);
	fclose(reader.in);
	if (end)
		*end = reader.end;
	else
		json_object_put(reader.end);
	return r;
}
