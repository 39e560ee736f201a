/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: every long-lived object, as a table of parts that are started in order and stopped in reverse.
 * Thread: main, which also takes the signals: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reads
 * certificates, keys and the keys of the configuration marked "reload" again.
 */
#pragma once

#include <stdbool.h>

#include "base/clock.h"
#include "base/err.h"
#include "gateway/config.h"

/* No request of a client keeps a search thread so long; beyond it the watchdog is not fed any more. */
#define DAEMON_POOL_BUSY_MS_MAX 300000
/* What is left to do once all connections are closed. */
#define DAEMON_PENDING_MS_MAX 10000

struct daemon;

struct daemon_options {
	struct config *config;   /* taken when the start succeeds */
	const char *config_file; /* read again by SIGHUP; NULL: none */
	const char *version;
	const char *failing_part; /* for tests: its start fails; NULL: none */
};

/* Blocks the signals it takes in the calling thread, and all that come from it. On failure everything is undone but
 * that, and the words say what to do about it. */
MUST_USE enum err daemon_start(const struct daemon_options *o, struct daemon **ret_daemon,
			       struct fault *reterr_fault);
/* Until a signal ends it, or it has to begin again, and what was begun is finished. */
MUST_USE enum err daemon_run(struct daemon *d);
/* *ret_again, which may be NULL: the configuration to start it with again, the caller's; NULL: it is not to be. */
void daemon_stop(struct daemon *d, struct config **ret_again);

/* What can be seen to be wrong without starting: the files and folders that the keys name. errors gets lines as
 * config_load()'s, and then it is ERR_CONFIG. A start goes on without databases of places: it wants no check of them. */
enum daemon_check_for { DAEMON_CHECK_ALL, DAEMON_CHECK_START };
MUST_USE enum err daemon_check(const struct config *c, enum daemon_check_for what, struct buf *errors);
/* Logs such lines. */
void daemon_log_errors(const struct buf *errors);

/* The ports that listen.http and listen.grpc have got; 0: off. */
uint16_t daemon_http_port(const struct daemon *d);
uint16_t daemon_grpc_port(const struct daemon *d);
/* The parts in their order; NULL behind the last. */
const char *daemon_part_name(unsigned i);
