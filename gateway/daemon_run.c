/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's life on the main thread: signals, the watchdog, reloading, draining. It runs a loop of its own, so
 * that what other threads have to tell comes in by loop_post().
 */
#include "gateway/daemon_inner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metric.h"

#define NS_PER_MS 1000000ull
#define PENDING_LOOK_MS 20
/* Beyond the drain's own time: GOAWAY's grace, connections that linger. */
#define DRAIN_GRACE_MS 10000
#define LINE_BYTES_MAX 1024
/* For each of: the successor is near, it has all, it has begun. */
#define LEAVE_MS 2000
#define LEAVE_TURNS 3

/* --- the end --- */

/* What was acknowledged is on the disk; whatever else goes on is given up. */
NORETURN static void end_at_once(struct daemon *d, const char *why)
{
	log_warn("ending at once, requests in work are given up reason=\"%s\"", why);
	committer_stop(d->committer);
	_exit(EXIT_SUCCESS);
}

/* A write may go on after its client was answered: they are counted too. */
static void on_pending(struct loop_timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, pending);

	if (serve_pending(d->serve) == 0) {
		loop_stop(d->main);
		return;
	}
	if (loop_now_ns(d->main) - d->pending_since_ns > DAEMON_PENDING_MS_MAX * NS_PER_MS)
		end_at_once(d, "requests do not end");
	loop_timer_start(d->main, t, PENDING_LOOK_MS);
}

static void on_drained(struct loop_task *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, drained);

	loop_timer_stop(d->main, &d->patience);
	d->pending_since_ns = loop_now_ns(d->main);
	on_pending(&d->pending);
}

static void on_patience_end(struct loop_timer *t)
{
	end_at_once(CONTAINER_OF(t, struct daemon, patience), "connections do not end");
}

/* On the listener's loop. */
static void on_listener_drained(void *ctx)
{
	struct daemon *d = ctx;

	if (atomic_fetch_sub(&d->undrained, 1) == 1)
		loop_post(d->main, &d->drained);
}

/* To end, or to begin again. */
static void drain(struct daemon *d)
{
	uint32_t drain_ms = d->limits.drain_ms;

	atomic_store(&d->draining, true);
	log_info("stopping, connections are drained drain_ms=%u", drain_ms);
	if (d->restarting)
		notify_reloading(&d->notify);
	else
		notify_stopping(&d->notify, "draining connections");
	notify_extend_timeout(&d->notify,
			      (uint64_t)drain_ms + DRAIN_GRACE_MS + 2 * DAEMON_PENDING_MS_MAX);
	loop_timer_start(d->main, &d->patience, (uint64_t)drain_ms + DRAIN_GRACE_MS);
	/* One more than there are, so that the last is not reported while the others are being asked. */
	atomic_store(&d->undrained, 1);
	for (uint32_t i = 0; i < d->loop_count; i++) {
		for (unsigned which = 0; which < LISTEN_COUNT; which++) {
			if (!d->loops[i].listeners[which])
				continue;
			atomic_fetch_add(&d->undrained, 1);
			listener_drain(d->loops[i].listeners[which], drain_ms, on_listener_drained,
				       d);
		}
	}
	on_listener_drained(d);
}

static void on_again(struct loop_task *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, again);

	if (d->leaving || atomic_load(&d->draining))
		return;
	d->restarting = true;
	log_info("this region starts again from a copy of another one's state");
	drain(d);
}

void daemon_restart(struct daemon *d)
{
	if (!atomic_exchange(&d->restart_posted, true))
		loop_post(d->main, &d->again);
}

/* --- handing over before the end --- */

static void *hand_over(void *arg)
{
	struct daemon *d = arg;
	struct fault f = { 0 };
	enum err err = replicator_step_down(d->replicator, LEAVE_MS, &f);

	if (err && err != ERR_NOT_PRIMARY)
		log_warn("the primary's role was not handed over, another region will be elected when it is missed reason=\"%s\"",
			 fault_text(&f));
	loop_post(d->main, &d->left);
	return NULL;
}

static void on_left(struct loop_task *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, left);

	(void)pthread_join(d->leaver, NULL);
	drain(d);
}

/* An elected primary lets another one be elected first: meanwhile it serves on. */
static void leave(struct daemon *d)
{
	struct lease_run_state lease;

	d->leaving = true;
	d->left.run = on_left;
	if (!d->replicating || !replicator_lease_state(d->replicator, &lease) || !lease.begun) {
		drain(d);
		return;
	}
	notify_stopping(&d->notify, "handing over the primary's role");
	notify_extend_timeout(&d->notify, LEAVE_TURNS * LEAVE_MS);
	if (pthread_create(&d->leaver, NULL, hand_over, d) != 0)
		drain(d);
}

static void on_end_signal(struct daemon *d)
{
	/* The drain goes on, and nothing begins behind it. */
	if (d->restarting) {
		d->restarting = false;
		d->leaving = true;
		return;
	}
	if (d->leaving)
		end_at_once(d, "a second signal");
	leave(d);
}

/* --- reloading --- */

static const void *member_of(const struct config *c, const struct config_key *k)
{
	return (const char *)c + k->offset;
}

/* TLS for listeners that have none, or none for those that have, is another listener. */
static bool turns_tls(const struct daemon *d, const struct config *now)
{
	return (*d->config->tls_certificate != '\0') != (*now->tls_certificate != '\0');
}

static bool is_tls_key(const struct config_key *k)
{
	return strncmp(k->path, "tls.", 4) == 0;
}

static void log_changes(const struct daemon *d, const struct config *now)
{
	for (uint32_t i = 0; i < config_keys.count; i++) {
		const struct config_key *k = &config_keys.keys[i];
		bool restart = k->reload == CONFIG_RESTART || (is_tls_key(k) && turns_tls(d, now));
		const struct config *before = restart ? d->config : d->applied;
		CLEANUP(buf_release) struct buf value = BUF_INIT(LINE_BYTES_MAX);
		if (config_value_equal(k, member_of(before, k), member_of(now, k)))
			continue;
		if (k->kind == CONFIG_LIST)
			(void)buf_printf(&value, "%u rows", ((const struct config_list *)member_of(now, k))->count);
		else
			config_value_write(k, member_of(now, k), &value);
		if (restart)
			log_warn("configuration: needs a restart key=%s value=%.*s", k->path,
				 STR_FMT(buf_str(&value)));
		else
			log_info("configuration: taken over key=%s value=%.*s", k->path,
				 STR_FMT(buf_str(&value)));
	}
}

void daemon_log_errors(const struct buf *lines)
{
	const char *p = (const char *)lines->data;

	for (size_t left = lines->len; left > 0;) {
		const char *end = memchr(p, '\n', left);
		size_t len = end ? (size_t)(end - p) : left;
		log_error("%.*s", (int)len, p);
		len += end != NULL;
		p += len;
		left -= len;
	}
}

/* All of it or nothing: what can fail is done before anything is changed, auth_load() last, for it keeps the old
 * keys when it fails. */
static bool take_over(struct daemon *d, struct config *now, struct buf *errors)
{
	const struct auth_files files = daemon_auth_files(now);
	struct tls_context *context = NULL, *server = NULL, *client = NULL;
	struct router_policy *policy = NULL;
	struct fault fault = { 0 };
	enum err err =
		d->tls && !turns_tls(d, now) ? daemon_load_tls(now, &context, &fault) : ERR_NONE;

	if (!err && d->peer_pool)
		err = daemon_load_peer_tls(now, &server, &client, &fault);
	if (!err)
		err = router_policy_new(now, &d->regions, true, &policy, &fault);
	if (!err)
		err = auth_load(d->auth, &files, &fault);
	if (err) {
		router_policy_free(policy);
		config_add_fault(now, &fault, errors);
		tls_context_unref(context);
		tls_context_unref(server);
		tls_context_unref(client);
		return false;
	}
	if (context)
		tls_holder_swap(d->tls, context);
	if (server)
		tls_holder_swap(d->peer_server_tls, server);
	if (client)
		tls_holder_swap(d->peer_client_tls, client);
	router_swap(d->router, policy);
	daemon_set_log_level(now);
	return true;
}

static bool reload(struct daemon *d)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct config *now;

	if (config_load(d->config_file, &now, &errors)) {
		daemon_log_errors(&errors);
		return false;
	}
	if (!take_over(d, now, &errors)) {
		daemon_log_errors(&errors);
		config_free(now);
		return false;
	}
	log_changes(d, now);
	if (d->applied != d->config)
		config_free(d->applied);
	d->applied = now;
	return true;
}

static void on_reload_signal(struct daemon *d)
{
	if (atomic_load(&d->draining))
		return;
	notify_reloading(&d->notify);
	bool done = reload(d);
	metric_set(METRIC_isthmus_config_last_reload_successful, done);
	if (done)
		log_info("reloaded file=%s", d->config_file ? d->config_file : "none");
	else
		log_error("not reloaded, everything stays as it was");
	notify_ready(&d->notify, done ? "serving" : "serving; the last reload failed");
}

static void on_signal(struct loop_fd *f, uint32_t events UNUSED)
{
	struct daemon *d = CONTAINER_OF(f, struct daemon, signals);
	struct signalfd_siginfo info;

	while (read(f->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			on_reload_signal(d);
		else
			on_end_signal(d);
	}
}

enum err daemon_signals_start(struct daemon *d, struct fault *reterr_fault)
{
	sigset_t set;
	enum err err = loop_new(d->clock, &d->main);

	if (err)
		return err;
	d->drained.run = on_drained;
	d->again.run = on_again;
	d->pending.on_fire = on_pending;
	d->patience.on_fire = on_patience_end;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	int errnum = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (errnum == 0) {
		d->signals = (struct loop_fd){ .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
					       .on_event = on_signal };
		errnum = d->signals.fd < 0 ? errno : 0;
	}
	if (errnum != 0)
		return fault_set(reterr_fault, err_from_errno(errnum),
				 "signals cannot be taken: %s", strerror(errnum));
	return loop_add(d->main, &d->signals, EPOLLIN);
}

void daemon_signals_stop(struct daemon *d)
{
	if (d->signals.fd >= 0)
		(void)close(d->signals.fd);
	d->signals.fd = -1;
	loop_free(d->main);
	d->main = NULL;
}

/* --- the watchdog --- */

/* The loops, then the committer. */
static void read_turns(struct daemon *d)
{
	struct committer_state state;

	for (uint32_t i = 0; i < d->loop_count; i++) {
		d->turns[i] = loop_turns(d->loops[i].loop);
		loop_nudge(d->loops[i].loop);
	}
	committer_state(d->committer, &state);
	d->turns[d->loop_count] = state.turns;
}

static void on_beat(struct loop_timer *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, beat);
	uint64_t busy_ms = pool_longest_busy_ns(d->pool) / NS_PER_MS;

	read_turns(d);
	int stuck = watchdog_check(&d->watchdog, d->turns);
	if (stuck == (int)d->loop_count)
		log_error("the committer stands still, systemd is not told that all is well");
	else if (stuck >= 0)
		log_error(
			"a loop stands still, systemd is not told that all is well thread=loop-%d",
			stuck);
	else if (busy_ms > DAEMON_POOL_BUSY_MS_MAX)
		log_error(
			"a search does not end, systemd is not told that all is well busy_ms=%llu",
			(unsigned long long)busy_ms);
	else
		notify_watchdog(&d->notify);
	loop_timer_start(d->main, t, MAX(d->notify.watchdog_ms / 2, (uint64_t)1));
}

/* Timers count from the turn in which they are started, and the loop's first may be long after its making. */
static void on_begin(struct loop_task *t)
{
	struct daemon *d = CONTAINER_OF(t, struct daemon, begin);
	loop_timer_start(d->main, &d->beat, MAX(d->notify.watchdog_ms / 2, (uint64_t)1));
}

enum err daemon_ready_start(struct daemon *d, struct fault *reterr_fault)
{
	uint32_t count = d->loop_count + 1;

	d->turns = calloc(count, sizeof(*d->turns));
	if (!d->turns)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	read_turns(d);
	enum err err = watchdog_init(&d->watchdog, d->turns, count);
	if (err)
		return err;
	d->beat.on_fire = on_beat;
	d->begin.run = on_begin;
	if (d->notify.watchdog_ms > 0)
		loop_post(d->main, &d->begin);
	metric_set(METRIC_isthmus_config_last_reload_successful, 1);
	notify_ready(&d->notify, "serving");
	return ERR_NONE;
}

void daemon_ready_stop(struct daemon *d)
{
	loop_timer_stop(d->main, &d->beat);
	watchdog_release(&d->watchdog);
	free(d->turns);
	d->turns = NULL;
}

enum err daemon_run(struct daemon *d)
{
	enum err err = loop_run(d->main);

	if (!err)
		log_info("stopped");
	return err;
}
