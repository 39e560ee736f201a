/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading all that this region stores. Values are read and hashed in steps, with pauses that keep within a rate; then each
 * shard's records are read once, in one transaction, and summed up by leaf. A leaf under which nothing was written since the
 * mark must be what the tree was at the mark; of the others nothing is said this time.
 */
#include "replicator/audit_inner.h"

#include <stdlib.h>

#include "base/log.h"
#include "index/order.h"

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

struct deep_run {
	struct audit *a;
	uint64_t mark;
	bool values;
	struct marked *marked;
	uint64_t begun_ns;
	uint64_t rows, bytes;
};

/* --- the job --- */

static bool is_wanted(struct deep_run *r)
{
	(void)pthread_mutex_lock(&r->a->lock);
	bool wanted = r->a->deep.mark == r->mark && !r->a->stop;
	(void)pthread_mutex_unlock(&r->a->lock);
	return wanted;
}

static void add_finding(struct deep_run *r, const struct audit_finding *f)
{
	struct deep_job *j = &r->a->deep;

	(void)pthread_mutex_lock(&r->a->lock);
	if (j->mark == r->mark) {
		if (j->finding_count < AUDIT_FINDINGS_MAX)
			j->findings[j->finding_count++] = *f;
		j->found++;
	}
	(void)pthread_mutex_unlock(&r->a->lock);
}

/* Waits until what was read fits the rate. */
static void keep_rate(struct deep_run *r)
{
	uint64_t rate = r->a->o.deep_bytes_per_s;

	if (rate == 0)
		return;
	double due_ns = (double)r->bytes / (double)rate * (double)NS_PER_S;
	double passed_ns = (double)(clock_mono_ns(r->a->o.clock) - r->begun_ns);
	if (due_ns > passed_ns + (double)NS_PER_MS)
		(void)audit_wait(r->a, (uint64_t)((due_ns - passed_ns) / (double)NS_PER_MS));
}

/* --- values --- */

static enum err read_values(struct deep_run *r, struct collection *c, const struct marked_shard *s)
{
	struct collection_check check = { 0 };

	while (!check.done) {
		enum err err = collection_check(c, s->shard, &check);
		if (err)
			return err;
		for (uint32_t i = 0; i < check.bad_count; i++) {
			struct audit_finding f = { .incarnation = s->incarnation,
						   .shard = s->shard,
						   .leaf = merkle_leaf_of(s->tree, check.bad[i]),
						   .is_row = true,
						   .id = check.bad[i] };
			add_finding(r, &f);
		}
		r->rows += check.rows;
		r->bytes += check.bytes;
		if (!is_wanted(r))
			return ERR_CANCELLED;
		keep_rate(r);
	}
	return ERR_NONE;
}

/* --- trees --- */

struct leaf_sums {
	struct deep_run *run;
	const struct marked_shard *shard;
	struct merkle_leaf *sums;   /* by leaf */
	bool *unsure;               /* something under it was written since the mark, or cannot be read */
};

static enum err sum_record(void *ctx, struct bytes record)
{
	struct leaf_sums *l = ctx;
	CLEANUP(arena_release) struct arena a;
	struct row row;

	arena_init(&a, SIZE_MAX);
	enum err err = row_decode(record, &a, &row);
	if (err == ERR_NO_MEMORY)
		return err;
	/* It is missing from its leaf, which differs therefore. */
	if (err)
		return ERR_NONE;
	uint32_t leaf = merkle_leaf_of(l->shard->tree, row.id);
	struct hash128 digest = row_digest(&row, l->shard->incarnation);
	l->sums[leaf].lo += digest.lo;
	l->sums[leaf].hi += digest.hi;
	l->sums[leaf].count++;
	l->unsure[leaf] |= l->shard->multi ? !cutoff_has_row(&l->run->marked->seen, &row)
					   : row.op_number > l->run->marked->number;
	if (!l->run->values)
		l->run->rows++;
	return ERR_NONE;
}

static void compare_leaves(const struct leaf_sums *l, uint32_t leaves)
{
	for (uint32_t leaf = 0; leaf < leaves; leaf++) {
		struct merkle_leaf tree = merkle_leaf_at(l->shard->tree, leaf);
		if (l->unsure[leaf] || merkle_leaf_equal(&tree, &l->sums[leaf]))
			continue;
		struct audit_finding f = { .incarnation = l->shard->incarnation,
					   .shard = l->shard->shard,
					   .leaf = leaf };
		add_finding(l->run, &f);
	}
}

static enum err sum_rows(struct deep_run *r, struct collection *c, const struct marked_shard *s)
{
	uint32_t leaves = (uint32_t)1 << merkle_bits(s->tree);
	struct leaf_sums l = { .run = r, .shard = s };
	struct store *store = r->a->o.store;
	struct store_txn *t;

	l.sums = calloc(leaves, sizeof(*l.sums));
	l.unsure = calloc(leaves, sizeof(*l.unsure));
	enum err err = l.sums && l.unsure ? store->ops->begin(store, false, &t) : ERR_NO_MEMORY;
	if (!err) {
		err = collection_scan(c, t, s->shard, sum_record, &l);
		store->ops->abort(t);
	}
	if (!err)
		compare_leaves(&l, leaves);
	free(l.sums);
	free(l.unsure);
	return err;
}

/* --- all of it --- */

static enum err read_shard(struct deep_run *r, const struct marked_shard *s)
{
	struct collection *c = catalog_get_incarnation(r->a->o.catalog, s->incarnation);

	if (!c)
		return ERR_NONE; /* dropped since */
	enum err err = r->values ? read_values(r, c, s) : ERR_NONE;
	if (!err)
		err = sum_rows(r, c, s);
	collection_unref(c);
	return err;
}

static bool begin(struct deep_run *r)
{
	struct audit *a = r->a;

	(void)pthread_mutex_lock(&a->lock);
	bool wanted = a->deep.status == DEEP_WANTED;
	if (wanted) {
		a->deep.status = DEEP_RUNNING;
		a->deep.finding_count = 0;
		a->deep.found = a->deep.read_rows = a->deep.read_bytes = 0;
		r->mark = a->deep.mark;
		r->values = a->deep.values;
	}
	(void)pthread_mutex_unlock(&a->lock);
	return wanted;
}

static void end(struct deep_run *r, enum err err)
{
	struct deep_job *j = &r->a->deep;

	(void)pthread_mutex_lock(&r->a->lock);
	if (j->mark == r->mark) {
		j->status = err ? DEEP_FAILED : DEEP_DONE;
		j->read_rows = r->rows;
		j->read_bytes = r->bytes;
	}
	(void)pthread_mutex_unlock(&r->a->lock);
	if (err && err != ERR_CANCELLED)
		log_error("a deep audit of this region came to no end reason=\"%s\"", err_sentence(err));
}

void audit_deep_run(struct audit *a)
{
	struct deep_run r = { .a = a };
	enum err err = ERR_NONE;

	if (!begin(&r))
		return;
	r.begun_ns = clock_mono_ns(a->o.clock);
	r.marked = audit_marked(a, r.mark);
	if (!r.marked)
		err = ERR_NOT_FOUND;
	for (uint32_t i = 0; !err && i < r.marked->count; i++)
		err = is_wanted(&r) ? read_shard(&r, &r.marked->shards[i]) : ERR_CANCELLED;
	end(&r, err);
	marked_unref(r.marked);
}
