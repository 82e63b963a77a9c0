// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Messages to the person at the keyboard: one sink for the whole process. */
#include <stdarg.h>
#include <stdio.h>

#include "shunt/shunt.h"

static void to_stderr(void *arg, enum shunt_level level, const char *text)
{
	static const char *const prefix[] = {
		[SHUNT_LOG_ERROR] = "error: ",
		[SHUNT_LOG_WARNING] = "warning: ",
		[SHUNT_LOG_INFO] = "",
	};

	(void)arg;
	if (level <= SHUNT_LOG_INFO)
		fprintf(stderr, "%s%s\n", prefix[level], text);
}

/* The library's only global; set before threads start. */
static struct {
	shunt_sink_fn fn;
	void *arg;
} sink = { to_stderr, NULL };

void shunt_set_sink(shunt_sink_fn fn, void *arg)
{
	sink.fn = fn ? fn : to_stderr;
	sink.arg = fn ? arg : NULL;
}

static void give(enum shunt_level level, const char *fmt, va_list ap)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	sink.fn(sink.arg, level, text);
}

int shunt_err(int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give(SHUNT_LOG_ERROR, fmt, ap);
	va_end(ap);
	return r;
}

void shunt_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give(SHUNT_LOG_WARNING, fmt, ap);
	va_end(ap);
}

void shunt_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	give(SHUNT_LOG_INFO, fmt, ap);
	va_end(ap);
}
