/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "settings_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "learn_spec.h"
#include "peer_name.h"
#include "shunt/abi.h"

const char *setting_shown(char *buf, const char *value)
{
	size_t n = 0;

	for (; value[n] && n < SETTING_SHOWN - 8; n++)
		buf[n] = value[n] < ' ' || value[n] > '~' ? '?' : value[n];
	snprintf(buf + n, SETTING_SHOWN - n, "%s", value[n] ? "..." : "");
	return buf;
}

static int __attribute__((format(printf, 5, 6)))
bad_value(const struct setting *setting, const char *value, char *err, size_t err_size,
	  const char *fmt, ...)
{
	char shown[SETTING_SHOWN], why[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(err, err_size, "%s: '%s': %s", setting->name, setting_shown(shown, value), why);
	return -EINVAL;
}

static int set_text(const struct setting *setting, char **field, const char *value, char *err,
		    size_t err_size)
{
	char *copy = strdup(value);

	if (!copy) {
		snprintf(err, err_size, "%s: out of memory", setting->name);
		return -ENOMEM;
	}
	free(*field);
	*field = copy;
	return 0;
}

bool setting_is_name(const char *value)
{
	size_t len = strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_.");

	return len > 0 && len < SHUNT_NAME_LEN && !value[len] && value[0] != '.';
}

static bool parse_number(uint32_t *out, const char *value, uint32_t min, uint32_t max)
{
	unsigned long long n;
	size_t len = strlen(value);

	if (!len || len > 10 || strspn(value, "0123456789") != len)
		return false;
	n = strtoull(value, NULL, 10);
	if (n < min || n > max)
		return false;
	*out = (uint32_t)n;
	return true;
}

static bool parse_choice(uint32_t *out, const char *value, const char *const *words)
{
	for (uint32_t i = 0; words[i]; i++) {
		if (!strcmp(words[i], value)) {
			*out = i;
			return true;
		}
	}
	return false;
}

/* "proxy, client or client-port" */
static const char *list_words(char *buf, size_t size, const char *const *words)
{
	size_t len = 0;

	for (size_t i = 0; words[i] && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s",
					!i ? "" : words[i + 1] ? ", " : " or ", words[i]);
	return buf;
}

static bool parse_flag(bool *out, const char *value)
{
	if (!value || !strcmp(value, "true") || !strcmp(value, "yes"))
		*out = true;
	else if (!strcmp(value, "false") || !strcmp(value, "no"))
		*out = false;
	else
		return false;
	return true;
}

static bool parse_ports(struct port_range *out, const char *value)
{
	const char *dash = strchr(value, '-');
	struct port_range range;
	char low[8];

	if (!dash || dash - value >= (ptrdiff_t)sizeof(low))
		return false;
	snprintf(low, sizeof(low), "%.*s", (int)(dash - value), value);
	if (!address_parse_port(&range.low, low) || !address_parse_port(&range.high, dash + 1) ||
	    range.low > range.high)
		return false;
	*out = range;
	return true;
}

/* ---- lists ---- */

bool setting_is_list(const struct setting *setting)
{
	return setting->type >= SETTING_UPSTREAMS;
}

/* "ADDR:PORT" or "ADDR:PORT weight N" */
static bool parse_upstream(struct upstream_spec *out, const char *text)
{
	char address[80], number[8];
	int end = 0;

	out->weight = 1;
	if (sscanf(text, " %79s%n", address, &end) != 1 || !address_parse(&out->address, address))
		return false;
	text += end;
	if (!text[strspn(text, " ")])
		return true;
	if (sscanf(text, " weight %7s %n", number, &end) != 1 || text[end])
		return false;
	return parse_number(&out->weight, number, 1, UPSTREAM_WEIGHT_MAX);
}

static int append_upstream(const struct setting *setting, struct upstream_list *list,
			   const char *element, char *err, size_t err_size)
{
	struct upstream_spec spec, *v;

	if (!parse_upstream(&spec, element))
		return bad_value(setting, element, err, err_size,
				 "not ADDR:PORT, or ADDR:PORT weight 1 to %d", UPSTREAM_WEIGHT_MAX);
	for (uint32_t i = 0; i < list->n; i++)
		if (address_equal(&list->v[i].address, &spec.address))
			return bad_value(setting, element, err, err_size, "given twice");
	if (list->n == UPSTREAMS_MAX)
		return bad_value(setting, element, err, err_size, "more than %d", UPSTREAMS_MAX);
	v = reallocarray(list->v, list->n + 1, sizeof(*v));
	if (!v) {
		snprintf(err, err_size, "%s: out of memory", setting->name);
		return -ENOMEM;
	}
	list->v = v;
	v[list->n++] = spec;
	return 0;
}

/* "192.0.2.0/24", "2001:db8::/64", or an address */
static bool parse_prefix(struct prefix *out, const char *text)
{
	char word[64], rest;
	char *slash;
	uint32_t bits, most;

	if (sscanf(text, " %63s %c", word, &rest) != 1)
		return false;
	slash = strchr(word, '/');
	if (slash)
		*slash++ = '\0';
	if (!address_parse_ip(&out->ip, word))
		return false;
	most = IN6_IS_ADDR_V4MAPPED(&out->ip) ? 32 : 128;
	if (!slash)
		bits = most;
	else if (!parse_number(&bits, slash, 0, most))
		return false;
	out->bits = bits + 128 - most;
	for (uint32_t i = out->bits; i < 128; i++)
		if (out->ip.s6_addr[i / 8] & 0x80 >> i % 8)
			return false;
	return true;
}

static int append_prefix(const struct setting *setting, struct prefix_list *list,
			 const char *element, char *err, size_t err_size)
{
	struct prefix p, *v;

	if (!parse_prefix(&p, element))
		return bad_value(setting, element, err, err_size,
				 "not ADDR, or ADDR/BITS without bits behind BITS");
	if (list->n == PREFIXES_MAX)
		return bad_value(setting, element, err, err_size, "more than %d", PREFIXES_MAX);
	v = reallocarray(list->v, list->n + 1, sizeof(*v));
	if (!v) {
		snprintf(err, err_size, "%s: out of memory", setting->name);
		return -ENOMEM;
	}
	list->v = v;
	v[list->n++] = p;
	return 0;
}

/* What a set gets by bytes, and by flows, is said once: nothing else tells two lines apart. */
static bool is_learned_already(const struct learn_list *list, const struct learn_spec *spec)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i].set, spec->set) && !list->v[i].flows == !spec->flows)
			return true;
	return false;
}

static int append_learn(const struct setting *setting, struct learn_list *list,
			const char *element, char *err, size_t err_size)
{
	struct learn_spec spec, *v;
	const char *why;

	if (!learn_spec_parse(&spec, element, &why))
		return bad_value(setting, element, err, err_size, "%s", why);
	if (is_learned_already(list, &spec))
		return bad_value(setting, element, err, err_size,
				 "a line before says for set '%s' what is learned by %s", spec.set,
				 spec.flows ? "flows" : "bytes");
	if (list->n == LEARN_MAX)
		return bad_value(setting, element, err, err_size, "more than %d", LEARN_MAX);
	v = reallocarray(list->v, list->n + 1, sizeof(*v));
	if (!v) {
		snprintf(err, err_size, "%s: out of memory", setting->name);
		return -ENOMEM;
	}
	list->v = v;
	v[list->n++] = spec;
	return 0;
}

int setting_append(const struct setting *setting, void *field, const char *element, char *err,
		   size_t err_size)
{
	switch (setting->type) {
	case SETTING_UPSTREAMS:
		return append_upstream(setting, field, element, err, err_size);
	case SETTING_PREFIXES:
		return append_prefix(setting, field, element, err, err_size);
	case SETTING_LEARN:
		return append_learn(setting, field, element, err, err_size);
	default:
		return -EINVAL;
	}
}

/* All that a list of any type is made of. */
union any_list {
	struct upstream_list upstreams;
	struct prefix_list prefixes;
	struct learn_list learn;
};

static int parse_list(const struct setting *setting, void *field, const char *value, char *err,
		      size_t err_size)
{
	union any_list list = { 0 };
	char *copy = strdup(value), *rest = copy, *element;
	int r = 0;

	if (!copy) {
		snprintf(err, err_size, "%s: out of memory", setting->name);
		return -ENOMEM;
	}
	while (!r && (element = strsep(&rest, ",")))
		r = setting_append(setting, &list, element, err, err_size);
	free(copy);
	if (r < 0) {
		setting_clear(setting, &list);
		return r;
	}
	setting_clear(setting, field);
	if (setting->type == SETTING_UPSTREAMS)
		*(struct upstream_list *)field = list.upstreams;
	else if (setting->type == SETTING_LEARN)
		*(struct learn_list *)field = list.learn;
	else
		*(struct prefix_list *)field = list.prefixes;
	return 0;
}

/* ---- any ---- */

int setting_parse(const struct setting *setting, void *field, const char *value, char *err,
		  size_t err_size)
{
	struct peer_name peer;
	char words[96];

	switch (setting->type) {
	case SETTING_FIELD:
		if (strlen(value) > 255) {
			snprintf(err, err_size, "%s: longer than 255 bytes", setting->name);
			return -EINVAL;
		}
		/* fall through */
	case SETTING_TEXT:
		if (*value)
			return set_text(setting, field, value, err, err_size);
		snprintf(err, err_size, "%s: needs a value", setting->name);
		return -EINVAL;
	case SETTING_PEER:
		if (peer_name_parse(&peer, value))
			return set_text(setting, field, value, err, err_size);
		return bad_value(setting, value, err, err_size, "not NAME:PORT or ADDR:PORT");
	case SETTING_NAME:
		if (setting_is_name(value))
			return set_text(setting, field, value, err, err_size);
		return bad_value(setting, value, err, err_size,
				 "not 1 to %d letters, digits, '-', '_' or '.'",
				 SHUNT_NAME_LEN - 1);
	case SETTING_NUMBER:
		if (parse_number(field, value, setting->min, setting->max))
			return 0;
		return bad_value(setting, value, err, err_size, "not a number from %u to %u",
				 setting->min, setting->max);
	case SETTING_CHOICE:
		if (parse_choice(field, value, setting->words))
			return 0;
		return bad_value(setting, value, err, err_size, "not %s",
				 list_words(words, sizeof(words), setting->words));
	case SETTING_FLAG:
		if (parse_flag(field, value))
			return 0;
		return bad_value(setting, value, err, err_size, "neither true nor false");
	case SETTING_PORTS:
		if (parse_ports(field, value))
			return 0;
		return bad_value(setting, value, err, err_size, "not LOW-HIGH, two ports");
	case SETTING_UPSTREAMS:
	case SETTING_PREFIXES:
	case SETTING_LEARN:
		return parse_list(setting, field, value, err, err_size);
	}
	return -EINVAL;
}

void setting_clear(const struct setting *setting, void *field)
{
	switch (setting->type) {
	case SETTING_TEXT:
	case SETTING_FIELD:
	case SETTING_PEER:
	case SETTING_NAME:
		free(*(char **)field);
		*(char **)field = NULL;
		break;
	case SETTING_NUMBER:
	case SETTING_CHOICE:
	case SETTING_FLAG:
	case SETTING_PORTS:
		break;
	case SETTING_PREFIXES:
		free(((struct prefix_list *)field)->v);
		memset(field, 0, sizeof(struct prefix_list));
		break;
	case SETTING_LEARN:
		free(((struct learn_list *)field)->v);
		memset(field, 0, sizeof(struct learn_list));
		break;
	case SETTING_UPSTREAMS:
		free(((struct upstream_list *)field)->v);
		memset(field, 0, sizeof(struct upstream_list));
		break;
	}
}
