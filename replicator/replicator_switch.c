/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handing over the primary's role, with no wait and no loss.
 */
#include "replicator/replicator_inner.h"

#include "base/log.h"

#define SWITCHOVER_BEHIND_MS_MAX 5000
#define TARGET_SILENT_MS_MAX 2000
#define TARGET_LOOK_MS 100
#define TARGET_NEAR_OPS 16

/* --- switchover --- */

static bool standing_of(struct replicator *r, uint8_t id, struct peer_standing *ret_standing)
{
	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		peers_standing(r->peers, i, ret_standing);
		if (ret_standing->config->id == id)
			return true;
	}
	return false;
}

/* Waits for another heartbeat than those `seen`; false: this region stops. */
static bool wait_for_news(struct replicator *r, uint64_t seen)
{
	struct timespec until;

	clock_wait_deadline(TARGET_LOOK_MS, &until);
	(void)pthread_mutex_lock(&r->lock);
	while (!r->stop && r->beats == seen && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		;
	bool go_on = !r->stop;

	(void)pthread_mutex_unlock(&r->lock);
	return go_on;
}

/* Waits until the target has applied `upto`. */
static enum err wait_for_target(struct replicator *r, uint8_t target, struct position upto, uint64_t until_ns)
{
	struct peer_standing s;

	for (;;) {
		(void)pthread_mutex_lock(&r->lock);
		uint64_t seen = r->beats;

		(void)pthread_mutex_unlock(&r->lock);
		if (!standing_of(r, target, &s))
			return ERR_NOT_FOUND;
		if (s.heard && position_compare(s.position, upto) >= 0)
			return ERR_NONE;
		if (clock_mono_ns(r->options.clock) >= until_ns)
			return ERR_TIMEOUT;
		if (!wait_for_news(r, seen))
			return ERR_UNAVAILABLE;
	}
}

static enum err check_target(struct replicator *r, uint8_t target, struct fault *f)
{
	const struct peer_config *config = peers_by_id(r->peers, target);
	struct committer_state s;
	struct peer_standing standing;

	committer_state(r->committer, &s);
	if (!replicator_is_writer(r, &s))
		return fault_set(f, ERR_NOT_PRIMARY, "region %s is not the primary", r->options.self.name);
	if (config == NULL || !config->data)
		return fault_set(f, ERR_BAD_INPUT, "the target must be a data region of this fleet");
	if (target == r->options.self.id)
		return fault_set(f, ERR_BAD_INPUT, "region %s is the primary already", config->name);
	if (!standing_of(r, target, &standing) || !standing.heard || standing.silent_ms > TARGET_SILENT_MS_MAX)
		return fault_set(f, ERR_UNAVAILABLE, "region %s was not heard within the last %d ms", config->name,
				 TARGET_SILENT_MS_MAX);
	return ERR_NONE;
}

enum err replicator_wait_for_target(struct replicator *r, uint8_t target, struct position upto, uint64_t timeout_ms)
{
	return wait_for_target(r, target, upto, clock_mono_ns(r->options.clock) + timeout_ms * NS_PER_MS);
}

/* The pause: nothing is admitted, until the target has all and the release, or this region goes on. */
enum err replicator_release_to(struct replicator *r, uint8_t target, uint64_t timeout_ms, struct position *ret_end,
			       struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + timeout_ms * NS_PER_MS;
	struct committer_state s;
	struct position end;
	enum err err = committer_drain(r->committer, timeout_ms);

	*ret_end = (struct position){ 0 };
	committer_state(r->committer, &s);
	if (err == ERR_NONE)
		err = wait_for_target(r, target, s.position, until_ns);
	if (err != ERR_NONE)
		return fault_set(f, err, "the target did not reach the last write in time; this region goes on");
	err = committer_release(r->committer, target, &end, f);
	if (err != ERR_NONE)
		return err;
	*ret_end = end;
	log_info("released the primary's role target=%u epoch=%llu seq=%llu", target, (unsigned long long)end.epoch,
		 (unsigned long long)end.seq);
	return ERR_NONE;
}

/* By the lease, or without one. */
static enum err hand_over(struct replicator *r, uint8_t target, uint64_t timeout_ms, struct position *ret_end,
			  struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + timeout_ms * NS_PER_MS;
	enum err err;

	r->lease.switch_timeout_ms = timeout_ms;
	if (replicator_has_lease(r))
		err = lease_run_hand_over(r->lease.run, target, ret_end, f);
	else
		err = replicator_release_to(r, target, timeout_ms, ret_end, f);
	if (err != ERR_NONE)
		return err;
	err = wait_for_target(r, target, (struct position){ ret_end->epoch + 1, 0 }, until_ns);
	if (err != ERR_NONE)
		return fault_set(f, err,
				 "released at (%llu,%llu); the target has not begun yet, it will when it has applied that",
				 (unsigned long long)ret_end->epoch, (unsigned long long)ret_end->seq);
	return ERR_NONE;
}

/* While writes go on, so that the pause is short: until the target has what was written before, and what was written
 * meanwhile is little or does not become less. */
static enum err wait_until_near(struct replicator *r, uint8_t target, uint64_t timeout_ms)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + MIN(timeout_ms, SWITCHOVER_BEHIND_MS_MAX) * NS_PER_MS;
	uint64_t behind = UINT64_MAX;
	struct committer_state s;

	committer_state(r->committer, &s);
	for (;;) {
		struct position upto = s.position;
		enum err err = wait_for_target(r, target, upto, until_ns);

		if (err != ERR_NONE)
			return err;
		committer_state(r->committer, &s);
		uint64_t now_behind = s.position.seq - upto.seq;
		if (s.position.epoch != upto.epoch || now_behind <= TARGET_NEAR_OPS || now_behind > behind / 2)
			return ERR_NONE;
		behind = now_behind;
	}
}

static enum err switch_to(struct replicator *r, uint8_t target, uint64_t timeout_ms,
			  struct switchover_report *report, struct fault *f)
{
	enum err err = check_target(r, target, f);

	if (err != ERR_NONE)
		return err;
	err = wait_until_near(r, target, timeout_ms);
	if (err != ERR_NONE)
		return fault_set(f, err, "the target is behind and does not catch up; nothing was changed");

	(void)pthread_mutex_lock(&r->lock);
	r->handing_over = true;
	(void)pthread_mutex_unlock(&r->lock);
	uint64_t stopped_ns = clock_mono_ns(r->options.clock);
	err = hand_over(r, target, timeout_ms, &report->end, f);
	(void)pthread_mutex_lock(&r->lock);
	r->handing_over = false;
	(void)pthread_mutex_unlock(&r->lock);
	report->pause_ms = (clock_mono_ns(r->options.clock) - stopped_ns) / NS_PER_MS;
	return err;
}

enum err replicator_switchover(struct replicator *r, uint8_t target, uint64_t timeout_ms,
			       struct switchover_report *ret_report, struct fault *reterr_fault)
{
	*ret_report = (struct switchover_report){ 0 };
	(void)pthread_mutex_lock(&r->lock);
	bool busy = r->switching;

	r->switching = true;
	(void)pthread_mutex_unlock(&r->lock);
	if (busy)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "another switchover is under way");
	enum err err = switch_to(r, target, timeout_ms, ret_report, reterr_fault);

	(void)pthread_mutex_lock(&r->lock);
	r->switching = false;
	(void)pthread_mutex_unlock(&r->lock);
	return err;
}

/* The data region that is furthest, of those heard lately; 0: none. */
static uint8_t find_successor(struct replicator *r)
{
	struct position best = { 0 };
	uint8_t successor = 0;

	for (uint32_t i = 0; i < peers_count(r->peers); i++) {
		struct peer_standing s;

		peers_standing(r->peers, i, &s);
		if (!s.config->data || !s.heard || s.silent_ms > TARGET_SILENT_MS_MAX)
			continue;
		if (successor == 0 || position_compare(s.position, best) > 0) {
			successor = s.config->id;
			best = s.position;
		}
	}
	return successor;
}

enum err replicator_step_down(struct replicator *r, uint64_t timeout_ms, struct fault *reterr_fault)
{
	struct switchover_report report;
	struct committer_state s;

	committer_state(r->committer, &s);
	if (!replicator_has_lease(r) || !replicator_is_writer(r, &s))
		return fault_set(reterr_fault, ERR_NOT_PRIMARY, "region %s is not the elected primary", r->options.self.name);
	uint8_t successor = find_successor(r);
	if (successor == 0)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "no other data region was heard within the last %d ms",
				 TARGET_SILENT_MS_MAX);
	return replicator_switchover(r, successor, timeout_ms, &report, reterr_fault);
}
