/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several regions with their leases, in one process and in virtual time: clocks that run at different rates and jump,
 * messages that are late, lost and doubled, disks that are slow, crashes, suspends. Each has a log that is no more than
 * how many ops of which epoch it holds, written, copied and fenced as the commit does it. After every event it is checked
 * that
 *
 *   - no two regions that run have a valid lease at the same true time,
 *   - no epoch is begun twice, and no voter promises a lower epoch than before,
 *   - what M data voters applied in their holder's epoch is in the history of every later epoch-start.
 *
 * From one seed comes one history.
 */
#pragma once

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replicator/lease.h"

#define FLEET_REGIONS_MAX 6
#define FLEET_EPOCHS_MAX 20
#define FLEET_EVENTS_MAX 1024
#define FLEET_WRITE_MS 250
#define FLEET_COPY_MS 1000
#define FLEET_OK_MS 60000

enum fleet_event_kind { EV_MESSAGE, EV_TICK, EV_STORED, EV_STORED_TOLD, EV_WRITE, EV_OPS, EV_ACK, EV_COPY_ASK, EV_COPY_REPLY,
			EV_COPY_LATE, EV_BEGIN, EV_RELEASE };

/* How many ops of which epoch, oldest epoch first. */
struct fleet_log {
	struct position ends[FLEET_EPOCHS_MAX];
	uint32_t count;
};

struct fleet_event {
	uint64_t at;
	uint64_t order;
	enum fleet_event_kind kind;
	uint8_t to;    /* index, not id */
	uint8_t from;
	uint64_t boots; /* of `to`; another start does not see it. 0: any */
	uint64_t epoch;
	uint64_t number;
	struct lease_identity identity;
	uint64_t wall_ms;
	struct lease_item item;
	bool has_list, has_pending;
	struct voter_list list, pending;
	struct fleet_log log;
};

struct fleet_region {
	/* survives */
	uint8_t id;
	bool data;
	bool has_record;
	struct lease_record record;
	struct fleet_log log;
	uint64_t boots;
	uint8_t store_id[STORE_ID_BYTES];
	uint64_t promised_max;
	/* clocks */
	uint64_t boot_base_ms, boot_from_ms, rate_permille;
	int64_t wall_offset_ms;
	/* of this start */
	bool up, suspended, boot_stands;
	bool unfit, failed;
	uint64_t stalled_since_ms; /* 0: the disk works */
	uint64_t nonce;
	uint64_t told_max;
	struct lease *lease;
	uint64_t tick_at;
	bool writing;
	struct position acked[FLEET_REGIONS_MAX];
	struct position confirmed;
	struct lease_record storing;
	uint64_t storing_sequence, storing_epoch;
};

struct fleet {
	uint64_t now;
	uint64_t random;
	uint64_t order;
	uint64_t nonces;
	struct lease_config config;
	struct voter_list proposed;
	struct fleet_region regions[FLEET_REGIONS_MAX];
	uint32_t count;
	/* faults */
	bool cut[FLEET_REGIONS_MAX][FLEET_REGIONS_MAX];
	uint32_t loss_permille, double_permille, late_permille, late_ms_max;
	bool on_the_wire; /* messages go through their bytes */
	bool hand_over_waits;
	bool greets;      /* all regions are known to all, as by a configuration */
	bool clocks_lie;  /* leases mean nothing: the fence alone has to do */
	/* what happened */
	struct position epochs[FLEET_EPOCHS_MAX * 8]; /* begun, with what was confirmed in it */
	uint32_t epoch_count;
	uint32_t stands, losses_refused, declined, stuck, rolled_back, excluded, yielded;
	uint64_t last_begun_ms;
	const char *wrong;
	char wrong_text[256];
	/* events: a heap of indexes into a pool */
	struct fleet_event pool[FLEET_EVENTS_MAX];
	uint16_t heap[FLEET_EVENTS_MAX];
	uint16_t vacant[FLEET_EVENTS_MAX];
	uint32_t heap_count, vacant_count;
	struct lease_actions out;
	/* hook for directed tests: true eats the message */
	bool (*eats)(struct fleet *f, uint8_t from, uint8_t to, const struct lease_item *m);
	uint64_t eaten;
};

/* --- chance --- */

static inline uint64_t fleet_random(struct fleet *f)
{
	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return f->random * 0x2545F4914F6CDD1Du >> 16;
}
static inline uint64_t fleet_below(struct fleet *f, uint64_t n)
{
	return fleet_random(f) % n;
}
static inline bool fleet_chance(struct fleet *f, uint32_t permille)
{
	return permille > 0 && fleet_below(f, 1000) < permille;
}

/* --- events --- */

static inline bool fleet_before(const struct fleet *f, uint16_t a, uint16_t b)
{
	const struct fleet_event *x = &f->pool[a], *y = &f->pool[b];

	return x->at < y->at || (x->at == y->at && x->order < y->order);
}

static inline struct fleet_event *fleet_add(struct fleet *f, uint64_t at, enum fleet_event_kind kind, uint8_t to)
{
	/* Each ck_assert writes to a file, also when it holds: not here. */
	if (f->vacant_count == 0)
		ck_abort_msg("too many events");
	uint16_t slot = f->vacant[--f->vacant_count];
	struct fleet_event *e = &f->pool[slot];
	uint32_t i = f->heap_count++;

	e->at = at;
	e->order = f->order++;
	e->kind = kind;
	e->to = to;
	e->boots = f->regions[to].boots;
	e->has_list = e->has_pending = false;
	for (; i > 0 && fleet_before(f, slot, f->heap[(i - 1) / 2]); i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = slot;
	return e;
}

static inline struct fleet_event *fleet_take(struct fleet *f)
{
	uint16_t first = f->heap[0], last = f->heap[--f->heap_count];
	uint32_t i = 0;

	for (uint32_t child = 1; child < f->heap_count; child = 2 * i + 1) {
		if (child + 1 < f->heap_count && fleet_before(f, f->heap[child + 1], f->heap[child]))
			child++;
		if (!fleet_before(f, f->heap[child], last))
			break;
		f->heap[i] = f->heap[child];
		i = child;
	}
	f->heap[i] = last;
	f->vacant[f->vacant_count++] = first; /* not used again before the next fleet_add */
	return &f->pool[first];
}

/* --- clocks --- */

static inline struct lease_now fleet_clock(const struct fleet *f, const struct fleet_region *r)
{
	uint64_t ran = r->suspended && r->boot_stands ? 0 : (f->now - r->boot_from_ms) * r->rate_permille / 1000;

	return (struct lease_now){ .boot_ms = r->boot_base_ms + ran,
				   .wall_ms = 1700000000000u + f->now + (uint64_t)r->wall_offset_ms };
}

/* --- logs --- */

static inline struct position fleet_position(const struct fleet_region *r)
{
	return r->log.count > 0 ? r->log.ends[r->log.count - 1] : (struct position){ 0 };
}
static inline uint64_t fleet_fence(const struct fleet_region *r)
{
	return MAX(r->has_record ? r->record.epoch : 0, fleet_position(r).epoch);
}
static inline bool fleet_log_has(const struct fleet_log *log, struct position p)
{
	for (uint32_t i = 0; i < log->count; i++)
		if (log->ends[i].epoch == p.epoch)
			return log->ends[i].seq >= p.seq;
	return false;
}

static inline void fleet_log_copy(struct fleet_log *to, const struct fleet_log *from)
{
	to->count = from->count;
	memcpy(to->ends, from->ends, from->count * sizeof(from->ends[0]));
}

static inline void fleet_wrong(struct fleet *f, const char *what, uint64_t a, uint64_t b)
{
	if (f->wrong != NULL)
		return;
	snprintf(f->wrong_text, sizeof(f->wrong_text), "%s (%" PRIu64 ", %" PRIu64 ") at %" PRIu64 " ms", what, a, b, f->now);
	f->wrong = f->wrong_text;
}

/* --- leases --- */

static inline void fleet_act(struct fleet *f, struct fleet_region *r);

static inline uint8_t fleet_index(const struct fleet *f, const struct fleet_region *r)
{
	return (uint8_t)(r - f->regions);
}

static inline struct lease_here fleet_here(const struct fleet *f, const struct fleet_region *r)
{
	struct position p = fleet_position(r);

	return (struct lease_here){
		.position = p,
		.confirmed = r->confirmed,
		.epoch = p.epoch,
		.stamp_ms = p.epoch != 0 ? 1700000000000u : 0,
		.stalled_ms = r->stalled_since_ms != 0 ? f->now - r->stalled_since_ms : 0,
		.failed = r->failed,
		.unfit = r->unfit,
	};
}

static inline void fleet_schedule(struct fleet *f, struct fleet_region *r)
{
	uint64_t due = lease_due(r->lease), boot = fleet_clock(f, r).boot_ms;
	uint64_t at = due == UINT64_MAX ? UINT64_MAX
		      : due <= boot	? f->now + 1
					: f->now + (due - boot) * 1000 / r->rate_permille + 1;

	if (at == UINT64_MAX || (r->tick_at > f->now && r->tick_at <= at))
		return;
	r->tick_at = at;
	fleet_add(f, at, EV_TICK, fleet_index(f, r));
}

static inline void fleet_tell_here(struct fleet *f, struct fleet_region *r)
{
	struct lease_here here = fleet_here(f, r);

	lease_set_here(r->lease, fleet_clock(f, r), &here, &f->out);
	fleet_act(f, r);
}

static inline void fleet_start(struct fleet *f, uint32_t i)
{
	struct fleet_region *r = &f->regions[i];
	struct fault fault = { 0 };

	r->up = true;
	r->suspended = false;
	r->boots++;
	r->nonce = ++f->nonces;
	r->tick_at = 0;
	r->told_max = 0;
	r->writing = false;
	r->stalled_since_ms = 0;
	memset(r->acked, 0, sizeof(r->acked));
	struct lease_options o = {
		.self = { .region = r->id, .boots = r->boots, .nonce = r->nonce },
		.data = r->data,
		.config = f->config,
		.here = fleet_here(f, r),
		.proposed = f->proposed,
		.record = r->has_record ? &r->record : NULL,
	};
	memcpy(o.self.store_id, r->store_id, STORE_ID_BYTES);
	for (uint32_t k = 0; k < f->count && f->greets; k++)
		voter_set_add(&o.known, f->regions[k].id);
	enum err err = lease_new(&o, fleet_clock(f, r), &r->lease, &fault);
	if (err != ERR_NONE)
		ck_abort_msg("%s", fault_text(&fault));
	if (lease_promised(r->lease) < r->promised_max)
		fleet_wrong(f, "a promise was forgotten", r->promised_max, lease_promised(r->lease));
	fleet_add(f, f->now + 1 + fleet_below(f, FLEET_WRITE_MS), EV_WRITE, (uint8_t)i);
	fleet_schedule(f, r);
}

static inline void fleet_crash(struct fleet *f, uint32_t i)
{
	struct fleet_region *r = &f->regions[i];

	lease_free(r->lease);
	r->lease = NULL;
	r->up = false;
	r->suspended = false;
	/* Its machine may have gone down with it, and its clock counts from anew. */
	r->boot_base_ms = fleet_chance(f, 500) ? 0 : fleet_clock(f, r).boot_ms;
	r->boot_from_ms = f->now;
}

static inline void fleet_suspend(struct fleet *f, uint32_t i, bool boot_stands)
{
	struct fleet_region *r = &f->regions[i];

	r->boot_base_ms = fleet_clock(f, r).boot_ms;
	r->boot_from_ms = f->now;
	r->suspended = true;
	r->boot_stands = boot_stands;
}

static inline void fleet_resume(struct fleet *f, uint32_t i)
{
	struct fleet_region *r = &f->regions[i];

	r->boot_base_ms = fleet_clock(f, r).boot_ms;
	r->boot_from_ms = f->now;
	r->suspended = false;
	r->tick_at = 0;
	fleet_add(f, f->now + 1, EV_WRITE, (uint8_t)i);
	fleet_schedule(f, r);
}

static inline bool fleet_runs(const struct fleet_region *r)
{
	return r->up && !r->suspended;
}

/* Does it hold a lease that it believes in, by its own clocks? */
static inline bool fleet_holds(const struct fleet *f, const struct fleet_region *r)
{
	if (!fleet_runs(r))
		return false;
	struct lease_term t = lease_get_term(r->lease);
	return lease_term_valid(&t, t.epoch, fleet_clock(f, r));
}

/* The index of the one region that may write; -1: none. */
static inline int fleet_holder(const struct fleet *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (fleet_holds(f, &f->regions[i]) && f->regions[i].writing)
			return (int)i;
	return -1;
}

/* --- the network --- */

static inline uint64_t fleet_delay(struct fleet *f)
{
	return fleet_chance(f, f->late_permille) ? 1 + fleet_below(f, f->late_ms_max) : 5 + fleet_below(f, 40);
}

/* Whether a message gets through, so many times. */
static inline uint32_t fleet_copies(struct fleet *f, uint8_t from, uint8_t to)
{
	if (f->cut[from][to] || fleet_chance(f, f->loss_permille))
		return 0;
	return fleet_chance(f, f->double_permille) ? 2 : 1;
}

static inline void fleet_send(struct fleet *f, struct fleet_region *r, const struct lease_action *a)
{
	uint8_t from = fleet_index(f, r), to = 0;

	while (to < f->count && f->regions[to].id != a->region)
		to++;
	if (to == f->count || (f->eats != NULL && f->eats(f, from, to, &a->item) && ++f->eaten))
		return;
	for (uint32_t copies = fleet_copies(f, from, to); copies > 0; copies--) {
		struct fleet_event *e = fleet_add(f, f->now + fleet_delay(f), EV_MESSAGE, to);

		e->boots = 0;
		e->from = from;
		e->identity = (struct lease_identity){ .region = r->id, .boots = r->boots, .nonce = r->nonce };
		memcpy(e->identity.store_id, r->store_id, STORE_ID_BYTES);
		e->wall_ms = fleet_clock(f, r).wall_ms;
		e->item = a->item;
		e->has_list = a->item.list != NULL;
		e->has_pending = a->item.pending != NULL;
		if (e->has_list)
			e->list = *a->item.list;
		if (e->has_pending)
			e->pending = *a->item.pending;
	}
}

static inline void fleet_receive(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	struct lease_now now = fleet_clock(f, r);

	e->item.list = e->has_list ? &e->list : NULL;
	e->item.pending = e->has_pending ? &e->pending : NULL;
	if (!f->on_the_wire) {
		lease_receive(r->lease, now, &e->identity, e->wall_ms, &e->item, &f->out);
		return;
	}
	CLEANUP(arena_release) struct arena arena;
	CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_FRAME_BYTES_MAX);
	struct lease_frame frame = { .from = e->identity, .wall_ms = e->wall_ms, .items = &e->item, .count = 1 };
	arena_init(&arena, 1u << 20);
	ck_assert_int_eq(lease_frame_encode(&frame, &b), ERR_NONE);
	ck_assert_int_eq(lease_frame_decode(buf_bytes(&b), &arena, &frame, NULL), ERR_NONE);
	lease_receive(r->lease, now, &frame.from, frame.wall_ms, &frame.items[0], &f->out);
}

/* --- disk and log --- */

static inline uint64_t fleet_disk_ms(struct fleet *f, const struct fleet_region *r)
{
	return r->stalled_since_ms != 0 ? 500 + fleet_below(f, 500) : 1 + fleet_below(f, 15);
}

/* The transaction: the promise is stored, and the position read, unless the log has gone beyond. */
static inline void fleet_store(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	if (r->stalled_since_ms != 0) {
		struct fleet_event *again = fleet_add(f, f->now + 200, EV_STORED, e->to);
		again->number = e->number;
		again->epoch = e->epoch;
		return;
	}
	if (e->number != r->storing_sequence)
		return;
	bool ok = e->epoch == 0 || e->epoch > fleet_position(r).epoch;
	if (ok && r->storing.epoch < (r->has_record ? r->record.epoch : 0))
		fleet_wrong(f, "a lower promise was stored", r->record.epoch, r->storing.epoch);
	if (ok) {
		CLEANUP(buf_release) struct buf b = BUF_INIT(LEASE_RECORD_BYTES_MAX);
		r->record = r->storing;
		r->has_record = true;
		if (f->on_the_wire) {
			ck_assert_int_eq(lease_record_encode(&r->storing, &b), ERR_NONE);
			ck_assert_int_eq(lease_record_decode(buf_bytes(&b), &r->record, NULL), ERR_NONE);
		}
		r->promised_max = MAX(r->promised_max, r->record.epoch);
	}
	struct position p = fleet_position(r);
	uint64_t sequence = e->number;
	struct fleet_event *told = fleet_add(f, f->now + 1 + fleet_below(f, 5), EV_STORED_TOLD, e->to);
	told->number = sequence;
	told->epoch = ok;
	told->log.ends[0] = p;
}

static inline void fleet_offer_ops(struct fleet *f, struct fleet_region *r)
{
	for (uint8_t i = 0; i < f->count; i++) {
		if (&f->regions[i] == r || !f->regions[i].data)
			continue;
		for (uint32_t copies = fleet_copies(f, fleet_index(f, r), i); copies > 0; copies--) {
			struct fleet_event *e = fleet_add(f, f->now + fleet_delay(f), EV_OPS, i);
			e->boots = 0;
			e->from = fleet_index(f, r);
			fleet_log_copy(&e->log, &r->log);
		}
	}
}

/* What M data voters have applied in the holder's own epoch may never be missed again (rule 6). */
static inline void fleet_confirm(struct fleet *f, struct fleet_region *r)
{
	struct position p = fleet_position(r);
	const struct voter_list *voters = lease_voters(r->lease);
	uint64_t seqs[FLEET_REGIONS_MAX];
	uint32_t n = 0;

	r->acked[fleet_index(f, r)] = p;
	for (uint32_t i = 0; i < f->count; i++) {
		const struct voter *v = voters_find(voters, f->regions[i].id);
		if (v == NULL || !v->data || r->acked[i].epoch != p.epoch)
			continue;
		uint32_t at = n++;
		for (; at > 0 && seqs[at - 1] < r->acked[i].seq; at--)
			seqs[at] = seqs[at - 1];
		seqs[at] = r->acked[i].seq;
	}
	if (n < voters_majority(voters))
		return;
	r->confirmed = (struct position){ p.epoch, seqs[voters_majority(voters) - 1] };
	for (uint32_t i = 0; i < f->epoch_count; i++)
		if (f->epochs[i].epoch == p.epoch)
			f->epochs[i].seq = MAX(f->epochs[i].seq, r->confirmed.seq);
}

static inline bool fleet_may_commit(struct fleet *f, const struct fleet_region *r, uint64_t epoch)
{
	struct lease_term t = lease_get_term(r->lease);

	if (fleet_fence(r) > epoch || r->stalled_since_ms != 0 || r->failed || t.epoch != epoch)
		return false;
	return f->clocks_lie || lease_term_valid(&t, epoch, fleet_clock(f, r));
}

static inline void fleet_write(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	fleet_add(f, f->now + FLEET_WRITE_MS, EV_WRITE, e->to);
	uint64_t epoch = fleet_position(r).epoch;
	/* With clocks that lie a holder goes on in its epoch until the fence tells it. */
	bool believes = r->writing || (f->clocks_lie && lease_get_term(r->lease).epoch == epoch && epoch != 0);

	if (believes && fleet_may_commit(f, r, epoch)) {
		r->log.ends[r->log.count - 1].seq += 1 + fleet_below(f, 2);
		fleet_confirm(f, r);
		fleet_offer_ops(f, r);
	}
	fleet_tell_here(f, r);
}

/* A follower: into an epoch that it has not promised away, or that came after its promise (rule 21). */
static inline void fleet_apply(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	struct position theirs = e->log.ends[e->log.count - 1], mine = fleet_position(r);

	if (theirs.epoch < fleet_fence(r) || r->stalled_since_ms != 0 || r->failed)
		return;
	uint8_t from = e->from;
	if (position_compare(theirs, mine) > 0) {
		fleet_log_copy(&r->log, &e->log);
		mine = theirs;
		fleet_tell_here(f, r);
	}
	for (uint32_t copies = fleet_copies(f, fleet_index(f, r), from); copies > 0; copies--) {
		struct fleet_event *ack = fleet_add(f, f->now + fleet_delay(f), EV_ACK, from);
		ack->from = fleet_index(f, r);
		ack->log.ends[0] = mine;
	}
}

static inline void fleet_ack(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	if (position_compare(e->log.ends[0], r->acked[e->from]) > 0)
		r->acked[e->from] = e->log.ends[0];
	/* Counted only while it writes on: another's epoch would be counted as its own. */
	if (lease_get_term(r->lease).epoch == fleet_position(r).epoch && fleet_position(r).epoch != 0)
		fleet_confirm(f, r);
}

static inline void fleet_begin(struct fleet *f, struct fleet_region *r, uint64_t epoch)
{
	bool ok = fleet_may_commit(f, r, epoch) && r->log.count < FLEET_EPOCHS_MAX && fleet_position(r).epoch < epoch;

	if (ok) {
		for (uint32_t i = 0; i < f->epoch_count; i++) {
			if (f->epochs[i].epoch == epoch)
				fleet_wrong(f, "an epoch was begun twice", epoch, r->id);
			if (f->epochs[i].epoch < epoch && f->epochs[i].seq > 0 && !fleet_log_has(&r->log, f->epochs[i]))
				fleet_wrong(f, "a confirmed op is lost", f->epochs[i].epoch, f->epochs[i].seq);
		}
		r->log.ends[r->log.count++] = (struct position){ epoch, 1 };
		if (f->epoch_count == LEN(f->epochs))
			ck_abort_msg("too many epochs");
		f->epochs[f->epoch_count++] = (struct position){ epoch, 0 };
		f->last_begun_ms = f->now;
		memset(r->acked, 0, sizeof(r->acked));
		fleet_offer_ops(f, r);
		struct lease_here here = fleet_here(f, r);
		lease_set_here(r->lease, fleet_clock(f, r), &here, &f->out);
		fleet_act(f, r);
	}
	lease_begun(r->lease, fleet_clock(f, r), epoch, ok, &f->out);
	fleet_act(f, r);
}

static inline void fleet_copy_ask(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	uint8_t to = e->from;
	uint64_t epoch = e->epoch;

	/* It follows a newer epoch: the asker's is over. */
	if (f->cut[fleet_index(f, r)][to] || fleet_position(r).epoch > epoch)
		return;
	struct fleet_event *reply = fleet_add(f, f->now + fleet_delay(f), EV_COPY_REPLY, to);
	reply->epoch = epoch;
	fleet_log_copy(&reply->log, &r->log);
}

static inline void fleet_copied(struct fleet *f, struct fleet_region *r, uint64_t epoch, const struct fleet_log *log)
{
	bool ok = log != NULL && fleet_fence(r) <= epoch && r->stalled_since_ms == 0;

	if (ok) {
		fleet_log_copy(&r->log, log);
		struct lease_here here = fleet_here(f, r);
		lease_set_here(r->lease, fleet_clock(f, r), &here, &f->out);
		fleet_act(f, r);
	}
	lease_copied(r->lease, fleet_clock(f, r), epoch, ok, &f->out);
	fleet_act(f, r);
}

/* The release op, when the target has all or when nobody waits for it. */
static inline void fleet_release(struct fleet *f, struct fleet_region *r, struct fleet_event *e)
{
	struct fleet_region *target = &f->regions[e->from];
	uint64_t epoch = e->epoch;
	bool near = position_compare(fleet_position(target), fleet_position(r)) >= 0;

	if (f->hand_over_waits && !near && e->number < 20) {
		uint8_t from = e->from;
		uint64_t tries = e->number + 1;
		fleet_offer_ops(f, r);
		struct fleet_event *again = fleet_add(f, f->now + 50, EV_RELEASE, fleet_index(f, r));
		again->from = from;
		again->epoch = epoch;
		again->number = tries;
		return;
	}
	bool ok = fleet_may_commit(f, r, epoch) && fleet_position(r).epoch == epoch;
	if (ok) {
		r->log.ends[r->log.count - 1].seq++;
		fleet_offer_ops(f, r);
		fleet_tell_here(f, r);
	}
	lease_handed_over(r->lease, fleet_clock(f, r), epoch, ok, fleet_position(r), &f->out);
	fleet_act(f, r);
}

/* --- actions --- */

static inline void fleet_note(struct fleet *f, const struct lease_action *a)
{
	f->stands += a->event == LEASE_EVENT_STANDING;
	f->losses_refused += a->event == LEASE_EVENT_LOSS_REFUSED;
	f->declined += a->event == LEASE_EVENT_DECLINED;
	f->stuck += a->event == LEASE_EVENT_PROMISE_STUCK;
	f->rolled_back += a->event == LEASE_EVENT_ROLLED_BACK;
	f->excluded += a->event == LEASE_EVENT_EXCLUDED;
	f->yielded += a->event == LEASE_EVENT_YIELDED;
}

static inline void fleet_do(struct fleet *f, struct fleet_region *r, const struct lease_action *a)
{
	uint8_t me = fleet_index(f, r), other = 0;
	struct fleet_event *e;

	while (other < f->count && f->regions[other].id != a->region)
		other++;
	switch (a->kind) {
	case LEASE_SEND:
		fleet_send(f, r, a);
		break;
	case LEASE_PERSIST:
		r->storing = *a->record;
		r->storing_sequence = a->sequence;
		e = fleet_add(f, f->now + fleet_disk_ms(f, r), EV_STORED, me);
		e->number = a->sequence;
		e->epoch = a->epoch;
		break;
	case LEASE_COPY:
		if (fleet_copies(f, me, other) > 0) {
			e = fleet_add(f, f->now + fleet_delay(f), EV_COPY_ASK, other);
			e->boots = 0;
			e->from = me;
			e->epoch = a->epoch;
		}
		e = fleet_add(f, f->now + FLEET_COPY_MS, EV_COPY_LATE, me);
		e->epoch = a->epoch;
		break;
	case LEASE_BEGIN:
		e = fleet_add(f, f->now + fleet_disk_ms(f, r), EV_BEGIN, me);
		e->epoch = a->epoch;
		break;
	case LEASE_WRITE:
	case LEASE_STOP:
		r->writing = a->kind == LEASE_WRITE;
		break;
	case LEASE_HAND_OVER:
		e = fleet_add(f, f->now + 1, EV_RELEASE, me);
		e->from = other;
		e->epoch = a->epoch;
		e->number = 0;
		break;
	case LEASE_TELL:
		fleet_note(f, a);
		break;
	}
}

static inline void fleet_act(struct fleet *f, struct fleet_region *r)
{
	for (uint32_t i = 0; i < f->out.count; i++)
		fleet_do(f, r, &f->out.list[i]);
	f->out.count = 0;
	if (lease_promised(r->lease) < r->told_max)
		fleet_wrong(f, "a promise went down", r->told_max, lease_promised(r->lease));
	r->told_max = lease_promised(r->lease);
	fleet_schedule(f, r);
}

/* --- running --- */

static inline void fleet_handle(struct fleet *f, struct fleet_event *e)
{
	struct fleet_region *r = &f->regions[e->to];
	struct fleet_log log;

	if (!fleet_runs(r) || (e->boots != 0 && e->boots != r->boots)) {
		/* What a suspended process was about to do it does when it goes on. */
		if (r->up && e->boots == r->boots && e->kind != EV_TICK && e->kind != EV_WRITE) {
			struct fleet_event copy = *e;
			struct fleet_event *later = fleet_add(f, f->now + 100, e->kind, e->to);
			copy.at = later->at;
			copy.order = later->order;
			*later = copy;
		}
		return;
	}
	switch (e->kind) {
	case EV_MESSAGE:
		fleet_receive(f, r, e);
		fleet_act(f, r);
		break;
	case EV_TICK:
		if (r->tick_at == e->at) {
			lease_tick(r->lease, fleet_clock(f, r), &f->out);
			fleet_act(f, r);
		}
		break;
	case EV_STORED:
		fleet_store(f, r, e);
		break;
	case EV_STORED_TOLD:
		lease_persisted(r->lease, fleet_clock(f, r), e->number, e->epoch != 0, e->log.ends[0], &f->out);
		fleet_act(f, r);
		break;
	case EV_WRITE:
		fleet_write(f, r, e);
		break;
	case EV_OPS:
		fleet_apply(f, r, e);
		break;
	case EV_ACK:
		fleet_ack(f, r, e);
		break;
	case EV_COPY_ASK:
		fleet_copy_ask(f, r, e);
		break;
	case EV_COPY_REPLY:
		log = e->log;
		fleet_copied(f, r, e->epoch, &log);
		break;
	case EV_COPY_LATE:
		fleet_copied(f, r, e->epoch, NULL);
		break;
	case EV_BEGIN:
		fleet_begin(f, r, e->epoch);
		break;
	case EV_RELEASE:
		fleet_release(f, r, e);
		break;
	}
}

static inline void fleet_check(struct fleet *f)
{
	const struct fleet_region *holder = NULL;

	for (uint32_t i = 0; i < f->count && !f->clocks_lie; i++) {
		if (!fleet_holds(f, &f->regions[i]))
			continue;
		if (holder != NULL)
			fleet_wrong(f, "two regions hold the lease", holder->id, f->regions[i].id);
		holder = &f->regions[i];
	}
}

static inline void fleet_run(struct fleet *f, uint64_t until)
{
	while (f->heap_count > 0 && f->pool[f->heap[0]].at <= until && f->wrong == NULL) {
		struct fleet_event *taken = fleet_take(f);

		f->now = MAX(f->now, taken->at);
		/* Handling adds events, which may take its place: the slot stays ours until then. */
		struct fleet_event *e = taken;
		uint16_t slot = f->vacant[--f->vacant_count];
		fleet_handle(f, e);
		f->vacant[f->vacant_count++] = slot;
		fleet_check(f);
	}
	f->now = until;
}

/* Until a region may write, and so many ms at most; returns its index or -1. */
static inline int fleet_run_to_holder(struct fleet *f, uint64_t ms_max)
{
	uint64_t until = f->now + ms_max;

	while (f->now < until && fleet_holder(f) < 0 && f->wrong == NULL)
		fleet_run(f, MIN(f->now + 10, until));
	return fleet_holder(f);
}

static inline void fleet_init(struct fleet *f, uint64_t seed, uint32_t data, uint32_t witnesses)
{
	memset(f, 0, offsetof(struct fleet, pool));
	f->heap_count = 0;
	f->eats = NULL;
	f->eaten = 0;
	f->out.count = 0;
	f->random = seed * 0x9E3779B97F4A7C15u + 1;
	f->config = LEASE_CONFIG_DEFAULT;
	f->count = data + witnesses;
	f->vacant_count = FLEET_EVENTS_MAX;
	for (uint32_t i = 0; i < FLEET_EVENTS_MAX; i++)
		f->vacant[i] = (uint16_t)i;
	f->proposed.count = f->count;
	for (uint32_t i = 0; i < f->count; i++) {
		struct fleet_region *r = &f->regions[i];

		r->id = (uint8_t)(i + 1);
		r->data = i < data;
		r->rate_permille = 1000;
		memset(r->store_id, (int)i + 1, STORE_ID_BYTES);
		f->proposed.members[i] = (struct voter){ .region = r->id, .data = r->data };
	}
}

static inline void fleet_start_all(struct fleet *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		fleet_start(f, i);
}

static inline void fleet_release_all(struct fleet *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		lease_free(f->regions[i].lease);
}
