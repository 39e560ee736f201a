/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message table: what is written as JSON and as protobuf is read back by both and is the same;
 * bytes and words are those of Qdrant; what is wrong or not built is refused.
 */
#include "gateway/message.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gateway/message_random.h"

#define ARENA_BYTES (64u << 20)
#define ROUNDS 60

struct pair {
	const char *name;
	const struct message *in;
	const struct message *out;
};

static const struct pair methods[] = {
#define METHOD(name_, verb, path, grpc, access, reach, place, in_, out_, handler)                  \
	{ .name = #name_, .in = &message_##in_, .out = &message_##out_ },
#define METHOD_LATER(name, verb, path, grpc, access, reach)
#include "gateway/method.def"
#undef METHOD
#undef METHOD_LATER
};

static struct str text_of(const char *s)
{
	return (struct str){ .data = s, .len = strlen(s) };
}

static bool is_ready_made(const struct message *m)
{
	enum message_shape s = message_shape(m);
	return s == SHAPE_TEXT || s == SHAPE_JSON_RESULT || s == SHAPE_JSON_DOCUMENT;
}

static enum err read_json(const struct message *m, struct str text, struct arena *a, void **ret,
			  struct fault *fault)
{
	struct json_reader r = json_reader_of(text, a);

	*ret = arena_alloc(a, message_size(m));
	ck_assert_ptr_nonnull(*ret);
	return message_from_json(m, &r, a, *ret, fault);
}

static enum err read_proto(const struct message *m, struct bytes b, struct arena *a, void **ret,
			   struct fault *fault)
{
	*ret = arena_alloc(a, message_size(m));
	ck_assert_ptr_nonnull(*ret);
	return message_from_proto(m, b, a, *ret, fault);
}

static void write_json(const struct message *m, const void *in, struct buf *out)
{
	struct json_writer w = json_writer_to(out);

	message_to_json(m, in, &w);
	ck_assert_int_eq(buf_err(out), ERR_NONE);
}

static void write_proto(const struct message *m, const void *in, struct buf *out)
{
	message_to_proto(m, in, out);
	ck_assert_int_eq(buf_err(out), ERR_NONE);
}

/* What JSON does not carry: parameters, and fields of protobuf alone. */
static void copy_outside_json(const struct message *m, const void *from, void *to)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		bool outside = row->role == ROLE_PARAM || (row->role == ROLE_FIELD && !row->json);
		if (!outside)
			continue;
		memcpy((char *)to + row->offset, (const char *)from + row->offset,
		       message_kind_size(row));
		if (message_has(row, from))
			message_set_has(row, to);
	}
}

static void assert_same(const struct buf *a, const struct buf *b, const char *name,
			const char *what)
{
	ck_assert_msg(a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0),
		      "%s: %s differ:\n%.*s\n%.*s", name, what, STR_FMT(buf_str(a)),
		      STR_FMT(buf_str(b)));
}

static void round_trip(const struct message *m, uint64_t seed, struct arena *a)
{
	struct message_random r = { .state = seed, .arena = a };
	CLEANUP(buf_release)
	struct buf p1 = BUF_INIT(1u << 24), p2 = p1, p3 = p1, j1 = p1, j2 = p1, j3 = p1;
	struct fault fault = { 0 };
	void *made = arena_alloc(a, message_size(m)), *from_proto, *from_json;

	random_message(&r, m, true, made);
	write_proto(m, made, &p1);
	ck_assert_msg(read_proto(m, buf_bytes(&p1), a, &from_proto, &fault) == ERR_NONE, "%s: %s",
		      m->name, fault.text);
	write_proto(m, from_proto, &p2);
	assert_same(&p1, &p2, m->name, "protobuf written and read");

	write_json(m, made, &j1);
	write_json(m, from_proto, &j2);
	assert_same(&j1, &j2, m->name, "JSON of what was read as protobuf");
	if (message_has_body(m)) {
		ck_assert_msg(read_json(m, buf_str(&j1), a, &from_json, &fault) == ERR_NONE,
			      "%s: %s\n%.*s", m->name, fault.text, STR_FMT(buf_str(&j1)));
		copy_outside_json(m, made, from_json);
		write_json(m, from_json, &j3);
		assert_same(&j1, &j3, m->name, "JSON written and read");
		write_proto(m, from_json, &p3);
		assert_same(&p1, &p3, m->name, "protobuf of what was read as JSON");
	}
}

START_TEST(every_message_of_a_method_is_the_same_in_json_and_protobuf)
{
	const struct pair *p = &methods[_i];

	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		CLEANUP(arena_release) struct arena a;
		arena_init(&a, ARENA_BYTES);
		if (!is_ready_made(p->in))
			round_trip(p->in, seed * 7919, &a);
		if (!is_ready_made(p->out))
			round_trip(p->out, seed * 104729, &a);
	}
}
END_TEST

/* Random damage never does more than be refused. */
START_TEST(damaged_bytes_are_refused_or_read_but_nothing_else)
{
	const struct pair *p = &methods[_i];

	for (uint64_t seed = 1; seed <= ROUNDS && !is_ready_made(p->in); seed++) {
		CLEANUP(arena_release) struct arena a;
		CLEANUP(buf_release) struct buf proto = BUF_INIT(1u << 24), json = proto;
		arena_init(&a, ARENA_BYTES);
		struct message_random r = { .state = seed * 31, .arena = &a };
		void *made = arena_alloc(&a, message_size(p->in)), *got;
		random_message(&r, p->in, true, made);
		write_proto(p->in, made, &proto);
		write_json(p->in, made, &json);
		for (uint32_t n = 0; n < 20; n++) {
			struct fault fault = { 0 };
			if (proto.len > 0)
				proto.data[random_below(&r, (uint32_t)proto.len)] ^=
					(uint8_t)(1 << random_below(&r, 8));
			json.data[random_below(&r, (uint32_t)json.len)] ^=
				(uint8_t)(1 << random_below(&r, 8));
			enum err e = read_proto(p->in, buf_bytes(&proto), &a, &got, &fault);
			ck_assert(e == ERR_NONE || fault.text[0]);
			e = read_json(p->in, buf_str(&json), &a, &got, &fault);
			ck_assert(e == ERR_NONE || fault.text[0]);
		}
	}
}
END_TEST

/* ---- known bytes, from Qdrant's field numbers ---- */

struct known {
	const struct message *message;
	const char *json;
	const char *bytes; /* hexadecimal, spaces between fields */
};

static const struct known knowns[] = {
	{ &message_points_search, "{\"vector\":[1.0],\"params\":{},\"limit\":3}",
	  "12040000803f 3a00 2003" },
	{ &message_points_search,
	  "{\"vector\":{\"name\":\"s\",\"vector\":{\"indices\":[7],\"values\":[1.0]}},\"params\":{},\"limit\":300}",
	  "12040000803f 520173 7a030a0107 3a00 20ac02" },
	{ &message_points_query,
	  "{\"query\":[1.0],\"params\":{},\"limit\":3,\"with_payload\":true}",
	  "1a0a0a0812060a040000803f 3200 4003 5a020801" },
	{ &message_points_query, "{\"query\":5,\"params\":{}}", "1a060a040a020805 3200" },
	{ &message_points_count, "{\"exact\":false}", "1800" },
	{ &message_points_retrieve,
	  "{\"ids\":[1],\"with_payload\":{\"include\":[\"a\"]},\"with_vector\":[\"v\"]}",
	  "12020801 2205 1203 0a0161 2a05 1203 0a0176" },
	{ &message_points_select, "{\"points\":[1,2],\"filter\":{}}",
	  "1a0c 0a08 0a020801 0a020802 1200 2200" },
	{ &message_points_select,
	  "{\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{\"value\":\"b\"}}]}}",
	  "1a0e 120c 120a 0a08 0a0161 12030a0162 2200" },
	{ &message_collection_create, "{\"vectors\":{\"size\":4,\"distance\":\"Cosine\"}}",
	  "5206 0a04 0804 1001" },
	{ &message_collection_create, "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"}}}",
	  "520d 120b 0a09 0a0161 1204 0804 1003" },
	{ &message_collection_create, "{\"sparse_vectors\":{\"s\":{}}}",
	  "820107 0a05 0a0173 1200" },
	{ &message_index_create, "{\"field_name\":\"k\",\"field_schema\":\"keyword\"}",
	  "1a016b 2000 3200" },
	{ &message_index_create,
	  "{\"field_name\":\"k\",\"field_schema\":{\"type\":\"integer\",\"lookup\":true,\"range\":false}}",
	  "1a016b 2001 2a06 1204 0801 1000 3200" },
	{ &message_update_reply, "{\"operation_id\":5,\"status\":\"completed\"}",
	  "0a04 0805 1002" },
	{ &message_scroll_reply, "{\"points\":[],\"next_page_offset\":7}", "0a020807" },
	{ &message_collection_exists_reply, "{\"exists\":true}", "0a020801" },
	{ &message_bool_reply, "true", "0801" },
	{ &message_count_reply, "{\"count\":300}", "0a03 08ac02" },
	{ &message_search_reply,
	  "[{\"id\":1,\"version\":2,\"score\":0.5,\"payload\":{\"a\":1},\"vector\":[1.0]}]",
	  "0a21 0a020801 2802 1d0000003f 1207 0a0161 12021801 320b 0a09 aa0606 0a040000803f" },
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (const char *p = hex; *p; p++) {
		if (*p == ' ')
			continue;
		char two[3] = { p[0], p[1], 0 };
		out[n++] = (uint8_t)strtoul(two, NULL, 16);
		p++;
	}
	return n;
}

START_TEST(bytes_are_those_of_qdrants_field_numbers)
{
	const struct known *k = &knowns[_i];
	CLEANUP(arena_release) struct arena a;
	CLEANUP(buf_release) struct buf proto = BUF_INIT(1u << 16), json = proto;
	uint8_t expected[256];
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex(k->bytes, expected);
	ck_assert_msg(read_json(k->message, text_of(k->json), &a, &m, &fault) == ERR_NONE, "%s: %s",
		      k->json, fault.text);
	write_proto(k->message, m, &proto);
	ck_assert_msg(proto.len == len && memcmp(proto.data, expected, len) == 0, "%s: other bytes",
		      k->json);
	/* A parameter that must be there is not in these bytes. */
	enum err e = read_proto(k->message, (struct bytes){ .data = expected, .len = len }, &a, &m,
				&fault);
	ck_assert_msg(e == ERR_NONE || strncmp(fault.text, "[collection_name:", 17) == 0, "%s: %s",
		      k->json, fault.text);
	write_json(k->message, m, &json);
	ck_assert_msg(json.len == strlen(k->json) && memcmp(json.data, k->json, json.len) == 0,
		      "%s became %.*s", k->json, STR_FMT(buf_str(&json)));
}
END_TEST

/* ---- refused JSON ---- */

struct refused {
	const struct message *message;
	const char *json;
	enum err err;
	const char *words;
};

static const struct refused refusals[] = {
	{ &message_points_search, "", ERR_BAD_REQUEST, "expected an object at line 1 column 1" },
	{ &message_points_search, "[]", ERR_BAD_REQUEST, "expected an object at line 1 column 1" },
	{ &message_points_search, "{\"vector\":[1]", ERR_BAD_REQUEST,
	  "expected `,` or `}` at line 1 column 14" },
	{ &message_points_search, "{\"vector\":[1],\"limit\":1} x", ERR_BAD_REQUEST,
	  "trailing characters at line 1 column 26" },
	{ &message_points_search, "{\"vector\":[1]}", ERR_BAD_REQUEST,
	  "missing field `limit` at line 1 column 15" },
	{ &message_points_search, "{\"limit\":1}", ERR_BAD_REQUEST,
	  "missing field `vector` at line 1 column 12" },
	{ &message_points_search, "{\"vector\":[1],\"limit\":0}", ERR_VALIDATION,
	  "[limit: value 0 invalid, must be 1 or larger]" },
	{ &message_points_search, "{\"vector\":[1],\"limit\":1,\"params\":{\"hnsw_ef\":0}}",
	  ERR_VALIDATION, "[params.hnsw_ef: value 0 invalid, must be 1 or larger]" },
	{ &message_points_search, "{\"vector\":[[1]],\"limit\":1}", ERR_BAD_REQUEST,
	  "expected a vector: points/query takes multivectors at line 1 column 11" },
	{ &message_points_search, "{\"vector\":[1],\"limit\":1,\"shard_key\":\"a\"}",
	  ERR_NOT_IMPLEMENTED, "shard keys (shard_key)" },
	{ &message_points_query, "{\"query\":{}}", ERR_BAD_INPUT,
	  "exactly one of the forms of query is to be given, not 0" },
	{ &message_points_query, "{\"query\":{\"mmr\":{}}}", ERR_BAD_INPUT,
	  "exactly one of the forms of query is to be given, not 0" },
	{ &message_points_query, "{\"query\":{\"fusion\":\"rrf\",\"sample\":\"random\"}}", ERR_BAD_INPUT,
	  "exactly one of the forms of query is to be given, not 2" },
	{ &message_points_query, "{\"query\":{\"fusion\":\"sum\"}}", ERR_BAD_REQUEST,
	  "unknown variant `sum` at line 1 column 25" },
	{ &message_points_query, "{\"query\":{\"nearest\":[1],\"mmr\":{\"diversity\":1.5}}}", ERR_VALIDATION,
	  "[query.mmr.diversity: value 1.5 invalid, must be from 0 to 1]" },
	{ &message_points_query, "{\"query\":{\"nearest\":[1],\"mmr\":{\"candidates_limit\":16385}}}", ERR_VALIDATION,
	  "[query.mmr.candidates_limit: value 16385 invalid, must be from 0 to 16384]" },
	{ &message_points_query, "{\"query\":{\"rrf\":{\"k\":0}}}", ERR_VALIDATION,
	  "[query.rrf.k: value 0 invalid, must be 1 or larger]" },
	{ &message_points_query, "{\"query\":{\"discover\":{\"target\":1}}}", ERR_BAD_REQUEST,
	  "missing field `context` at line 1 column 34" },
	{ &message_points_query, "{\"query\":{\"context\":[{\"positive\":1}]}}", ERR_BAD_REQUEST,
	  "missing field `negative` at line 1 column 36" },
	{ &message_points_query, "{\"prefetch\":{\"limit\":0}}", ERR_VALIDATION,
	  "[prefetch.limit: value 0 invalid, must be 1 or larger]" },
	{ &message_points_query, "{\"prefetch\":[{\"prefetch\":{\"params\":{\"hnsw_ef\":0}}}]}", ERR_VALIDATION,
	  "[prefetch.prefetch.params.hnsw_ef: value 0 invalid, must be 1 or larger]" },
	{ &message_points_query, "{\"query\":{\"formula\":{\"sum\":1}}}", ERR_BAD_REQUEST,
	  "expected an array at line 1 column 28" },
	{ &message_points_query, "{\"query\":{\"formula\":{\"div\":{\"left\":1}}}}", ERR_BAD_REQUEST,
	  "missing field `right` at line 1 column 38" },
	{ &message_points_query, "{\"query\":{\"formula\":{\"exp_decay\":{}}}}", ERR_BAD_REQUEST,
	  "missing field `x` at line 1 column 36" },
	{ &message_points_query, "{\"query\":{\"formula\":{\"nope\":1}}}", ERR_BAD_REQUEST, NULL },
	{ &message_points_query, "{\"query\":{\"formula\":1e39}}", ERR_BAD_REQUEST, NULL },
	{ &message_points_query, "{\"query\":{\"formula\":{\"sum\":[null]}}}", ERR_BAD_REQUEST,
	  "expected a number, a variable, an expression or a condition at line 1 column 29" },
	{ &message_points_query, "{\"query\":{\"formula\":{\"neg\":[{\"has_id\":[1]}]}}}", ERR_BAD_REQUEST,
	  "expected a number, a variable, an expression or a condition at line 1 column 28" },
	{ &message_points_query,
	  "{\"query\":{\"formula\":{\"geo_distance\":{\"origin\":{\"lon\":1,\"lat\":91},\"to\":\"a\"}}}}", ERR_BAD_INPUT,
	  "Wrong format of GeoPoint payload: expected `lat` within [-90;90] and `lon` within [-180;180]" },
	{ &message_points_query, "{\"query\":{\"order_by\":{\"direction\":\"asc\"}}}", ERR_BAD_REQUEST,
	  "missing field `key` at line 1 column 41" },
	{ &message_points_query, "{\"query\":{\"order_by\":\"\"}}", ERR_VALIDATION,
	  "[query.order_by.key: length 0 invalid, must be 1 bytes or more]" },
	{ &message_points_query,
	  "{\"query\":{\"relevance_feedback\":{\"target\":1,\"feedback\":[],\"strategy\":{\"naive\":{\"a\":1,\"b\":-1,\"c\":1}}}}}",
	  ERR_VALIDATION,
	  "[query.relevance_feedback.strategy.naive.b: value -1 invalid, must be 0 or larger]" },
	{ &message_points_query_groups, "{\"query\":1}", ERR_BAD_REQUEST,
	  "missing field `group_by` at line 1 column 12" },
	{ &message_points_query_groups, "{\"group_by\":\"a\",\"with_lookup\":\"\"}", ERR_VALIDATION,
	  "[with_lookup.collection: length 0 invalid, must be from 1 to 255 bytes]" },
	{ &message_search_matrix, "{\"sample\":1}", ERR_VALIDATION,
	  "[sample: value 1 invalid, must be 2 or larger]" },
	{ &message_points_query, "{\"query\":{\"text\":\"a\",\"model\":\"b\"}}",
	  ERR_NOT_IMPLEMENTED, "vectors inferred from text, images or objects (query)" },
	{ &message_points_query, "{\"query\":-5}", ERR_BAD_REQUEST,
	  "value -5 is not a valid point ID, valid values are either an unsigned integer or a UUID at line 1 column 12" },
	{ &message_points_query, "{\"with_payload\":{\"include\":[\"a\"],\"x\":1}}",
	  ERR_BAD_REQUEST, "expected either `include` or `exclude` at line 1 column 38" },
	{ &message_points_query, "{\"with_payload\":[\"a..b\"]}", ERR_BAD_INPUT,
	  "`a..b` is not a payload path" },
	{ &message_points_query_batch, "{\"searches\":[{},{\"limit\":0}]}", ERR_VALIDATION,
	  "[searches[1].limit: value 0 invalid, must be 1 or larger]" },
	{ &message_points_upsert, "{}", ERR_BAD_REQUEST,
	  "missing field `points` at line 1 column 3" },
	{ &message_points_upsert, "{\"points\":[{\"vector\":[1]}]}", ERR_BAD_REQUEST,
	  "missing field `id` at line 1 column 26" },
	{ &message_points_upsert, "{\"points\":[{\"id\":\"x\",\"vector\":[1]}]}", ERR_BAD_REQUEST,
	  "value x is not a valid point ID, valid values are either an unsigned integer or a UUID at line 1 column 21" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":[1e99]}]}", ERR_BAD_REQUEST,
	  NULL },
	{ &message_points_upsert,
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1,1],\"values\":[1,2]}}}]}",
	  ERR_VALIDATION, "[points[0].vector.s.indices: must be unique]" },
	{ &message_points_upsert,
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1],\"values\":[1,2]}}}]}",
	  ERR_VALIDATION, "[points[0].vector.s.values: must be the same length as indices]" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":[]}]}",
	  ERR_BAD_REQUEST, "expected an object at line 1 column 43" },
	{ &message_points_upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1],[2]]}}", ERR_VALIDATION,
	  "[batch: number of ids and vectors must be equal (1 != 2)]" },
	{ &message_points_upsert, "{\"batch\":{\"ids\":[1],\"vectors\":[[1]],\"payloads\":[]}}",
	  ERR_VALIDATION, "[batch: number of ids and payloads must be equal (1 != 0)]" },
	{ &message_points_upsert, "{\"points\":[],\"update_mode\":\"insert\"}", ERR_BAD_REQUEST,
	  "unknown variant `insert` at line 1 column 36" },
	{ &message_points_upsert, "{\"points\":[],\"update_filter\":[]}", ERR_BAD_REQUEST, NULL },
	{ &message_payload_set, "{\"payload\":{},\"points\":[1],\"key\":7}", ERR_BAD_REQUEST,
	  "expected a string at line 1 column 34" },
	{ &message_vectors_delete, "{\"points\":[1],\"vector\":[]}", ERR_VALIDATION,
	  "[vector: length 0 invalid, must be 1 items or more]" },
	{ &message_points_batch, "{\"operations\":[{}]}", ERR_BAD_INPUT,
	  "exactly one of the forms of update_operation is to be given, not 0" },
	{ &message_points_batch,
	  "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1,\"vector\":[[1],[1,2]]}]}}]}",
	  ERR_VALIDATION, "[operations[0].upsert.points[0].vector: all vectors must have the same dimension, found one of "
			  "size 2, expected 1]" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":[[1],[]]}]}", ERR_VALIDATION,
	  "[points[0].vector: all vectors must be non-empty]" },
	{ &message_collection_create, "{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}",
	  ERR_VALIDATION, "[vectors.size: value 0 invalid, must be from 1 to 65536]" },
	{ &message_collection_create,
	  "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\",\"hnsw_config\":{\"ef_construct\":2}}}}",
	  ERR_VALIDATION,
	  "[vectors.a.hnsw_config.ef_construct: value 2 invalid, must be 4 or larger]" },
	{ &message_collection_create, "{\"hnsw_config\":{\"ef_construct\":2}}", ERR_VALIDATION,
	  "[hnsw_config.ef_construct: value 2 invalid, must be 4 or larger]" },
	{ &message_collection_create, "{\"vectors\":{\"size\":4,\"distance\":\"Hamming\"}}",
	  ERR_BAD_REQUEST, "unknown variant `Hamming` at line 1 column 42" },
	{ &message_collection_create,
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"datatype\":\"turbo4\"}}",
	  ERR_NOT_IMPLEMENTED, "datatype turbo4 (vectors.datatype)" },
	{ &message_collection_create,
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"multivector_config\":{}}}",
	  ERR_BAD_REQUEST, "missing field `comparator` at line 1 column 62" },
	{ &message_collection_create, "{\"sharding_method\":\"custom\"}", ERR_NOT_IMPLEMENTED,
	  "custom sharding (sharding_method)" },
	{ &message_collection_create, "{\"strict_mode_config\":{\"max_query_limit\":0}}", ERR_VALIDATION,
	  "[strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]" },
	{ &message_collection_create, "{\"shard_number\":4294967296}", ERR_BAD_REQUEST,
	  "invalid value: integer `4294967296`, expected u32 at line 1 column 27" },
	{ &message_collection_create, "{\"quantization_config\":{}}", ERR_BAD_INPUT,
	  "exactly one of the forms of quantization_config is to be given, not 0" },
	{ &message_index_create, "{\"field_name\":\"a\",\"field_schema\":\"word\"}",
	  ERR_BAD_REQUEST,
	  "data did not match any variant of untagged enum PayloadFieldSchema at line 1 column 40" },
	{ &message_index_create,
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{\"language\":\"english\"}}}",
	  ERR_BAD_REQUEST, NULL },
	{ &message_index_create,
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{\"type\":\"snowball\"}}}",
	  ERR_BAD_REQUEST, NULL },
	{ &message_index_create, "{\"field_name\":\"\",\"field_schema\":\"text\"}", ERR_VALIDATION,
	  "[field_name: length 0 invalid, must be 1 bytes or more]" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1}]}", ERR_BAD_REQUEST,
	  "missing field `vector` at line 1 column 20" },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"vector\":null}]}", ERR_BAD_REQUEST, NULL },
	{ &message_points_upsert, "{\"points\":[{\"id\":1,\"id\":2,\"vector\":[1]}]}", ERR_BAD_REQUEST,
	  "duplicate field `id` at line 1 column 25" },
	{ &message_points_upsert, "{\"points\":[],\"points\":[]}", ERR_BAD_REQUEST,
	  "duplicate field `points` at line 1 column 23" },
};

START_TEST(wrong_json_is_refused_in_these_words)
{
	const struct refused *c = &refusals[_i];
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	enum err e = read_json(c->message, text_of(c->json), &a, &m, &fault);
	ck_assert_msg(e == c->err, "%s: %s: %s", c->json, err_name(e), fault.text);
	if (c->words)
		ck_assert_str_eq(fault.text, c->words);
	else
		ck_assert(fault.text[0]);
}
END_TEST

/* ---- refused protobuf ---- */

struct refused_bytes {
	const struct message *message;
	const char *bytes;
	enum err err;
	const char *words;
};

static const struct refused_bytes refused_bytes[] = {
	{ &message_points_search, "0a", ERR_BAD_REQUEST, NULL },
	{ &message_points_search, "0a0163 2003", ERR_BAD_INPUT, "vector is missing" },
	{ &message_points_search, "12040000803f 2003", ERR_VALIDATION,
	  "[collection_name: length 0 invalid, must be from 1 to 255 bytes]" },
	{ &message_points_search, "0a0163 1203000080 2003", ERR_BAD_REQUEST,
	  "failed to decode Protobuf message: vector: invalid wire format" },
	{ &message_points_search, "0a0163 12040000c07f 2003", ERR_BAD_INPUT,
	  "a vector has a component that is not a finite number" },
	{ &message_points_search, "0a0163 12040000803f", ERR_VALIDATION,
	  "[limit: value 0 invalid, must be 1 or larger]" },
	{ &message_points_search, "0a02c328 12040000803f 2001", ERR_BAD_REQUEST,
	  "failed to decode Protobuf message: collection_name: invalid wire format" },
	{ &message_points_query, "0a0163 1a00", ERR_BAD_INPUT,
	  "exactly one of the forms of query is to be given, not 0" },
	{ &message_points_query, "0a0163 1a04 30003800", ERR_BAD_INPUT,
	  "exactly one of the forms of query is to be given, not 2" },
	{ &message_points_query, "0a0163 1a02 0a00", ERR_BAD_INPUT, "a vector input is empty" },
	{ &message_points_query, "0a0163 1a023005", ERR_BAD_INPUT, "fusion: unknown value 5" },
	{ &message_points_query, "0a0163 1a02 4200", ERR_BAD_INPUT, "expression is missing" },
	{ &message_points_query, "0a0163 1a04 42020a00", ERR_BAD_INPUT, "an expression of a formula is empty" },
	{ &message_points_query, "0a0163 1a09 4207 0a05 0d0000807f", ERR_BAD_INPUT,
	  "a number of a formula is not finite" },
	{ &message_points_query, "0a0163 1a06 4204 0a02 4a00", ERR_BAD_INPUT, "an expression lacks an operand" },
	{ &message_points_query, "0a0163 120138", ERR_BAD_REQUEST, NULL },
	{ &message_points_upsert, "0a0163 1a00", ERR_BAD_INPUT, "id is missing" },
	{ &message_points_upsert, "0a0163 1a04 0a020801", ERR_BAD_INPUT, "Expected some vectors" },
	{ &message_points_upsert, "0a0163 1a04 0a021201", ERR_BAD_REQUEST, NULL },
	{ &message_points_upsert, "0a0163 1a05 0a03 120178", ERR_BAD_INPUT,
	  "Unable to parse UUID: x" },
	{ &message_points_upsert, "0a0163 1a0a 0a020801 2204 0a021803", ERR_VALIDATION,
	  "[points[0].vector: 0 values are not those of 3 vectors of one dimension]" },
	{ &message_points_upsert, "0a0163 3203 0a0100", ERR_BAD_REQUEST, NULL },
	{ &message_points_upsert, "0a0163 4009", ERR_BAD_INPUT, "update_mode: unknown value 9" },
	{ &message_collection_create, "0a0163 5204 0a020804", ERR_BAD_INPUT,
	  "distance: unknown value 0" },
	{ &message_points_batch, "0a0163 1a021200", ERR_NOT_IMPLEMENTED, NULL },
};

START_TEST(wrong_protobuf_is_refused_in_these_words)
{
	const struct refused_bytes *c = &refused_bytes[_i];
	CLEANUP(arena_release) struct arena a;
	uint8_t bytes[256];
	struct fault fault = { 0 };
	void *m;

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex(c->bytes, bytes);
	enum err e =
		read_proto(c->message, (struct bytes){ .data = bytes, .len = len }, &a, &m, &fault);
	ck_assert_msg(e == c->err, "%s: %s: %s", c->bytes, err_name(e), fault.text);
	if (c->words)
		ck_assert_str_eq(fault.text, c->words);
	else
		ck_assert(fault.text[0]);
}
END_TEST

/* ---- details ---- */

START_TEST(null_and_nothing_count_as_absent)
{
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { 0 };
	void *got;

	arena_init(&a, ARENA_BYTES);
	struct str text = STR(
		"{\"query\":null,\"filter\":null,\"prefetch\":[ ],\"shard_key\":null,\"limit\":null,\"unknown\":{}}");
	ck_assert_msg(read_json(&message_points_query, text, &a, &got, &fault) == ERR_NONE, "%s",
		      fault.text);
	const struct msg_points_query *q = got;
	ck_assert(!q->has_query);
	ck_assert(!q->has_filter);
	ck_assert_uint_eq(q->limit, 10);
	ck_assert_int_eq(q->with_payload.kind, WITH_PAYLOAD_NONE);
}
END_TEST

START_TEST(defaults_are_those_of_qdrant)
{
	CLEANUP(arena_release) struct arena a;
	void *got;

	arena_init(&a, ARENA_BYTES);
	ck_assert_int_eq(read_json(&message_points_scroll, STR("{}"), &a, &got, NULL), ERR_NONE);
	const struct msg_points_scroll *s = got;
	ck_assert_uint_eq(s->limit, 10);
	ck_assert_int_eq(s->with_payload.kind, WITH_PAYLOAD_ALL);
	ck_assert_int_eq(s->with_vector.kind, WITH_VECTORS_NONE);
	ck_assert_int_eq(read_proto(&message_points_count,
				    (struct bytes){ .data = (const uint8_t *)"\x0a\x01"
									     "c",
						    .len = 3 },
				    &a, &got, NULL),
			 ERR_NONE);
	const struct msg_points_count *c = got;
	ck_assert(c->exact);
}
END_TEST

/* protobuf: of two occurrences of a message the last one counts, and its lists are its own. */
START_TEST(a_repeated_submessage_replaces_the_first)
{
	CLEANUP(arena_release) struct arena a;
	uint8_t bytes[128];
	struct fault fault = { 0 };
	void *got;

	arena_init(&a, ARENA_BYTES);
	size_t len = unhex("0a0163 1a06 0a04 0a020801 1a0e 0a0c 0a020805 0a020806 0a020807", bytes);
	ck_assert_msg(read_proto(&message_points_select,
				 (struct bytes){ .data = bytes, .len = len }, &a, &got,
				 &fault) == ERR_NONE,
		      "%s", fault.text);
	const struct msg_points_select *s = got;
	ck_assert_uint_eq(s->selector.points.ids.count, 3);
	ck_assert_uint_eq(s->selector.points.ids.items[0].lo, 5);

	/* A selector by ids, then one by filter: the ids are gone. */
	len = unhex("0a0163 1a06 0a04 0a020801 1a02 1200", bytes);
	struct bytes both = { .data = bytes, .len = len };
	ck_assert_int_eq(read_proto(&message_points_select, both, &a, &got, &fault), ERR_NONE);
	s = got;
	ck_assert(s->selector.has_filter && !s->selector.has_points);
}
END_TEST

struct param {
	const char *key, *text;
	enum err err;
	const char *words;
};

static const struct param params[] = {
	{ "nothing", "1", ERR_NOT_FOUND, NULL },
	{ "vector", "1", ERR_NOT_FOUND, NULL },
	{ "wait", "yes", ERR_BAD_REQUEST, "wait: `yes` is not `true` or `false`" },
	{ "timeout", "-1", ERR_BAD_REQUEST, "timeout: `-1` is not a whole number from 0 to 18446744073709551615" },
	{ "timeout", "18446744073709551616", ERR_BAD_REQUEST,
	  "timeout: `18446744073709551616` is not a whole number from 0 to 18446744073709551615" },
	{ "timeout", "0", ERR_VALIDATION, "[timeout: value 0 invalid, must be 1 or larger]" },
	{ "ordering", "firm", ERR_BAD_REQUEST, "ordering: `firm` is not `weak`, `medium` or `strong`" },
	{ "collection_name", "", ERR_VALIDATION,
	  "[collection_name: length 0 invalid, must be from 1 to 255 bytes]" },
	{ "wait", "true", ERR_NONE, NULL },
	{ "timeout", "18446744073709551615", ERR_NONE, NULL },
	{ "ordering", "strong", ERR_NONE, NULL },
	{ "collection_name", "c", ERR_NONE, NULL },
};

START_TEST(one_number_is_found_without_the_rest)
{
	static const char json[] = "{\"vectors\":{\"a\":{\"size\":12,\"distance\":\"Dot\"}},\"shard_number\":3,"
				   "\"write_consistency_factor\":70000,\"metadata\":{\"write_consistency_factor\":9}}";
	CLEANUP(buf_release) struct buf b = BUF_INIT(1024);
	struct fault fault;
	struct arena a;
	uint64_t v = 5;
	void *m;

	arena_init(&a, ARENA_BYTES);
	ck_assert_msg(read_json(&message_collection_create, text_of(json), &a, &m, &fault) == ERR_NONE, "%s", fault.text);
	message_to_proto(&message_collection_create, m, &b);
	ck_assert(message_peek(&message_collection_create, buf_bytes(&b), "write_consistency_factor", &v));
	ck_assert_uint_eq(v, 70000);
	ck_assert(message_peek(&message_collection_create, buf_bytes(&b), "shard_number", &v));
	ck_assert_uint_eq(v, 3);
	ck_assert(!message_peek(&message_collection_create, buf_bytes(&b), "replication_factor", &v));
	struct bytes damaged = { b.data, b.len - 1 };
	ck_assert(!message_peek(&message_collection_create, damaged, "shard_number", &v));
	ck_assert_uint_eq(v, 3);
	arena_release(&a);
}
END_TEST

START_TEST(parameters_are_read_from_text)
{
	const struct param *p = &params[_i];
	CLEANUP(arena_release) struct arena a;
	struct fault fault = { 0 };
	struct msg_points_upsert m = { 0 };

	arena_init(&a, ARENA_BYTES);
	enum err e = message_set_text(&message_points_upsert, &m, text_of(p->key), text_of(p->text),
				      &a, &fault);
	ck_assert_msg(e == p->err, "%s: %s", p->key, err_name(e));
	if (p->words)
		ck_assert_str_eq(fault.text, p->words);
	if (e)
		return;
	if (strcmp(p->key, "wait") == 0)
		ck_assert(m.wait);
	else if (strcmp(p->key, "timeout") == 0)
		ck_assert(m.has_timeout && m.timeout == UINT64_MAX);
	else if (strcmp(p->key, "ordering") == 0)
		ck_assert_int_eq(m.ordering.type, ORDERING_STRONG);
	else
		ck_assert_uint_eq(m.collection_name.len, 1);
}
END_TEST

START_TEST(a_full_arena_is_an_error_and_nothing_else)
{
	struct str text = STR(
		"{\"points\":[{\"id\":1,\"vector\":[1,2,3],\"payload\":{\"a\":\"\\n\"}},{\"id\":2,\"vector\":{}}]}");
	struct msg_points_upsert m;

	for (size_t max = 0; max < 2048; max += 16) {
		CLEANUP(arena_release) struct arena a;
		arena_init(&a, max);
		struct json_reader r = json_reader_of(text, &a);
		struct fault fault = { 0 };
		m = (struct msg_points_upsert){ 0 };
		enum err e = message_from_json(&message_points_upsert, &r, &a, &m, &fault);
		ck_assert_msg(e == ERR_NONE || e == ERR_TOO_LARGE || e == ERR_BAD_REQUEST,
			      "%zu: %s: %s", max, err_name(e), fault.text);
	}
	ck_assert_uint_eq(m.points.count, 2);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("message");
	TCase *refused = tcase_create("refused");
	TCase *ordinary = tcase_create("ordinary");

	tcase_add_loop_test(refused, wrong_json_is_refused_in_these_words, 0, (int)LEN(refusals));
	tcase_add_loop_test(refused, wrong_protobuf_is_refused_in_these_words, 0,
			    (int)LEN(refused_bytes));
	tcase_add_loop_test(refused, damaged_bytes_are_refused_or_read_but_nothing_else, 0,
			    (int)LEN(methods));
	tcase_add_test(refused, a_full_arena_is_an_error_and_nothing_else);
	suite_add_tcase(s, refused);
	tcase_add_loop_test(ordinary, every_message_of_a_method_is_the_same_in_json_and_protobuf, 0,
			    (int)LEN(methods));
	tcase_add_loop_test(ordinary, bytes_are_those_of_qdrants_field_numbers, 0,
			    (int)LEN(knowns));
	tcase_add_test(ordinary, null_and_nothing_count_as_absent);
	tcase_add_test(ordinary, defaults_are_those_of_qdrant);
	tcase_add_test(ordinary, a_repeated_submessage_replaces_the_first);
	tcase_add_test(ordinary, one_number_is_found_without_the_rest);
	tcase_add_loop_test(ordinary, parameters_are_read_from_text, 0, (int)LEN(params));
	tcase_set_timeout(ordinary, 60);
	tcase_set_timeout(refused, 60);
	suite_add_tcase(s, ordinary);
	return s;
}

int main(void)
{
	SRunner *sr = srunner_create(suite());

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
