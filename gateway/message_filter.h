/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two readers and two writers of filters share: the columns of index/filter.def and the building of the
 * tree. Nobody else includes this.
 */
#pragma once

#include "gateway/message_kinds.h"

/* Key and tag of the kind, in its object. */
const char *message_filter_key(enum condition_kind k);
uint32_t message_filter_tag(enum condition_kind k);
/* The kind that has this tag there; CONDITION_COUNT: none. */
enum condition_kind message_filter_by_tag(enum condition_object o, uint32_t tag);

/* The four bounds of struct range, datetime_range and count_range, which lie at the same places: by JSON key, and in the
 * order of protobuf's numbers from 1. */
#define MESSAGE_FILTER_BOUNDS 4
struct message_filter_bound {
	struct str key;
	size_t has, value; /* offsets */
};
extern const struct message_filter_bound message_filter_bounds[MESSAGE_FILTER_BOUNDS];

/* Counts as the tree grows, so that a hostile one ends early; filter_prepare() decides. */
struct filter_builder {
	struct message_reading *d;
	unsigned depth;
	uint32_t conditions;
};

/* A new condition at the end of the list, which may move; NULL: too many, or no memory. */
struct condition *message_filter_add(struct filter_builder *b, struct condition_list *list);
void message_filter_set_key(struct filter_builder *b, struct condition *c, struct str text);
void message_filter_add_text(struct filter_builder *b, struct text_set *set, struct str text);
void message_filter_add_int(struct filter_builder *b, struct int_set *set, int64_t v);
void message_filter_add_id(struct filter_builder *b, struct id_set *set, struct point_id id);
void message_filter_add_point(struct filter_builder *b, struct geo_ring *ring, struct geo_point p);
/* NULL: no memory. */
struct geo_ring *message_filter_add_hole(struct filter_builder *b, struct geo_polygon *g);
/* An inner filter; NULL: too deep, or no memory. Else the caller takes the depth back by b->depth--. */
struct filter *message_filter_inner(struct filter_builder *b);
/* Words when it is not valid: the reader of the format says them. NULL: all is well. */
const char *message_filter_point_words(struct geo_point p);
void message_filter_set_min_count(struct filter *f, uint64_t n);
/* The operators of one field condition: one is the condition, several are alternatives. */
void message_filter_take_operators(struct filter_builder *b, struct condition *c,
				   const struct condition_list *operators);
/* The finished tree into the member. */
void message_filter_take(struct message_reading *d, struct filter *f, void *member);

/* The four functions of the kind; member: const struct filter **. */
void message_filter_from_json(struct message_reading *d, struct json_reader *r, void *member);
void message_filter_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			       void *member);
void message_filter_to_json(const void *member, struct json_writer *w);
void message_filter_to_proto(const void *member, uint32_t field, struct buf *out);
