/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "shunt/shunt.h"

static int change_user(const char *user)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(user);
	if (!pw)
		return shunt_err(errno ? -errno : -ENOENT, "user '%s' does not exist", user);
	if (!pw->pw_uid)
		return shunt_err(-EPERM, "user '%s' is privileged: choose another with --user",
				 user);
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			  CAP_NET_RAW, -1) < 0 ||
	    capng_apply(CAPNG_SELECT_BOUNDS) < 0 ||
	    capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP) < 0)
		return shunt_err(-EPERM, "cannot become user '%s' with CAP_NET_RAW alone", user);
	return 0;
}

int privileges_drop(const char *user)
{
	static const struct rlimit none = { 0, 0 };
	int r = change_user(user);

	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0) {
		r = -errno;
		return shunt_err(r, "cannot drop privileges: %s", strerror(-r));
	}
	return 0;
}
