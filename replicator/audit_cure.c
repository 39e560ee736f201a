/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From suspect leaves to rows, from rows to votes, from votes to sound rows. First everything is found out, then it is
 * decided whether that is damage or another state altogether, and only then anything is changed.
 */
#include "replicator/audit_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Rows that are written just then are looked at again. */
#define LOOKS_MAX 5
#define LOOK_MS 100
/* Rows are asked for again when the region that is to take them cannot reach back to where they were read. */
#define SETTLE_TRIES 3
#define SETTLE_PAUSE_MS 100
#define CASES_CAP_MIN 64u

/* A row that is wrong in one region. */
struct wrong {
	struct incarnation incarnation;
	uint32_t shard;
	struct audit_difference d;      /* its regions are members */
	uint64_t number_min;            /* of the vote, */
	const struct cutoff *cutoff;    /* or this; NULL: one region writes the collection */
	bool settled;
};

/* Who is compared: lists are in this order. */
struct panel {
	uint32_t members[AUDIT_REGIONS_MAX];
	uint32_t count;
	const struct cutoff *cutoff;           /* what counts; NULL: one region writes the collection */
};

struct cure {
	struct audit_round *r;
	struct panel all;                      /* that reached the mark */
	struct wrong *wrongs;                  /* heap */
	uint32_t count, cap;
};

/* --- listing --- */

static bool is_found(const struct audit_reply *deep, struct incarnation incarnation, struct point_id id)
{
	for (uint32_t i = 0; i < deep->finding_count; i++) {
		const struct audit_finding *f = &deep->findings[i];
		if (f->is_row && point_id_equal(f->id, id) && incarnation_compare(f->incarnation, incarnation) == 0)
			return true;
	}
	return false;
}

/* What the deep audit saw of a row's values, its digest does not show. */
static enum err mark_damaged(struct cure *c, uint32_t member, struct incarnation incarnation, struct arena *a,
			     struct audit_list *list)
{
	const struct audit_reply *deep = &c->r->members[member].deep;

	if (deep->finding_count == 0 || list->count == 0)
		return ERR_NONE;
	struct audit_entry *entries = arena_array(a, list->count, sizeof(*entries));
	if (!entries)
		return ERR_NO_MEMORY;
	memcpy(entries, list->entries, list->count * sizeof(*entries));
	for (uint32_t i = 0; i < list->count; i++)
		entries[i].damaged |= is_found(deep, incarnation, entries[i].id);
	list->entries = entries;
	return ERR_NONE;
}

static enum err list_rows(struct cure *c, const struct panel *p, const struct audit_suspect *first,
			  const uint32_t *leaves, uint32_t count, struct arena *a,
			  struct audit_list lists[AUDIT_REGIONS_MAX])
{
	for (uint32_t i = 0; i < p->count; i++) {
		struct audit_request q = { .kind = AUDIT_ROWS,
					   .incarnation = first->incarnation,
					   .shard = first->shard,
					   .numbers = leaves,
					   .number_count = count };
		struct audit_reply reply;
		if (p->cutoff)
			q.cutoff = *p->cutoff;
		enum err err = audit_round_ask(c->r, p->members[i], &q, a, &reply, c->r->fault);
		if (err)
			return err;
		lists[i] = (struct audit_list){ .number = reply.number,
						.entries = reply.entries,
						.count = reply.entry_count };
		err = mark_damaged(c, p->members[i], first->incarnation, a, &lists[i]);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* In a collection that every region writes: those that have all that counts, which is more at each look. */
static enum err choose_panel(struct cure *c, const struct audit_suspect *first, struct panel *ret_panel)
{
	struct panel p = { .count = 0 };

	if (!first->multi) {
		*ret_panel = c->all;
		return ERR_NONE;
	}
	struct cutoff *cutoff = arena_alloc(&c->r->arena, sizeof(*cutoff));
	enum err err = cutoff ? audit_multi_cutoff(c->r, cutoff) : ERR_NO_MEMORY;
	for (uint32_t i = 0; i < c->all.count; i++)
		if (!c->r->members[c->all.members[i]].behind)
			p.members[p.count++] = c->all.members[i];
	p.cutoff = cutoff;
	*ret_panel = p;
	return !err && p.count == 0 ? fault_set(c->r->fault, ERR_UNAVAILABLE, "no region has all that was written")
				    : err;
}

/* --- voting --- */

static enum err add_wrong(struct cure *c, const struct wrong *w)
{
	if (c->count == c->cap) {
		uint32_t cap = MAX(c->cap * 2, CASES_CAP_MIN);
		struct wrong *more = reallocarray(c->wrongs, cap, sizeof(*more));
		if (!more)
			return ERR_NO_MEMORY;
		c->wrongs = more;
		c->cap = cap;
	}
	c->wrongs[c->count++] = *w;
	return ERR_NONE;
}

static enum err take_vote(struct cure *c, const struct panel *p, const struct audit_suspect *first,
			  const struct audit_vote *v, uint64_t number_min)
{
	for (uint32_t i = 0; i < v->count; i++) {
		struct wrong w = { .incarnation = first->incarnation,
				   .shard = first->shard,
				   .d = v->differences[i],
				   .number_min = number_min,
				   .cutoff = p->cutoff };
		w.d.region = p->members[w.d.region];
		if (w.d.right != AUDIT_NOBODY)
			w.d.right = p->members[w.d.right];
		enum err err = add_wrong(c, &w);
		if (err)
			return err;
	}
	c->r->report->unsure += v->unsure;
	return ERR_NONE;
}

/* Some leaves of one shard. Where every row is sure and none differs, it is the tree that does. */
static enum err judge(struct cure *c, struct audit_suspect *suspects, uint32_t count)
{
	CLEANUP(arena_release) struct arena a;
	struct audit_list lists[AUDIT_REGIONS_MAX];
	uint32_t leaves[AUDIT_LEAVES_PER_REQUEST];
	struct audit_vote vote = { 0 };
	struct panel panel = { .count = 0 };
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < count; i++)
		leaves[i] = suspects[i].leaf;
	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	for (unsigned look = 0; look < LOOKS_MAX && !err; look++) {
		arena_release(&a);
		arena_init(&a, AUDIT_ARENA_BYTES_MAX);
		err = choose_panel(c, suspects, &panel);
		if (!err)
			err = list_rows(c, &panel, suspects, leaves, count, &a, lists);
		if (!err)
			err = audit_vote(lists, panel.count, c->r->majority, &a, &vote);
		if (err || vote.unsure == 0 || look + 1 == LOOKS_MAX || !audit_wait(c->r->a, LOOK_MS))
			break;
	}
	uint64_t number_min = UINT64_MAX;
	for (uint32_t i = 0; i < panel.count && !err; i++)
		number_min = MIN(number_min, lists[i].number);
	for (uint32_t i = 0; i < count && !err && vote.unsure > 0; i++)
		suspects[i].trees = 0;
	return err ? err : take_vote(c, &panel, suspects, &vote, number_min);
}

static bool same_shard(const struct audit_suspect *a, const struct audit_suspect *b)
{
	return incarnation_compare(a->incarnation, b->incarnation) == 0 && a->shard == b->shard;
}

/* Too much for one answer: half as many leaves, down to one. */
static enum err judge_some(struct cure *c, struct audit_suspect *suspects, uint32_t count)
{
	for (uint32_t at = 0, n = count; at < count;) {
		n = MIN(n, count - at);
		enum err err = judge(c, suspects + at, n);
		if (err == ERR_TOO_LARGE && n > 1) {
			n /= 2;
			continue;
		}
		/* Dropped since the mark: nothing is left to compare. */
		if (err && err != ERR_NOT_FOUND)
			return err;
		at += n;
	}
	return ERR_NONE;
}

static enum err judge_all(struct cure *c)
{
	struct audit_round *r = c->r;

	for (uint32_t at = 0; at < r->suspect_count;) {
		uint32_t n = 1;
		while (at + n < r->suspect_count && n < AUDIT_LEAVES_PER_REQUEST &&
		       same_shard(&r->suspects[at], &r->suspects[at + n]))
			n++;
		enum err err = judge_some(c, r->suspects + at, n);
		if (err)
			return err;
		at += n;
	}
	return ERR_NONE;
}

/* --- settling --- */

/* Is what the right region sends what it voted for, or what ops made of it since? */
static bool fits_vote(const struct wrong *w, const struct audit_row *row)
{
	if (row->damaged)
		return false;
	if (!row->row.present)
		return !w->d.right_present;
	if (w->cutoff ? !cutoff_has_row(w->cutoff, &row->row.row) : row->row.row.op_number > w->number_min)
		return true;
	struct hash128 digest = row_digest(&row->row.row, w->incarnation);
	return w->d.right_present && digest.lo == w->d.right_digest.lo && digest.hi == w->d.right_digest.hi;
}

/* Rows of one shard that are wrong in one region and right in another. */
struct batch {
	struct wrong *items[AUDIT_ROWS_PER_REQUEST];
	uint32_t count;
};

static enum err fetch(struct cure *c, struct batch *b, struct arena *a, struct audit_request *settle)
{
	struct wrong *first = b->items[0];
	struct point_id ids[AUDIT_ROWS_PER_REQUEST];
	struct audit_request q = { .kind = AUDIT_FETCH,
				   .incarnation = first->incarnation,
				   .shard = first->shard,
				   .ids = ids,
				   .id_count = b->count };
	struct audit_reply reply;

	for (uint32_t i = 0; i < b->count; i++)
		ids[i] = b->items[i]->d.id;
	enum err err = audit_round_ask(c->r, first->d.right, &q, a, &reply, c->r->fault);
	if (err)
		return err;
	if (reply.row_count != b->count)
		return fault_set(c->r->fault, ERR_CORRUPT, "a region sent other rows than it was asked for");
	struct audit_row *rows = arena_array(a, b->count, sizeof(*rows));
	uint32_t kept = 0;
	if (!rows)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < reply.row_count; i++) {
		b->items[i]->settled = point_id_equal(reply.rows[i].row.id, ids[i]) &&
				       fits_vote(b->items[i], &reply.rows[i]);
		if (b->items[i]->settled)
			rows[kept++] = reply.rows[i];
	}
	*settle = (struct audit_request){ .kind = AUDIT_SETTLE,
					  .position = reply.position,
					  .chain_hash = reply.chain_hash,
					  .logs = reply.logs,
					  .log_count = reply.log_count,
					  .incarnation = first->incarnation,
					  .shard = first->shard,
					  .rows = rows,
					  .row_count = kept };
	return ERR_NONE;
}

static enum err settle_once(struct cure *c, struct batch *b)
{
	CLEANUP(arena_release) struct arena a;
	struct audit_request settle;
	struct audit_reply reply;

	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	enum err err = fetch(c, b, &a, &settle);
	if (err || settle.row_count == 0)
		return err;
	return audit_round_ask(c->r, b->items[0]->d.region, &settle, &a, &reply, c->r->fault);
}

static enum err settle_batch(struct cure *c, struct batch *b)
{
	enum err err = ERR_NONE;

	for (unsigned i = 0; i < SETTLE_TRIES; i++) {
		err = settle_once(c, b);
		if (!err)
			return ERR_NONE;
		for (uint32_t k = 0; k < b->count; k++)
			b->items[k]->settled = false;
		if (err == ERR_TOO_LARGE || err == ERR_CORRUPT || !audit_wait(c->r->a, SETTLE_PAUSE_MS))
			break;
	}
	return err;
}

/* One row that cannot be sent or taken must not keep the others from it. */
static enum err settle_each(struct cure *c, struct batch *b)
{
	enum err last = ERR_NONE;

	for (uint32_t i = 0; i < b->count; i++) {
		struct batch one = { .items = { b->items[i] }, .count = 1 };
		enum err err = settle_batch(c, &one);
		last = err ? err : last;
		if (err && err != ERR_CORRUPT && err != ERR_TOO_LARGE)
			break; /* the region itself */
	}
	return last;
}

static void settle_some(struct cure *c, struct batch *b)
{
	enum err err = b->count > 0 ? settle_batch(c, b) : ERR_NONE;

	if (err && b->count > 1)
		err = settle_each(c, b);
	if (err)
		log_warn("an audit cannot settle all rows region=%s reason=\"%s\"",
			 c->r->report->regions[b->items[0]->d.region].name, fault_text(c->r->fault));
	b->count = 0;
}

static bool same_batch(const struct wrong *a, const struct wrong *b)
{
	return a->d.region == b->d.region && a->d.right == b->d.right && a->shard == b->shard &&
	       incarnation_compare(a->incarnation, b->incarnation) == 0;
}

static int wrong_compare(const void *a, const void *b)
{
	const struct wrong *x = a;
	const struct wrong *y = b;
	int order = incarnation_compare(x->incarnation, y->incarnation);

	if (order == 0)
		order = (x->shard > y->shard) - (x->shard < y->shard);
	if (order == 0)
		order = (x->d.region > y->d.region) - (x->d.region < y->d.region);
	if (order == 0)
		order = (x->d.right > y->d.right) - (x->d.right < y->d.right);
	return order ? order : point_id_compare(x->d.id, y->d.id);
}

static void settle_all(struct cure *c)
{
	struct batch b = { .count = 0 };
	uint32_t settled = 0;

	if (c->count > 1)
		qsort(c->wrongs, c->count, sizeof(*c->wrongs), wrong_compare);
	for (uint32_t i = 0; i < c->count && settled < AUDIT_SETTLE_MAX; i++) {
		struct wrong *w = &c->wrongs[i];
		if (w->d.right == AUDIT_NOBODY)
			continue;
		if (b.count > 0 && (b.count == AUDIT_ROWS_PER_REQUEST || !same_batch(b.items[0], w)))
			settle_some(c, &b);
		b.items[b.count++] = w;
		settled++;
	}
	settle_some(c, &b);
}

/* --- trees --- */

static bool has_wrong_row(const struct cure *c, const struct audit_suspect *s)
{
	const struct marked_shard *shard = marked_find(c->r->marked, s->incarnation, s->shard);

	for (uint32_t i = 0; shard && i < c->count; i++)
		if (incarnation_compare(c->wrongs[i].incarnation, s->incarnation) == 0 &&
		    c->wrongs[i].shard == s->shard && merkle_leaf_of(shard->tree, c->wrongs[i].d.id) == s->leaf)
			return true;
	return false;
}

/* Leaves of one shard in one region. */
static void recount(struct cure *c, uint32_t member, const struct audit_suspect *first, const uint32_t *leaves,
		    uint32_t count)
{
	CLEANUP(arena_release) struct arena a;
	struct audit_request q = { .kind = AUDIT_SETTLE,
				   .incarnation = first->incarnation,
				   .shard = first->shard,
				   .numbers = leaves,
				   .number_count = count };
	struct audit_reply reply;

	arena_init(&a, AUDIT_ARENA_BYTES_MAX);
	enum err err = audit_round_ask(c->r, member, &q, &a, &reply, c->r->fault);
	/* Where several write, a leaf whose rows are equal was most likely that of a write on its way. */
	if (err && first->multi) {
		log_info("an audit cannot say whether leaves are right region=%s reason=\"%s\"",
			 c->r->report->regions[member].name, fault_text(c->r->fault));
		c->r->report->unsure += count;
		return;
	}
	if (err) {
		log_warn("an audit cannot have leaves counted anew region=%s reason=\"%s\"",
			 c->r->report->regions[member].name, fault_text(c->r->fault));
		c->r->report->unrepaired += count;
		return;
	}
	/* What ops have overwritten since the mark is right already. */
	c->r->report->differences[AUDIT_TREE] += reply.leaves_changed;
	c->r->report->repaired += reply.leaves_changed;
	if (reply.leaves_changed > 0)
		c->r->report->regions[member].standing = AUDIT_DIFFERENT;
}

static void recount_all(struct cure *c)
{
	struct audit_round *r = c->r;
	uint32_t leaves[AUDIT_LEAVES_PER_REQUEST];

	for (uint32_t m = 0; m < c->all.count; m++) {
		uint32_t count = 0;
		const struct audit_suspect *first = NULL;
		for (uint32_t i = 0; i < r->suspect_count; i++) {
			const struct audit_suspect *s = &r->suspects[i];
			if (!(s->trees >> c->all.members[m] & 1) || has_wrong_row(c, s))
				continue;
			if (count > 0 && (count == AUDIT_LEAVES_PER_REQUEST || !same_shard(first, s))) {
				recount(c, c->all.members[m], first, leaves, count);
				count = 0;
			}
			first = count == 0 ? s : first;
			leaves[count++] = s->leaf;
		}
		if (count > 0)
			recount(c, c->all.members[m], first, leaves, count);
	}
}

/* --- the whole --- */

static uint64_t most_rows(const struct audit_round *r)
{
	uint64_t rows = 0;

	for (uint32_t i = 0; i < r->member_count; i++)
		rows = MAX(rows, r->report->regions[i].rows);
	return rows;
}

static bool is_too_much(const struct cure *c, uint64_t points)
{
	return points > AUDIT_BREAKER_POINTS && points > most_rows(c->r) / 100;
}

static void stop_here(struct cure *c, uint64_t points)
{
	struct audit_report *report = c->r->report;

	report->breaker = true;
	(void)snprintf(report->trouble, sizeof(report->trouble),
		       "%llu of %llu rows differ: that is another state, nothing was repaired",
		       (unsigned long long)points, (unsigned long long)most_rows(c->r));
	log_error("an audit found too much that differs and repairs nothing points=%llu rows=%llu",
		  (unsigned long long)points, (unsigned long long)most_rows(c->r));
}

static void name_point(struct cure *c, const struct wrong *w)
{
	struct audit_report *report = c->r->report;
	struct collection *collection = catalog_get_incarnation(c->r->a->o.catalog, w->incarnation);
	struct audit_point p = { .id = w->d.id,
				 .region = w->d.region,
				 .class = w->d.class,
				 .repaired = w->settled };

	if (collection) {
		struct str name = collection_name(collection, &c->r->arena);
		(void)snprintf(p.collection, sizeof(p.collection), "%.*s", STR_FMT(name));
		collection_unref(collection);
	}
	report->points[report->point_count++] = p;
}

static void tell(struct cure *c)
{
	struct audit_report *report = c->r->report;

	for (uint32_t i = 0; i < c->count; i++) {
		const struct wrong *w = &c->wrongs[i];
		report->differences[w->d.class]++;
		report->regions[w->d.region].standing = AUDIT_DIFFERENT;
		report->repaired += w->settled;
		report->unrepaired += !w->settled;
		if (report->point_count < AUDIT_POINTS_NAMED_MAX)
			name_point(c, w);
	}
}

static enum err cure(struct cure *c)
{
	struct audit_round *r = c->r;
	uint64_t sure = 0;

	for (uint32_t i = 0; i < r->member_count; i++)
		if (r->members[i].reached)
			c->all.members[c->all.count++] = i;
	/* Where several write, leaves differ at any time. */
	for (uint32_t i = 0; i < r->suspect_count; i++)
		sure += !r->suspects[i].multi;
	if (is_too_much(c, sure)) {
		stop_here(c, sure);
		return ERR_NONE;
	}
	enum err err = judge_all(c);
	if (err)
		return err;
	if (is_too_much(c, c->count)) {
		stop_here(c, c->count);
	} else {
		settle_all(c);
		recount_all(c);
	}
	tell(c);
	return ERR_NONE;
}

enum err audit_cure(struct audit_round *r)
{
	struct cure c = { .r = r };
	enum err err = r->suspect_count > 0 ? cure(&c) : ERR_NONE;

	free(c.wrongs);
	return err;
}
