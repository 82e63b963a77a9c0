/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Settings: one table for the file and the command line, strict values, clear messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "settings.h"
#include "settings_file.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int load(struct settings *s, const char *text, char *err, size_t size)
{
	FILE *in = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int r;

	assert_non_null(in);
	r = settings_load(s, in, "f.yml", err, size);
	fclose(in);
	return r;
}

static void test_defaults(void **state)
{
	struct settings s;

	(void)state;
	assert_int_equal(settings_init(&s), 0);
	assert_string_equal(s.targets[0]->name, "default");
	assert_string_equal(s.instance, "default");
	assert_string_equal(s.user, "nobody");
	assert_null(s.netns);
	assert_int_equal(s.targets[0]->source, SOURCE_PROXY);
	assert_int_equal(s.targets[0]->connect_timeout, 10);
	assert_int_equal(s.targets[0]->idle_timeout, 7440);
	assert_int_equal(s.targets[0]->half_closed_timeout, 60);
	assert_int_equal(s.drain_timeout, 30);
	assert_int_equal(s.workers, 0);
	assert_false(s.targets[0]->log_flows);
	settings_release(&s);
}

static void test_names_differ(void **state)
{
	(void)state;
	for (size_t i = 0; i < settings_count; i++) {
		assert_ptr_equal(settings_find(settings_table[i].name), &settings_table[i]);
		assert_non_null(settings_table[i].help);
		assert_int_equal(!settings_table[i].argument,
				 settings_table[i].type == SETTING_FLAG);
	}
	assert_null(settings_find("nothing"));
}

static void test_file(void **state)
{
	char err[256] = "";
	struct settings s;

	(void)state;
	settings_init(&s);
	assert_int_equal(load(&s,
			      "# a comment\n"
			      "target: web\n"
			      "source: client-port\n"
			      "log-flows: true\n"
			      "workers: 64\n"
			      "idle-timeout: \"300\"\n",
			      err, sizeof(err)), 0);
	assert_string_equal(s.targets[0]->name, "web");
	assert_int_equal(s.targets[0]->source, SOURCE_CLIENT_PORT);
	assert_true(s.targets[0]->log_flows);
	assert_int_equal(s.workers, 64);
	assert_int_equal(s.targets[0]->idle_timeout, 300);
	assert_int_equal(s.targets[0]->connect_timeout, 10);
	settings_release(&s);
}

static void test_targets(void **state)
{
	char err[256] = "";
	struct settings s;

	(void)state;
	settings_init(&s);
	assert_int_equal(load(&s,
			      "targets:\n"
			      "  web: &fast\n"
			      "    idle-timeout: 60\n"
			      "    source: proxy\n"
			      "  mail:\n"
			      "  like-web: *fast\n"
			      "source: client\n" /* also after them */
			      "workers: 3\n",
			      err, sizeof(err)), 0);
	assert_int_equal(s.n_targets, 3);
	assert_int_equal(s.workers, 3);
	assert_string_equal(s.targets[0]->name, "web");
	assert_int_equal(s.targets[0]->source, SOURCE_PROXY);
	assert_int_equal(s.targets[0]->idle_timeout, 60);
	assert_int_equal(s.targets[0]->connect_timeout, 10);
	assert_string_equal(s.targets[1]->name, "mail");
	assert_int_equal(s.targets[1]->source, SOURCE_CLIENT);
	assert_int_equal(s.targets[1]->idle_timeout, 7440);
	assert_ptr_equal(settings_target(&s, "like-web"), s.targets[2]);
	assert_int_equal(s.targets[2]->idle_timeout, 60);
	assert_null(settings_target(&s, "default"));
	/* An option is of them all, and a name of none. */
	assert_int_equal(settings_set(&s, settings_find("source"), "client-port", err,
				      sizeof(err)), 0);
	for (uint32_t i = 0; i < s.n_targets; i++)
		assert_int_equal(s.targets[i]->source, SOURCE_CLIENT_PORT);
	assert_int_equal(settings_set(&s, settings_find("target"), "x", err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "target: the file has targets of its own");
	settings_release(&s);
}

static void test_longest_password(void **state)
{
	char text[512], err[256] = "";
	struct settings s;

	(void)state;
	for (int n = 255; n <= 256; n++) {
		snprintf(text, sizeof(text), "upstreams: 192.0.2.1:1\nvia: socks5\nvia-user: u\n"
			 "targets:\n  a:\n    via-password: %0*d\n", n, 0);
		settings_init(&s);
		assert_int_equal(load(&s, text, err, sizeof(err)), n == 255 ? 0 : -EINVAL);
		settings_release(&s);
	}
	assert_string_equal(err, "f.yml:6:19: via-password: longer than 255 bytes");
}

static void test_upstreams(void **state)
{
	static const char *const texts[] = {
		"upstreams: 192.0.2.1:80, [2001:db8::1]:65535 weight 256 ,192.0.2.2:1\n",
		"upstreams: [192.0.2.1:80, '[2001:db8::1]:65535  weight  256', 192.0.2.2:1]\n",
		("upstreams: 192.0.2.9:9\ntargets: {default: {upstreams: [192.0.2.1:80, "
		 "'[2001:db8::1]:65535 weight 256', '192.0.2.2:1 weight 1']}}\n"),
	};
	char err[256] = "", text[ADDRESS_STR];

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct upstream_list *list;
		struct settings s;

		settings_init(&s);
		assert_int_equal(load(&s, texts[i], err, sizeof(err)), 0);
		list = &s.targets[0]->upstreams;
		assert_int_equal(list->n, 3);
		assert_string_equal(address_str(text, &list->v[0].address), "192.0.2.1:80");
		assert_int_equal(list->v[0].weight, 1);
		assert_string_equal(address_str(text, &list->v[1].address),
				    "[2001:db8::1]:65535");
		assert_int_equal(list->v[1].weight, 256);
		assert_int_equal(list->v[2].weight, 1);
		/* A bad list leaves the one that is there. */
		assert_int_equal(settings_set(&s, settings_find("upstreams"), "192.0.2.7:7,x", err,
					      sizeof(err)), -EINVAL);
		assert_int_equal(list->n, 3);
		assert_int_equal(settings_set(&s, settings_find("upstreams"), "192.0.2.7:7", err,
					      sizeof(err)), 0);
		assert_int_equal(list->n, 1);
		settings_release(&s);
	}
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {
		"", ":", ":80", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
		"192.0.2.1:8 0", "192.0.2.1:+80", "192.0.2:80", "2001:db8::1:80", "[192.0.2.1]:80",
		"[2001:db8::1]", "[2001:db8::1:80", "[]:80", "[::ffff:192.0.2.1]:80", "[::1]x:80",
		"192.0.2.1:000080", "localhost:80",
	};
	struct address a;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(address_parse(&a, bad[i]));
}

static void test_number_of_targets(void **state)
{
	char text[4096], err[256] = "";
	struct settings s;

	(void)state;
	for (int n = 63; n <= 64; n++) {
		size_t len = (size_t)snprintf(text, sizeof(text), "targets:\n");

		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "  t%d:\n", i);
		settings_init(&s);
		assert_int_equal(load(&s, text, err, sizeof(err)), n == 63 ? 0 : -EINVAL);
		settings_release(&s);
	}
	assert_string_equal(err, "f.yml:2:3: more than 63 targets");
}

static void test_empty_files(void **state)
{
	static const char *const texts[] = { "# nothing\n", "\n", "{}\n", "---\n" };
	char err[256] = "";
	struct settings s;

	(void)state;
	settings_init(&s);
	for (size_t i = 0; i < COUNT(texts); i++)
		assert_int_equal(load(&s, texts[i], err, sizeof(err)), 0);
	settings_release(&s);
}

static void test_bad_files(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "bogus: 1\n", "f.yml:1:1: 'bogus': unknown setting" },
		{ "target: a\nconfig: x\n", "f.yml:2:1: 'config': unknown setting" },
		{ "workers: 1\nworkers: 2\n", "f.yml:2:1: 'workers': given twice" },
		{ "\nworkers: 65\n", "f.yml:2:10: workers: '65': not a number from 1 to 64" },
		{ "workers: 0x4\n", "f.yml:1:10: workers: '0x4': not a number from 1 to 64" },
		{ "workers: -1\n", "f.yml:1:10: workers: '-1': not a number from 1 to 64" },
		{ "workers: 1 2\n", "f.yml:1:10: workers: '1 2': not a number from 1 to 64" },
		{ "workers:\n", "f.yml:1:9: workers: '': not a number from 1 to 64" },
		{ "workers: 99999999999999999999\n",
		  "f.yml:1:10: workers: '99999999999999999999': not a number from 1 to 64" },
		{ "log-flows: maybe\n", "f.yml:1:12: log-flows: 'maybe': neither true nor false" },
		{ "source: server\n", "f.yml:1:9: source: 'server': not proxy, client, client-port or pool" },
		{ "netns: ''\n", "f.yml:1:8: netns: needs a value" },
		{ "target: a/b\n",
		  "f.yml:1:9: target: 'a/b': not 1 to 31 letters, digits, '-', '_' or '.'" },
		{ "target: ..\n",
		  "f.yml:1:9: target: '..': not 1 to 31 letters, digits, '-', '_' or '.'" },
		{ "workers: [1]\n", "f.yml:1:10: expected a value, not a list" },
		{ "workers: {a: 1}\n", "f.yml:1:10: expected a value, not a mapping" },
		{ "- workers\n", "f.yml:1:1: expected 'setting: value'" },
		{ "workers\n", "f.yml:1:1: expected 'setting: value'" },
		{ "target: \"a\\0b\"\n", "f.yml:1:9: a value holds a NUL byte" },
		{ "workers: 1\n--- \nport: 1\n", "f.yml:3:1: a second document" },
		{ "a\tb\xc3\xa9: 1\n", "f.yml:1:1: 'a\?b\?\?': unknown setting" },
		{ "[a]: 1\n", "f.yml:1:1: expected a value, not a list" },
		{ "upstreams: [192.0.2.1:80, 192.0.2.1]\n",
		  "f.yml:1:27: upstreams: '192.0.2.1': not ADDR:PORT, or ADDR:PORT weight 1 to 256" },
		{ "upstreams: 192.0.2.1:80 weight 257\n",
		  "f.yml:1:12: upstreams: '192.0.2.1:80 weight 257': not ADDR:PORT, or ADDR:PORT "
		  "weight 1 to 256" },
		{ "upstreams: 192.0.2.1:80 wait 2\n",
		  "f.yml:1:12: upstreams: '192.0.2.1:80 wait 2': not ADDR:PORT, or ADDR:PORT weight "
		  "1 to 256" },
		{ "upstreams:\n- 192.0.2.1:1\n- 192.0.2.1:1\n",
		  "f.yml:3:3: upstreams: '192.0.2.1:1': given twice" },
		{ "upstreams: [[]]\n", "f.yml:1:13: expected a value, not a list" },
		{ "health-interval: 1\n", "f.yml:1:1: health-interval: needs 'upstreams'" },
		{ "health-interval: 1\ntargets:\n  a:\n    upstreams: 192.0.2.1:1\n  b:\n",
		  "f.yml:1:1: health-interval: needs 'upstreams'" },
		{ "via: socks5\n", "f.yml:1:1: via: needs 'upstreams', which are the proxies" },
		{ "destination: a:1\n", "f.yml:1:1: destination: needs 'via'" },
		{ "destination: a b:1\n",
		  "f.yml:1:14: destination: 'a b:1': not NAME:PORT or ADDR:PORT" },
		{ "upstreams: 192.0.2.1:1\nvia: socks5\nvia-password: x\n",
		  "f.yml:3:1: via-password: needs 'via-user'" },
		{ "upstreams: 192.0.2.1:1\nvia: connect\nvia-user: a:b\n",
		  "f.yml:3:1: via-user: a user of 'connect' has no ':'" },
		{ "source: pool\n", "f.yml:1:1: source: needs 'source-pool'" },
		{ "source-pool: 192.0.2.1\n", "f.yml:1:1: source-pool: needs 'source: pool'" },
		{ "source-pool: 192.0.2.1/24\n", "f.yml:1:14: source-pool: '192.0.2.1/24': not ADDR, "
		  "or ADDR/BITS without bits behind BITS" },
		{ "source-pool: [192.0.2.0/33]\n", "f.yml:1:15: source-pool: '192.0.2.0/33': not ADDR, "
		  "or ADDR/BITS without bits behind BITS" },
		{ "source: pool\nsource-pool: 10.0.0.0/19\nsource-pick: leastconn\n",
		  "f.yml:3:1: source-pick: leastconn counts 4096 addresses at most" },
		{ "source-ports: 2-1\n",
		  "f.yml:1:15: source-ports: '2-1': not LOW-HIGH, two ports" },
		{ "source-ports: 80\n", "f.yml:1:15: source-ports: '80': not LOW-HIGH, two ports" },
		{ "learn: heavy\n", "f.yml:1:8: learn: 'heavy': not SET timeout TIME when bytes over "
		  "N, or ... after N clean flows" },
		{ "learn:\n- a timeout 1h after 5 clean flows\n- b timeout 1h after 5 clean flows\n"
		  "- a timeout 1h when bytes over 1M\n- a timeout 2h after 6 clean flows\n",
		  "f.yml:5:3: learn: 'a timeout 2h after 6 clean flows': a line before says for set "
		  "'a' what is learned by flows" },
		{ "learn:\n- a timeout 1h after 5 clean flows\n- a timeout x after 5 clean flows\n",
		  "f.yml:3:3: learn: 'a timeout x after 5 clean flows': not a time as 30s, 5m, 1h30m "
		  "or 7d" },
		{ "targets:\n", "f.yml:1:9: expected 'NAME:' of a target" },
		{ "targets: {}\n", "f.yml:1:10: expected 'NAME:' of a target" },
		{ "targets: [a]\n", "f.yml:1:10: expected 'NAME:' of a target" },
		{ "targets:\n  a/b:\n",
		  "f.yml:2:3: target: 'a/b': not 1 to 31 letters, digits, '-', '_' or '.'" },
		{ "targets:\n  a: 7\n", "f.yml:2:6: expected settings of target 'a'" },
		{ "targets:\n  a:\n  b:\n  a:\n", "f.yml:4:3: 'a': given twice" },
		{ "targets: {a: }\ntargets: {b: }\n", "f.yml:2:1: 'targets': given twice" },
		{ "targets:\n  a:\n    source: no\n",
		  "f.yml:3:13: source: 'no': not proxy, client, client-port or pool" },
		{ "targets:\n  a:\n    bogus: no\n", "f.yml:3:5: 'bogus': unknown setting" },
		{ "targets:\n  a:\n    targets: {}\n", "f.yml:3:5: 'targets': unknown setting" },
		{ "targets:\n  a:\n    workers: 1\n",
		  "f.yml:3:5: 'workers': not a setting of a target" },
		{ "targets:\n  a:\n    target: b\n",
		  "f.yml:3:5: 'target': not a setting of a target" },
		{ "targets:\n  a:\n    source: client\n    source: proxy\n",
		  "f.yml:4:5: 'source': given twice" },
		{ "targets: {a: }\ntarget: b\n",
		  "f.yml:2:1: 'target': there are targets below 'targets'" },
	};
	char err[256];
	struct settings s;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		settings_init(&s);
		err[0] = '\0';
		assert_true(load(&s, cases[i].text, err, sizeof(err)) < 0);
		assert_string_equal(err, cases[i].message);
		settings_release(&s);
	}
}

static void test_broken_yaml(void **state)
{
	static const char *const texts[] = { "a: [1\n", "\tworkers: 1\n", "a: 'x\n", "{a: 1", "}" };
	char err[256];
	struct settings s;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		settings_init(&s);
		err[0] = '\0';
		assert_true(load(&s, texts[i], err, sizeof(err)) < 0);
		assert_int_equal(strncmp(err, "f.yml:", 6), 0);
		settings_release(&s);
	}
}

static void test_bad_value_changes_nothing(void **state)
{
	char err[128];
	struct settings s;

	(void)state;
	settings_init(&s);
	assert_int_equal(settings_set(&s, settings_find("workers"), "7", err, sizeof(err)), 0);
	assert_int_equal(settings_set(&s, settings_find("workers"), "70", err, sizeof(err)),
			 -EINVAL);
	assert_int_equal(s.workers, 7);
	assert_int_equal(settings_set(&s, settings_find("target"), "bad name", err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(s.targets[0]->name, "default");
	assert_int_equal(settings_set(&s, settings_find("log-flows"), NULL, err, sizeof(err)), 0);
	assert_true(s.targets[0]->log_flows);
	settings_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_names_differ),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_longest_password),
		cmocka_unit_test(test_upstreams),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_number_of_targets),
		cmocka_unit_test(test_empty_files),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_broken_yaml),
		cmocka_unit_test(test_bad_value_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
