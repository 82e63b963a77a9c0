// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "proxy_client.h"

#include <errno.h>
#include <glob.h>
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
	return shunt_err(r, "cannot ask the shuntd of target '%s' on '%s': %s%s", target, path,
			 strerror(-r),
			 r == -EACCES ? ": run it as root, or in the group of its setting "
					"'control-group'" : "");
}

static int find_path(const struct globals *g, const char *target, const char *kind, char *path)
{
	const char *instance = g->where.instance ? g->where.instance : "default";
	unsigned long long netns;
	int r = find_netns(g->where.netns, &netns);

	if (r < 0)
		return r;
	if (strchr(instance, '/') || strchr(target, '/') ||
	    shunt_run_path(path, netns, instance, target, kind) < 0)
		return shunt_err(-EINVAL, "'%s': not a name of a target", target);
	return 0;
}

static int connect_to(const char *path)
{
	struct timeval patience = { .tv_sec = PATIENCE_S };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(sa.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Of one that ends, and may be gone before it has answered: then nobody was asked. */
enum { GONE = -ENOTCONN };

static bool has_gone(int error)
{
	return !error || error == EPIPE || error == ECONNRESET;
}

static int send_request(int fd, const char *request, bool may_go)
{
	char line[SHUNT_CONTROL_REQUEST_MAX];
	int len = snprintf(line, sizeof(line), "%d %s\n", SHUNT_CONTROL_VERSION, request);

	if ((size_t)len >= sizeof(line))
		return shunt_err(-EINVAL, "the request is longer than %zu bytes", sizeof(line));
	if (send(fd, line, (size_t)len, MSG_NOSIGNAL) == len)
		return 0;
	if (may_go && has_gone(errno))
		return GONE;
	return shunt_err(-errno, "cannot ask shuntd: %s", strerror(errno));
}

/* ---- the answer --------------------------------------------------------------------------- */

struct reader {
	FILE *in;
	proxy_line_fn fn;
	void *arg;
	struct json_object *end;
	bool may_go; /* before the first line: GONE, without a message */
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
		if (!fgets(text, sizeof(text), r->in)) {
			if (r->may_go && has_gone(errno))
				return GONE;
			return shunt_err(-EPROTO, "shuntd broke off its answer: %s",
					 errno ? strerror(errno) : "the connection has ended");
		}
		r->may_go = false;
		done = take_line(r, text);
	}
	return done < 0 ? done : 0;
}

/* fd is closed. */
static int ask_on(int fd, const char *request, struct reader *reader, struct json_object **end)
{
	int r = send_request(fd, request, reader->may_go);

	reader->in = r ? NULL : fdopen(fd, "r");
	if (!reader->in) {
		close(fd);
		return r ? r : shunt_err(-ENOMEM, "out of memory");
	}
	r = read_answer(reader);
	fclose(reader->in);
	if (end)
		*end = reader->end;
	else
		json_object_put(reader->end);
	return r;
}

int proxy_ask(const struct globals *g, const char *target, const char *request, proxy_line_fn fn,
	      void *arg, struct json_object **end)
{
	struct reader reader = { .fn = fn, .arg = arg };
	char path[SHUNT_RUN_PATH_MAX];
	int fd, r = find_path(g, target, "control", path);

	if (r < 0)
		return r;
	fd = connect_to(path);
	return fd < 0 ? explain_failure(fd, target, path) : ask_on(fd, request, &reader, end);
}

/* ---- all that have flows of the target ---------------------------------------------------------- */

struct all {
	const char *request;
	proxy_line_fn fn, end_fn;
	void *arg;
	uint32_t asked;
};

static bool is_nobody(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

static int ask_one(struct all *a, const char *path, const char *target, bool draining)
{
	struct reader reader = { .fn = a->fn, .arg = a->arg, .may_go = draining };
	struct json_object *end = NULL;
	int fd = connect_to(path), r;

	if (is_nobody(fd))
		return 0;
	if (fd < 0)
		return explain_failure(fd, target, path);
	r = ask_on(fd, a->request, &reader, &end);
	if (r == GONE)
		return 0;
	a->asked++;
	if (!r && a->end_fn)
		a->end_fn(a->arg, end);
	json_object_put(end);
	return r;
}

/* NETNS-INSTANCE-TARGET.PID.draining, whatever else the name of another target may look like. */
static bool is_draining(const char *path, size_t prefix)
{
	size_t digits = strspn(path + prefix, "0123456789");

	return digits && !strcmp(path + prefix + digits, "." SHUNT_RUN_DRAINING) &&
	       strlen(path) < SHUNT_RUN_PATH_MAX;
}

static int ask_draining(struct all *a, const char *path, const char *target)
{
	size_t prefix = (size_t)(strrchr(path, '.') - path) + 1;
	char pattern[SHUNT_RUN_PATH_MAX + 32];
	glob_t found;
	int r = 0;

	/* Of a target's name only what one may have: no character has a meaning. */
	snprintf(pattern, sizeof(pattern), "%.*s*." SHUNT_RUN_DRAINING, (int)prefix, path);
	if (strpbrk(path, "*?[\\") || glob(pattern, 0, NULL, &found))
		return 0;
	for (size_t i = 0; i < found.gl_pathc && !r; i++)
		if (is_draining(found.gl_pathv[i], prefix))
			r = ask_one(a, found.gl_pathv[i], target, true);
	globfree(&found);
	return r;
}

int proxy_ask_all(const struct globals *g, const char *target, const char *request,
		  proxy_line_fn fn, proxy_line_fn end_fn, void *arg)
{
	struct all a = { .request = request, .fn = fn, .end_fn = end_fn, .arg = arg };
	char path[SHUNT_RUN_PATH_MAX];
	int r = find_path(g, target, "control", path);

	if (!r)
		r = ask_one(&a, path, target, false);
	if (!r)
		r = ask_draining(&a, path, target);
	return r || a.asked ? r : explain_failure(-ENOENT, target, path);
}
