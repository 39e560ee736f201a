/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading points by id, in order, and counting.
 */
#include "index/shard.h"

#include "base/metric.h"
#include "index/order.h"

#include <stdlib.h>
#include <string.h>

/* Rows between two looks at the clock. */
#define CHECK_EVERY 256u
/* So many times fewer candidates than points are sorted rather than looked for in the order of ids. */
#define SORT_WHEN_FEWER 8u

/* --- records --- */

static bool is_wanted(const struct record_want *want, struct str name)
{
	if (!want->vector_names)
		return true;
	for (uint32_t i = 0; i < want->vector_name_count; i++)
		if (str_compare(want->vector_names[i], name) == 0)
			return true;
	return false;
}

static void *copied(struct arena *a, const void *data, size_t count, size_t size)
{
	void *copy = arena_array(a, count, size);

	if (copy && count)
		memcpy(copy, data, count * size);
	return copy;
}

/* The value of a stored vector, in the arena: the slot may be used again once the lock is gone. ERR_CORRUPT: it is not the
 * value that was written. Those in line were compared when the row was decoded. */
static enum err vector_of(const struct shard *s, const struct row_vector *v, struct arena *a,
			  struct vector *ret_vector)
{
	int at = shard_find_vector(s->config, v->name);

	if (at < 0)
		return ERR_CORRUPT;
	const struct dense *d = s->vectors[at].dense;
	struct vector out = v->vector;

	if (d) {
		out = (struct vector){ .kind = VECTOR_DENSE, .count = d->options.dim };
		out.values = copied(a, dense_values(d, v->slot), out.count, sizeof(float));
		if (out.values && vector_hash(&out) != v->hash)
			return ERR_CORRUPT;
	} else {
		out.values = copied(a, v->vector.values, out.count, sizeof(float));
		if (out.kind == VECTOR_SPARSE) {
			out.indices = copied(a, v->vector.indices, out.count, sizeof(uint32_t));
			if (!out.indices)
				return ERR_NO_MEMORY;
		}
	}
	*ret_vector = out;
	return out.values ? ERR_NONE : ERR_NO_MEMORY;
}

static enum err vectors_of(const struct shard *s, const struct row *row,
			   const struct record_want *want, struct arena *a, struct record *out)
{
	out->vectors = arena_array(a, row->vector_count, sizeof(*out->vectors));
	if (!out->vectors)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < row->vector_count; i++) {
		const struct row_vector *v = &row->vectors[i];

		if (!v->present || !is_wanted(want, v->name))
			continue;
		struct named_vector *named = &out->vectors[out->vector_count++];

		named->name = arena_str(a, v->name);
		if (!named->name.data)
			return ERR_NO_MEMORY;
		enum err e = vector_of(s, v, a, &named->vector);

		if (e)
			return e;
	}
	return ERR_NONE;
}

static enum err payload_of(const struct row *row, struct arena *a, struct record *out)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	enum err e = row_payload(row, &b);

	if (e)
		return e;
	uint8_t *copy = copied(a, b.data, b.len, 1);

	if (!copy)
		return ERR_NO_MEMORY;
	out->payload = (struct value){ .data = copy, .len = (uint32_t)b.len };
	return ERR_NONE;
}

static enum err record_of(const struct shard_reader *r, uint32_t number,
			  const struct record_want *want, struct arena *a, struct record *out)
{
	CLEANUP(arena_release) struct arena scratch;
	struct bytes bytes;
	struct row row;

	arena_init(&scratch, SIZE_MAX);
	enum err e = shard_read_record(r, number, &bytes);

	if (e == ERR_NOT_FOUND) /* of a dropped collection that somebody still refers to */
		return ERR_NONE;
	if (!e)
		e = row_decode(bytes, &scratch, &row);
	if (e)
		return e;
	out->found = true;
	out->version = row.op_number;
	if (want->payload)
		e = payload_of(&row, a, out);
	if (!e && want->vectors)
		e = vectors_of(r->shard, &row, want, a, out);
	return e;
}

static enum err tell_damage(struct point_id id, struct fault *reterr_fault)
{
	char text[POINT_ID_TEXT_MAX];

	metric_add(METRIC_isthmus_damaged_reads_total, 1);
	(void)point_id_format(id, text);
	return fault_set(
		reterr_fault, ERR_CORRUPT,
		"point %s is damaged on the disk of this region; a deep audit has it repaired by the others",
		text);
}

enum err shard_retrieve(struct shard *s, const struct point_id *ids, const uint32_t *shard_of,
			uint32_t count, const struct record_want *want, struct arena *a,
			struct record *out, struct fault *reterr_fault)
{
	struct shard_reader r;
	enum err e = shard_read_begin(s, NULL, true, NULL, &r);

	if (e)
		return e;
	for (uint32_t i = 0; !e && i < count; i++) {
		uint32_t row;

		if (shard_of[i] != s->number)
			continue;
		out[i] = (struct record){ .id = ids[i] };
		if (id_map_get(s->ids, ids[i], &row) && s->rows[row].visible)
			e = record_of(&r, row, want, a, &out[i]);
		if (e == ERR_CORRUPT)
			e = tell_damage(ids[i], reterr_fault);
	}
	shard_read_end(&r);
	return e;
}

/* --- in order --- */

struct scroll {
	struct shard_reader *reader;
	const struct deadline *deadline;
	struct point_id *out;
	uint32_t count, limit;
	uint32_t looked;
	enum err err;
};

/* false: enough, or an error. */
static bool scroll_take(struct scroll *s, struct point_id id, uint32_t row)
{
	if (++s->looked % CHECK_EVERY == 0)
		s->err = deadline_check(s->deadline);
	if (s->reader->shard->rows[row].visible && shard_read_accepts(s->reader, row))
		s->out[s->count++] = id;
	return s->count < s->limit && !s->err && !s->reader->err;
}

static int row_id_compare(const void *a, const void *b, void *ctx)
{
	const struct row_state *rows = ctx;

	return point_id_compare(row_state_id(&rows[*(const uint32_t *)a]),
				row_state_id(&rows[*(const uint32_t *)b]));
}

/* Few candidates: sorted by id. */
static enum err scroll_candidates(struct scroll *s, struct point_id from)
{
	const struct shard *shard = s->reader->shard;
	const struct plan *plan = &s->reader->plan;
	uint32_t *rows = calloc((size_t)plan->count + 1, sizeof(*rows));
	uint32_t count = 0;

	if (!rows)
		return ERR_NO_MEMORY;
	for (uint32_t row = 0; row_bits_next(&plan->rows, &row); row++)
		if (point_id_compare(row_state_id(&shard->rows[row]), from) >= 0)
			rows[count++] = row;
	if (count > 1)
		qsort_r(rows, count, sizeof(*rows), row_id_compare, shard->rows);
	for (uint32_t i = 0; i < count; i++)
		if (!scroll_take(s, row_state_id(&shard->rows[rows[i]]), rows[i]))
			break;
	free(rows);
	return ERR_NONE;
}

static void scroll_ids(struct scroll *s, struct point_id from)
{
	struct id_map_cursor c = id_map_seek(s->reader->shard->ids, from);
	struct point_id id;
	uint32_t row;

	while (id_map_next(&c, &id, &row))
		if (!scroll_take(s, id, row))
			return;
}

enum err shard_scroll(struct shard *s, const struct filter *f, const struct point_id *from,
		      uint32_t limit, const struct deadline *deadline, struct point_id *out,
		      uint32_t *ret_count)
{
	struct shard_reader r;
	struct scroll scroll = { .reader = &r, .deadline = deadline, .out = out, .limit = limit };
	struct point_id first = from ? *from : (struct point_id){ 0 };
	enum err e = shard_read_begin(s, f, false, deadline, &r);

	if (e)
		return e;
	if (limit == 0)
		e = ERR_NONE;
	else if (r.plan.known && (uint64_t)r.plan.count * SORT_WHEN_FEWER < id_map_count(s->ids))
		e = scroll_candidates(&scroll, first);
	else
		scroll_ids(&scroll, first);
	if (!e)
		e = scroll.err ? scroll.err : r.err;
	shard_read_end(&r);
	*ret_count = scroll.count;
	return e;
}

/* --- counting --- */

static enum err count_rows(struct shard_reader *r, const struct deadline *deadline,
			   uint64_t *ret_count)
{
	const struct shard *s = r->shard;
	uint64_t count = 0;
	enum err e = ERR_NONE;
	uint32_t looked = 0;

	for (uint32_t row = 0; row < s->row_count && !e && !r->err; row++) {
		if (r->plan.known && !row_bits_next(&r->plan.rows, &row))
			break;
		if (++looked % CHECK_EVERY == 0)
			e = deadline_check(deadline);
		count += s->rows[row].visible && shard_read_accepts(r, row);
	}
	*ret_count = count;
	return e ? e : r->err;
}

enum err shard_count(struct shard *s, const struct filter *f, const struct deadline *deadline,
		     uint64_t *ret_count)
{
	struct shard_reader r;
	enum err e = shard_read_begin(s, f, false, deadline, &r);

	if (e)
		return e;
	if (!r.filter)
		*ret_count = s->visible;
	else if (r.plan.exact)
		*ret_count = r.plan.count;
	else
		e = count_rows(&r, deadline, ret_count);
	shard_read_end(&r);
	return e;
}
