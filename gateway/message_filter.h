/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two readers and two writers of filters share: the columns of index/filter.def, the
 * conditions that are known and not built, and the building of the tree. Nobody else includes
 * this.
 */
#pragma once

#include "gateway/message_kinds.h"

/* Which object of the wire a key or tag belongs to. */
enum filter_object { FILTER_MATCH, FILTER_FIELD, FILTER_CONDITION };

/* Key and tag of the kind, in whichever object it has them. */
const char *message_filter_key(enum condition_kind k);
uint32_t message_filter_tag(enum condition_kind k);
bool message_filter_is_match(enum condition_kind k);
/* With those of Match. */
bool message_filter_is_field(enum condition_kind k);
/* The words for what is not built, by key or by tag; NULL: it is not one of those. */
const char *message_filter_later_key(enum filter_object o, struct str key);
const char *message_filter_later_field(enum filter_object o, uint32_t field);

/* Counts as the tree grows, so that a hostile one ends early; filter_prepare() decides. */
struct filter_builder {
	struct message_reading *d;
	unsigned depth;
	uint32_t conditions;
};

/* A new condition at the end of the list, which may move; NULL: too many, or no memory. */
struct condition *message_filter_add(struct filter_builder *b, struct condition_list *list);
/* False: too deep. Else the caller takes it back by b->depth--. */
bool message_filter_deeper(struct filter_builder *b);
void message_filter_set_key(struct filter_builder *b, struct condition *c, struct str text);
void message_filter_add_text(struct filter_builder *b, struct text_set *set, struct str text);
void message_filter_add_int(struct filter_builder *b, struct int_set *set, int64_t v);
void message_filter_add_id(struct filter_builder *b, struct id_set *set, struct point_id id);
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
