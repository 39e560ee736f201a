/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An orphan is LOCAL until this region applies the op by which the primary lists it. So nothing has to be remembered of what
 * was offered: what is still LOCAL is offered again, to whoever is the primary then. The primary passes over what it knows.
 */
#include "replicator/orphan_keeper.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "replicator/orphan_offer.h"

#define NS_PER_MS UINT64_C(1000000)
/* The ops of one offer, as they are read. */
#define BATCH_ARENA_BYTES_MAX ((size_t)16 << 20)

struct orphan_keeper {
	struct orphan_keeper_options o;
	pthread_t thread;
	bool started;

	/* the thread's */
	struct orphan offered;      /* the last of the last offer; what follows it comes next */
	bool has_offered;
	struct position known_at;   /* where this region will know what was taken over; epoch 0: nothing is waited for */
	uint64_t offered_ns;
	struct orphan decided;      /* likewise, of what was decided by itself */
	bool has_decided;
	uint64_t again_ns;          /* not before: the list was gone through to its end */
	struct fault told;          /* the last trouble that was logged */

	pthread_mutex_t lock;       /* guards the rest */
	pthread_cond_t wake;
	bool stop;
};

/* Once as long as it stays the same. */
static void tell(struct orphan_keeper *k, const char *what, const struct fault *why)
{
	if (strcmp(k->told.text, fault_text(why)) == 0)
		return;
	k->told = *why;
	log_warn("%s reason=\"%s\"", what, fault_text(why));
}

/* --- reading --- */

struct batch {
	struct arena arena;
	struct orphan items[ORPHAN_OFFER_ITEMS_MAX];
	uint32_t count;
	bool at_end;
};

/* Those of one state that follow `after`, within the bounds of a message. */
static enum err read_batch(struct orphan_keeper *k, enum orphan_state state, const struct orphan *after, struct batch *b)
{
	struct store *s = committer_store(k->o.committer);
	struct store_txn *t;
	size_t bytes = 0;
	enum err err = s->ops->begin(s, false, &t);

	b->count = 0;
	b->at_end = false;
	arena_init(&b->arena, BATCH_ARENA_BYTES_MAX);
	if (err)
		return err;
	while (!err && b->count < LEN(b->items) && bytes < ORPHAN_OFFER_BYTES_TARGET) {
		struct orphan *o = &b->items[b->count];
		err = after ? orphan_next(s, t, after, &b->arena, o) : orphan_first(s, t, state, &b->arena, o);
		b->at_end = err == ERR_NOT_FOUND || (!err && o->state != state);
		if (err || b->at_end)
			break;
		bytes += o->op.len;
		b->count++;
		after = o;
	}
	s->ops->abort(t);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static void batch_release(struct batch *b)
{
	arena_release(&b->arena);
}

/* What is remembered of an orphan is where it lies, none of its bytes. */
static struct orphan place_of(const struct orphan *o)
{
	return (struct orphan){ .id = o->id, .state = o->state };
}

/* --- offering --- */

static enum err ask(struct orphan_keeper *k, uint8_t writer, const struct offered_orphan *items, uint32_t count,
		    struct fault *f)
{
	CLEANUP(buf_release) struct buf request = BUF_INIT(ORPHAN_OFFER_BYTES_MAX);
	CLEANUP(buf_release) struct buf answer = BUF_INIT(ORPHAN_ANSWER_BYTES_MAX);
	struct peer_link *link = peers_link(k->o.peers);
	uint32_t listed;

	if (!link || !link->orphans)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to the primary");
	enum err err = orphan_offer_encode(peers_fleet(k->o.peers), items, count, &request);
	if (!err)
		err = link->orphans(link, writer, buf_bytes(&request), &answer, f);
	if (!err)
		err = orphan_answer_decode(buf_bytes(&answer), &listed, &k->known_at);
	return err ? fault_set(f, err, "%s", f->text[0] ? fault_text(f) : err_sentence(err)) : ERR_NONE;
}

static enum err list_here(struct orphan_keeper *k, const struct offered_orphan *items, uint32_t count, struct fault *f)
{
	struct orphan_offer offer = { .items = items, .count = count };

	return committer_list_orphans(k->o.committer, &offer, f);
}

static bool offer_batch(struct orphan_keeper *k, uint8_t writer, bool here, struct batch *b)
{
	struct offered_orphan items[ORPHAN_OFFER_ITEMS_MAX];
	struct fault f = { 0 };

	for (uint32_t i = 0; i < b->count; i++)
		items[i] = (struct offered_orphan){ b->items[i].id.chain_hash, b->items[i].op };
	k->offered_ns = clock_mono_ns(k->o.clock);
	enum err err = here ? list_here(k, items, b->count, &f) : ask(k, writer, items, b->count, &f);
	if (err) {
		tell(k, "orphans of this region could not be listed, trying again", &f);
		return false;
	}
	k->told = (struct fault){ 0 };
	k->offered = place_of(&b->items[b->count - 1]);
	k->has_offered = true;
	return true;
}

/* Is what was offered last on its way here still? */
static bool waits(struct orphan_keeper *k, const struct committer_state *s)
{
	uint64_t passed_ns = clock_mono_ns(k->o.clock) - k->offered_ns;

	return k->known_at.epoch != 0 && position_compare(s->position, k->known_at) < 0 &&
	       passed_ns < ORPHAN_OFFER_AGAIN_MS * NS_PER_MS;
}

static bool offer(struct orphan_keeper *k, uint8_t writer, const struct committer_state *s)
{
	CLEANUP(batch_release) struct batch b;
	bool here = writer == peers_self(k->o.peers)->id;
	struct fault f = { 0 };
	enum err err = read_batch(k, ORPHAN_LOCAL, k->has_offered ? &k->offered : NULL, &b);

	if (err) {
		(void)fault_set(&f, err, "reading the orphan store: %s", err_sentence(err));
		tell(k, "orphans of this region could not be listed, trying again", &f);
		return false;
	}
	if (b.at_end && b.count == 0) {
		k->has_offered = false;
		return false;
	}
	if (!here && waits(k, s))
		return false;
	k->known_at = (struct position){ 0 };
	return offer_batch(k, writer, here, &b);
}

/* --- deciding --- */

/* The first of them stands for all. */
static void tell_refused(struct orphan_keeper *k, const struct orphan_decision *d)
{
	char id[ORPHAN_ID_TEXT_MAX];
	struct fault f = { 0 };

	for (uint32_t i = 0; i < d->count; i++) {
		if (!d->items[i].err)
			continue;
		orphan_id_format(&d->items[i].id, id);
		(void)fault_set(&f, d->items[i].err, "%s, and %u more: %s", id, d->count - d->done - 1,
				fault_text(&d->items[i].fault));
		tell(k, "orphans could not be applied, somebody has to decide", &f);
		return;
	}
}

static bool decide(struct orphan_keeper *k, uint64_t now_ns)
{
	CLEANUP(batch_release) struct batch b;
	struct orphan_verdict *verdicts = calloc(ORPHAN_OFFER_ITEMS_MAX, sizeof(*verdicts));
	struct orphan_decision d = { .items = verdicts };
	struct fault f = { 0 };
	enum err err = read_batch(k, ORPHAN_OPEN, k->has_decided ? &k->decided : NULL, &b);

	if (!verdicts || err || b.count == 0) {
		k->again_ns = now_ns + ORPHAN_AGAIN_MS * NS_PER_MS;
		k->has_decided = false;
		free(verdicts);
		return false;
	}
	for (; d.count < b.count; d.count++)
		verdicts[d.count] = (struct orphan_verdict){ .id = b.items[d.count].id,
							     .apply = k->o.policy == ORPHANS_MERGE };
	err = committer_decide_orphans(k->o.committer, &d, &f);
	if (err)
		tell(k, "orphans could not be decided about, trying again", &f);
	if (!err) {
		tell_refused(k, &d);
		k->decided = place_of(&b.items[b.count - 1]);
		k->has_decided = true;
	}
	free(verdicts);
	return !err;
}

bool orphan_keeper_turn(struct orphan_keeper *k)
{
	uint64_t now_ns = clock_mono_ns(k->o.clock);
	struct committer_state s;
	bool any = false;

	committer_state(k->o.committer, &s);
	bool decides = k->o.policy != ORPHANS_KEEP && s.writing && s.orphans.count[ORPHAN_OPEN] > 0 && now_ns >= k->again_ns;
	if (s.orphans.count[ORPHAN_LOCAL] == 0)
		k->has_offered = false;
	if (s.orphans.count[ORPHAN_OPEN] == 0) {
		k->has_decided = false;
		k->again_ns = 0;
	}
	if (s.orphans.count[ORPHAN_LOCAL] == 0 && !decides)
		return false;
	uint8_t writer = k->o.writer(k->o.ctx);
	if (writer != 0 && s.orphans.count[ORPHAN_LOCAL] > 0)
		any = offer(k, writer, &s);
	if (decides && writer == peers_self(k->o.peers)->id)
		any |= decide(k, now_ns);
	return any;
}

/* --- life --- */

static bool wait_for_turn(struct orphan_keeper *k, bool at_once)
{
	struct timespec until;

	clock_wait_deadline(at_once ? 0 : ORPHAN_KEEPER_MS, &until);
	(void)pthread_mutex_lock(&k->lock);
	while (!k->stop && pthread_cond_timedwait(&k->wake, &k->lock, &until) == 0)
		;
	bool go_on = !k->stop;

	(void)pthread_mutex_unlock(&k->lock);
	return go_on;
}

static void *keeper_main(void *arg)
{
	struct orphan_keeper *k = arg;
	bool any = false;

	while (wait_for_turn(k, any))
		any = orphan_keeper_turn(k);
	return NULL;
}

enum err orphan_keeper_new(const struct orphan_keeper_options *o, struct orphan_keeper **ret_keeper)
{
	struct orphan_keeper *k = calloc(1, sizeof(*k));
	pthread_condattr_t attr;

	if (!k)
		return ERR_NO_MEMORY;
	k->o = *o;
	(void)pthread_mutex_init(&k->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&k->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	*ret_keeper = k;
	return ERR_NONE;
}

enum err orphan_keeper_start(struct orphan_keeper *k)
{
	int errnum = pthread_create(&k->thread, NULL, keeper_main, k);

	if (errnum != 0)
		return err_from_errno(errnum);
	(void)pthread_setname_np(k->thread, "orphans");
	k->started = true;
	return ERR_NONE;
}

void orphan_keeper_stop(struct orphan_keeper *k)
{
	if (!k)
		return;
	(void)pthread_mutex_lock(&k->lock);
	k->stop = true;
	(void)pthread_cond_signal(&k->wake);
	(void)pthread_mutex_unlock(&k->lock);
	if (k->started)
		(void)pthread_join(k->thread, NULL);
	k->started = false;
}

void orphan_keeper_free(struct orphan_keeper *k)
{
	if (!k)
		return;
	orphan_keeper_stop(k);
	(void)pthread_cond_destroy(&k->wake);
	(void)pthread_mutex_destroy(&k->lock);
	free(k);
}
