/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C side of message.def: `struct msg_<name>` with one member per FIELD and PARAM, and
 * `has_<member>` for those that are OPT. By kind a member is
 *
 *   STRING struct str     BOOL bool     U32, U64, F32, F64     TIME double: seconds, the envelope's
 *   ENUM(e) enum e        MESSAGE(m) struct msg_m
 *   STRINGS struct str_list, LIST(m) struct msg_m_list: {items, count}
 *   MAP(m) struct msg_m_map: {keys, items, count}
 *   CUSTOM(k) the type MSG_TYPE_k below          CUSTOMS(point_id) struct point_id_list
 *
 * Included by message.h only.
 */
#pragma once

#include "index/collection.h"

/* ---- enums: message_enum.def ---- */

#define ENUM_BEGIN(name) enum name {
#define WORD(name, constant, number, word) constant = (number),
#define WORD_LATER(name, number, word, words)
#define ENUM_END(name)                                                                             \
	}                                                                                          \
	;
#define ENUM_OF_INDEX_BEGIN(name)
#define WORD_OF_INDEX(name, constant, number, word)                                                \
	_Static_assert(constant == (number), "the number on the wire is that of index/");
#define ENUM_OF_INDEX_END(name)
#include "gateway/message_enum.def"
#undef ENUM_BEGIN
#undef WORD
#undef WORD_LATER
#undef ENUM_END
#undef ENUM_OF_INDEX_BEGIN
#undef WORD_OF_INDEX
#undef ENUM_OF_INDEX_END

/* ---- what the CUSTOM kinds are in C ---- */

struct str_list {
	struct str *items;
	uint32_t count;
};

struct point_id_list {
	struct point_id *items;
	uint32_t count;
};

/* The vectors of a point; "" is the default one. Of requests they are checked: finite numbers;
 * sparse indices unique and ascending. */
struct vector_list {
	struct named_vector *items;
	uint32_t count;
};

enum with_payload_kind {
	WITH_PAYLOAD_NONE,
	WITH_PAYLOAD_ALL,
	WITH_PAYLOAD_INCLUDE,
	WITH_PAYLOAD_EXCLUDE
};
struct with_payload {
	enum with_payload_kind kind;
	uint32_t count;
	struct path *paths;
};

enum with_vectors_kind { WITH_VECTORS_NONE, WITH_VECTORS_ALL, WITH_VECTORS_NAMED };
struct with_vectors {
	enum with_vectors_kind kind;
	uint32_t count;
	struct str *names;
};

/* A vector, or a point whose vector is meant. */
enum input_kind { INPUT_VECTOR, INPUT_POINT };
struct vector_input {
	enum input_kind kind;
	struct vector vector;
	struct point_id id;
};
struct vector_input_list {
	struct vector_input *items;
	uint32_t count;
};

/* Of what refers to itself the list has a type of its own. */
struct msg_context_pair;
struct context_pair_list {
	struct msg_context_pair *items;
	uint32_t count;
};
struct msg_prefetch;
struct prefetch_list {
	struct msg_prefetch *items;
	uint32_t count;
};
struct msg_query;
struct msg_order_by;
struct msg_lookup_with;
struct expression;

struct float_list {
	float *items;
	uint32_t count;
};
struct number_list {
	uint64_t *items;
	uint32_t count;
};

/* DATETIME: text, as the client gave it. */
enum start_kind { START_INT, START_FLOAT, START_DATETIME, START_TIMESTAMP };
struct start_from {
	enum start_kind kind;
	int64_t integer; /* TIMESTAMP: microseconds */
	double number;
	struct str text;
};

enum group_id_kind { GROUP_UNSIGNED, GROUP_INT, GROUP_STRING };
struct group_id {
	enum group_id_kind kind;
	uint64_t number; /* INT: as int64_t */
	struct str text;
};

/* The vector of the older searches, with its name. */
struct search_vector {
	struct str name;
	struct vector vector;
};

enum read_consistency_kind { READ_FACTOR, READ_MAJORITY, READ_QUORUM, READ_ALL };
struct read_consistency {
	enum read_consistency_kind kind;
	uint32_t factor; /* of READ_FACTOR; 0: not given */
};

/* Empty: all is well. */
struct optimizer_status {
	struct str error;
};

struct max_threads {
	bool automatic;
	uint64_t value;
};

/* The first id of the next page; JSON writes null when there is none. */
struct next_page {
	bool has;
	struct point_id id;
};

struct msg_stopwords_set;

/* Is the index to serve prefixes? */
struct keyword_prefix {
	int enabled;
};

/* Snowball's of a language, or none. */
struct stemmer {
	struct str language; /* "": none */
};

/* A type, and its parameters if they were given: the member of that type is there, no other. */
struct msg_index_params;
struct index_schema {
	enum field_schema type;
	const struct msg_index_params *params; /* or NULL */
};

#define MSG_TYPE_point_id struct point_id
#define MSG_TYPE_payload struct value /* always an object */
#define MSG_TYPE_vectors struct vector_list
#define MSG_TYPE_filter const struct filter *
#define MSG_TYPE_with_payload struct with_payload
#define MSG_TYPE_with_vectors struct with_vectors
#define MSG_TYPE_query const struct msg_query *
#define MSG_TYPE_vector_input struct vector_input
#define MSG_TYPE_vector_example struct vector_input
#define MSG_TYPE_target_vector struct vector_input
#define MSG_TYPE_examples struct vector_input_list
#define MSG_TYPE_context_pairs struct context_pair_list
#define MSG_TYPE_prefetches struct prefetch_list
#define MSG_TYPE_order_by const struct msg_order_by *
#define MSG_TYPE_start_from struct start_from
#define MSG_TYPE_order_value struct order_value
#define MSG_TYPE_expression struct expression *
#define MSG_TYPE_with_lookup const struct msg_lookup_with *
#define MSG_TYPE_group_id struct group_id
#define MSG_TYPE_floats struct float_list
#define MSG_TYPE_numbers struct number_list
#define MSG_TYPE_search_vector struct search_vector
#define MSG_TYPE_search_group_vector struct search_vector
#define MSG_TYPE_read_consistency struct read_consistency
#define MSG_TYPE_optimizer_status struct optimizer_status
#define MSG_TYPE_max_threads struct max_threads
#define MSG_TYPE_next_page struct next_page
#define MSG_TYPE_field_schema struct index_schema
#define MSG_TYPE_index_params const struct msg_index_params *
#define MSG_TYPE_facet_value struct field_value
#define MSG_TYPE_stopwords const struct msg_stopwords_set *
#define MSG_TYPE_stemmer struct stemmer
#define MSG_TYPE_keyword_prefix struct keyword_prefix
#define MSG_TYPE_quantization_diff struct msg_quantization_diff
/* "" names the unnamed vector. */
#define MSG_TYPE_vectors_config struct msg_vector_params_map
#define MSG_TYPE_vectors_config_diff struct msg_vector_params_diff_map

/* ---- the structs ---- */

#define MSG_C_STRING struct str
#define MSG_C_BOOL bool
#define MSG_C_U32 uint32_t
#define MSG_C_U64 uint64_t
#define MSG_C_F32 float
#define MSG_C_F64 double
#define MSG_C_TIME double
#define MSG_C_ENUM(name) enum name
#define MSG_C_STRINGS struct str_list
#define MSG_C_MESSAGE(message) struct msg_##message
#define MSG_C_LIST(message) struct msg_##message##_list
#define MSG_C_MAP(message) struct msg_##message##_map
#define MSG_C_CUSTOM(kind) MSG_TYPE_##kind
#define MSG_C_CUSTOMS(kind) struct kind##_list

#define MSG_HAS_NO_FLAG(member)
#define MSG_HAS_FLAG(member) bool has_##member;
#define MSG_HAS_REQ MSG_HAS_NO_FLAG
#define MSG_HAS_OPT MSG_HAS_FLAG
#define MSG_HAS_DEF(value) MSG_HAS_NO_FLAG

#define MESSAGE_BEGIN(message, shape) struct msg_##message {
#define FIELD(message, member, json, proto, kind, presence, range)                                 \
	MSG_HAS_##presence(member) MSG_C_##kind member;
#define PARAM(message, member, json, proto, kind, presence, range)                                 \
	MSG_HAS_##presence(member) MSG_C_##kind member;
#define VIEW(...)
#define ALIAS(...)
#define LATER(...)
#define MESSAGE_END(message)                                                                       \
	}                                                                                          \
	;                                                                                          \
	struct msg_##message##_list {                                                              \
		struct msg_##message *items;                                                       \
		uint32_t count;                                                                    \
	};                                                                                         \
	struct msg_##message##_map {                                                               \
		struct str *keys;                                                                  \
		struct msg_##message *items;                                                       \
		uint32_t count;                                                                    \
	};
#include "gateway/message.def"
#undef MESSAGE_BEGIN
#undef FIELD
#undef PARAM
#undef VIEW
#undef ALIAS
#undef LATER
#undef MESSAGE_END
