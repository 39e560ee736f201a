/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of the fleet scope: what it asks of the committer, the applier and the other regions.
 */
#include "replicator/replicator_inner.h"

#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/panic.h"
#include "replicator/orphan.h"

#define RECORD_ARENA_BYTES_MAX (256u << 10)
#define ORPHAN_ARENA_BYTES_MAX (16u << 20)
/* A holder waits so long for its target to apply the release, before it tells the voters. */
#define RELEASE_MS_MAX 1000
/* The committer's turns come at least so often when nothing is to be done. */
#define TURN_MS_MAX 250
#define OLDEST_EVERY_MS 1000

/* --- how this region stands --- */

/* Counted from the last turn that ended. */
static uint64_t stalled_ms(struct replicator_lease *l, const struct committer_state *s, uint64_t now_ns)
{
	if (s->turns != l->turns) {
		l->turns = s->turns;
		l->turned_ns = now_ns;
	}
	uint64_t ms = (now_ns - l->turned_ns) / NS_PER_MS;

	return ms > TURN_MS_MAX ? ms - TURN_MS_MAX : 0;
}

/* What the oldest op of the log follows: from there on the log holds all. */
void replicator_lease_look(struct replicator *r, uint64_t now_ns)
{
	struct replicator_lease *l = &r->lease;
	struct position oldest;

	if (!replicator_has_lease(r) || !r->options.self.data)
		return;
	if (l->oldest_ns != 0 && now_ns - l->oldest_ns < OLDEST_EVERY_MS * NS_PER_MS)
		return;
	if (replicator_oldest(r, &oldest, NULL) != ERR_NONE)
		return;
	l->oldest_ns = now_ns;
	(void)pthread_mutex_lock(&r->lock);
	l->oldest = oldest;
	(void)pthread_mutex_unlock(&r->lock);
}

static void here(void *ctx, struct lease_here *ret_here)
{
	struct replicator *r = ctx;
	struct replicator_lease *l = &r->lease;
	struct applier_state applier = { 0 };
	struct committer_state s;
	uint64_t now_ns = clock_mono_ns(r->options.clock);

	committer_state(r->committer, &s);
	(void)pthread_mutex_lock(&r->lock);
	struct position oldest = l->oldest;

	(void)pthread_mutex_unlock(&r->lock);
	if (r->applier != NULL)
		applier_state(r->applier, &applier);
	*ret_here = (struct lease_here){
		.position = s.durable,
		.confirmed = replicator_confirmed(r, &s),
		.oldest = oldest,
		.epoch = MAX(atomic_load(&l->epoch_seen), s.epoch),
		.stamp_ms = hlc_ms(s.hlc),
		.stalled_ms = stalled_ms(l, &s, now_ns),
		.failed = s.failed,
		.unfit = applier.stopped || atomic_load(&r->unproved),
	};
}

static const char *name_of(void *ctx, uint8_t region)
{
	const struct replicator *r = ctx;
	const struct peer_config *c = peers_by_id(r->peers, region);

	return c != NULL ? c->name : "unknown";
}

void replicator_lease_saw(struct replicator *r, uint64_t epoch)
{
	/* The committer's thread alone writes it after the start. */
	if (epoch > atomic_load(&r->lease.epoch_seen))
		atomic_store(&r->lease.epoch_seen, epoch);
}

/* --- what it has done --- */

static enum err send_frame(void *ctx, uint8_t region, struct bytes frame, struct fault *f)
{
	struct replicator *r = ctx;
	struct peer_link *link = peers_link(r->peers);

	return link->lease(link, region, frame, f);
}

static enum err persist(void *ctx, struct promise *p, struct fault *f)
{
	struct replicator *r = ctx;
	uint64_t now_ns = clock_mono_ns(r->options.clock);
	enum err err = committer_promise(r->committer, p, f);

	/* Whoever it was promised to may write from here on. */
	if (err == ERR_NONE && p->epoch > atomic_load(&r->lease.promised)) {
		atomic_store(&r->lease.promised_ns, now_ns);
		atomic_store(&r->lease.promised, p->epoch);
	}
	return err;
}

double replicator_lease_unknown_seconds(struct replicator *r, uint64_t epoch)
{
	if (!replicator_has_lease(r) || atomic_load(&r->lease.promised) <= epoch)
		return 0.0;
	uint64_t since_ns = atomic_load(&r->lease.promised_ns);

	/* Before this start. */
	if (since_ns == 0)
		return PEERS_LAG_UNKNOWN_SECONDS;
	return (double)(clock_mono_ns(r->options.clock) - since_ns) / 1e9;
}

static enum err copy(void *ctx, uint8_t region, struct position upto, struct fault *f)
{
	struct replicator *r = ctx;

	if (r->applier == NULL)
		return fault_set(f, ERR_UNAVAILABLE, "this region is being started");
	return applier_copy(r->applier, region, upto, f);
}

static enum err begin(void *ctx, uint64_t epoch, struct fault *f)
{
	struct replicator *r = ctx;

	return committer_begin_promised(r->committer, epoch, f);
}

/* The pause: nothing is admitted since LEASE_STOP. The target has all before the release is written, and has applied that
 * before the voters are told: it would decline, and another region would stand. */
static enum err hand_over(void *ctx, uint8_t target, struct position *ret_end, struct fault *f)
{
	struct replicator *r = ctx;
	enum err err = replicator_release_to(r, target, r->lease.switch_timeout_ms, ret_end, f);

	if (ret_end->epoch != 0 && replicator_wait_for_target(r, target, *ret_end, RELEASE_MS_MAX) != ERR_NONE)
		log_warn("the target has not applied the release yet, another region may be elected target=%s", name_of(r, target));
	return err;
}

/* Whoever waits to know who writes looks again; what waits for a level may have it now, or never. */
static void changed(void *ctx)
{
	struct replicator *r = ctx;

	replicator_voters_count(r);
	atomic_fetch_add(&r->news, 1);
	committer_wake(r->committer);
	(void)pthread_mutex_lock(&r->lock);
	r->moved = true;
	(void)pthread_cond_signal(&r->wake);
	(void)pthread_mutex_unlock(&r->lock);
}

/* --- asked by the rest --- */

bool replicator_has_lease(const struct replicator *r)
{
	return r->lease.run != NULL;
}

enum err replicator_lease_may_write(struct replicator *r, uint64_t epoch, struct fault *f)
{
	if (lease_run_may_write(r->lease.run, epoch, /* begun: */ false))
		return ERR_NONE;
	return fault_set(f, ERR_NOT_PRIMARY,
			 "this region does not hold the lease of epoch %llu: not enough regions could be reached, or another one "
			 "is becoming the primary",
			 (unsigned long long)epoch);
}

enum err replicator_lease_message(struct replicator *r, uint8_t from, struct bytes frame, struct fault *reterr_fault)
{
	if (!replicator_has_lease(r))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "region %s has failover.mode off, or no vote: all regions of a fleet need the same mode",
				 r->options.self.name);
	return lease_run_receive(r->lease.run, from, frame, reterr_fault);
}

bool replicator_lease_state(struct replicator *r, struct lease_run_state *ret_state)
{
	if (!replicator_has_lease(r))
		return false;
	lease_run_state(r->lease.run, ret_state);
	return true;
}

/* --- opening --- */

/* One step for each epoch that has orphans of a kind. */
static enum err find_newest_orphan(struct replicator *r, uint64_t *ret_epoch)
{
	struct store *s = r->options.store;
	struct orphan after = { 0 };
	bool any = false;
	struct store_txn *t;
	enum err err = s->ops->begin(s, false, &t);

	*ret_epoch = 0;
	if (err != ERR_NONE)
		return err;
	while (err == ERR_NONE) {
		struct arena a;
		struct orphan o;

		arena_init(&a, ORPHAN_ARENA_BYTES_MAX);
		err = orphan_next(s, t, any ? &after : NULL, &a, &o);
		if (err == ERR_NONE) {
			*ret_epoch = MAX(*ret_epoch, o.id.position.epoch);
			after = (struct orphan){ .state = o.state,
						 .id = { .scope = o.id.scope, .position = { o.id.position.epoch, UINT64_MAX } } };
			any = true;
		}
		arena_release(&a);
	}
	s->ops->abort(t);
	return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err load_record(struct replicator *r, struct lease_record *ret_record, bool *ret_found, struct fault *f)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes b = { 0 };

	arena_init(&a, RECORD_ARENA_BYTES_MAX);
	enum err err = committer_promise_record(r->options.store, &a, &b, f);
	*ret_found = err == ERR_NONE && b.len > 0;
	return *ret_found ? lease_record_decode(b, ret_record, f) : err;
}

static void add_voter(struct voter_list *l, const struct peer_config *c)
{
	uint32_t at = l->count;

	if (!c->data && !c->witness)
		return;
	ASSERT(l->count < VOTERS_MAX);
	for (; at > 0 && l->members[at - 1].region > c->id; at--)
		l->members[at] = l->members[at - 1];
	l->members[at] = (struct voter){ .region = c->id, .data = c->data };
	l->count++;
}

/* What the configuration proposes (protocol rule 10). */
static void propose_voters(const struct replicator *r, struct voter_list *ret_list)
{
	*ret_list = (struct voter_list){ 0 };
	add_voter(ret_list, &r->options.self);
	for (uint32_t i = 0; i < r->options.other_count; i++)
		add_voter(ret_list, &r->options.others[i]);
}

static enum err make_identity(struct replicator *r, struct lease_identity *ret_identity)
{
	struct committer_state s;

	committer_state(r->committer, &s);
	*ret_identity = (struct lease_identity){ .region = r->options.self.id, .boots = s.boots };
	memcpy(ret_identity->store_id, s.store_id, STORE_ID_BYTES);
	while (ret_identity->nonce == 0)
		if (getrandom(&ret_identity->nonce, sizeof(ret_identity->nonce), 0) != sizeof(ret_identity->nonce))
			return ERR_IO;
	return ERR_NONE;
}

enum err replicator_lease_open(struct replicator *r, struct fault *f)
{
	struct replicator_options *o = &r->options;
	uint8_t regions[PEERS_MAX];
	struct lease_record record;
	bool found;
	struct lease_run_options run = {
		.clock = o->clock,
		.fleet = r->fleet,
		.lease = { .scope = SCOPE_FLEET, .data = o->self.data, .preferred = o->home, .config = o->lease },
		.regions = regions,
		.send = send_frame,
		.persist = persist,
		.copy = copy,
		.begin = begin,
		.hand_over = hand_over,
		.here = here,
		.name = name_of,
		.changed = changed,
		.ctx = r,
	};

	if (!o->failover || r->alone || (!o->self.data && !o->self.witness))
		return ERR_NONE;
	if (o->link == NULL || o->link->lease == NULL)
		return fault_set(f, ERR_CONFIG, "failover needs a way to the other regions");
	struct fault why = { 0 };
	enum err err = load_record(r, &record, &found, &why);
	uint64_t newest_orphan = 0;
	if (err == ERR_NONE)
		err = find_newest_orphan(r, &newest_orphan);
	atomic_store(&r->lease.epoch_seen, newest_orphan);
	if (err == ERR_NONE)
		err = make_identity(r, &run.lease.self);
	if (err != ERR_NONE)
		return fault_set(f, err, "the voter's memory: %s",
				 why.text[0] != '\0' ? fault_text(&why) : err_sentence(err));
	run.lease.record = found ? &record : NULL;
	atomic_store(&r->lease.promised, found ? record.epoch : 0);
	propose_voters(r, &run.lease.proposed);
	here(r, &run.lease.here);
	for (uint32_t i = 0; i < o->other_count; i++)
		if (o->others[i].data || o->others[i].witness)
			regions[run.region_count++] = o->others[i].id;
	return lease_run_new(&run, &r->lease.run, f);
}
