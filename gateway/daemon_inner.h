/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon from within: for daemon.c, which starts and stops, and daemon_run.c, which lives.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/pool.h"
#include "gateway/admin.h"
#include "gateway/crypto.h"
#include "gateway/daemon.h"
#include "gateway/forwarded.h"
#include "gateway/listener.h"
#include "gateway/notify.h"
#include "gateway/proxy.h"
#include "gateway/router.h"
#include "gateway/serve.h"
#include "gateway/watchdog.h"
#include "replicator/silence.h"
#include "replicator/snapshot.h"

enum daemon_address { LISTEN_HTTP, LISTEN_GRPC, LISTEN_PEER, LISTEN_CTL, LISTEN_COUNT };

/* One loop thread and what listens on it. */
struct daemon_loop {
	struct loop *loop;
	struct listener *listeners[LISTEN_COUNT]; /* ctl: on the first loop only */
	pthread_t thread;
	bool running;
};

struct daemon {
	struct config *config;  /* as it was at the start: what needs a restart */
	struct config *applied; /* the newest that was read; may be config */
	const char *config_file;
	const char *version;
	const char *failing_part;
	unsigned started; /* parts */

	struct notify notify;
	struct clock *clock;
	struct store *store;
	struct catalog *catalog;
	struct regions regions;     /* none: alone */
	struct silence silence;     /* of drills */
	struct drill_history *drills;
	struct tls_holder *peer_server_tls, *peer_client_tls;
	struct peer_pool *peer_pool;
	struct writers *writers;    /* NULL: this region holds data, or is alone */
	struct replicator *replicator;
	bool replicating;           /* replicator_start() was good */
	struct committer *committer;   /* the replicator's */
	struct audit *audit;        /* NULL: no data here */
	struct bootstrap *bootstrap;   /* NULL: likewise, or alone */
	struct snapshot_source snapshot;
	char *copy_dir;             /* where copies are made */
	struct pool *pool;
	struct auth *auth;
	struct crypto_key session_key;
	struct tls_holder *tls; /* NULL: plain text */
	struct api api;
	struct proxy *proxy;        /* NULL: alone */
	struct forwarded_nets trusted;
	struct router *router;
	struct serve *serve;
	struct conn_limits limits;
	struct conn_limits peer_limits;
	struct conn_shared shared;
	struct daemon_loop *loops;
	uint32_t loop_count;
	uint16_t ports[LISTEN_COUNT];

	/* Life. */
	struct loop *main;
	struct loop_fd signals;
	atomic_bool draining;
	_Atomic uint32_t undrained; /* listeners */
	pthread_t leaver;           /* hands over the primary's role before the drain */
	bool leaving;
	struct loop_task left;      /* to main, when that is done or given up */
	struct loop_task drained;   /* to main, when there is none left */
	struct loop_task again;     /* to main: end, and begin again from a copy */
	bool restarting;            /* that was asked for */
	atomic_bool restart_posted;
	struct loop_timer patience; /* until the drain counts as failed */
	struct loop_timer pending;  /* looks whether calls are left */
	uint64_t pending_since_ns;
	struct loop_task begin;
	struct loop_timer beat;
	struct watchdog watchdog;
	uint64_t *turns; /* room for the watchdog's numbers */
};

/* The configuration's files. */
struct auth_files daemon_auth_files(const struct config *c);
/* The words for what is wrong with the data, with what to do when they are damaged. */
MUST_USE enum err daemon_storage_fault(enum err err, const struct fault *f,
				       struct fault *reterr_fault);
/* storage.dir is there, can be written, and what is in it belongs together. */
MUST_USE enum err daemon_check_folder(const char *dir, struct fault *reterr_fault);
/* Is session.key_file the one that the daemon makes for itself? */
bool daemon_makes_session_key(const struct config *c);
MUST_USE enum err daemon_read_session_key(const char *path, struct crypto_key *ret_key, struct fault *reterr_fault);
/* NULL in *ret_context when the configuration has no certificate. */
MUST_USE enum err daemon_load_tls(const struct config *c, struct tls_context **ret_context,
				  struct fault *reterr_fault);
/* Contexts for connections from and to other regions; NULL in both without regions. */
MUST_USE enum err daemon_load_peer_tls(const struct config *c, struct tls_context **ret_server,
				       struct tls_context **ret_client, struct fault *reterr_fault);
void daemon_set_log_level(const struct config *c);

/* Part of daemon_drill.c. */
MUST_USE enum err daemon_drill_start(struct daemon *d, struct fault *reterr_fault);
void daemon_drill_stop(struct daemon *d);
/* Parts of daemon_fleet.c. */
MUST_USE enum err daemon_peers_start(struct daemon *d, struct fault *reterr_fault);
void daemon_peers_stop(struct daemon *d);
MUST_USE enum err daemon_replicator_start(struct daemon *d, struct fault *reterr_fault);
void daemon_replicator_stop(struct daemon *d);
MUST_USE enum err daemon_audit_start(struct daemon *d, struct fault *reterr_fault);
void daemon_audit_stop(struct daemon *d);
MUST_USE enum err daemon_bootstrap_start(struct daemon *d, struct fault *reterr_fault);
void daemon_bootstrap_stop(struct daemon *d);
/* Nobody writes any more: a copy that is complete takes the place of what is in storage.dir at the next start. */
void daemon_bootstrap_adopt(struct daemon *d);
/* Before anything in storage.dir is opened or checked: the copy that was to take its place does. */
MUST_USE enum err daemon_bootstrap_swap(const char *dir, struct fault *reterr_fault);
/* What readiness is, copying apart. */
bool daemon_is_ready(void *ctx, struct buf *why);
/* To the main thread, from any: drain, end, begin again. Once. */
void daemon_restart(struct daemon *d);
MUST_USE enum err daemon_replication_start(struct daemon *d, struct fault *reterr_fault);
void daemon_replication_stop(struct daemon *d);
/* Is that the certificate's name of one of our regions? ctx is the struct daemon. */
bool daemon_knows_peer(void *ctx, struct str name);
/* Parts of daemon_route.c. */
MUST_USE enum err daemon_route_start(struct daemon *d, struct fault *reterr_fault);
void daemon_route_stop(struct daemon *d);
/* The networks of trusted_proxies; items are the caller's to free. */
MUST_USE enum err daemon_load_proxies(const struct config *c, struct forwarded_nets *ret_nets,
				      struct fault *reterr_fault);
/* Wider windows: regions are far from each other, and trust each other. */
void daemon_peer_limits(const struct daemon *d, struct conn_limits *ret_limits);

/* The part that takes signals and feeds the watchdog; it is started before there are other threads, but the
 * watchdog when there are. */
MUST_USE enum err daemon_signals_start(struct daemon *d, struct fault *reterr_fault);
void daemon_signals_stop(struct daemon *d);
MUST_USE enum err daemon_ready_start(struct daemon *d, struct fault *reterr_fault);
void daemon_ready_stop(struct daemon *d);
