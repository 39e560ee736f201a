/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict mode: what a collection allows its clients to ask for. Every request about points is looked through once, before its
 * method, field by field by the rows of message.def: a field is judged by its name and kind wherever it stands, so that methods know
 * nothing of limits and none can forget them.
 */
#include "gateway/api_inner.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "gateway/message_kinds.h"
#include "gateway/message_table.h"
#include "index/formula.h"

#define KEY_TEXT_MAX 512

struct strict {
	struct call *c;
	struct collection *collection;
	const struct msg_strict_mode_config *config;
	bool writes;
	bool has_fields; /* the following was read */
	struct field_index_info *fields;
	uint32_t field_count;
};

static enum err refuse(struct strict *s, const char *what, const char *help)
{
	return fault_set(&s->c->fault, ERR_BAD_REQUEST, "%s. Help: %s", what, help);
}

static enum err check_limit(struct strict *s, const char *name, double value, double limit)
{
	if (value <= limit)
		return ERR_NONE;
	return fault_set(&s->c->fault, ERR_BAD_REQUEST,
			 "Limit exceeded %.17g > %.17g for \"%s\". Help: Reduce the \"%s\" parameter to or below %.17g.",
			 value, limit, name, name, limit);
}

/* --- numbers --- */

static const struct number_rule {
	const char *key; /* as clients write it */
	size_t has, limit;
	enum message_kind kind; /* of the limit */
} numbers[] = {
#define NUMBER(key, member, kind)                                                                                  \
	{ key, offsetof(struct msg_strict_mode_config, has_##member), offsetof(struct msg_strict_mode_config, member), \
	  kind }
	NUMBER("limit", max_query_limit, KIND_U32),
	NUMBER("timeout", max_timeout, KIND_U32),
	NUMBER("hnsw_ef", search_max_hnsw_ef, KIND_U32),
	NUMBER("oversampling", search_max_oversampling, KIND_F32),
#undef NUMBER
};

static bool limit_of(const struct msg_strict_mode_config *config, const struct number_rule *r, double *ret_limit)
{
	const char *base = (const char *)config;
	const void *limit = base + r->limit;

	if (!*(const bool *)(base + r->has))
		return false;
	*ret_limit = r->kind == KIND_F32 ? (double)*(const float *)limit : (double)*(const uint32_t *)limit;
	return true;
}

static double number_of(const struct message_row *row, const void *member)
{
	if (row->kind == KIND_U32)
		return *(const uint32_t *)member;
	if (row->kind == KIND_U64)
		return (double)*(const uint64_t *)member;
	return row->kind == KIND_F32 ? (double)*(const float *)member : *(const double *)member;
}

static bool is_number(const struct message_row *row)
{
	return row->kind == KIND_U32 || row->kind == KIND_U64 || row->kind == KIND_F32 || row->kind == KIND_F64;
}

static enum err check_number(struct strict *s, const struct message_row *row, const void *member)
{
	double limit;

	for (size_t i = 0; i < LEN(numbers); i++)
		if (strcmp(numbers[i].key, row->json) == 0 && limit_of(s->config, &numbers[i], &limit))
			return check_limit(s, row->json, number_of(row, member), limit);
	return ERR_NONE;
}

/* --- filters --- */

/* Of a condition: in itself, and with all that is in it. */
struct filter_size {
	uint64_t conditions;
	uint64_t largest;
};

static void measure(const struct filter *f, struct filter_size *out);

/* Of those that are lists. */
static uint64_t values_of(const struct condition *c)
{
	enum condition_argument argument = condition_argument_of(c->kind);

	if (argument == ARGUMENT_TEXTS)
		return c->texts.count;
	if (argument == ARGUMENT_INTS)
		return c->ints.count;
	return argument == ARGUMENT_IDS ? c->ids.count : 0;
}

static void measure_list(const struct condition_list *l, struct filter_size *out)
{
	for (uint32_t i = 0; i < l->count; i++) {
		const struct condition *c = &l->items[i];

		if (c->kind == CONDITION_FILTER || c->kind == CONDITION_NESTED) {
			if (c->filter)
				measure(c->filter, out);
			continue;
		}
		out->conditions++;
		out->largest = MAX(out->largest, values_of(c));
	}
}

static void measure(const struct filter *f, struct filter_size *out)
{
	measure_list(&f->must, out);
	measure_list(&f->should, out);
	measure_list(&f->must_not, out);
	measure_list(&f->min_should, out);
}

static enum err check_sizes(struct strict *s, const struct filter *f)
{
	const struct msg_strict_mode_config *config = s->config;
	struct filter_size size = { 0 };

	measure(f, &size);
	if (config->has_filter_max_conditions && size.conditions > config->filter_max_conditions)
		return fault_set(&s->c->fault, ERR_BAD_REQUEST,
				 "Filter condition limit reached (%llu > %llu). Help: Reduce the amount of conditions of your filter.",
				 (unsigned long long)size.conditions, (unsigned long long)config->filter_max_conditions);
	if (config->has_condition_max_size && size.largest > config->condition_max_size)
		return fault_set(&s->c->fault, ERR_BAD_REQUEST,
				 "Condition size limit reached (%llu > %llu). Help: Reduce the size of your condition.",
				 (unsigned long long)size.largest, (unsigned long long)config->condition_max_size);
	return ERR_NONE;
}

#define SCHEMA(kind) (1u << FIELD_##kind)
#define SCHEMAS_ALL (~0u)

/* The kinds of payload indexes that serve a condition; 0: it needs none. */
static unsigned schemas_for(enum condition_kind kind)
{
	switch (kind) {
	case CONDITION_MATCH_TEXT_VALUE:
	case CONDITION_MATCH_ANY_TEXT:
	case CONDITION_MATCH_EXCEPT_TEXT:
		return SCHEMA(KEYWORD) | SCHEMA(UUID);
	case CONDITION_MATCH_INT_VALUE:
	case CONDITION_MATCH_ANY_INT:
	case CONDITION_MATCH_EXCEPT_INT:
		return SCHEMA(INTEGER);
	case CONDITION_MATCH_BOOL_VALUE:
		return SCHEMA(BOOL);
	case CONDITION_MATCH_TEXT:
	case CONDITION_MATCH_TEXT_ANY:
	case CONDITION_MATCH_PHRASE:
		return SCHEMA(TEXT);
	case CONDITION_MATCH_PREFIX:
		return SCHEMA(KEYWORD);
	case CONDITION_RANGE:
		return SCHEMA(INTEGER) | SCHEMA(FLOAT);
	case CONDITION_DATETIME_RANGE:
		return SCHEMA(DATETIME);
	case CONDITION_GEO_BOX:
	case CONDITION_GEO_RADIUS:
	case CONDITION_GEO_POLYGON:
		return SCHEMA(GEO);
	case CONDITION_VALUES_COUNT:
	case CONDITION_FIELD_IS_EMPTY:
	case CONDITION_FIELD_IS_NULL:
	case CONDITION_IS_EMPTY:
	case CONDITION_IS_NULL:
		return SCHEMAS_ALL;
	case CONDITION_HAS_ID:
	case CONDITION_FILTER:
	case CONDITION_NESTED:
	case CONDITION_HAS_VECTOR:
	case CONDITION_SLICE:
	case CONDITION_COUNT:
		break;
	}
	return 0;
}

static enum err no_index(struct strict *s, const char *key, unsigned schemas)
{
	static const struct {
		unsigned schema;
		const char *word;
	} words[] = { { SCHEMA(BOOL), "bool" },	  { SCHEMA(DATETIME), "datetime" }, { SCHEMA(FLOAT), "float" },
		      { SCHEMA(GEO), "geo" },	  { SCHEMA(INTEGER), "integer" },   { SCHEMA(KEYWORD), "keyword" },
		      { SCHEMA(TEXT), "text" }, { SCHEMA(UUID), "uuid" } };
	CLEANUP(buf_release) struct buf list = BUF_INIT(256);

	for (size_t i = 0; i < LEN(words); i++)
		if (schemas & words[i].schema)
			buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", words[i].word);
	return fault_set(&s->c->fault, ERR_BAD_REQUEST,
			 "Index required but not found for \"%s\" of one of the following types: [%.*s]. "
			 "Help: Create an index for this key or use a different filter.",
			 key, STR_FMT(buf_str(&list)));
}

static enum err check_key(struct strict *s, struct str prefix, const struct condition *c)
{
	unsigned schemas = schemas_for(c->kind);
	char key[KEY_TEXT_MAX];
	enum err err = ERR_NONE;

	if (schemas == 0)
		return ERR_NONE;
	if (!s->has_fields)
		err = collection_field_indexes(s->collection, s->c->arena, &s->fields, &s->field_count);
	if (err)
		return err;
	s->has_fields = true;
	(void)snprintf(key, sizeof(key), "%.*s%.*s", STR_FMT(prefix), STR_FMT(c->key.text));
	for (uint32_t i = 0; i < s->field_count; i++) {
		const struct field_index_config *f = &s->fields[i].config;
		if (f->key.len == strlen(key) && memcmp(f->key.data, key, f->key.len) == 0 &&
		    (schemas & 1u << f->schema) != 0)
			return ERR_NONE;
	}
	return no_index(s, key, schemas);
}

static enum err check_keys(struct strict *s, struct str prefix, const struct filter *f);

/* The keys of what is nested stand below the list's elements. */
static enum err check_nested(struct strict *s, struct str prefix, const struct condition *c)
{
	struct str key = c->key.text;
	bool elements = key.len >= 2 && memcmp(key.data + key.len - 2, "[]", 2) == 0;
	struct str below = arena_printf(s->c->arena, "%.*s%.*s%s", STR_FMT(prefix), STR_FMT(key),
					elements ? "." : "[].");

	return below.data ? check_keys(s, below, c->filter) : ERR_NO_MEMORY;
}

static enum err check_condition_keys(struct strict *s, struct str prefix, const struct condition *c)
{
	if (c->kind == CONDITION_FILTER)
		return c->filter ? check_keys(s, prefix, c->filter) : ERR_NONE;
	if (c->kind == CONDITION_NESTED)
		return c->filter ? check_nested(s, prefix, c) : ERR_NONE;
	return check_key(s, prefix, c);
}

/* Depth is bounded: filter_prepare(). */
static enum err check_keys(struct strict *s, struct str prefix, const struct filter *f)
{
	const struct condition_list *lists[] = { &f->must, &f->should, &f->must_not, &f->min_should };

	for (size_t i = 0; i < LEN(lists); i++)
		for (uint32_t k = 0; k < lists[i]->count; k++) {
			enum err err = check_condition_keys(s, prefix, &lists[i]->items[k]);
			if (err)
				return err;
		}
	return ERR_NONE;
}

static enum err check_filter(struct strict *s, const struct filter *f)
{
	const struct msg_strict_mode_config *config = s->config;
	bool indexed = s->writes ? config->has_unindexed_filtering_update && !config->unindexed_filtering_update
				 : config->has_unindexed_filtering_retrieve && !config->unindexed_filtering_retrieve;

	if (!f)
		return ERR_NONE;
	enum err err = check_sizes(s, f);
	return err || !indexed ? err : check_keys(s, STR(""), f);
}

/* --- points to be written --- */

static enum err check_room(struct strict *s)
{
	const struct msg_strict_mode_config *config = s->config;
	const struct collection_config *vectors = collection_config(s->collection);
	struct collection_info info;
	uint64_t dims = 0;

	if (!config->has_max_points_count && !config->has_max_collection_vector_size_bytes)
		return ERR_NONE;
	collection_info(s->collection, &info);
	if (config->has_max_points_count && info.points >= config->max_points_count)
		return fault_set(&s->c->fault, ERR_BAD_REQUEST,
				 "Max points limit of %llu reached!. Help: Delete points that are no longer needed.",
				 (unsigned long long)config->max_points_count);
	for (uint32_t i = 0; i < vectors->vector_count; i++)
		dims += vectors->vectors[i].sparse ? 0 : vectors->vectors[i].dim;
	if (config->has_max_collection_vector_size_bytes &&
	    info.points * dims * sizeof(float) >= config->max_collection_vector_size_bytes)
		return fault_set(&s->c->fault, ERR_BAD_REQUEST, "Max vector storage size limit of %gMB reached!",
				 (double)config->max_collection_vector_size_bytes / (1024.0 * 1024.0));
	return ERR_NONE;
}

static enum err check_sparse(struct strict *s, const struct vector_list *vectors)
{
	const struct msg_strict_mode_sparse_map *limits = &s->config->sparse_config.map;

	for (uint32_t i = 0; s->config->has_sparse_config && i < limits->count; i++)
		for (uint32_t k = 0; limits->items[i].has_max_length && k < vectors->count; k++) {
			const struct named_vector *v = &vectors->items[k];
			uint64_t max = limits->items[i].max_length;
			if (v->vector.kind == VECTOR_SPARSE && v->vector.count > max &&
			    v->name.len == limits->keys[i].len &&
			    memcmp(v->name.data, limits->keys[i].data, v->name.len) == 0)
				return fault_set(&s->c->fault, ERR_BAD_REQUEST,
						 "Sparse vector \"%.*s\" has %u elements, at most %llu are allowed. "
						 "Help: Reduce the number of elements of the vector.",
						 STR_FMT(v->name), v->vector.count, (unsigned long long)max);
		}
	return ERR_NONE;
}

static enum err check_points(struct strict *s, const struct msg_point_list *points)
{
	const struct msg_strict_mode_config *config = s->config;
	enum err err = ERR_NONE;

	if (config->has_upsert_max_batchsize)
		err = check_limit(s, "upsert limit", points->count, (double)config->upsert_max_batchsize);
	for (uint32_t i = 0; i < points->count && !err; i++)
		err = check_sparse(s, &points->items[i].vector);
	return err ? err : check_room(s);
}

static enum err check_point_vectors(struct strict *s, const struct msg_point_vectors_list *points)
{
	const struct msg_strict_mode_config *config = s->config;
	enum err err = ERR_NONE;

	if (config->has_upsert_max_batchsize)
		err = check_limit(s, "update limit", points->count, (double)config->upsert_max_batchsize);
	for (uint32_t i = 0; i < points->count && !err; i++)
		err = check_sparse(s, &points->items[i].vector);
	return err;
}

/* --- the walk --- */

static enum err walk(struct strict *s, const struct message *m, const void *in);

static enum err walk_list(struct strict *s, const struct message_row *row, const void *member)
{
	const struct message_list *list = member;
	enum err err = ERR_NONE;

	if (row->message == &message_point)
		return check_points(s, member);
	if (row->message == &message_point_vectors)
		return check_point_vectors(s, member);
	if (strcmp(row->json, "searches") == 0 && s->config->has_search_max_batchsize)
		err = check_limit(s, "search batch size", list->count, (double)s->config->search_max_batchsize);
	for (uint32_t i = 0; i < list->count && !err; i++)
		err = walk(s, row->message, (const char *)list->items + i * row->message->size);
	return err;
}

/* Conditions within a formula. */
static enum err check_expression(struct strict *s, const struct expression *e)
{
	enum err err = e->kind == EXPRESSION_CONDITION ? check_filter(s, e->filter) : ERR_NONE;

	for (uint32_t i = 0; i < e->operand_count && !err; i++)
		err = check_expression(s, &e->operands[i]);
	return err;
}

/* What the reader has bounded: queries, their prefetches, and expressions within them. */
static enum err check_custom(struct strict *s, const struct message_custom *kind, const void *member)
{
	const struct prefetch_list *list = member;
	enum err err = ERR_NONE;

	if (kind == &kind_filter)
		return check_filter(s, *(const struct filter *const *)member);
	if (kind == &kind_query)
		return walk(s, &message_query, *(const struct msg_query *const *)member);
	if (kind == &kind_expression)
		return check_expression(s, *(struct expression *const *)member);
	for (uint32_t i = 0; kind == &kind_prefetches && i < list->count && !err; i++)
		err = walk(s, &message_prefetch, &list->items[i]);
	return err;
}

static enum err check_row(struct strict *s, const struct message_row *row, const void *member)
{
	bool no_exact = s->config->has_search_allow_exact && !s->config->search_allow_exact;

	if (row->kind == KIND_MESSAGE)
		return row->list ? walk_list(s, row, member) : walk(s, row->message, member);
	if (row->list)
		return ERR_NONE;
	if (is_number(row))
		return check_number(s, row, member);
	if (row->kind == KIND_BOOL && no_exact && strcmp(row->json, "exact") == 0 && *(const bool *)member)
		return refuse(s, "Exact search disabled!", "Set exact=false.");
	return row->kind == KIND_CUSTOM ? check_custom(s, row->custom, member) : ERR_NONE;
}

static enum err walk(struct strict *s, const struct message *m, const void *in)
{
	enum err err = ERR_NONE;

	for (uint32_t i = 0; i < m->row_count && !err; i++) {
		const struct message_row *row = &m->rows[i];
		bool ours = row->role == ROLE_FIELD || row->role == ROLE_PARAM;
		if (ours && row->json && message_has(row, in))
			err = check_row(s, row, (const char *)in + row->offset);
	}
	return err;
}

static enum err check_indexes(struct strict *s)
{
	const struct msg_index_create *in = s->c->in;
	uint64_t max = s->config->max_payload_index_count;

	if (!s->config->has_max_payload_index_count)
		return ERR_NONE;
	enum err err = collection_field_indexes(s->collection, s->c->arena, &s->fields, &s->field_count);
	if (err || s->field_count < max)
		return err;
	for (uint32_t i = 0; i < s->field_count; i++)
		if (s->fields[i].config.key.len == in->field_name.len &&
		    memcmp(s->fields[i].config.key.data, in->field_name.data, in->field_name.len) == 0)
			return ERR_NONE;
	return fault_set(&s->c->fault, ERR_BAD_REQUEST,
			 "Collection already has the maximum number of payload indices (%llu). Help: Please delete an existing "
			 "index before creating a new one.",
			 (unsigned long long)max);
}

/* The collection that the request names, when it has limits. */
static enum err find_limits(struct call *c, struct str name, struct collection **ret_collection,
			    struct msg_strict_mode_config *ret_config)
{
	struct collection *collection = catalog_get(c->api->catalog, name);
	struct bytes bytes;

	*ret_collection = NULL;
	if (!collection)
		return ERR_NONE;
	bool has = message_peek_bytes(&message_collection_create, collection_config(collection)->client_config,
				      "strict_mode_config", &bytes);
	enum err err = has ? message_from_proto(&message_strict_mode_config, bytes, c->arena, ret_config, &c->fault)
			   : ERR_NONE;
	if (has && !err && ret_config->has_enabled && ret_config->enabled)
		*ret_collection = collection;
	else
		collection_unref(collection);
	return err;
}

static struct str collection_of(const struct message *m, const void *in)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (m->rows[i].kind == KIND_STRING && m->rows[i].role == ROLE_PARAM && m->rows[i].json &&
		    strcmp(m->rows[i].json, "collection_name") == 0)
			return *(const struct str *)((const char *)in + m->rows[i].offset);
	return (struct str){ 0 };
}

enum err api_check_strict(struct call *c)
{
	const struct method *m = c->method;
	struct msg_strict_mode_config config;
	struct strict s = { .c = c, .config = &config, .writes = m->reach == REACH_WRITE };
	bool judged = m->reach != REACH_LOCAL &&
		      (m->access == ACCESS_READ || m->access == ACCESS_WRITE || m->access == ACCESS_DEFINE);
	struct str name = judged ? collection_of(m->in, c->in) : (struct str){ 0 };

	if (!name.data)
		return ERR_NONE;
	enum err err = find_limits(c, name, &s.collection, &config);
	if (err || !s.collection)
		return err;
	err = m->in == &message_index_create ? check_indexes(&s) : walk(&s, m->in, c->in);
	collection_unref(s.collection);
	return err;
}

enum err api_check_strict_config(const struct msg_strict_mode_config *m, struct fault *reterr_fault)
{
	const struct {
		bool has;
		const char *name;
	} limits[] = {
		{ m->has_read_rate_limit, "read_rate_limit" },
		{ m->has_write_rate_limit, "write_rate_limit" },
		{ m->has_max_collection_payload_size_bytes, "max_collection_payload_size_bytes" },
		{ m->has_max_resident_memory_percent, "max_resident_memory_percent" },
	};

	for (size_t i = 0; m->has_enabled && m->enabled && i < LEN(limits); i++)
		if (limits[i].has)
			return fault_set(reterr_fault, ERR_NOT_IMPLEMENTED, "strict mode's %s", limits[i].name);
	return ERR_NONE;
}
