/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds: one description each, named in message.def by CUSTOM(name). They are in
 * message_kinds.c (ids, payloads, selectors), message_vectors.c, message_query.c, message_expression.c,
 * message_filter.c and message_config.c (collections).
 */
#pragma once

#include "gateway/message_table.h"

/* ids, payloads, selectors */
extern const struct message_custom kind_point_id;
extern const struct message_custom kind_next_page;
extern const struct message_custom kind_payload;
extern const struct message_custom kind_with_payload;
extern const struct message_custom kind_with_vectors;
extern const struct message_custom kind_read_consistency;
extern const struct message_custom kind_facet_value;

/* vectors */
extern const struct message_custom kind_vectors;
extern const struct message_custom kind_points_batch;
extern const struct message_custom kind_search_vector;
extern const struct message_custom kind_search_vector_name;
extern const struct message_custom kind_search_vector_indices;
extern const struct message_custom kind_search_group_vector;

/* queries */
extern const struct message_custom kind_query;
extern const struct message_custom kind_vector_input;
extern const struct message_custom kind_vector_example;
extern const struct message_custom kind_target_vector;
extern const struct message_custom kind_examples;
extern const struct message_custom kind_example_ids;
extern const struct message_custom kind_example_vectors;
extern const struct message_custom kind_context_pairs;
extern const struct message_custom kind_prefetches;
extern const struct message_custom kind_order_by;
extern const struct message_custom kind_start_from;
extern const struct message_custom kind_order_value;
extern const struct message_custom kind_expression;
extern const struct message_custom kind_with_lookup;
extern const struct message_custom kind_group_id;
extern const struct message_custom kind_floats;
extern const struct message_custom kind_numbers;

/* filters */
extern const struct message_custom kind_filter;

/* collections */
extern const struct message_custom kind_vectors_config;
extern const struct message_custom kind_vectors_config_diff;
extern const struct message_custom kind_quantization_diff;
extern const struct message_custom kind_max_threads;
extern const struct message_custom kind_optimizer_status;
extern const struct message_custom kind_field_schema;
extern const struct message_custom kind_field_schema_type;
extern const struct message_custom kind_field_schema_params;
extern const struct message_custom kind_index_params;
extern const struct message_custom kind_stopwords;
extern const struct message_custom kind_stemmer;
extern const struct message_custom kind_keyword_prefix;

/* One vector: dense or sparse by what stands there; and out of the messages Vector, DenseVector, SparseVector. */
struct vector message_vector_from_json(struct message_reading *d, struct json_reader *r);
void message_vector_to_json(const struct vector *v, struct json_writer *w);
struct vector message_vector_from_proto(struct message_reading *d, struct bytes b);
void message_vector_to_proto(const struct vector *v, uint32_t field, struct buf *out);
/* VectorInput{dense=2, sparse=3, multi_dense=4, …}: the vector in one of its fields; false: it is none of a vector's. */
bool message_vector_input_from_proto(struct message_reading *d, uint32_t field, struct bytes b, struct vector *ret_vector);
void message_vector_input_to_proto(const struct vector *v, struct buf *out);
/* All numbers of a field in one piece, packed or not. */
float *message_floats_from_proto(struct message_reading *d, struct bytes b, uint32_t field, uint32_t *ret_count);

/* One id out of a PointId message. */
struct point_id message_point_id_from_proto(struct message_reading *d, struct bytes b);
struct point_id message_point_id_from_json(struct message_reading *d, struct json_reader *r);
void message_point_id_to_json(struct point_id id, struct json_writer *w);
