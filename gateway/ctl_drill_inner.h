/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of isthmusctl's drills share; nobody else includes this.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "gateway/ctl_drill.h"

#define CTL_DRILL_WRITES_MAX 50000u
#define NS_PER_MS UINT64_C(1000000)

/* --- ctl_drill_look.c --- */

/* The text of a value in objects within objects ("result.exists"); data == NULL: it is not there. In the arena or the text. */
struct str ctl_drill_find(struct str json, const char *path, struct arena *a);
uint64_t ctl_drill_number(struct str json, const char *path);
/* 200 wanted; the reply is lent until the next call. */
MUST_USE enum err ctl_drill_call(struct ctl_http *h, const char *verb, const char *path, struct str body, struct str *ret_reply,
				 struct fault *f);
/* The fleet; what cannot be asked of a region makes it one that does not answer. */
MUST_USE enum err ctl_drill_look(struct ctl_http *h, struct drill_view *ret_view, struct fault *f);
/* Only who is the primary, and in what epoch. */
struct drill_primary {
	char name[DRILL_NAME_MAX + 1];       /* "": nobody */
	uint64_t epoch;
	bool level;                   /* all data regions were heard to stand at one position */
};
MUST_USE enum err ctl_drill_look_primary(struct ctl_http *h, struct drill_primary *ret_primary, struct fault *f);
/* Where clients reach that region; "" when it does not say, or by TLS only. */
#define CTL_DRILL_URL_BYTES 256
MUST_USE enum err ctl_drill_look_url(struct ctl_http *h, const char *region, char out[CTL_DRILL_URL_BYTES], struct fault *f);

/* --- ctl_drill_load.c --- */

/* One thread with its own connection. */
struct drill_client {
	struct ctl_http *http;
	struct clock *clock;
	const char *ordering;         /* NULL: it reads */
	uint64_t first_id;
	_Atomic uint64_t *order_ns;   /* when the order was given; 0: not yet */
	atomic_bool *stop;
	pthread_t thread;
	bool started;
	_Atomic uint64_t done;        /* acknowledged, for others to look at */
	/* The thread's until it was joined. */
	struct drill_counts counts;
	uint64_t last_ns;
	uint64_t number;
	uint64_t *ids;                /* acknowledged; CTL_DRILL_WRITES_MAX of them at most, then it ends */
};

enum { CLIENT_READER = DRILL_LEVELS, CLIENT_INSIDE, CLIENTS };

struct drill_load {
	struct drill_client clients[CLIENTS];
	_Atomic uint64_t order_ns;
	atomic_bool stop;
};

/* url: of the region inside which a writer goes on; NULL: none does. On failure nothing runs. */
MUST_USE enum err ctl_drill_load_start(struct drill_load *l, const struct ctl_http *http, const char *url, struct fault *f);
/* Waits for the threads. Once. */
void ctl_drill_load_stop(struct drill_load *l);
void ctl_drill_load_free(struct drill_load *l);
/* Asks every data region for all that was acknowledged, and counts what some has not. */
MUST_USE enum err ctl_drill_load_count(struct drill_load *l, struct ctl_http *http, const struct drill_view *v, struct fault *f);

/* --- ctl_drill_print.c --- */

void ctl_drill_print_report(const struct drill_report *r, FILE *out);
MUST_USE enum err ctl_drill_print_dry_run(const struct ctl_drill *d, const struct drill_view *v, const struct drill_reasons *r,
					  struct fault *f);
