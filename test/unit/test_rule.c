/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rule language: what is accepted and how it is printed, what is refused and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rule_grammar.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what is accepted -------------------------------------------------------------------- */

static const struct accepted {
	const char *text, *printed;
} accepted[] = {
	/* match */
	{ "1 pass", "1 pass" },
	{ "2147483647 pass", "2147483647 pass" },
	{ "1 in pass", "1 in pass" },
	{ "1 out pass", "1 out pass" },
	{ "1 on eth0 pass", "1 on eth0 pass" },
	{ "1 on eth0,br-lan,eth0,wg0.7 pass", "1 on eth0,br-lan,wg0.7 pass" },
	{ "1 on port pass", "1 on port pass" },
	{ "1 on abcdefghijklmno pass", "1 on abcdefghijklmno pass" },
	{ "1 tcp pass", "1 tcp pass" },
	{ "1 udp pass", "1 udp pass" },
	{ "1 tcp,udp pass", "1 pass" },
	{ "1 udp,tcp,udp pass", "1 pass" },
	{ "1 udp,udp pass", "1 udp pass" },
	{ "1 from any to any pass", "1 pass" },
	{ "1 from 10.0.0.0/8 pass", "1 from 10.0.0.0/8 pass" },
	{ "1 from 10.1.2.3/32,2001:db8::/32,10.1.2.3 pass", "1 from 10.1.2.3,2001:db8::/32 pass" },
	{ "1 to @cdn pass", "1 to @cdn pass" },
	{ "1 to @any pass", "1 to @any pass" },
	{ "1 from not @a to not 10.0.0.0/8,::1 pass", "1 from not @a to not 10.0.0.0/8,::1 pass" },
	{ "1 from not 0.0.0.0/0 to ::/0 pass", "1 from not 0.0.0.0/0 to ::/0 pass" },
	{ "1 from 10.0.0.0/8 to not ::/0 pass", "1 from 10.0.0.0/8 to not ::/0 pass" },
	{ "1 from 10.0.0.0/8,::1 to ::2 pass", "1 from 10.0.0.0/8,::1 to ::2 pass" },
	{ "1 sport 1024-65535 pass", "1 sport 1024-65535 pass" },
	{ "1 port 443,80,8000-8080,80,443-443 pass", "1 port 443,80,8000-8080 pass" },
	{ "1 port 1,65535 pass", "1 port 1,65535 pass" },
	{ "1 uid 0 pass", "1 uid 0 pass" },
	{ "1 out uid 4294967294 pass", "1 out uid 4294967294 pass" },
	{ "1 uid 1000-1000 pass", "1 uid 1000 pass" },
	{ "1 uid 1000-1999 pass", "1 uid 1000-1999 pass" },
	{ "1 cgroup system.slice/a#b.service pass", "1 cgroup /system.slice/a#b.service pass" },
	{ "1 cgroup //user.slice//x/ pass", "1 cgroup /user.slice/x pass" },
	{ "1 cgroup /caf\xc3\xa9 pass", "1 cgroup /caf\xc3\xa9 pass" },
	/* action */
	{ "1 drop", "1 drop" },
	{ "1 reject", "1 reject" },
	{ "1 proxy", "1 proxy" },
	{ "1 proxy default", "1 proxy" },
	{ "1 proxy dns", "1 proxy dns" },
	{ "1 proxy A.b_c-9", "1 proxy A.b_c-9" },
	{ "1 proxy abcdefghijklmnopqrstuvwxyz01234", "1 proxy abcdefghijklmnopqrstuvwxyz01234" },
	{ "1 proxy tcp,udp port 53", "1 port 53 proxy" },
	{ "1 proxy log", "1 proxy log" },
	{ "1 proxy port 80", "1 port 80 proxy" },
	{ "1 route", "1 route" },
	{ "1 route via 192.0.2.1", "1 route via 192.0.2.1" },
	{ "1 route dev wg0 via 2001:db8::1", "1 route via 2001:db8::1 dev wg0" },
	{ "1 route via fe80::1 dev eth0", "1 route via fe80::1 dev eth0" },
	{ "1 route dev dev", "1 route dev dev" },
	{ "1 route via @a.b", "1 route via @a.b" },
	{ "1 route via @g fail closed", "1 route via @g fail closed" },
	{ "1 route dev e0 fail closed", "1 route dev e0 fail closed" },
	{ "1 route fail open", "1 route" },
	/* options */
	{ "1 proxy fail open", "1 proxy" },
	{ "1 proxy fail closed", "1 proxy fail closed" },
	{ "1 proxy limit 100", "1 proxy limit 100/s" },
	{ "1 proxy limit 1/s per rule", "1 proxy limit 1/s" },
	{ "1 pass limit 1000000/s burst 50000", "1 pass limit 1000000/s" },
	{ "1 pass limit 7 burst 1", "1 pass limit 7/s" },
	{ "1 route limit 5 per src burst 7", "1 route limit 5/s burst 7 per src" },
	{ "1 reject limit 5/s", "1 reject limit 5/s" },
	{ "1 drop audit log", "1 drop log audit" },
	/* order */
	{ "1 proxy dns fail closed udp port 53", "1 udp port 53 proxy dns fail closed" },
	{ "1 port 53 udp proxy to ::1 log from ::2 in",
	  "1 in udp from ::2 to ::1 port 53 proxy log" },
	{ "1 route via 10.0.0.1 dev eth0 out tcp limit 9 burst 3 on eth1",
	  "1 out on eth1 tcp route via 10.0.0.1 dev eth0 limit 9/s burst 3" },
	{ " \t1\t \tpass \t", "1 pass" },
	/* comment */
	{ "1 pass #", "1 pass" },
	{ "1 pass # \t ", "1 pass" },
	{ "1 pass #x", "1 pass # x" },
	{ "1 pass #  let # it\tbe ", "1 pass # let # it\tbe" },
	{ "1 pass ## x", "1 pass # # x" },
	{ "1 pass # \xe2\x82\xac \xf0\x9f\x98\x80", "1 pass # \xe2\x82\xac \xf0\x9f\x98\x80" },
};

static void check_accepted(const struct accepted *a)
{
	struct shunt_rule rule, again;
	char err[256] = "";
	char *text, *text_again;

	if (shunt_rule_parse(&rule, a->text, err, sizeof(err)))
		fail_msg("\"%s\": %s", a->text, err);
	text = shunt_rule_format(&rule);
	assert_string_equal(text, a->printed);
	assert_int_equal(shunt_rule_parse(&again, text, err, sizeof(err)), 0);
	assert_true(shunt_rule_equal(&rule, &again));
	text_again = shunt_rule_format(&again);
	assert_string_equal(text_again, text);
	free(text);
	free(text_again);
	shunt_rule_clear(&rule);
	shunt_rule_clear(&again);
}

static void test_accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(accepted); i++)
		check_accepted(&accepted[i]);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at++)
		if ((at == text || at[-1] == ' ') && (at[len] == ' ' || !at[len]))
			return true;
	return false;
}

/* A word without a case above is a hole in this test. */
static void test_every_word_accepted(void **state)
{
	(void)state;
	for (size_t w = 0; w < RULE_WORD_MAX; w++) {
		bool found = false;

		for (size_t i = 0; i < COUNT(accepted) && !found; i++)
			found = has_word(accepted[i].text, rule_words[w].name);
		if (!found)
			fail_msg("no case with '%s'", rule_words[w].name);
	}
}

/* What a rule's fields become, once in full. */
static void test_fields(void **state)
{
	static const char text[] = "7 out on a,b udp from not 10.0.0.0/8 sport 5-6 to @s port 53 "
				   "uid 3-4 cgroup /x proxy t fail closed limit 8 burst 9 per src "
				   "log audit # c d";
	struct shunt_rule r;
	char err[256];

	(void)state;
	assert_int_equal(shunt_rule_parse(&r, text, err, sizeof(err)), 0);
	assert_int_equal(r.priority, 7);
	assert_int_equal(r.dirs, SHUNT_DIR_OUT);
	assert_int_equal(r.protos, SHUNT_PROTO_UDP);
	assert_int_equal(r.n_devices, 2);
	assert_string_equal(r.devices[1], "b");
	assert_true(r.from.negated && r.from.n == 1 && r.from.v[0].len == 104);
	assert_true(r.from.set[0] == '\0' && !r.to.negated && r.to.n == 0);
	assert_string_equal(r.to.set, "s");
	assert_true(r.sport.n == 1 && r.sport.v[0].lo == 5 && r.sport.v[0].hi == 6);
	assert_true(r.port.n == 1 && r.port.v[0].lo == 53 && r.port.v[0].hi == 53);
	assert_true(r.has_uid && r.uid_lo == 3 && r.uid_hi == 4);
	assert_string_equal(r.cgroup, "/x");
	assert_int_equal(r.action, SHUNT_ACT_PROXY);
	assert_string_equal(r.target, "t");
	assert_int_equal(r.fail, SHUNT_FAIL_CLOSED);
	assert_int_equal(r.limit_per, SHUNT_LIMIT_PER_SRC);
	assert_true(r.limit_rate == 8 && r.limit_burst == 9);
	assert_true(r.log && r.audit && !r.has_via);
	assert_string_equal(r.comment, "c d");
	shunt_rule_clear(&r);
	assert_true(!r.comment && !r.cgroup && !r.devices && !r.priority);

	assert_int_equal(shunt_rule_parse(&r, "8 proxy limit 5", err, sizeof(err)), 0);
	assert_int_equal(r.dirs, SHUNT_DIR_IN | SHUNT_DIR_OUT);
	assert_int_equal(r.protos, SHUNT_PROTO_TCP | SHUNT_PROTO_UDP);
	assert_string_equal(r.target, "default");
	assert_int_equal(r.limit_per, SHUNT_LIMIT_PER_RULE);
	assert_int_equal(r.limit_burst, 0);
	shunt_rule_clear(&r);
}

/* ---- what is refused --------------------------------------------------------------------- */

static const struct refused {
	const char *text, *err;
} refused[] = {
	/* priority */
	{ "", "empty: a rule begins with its priority" },
	{ " # only", "empty: a rule begins with its priority" },
	{ "pass", "a rule begins with its priority, not 'pass'" },
	{ "-1 pass", "a rule begins with its priority, not '-1'" },
	{ "0 pass", "priority '0': not in 1..2147483647" },
	{ "2147483648 pass", "priority '2147483648': not in 1..2147483647" },
	{ "18446744073709551617 pass", "priority '18446744073709551617': not in 1..2147483647" },
	{ "99999999999999999999999999 pass",
	  "priority '99999999999999999999999999': not in 1..2147483647" },
	{ "1x pass", "priority '1x': not a number" },
	{ "01 pass", "priority '01': not a number (it begins with 0)" },
	/* words */
	{ "1 prot 80", "unknown word 'prot', did you mean 'proxy'" },
	{ "1 pas", "unknown word 'pas', did you mean 'pass'" },
	{ "1 pass adit", "unknown word 'adit', did you mean 'audit'" },
	{ "1 pass x log", "unknown word 'x'" },
	{ "1 Pass", "unknown word 'Pass', did you mean 'pass'" },
	{ "1 pass,", "unknown word 'pass,', did you mean 'pass'" },
	{ "1 tcp,icmp pass", "unknown word 'tcp,icmp'" },
	{ "1 tcp, pass", "unknown word 'tcp,', did you mean 'tcp'" },
	{ "1 pass#x", "unknown word 'pass#x', did you mean 'pass'" },
	{ "1 xyzzy pass", "unknown word 'xyzzy'" },
	{ "1 a\x01\xff'b", "unknown word 'a\\x01\\xff'b'" },
	{ "1 pass\r", "unknown word 'pass\\x0d', did you mean 'pass'" },
	{ "1 pass\n2 pass", "unknown word 'pass\\x0a2', did you mean 'pass'" },
	{ "1 port 80 port 90 pass", "'port' is given twice" },
	{ "1 pass pass", "'pass' is given twice" },
	{ "1 proxy limit 1 burst 1 burst 2", "'burst' is given twice" },
	{ "1 tcp udp pass", "the protocol is given twice; for both write 'tcp,udp'" },
	{ "1 in out pass", "in does not go with out" },
	{ "1 pass drop", "pass does not go with drop" },
	{ "1 in uid 5 pass", "uid does not go with in" },
	{ "1 in cgroup /a pass", "cgroup does not go with in" },
	{ "1 pass fail open", "fail goes with proxy or route" },
	{ "1 drop limit 5", "limit goes with pass, reject, proxy or route" },
	{ "1 log pass", "log stands after the action" },
	{ "1 fail open proxy", "fail stands after the action" },
	{ "1 proxy via 10.0.0.1", "via stands right after route" },
	{ "1 route tcp dev eth0", "dev stands right after route" },
	{ "1 proxy burst 5", "burst stands right after limit" },
	{ "1 proxy limit 5 log per src", "per stands right after limit" },
	{ "1 any pass", "any stands after from or to" },
	{ "1 not @a pass", "not stands after from or to" },
	{ "1 proxy closed", "closed stands after fail" },
	{ "1 proxy src", "src stands after per" },
	{ "1", "no action: one of pass, drop, reject, proxy, route" },
	{ "1 in tcp port 80", "no action: one of pass, drop, reject, proxy, route" },
	/* values */
	{ "1 pass port", "port needs a value" },
	{ "1 pass to # x", "to needs a value" },
	{ "1 pass to not", "not needs a value" },
	{ "1 proxy fail", "fail needs a value" },
	{ "1 proxy fail shut", "fail 'shut': not one of open, closed" },
	{ "1 proxy fail src", "fail 'src': not one of open, closed" },
	{ "1 proxy limit 5 per uid", "per 'uid': not one of src, rule" },
	{ "1 on eth0, pass", "on 'eth0,': nothing before or after a comma" },
	{ "1 on , pass", "on ',': nothing before or after a comma" },
	{ "1 on eth0,,eth1 pass", "on 'eth0,,eth1': nothing before or after a comma" },
	{ "1 on abcdefghijklmnop pass",
	  "on 'abcdefghijklmnop': an interface name has 1..15 characters" },
	{ "1 on a/b pass", "on 'a/b': not an interface name" },
	{ "1 on a:b pass", "on 'a:b': not an interface name" },
	{ "1 on .. pass", "on '..': not an interface name" },
	{ "1 on \xc3\xa9 pass", "on '\\xc3\\xa9': not an interface name" },
	{ "1 from 10.0.0.256 pass", "from '10.0.0.256': not an address" },
	{ "1 to 10.0.0.1/8 pass", "to '10.0.0.1/8': host bits are set, did you mean 10.0.0.0/8" },
	{ "1 to ::1,2001:db8::1/32 pass",
	  "to '2001:db8::1/32': host bits are set, did you mean 2001:db8::/32" },
	{ "1 to 10.0.0.0/33 pass", "to '10.0.0.0/33': the prefix length is not 0..32" },
	{ "1 to ::/129 pass", "to '::/129': the prefix length is not 0..128" },
	{ "1 to ::ffff:1.2.3.4 pass", "to '::ffff:1.2.3.4': write a v4-mapped address as IPv4" },
	{ "1 to 10.0.0.1, 10.0.0.2 pass", "to '10.0.0.1,': nothing before or after a comma" },
	{ "1 to not any pass", "to 'not any': matches nothing" },
	{ "1 to not not @a pass", "'not' is given twice" },
	{ "1 to @a,@b pass", "to '@a': a set stands alone, not in a list" },
	{ "1 to ::1,@b pass", "to '@b': a set stands alone, not in a list" },
	{ "1 to @ pass", "set '': a name has 1..31 characters" },
	{ "1 to @-a pass", "set '-a': a name does not begin with '-'" },
	{ "1 to any,::1 pass", "to 'any': not an address" },
	{ "1 from 10.0.0.0/8 to ::1 pass", "matches nothing: from is IPv4 and to is IPv6" },
	{ "1 from ::1 to 10.0.0.1 pass", "matches nothing: from is IPv6 and to is IPv4" },
	{ "1 from ::1 to not ::/0 pass", "matches nothing: from is IPv6 and to is IPv4" },
	{ "1 to not ::/0,0.0.0.0/0 pass", "to matches nothing: all addresses are excluded" },
	{ "1 port 80x pass", "port '80x': not a number" },
	{ "1 port 80,9x pass", "port '9x': not a number" },
	{ "1 port http pass", "port 'http': not a number" },
	{ "1 port 0 pass", "port '0': not in 1..65535" },
	{ "1 port 65536 pass", "port '65536': not in 1..65535" },
	{ "1 port 080 pass", "port '080': not a number (it begins with 0)" },
	{ "1 port +80 pass", "port '+80': not a number" },
	{ "1 port 90-80 pass", "port '90-80': the range runs backwards" },
	{ "1 port 80- pass", "port '80-': not a number" },
	{ "1 port -80 pass", "port '-80': not a number" },
	{ "1 port 1-2-3 pass", "port '1-2-3': not a number" },
	{ "1 sport 0-5 pass", "sport '0-5': not in 1..65535" },
	{ "1 uid 4294967295 pass", "uid '4294967295': not in 0..4294967294" },
	{ "1 uid root pass", "uid 'root': not a number" },
	{ "1 uid 5-4 pass", "uid '5-4': the range runs backwards" },
	{ "1 cgroup / pass", "cgroup '/': every process is in the root; leave 'cgroup' out" },
	{ "1 cgroup /a/../b pass",
	  "cgroup '/a/../b': '.' and '..' are not parts of a cgroup's path" },
	{ "1 cgroup /\x7f pass", "cgroup '/\\x7f': the path is not printable UTF-8" },
	{ "1 proxy -x", "proxy '-x': a name does not begin with '-'" },
	{ "1 proxy .x", "proxy '.x': a name does not begin with '.'" },
	{ "1 proxy x,y", "proxy 'x,y': a name has letters, digits, '.', '_' and '-' only" },
	{ "1 proxy abcdefghijklmnopqrstuvwxyz012345",
	  "proxy 'abcdefghijklmnopqrstuvwxyz012345': a name has 1..31 characters" },
	{ "1 route via 10.0.0.0/8", "via '10.0.0.0/8': not an address" },
	{ "1 route via 224.0.0.1", "via '224.0.0.1': not the address of a next hop" },
	{ "1 route via 127.0.0.1", "via '127.0.0.1': not the address of a next hop" },
	{ "1 route via ::", "via '::': not the address of a next hop" },
	{ "1 route via ff02::1", "via 'ff02::1': not the address of a next hop" },
	{ "1 route via fe80::1", "via a link-local address needs dev" },
	{ "1 route via @", "group '': a name has 1..31 characters" },
	{ "1 route via @g dev eth0", "dev does not go with via @g: next hops have their own" },
	{ "1 route fail closed", "fail closed with route needs via or dev" },
	{ "1 to 10.0.0.0/8 route via 2001:db8::1", "via is IPv6 and the addresses are not" },
	{ "1 from 2001:db8::/32 route via 10.0.0.1", "via is IPv4 and the addresses are not" },
	{ "1 route dev a/b", "dev 'a/b': not an interface name" },
	{ "1 proxy limit 0", "limit '0': not in 1..1000000" },
	{ "1 proxy limit 1000001/s", "limit '1000001': not in 1..1000000" },
	{ "1 proxy limit 5/m", "limit '5/m': not a number" },
	{ "1 proxy limit /s", "limit '/s': not a number" },
	{ "1 proxy limit 5 burst 0", "burst '0': not in 1..1000000" },
	/* comment */
	{ "1 pass # a\x02", "comment 'a\\x02': not printable UTF-8" },
	{ "1 pass # \xc3(", "comment '\\xc3(': not printable UTF-8" },
	{ "1 pass # \xc0\x80", "comment '\\xc0\\x80': not printable UTF-8" },
	{ "1 pass # \xc2\x85", "comment '\\xc2\\x85': not printable UTF-8" },
	{ "1 pass # \xed\xa0\x80", "comment '\\xed\\xa0\\x80': not printable UTF-8" },
	{ "1 pass # \xf8\x80\x80\x80\x80",
	  "comment '\\xf8\\x80\\x80\\x80\\x80': not printable UTF-8" },
	{ "1 pass # \xe2\x82", "comment '\\xe2\\x82': not printable UTF-8" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct shunt_rule rule, before;
		char err[256] = "";

		memset(&rule, 0x5a, sizeof(rule));
		before = rule;
		if (shunt_rule_parse(&rule, refused[i].text, err, sizeof(err)) != -EINVAL)
			fail_msg("\"%s\" is accepted", refused[i].text);
		assert_string_equal(err, refused[i].err);
		assert_memory_equal(&rule, &before, sizeof(rule));
	}
}

/* ---- messages, lengths, equality ----------------------------------------------------------- */

static void test_message_sizes(void **state)
{
	struct shunt_rule rule;
	char text[4000], err[300];

	(void)state;
	memset(text, '\x01', sizeof(text));
	memcpy(text, "1 pass to ", 10);
	text[sizeof(text) - 1] = '\0';
	for (size_t size = 0; size <= 256; size++) {
		memset(err, 'X', sizeof(err));
		assert_int_equal(shunt_rule_parse(&rule, text, err, size), -EINVAL);
		assert_int_equal(err[size], 'X');
		if (size > 0)
			assert_true(strlen(err) < size);
	}
	assert_non_null(strstr(err, "\\x01..."));
	assert_non_null(strstr(err, "': not an address"));
	assert_int_equal(shunt_rule_parse(&rule, text, NULL, 0), -EINVAL);
}

/* "1 port 1,2,...,n pass" */
static char *many_ports(unsigned int n)
{
	char *text = malloc(n * 6 + 32), *at = text;

	at += sprintf(at, "1 port ");
	for (unsigned int i = 1; i <= n; i++)
		at += sprintf(at, "%s%u", i > 1 ? "," : "", i);
	strcpy(at, " pass");
	return text;
}

static void test_long_lists(void **state)
{
	struct shunt_rule rule;
	char err[256], *text, *printed;

	(void)state;
	text = many_ports(10000);
	assert_int_equal(shunt_rule_parse(&rule, text, err, sizeof(err)), 0);
	assert_int_equal(rule.port.n, 10000);
	printed = shunt_rule_format(&rule);
	assert_string_equal(printed, text);
	free(printed);
	free(text);
	shunt_rule_clear(&rule);

	/* Duplicates in a list long enough to be sorted: the first of each stays in its place. */
	text = malloc(20000);
	strcpy(text, "1 pass port 9,8,7");
	for (int i = 0; i < 1000; i++)
		strcat(text, i % 2 ? ",8,1" : ",9,3-5");
	assert_int_equal(shunt_rule_parse(&rule, text, err, sizeof(err)), 0);
	printed = shunt_rule_format(&rule);
	assert_string_equal(printed, "1 port 9,8,7,3-5,1 pass");
	free(printed);
	free(text);
	shunt_rule_clear(&rule);
}

static void test_long_texts(void **state)
{
	struct shunt_rule rule;
	char err[256], *text = malloc(RULE_TEXT_MAX + 2), *at;

	(void)state;
	memset(text, 'c', RULE_TEXT_MAX + 1);
	memcpy(text, "1 pass # ", 9);
	text[RULE_TEXT_MAX + 1] = '\0';
	assert_int_equal(shunt_rule_parse(&rule, text, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "longer than 65536 bytes");
	text[RULE_TEXT_MAX] = '\0';
	assert_int_equal(shunt_rule_parse(&rule, text, err, sizeof(err)), 0);
	shunt_rule_clear(&rule);

	/* "::f:f" is printed as "::0.15.0.15": what could not be read back is refused. */
	at = text + sprintf(text, "1 pass to ");
	for (unsigned int i = 0; at - text < 60000; i++)
		at += sprintf(at, "%s::%x:f", i ? "," : "", i + 1);
	assert_int_equal(shunt_rule_parse(&rule, text, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "longer than 65536 bytes when written out; use a set");
	free(text);
}

/* Two different rules are not equal, whichever of their fields differs. */
static void test_not_equal(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(accepted); i++) {
		struct shunt_rule a, b;
		char err[256];

		assert_int_equal(shunt_rule_parse(&a, accepted[i].text, err, sizeof(err)), 0);
		for (size_t j = 0; j < COUNT(accepted); j++) {
			assert_int_equal(shunt_rule_parse(&b, accepted[j].text, err, sizeof(err)),
					 0);
			assert_int_equal(shunt_rule_equal(&a, &b),
					 !strcmp(accepted[i].printed, accepted[j].printed));
			shunt_rule_clear(&b);
		}
		shunt_rule_clear(&a);
	}
}

/* A burst that is a twentieth of the rate is the default burst, also in a rule that no parser made. */
static void test_equal_burst(void **state)
{
	struct shunt_rule a, b;
	char err[256], *text;

	(void)state;
	assert_int_equal(shunt_rule_parse(&a, "1 pass limit 100", err, sizeof(err)), 0);
	b = a;
	b.limit_burst = 5;
	assert_true(shunt_rule_equal(&a, &b));
	b.stat.packets = 9;
	assert_true(shunt_rule_equal(&a, &b));
	text = shunt_rule_format(&b);
	assert_string_equal(text, "1 pass limit 100/s");
	free(text);
	b.limit_burst = 6;
	assert_false(shunt_rule_equal(&a, &b));
	shunt_rule_clear(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_every_word_accepted),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_message_sizes),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_not_equal),
		cmocka_unit_test(test_equal_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
