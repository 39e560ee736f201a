/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds: one description each, named in message.def by CUSTOM(name). They are in
 * message_kinds.c (ids, payloads, selectors), message_vectors.c, message_filter.c and
 * message_config.c (collections).
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
extern const struct message_custom kind_query;
extern const struct message_custom kind_search_vector;
extern const struct message_custom kind_search_vector_name;
extern const struct message_custom kind_search_vector_indices;

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

/* One id out of a PointId message. */
struct point_id message_point_id_from_proto(struct message_reading *d, struct bytes b);
struct point_id message_point_id_from_json(struct message_reading *d, struct json_reader *r);
void message_point_id_to_json(struct point_id id, struct json_writer *w);
