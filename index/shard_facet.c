/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facets: which values a key has, and how many points each. Counted by the payload index of the key; where that is
 * still being filled, by one that is made of the points in question and thrown away. The answer is exact either way.
 */
#include "index/shard.h"

#include "index/order.h"

/* Rows between two looks at the clock. */
#define CHECK_EVERY 256u

static const struct shard_field *field_of(const struct shard *s, struct str key)
{
	for (uint32_t i = 0; i < s->field_count; i++)
		if (str_compare(field_index_config(s->fields[i].index)->key, key) == 0)
			return &s->fields[i];
	return NULL;
}

/* The rows that the filter accepts. */
static enum err accepted_rows(struct shard_reader *r, const struct deadline *deadline, struct row_bits *rows)
{
	const struct shard *s = r->shard;
	enum err e = row_bits_init(rows, s->row_count);
	uint32_t looked = 0;

	for (uint32_t row = 0; row < s->row_count && !e && !r->err; row++) {
		if (r->plan.known && !row_bits_next(&r->plan.rows, &row))
			break;
		if (++looked % CHECK_EVERY == 0)
			e = deadline_check(deadline);
		if (!e && s->rows[row].visible && shard_read_accepts(r, row))
			row_bits_add(rows, row);
	}
	return e ? e : r->err;
}

static enum err index_row(const struct shard_reader *r, uint32_t number, struct field_index *index)
{
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf payload = BUF_INIT(SIZE_MAX);
	struct bytes record;
	struct row row;

	arena_init(&a, SIZE_MAX);
	enum err e = shard_read_record(r, number, &record);

	if (e == ERR_NOT_FOUND) /* of a dropped collection that somebody still refers to */
		return ERR_NONE;
	if (!e)
		e = row_decode(record, &a, &row);
	if (!e)
		e = row_payload(&row, &payload);
	return e ? e : field_index_add(index, number, value_of_buf(&payload));
}

/* Without an index that is complete. */
static enum err count_anew(const struct shard_reader *r, const struct field_index_config *config,
			   const struct row_bits *rows, const struct deadline *deadline, facet_fn fn, void *ctx)
{
	struct field_index *index;
	enum err e = field_index_new(config, &index, NULL);
	uint32_t looked = 0;

	if (e)
		return e;
	for (uint32_t row = 0; !e && row_bits_next(rows, &row); row++) {
		if (++looked % CHECK_EVERY == 0)
			e = deadline_check(deadline);
		if (!e)
			e = index_row(r, row, index);
	}
	if (!e)
		e = field_index_facets(index, NULL, fn, ctx);
	field_index_free(index);
	return e;
}

static enum err count_facets(struct shard_reader *r, const struct shard_field *f, const struct deadline *deadline,
			     facet_fn fn, void *ctx)
{
	struct row_bits rows = { 0 };
	const struct row_bits *among = NULL;
	enum err e = ERR_NONE;

	if (r->filter && r->plan.exact) {
		among = &r->plan.rows;
	} else if (r->filter || !f->complete) {
		e = accepted_rows(r, deadline, &rows);
		among = &rows;
	}
	if (!e)
		e = f->complete ? field_index_facets(f->index, among, fn, ctx)
				: count_anew(r, field_index_config(f->index), among, deadline, fn, ctx);
	row_bits_release(&rows);
	return e;
}

enum err shard_facet(struct shard *s, struct str key, const struct filter *f, const struct deadline *deadline,
		     facet_fn fn, void *ctx)
{
	struct shard_reader r;
	enum err e = shard_read_begin(s, f, true, deadline, &r);

	if (e)
		return e;
	const struct shard_field *field = field_of(s, key);

	e = field && field_index_has_facets(field->index) ? count_facets(&r, field, deadline, fn, ctx) : ERR_NOT_FOUND;
	shard_read_end(&r);
	return e;
}
