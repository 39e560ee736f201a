/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stream tells, and heartbeats both ways: by stream, and asked over the peers' own ports where they do not come.
 */
#include "replicator/replicator_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replicator/silence.h"

/* A peer whose heartbeats do not come by stream is asked this often over its own port; without a stream as often as it
 * would send them. */
#define ASK_MS 1000
#define STANDING_MS 900

/* --- what the stream tells --- */

void replicator_on_accepted(void *ctx, uint16_t scope, struct position upto)
{
	struct replicator *r = ctx;

	if ((scope != SCOPE_FLEET && scope != SCOPE_MULTI) || r->publisher == NULL)
		return;
	publisher_accepted(r->publisher, upto);
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
}

void replicator_on_closed(void *ctx, const struct fault *why)
{
	struct replicator *r = ctx;

	log_debug("the stream's window closed reason=\"%s\"", fault_text(why));
	if (r->publisher != NULL)
		publisher_closed(r->publisher);
}

static void take_beat(struct replicator *r, const struct heartbeat *h)
{
	if (!peers_beat(r->peers, h))
		return;
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
	(void)pthread_mutex_lock(&r->lock);
	r->beats++;
	(void)pthread_cond_broadcast(&r->changed);
	if (r->eager) {
		r->role_due = true;
		(void)pthread_cond_signal(&r->wake);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

/* The sender cannot go on with a log that this region wrote: told when it begins and when that is about another thing. */
static void tell_waits(struct replicator *r, uint32_t peer)
{
	struct standing_wait waits[STANDING_WAITS_MAX];
	uint32_t n = peers_waits(r->peers, peer, waits);
	uint32_t kinds = 0;

	for (uint32_t i = 0; i < n; i++)
		kinds |= 1u << MIN(waits[i].kind, 31u);
	(void)pthread_mutex_lock(&r->lock);
	uint32_t news = kinds & ~r->waits_told[peer];

	r->waits_told[peer] = kinds;
	(void)pthread_mutex_unlock(&r->lock);
	for (uint32_t i = 0; i < n; i++) {
		if (!(news & 1u << MIN(waits[i].kind, 31u)))
			continue;
		log_warn("a region cannot go on with a log of this one region=%s log=%llx seq=%llu waits=%s",
			 peers_config(r->peers, peer)->name, (unsigned long long)waits[i].log,
			 (unsigned long long)waits[i].seq,
			 waits[i].kind < LOG_WAIT_KINDS ? log_wait_word(waits[i].kind) : "unknown");
	}
}

/* False: it is not to be used. */
static bool take_standing(struct replicator *r, uint32_t peer, struct bytes b, uint64_t *ret_wall_ms)
{
	CLEANUP(arena_release) struct arena a;
	struct standing s;

	arena_init(&a, STANDING_BYTES_MAX);
	if (standing_decode(b, &a, &s, NULL) != ERR_NONE || s.region != peers_config(r->peers, peer)->id ||
	    !peers_stand(r->peers, &s))
		return false;
	*ret_wall_ms = s.wall_ms;
	tell_waits(r, peer);
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
	return true;
}

/* Only on its own subject does a region speak for itself. */
void replicator_on_beat(void *ctx, const char *region, uint16_t scope, struct bytes beat)
{
	struct replicator *r = ctx;
	struct heartbeat h;

	if (silence_now(r->options.silence, NULL) != SILENCE_NONE)
		return;
	if (scope == SCOPE_MULTI) {
		uint64_t wall_ms;

		for (uint32_t i = 0; i < peers_count(r->peers); i++)
			if (strcmp(peers_config(r->peers, i)->name, region) == 0)
				(void)take_standing(r, i, beat, &wall_ms);
		return;
	}
	if (scope != SCOPE_FLEET || heartbeat_decode(beat, &h, NULL) != ERR_NONE)
		return;
	const struct peer_config *config = peers_by_id(r->peers, h.region);
	if (config != NULL && strcmp(config->name, region) == 0)
		take_beat(r, &h);
}

/* --- heartbeats --- */

enum err replicator_heartbeat(struct replicator *r, struct buf *out)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	struct heartbeat h = {
		.fleet = r->fleet,
		.scope = SCOPE_FLEET,
		.region = r->options.self.id,
		.position = atomic_load(&r->unproved) ? (struct position){ 0 } : s.position,
		.confirmed = replicator_confirmed(r, &s),
		.wall_ms = clock_wall_ms(r->options.clock),
		.hlc = s.hlc,
		.promised = replicator_is_barred(r) ? HEARTBEAT_BARRED : s.promised,
	};
	return heartbeat_encode(&h, out);
}

enum err replicator_chain(struct replicator *r, struct buf *out)
{
	struct chain chain;
	enum err err = committer_chain(r->committer, &chain);

	if (err)
		return err;
	chain.fleet = r->fleet;
	chain.region = r->options.self.id;
	err = chain_encode(&chain, out);
	chain_release(&chain);
	return err;
}

/* Those that wait longest; each region looks for its own among them. */
static uint32_t fill_waits(struct replicator *r, struct standing_wait out[STANDING_WAITS_MAX])
{
	struct log_waits_told *told = calloc(LOG_WAITS_MAX, sizeof(*told));
	uint32_t n = told != NULL ? MIN(replicator_waits(r, told), STANDING_WAITS_MAX) : 0;

	for (uint32_t i = 0; i < n; i++)
		out[i] = (struct standing_wait){ told[i].wait.log, told[i].wait.seq, (uint8_t)told[i].wait.kind };
	free(told);
	return n;
}

static enum err put_standing(struct replicator *r, bool whole, struct buf *out)
{
	struct log_end *ends = calloc(LOGS_MAX, sizeof(*ends));
	struct committer_state state;

	if (ends == NULL)
		return ERR_NO_MEMORY;
	committer_state(r->committer, &state);
	struct standing s = {
		.fleet = r->fleet,
		.region = r->options.self.id,
		.whole = whole,
		.wall_ms = clock_wall_ms(r->options.clock),
		.hlc = state.hlc,
		.ends = ends,
		.count = committer_vector(r->committer, ends),
	};
	s.wait_count = fill_waits(r, s.waits);
	if (!whole)
		s.count = standing_newest(ends, s.count);
	enum err err = s.count > 0 || whole ? standing_encode(&s, out) : ERR_NOT_FOUND;
	free(ends);
	return err;
}

enum err replicator_standing(struct replicator *r, struct buf *out)
{
	return put_standing(r, true, out);
}

static void send_standing(struct replicator *r)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STREAM_BEAT_BYTES_MAX);
	enum err err = put_standing(r, false, &b);

	if (err == ERR_NONE)
		err = stream_beat(r->stream, SCOPE_MULTI, buf_bytes(&b));
	if (err != ERR_NONE && err != ERR_NOT_FOUND)
		log_debug("a standing was not sent, others follow reason=\"%s\"", err_sentence(err));
}

void replicator_send_beat(struct replicator *r, uint64_t now_ns)
{
	CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);
	struct committer_state s;

	r->beat_ns = now_ns;
	if (silence_now(r->options.silence, NULL) != SILENCE_NONE)
		return;
	committer_state(r->committer, &s);
	peers_own_beat(r->peers, s.position);
	if (r->stream == NULL)
		return;
	enum err err = replicator_heartbeat(r, &beat);
	if (err == ERR_NONE)
		err = stream_beat(r->stream, SCOPE_FLEET, buf_bytes(&beat));
	if (err != ERR_NONE)
		log_debug("a heartbeat was not sent, others follow reason=\"%s\"", err_sentence(err));
	if (r->options.self.data)
		send_standing(r);
}

static void ask(struct replicator *r, uint32_t peer, uint64_t silent_ms_min)
{
	CLEANUP(buf_release) struct buf beat = BUF_INIT(STREAM_BEAT_BYTES_MAX);
	struct peer_link *link = peers_link(r->peers);
	struct peer_standing s;
	struct heartbeat h;

	peers_standing(r->peers, peer, &s);
	if (s.silent_ms < silent_ms_min)
		return;
	if (link->standing(link, s.config->id, SCOPE_FLEET, &beat, NULL) == ERR_NONE &&
	    heartbeat_decode(buf_bytes(&beat), &h, NULL) == ERR_NONE && h.region == s.config->id)
		take_beat(r, &h);
}

/* Its clock when it answered, which was at some moment between the two. */
static void take_clock(struct replicator *r, uint32_t peer, uint64_t wall_ms, uint64_t asked_ns)
{
	uint64_t took_ms = (clock_mono_ns(r->options.clock) - asked_ns) / NS_PER_MS;
	uint64_t now_ms = clock_wall_ms(r->options.clock);
	struct clock_sample sample = { .offset_ms = (int64_t)(wall_ms + took_ms / 2 - now_ms),
				       .error_ms = took_ms / 2 + 1 };

	peers_clock_sample(r->peers, peer, &sample);
}

/* All of its logs: heartbeats name the newest of each region only, and may not come. */
static void ask_standing(struct replicator *r, uint32_t peer)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(STANDING_BYTES_MAX);
	struct peer_link *link = peers_link(r->peers);
	uint64_t asked_ns = clock_mono_ns(r->options.clock);
	uint64_t wall_ms;

	if (link->standing(link, peers_config(r->peers, peer)->id, SCOPE_MULTI, &b, NULL) == ERR_NONE &&
	    take_standing(r, peer, buf_bytes(&b), &wall_ms))
		take_clock(r, peer, wall_ms, asked_ns);
}

void *replicator_asker_main(void *arg)
{
	struct asker *a = arg;
	struct replicator *r = a->replicator;
	uint64_t every_ms = r->stream != NULL ? ASK_MS : HEARTBEAT_MS;
	uint64_t standing_ns = 0;
	bool stop = false;

	while (!stop) {
		struct timespec until;
		uint64_t now_ns = clock_mono_ns(r->options.clock);

		ask(r, a->peer, every_ms);
		if (now_ns - standing_ns >= STANDING_MS * NS_PER_MS) {
			standing_ns = now_ns;
			ask_standing(r, a->peer);
		}
		clock_wait_deadline(every_ms, &until);
		(void)pthread_mutex_lock(&r->lock);
		while (!r->stop && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
			;
		stop = r->stop;
		(void)pthread_mutex_unlock(&r->lock);
	}
	return NULL;
}
