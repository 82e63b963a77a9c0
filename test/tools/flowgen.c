/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * flowgen: checked TCP flows in numbers. Both ends check every byte, every length and every
 * close (lib/flow.h), and report in one line of JSON. The same seed gives the same flows.
 */
#include "lib/args.h"
#include "lib/fleet.h"
#include "lib/pattern.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: flowgen server ADDR:PORT [OPTION ...]\n"
	"       flowgen client ADDR:PORT [OPTION ...]     many flows of random size and order\n"
	"       flowgen hold COUNT ADDR:PORT [OPTION ...]  keep idle connections\n"
	"       flowgen reconnect COUNT ADDR:PORT --bind ADDR:PORT [OPTION ...]\n"
	"                                                 one tuple, again and again\n"
	"       flowgen rate CPS SECONDS ADDR:PORT [OPTION ...]  new connections at a fixed rate\n"
	"\n"
	"ADDR:PORT is 10.0.0.1:80 or [fd01::1]:80; a server takes PORT alone for all addresses.\n"
	"\n"
	"  -n, --flows N      flows in all (client; default 1)\n"
	"  -c, --parallel N   flows at once (client and rate; default: all)\n"
	"  --max-size BYTES   largest random size of a direction (default 64K)\n"
	"  --up BYTES         exactly so many bytes to the server\n"
	"  --down BYTES       exactly so many bytes to the client\n"
	"  --order ORDER      free, server-waits, client-waits, client-fin-last,\n"
	"                     server-fin-last, client-rst, or random (default)\n"
	"  --seed N           another set of flows (default 1)\n"
	"  --bind ADDR:PORT   source of connections\n"
	"  --stuck SECONDS    a flow without progress for so long has failed (default 60)\n"
	"\n"
	"server: reports on SIGUSR1, and at the end, on SIGTERM. client, reconnect, rate: report\n"
	"at the end; exit 0 if every flow was right. hold: prints the report when each connection\n"
	"is served or has failed, again on SIGUSR1 after asking all for an answer, and at SIGTERM.\n"
	"Sizes take K, M and G.\n";

struct options {
	uint64_t flows, parallel, max_size, up, down, seed, stuck;
	bool has_up, has_down, has_bind, random_order;
	enum flow_order order;
	struct sockaddr_storage bind_to, to;
};

static const char *const order_names[FLOW_ORDERS] = {
	[FLOW_FREE] = "free",
	[FLOW_SERVER_WAITS] = "server-waits",
	[FLOW_CLIENT_WAITS] = "client-waits",
	[FLOW_CLIENT_FIN_LAST] = "client-fin-last",
	[FLOW_SERVER_FIN_LAST] = "server-fin-last",
	[FLOW_CLIENT_RST] = "client-rst",
	[FLOW_ECHO] = "echo",
};

/* Set by handlers, read and cleared by the loops of the modes. */
static volatile sig_atomic_t want_report, want_end;

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		want_report = 1;
	else
		want_end = 1;
}

static void parse_order(struct options *o, const char *text)
{
	o->random_order = false;
	for (int i = 0; i < FLOW_ECHO; i++) {
		if (!strcmp(text, order_names[i])) {
			o->order = (enum flow_order)i;
			return;
		}
	}
	if (strcmp(text, "random"))
		die_usage("order '%s': unknown", text);
	o->random_order = true;
}

enum { OPT_MAX = 256, OPT_UP, OPT_DOWN, OPT_ORDER, OPT_SEED, OPT_BIND, OPT_STUCK };

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "flows", 1, NULL, 'n' },	 { "parallel", 1, NULL, 'c' },
		{ "max-size", 1, NULL, OPT_MAX }, { "up", 1, NULL, OPT_UP },
		{ "down", 1, NULL, OPT_DOWN },	 { "order", 1, NULL, OPT_ORDER },
		{ "seed", 1, NULL, OPT_SEED },	 { "bind", 1, NULL, OPT_BIND },
		{ "stuck", 1, NULL, OPT_STUCK }, { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .flows = 1, .max_size = 65536, .seed = 1, .stuck = 60,
			       .random_order = true };
	while ((c = getopt_long(argc, argv, "n:c:h", table, NULL)) != -1) {
		switch (c) {
		case 'n': o->flows = arg_u64("flows", optarg, 10000000); break;
		case 'c': o->parallel = arg_u64("parallel", optarg, 1000000); break;
		case OPT_MAX: o->max_size = arg_u64("size", optarg, 1ULL << 48); break;
		case OPT_UP: o->up = arg_u64("size", optarg, 1ULL << 48); o->has_up = true; break;
		case OPT_DOWN:
			o->down = arg_u64("size", optarg, 1ULL << 48);
			o->has_down = true;
			break;
		case OPT_ORDER: parse_order(o, optarg); break;
		case OPT_SEED: o->seed = arg_u64("seed", optarg, UINT64_MAX); break;
		case OPT_BIND: arg_sockaddr(&o->bind_to, optarg); o->has_bind = true; break;
		case OPT_STUCK: o->stuck = arg_u64("seconds", optarg, 86400); break;
		case 'h': fputs(usage_text, stdout); exit(0);
		default: fputs(usage_text, stderr); exit(2);
		}
	}
}

static uint64_t random_size(uint64_t *rng, uint64_t max)
{
	uint64_t r = rng_next(rng);

	/* An empty direction is a case of its own and must be common. */
	return r % 8 == 0 ? 0 : (r >> 8) % (max + 1);
}

static struct flow *make_flow(const struct options *o, uint64_t id)
{
	struct flow *f = fleet_new_flow();
	uint64_t rng = o->seed ^ id * 0x9e3779b97f4a7c15;

	f->id = o->seed << 32 | id;
	f->up = o->has_up ? o->up : random_size(&rng, o->max_size);
	f->down = o->has_down ? o->down : random_size(&rng, o->max_size);
	f->order = o->random_order ? (enum flow_order)(rng_next(&rng) % FLOW_RANDOM_ORDERS)
				   : o->order;
	return f;
}

static void start_flow(struct fleet *fleet, const struct options *o, struct flow *f)
{
	flow_connect(f, &o->to, o->has_bind ? &o->bind_to : NULL);
	fleet_add(fleet, f);
}

static void report(const struct fleet *fleet, const char *more)
{
	putchar('{');
	fleet_print(fleet, stdout);
	printf("%s}\n", more);
	fflush(stdout);
}

static void explain_failure(struct fleet *fleet, const struct flow *f)
{
	(void)fleet;
	if (f->result != FLOW_OK)
		fprintf(stderr,
			"flow %" PRIx64 " (%s, up %" PRIu64 ", down %" PRIu64 ", %s): %s, sent %" PRIu64
			", received %" PRIu64 "%s%s\n",
			f->id, f->client ? "client" : "server", f->up, f->down,
			order_names[f->order], flow_result_names[f->result], f->sent, f->received,
			f->fin_sent ? ", closed" : "", f->eof_seen ? ", peer closed" : "");
}

static int run_server(const struct options *o)
{
	struct fleet fleet;

	fleet_init(&fleet);
	fleet.stuck_ns = o->stuck * 1000000000;
	fleet.ended = explain_failure;
	fleet_listen(&fleet, &o->to);
	fprintf(stderr, "ready\n");
	while (!want_end) {
		fleet_poll(&fleet, 1000);
		if (want_report) {
			want_report = 0;
			report(&fleet, "");
		}
	}
	report(&fleet, "");
	fleet_clear(&fleet);
	return 0;
}

static int run_client(const struct options *o)
{
	uint64_t parallel = o->parallel ? o->parallel : o->flows;
	uint64_t begun = 0, start = now_ns();
	struct fleet fleet;
	char more[64];

	fleet_init(&fleet);
	fleet.stuck_ns = o->stuck * 1000000000;
	fleet.ended = explain_failure;
	while (!want_end && (begun < o->flows || fleet.open)) {
		/* Some at a time, so that answers are read while connections are made. */
		for (int i = 0; i < 64 && begun < o->flows && fleet.open < parallel; i++)
			start_flow(&fleet, o, make_flow(o, begun++));
		fleet_poll(&fleet, begun < o->flows && fleet.open < parallel ? 0 : 100);
	}
	snprintf(more, sizeof(more), ",\"seconds\":%.3f", (double)(now_ns() - start) / 1e9);
	report(&fleet, more);
	fleet_clear(&fleet);
	return fleet_failed(&fleet) || fleet_ended(&fleet) != o->flows;
}

/* ---- hold ------------------------------------------------------------------------------- */

static uint64_t count_served(const struct fleet *fleet)
{
	uint64_t n = 0;

	for (const struct flow *f = fleet->first; f; f = f->next)
		n += f->echo_want && f->received == f->echo_want;
	return n;
}

static void report_held(struct fleet *fleet)
{
	char more[64];

	snprintf(more, sizeof(more), ",\"served\":%" PRIu64, count_served(fleet));
	report(fleet, more);
}

/* Ask every connection for an answer and wait until all gave one or `stuck` is over. */
static void ask_all(struct fleet *fleet, const struct options *o)
{
	uint64_t until = now_ns() + o->stuck * 1000000000;

	for (struct flow *f = fleet->first; f; f = f->next) {
		if (f->connecting || f->received < f->echo_want)
			continue; /* it owes an answer already */
		f->echo_want++;
		fleet_update(fleet, f);
	}
	while (!want_end && now_ns() < until && count_served(fleet) < fleet->open)
		fleet_poll(fleet, 50);
}

static int run_hold(struct options *o, uint64_t count)
{
	struct fleet fleet;

	o->random_order = false;
	o->order = FLOW_ECHO;
	fleet_init(&fleet);
	for (uint64_t i = 0; i < count; i++) {
		struct flow *f = make_flow(o, i);

		f->up = f->down = 0;
		f->echo_want = 1;
		start_flow(&fleet, o, f);
		if (i % 64 == 63)
			fleet_poll(&fleet, 0);
	}
	for (uint64_t until = now_ns() + o->stuck * 1000000000;
	     !want_end && now_ns() < until && count_served(&fleet) < fleet.open;)
		fleet_poll(&fleet, 50);
	report_held(&fleet);
	while (!want_end) {
		fleet_poll(&fleet, 100);
		if (want_report) {
			want_report = 0;
			ask_all(&fleet, o);
			report_held(&fleet);
		}
	}
	report_held(&fleet);
	fleet_clear(&fleet);
	return 0;
}

/* ---- reconnect and rate: with times ------------------------------------------------------ */

struct times {
	uint64_t *ns;
	size_t n, max;
	uint64_t timeouts; /* flows that were slow because something had to be sent again */
};

/* Linux waits so long for the answer to a SYN (TCP_TIMEOUT_INIT), up to a tick. */
#define SYN_TIMEOUT_NS 990000000ULL

static bool has_sent_again(const struct flow *f)
{
	struct tcp_info info = { .tcpi_total_retrans = 0 };
	socklen_t len = sizeof(info);

	return !getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_total_retrans;
}

static void note_time(struct fleet *fleet, const struct flow *f)
{
	struct times *t = fleet->arg;
	uint64_t took = now_ns() - f->started;

	explain_failure(fleet, f);
	if (f->result != FLOW_OK || t->n == t->max)
		return;
	t->ns[t->n++] = took;
	t->timeouts += took >= SYN_TIMEOUT_NS && has_sent_again(f);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double percentile_ms(const struct times *t, unsigned int percent)
{
	return t->n ? (double)t->ns[(t->n - 1) * percent / 100] / 1e6 : 0;
}

static void report_times(const struct fleet *fleet, struct times *t)
{
	char more[160];

	qsort(t->ns, t->n, sizeof(*t->ns), by_value);
	snprintf(more, sizeof(more),
		 ",\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"timeouts\":%" PRIu64,
		 percentile_ms(t, 50), percentile_ms(t, 99), percentile_ms(t, 100), t->timeouts);
	report(fleet, more);
}

static void times_init(struct times *t, struct fleet *fleet, uint64_t max)
{
	*t = (struct times){ .max = max };
	t->ns = calloc(max ? max : 1, sizeof(*t->ns));
	if (!t->ns)
		die("out of memory");
	fleet->arg = t;
	fleet->ended = note_time;
}

/*
 * The tuple is ours again when the acknowledgement of our last FIN has come, a moment after the
 * flow has ended.
 */
static void start_on_same_tuple(struct fleet *fleet, const struct options *o, uint64_t id)
{
	uint64_t until = now_ns() + o->stuck * 1000000000;
	struct flow *f = make_flow(o, id);

	flow_connect(f, &o->to, &o->bind_to);
	while (f->result && (f->error == EADDRNOTAVAIL || f->error == EADDRINUSE) &&
	       now_ns() < until) {
		flow_close(f);
		free(f);
		usleep(200);
		f = make_flow(o, id);
		flow_connect(f, &o->to, &o->bind_to);
	}
	fleet_add(fleet, f);
}

static int run_reconnect(const struct options *o, uint64_t count)
{
	struct fleet fleet;
	struct times times;

	if (!o->has_bind || !sockaddr_port(&o->bind_to))
		die_usage("reconnect needs --bind ADDR:PORT");
	fleet_init(&fleet);
	fleet.stuck_ns = o->stuck * 1000000000;
	times_init(&times, &fleet, count);
	for (uint64_t i = 0; i < count && !want_end; i++) {
		start_on_same_tuple(&fleet, o, i);
		while (fleet.open && !want_end)
			fleet_poll(&fleet, 100);
	}
	report_times(&fleet, &times);
	free(times.ns);
	fleet_clear(&fleet);
	return fleet_failed(&fleet) || fleet_ended(&fleet) != count;
}

static int run_rate(const struct options *o, uint64_t cps, uint64_t seconds)
{
	uint64_t total = cps * seconds, gap = 1000000000 / cps, start = now_ns(), begun = 0;
	uint64_t parallel = o->parallel ? o->parallel : UINT64_MAX;
	struct fleet fleet;
	struct times times;

	fleet_init(&fleet);
	fleet.stuck_ns = o->stuck * 1000000000;
	times_init(&times, &fleet, total);
	while (!want_end && (begun < total || fleet.open)) {
		uint64_t now = now_ns(), due = start + begun * gap;

		/* With a bound, a relay that is slower than the rate gets less, not a queue. */
		for (; begun < total && due <= now && fleet.open < parallel; due += gap) {
			struct flow *f = make_flow(o, begun++);

			start_flow(&fleet, o, f);
		}
		fleet_poll(&fleet, begun < total && due > now && due - now < 2000000 ? 0 : 1);
	}
	report_times(&fleet, &times);
	free(times.ns);
	fleet_clear(&fleet);
	return fleet_failed(&fleet) || fleet_ended(&fleet) != total;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

int main(int argc, char **argv)
{
	static const struct { const char *name; int words; } modes[] = {
		{ "server", 2 }, { "client", 2 }, { "hold", 3 }, { "reconnect", 3 }, { "rate", 4 },
	};
	struct options o;
	const char *mode;
	char **words;

	parse_options(&o, argc, argv);
	words = argv + optind;
	argc -= optind;
	mode = argc ? words[0] : "";
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(mode, modes[i].name) || argc != modes[i].words)
			continue;
		arg_sockaddr(&o.to, words[argc - 1]);
		catch_signals();
		switch (i) {
		case 0: return run_server(&o);
		case 1: return run_client(&o);
		case 2: return run_hold(&o, arg_u64("count", words[1], 1000000));
		case 3: return run_reconnect(&o, arg_u64("count", words[1], 10000000));
		case 4: return run_rate(&o, arg_u64("rate", words[1], 1000000) ?: 1,
					arg_u64("seconds", words[2], 86400));
		}
	}
	fputs(usage_text, stderr);
	return 2;
}
