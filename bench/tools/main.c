/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

static int up_run(const struct load_options *o)
{
	return bulk_run(o, false);
}

static int down_run(const struct load_options *o)
{
	return bulk_run(o, true);
}

static const struct mode {
	const char *name;
	int (*run)(const struct load_options *o);
	const char *help;
} modes[] = {
	{ "up", up_run, "send as fast as it goes" },
	{ "down", down_run, "receive as fast as it goes" },
	{ "connections", connections_run, "connect, request, response, close, again" },
	{ "requests", requests_run, "request, response, again on the same connections" },
	{ "datagrams", datagrams_run, "send UDP as fast as it goes, count what arrives" },
	{ "idle", idle_run, "one exchange on each of -P connections, then hold them" },
	{ "who", who_run, "print what the server answers, hold until standard input ends" },
};

static void print_usage(FILE *to)
{
	fprintf(to, "usage: relay-load MODE ADDRESS PORT[-LAST] [-P N] [-s BYTES] [-t SECONDS]\n"
		    "                  [-w WARM-UP] [-p PID,...] [-n PATH] [-a]\n\n"
		    "The client of the relay benchmark. Prints one JSON object.\n\n");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		fprintf(to, "  %-12s %s\n", modes[i].name, modes[i].help);
	fprintf(to, "\n  -P N         connections at once (1)\n"
		    "  -s BYTES     of a request and of its response (64)\n"
		    "  -t SECONDS   to measure (1), after -w SECONDS (0.2) of the same load\n"
		    "  -p PID,...   processes whose CPU time and memory are reported\n"
		    "  -n PATH      network namespace of the server, to count what arrives\n"
		    "  -a           keep the CPUs awake\n");
}

int load_connect(const struct load_options *o, uint32_t number)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr = o->address,
		.sin_port = htons((uint16_t)(o->port + number % o->n_ports)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno == EINPROGRESS)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

int who_run(const struct load_options *o)
{
	const struct timeval patience = { .tv_sec = 5 };
	char line[128];
	int fd = load_connect(o, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	n = recv(fd, line, sizeof(line), 0);
	if (n <= 0) {
		n = n < 0 ? -errno : -ECONNABORTED;
		close(fd);
		return (int)n;
	}
	printf("%.*s", (int)n, line);
	fflush(stdout);
	while (read(STDIN_FILENO, line, sizeof(line)) > 0)
		;
	close(fd);
	return 0;
}

static bool parse_ports(struct load_options *o, const char *text)
{
	unsigned first, last;
	char end;
	int n = sscanf(text, "%u-%u%c", &first, &last, &end);

	if (n == 1 && !strchr(text, '-'))
		last = first;
	else if (n != 2)
		return false;
	if (!first || last < first || last > 65535)
		return false;
	o->port = (uint16_t)first;
	o->n_ports = (uint16_t)(last - first + 1);
	return true;
}

static bool parse_pids(struct load_options *o, char *text)
{
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (o->n_watched == WATCH_MAX || atoi(word) <= 0)
			return false;
		o->watched[o->n_watched++] = atoi(word);
	}
	return true;
}

static bool parse_options(struct load_options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "P:s:t:w:p:n:a")) != -1) {
		switch (c) {
		case 'P':
			o->parallel = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o->size = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 't':
			o->seconds = atof(optarg);
			break;
		case 'w':
			o->warm_up = atof(optarg);
			break;
		case 'p':
			if (!parse_pids(o, optarg))
				return false;
			break;
		case 'n':
			o->server_netns = optarg;
			break;
		case 'a':
			o->keep_awake = true;
			break;
		default:
			return false;
		}
	}
	return o->parallel && o->seconds > 0 && optind + 3 == argc &&
	       inet_aton(argv[optind + 1], &o->address) && parse_ports(o, argv[optind + 2]);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* if not, connecting says so */
}

int main(int argc, char **argv)
{
	struct load_options o = { .parallel = 1, .size = 64, .warm_up = 0.2, .seconds = 1 };
	const struct mode *mode = NULL;
	int r;

	if (!parse_options(&o, argc, argv)) {
		print_usage(stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, argv[optind]))
			mode = &modes[i];
	if (!mode) {
		print_usage(stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	r = mode->run(&o);
	if (r < 0)
		fprintf(stderr, "relay-load: %s: %s\n", mode->name, strerror(-r));
	return r < 0 ? 1 : 0;
}
