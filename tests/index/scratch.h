/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of a test's own.
 */
#pragma once

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct scratch {
	char dir[PATH_MAX / 2];
	char path[PATH_MAX]; /* of the last scratch_path() */
};

static inline void scratch_new(struct scratch *s)
{
	const char *parent = getenv("TMPDIR");

	snprintf(s->dir, sizeof(s->dir), "%s/isthmus-test-XXXXXX",
		 parent && *parent ? parent : "/tmp");
	ck_assert_msg(mkdtemp(s->dir), "cannot make a folder in %s", parent ? parent : "/tmp");
}

static inline const char *scratch_path(struct scratch *s, const char *name)
{
	snprintf(s->path, sizeof(s->path), "%s/%s", s->dir, name);
	return s->path;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
				     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_remove(struct scratch *s)
{
	ck_assert_int_eq(nftw(s->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
