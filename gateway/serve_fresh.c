/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/serve_fresh.h"

#include <inttypes.h>

#include "gateway/serve.h"
#include "replicator/replicator.h"

bool serve_staleness_ms(const struct api *api, uint64_t *ret_ms)
{
	struct committer_state state;

	if (api->replicator) {
		double seconds = replicator_staleness_seconds(api->replicator);
		*ret_ms = seconds < PEERS_LAG_UNKNOWN_SECONDS ? (uint64_t)(seconds * 1000) : 0;
		return seconds < PEERS_LAG_UNKNOWN_SECONDS;
	}
	committer_state(api->committer, &state);
	if (state.epoch != 0 && state.writer == api->region_id && !state.released) {
		*ret_ms = 0;
		return true;
	}
	return api->staleness && api->staleness(api->staleness_ctx, ret_ms);
}

static bool parse_u64(struct str text, uint64_t *ret)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return text.len > 0;
}

enum err serve_check_staleness(const struct api *api, struct str text, struct fault *reterr_fault)
{
	uint64_t max, ms;

	if (!text.data)
		return ERR_NONE;
	if (!parse_u64(text, &max))
		return fault_set(reterr_fault, ERR_BAD_REQUEST,
				 "isthmus-max-staleness-ms: a whole number is expected");
	if (!serve_staleness_ms(api, &ms))
		return fault_set(reterr_fault, ERR_UNAVAILABLE,
				 "how stale this region is, is not known");
	if (ms <= max)
		return ERR_NONE;
	return fault_set(reterr_fault, ERR_UNAVAILABLE,
			 "this region is %" PRIu64 " ms behind, %" PRIu64 " are allowed", ms, max);
}

/* One position of the token: *ret_wait when this region has yet to reach it. */
static enum err check_position(const struct api *api, uint16_t scope, struct position p, bool *ret_wait, struct fault *f)
{
	if (scope == SCOPE_MULTI && committer_log_is_forgotten(api->committer, p.epoch))
		return fault_set(f, ERR_SESSION_ORPHANED,
				 "isthmus-session: it is so old that nobody knows whether its write survived");
	if (scope == SCOPE_MULTI) {
		*ret_wait |= committer_log_seq(api->committer, p.epoch) < p.seq;
		return ERR_NONE;
	}
	if (scope != SCOPE_FLEET)
		return fault_set(f, ERR_UNAVAILABLE,
				 "isthmus-session: this region does not hold scope %u", scope);
	switch (committer_find(api->committer, p)) {
	case HISTORY_IN:
		return ERR_NONE;
	case HISTORY_AHEAD:
		*ret_wait = true;
		return ERR_NONE;
	case HISTORY_ORPHAN:
		return fault_set(f, ERR_SESSION_ORPHANED,
				 "isthmus-session: the write at (%" PRIu64 ",%" PRIu64
				 ") did not survive a failover",
				 p.epoch, p.seq);
	case HISTORY_FORGOTTEN:
		break;
	}
	return fault_set(f, ERR_SESSION_ORPHANED,
			 "isthmus-session: epoch %" PRIu64
			 " is too old to say whether the write at %" PRIu64 " survived",
			 p.epoch, p.seq);
}

enum err serve_check_session(const struct api *api, const struct session *s, bool *ret_wait, struct fault *reterr_fault)
{
	struct replicator *replicator = api->replicator;
	enum err err = ERR_NONE;

	*ret_wait = false;
	if (replicator) {
		err = replicator_find_session(replicator, s, 0, reterr_fault);
		*ret_wait = err == ERR_TIMEOUT;
		return *ret_wait ? ERR_NONE : err;
	}
	for (uint32_t i = 0; i < s->count && !err; i++)
		err = check_position(api, s->scopes[i], s->positions[i], ret_wait, reterr_fault);
	return err;
}

/* What the token names has come, or the time is up, or it will never come. */
enum err serve_wait_session(const struct api *api, const struct session *s, struct fault *reterr_fault)
{
	enum err err = ERR_NONE;
	bool late;

	if (api->replicator) {
		err = replicator_find_session(api->replicator, s, SESSION_WAIT_MS, reterr_fault);
		return err == ERR_TIMEOUT ? ERR_NONE : err;
	}
	for (uint32_t i = 0; i < s->count && !err; i++) {
		const struct log_end end = { .log = s->positions[i].epoch, .seq = s->positions[i].seq };
		err = s->scopes[i] == SCOPE_MULTI
			      ? committer_wait_log(api->committer, end, SESSION_WAIT_MS)
			      : committer_wait(api->committer, s->positions[i], SESSION_WAIT_MS);
	}
	/* Time is up, or its history went another way. */
	return serve_check_session(api, s, &late, reterr_fault);
}
