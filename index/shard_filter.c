/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters in a shard: what the payload indexes know of a filter (the plan), and the evaluation of the
 * rest on the records, once a row and query.
 */
#include "index/shard.h"

#include "base/clock.h"
#include "base/wire.h"
#include "index/order.h"

#include <stdlib.h>

/* A publish follows its commit at once; where it does not, the committer has failed. */
#define GATE_GIVE_UP_NS 5000000000ull

/* --- plans --- */

static void plan_release(struct plan *p)
{
	row_bits_release(&p->rows);
}

static enum err plan_of_filter(const struct shard *s, const struct filter *f,
			       struct plan *ret_plan);

static enum err plan_of_ids(const struct shard *s, const struct id_set *ids, struct plan *ret_plan)
{
	enum err e = row_bits_init(&ret_plan->rows, s->row_count);
	uint32_t row;

	if (e)
		return e;
	ret_plan->known = ret_plan->exact = true;
	for (uint32_t i = 0; i < ids->count; i++)
		if (id_map_get(s->ids, ids->items[i], &row) && s->rows[row].visible)
			row_bits_add(&ret_plan->rows, row);
	return ERR_NONE;
}

static enum err plan_of_condition(const struct shard *s, const struct condition *c,
				  struct plan *ret_plan)
{
	*ret_plan = (struct plan){ 0 };
	if (c->kind == CONDITION_HAS_ID)
		return plan_of_ids(s, &c->ids, ret_plan);
	if (c->kind == CONDITION_FILTER && c->filter)
		return plan_of_filter(s, c->filter, ret_plan);
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct shard_field *f = &s->fields[i];

		enum field_index_service service = f->complete ? field_index_serves(f->index, c) : SERVES_NOT;

		if (service == SERVES_NOT)
			continue;
		enum err e = row_bits_init(&ret_plan->rows, s->row_count);

		if (e)
			return e;
		ret_plan->known = true;
		ret_plan->exact = service == SERVES_EXACTLY;
		return field_index_rows(f->index, c, &ret_plan->rows);
	}
	return ERR_NONE;
}

/* Narrows p to what is in both; takes over part. */
static void plan_and(struct plan *p, struct plan *part)
{
	p->exact &= part->known && part->exact;
	if (!part->known)
		return;
	if (p->known) {
		row_bits_and(&p->rows, &part->rows);
		plan_release(part);
		return;
	}
	p->known = true;
	p->rows = part->rows;
}

static enum err plan_of_any(const struct shard *s, const struct condition_list *list,
			    struct plan *ret_plan)
{
	struct plan all = { .known = true, .exact = true };
	enum err e = row_bits_init(&all.rows, s->row_count);

	for (uint32_t i = 0; !e && all.known && i < list->count; i++) {
		struct plan part;

		e = plan_of_condition(s, &list->items[i], &part);
		if (!e && part.known)
			row_bits_or(&all.rows, &part.rows);
		all.known &= part.known;
		all.exact &= part.exact;
		plan_release(&part);
	}
	if (e || !all.known)
		plan_release(&all);
	*ret_plan = all.known ? all : (struct plan){ 0 };
	return e;
}

static enum err exclude(const struct shard *s, const struct condition_list *list, struct plan *p)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct plan part = { 0 };
		enum err e = p->known ? plan_of_condition(s, &list->items[i], &part) : ERR_NONE;

		if (e) {
			plan_release(&part);
			return e;
		}
		if (part.known && part.exact)
			row_bits_and_not(&p->rows, &part.rows);
		else
			p->exact = false;
		plan_release(&part);
	}
	return ERR_NONE;
}

static enum err plan_of_filter(const struct shard *s, const struct filter *f, struct plan *ret_plan)
{
	struct plan p = { .exact = true };
	struct plan part;
	enum err e = ERR_NONE;

	for (uint32_t i = 0; !e && i < f->must.count; i++) {
		e = plan_of_condition(s, &f->must.items[i], &part);
		if (e)
			plan_release(&part);
		else
			plan_and(&p, &part);
	}
	if (!e && f->should.count) {
		e = plan_of_any(s, &f->should, &part);
		if (!e)
			plan_and(&p, &part);
	}
	/* At least one of them, at most; how many are not counted here. */
	if (!e && f->has_min_should && f->min_count > 0) {
		e = plan_of_any(s, &f->min_should, &part);
		if (!e)
			plan_and(&p, &part);
		p.exact &= f->min_count == 1;
	}
	if (!e)
		e = exclude(s, &f->must_not, &p);
	p.exact &= p.known;
	if (e)
		plan_release(&p);
	else
		*ret_plan = p;
	return e;
}

static bool matches_all(const struct filter *f)
{
	return !f || (f->must.count == 0 && f->should.count == 0 && f->must_not.count == 0 &&
		      !f->has_min_should);
}

static enum err plan_make(const struct shard *s, const struct filter *f, struct plan *ret_plan)
{
	*ret_plan = (struct plan){ 0 };
	if (!f)
		return ERR_NONE;
	enum err e = plan_of_filter(s, f, ret_plan);

	if (e) {
		*ret_plan = (struct plan){ 0 };
		return e;
	}
	if (ret_plan->known)
		ret_plan->count = row_bits_count(&ret_plan->rows);
	return ERR_NONE;
}

/* --- readers --- */

enum err shard_read_fits(const struct shard_reader *r)
{
	struct bytes value;
	enum err e = shard_read_record(r, SHARD_GENERATION_ROW, &value);

	if (e == ERR_NOT_FOUND) /* nothing was ever stored, or all is purged */
		return ERR_NONE;
	if (e)
		return e;
	struct wire_reader w = wire_reader_of(value.data, value.len);
	uint64_t generation = wire_u64(&w);

	e = wire_done(&w);
	if (e)
		return e;
	return generation == r->shard->generation ? ERR_NONE : ERR_UNAVAILABLE;
}

/* One try; ERR_UNAVAILABLE: a commit came in between. Holds the lock on success only. */
static enum err try_begin(struct shard_reader *r, bool need_store)
{
	struct shard *s = r->shard;

	pthread_rwlock_rdlock(&s->lock);
	enum err e = plan_make(s, r->filter, &r->plan);

	if (!e && (need_store || (r->filter && !r->plan.exact))) {
		e = s->store->ops->begin(s->store, false, &r->txn);
		if (!e)
			e = shard_read_fits(r);
	}
	if (e)
		shard_read_end(r);
	return e;
}

enum err shard_read_begin(struct shard *s, const struct filter *f, bool need_store,
			  const struct deadline *deadline, struct shard_reader *ret_reader)
{
	uint64_t give_up_ns = 0;

	for (;;) {
		uint64_t seen = gate_count(s->gate);
		uint64_t now_ns;

		*ret_reader =
			(struct shard_reader){ .shard = s, .filter = matches_all(f) ? NULL : f };
		enum err e = try_begin(ret_reader, need_store);

		if (e != ERR_UNAVAILABLE)
			return e;
		e = deadline ? deadline_check(deadline) : ERR_NONE;
		if (!e)
			e = gate_wait(s->gate, seen);
		if (e)
			return e;
		now_ns = clock_mono_ns(clock_system());
		if (!give_up_ns)
			give_up_ns = now_ns + GATE_GIVE_UP_NS;
		if (now_ns > give_up_ns)
			return ERR_UNAVAILABLE;
	}
}

void shard_read_end(struct shard_reader *r)
{
	pthread_rwlock_unlock(&r->shard->lock);
	r->shard->store->ops->abort(r->txn);
	r->txn = NULL;
	plan_release(&r->plan);
	free(r->memo);
	r->memo = NULL;
}

enum err shard_read_record(const struct shard_reader *r, uint32_t row, struct bytes *ret_record)
{
	uint8_t key[SHARD_KEY_BYTES];

	shard_key(r->shard->uid, row, key);
	return r->shard->store->ops->get(
		r->txn, STORE_ROWS, (struct bytes){ .data = key, .len = sizeof(key) }, ret_record);
}

/* --- evaluation --- */

struct looked_at {
	const struct shard *shard;
	const struct row *row;
};

static bool row_has_vector(const struct filter_subject *subject, struct str name)
{
	const struct row *row = ((const struct looked_at *)subject->ctx)->row;

	for (uint32_t i = 0; i < row->vector_count; i++)
		if (row->vectors[i].present && str_compare(row->vectors[i].name, name) == 0)
			return true;
	return false;
}

/* By the definition of an index, whether it is complete or not. */
static const struct words *words_of_key(const struct filter_subject *subject, const struct path *key)
{
	const struct shard *s = ((const struct looked_at *)subject->ctx)->shard;
	const struct words *words = NULL;

	for (uint32_t i = 0; !words && i < s->field_count; i++)
		words = field_index_words(s->fields[i].index, subject->within, key);
	return words;
}

enum err shard_row_matches(const struct shard *s, const struct filter *f, const struct row *row, bool *ret_match)
{
	CLEANUP(buf_release) struct buf payload = BUF_INIT(SIZE_MAX);
	const struct looked_at at = { .shard = s, .row = row };
	enum err e = row_payload(row, &payload);

	if (e)
		return e;
	struct filter_subject subject = {
		.id = row->id,
		.payload = value_of_buf(&payload),
		.has_vector = row_has_vector,
		.words = words_of_key,
		.ctx = &at,
		.failed = &e,
	};

	*ret_match = filter_match(f, &subject);
	return e;
}

static enum err evaluate(struct shard_reader *r, uint32_t number, bool *ret_match)
{
	CLEANUP(arena_release) struct arena a;
	struct bytes record;
	struct row row;

	arena_init(&a, SIZE_MAX);
	*ret_match = false;
	enum err e = shard_read_record(r, number, &record);

	if (e == ERR_NOT_FOUND) /* of a dropped collection that somebody still refers to */
		return ERR_NONE;
	if (!e)
		e = row_decode(record, &a, &row);
	return e ? e : shard_row_matches(r->shard, r->filter, &row, ret_match);
}

/* On what the transaction has, whatever the indexes say. */
static bool row_matches(struct shard_reader *r, uint32_t row)
{
	bool match = false;

	if (!r->filter)
		return true;
	if (r->err)
		return false;
	r->err = evaluate(r, row, &match);
	return match && !r->err;
}

static bool remembered(struct shard_reader *r, uint32_t row)
{
	unsigned shift = row % 32 * 2;

	/* Without memory for it rows are evaluated again, that is all. */
	if (!r->memo)
		r->memo = calloc((size_t)r->shard->row_count / 32 + 1, sizeof(*r->memo));
	if (!r->memo)
		return row_matches(r, row);
	uint64_t *word = &r->memo[row / 32];

	if (!(*word >> shift & 1))
		*word |= (row_matches(r, row) ? 3ull : 1ull) << shift;
	return *word >> shift & 2;
}

bool shard_read_accepts(struct shard_reader *r, uint32_t row)
{
	if (!r->filter)
		return true;
	if (r->plan.known && !row_bits_has(&r->plan.rows, row))
		return false;
	return r->plan.exact || remembered(r, row);
}
