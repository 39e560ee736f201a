/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/damage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "index/catalog.h"
#include "replicator/oplog.h"

#define PATH_BYTES_MAX 4200
/* The database as it is: nothing is added that needs room. */
#define MAP_BYTES ((uint64_t)1 << 40)
#define ARENA_BYTES_MAX ((size_t)256 << 20)
/* Bit of a value that is turned: of a number not its sign, of a letter one that leaves a letter. */
#define TURNED_BIT 0x02

struct damage {
	const struct damage_options *o;
	struct arena arena;
	struct store *store;
	struct catalog *catalog;
	struct collection *collection;
	struct point_id id;
	struct fault *fault;
};

static enum err parse_id(struct damage *d)
{
	struct str text = { d->o->id, strlen(d->o->id) };
	char *end;

	errno = 0;
	d->id = (struct point_id){ .lo = strtoull(d->o->id, &end, 10) };
	if (d->o->id[0] >= '0' && d->o->id[0] <= '9' && !*end && errno == 0)
		return ERR_NONE;
	enum err err = point_id_parse_uuid(text, &d->id);
	return err ? fault_set(d->fault, ERR_BAD_INPUT, "--id: '%s' is no number and no UUID", d->o->id) : ERR_NONE;
}

static enum err open_all(struct damage *d)
{
	struct catalog_options o = { .dir = d->o->data_dir };
	char path[PATH_BYTES_MAX];
	struct oplog_size sizes[SCOPES_MAX];

	int len = snprintf(path, sizeof(path), "%s/data.mdb", d->o->data_dir);
	/* Opening would make a store where none is. */
	if (len < 0 || (size_t)len >= sizeof(path) || access(path, F_OK) < 0)
		return fault_set(d->fault, ERR_NOT_FOUND, "--data-dir: %s holds no data of a region", d->o->data_dir);
	enum err err = store_lmdb_open(d->o->data_dir, MAP_BYTES, &d->store, d->fault);
	if (err)
		return err;
	o.store = d->store;
	err = catalog_open(&o, &d->catalog, d->fault);
	/* New values must not go where the log has some. */
	if (!err)
		err = oplog_mark_slots(d->store, d->catalog, sizes, d->fault);
	if (!err)
		err = catalog_start(d->catalog, d->fault);
	if (err)
		return err;
	struct str name = { d->o->collection, strlen(d->o->collection) };
	d->collection = catalog_get(d->catalog, name);
	return d->collection ? ERR_NONE
			     : fault_set(d->fault, ERR_NOT_FOUND, "there is no collection %s", d->o->collection);
}

static void close_all(struct damage *d)
{
	if (d->collection)
		collection_unref(d->collection);
	catalog_close(d->catalog);
	if (d->store)
		d->store->ops->close(d->store);
	arena_release(&d->arena);
}

/* --- what is done --- */

/* One value, as it is encoded, becomes another of the same length and kind. */
static enum err turn_value(struct damage *d, struct value v, struct value *ret_value)
{
	uint8_t *copy = arena_alloc(&d->arena, v.len);

	if (!copy)
		return ERR_NO_MEMORY;
	memcpy(copy, v.data, v.len);
	switch (value_kind(v)) {
	case VALUE_FALSE:
	case VALUE_TRUE:
		copy[0] = value_kind(v) == VALUE_TRUE ? VALUE_FALSE : VALUE_TRUE;
		break;
	case VALUE_INT:
		copy[1] ^= TURNED_BIT;
		break;
	case VALUE_DOUBLE:
		copy[v.len - 4] ^= TURNED_BIT;
		break;
	case VALUE_STRING:
		if (value_string(v).len == 0 || copy[v.len - 1] >= 0x80)
			return ERR_NOT_FOUND;
		copy[v.len - 1] ^= TURNED_BIT;
		break;
	case VALUE_NULL:
	case VALUE_LIST:
	case VALUE_OBJECT:
	case VALUE_UINT:
		return ERR_NOT_FOUND;
	}
	return value_check((struct bytes){ .data = copy, .len = v.len }, ret_value);
}

static enum err damage_payload(struct damage *d, struct row *row)
{
	for (uint32_t i = 0; i < row->field_count; i++) {
		struct row_field *f = &row->fields[i];
		enum err err = f->present ? turn_value(d, f->value, &f->value) : ERR_NOT_FOUND;
		if (err == ERR_NO_MEMORY)
			return err;
		if (err)
			continue;
		(void)fprintf(d->o->out, "payload key %.*s has another value\n", STR_FMT(f->key));
		return ERR_NONE;
	}
	return fault_set(d->fault, ERR_BAD_INPUT, "the point has no number, text or truth value in its payload");
}

/* The row keeps the hash of the values that it had. */
static enum err damage_vector(struct damage *d, struct row *row)
{
	for (uint32_t i = 0; i < row->vector_count; i++) {
		struct row_vector *v = &row->vectors[i];
		if (!v->present || v->vector.kind != VECTOR_DENSE || v->vector.count == 0)
			continue;
		float *values = arena_array(&d->arena, v->vector.count, sizeof(*values));
		if (!values)
			return ERR_NO_MEMORY;
		memcpy(values, v->vector.values, v->vector.count * sizeof(*values));
		values[0] = values[0] > 0.5F ? values[0] - 0.25F : values[0] + 0.25F;
		v->vector.values = values;
		v->slot = SLOT_NONE;
		(void)fprintf(d->o->out, "vector \"%.*s\" has other values\n", STR_FMT(v->name));
		return ERR_NONE;
	}
	return fault_set(d->fault, ERR_BAD_INPUT, "the point has no dense vector");
}

static enum err change(struct damage *d, struct store_txn *t)
{
	bool vector = strcmp(d->o->what, "vector") == 0;
	struct row row;

	if (strcmp(d->o->what, "record") == 0) {
		enum err spoilt = collection_row_spoil(d->collection, t, d->id);
		if (spoilt)
			return fault_set(d->fault, spoilt, "point %s: %s", d->o->id, err_sentence(spoilt));
		(void)fprintf(d->o->out, "the row's record does not fit its checksum\n");
		return ERR_NONE;
	}
	enum err err = collection_row_load(d->collection, t, d->id, &d->arena, &row);

	if (err)
		return fault_set(d->fault, err, "point %s: %s", d->o->id, err_sentence(err));
	if (strcmp(d->o->what, "missing") == 0) {
		(void)fprintf(d->o->out, "the row is gone\n");
		return collection_row_remove(d->collection, t, d->id);
	}
	err = vector ? damage_vector(d, &row) : damage_payload(d, &row);
	if (!err)
		err = collection_row_store(d->collection, t, &row, d->fault);
	return err ? err : catalog_sync(d->catalog, d->fault);
}

static enum err change_and_commit(struct damage *d)
{
	struct fault *f = d->fault;
	struct store_txn *t;
	enum err err = d->store->ops->begin(d->store, true, &t);

	if (err)
		return fault_set(f, err, "%s: %s", d->o->data_dir, err_sentence(err));
	err = change(d, t);
	if (err) {
		d->store->ops->abort(t);
		catalog_abandon(d->catalog);
		return err;
	}
	/* What is in memory ends with this program. */
	err = d->store->ops->commit(t, f);
	catalog_abandon(d->catalog);
	return err;
}

enum err damage_point(const struct damage_options *o, struct fault *reterr_fault)
{
	static const char *const kinds[] = { "payload", "vector", "missing", "record" };
	struct fault fault = { 0 };
	struct damage d = { .o = o, .fault = &fault };
	bool known = false;

	for (size_t i = 0; i < LEN(kinds); i++)
		known |= strcmp(o->what, kinds[i]) == 0;
	if (!known)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "--what: payload, vector, missing or record");
	arena_init(&d.arena, ARENA_BYTES_MAX);
	enum err err = parse_id(&d);
	if (!err)
		err = open_all(&d);
	if (!err)
		err = change_and_commit(&d);
	close_all(&d);
	return err ? fault_set(reterr_fault, err, "%s", fault.text[0] ? fault_text(&fault) : err_sentence(err))
		   : ERR_NONE;
}
