// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Times as people write them: "30s", "5m", "1h30m", "7d". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shunt/shunt.h"

static const struct {
	char letter;
	uint32_t seconds;
} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

enum { N_UNITS = sizeof(units) / sizeof(units[0]) };
static const uint64_t second = 1000000000ULL;

static int no_time(const char **why)
{
	*why = "not a time as 30s, 5m, 1h30m or 7d";
	return -EINVAL;
}

int shunt_time_parse(uint64_t *ns, const char *text, const char **why)
{
	uint64_t seconds = 0;
	size_t unit = 0;

	while (*text) {
		size_t len = strspn(text, "0123456789");
		uint64_t n = 0;

		if (!len || len > 9)
			return no_time(why);
		for (size_t i = 0; i < len; i++)
			n = 10 * n + (uint64_t)(text[i] - '0');
		while (unit < N_UNITS && units[unit].letter != text[len])
			unit++;
		if (unit == N_UNITS)
			return no_time(why);
		seconds += n * units[unit++].seconds;
		text += len + 1;
	}
	if (!seconds || seconds > SHUNT_TIME_MAX_DAYS * 86400ULL) {
		*why = "not from 1s to 3650d";
		return -EINVAL;
	}
	*ns = seconds * second;
	return 0;
}

char *shunt_time_str(char *buf, uint64_t ns)
{
	uint64_t seconds = ns / second + !!(ns % second);
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < N_UNITS && len < SHUNT_TIME_STR; i++) {
		if (seconds >= units[i].seconds)
			len += (size_t)snprintf(buf + len, SHUNT_TIME_STR - len, "%u%c",
						(unsigned int)(seconds / units[i].seconds),
						units[i].letter);
		seconds %= units[i].seconds;
	}
	return len ? buf : strcpy(buf, "0s");
}
