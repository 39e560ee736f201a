/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a region answers an auditor, about itself: its trees at a mark, its rows as they are stored, and that it settled.
 */
#include "replicator/audit_inner.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "index/order.h"
#include "replicator/merge.h"

#define BLOCK_LEAVES 256u
#define ENTRIES_CAP_MIN 256u
#define ENTRIES_MAX (AUDIT_BYTES_MAX / 32)
/* How long a region that is behind the rows it is to take waits for its ops. */
#define REACH_MS_MAX 10000
#define REACH_LOOK_MS 10

/* --- trees --- */

static enum err answer_roots(const struct marked *m, struct arena *a, struct audit_reply *out)
{
	struct audit_root *roots = arena_array(a, m->count, sizeof(*roots));

	if (!roots)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < m->count; i++) {
		const struct marked_shard *s = &m->shards[i];
		roots[i] = (struct audit_root){ .incarnation = s->incarnation,
						.shard = s->shard,
						.bits = (uint8_t)merkle_bits(s->tree),
						.root = merkle_root(s->tree),
						.rows = s->rows };
	}
	out->roots = roots;
	out->root_count = m->count;
	return ERR_NONE;
}

static enum err answer_blocks(const struct merkle *tree, struct arena *a, struct audit_reply *out)
{
	uint32_t count = merkle_block_count(tree);
	struct hash128 *hashes = arena_array(a, count, sizeof(*hashes));

	if (!hashes)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++)
		hashes[i] = merkle_block(tree, i);
	out->hashes = hashes;
	out->hash_count = count;
	return ERR_NONE;
}

static enum err answer_leaves(const struct merkle *tree, const struct audit_request *q, struct arena *a,
			      struct audit_reply *out)
{
	if (q->number_count > AUDIT_BLOCKS_PER_REQUEST)
		return ERR_TOO_LARGE;
	struct merkle_leaf *leaves = arena_array(a, (size_t)q->number_count * BLOCK_LEAVES, sizeof(*leaves));
	if (!leaves)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < q->number_count; i++) {
		if (q->numbers[i] >= merkle_block_count(tree))
			return ERR_BAD_INPUT;
		for (uint32_t k = 0; k < BLOCK_LEAVES; k++)
			leaves[i * BLOCK_LEAVES + k] = merkle_leaf_at(tree, q->numbers[i] * BLOCK_LEAVES + k);
	}
	out->leaves = leaves;
	out->leaf_count = q->number_count * BLOCK_LEAVES;
	return ERR_NONE;
}

static enum err answer_trees(struct audit *a, const struct audit_request *q, struct arena *arena,
			     struct audit_reply *out)
{
	struct marked *m = audit_marked(a, q->mark);
	struct committer_state s;

	/* Asked after the look for the mark: a region that stands there now, and did not have it, will not get it. */
	committer_state(a->o.committer, &s);
	out->position = s.position;
	if (!m) {
		m = audit_marked(a, q->mark);
		if (!m) {
			bool passed = position_compare(s.position, q->position) >= 0;
			out->state = passed ? AUDIT_GONE : AUDIT_NOT_YET;
			return ERR_NONE;
		}
	}
	enum err err = ERR_NONE;
	/* Its commit may be about to show it. */
	if (position_compare(out->position, m->position) < 0)
		out->position = m->position;
	if (position_compare(m->position, q->position) != 0) {
		err = ERR_FORK;
	} else if (q->kind == AUDIT_ROOTS) {
		err = answer_roots(m, arena, out);
	} else {
		const struct marked_shard *shard = marked_find(m, q->incarnation, q->shard);
		if (!shard)
			err = ERR_NOT_FOUND;
		else if (q->kind == AUDIT_BLOCKS)
			err = answer_blocks(shard->tree, arena, out);
		else
			err = answer_leaves(shard->tree, q, arena, out);
	}
	marked_unref(m);
	return err;
}

/* --- rows --- */

struct row_scan {
	struct arena *arena;
	struct collection *collection;
	uint32_t shard;
	const struct merkle *tree;    /* any of that shard's size: it says which leaf an id belongs to */
	struct incarnation incarnation;
	bool *wanted;                 /* by leaf */
	const struct cutoff *cutoff;  /* several writers: what counts; NULL: one writes */
	struct cutoff here;           /* likewise: what was applied */
	struct audit_entry *entries;  /* heap */
	uint32_t count, cap;
};

static void keep_newest(struct stamp *greatest, struct stamp s)
{
	if (stamp_compare(s, *greatest) > 0)
		*greatest = s;
}

static struct stamp newest_stamp(const struct row *row)
{
	struct stamp s = row->created;

	keep_newest(&s, row->reset);
	keep_newest(&s, row->payload_reset);
	keep_newest(&s, row->deleted);
	for (uint32_t i = 0; i < row->vector_count; i++)
		keep_newest(&s, row->vectors[i].stamp);
	for (uint32_t i = 0; i < row->field_count; i++)
		keep_newest(&s, row->fields[i].stamp);
	return s;
}

static enum err add_entry(struct row_scan *s, const struct audit_entry *e)
{
	if (s->count == s->cap) {
		uint32_t cap = MAX(s->cap * 2, ENTRIES_CAP_MIN);
		struct audit_entry *more = cap > ENTRIES_MAX ? NULL : reallocarray(s->entries, cap, sizeof(*more));
		if (!more)
			return cap > ENTRIES_MAX ? ERR_TOO_LARGE : ERR_NO_MEMORY;
		s->entries = more;
		s->cap = cap;
	}
	s->entries[s->count++] = *e;
	return ERR_NONE;
}

static enum err scan_record(void *ctx, struct bytes record)
{
	struct row_scan *s = ctx;
	CLEANUP(arena_release) struct arena a;
	struct audit_entry e = { 0 };
	struct row row;

	arena_init(&a, SIZE_MAX);
	if (!row_peek_id(record, &e.id) || !s->wanted[merkle_leaf_of(s->tree, e.id)])
		return ERR_NONE;
	enum err err = row_decode(record, &a, &row);
	if (err == ERR_NO_MEMORY)
		return err;
	/* Then its id is wrong, too. */
	if (err && collection_shard_of(s->collection, e.id) != s->shard)
		return ERR_NONE;
	e.damaged = err != ERR_NONE;
	if (!err) {
		e.number = s->cutoff ? !cutoff_has_row(s->cutoff, &row) : row.op_number;
		/* No log that was applied here has brought it. */
		e.damaged = s->cutoff && !cutoff_has_row(&s->here, &row);
		e.stamp = newest_stamp(&row);
		e.digest = row_digest(&row, s->incarnation);
	}
	return add_entry(s, &e);
}

static int entry_compare(const void *a, const void *b)
{
	const struct audit_entry *x = a;
	const struct audit_entry *y = b;

	return point_id_compare(x->id, y->id);
}

/* Two records of one id: both are wrong, and shown as one that is damaged. */
static void join_entries(struct row_scan *s)
{
	uint32_t kept = 0;

	if (s->count > 1)
		qsort(s->entries, s->count, sizeof(*s->entries), entry_compare);
	for (uint32_t i = 0; i < s->count; i++) {
		if (kept > 0 && point_id_equal(s->entries[kept - 1].id, s->entries[i].id))
			s->entries[kept - 1].damaged = true;
		else
			s->entries[kept++] = s->entries[i];
	}
	s->count = kept;
}

static enum err read_logs(struct audit *a, struct store_txn *t, struct arena *arena, struct audit_reply *out,
			  struct cutoff *ret_here)
{
	struct log_mark *logs;
	enum err err = committer_read_logs(a->o.store, t, arena, &logs, &out->log_count);

	if (err)
		return err;
	out->logs = logs;
	return cutoff_of_logs(logs, out->log_count, ret_here);
}

/* Nothing can be said of rows while some of what counts is not here. */
static enum err check_reached(struct audit *a, struct store_txn *t, struct row_scan *s)
{
	CLEANUP(arena_release) struct arena arena;
	struct audit_reply logs = { 0 };

	arena_init(&arena, AUDIT_ARENA_BYTES_MAX);
	enum err err = read_logs(a, t, &arena, &logs, &s->here);
	return !err && cutoff_missing(&s->here, s->cutoff) ? ERR_GAP : err;
}

static enum err scan_shard(struct audit *a, struct collection *c, uint32_t shard, struct row_scan *s,
			   struct audit_reply *out)
{
	struct store_txn *t;
	enum err err = a->o.store->ops->begin(a->o.store, false, &t);

	if (err)
		return err;
	/* Position and rows of one committed state. */
	err = committer_read_place(a->o.store, t, &out->position, &out->chain_hash);
	if (!err && s->cutoff)
		err = check_reached(a, t, s);
	if (!err)
		err = collection_scan(c, t, shard, scan_record, s);
	a->o.store->ops->abort(t);
	if (err)
		return err;
	out->number = s->cutoff ? 0 : committer_number(a->o.committer, out->position);
	join_entries(s);
	struct audit_entry *copy = arena_array(s->arena, s->count, sizeof(*copy));
	if (!copy)
		return ERR_NO_MEMORY;
	if (s->count > 0)
		memcpy(copy, s->entries, s->count * sizeof(*copy));
	out->entries = copy;
	out->entry_count = s->count;
	return ERR_NONE;
}

static enum err answer_rows(struct audit *a, const struct audit_request *q, struct collection *c, struct arena *arena,
			    struct audit_reply *out)
{
	struct row_scan s = { .arena = arena, .collection = c, .shard = q->shard, .incarnation = q->incarnation };

	if (q->number_count > AUDIT_LEAVES_PER_REQUEST)
		return ERR_TOO_LARGE;
	if (q->shard >= collection_shard_count(c))
		return ERR_BAD_INPUT;
	if (collection_config(c)->multi_writer)
		s.cutoff = &q->cutoff;
	/* Its size never changes. */
	s.tree = collection_merkle(c, q->shard);
	uint32_t leaves = (uint32_t)1 << merkle_bits(s.tree);
	s.wanted = arena_array(arena, leaves, sizeof(*s.wanted));
	if (!s.wanted)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < q->number_count; i++) {
		if (q->numbers[i] >= leaves)
			return ERR_BAD_INPUT;
		s.wanted[q->numbers[i]] = true;
	}
	enum err err = scan_shard(a, c, q->shard, &s, out);
	free(s.entries);
	return err;
}

/* --- whole rows --- */

struct place_reading {
	struct audit *a;
	struct arena *arena;
	struct audit_reply *out;
	bool multi;            /* every region writes the collection */
	struct cutoff here;    /* likewise: what was applied */
};

static enum err read_place(void *ctx, struct store_txn *t)
{
	struct place_reading *p = ctx;
	enum err err = committer_read_place(p->a->o.store, t, &p->out->position, &p->out->chain_hash);

	return !err && p->multi ? read_logs(p->a, t, p->arena, p->out, &p->here) : err;
}

static bool is_sound(const struct place_reading *p, const struct row *row)
{
	if (p->multi && !cutoff_has_row(&p->here, row))
		return false;
	for (uint32_t i = 0; i < row->vector_count; i++)
		if (row->vectors[i].present && vector_hash(&row->vectors[i].vector) != row->vectors[i].hash)
			return false;
	return true;
}

static enum err answer_fetch(struct audit *a, const struct audit_request *q, struct collection *c, struct arena *arena,
			     struct audit_reply *out)
{
	struct place_reading place = { .a = a,
				       .arena = arena,
				       .out = out,
				       .multi = collection_config(c)->multi_writer };
	struct collection_rows read = { .arena = arena, .with_txn = read_place, .ctx = &place };
	struct audit_row *rows = arena_array(arena, q->id_count, sizeof(*rows));

	if (q->id_count > AUDIT_ROWS_PER_REQUEST)
		return ERR_TOO_LARGE;
	read.found = arena_array(arena, q->id_count, sizeof(*read.found));
	read.rows = arena_array(arena, q->id_count, sizeof(*read.rows));
	if (!rows || !read.found || !read.rows)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < q->id_count; i++)
		if (collection_shard_of(c, q->ids[i]) != q->shard)
			return ERR_BAD_INPUT;
	enum err err = collection_read_rows(c, q->shard, q->ids, q->id_count, &read);
	if (err)
		return err;
	for (uint32_t i = 0; i < q->id_count; i++) {
		rows[i].row.id = q->ids[i];
		rows[i].damaged = read.found[i] && !is_sound(&place, &read.rows[i]);
		rows[i].row.present = read.found[i] && !rows[i].damaged;
		rows[i].row.row = read.rows[i];
	}
	out->rows = rows;
	out->row_count = q->id_count;
	return ERR_NONE;
}

/* --- settling --- */

static enum err wait_until_reached(struct audit *a, struct position p, struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(a->o.clock) + (uint64_t)REACH_MS_MAX * 1000000;
	struct committer_state s;

	for (;;) {
		committer_state(a->o.committer, &s);
		if (position_compare(s.position, p) >= 0)
			return ERR_NONE;
		if (clock_mono_ns(a->o.clock) >= until_ns || !audit_wait(a, REACH_LOOK_MS))
			return fault_set(f, ERR_TIMEOUT, "this region has not reached (%llu, %llu)",
					 (unsigned long long)p.epoch, (unsigned long long)p.seq);
	}
}

static enum err wait_until_seen(struct audit *a, const struct settle *s, struct fault *f)
{
	uint64_t until_ns = clock_mono_ns(a->o.clock) + (uint64_t)REACH_MS_MAX * 1000000;

	for (;;) {
		struct cutoff seen;
		bool all = true;
		enum err err = committer_seen(a->o.committer, &seen);
		if (err)
			return err;
		for (uint32_t i = 0; i < s->row_count; i++)
			all &= !s->rows[i].present || cutoff_has_row(&seen, &s->rows[i].row);
		if (all)
			return ERR_NONE;
		if (clock_mono_ns(a->o.clock) >= until_ns || !audit_wait(a, REACH_LOOK_MS))
			return fault_set(f, ERR_TIMEOUT, "this region has not all ops that the rows are made of");
	}
}

/* What the rows are made of has to be here. */
static enum err wait_for_settle(struct audit *a, const struct settle *s, struct fault *f)
{
	struct collection *c = catalog_get_incarnation(a->o.catalog, s->incarnation);
	bool multi = c && collection_config(c)->multi_writer;

	collection_unref(c);
	return multi ? wait_until_seen(a, s, f) : wait_until_reached(a, s->at, f);
}

/* Only who writes the newest epoch known here may have rows replaced. */
static enum err check_sender(struct audit *a, const struct audit_request *q, struct fault *f)
{
	struct committer_state s;

	committer_state(a->o.committer, &s);
	if (q->sender != s.writer || s.released)
		return fault_set(f, ERR_FORBIDDEN, "region %u is not the primary: it may not settle rows", q->sender);
	return ERR_NONE;
}

static enum err take_settle(const struct audit_request *q, struct arena *arena, struct settle *s)
{
	struct settle_row *rows = arena_array(arena, q->row_count, sizeof(*rows));
	struct settle_leaf *leaves = arena_array(arena, q->number_count, sizeof(*leaves));

	if (!rows || !leaves)
		return ERR_NO_MEMORY;
	if (q->row_count > AUDIT_ROWS_PER_REQUEST || q->number_count > AUDIT_LEAVES_PER_REQUEST)
		return ERR_TOO_LARGE;
	for (uint32_t i = 0; i < q->row_count; i++) {
		if (q->rows[i].damaged)
			return ERR_BAD_INPUT;
		rows[i] = q->rows[i].row;
	}
	for (uint32_t i = 0; i < q->number_count; i++)
		leaves[i] = (struct settle_leaf){ .shard = q->shard, .leaf = q->numbers[i] };
	*s = (struct settle){ .incarnation = q->incarnation,
			      .at = q->position,
			      .chain_hash = q->chain_hash,
			      .logs = q->logs,
			      .log_count = q->log_count,
			      .rows = rows,
			      .row_count = q->row_count,
			      .leaves = leaves,
			      .leaf_count = q->number_count };
	return ERR_NONE;
}

static enum err answer_settle(struct audit *a, const struct audit_request *q, struct arena *arena,
			      struct audit_reply *out, struct fault *f)
{
	struct settle s;
	enum err err = check_sender(a, q, f);

	if (!err)
		err = take_settle(q, arena, &s);
	if (!err && s.row_count > 0)
		err = wait_for_settle(a, &s, f);
	if (!err)
		err = committer_settle(a->o.committer, &s, f);
	if (err)
		return err;
	out->rows_changed = s.rows_changed;
	out->leaves_changed = s.leaves_changed;
	if (s.rows_changed > 0 || s.leaves_changed > 0)
		log_warn("an audit found rows of this region wrong and settled them rows=%u leaves=%u", s.rows_changed,
			 s.leaves_changed);
	return ERR_NONE;
}

/* --- several writers --- */

static enum err answer_copy(struct audit *a, const struct audit_request *q, struct arena *arena,
			    struct audit_reply *out, struct fault *f)
{
	struct marked *m;
	enum err err = committer_copy_multi(a->o.committer, &m, f);

	if (err)
		return err;
	m->mark = q->mark;
	m->position = q->position;
	err = answer_roots(m, arena, out);
	audit_keep_copy(a, m);
	return err;
}

/* --- deep --- */

static enum err answer_deep(struct audit *a, const struct audit_request *q, struct arena *arena, struct audit_reply *out)
{
	(void)pthread_mutex_lock(&a->lock);
	struct deep_job *j = &a->deep;
	if (j->mark != q->mark || j->status == DEEP_IDLE) {
		/* One that runs for another mark sees that it is no longer wanted. */
		j->mark = q->mark;
		j->values = true;
		j->status = DEEP_WANTED;
		(void)pthread_cond_broadcast(&a->wake);
	}
	bool here = !a->started && j->status == DEEP_WANTED;
	(void)pthread_mutex_unlock(&a->lock);
	if (here)
		audit_deep_run(a);

	enum err err = ERR_NONE;
	(void)pthread_mutex_lock(&a->lock);
	if (j->mark != q->mark || j->status == DEEP_FAILED) {
		out->state = AUDIT_GONE;
	} else if (j->status != DEEP_DONE) {
		out->state = AUDIT_NOT_YET;
	} else {
		struct audit_finding *copy = arena_array(arena, j->finding_count, sizeof(*copy));
		if (copy && j->finding_count > 0)
			memcpy(copy, j->findings, j->finding_count * sizeof(*copy));
		err = copy ? ERR_NONE : ERR_NO_MEMORY;
		out->findings = copy;
		out->finding_count = copy ? j->finding_count : 0;
		out->found = j->found;
		out->read_rows = j->read_rows;
		out->read_bytes = j->read_bytes;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return err;
}

/* --- requests --- */

static enum err answer_about(struct audit *a, const struct audit_request *q, struct arena *arena,
			     struct audit_reply *out)
{
	struct collection *c = catalog_get_incarnation(a->o.catalog, q->incarnation);

	if (!c)
		return ERR_NOT_FOUND;
	enum err err = q->kind == AUDIT_ROWS ? answer_rows(a, q, c, arena, out) : answer_fetch(a, q, c, arena, out);
	collection_unref(c);
	return err;
}

enum err audit_answer_request(struct audit *a, const struct audit_request *q, struct arena *arena,
			      struct audit_reply *ret_reply, struct fault *reterr_fault)
{
	struct audit_reply out = { .kind = q->kind };
	struct fault fault = { 0 };
	enum err err = ERR_NONE;

	switch (q->kind) {
	case AUDIT_ROOTS:
	case AUDIT_BLOCKS:
	case AUDIT_LEAVES:
		err = answer_trees(a, q, arena, &out);
		break;
	case AUDIT_ROWS:
	case AUDIT_FETCH:
		err = answer_about(a, q, arena, &out);
		break;
	case AUDIT_SETTLE:
		err = answer_settle(a, q, arena, &out, &fault);
		break;
	case AUDIT_DEEP:
		err = answer_deep(a, q, arena, &out);
		break;
	case AUDIT_SEEN:
		err = committer_seen(a->o.committer, &out.seen);
		break;
	case AUDIT_COPY:
		err = answer_copy(a, q, arena, &out, &fault);
		break;
	case AUDIT_WANTED:
		err = audit_wake(a, &fault);
		break;
	}
	if (err)
		return fault_set(reterr_fault, err, "answering an audit: %s",
				 fault.text[0] ? fault_text(&fault) : err_sentence(err));
	*ret_reply = out;
	return ERR_NONE;
}
