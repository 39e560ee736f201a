/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The custom kinds of payload indexes: the values of facets; stop words, stemmers, prefixes.
 */
#include "gateway/message_kinds.h"

#include <string.h>

static bool is_word(struct str s, const char *word)
{
	return strlen(word) == s.len && memcmp(word, s.data, s.len) == 0;
}

/* ---- facet_value: a string, integer or bool; FacetValue{string_value=1, integer_value=2, bool_value=3} ---- */

static void facet_value_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct field_value *v = member;

	switch ((unsigned)json_peek(r)) {
	case JSON_STRING:
		*v = (struct field_value){ .kind = FIELD_VALUE_TEXT, .text = json_string(r) };
		return;
	case JSON_NUMBER:
		*v = (struct field_value){ .kind = FIELD_VALUE_INT, .integer = json_i64(r) };
		return;
	case JSON_BOOL:
		*v = (struct field_value){ .kind = FIELD_VALUE_BOOL, .boolean = json_bool(r) };
		return;
	default:
		message_json_fail(d, r, "data did not match any variant of untagged enum FacetValue");
	}
}

static void facet_value_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t));
	struct field_value *v = member;
	uint32_t field;

	while (proto_next(&in, &field, &t)) {
		if (field == 1)
			*v = (struct field_value){ .kind = FIELD_VALUE_TEXT, .text = proto_string(&in, t) };
		else if (field == 2)
			*v = (struct field_value){ .kind = FIELD_VALUE_INT, .integer = proto_int64(&in, t) };
		else if (field == 3)
			*v = (struct field_value){ .kind = FIELD_VALUE_BOOL, .boolean = proto_varint(&in, t) != 0 };
		else
			proto_skip(&in, t);
	}
	if (in.err)
		message_bad_proto(d);
}

static void facet_value_to_json(const void *member, struct json_writer *w)
{
	const struct field_value *v = member;

	if (v->kind == FIELD_VALUE_TEXT)
		json_put_string(w, v->text);
	else if (v->kind == FIELD_VALUE_INT)
		json_put_i64(w, v->integer);
	else
		json_put_bool(w, v->boolean);
}

static void facet_value_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct field_value *v = member;
	size_t mark = proto_begin(out, field);

	if (v->kind == FIELD_VALUE_TEXT)
		proto_put_bytes(out, 1, v->text.data, v->text.len);
	else if (v->kind == FIELD_VALUE_INT)
		proto_put_varint(out, 2, (uint64_t)v->integer);
	else
		proto_put_varint(out, 3, v->boolean);
	proto_end(out, mark);
}

const struct message_custom kind_facet_value = {
	.size = sizeof(struct field_value),
	.from_json = facet_value_from_json,
	.from_proto = facet_value_from_proto,
	.to_json = facet_value_to_json,
	.to_proto = facet_value_to_proto,
};

/* ---- stopwords: a language, or {"languages", "custom"}; StopwordsSet ---- */

static void stopwords_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct msg_stopwords_set *set = message_array(d, 1, sizeof(*set));

	if (!set)
		return;
	*(const struct msg_stopwords_set **)member = set;
	if (json_peek(r) != JSON_STRING) {
		message_read_json(d, r, &message_stopwords_set, set);
		return;
	}
	set->languages.items = message_array(d, 1, sizeof(*set->languages.items));
	if (!set->languages.items)
		return;
	set->languages.items[0] = json_string(r);
	set->languages.count = 1;
}

static void stopwords_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t, void *member)
{
	struct bytes b = proto_bytes(r, t);
	struct msg_stopwords_set *set = message_array(d, 1, sizeof(*set));

	if (set && !r->err)
		message_read_proto(d, &message_stopwords_set, b, set);
	*(const struct msg_stopwords_set **)member = set;
}

static void stopwords_to_json(const void *member, struct json_writer *w)
{
	const struct msg_stopwords_set *set = *(const struct msg_stopwords_set *const *)member;

	if (set->languages.count == 1 && set->custom.count == 0)
		json_put_string(w, set->languages.items[0]);
	else
		message_to_json(&message_stopwords_set, set, w);
}

static void stopwords_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct msg_stopwords_set *set = *(const struct msg_stopwords_set *const *)member;
	size_t mark = proto_begin(out, field);

	message_to_proto(&message_stopwords_set, set, out);
	proto_end(out, mark);
}

const struct message_custom kind_stopwords = {
	.size = sizeof(const struct msg_stopwords_set *),
	.from_json = stopwords_from_json,
	.from_proto = stopwords_from_proto,
	.to_json = stopwords_to_json,
	.to_proto = stopwords_to_proto,
};

/* ---- stemmer: {"type": "snowball", "language"} or {"type": "none"}; {snowball=1: {language=1} | disabled=2} ---- */

static void stemmer_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	struct stemmer *s = member;
	struct str key, type = { 0 };

	if (!json_enter_object(r))
		return;
	while (json_next_key(r, &key)) {
		if (is_word(key, "type"))
			type = json_string(r);
		else if (is_word(key, "language"))
			s->language = json_string(r);
		else
			json_skip(r);
	}
	if (json_failed(r))
		return;
	bool snowball = type.data && is_word(type, "snowball"), none = type.data && is_word(type, "none");
	if ((!snowball && !none) || (snowball && s->language.len == 0))
		message_json_fail(d, r, "data did not match any variant of untagged enum StemmingAlgorithm");
	if (none)
		*s = (struct stemmer){ .language = STR("") };
}

static void stemmer_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t, void *member)
{
	struct proto_reader in = proto_reader_of(proto_bytes(r, t)), snowball;
	struct stemmer *s = member;
	uint32_t field;

	*s = (struct stemmer){ .language = STR("") };
	while (proto_next(&in, &field, &t)) {
		if (field != 1) {
			proto_skip(&in, t);
			continue;
		}
		snowball = proto_reader_of(proto_bytes(&in, t));
		while (proto_next(&snowball, &field, &t)) {
			if (field == 1)
				s->language = proto_string(&snowball, t);
			else
				proto_skip(&snowball, t);
		}
		if (snowball.err)
			message_bad_proto(d);
	}
	if (in.err)
		message_bad_proto(d);
}

static void stemmer_to_json(const void *member, struct json_writer *w)
{
	const struct stemmer *s = member;

	json_put_object(w);
	json_put_key(w, STR("type"));
	json_put_cstr(w, s->language.len ? "snowball" : "none");
	if (s->language.len) {
		json_put_key(w, STR("language"));
		json_put_string(w, s->language);
	}
	json_put_object_end(w);
}

static void stemmer_to_proto(const void *member, uint32_t field, struct buf *out)
{
	const struct stemmer *s = member;
	size_t mark = proto_begin(out, field);
	size_t inner = proto_begin(out, s->language.len ? 1 : 2);

	if (s->language.len)
		proto_put_bytes(out, 1, s->language.data, s->language.len);
	proto_end(out, inner);
	proto_end(out, mark);
}

const struct message_custom kind_stemmer = {
	.size = sizeof(struct stemmer),
	.from_json = stemmer_from_json,
	.from_proto = stemmer_from_proto,
	.to_json = stemmer_to_json,
	.to_proto = stemmer_to_proto,
};

/* ---- keyword_prefix: true or false; an empty KeywordPrefixParams is true ---- */

static void prefix_from_json(struct message_reading *d, struct json_reader *r, void *member)
{
	(void)d; /* nothing but the reader's own words */
	((struct keyword_prefix *)member)->enabled = json_bool(r);
}

static void prefix_from_proto(struct message_reading *d, struct proto_reader *r, enum proto_type t, void *member)
{
	(void)d;
	proto_skip(r, t);
	((struct keyword_prefix *)member)->enabled = true;
}

static void prefix_to_json(const void *member, struct json_writer *w)
{
	json_put_bool(w, ((const struct keyword_prefix *)member)->enabled != 0);
}

static void prefix_to_proto(const void *member, uint32_t field, struct buf *out)
{
	if (((const struct keyword_prefix *)member)->enabled)
		proto_put_bytes(out, field, "", 0);
}

const struct message_custom kind_keyword_prefix = {
	.size = sizeof(struct keyword_prefix),
	.from_json = prefix_from_json,
	.from_proto = prefix_from_proto,
	.to_json = prefix_to_json,
	.to_proto = prefix_to_proto,
};
