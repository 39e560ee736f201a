/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One audit: the mark, the roots of all regions at it, and the way down to the leaves that differ. All regions stood at one
 * position when they copied their trees, so any difference is real; but for collections that every region writes, which have
 * no such position: see audit_multi.c.
 */
#include "replicator/audit_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define BLOCK_LEAVES 256u
#define NS_PER_MS UINT64_C(1000000)
/* Pauses between two questions to a region that is not there yet: they grow. */
#define LOOK_MS_MIN 5
#define LOOK_MS_MAX 500
#define DEEP_LOOK_MS 500
#define DEEP_MS_MAX (6ull * 3600 * 1000)
#define SUSPECTS_CAP_MIN 64u

/* --- asking --- */

static enum err ask_here(struct audit_round *r, const struct audit_request *q, struct arena *arena,
			 struct audit_reply *ret_reply, struct fault *f)
{
	return audit_answer_request(r->a, q, arena, ret_reply, f);
}

static enum err ask_there(struct audit_round *r, uint8_t region, const struct audit_request *q, struct arena *arena,
			  struct audit_reply *ret_reply, struct fault *f)
{
	CLEANUP(buf_release) struct buf request = BUF_INIT(AUDIT_BYTES_MAX);
	CLEANUP(buf_release) struct buf answer = BUF_INIT(AUDIT_BYTES_MAX);
	struct peer_link *link = peers_link(r->a->o.peers);

	if (!link || !link->audit)
		return fault_set(f, ERR_UNAVAILABLE, "there is no way to ask region %u", region);
	enum err err = audit_request_encode(q, &request);
	if (!err)
		err = link->audit(link, region, buf_bytes(&request), &answer, f);
	if (err)
		return err;
	r->report->asked_bytes += request.len + answer.len;
	/* What was decoded has views of the answer. */
	uint8_t *copy = arena_alloc(arena, answer.len);
	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, answer.data, answer.len);
	err = audit_reply_decode((struct bytes){ .data = copy, .len = answer.len }, arena, ret_reply, f);
	if (err)
		return err;
	if (ret_reply->kind != q->kind)
		return fault_set(f, ERR_CORRUPT, "region %u answered something else", region);
	err = audit_reply_refusal(ret_reply);
	return err ? fault_set(f, err, "region %u: %.*s", region, STR_FMT(ret_reply->words)) : ERR_NONE;
}

enum err audit_round_ask(struct audit_round *r, uint32_t member, struct audit_request *q, struct arena *arena,
			 struct audit_reply *ret_reply, struct fault *reterr_fault)
{
	const struct audit_member *m = &r->members[member];

	q->fleet = audit_fleet(r->a);
	q->sender = audit_self(r->a);
	q->mark = r->mark;
	if (q->kind != AUDIT_SETTLE)
		q->position = r->position;
	return m->self ? ask_here(r, q, arena, ret_reply, reterr_fault)
		       : ask_there(r, m->id, q, arena, ret_reply, reterr_fault);
}

static struct audit_request about(enum audit_kind kind, const struct audit_root *shard)
{
	struct audit_request q = { .kind = kind };

	if (shard) {
		q.incarnation = shard->incarnation;
		q.shard = shard->shard;
	}
	return q;
}

bool audit_is_passing(enum err err)
{
	return err == ERR_UNAVAILABLE || err == ERR_TIMEOUT || err == ERR_RATE_LIMITED || err == ERR_BAD_GATEWAY;
}

/* --- who takes part --- */

static void add_member(struct audit_round *r, uint8_t id, const char *name, bool self)
{
	struct audit_region *region = &r->report->regions[r->member_count];

	r->members[r->member_count++] = (struct audit_member){ .id = id, .self = self };
	region->id = id;
	region->standing = AUDIT_LATE;
	(void)snprintf(region->name, sizeof(region->name), "%s", name);
	r->report->region_count = r->member_count;
}

static void add_members(struct audit_round *r)
{
	struct audit *a = r->a;

	add_member(r, audit_self(a), a->region, true);
	r->majority = a->o.peers ? peers_majority(a->o.peers) : 1;
	for (uint32_t i = 0; a->o.peers && i < peers_count(a->o.peers); i++) {
		const struct peer_config *p = peers_config(a->o.peers, i);
		if (p->data)
			add_member(r, p->id, p->name, false);
	}
}

/* --- the mark and the roots --- */

static enum err set_mark(struct audit_round *r)
{
	struct audit *a = r->a;

	r->mark = MAX(a->mark + 1, clock_wall_ms(a->o.clock));
	enum err err = committer_mark(a->o.committer, r->mark, &r->position, r->fault);
	if (err)
		return err;
	a->mark = r->mark;
	a->marked_at = r->position;
	r->report->mark = r->mark;
	r->report->position = r->position;
	r->marked = audit_marked(a, r->mark);
	if (r->marked)
		a->seen_at = r->marked->seen;
	return r->marked ? ERR_NONE
			 : fault_set(r->fault, ERR_NO_MEMORY, "no memory for a copy of the Merkle trees");
}

enum roots_answer { ROOTS_ENDED, ROOTS_NOT_YET, ROOTS_SILENT };

static enum roots_answer ask_roots(struct audit_round *r, uint32_t i)
{
	struct audit_member *m = &r->members[i];
	struct audit_request q = about(AUDIT_ROOTS, NULL);
	struct audit_reply reply;
	enum err err = audit_round_ask(r, i, &q, &r->arena, &reply, NULL);

	if (err)
		return audit_is_passing(err) ? ROOTS_SILENT : ROOTS_ENDED;
	r->report->regions[i].position = reply.position;
	if (reply.state == AUDIT_NOT_YET)
		return ROOTS_NOT_YET;
	m->reached = reply.state == AUDIT_DONE;
	m->roots = reply;
	for (uint32_t k = 0; k < reply.root_count; k++)
		r->report->regions[i].rows += reply.roots[k].rows;
	return ROOTS_ENDED;
}

uint64_t audit_late_ms(const struct audit *a)
{
	return a->o.late_ms ? a->o.late_ms : AUDIT_LATE_MS;
}

/* Who is behind is given longer than who does not answer at all. */
static void collect_roots(struct audit_round *r)
{
	struct clock *clock = r->a->o.clock;
	uint64_t late_ms = audit_late_ms(r->a);
	uint64_t begun_ns = clock_mono_ns(clock);
	uint64_t heard_ns[AUDIT_REGIONS_MAX];
	bool ended[AUDIT_REGIONS_MAX] = { false };
	uint32_t left = r->member_count;

	for (uint32_t i = 0; i < r->member_count; i++)
		heard_ns[i] = begun_ns;
	for (uint64_t pause_ms = LOOK_MS_MIN; left > 0; pause_ms = MIN(pause_ms * 2, (uint64_t)LOOK_MS_MAX)) {
		for (uint32_t i = 0; i < r->member_count; i++) {
			if (ended[i])
				continue;
			enum roots_answer answer = ask_roots(r, i);
			uint64_t now_ns = clock_mono_ns(clock);
			if (answer != ROOTS_SILENT)
				heard_ns[i] = now_ns;
			ended[i] = answer == ROOTS_ENDED || now_ns - heard_ns[i] >= AUDIT_SILENT_MS * NS_PER_MS ||
				   now_ns - begun_ns >= late_ms * NS_PER_MS;
			left -= ended[i];
		}
		if (left > 0 && !audit_wait(r->a, pause_ms))
			return;
	}
}

/* --- the way down --- */

const struct audit_root *audit_root_find(const struct audit_reply *reply, const struct audit_root *shard)
{
	for (uint32_t i = 0; i < reply->root_count; i++)
		if (incarnation_compare(reply->roots[i].incarnation, shard->incarnation) == 0 &&
		    reply->roots[i].shard == shard->shard)
			return &reply->roots[i];
	return NULL;
}

static bool hash_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

enum err audit_round_suspect(struct audit_round *r, const struct audit_suspect *s)
{
	if (r->suspect_count == r->suspect_cap) {
		uint32_t cap = MAX(r->suspect_cap * 2, SUSPECTS_CAP_MIN);
		struct audit_suspect *more = reallocarray(r->suspects, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		r->suspects = more;
		r->suspect_cap = cap;
	}
	r->suspects[r->suspect_count++] = *s;
	return ERR_NONE;
}

/* One leaf in all regions that reached the mark. */
static enum err compare_leaf(struct audit_round *r, const struct audit_root *shard, uint32_t leaf,
			     const struct merkle_leaf *values, const uint32_t *members, uint32_t count)
{
	struct audit_suspect s = { .incarnation = shard->incarnation,
				   .shard = shard->shard,
				   .leaf = leaf,
				   .multi = audit_is_multi(r, shard->incarnation, shard->shard) };
	uint32_t right = audit_vote_leaf(values, count, r->majority);
	bool equal = true;

	for (uint32_t i = 1; i < count; i++)
		equal &= merkle_leaf_equal(&values[0], &values[i]);
	if (equal)
		return ERR_NONE;
	for (uint32_t i = 0; i < count; i++) {
		if (right != AUDIT_NOBODY && merkle_leaf_equal(&values[i], &values[right]))
			continue;
		s.trees |= UINT32_C(1) << members[i];
		if (!s.multi)
			r->report->regions[members[i]].standing = AUDIT_DIFFERENT;
	}
	return audit_round_suspect(r, &s);
}

/* The leaves of some blocks that differ somewhere. */
static enum err descend_leaves(struct audit_round *r, const struct audit_root *shard, const uint32_t *blocks,
			       uint32_t block_count, const uint32_t *members, uint32_t count)
{
	CLEANUP(arena_release) struct arena a;
	const struct merkle_leaf *leaves[AUDIT_REGIONS_MAX];

	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct audit_request q = about(AUDIT_LEAVES, shard);
		struct audit_reply reply;
		q.numbers = blocks;
		q.number_count = block_count;
		enum err err = audit_round_ask(r, members[i], &q, &a, &reply, r->fault);
		if (err)
			return err;
		if (reply.state != AUDIT_DONE || reply.leaf_count != block_count * BLOCK_LEAVES)
			return fault_set(r->fault, ERR_UNAVAILABLE, "a region no longer has its trees of the mark");
		leaves[i] = reply.leaves;
	}
	for (uint32_t k = 0; k < block_count * BLOCK_LEAVES; k++) {
		struct merkle_leaf values[AUDIT_REGIONS_MAX];
		for (uint32_t i = 0; i < count; i++)
			values[i] = leaves[i][k];
		uint32_t leaf = blocks[k / BLOCK_LEAVES] * BLOCK_LEAVES + k % BLOCK_LEAVES;
		enum err err = compare_leaf(r, shard, leaf, values, members, count);
		if (err)
			return err;
	}
	return ERR_NONE;
}

enum err audit_round_descend(struct audit_round *r, const struct audit_root *shard, const uint32_t *members,
			     uint32_t count)
{
	CLEANUP(arena_release) struct arena a;
	struct audit_reply replies[AUDIT_REGIONS_MAX];
	uint32_t blocks[AUDIT_BLOCKS_PER_REQUEST];
	uint32_t block_count = 0;
	enum err err = ERR_NONE;

	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct audit_request q = about(AUDIT_BLOCKS, shard);
		err = audit_round_ask(r, members[i], &q, &a, &replies[i], r->fault);
		if (err)
			return err;
		if (replies[i].state != AUDIT_DONE || replies[i].hash_count != replies[0].hash_count)
			return fault_set(r->fault, ERR_UNAVAILABLE, "a region no longer has its trees of the mark");
	}
	for (uint32_t block = 0; block < replies[0].hash_count && !err; block++) {
		bool differs = false;
		for (uint32_t i = 1; i < count; i++)
			differs |= !hash_equal(replies[i].hashes[block], replies[0].hashes[block]);
		if (differs)
			blocks[block_count++] = block;
		if (block_count == AUDIT_BLOCKS_PER_REQUEST ||
		    (block_count > 0 && block + 1 == replies[0].hash_count)) {
			err = descend_leaves(r, shard, blocks, block_count, members, count);
			block_count = 0;
		}
	}
	return err;
}

/* Equal positions have equal catalogues: a region without this shard has lost more than rows. */
static void lacks_shard(struct audit_round *r, uint32_t member, const struct audit_root *shard)
{
	struct audit_report *report = r->report;

	report->regions[member].standing = AUDIT_DIFFERENT;
	report->unrepaired++;
	(void)snprintf(report->trouble, sizeof(report->trouble),
		       "region %s has other shards of the collection made at %llu", report->regions[member].name,
		       (unsigned long long)shard->incarnation.hlc);
}

static enum err compare_shard(struct audit_round *r, const struct audit_root *shard)
{
	uint32_t members[AUDIT_REGIONS_MAX];
	uint32_t count = 0;
	bool equal = true;

	for (uint32_t i = 0; i < r->member_count; i++) {
		if (!r->members[i].reached)
			continue;
		const struct audit_root *root = audit_root_find(&r->members[i].roots, shard);
		if (!root || root->bits != shard->bits) {
			lacks_shard(r, i, shard);
			continue;
		}
		equal &= hash_equal(root->root, shard->root);
		members[count++] = i;
	}
	return equal || count < 2 ? ERR_NONE : audit_round_descend(r, shard, members, count);
}

/* A shard that we do not have, and they do. */
static void compare_back(struct audit_round *r)
{
	for (uint32_t i = 1; i < r->member_count; i++)
		for (uint32_t k = 0; k < r->members[i].roots.root_count; k++)
			if (!audit_root_find(&r->members[0].roots, &r->members[i].roots.roots[k]))
				lacks_shard(r, 0, &r->members[i].roots.roots[k]);
}

static enum err compare_roots(struct audit_round *r)
{
	const struct audit_reply *own = &r->members[0].roots;

	r->report->shards = own->root_count;
	for (uint32_t i = 0; i < r->member_count; i++)
		if (r->members[i].reached)
			r->report->regions[i].standing = AUDIT_EQUAL;
	for (uint32_t i = 0; i < own->root_count; i++) {
		enum err err = compare_shard(r, &own->roots[i]);
		if (err)
			return err;
	}
	compare_back(r);
	return ERR_NONE;
}

/* --- deep --- */

static enum err take_findings(struct audit_round *r, uint32_t member)
{
	const struct audit_reply *deep = &r->members[member].deep;

	r->report->read_rows += deep->read_rows;
	r->report->read_bytes += deep->read_bytes;
	if (deep->found > 0)
		r->report->regions[member].standing = AUDIT_DIFFERENT;
	for (uint32_t i = 0; i < deep->finding_count; i++) {
		const struct audit_finding *f = &deep->findings[i];
		struct audit_suspect s = { .incarnation = f->incarnation,
					   .shard = f->shard,
					   .leaf = f->leaf,
					   .multi = audit_is_multi(r, f->incarnation, f->shard),
					   .trees = f->is_row ? 0 : UINT32_C(1) << member };
		enum err err = audit_round_suspect(r, &s);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* Starts it, or looks whether it has ended; true when nothing more is to be expected. */
static bool ask_deep(struct audit_round *r, uint32_t i)
{
	struct audit_request q = about(AUDIT_DEEP, NULL);
	struct audit_reply reply;
	enum err err = audit_round_ask(r, i, &q, &r->arena, &reply, NULL);

	if (!err && reply.state == AUDIT_NOT_YET)
		return false;
	if (!err && reply.state == AUDIT_DONE) {
		r->members[i].deep = reply;
		return true;
	}
	if (audit_is_passing(err))
		return false;
	r->report->regions[i].standing = AUDIT_LATE;
	return true;
}

/* On this very thread. values: false for the trees alone. */
static void read_own(struct audit_round *r, bool values)
{
	struct audit *a = r->a;

	(void)pthread_mutex_lock(&a->lock);
	a->deep.mark = r->mark;
	a->deep.values = values;
	a->deep.status = DEEP_WANTED;
	(void)pthread_mutex_unlock(&a->lock);
	audit_deep_run(a);
}

static enum err read_all(struct audit_round *r)
{
	uint64_t until_ns = clock_mono_ns(r->a->o.clock) + DEEP_MS_MAX * NS_PER_MS;
	bool done[AUDIT_REGIONS_MAX];
	uint32_t left = 0;

	for (uint32_t i = 0; i < r->member_count; i++) {
		done[i] = !r->members[i].reached || (i > 0 && ask_deep(r, i));
		left += !done[i];
	}
	read_own(r, r->deep);
	for (;;) {
		for (uint32_t i = 0; i < r->member_count; i++)
			if (!done[i] && ask_deep(r, i)) {
				done[i] = true;
				left--;
			}
		if (left == 0 || clock_mono_ns(r->a->o.clock) >= until_ns || !audit_wait(r->a, DEEP_LOOK_MS))
			break;
	}
	for (uint32_t i = 0; i < r->member_count; i++) {
		if (!done[i])
			r->report->regions[i].standing = AUDIT_LATE;
		enum err err = take_findings(r, i);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* --- the suspects --- */

int audit_suspect_compare(const void *a, const void *b)
{
	const struct audit_suspect *x = a;
	const struct audit_suspect *y = b;
	int order = incarnation_compare(x->incarnation, y->incarnation);

	if (order == 0)
		order = (x->shard > y->shard) - (x->shard < y->shard);
	return order ? order : (x->leaf > y->leaf) - (x->leaf < y->leaf);
}

static void join_suspects(struct audit_round *r)
{
	uint32_t kept = 0;

	if (r->suspect_count > 1)
		qsort(r->suspects, r->suspect_count, sizeof(*r->suspects), audit_suspect_compare);
	for (uint32_t i = 0; i < r->suspect_count; i++) {
		if (kept > 0 && audit_suspect_compare(&r->suspects[kept - 1], &r->suspects[i]) == 0)
			r->suspects[kept - 1].trees |= r->suspects[i].trees;
		else
			r->suspects[kept++] = r->suspects[i];
	}
	r->suspect_count = kept;
}

enum err audit_round_run(struct audit_round *r)
{
	add_members(r);
	enum err err = set_mark(r);
	if (err)
		return err;
	collect_roots(r);
	if (!r->members[0].reached)
		return fault_set(r->fault, ERR_INTERNAL, "this region has no trees of its own mark");
	err = compare_roots(r);
	if (!err)
		err = audit_multi_narrow(r);
	/* Alone there is nobody to compare with but the rows themselves. */
	if (!err && (r->deep || r->member_count == 1))
		err = read_all(r);
	if (err)
		return err;
	join_suspects(r);
	return audit_cure(r);
}
