/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables made from message.def and message_enum.def, and what needs neither JSON nor protobuf:
 * presence, defaults, parameters given as text, ranges.
 */
#include "gateway/message.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/panic.h"
#include "gateway/message_kinds.h"
#include "gateway/message_table.h"

/* ---- enums ---- */

#define ENUM_BEGIN(name) static const struct message_word words_##name[] = {
#define WORD(name, constant, number_, word_) { .number = (number_), .word = (word_) },
#define WORD_LATER(name, number_, word_, later_)                                                   \
	{ .number = (number_), .word = (word_), .later = (later_) },
#define ENUM_END(name)                                                                             \
	}                                                                                          \
	;                                                                                          \
	static const struct message_enum enum_##name = {                                           \
		.words = words_##name,                                                             \
		.count = LEN(words_##name),                                                        \
	};
#define ENUM_OF_INDEX_BEGIN ENUM_BEGIN
#define WORD_OF_INDEX WORD
#define ENUM_OF_INDEX_END ENUM_END
#include "gateway/message_enum.def"
#undef ENUM_BEGIN
#undef WORD
#undef WORD_LATER
#undef ENUM_END
#undef ENUM_OF_INDEX_BEGIN
#undef WORD_OF_INDEX
#undef ENUM_OF_INDEX_END

/* ---- messages ---- */

#define KIND_OF_STRING .kind = KIND_STRING
#define KIND_OF_BOOL .kind = KIND_BOOL
#define KIND_OF_U32 .kind = KIND_U32
#define KIND_OF_U64 .kind = KIND_U64
#define KIND_OF_F32 .kind = KIND_F32
#define KIND_OF_F64 .kind = KIND_F64
#define KIND_OF_TIME .kind = KIND_TIME
#define KIND_OF_ENUM(e) .kind = KIND_ENUM, .words = &enum_##e
#define KIND_OF_STRINGS .kind = KIND_STRING, .list = true
#define KIND_OF_MESSAGE(m) .kind = KIND_MESSAGE, .message = &message_##m
#define KIND_OF_LIST(m) .kind = KIND_MESSAGE, .list = true, .message = &message_##m
#define KIND_OF_MAP(m) .kind = KIND_MAP, .message = &message_##m
#define KIND_OF_CUSTOM(k) .kind = KIND_CUSTOM, .custom = &kind_##k
#define KIND_OF_CUSTOMS(k) .kind = KIND_CUSTOM, .list = true, .custom = &kind_##k

/* Each is followed by (message, member). */
#define PRESENCE_OF_REQ PRESENCE_ROW_REQ
#define PRESENCE_OF_OPT PRESENCE_ROW_OPT
#define PRESENCE_OF_DEF(value_) .value = (int)(value_), PRESENCE_ROW_DEF
#define PRESENCE_ROW_REQ(m, member) .presence = PRESENCE_REQ, .has_offset = NO_FLAG
#define PRESENCE_ROW_OPT(m, member)                                                                \
	.presence = PRESENCE_OPT, .has_offset = offsetof(struct msg_##m, has_##member)
#define PRESENCE_ROW_DEF(m, member) .presence = PRESENCE_DEF, .has_offset = NO_FLAG

#define RANGE_OF_ANY .has_min = false
#define RANGE_OF_AT_LEAST(n) .has_min = true, .min = (n)
#define RANGE_OF_WITHIN(a, b) .has_min = true, .min = (a), .has_max = true, .max = (b)

#define ROW(m, member_, json_, proto_, kind_, presence_, range_, role_)                            \
	{                                                                                          \
		.member = #member_,                                                                \
		.json = (json_),                                                                   \
		.proto = (proto_),                                                                 \
		.role = (role_),                                                                   \
		.offset = offsetof(struct msg_##m, member_),                                       \
		KIND_OF_##kind_,                                                                   \
		PRESENCE_OF_##presence_(m, member_),                                               \
		RANGE_OF_##range_,                                                                 \
	},
#define MESSAGE_BEGIN(m, shape_) static const struct message_row rows_##m[] = {
#define FIELD(m, member, json, proto, kind, presence, range)                                       \
	ROW(m, member, json, proto, kind, presence, range, ROLE_FIELD)
#define PARAM(m, member, json, proto, kind, presence, range)                                       \
	ROW(m, member, json, proto, kind, presence, range, ROLE_PARAM)
#define VIEW(m, member, json, proto, kind, presence, range)                                        \
	ROW(m, member, json, proto, kind, presence, range, ROLE_VIEW)
#define ALIAS(m, member, json, proto, kind, presence, range)                                       \
	ROW(m, member, json, proto, kind, presence, range, ROLE_ALIAS)
#define LATER(m, json_, proto_, words_)                                                            \
	{ .json = (json_),                                                                         \
	  .proto = (proto_),                                                                       \
	  .role = ROLE_LATER,                                                                      \
	  .kind = KIND_LATER,                                                                      \
	  .later = (words_),                                                                       \
	  .has_offset = NO_FLAG },
/* One empty row stands behind the last: C has no empty arrays. */
#define MESSAGE_END(m)                                                                             \
	{                                                                                          \
		.has_offset = NO_FLAG                                                              \
	}                                                                                          \
	}                                                                                          \
	;                                                                                          \
	_Static_assert(LEN(rows_##m) - 1 <= MESSAGE_ROWS_MAX,                                      \
		       "a message has more rows than a set has bits");
#include "gateway/message.def"
#undef MESSAGE_BEGIN
#undef FIELD
#undef PARAM
#undef VIEW
#undef ALIAS
#undef LATER
#undef MESSAGE_END

#define MESSAGE_BEGIN(m, shape_)                                                                   \
	const struct message message_##m = {                                                       \
		.name = #m,                                                                        \
		.shape = SHAPE_##shape_,                                                           \
		.size = sizeof(struct msg_##m),                                                    \
		.rows = rows_##m,                                                                  \
		.row_count = LEN(rows_##m) - 1,                                                    \
	};
#define FIELD(...)
#define PARAM(...)
#define VIEW(...)
#define ALIAS(...)
#define LATER(...)
#define MESSAGE_END(m)
#include "gateway/message.def"
#undef MESSAGE_BEGIN
#undef FIELD
#undef PARAM
#undef VIEW
#undef ALIAS
#undef LATER
#undef MESSAGE_END

const char *message_name(const struct message *m)
{
	return m->name;
}

size_t message_size(const struct message *m)
{
	return m->size;
}

static const struct message_row *collection_row(const struct message *m)
{
	static const char name[] = "collection_name";

	for (uint32_t i = 0; i < m->row_count; i++)
		if (m->rows[i].role == ROLE_PARAM && m->rows[i].kind == KIND_STRING && m->rows[i].json &&
		    strcmp(m->rows[i].json, name) == 0)
			return &m->rows[i];
	return NULL;
}

bool message_has_collection(const struct message *m)
{
	return collection_row(m) != NULL;
}

struct str message_collection(const struct message *m, const void *in)
{
	const struct message_row *row = collection_row(m);

	return row ? *(const struct str *)(const void *)((const char *)in + row->offset) : (struct str){ 0 };
}

enum message_shape message_shape(const struct message *m)
{
	return m->shape;
}

bool message_has_body(const struct message *m)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (m->rows[i].json && m->rows[i].role != ROLE_PARAM)
			return true;
	return false;
}

const struct message_word *message_word_of(const struct message_enum *e, uint32_t number)
{
	for (uint32_t i = 0; i < e->count; i++)
		if (e->words[i].number == number)
			return &e->words[i];
	return NULL;
}

const struct message_word *message_word_find(const struct message_enum *e, struct str word)
{
	for (uint32_t i = 0; i < e->count; i++)
		if (strlen(e->words[i].word) == word.len &&
		    memcmp(e->words[i].word, word.data, word.len) == 0)
			return &e->words[i];
	return NULL;
}

size_t message_kind_size(const struct message_row *row)
{
	switch (row->kind) {
	case KIND_STRING:
		return sizeof(struct str);
	case KIND_BOOL:
		return sizeof(bool);
	case KIND_U32:
	case KIND_ENUM:
		return sizeof(uint32_t);
	case KIND_U64:
		return sizeof(uint64_t);
	case KIND_F32:
		return sizeof(float);
	case KIND_F64:
	case KIND_TIME:
		return sizeof(double);
	case KIND_MESSAGE:
	case KIND_MAP:
		return row->message->size;
	case KIND_CUSTOM:
		return row->custom->size;
	case KIND_LATER:
		break;
	}
	return 0;
}

bool message_has(const struct message_row *row, const void *in)
{
	bool has = true;
	if (row->has_offset != NO_FLAG)
		memcpy(&has, (const char *)in + row->has_offset, sizeof(has));
	return has;
}

void message_set_has(const struct message_row *row, void *out)
{
	const bool has = true;
	if (row->has_offset != NO_FLAG)
		memcpy((char *)out + row->has_offset, &has, sizeof(has));
}

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Lists, maps and strings have nothing but 0 for a default, which is to be empty. */
static bool is_default(const struct message_row *row, const void *in)
{
	const void *at = (const char *)in + row->offset;
	struct message_list list;
	struct message_map map;
	struct str text;
	uint64_t whole = 0;
	double number;
	float narrow;
	int first;

	if (row->list) {
		memcpy(&list, at, sizeof(list));
		return list.count == 0;
	}
	switch (row->kind) {
	case KIND_STRING:
		memcpy(&text, at, sizeof(text));
		return text.len == 0;
	case KIND_MAP:
		memcpy(&map, at, sizeof(map));
		return map.count == 0;
	case KIND_F32:
		memcpy(&narrow, at, sizeof(narrow));
		return narrow <= (float)row->value && narrow >= (float)row->value;
	case KIND_F64:
	case KIND_TIME:
		memcpy(&number, at, sizeof(number));
		return number <= row->value && number >= row->value;
	case KIND_BOOL:
	case KIND_U32:
	case KIND_ENUM:
	case KIND_U64:
		memcpy(&whole, at,
		       message_kind_size(row)); /* little-endian, as every machine this runs on */
		return whole == (uint64_t)row->value;
	case KIND_CUSTOM:
		memcpy(&first, at, sizeof(first));
		return first == row->value &&
		       is_zero((const char *)at + sizeof(first), row->custom->size - sizeof(first));
	case KIND_MESSAGE:
	case KIND_LATER:
		break;
	}
	return false;
}

bool message_present(const struct message_row *row, const void *in)
{
	if (row->presence != PRESENCE_DEF)
		return message_has(row, in);
	return row->role == ROLE_VIEW || !is_default(row, in); /* a view's writer sees for itself */
}

static void set_default(const struct message_row *row, void *out)
{
	void *at = (char *)out + row->offset;
	uint64_t whole = (uint64_t)row->value;
	double number = row->value;
	float narrow = (float)row->value;

	switch (row->kind) {
	case KIND_F32:
		memcpy(at, &narrow, sizeof(narrow));
		return;
	case KIND_F64:
	case KIND_TIME:
		memcpy(at, &number, sizeof(number));
		return;
	case KIND_CUSTOM:
		memcpy(at, &row->value, sizeof(row->value));
		return;
	case KIND_BOOL:
	case KIND_U32:
	case KIND_ENUM:
	case KIND_U64:
		memcpy(at, &whole, message_kind_size(row));
		return;
	case KIND_STRING:
	case KIND_MESSAGE:
	case KIND_MAP:
	case KIND_LATER:
		break;
	}
	PANIC("a default that is not zero for a kind that has none");
}

void message_set_defaults(const struct message *m, void *out)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		bool declares = row->role == ROLE_FIELD || row->role == ROLE_PARAM;
		if (!declares || row->list || row->presence == PRESENCE_OPT)
			continue;
		if (row->kind == KIND_MESSAGE)
			message_set_defaults(row->message, (char *)out + row->offset);
		else if (row->value != 0)
			set_default(row, out);
	}
}

void message_set_time(const struct message *m, void *out, double seconds)
{
	for (uint32_t i = 0; i < m->row_count; i++)
		if (m->rows[i].kind == KIND_TIME)
			memcpy((char *)out + m->rows[i].offset, &seconds, sizeof(seconds));
}

/* ---- what a reader carries along ---- */

void message_enter(struct message_reading *d, struct str name, int64_t index)
{
	if (d->depth < MESSAGE_PATH_MAX) {
		d->path[d->depth] = name;
		d->index[d->depth] = index;
	}
	d->depth++;
}

void message_leave(struct message_reading *d)
{
	ASSERT(d->depth > 0);
	d->depth--;
}

/* "vectors.a.hnsw_config", "points[3].id". Fields without a name of their own are passed over. */
static void put_path(const struct message_reading *d, struct buf *out)
{
	for (unsigned i = 0; i < MIN(d->depth, (unsigned)MESSAGE_PATH_MAX); i++) {
		if (d->path[i].len > 0)
			buf_printf(out, "%s%.*s", out->len > 0 ? "." : "", STR_FMT(d->path[i]));
		if (d->index[i] >= 0)
			buf_printf(out, "[%" PRId64 "]", d->index[i]);
	}
}

static void set_fault(struct message_reading *d, enum err e, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
static void set_fault(struct message_reading *d, enum err e, const char *fmt, ...)
{
	if (d->err)
		return;
	d->err = e;
	d->fault.err = e;
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(d->fault.text, sizeof(d->fault.text), fmt, args);
	va_end(args);
}

void message_invalid(struct message_reading *d, const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX / 2];
	CLEANUP(buf_release) struct buf path = BUF_INIT(FAULT_TEXT_MAX / 2);

	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	put_path(d, &path);
	set_fault(d, ERR_VALIDATION, "[%.*s: %s]", STR_FMT(buf_str(&path)), words);
}

void message_bad_input(struct message_reading *d, const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX / 2];

	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	set_fault(d, ERR_BAD_INPUT, "%s", words);
}

void message_later(struct message_reading *d, const char *words)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(FAULT_TEXT_MAX / 2);

	put_path(d, &path);
	set_fault(d, ERR_NOT_IMPLEMENTED, "%s (%.*s)", words, STR_FMT(buf_str(&path)));
}

void message_no_memory(struct message_reading *d)
{
	set_fault(d, ERR_TOO_LARGE, "the request needs more memory than one may have");
}

void message_bad_proto(struct message_reading *d)
{
	CLEANUP(buf_release) struct buf path = BUF_INIT(FAULT_TEXT_MAX / 2);

	put_path(d, &path);
	set_fault(d, ERR_BAD_REQUEST,
		  "failed to decode Protobuf message: %.*s: invalid wire format",
		  STR_FMT(buf_str(&path)));
}

void *message_array(struct message_reading *d, size_t count, size_t size)
{
	void *items = arena_array(d->arena, count, size);
	if (!items)
		message_no_memory(d);
	return items;
}

void *message_grow(struct message_reading *d, void *items, uint32_t count, size_t size)
{
	bool full = (count & (count - 1)) == 0; /* 0, 1, 2, 4, 8 …: the capacities */
	if (!full)
		return items;
	if (count > UINT32_MAX / 2) {
		message_no_memory(d);
		return NULL;
	}
	void *grown = message_array(d, count == 0 ? 1 : (size_t)count * 2, size);
	if (grown && count > 0)
		memcpy(grown, items, count * size);
	return grown;
}

void message_json_fail(struct message_reading *d, struct json_reader *r, const char *fmt, ...)
{
	char words[FAULT_TEXT_MAX / 2];

	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(words, sizeof(words), fmt, args);
	va_end(args);
	struct str kept = arena_str(d->arena, (struct str){ .data = words, .len = strlen(words) });
	json_fail(r, kept.data ? kept.data : "not what was expected");
}

/* ---- parameters ---- */

static bool text_to_u64(struct str text, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
		if (digit > 9 || v > (max - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*ret_value = v;
	return true;
}

static bool text_to_bool(struct str text, bool *ret_value)
{
	*ret_value = text.len == 4 && memcmp(text.data, "true", 4) == 0;
	return *ret_value || (text.len == 5 && memcmp(text.data, "false", 5) == 0);
}

static bool text_to_enum(struct message_reading *d, const struct message_row *row, struct str text,
			 void *at)
{
	const struct message_word *word = message_word_find(row->words, text);
	if (!word)
		return false;
	if (word->later)
		message_later(d, word->later);
	memcpy(at, &word->number, sizeof(word->number));
	return true;
}

static bool set_row_text(struct message_reading *d, const struct message_row *row, struct str text,
			 void *out)
{
	void *at = (char *)out + row->offset;
	uint64_t whole = 0;
	bool truth;

	switch (row->kind) {
	case KIND_STRING:
		memcpy(at, &text, sizeof(text));
		return true;
	case KIND_BOOL:
		if (!text_to_bool(text, &truth))
			return false;
		memcpy(at, &truth, sizeof(truth));
		return true;
	case KIND_U32:
	case KIND_U64:
		if (!text_to_u64(text, row->kind == KIND_U32 ? UINT32_MAX : UINT64_MAX, &whole))
			return false;
		memcpy(at, &whole, message_kind_size(row)); /* little-endian */
		return true;
	case KIND_ENUM:
		return text_to_enum(d, row, text, at);
	case KIND_MESSAGE: /* of one field, such as write_ordering */
		ASSERT(row->message->row_count == 1);
		return set_row_text(d, &row->message->rows[0], text, at);
	case KIND_CUSTOM:
		ASSERT(row->custom->from_text);
		return row->custom->from_text(d, text, at);
	case KIND_F32:
	case KIND_F64:
	case KIND_TIME:
	case KIND_MAP:
	case KIND_LATER:
		break;
	}
	PANIC("a parameter of a kind that has no textual form");
}

/* What set_row_text() reads. */
static void put_text_form(const struct message_row *row, struct buf *out)
{
	switch (row->kind) {
	case KIND_BOOL:
		buf_append_cstr(out, "`true` or `false`");
		return;
	case KIND_U32:
	case KIND_U64:
		buf_printf(out, "a whole number from 0 to %" PRIu64, row->kind == KIND_U32 ? UINT32_MAX : UINT64_MAX);
		return;
	case KIND_ENUM:
		for (uint32_t i = 0; i < row->words->count; i++)
			buf_printf(out, "%s`%s`", i == 0 ? "" : i + 1 < row->words->count ? ", " : " or ", row->words->words[i].word);
		return;
	case KIND_MESSAGE:
		put_text_form(&row->message->rows[0], out);
		return;
	case KIND_CUSTOM:
		buf_append_cstr(out, row->custom->text_form);
		return;
	case KIND_STRING:
	case KIND_F32:
	case KIND_F64:
	case KIND_TIME:
	case KIND_MAP:
	case KIND_LATER:
		break;
	}
	PANIC("a parameter of a kind that has no textual form, or none that can be wrong");
}

static void bad_text(struct message_reading *d, const struct message_row *row, struct str text)
{
	CLEANUP(buf_release) struct buf form = BUF_INIT(FAULT_TEXT_MAX);

	put_text_form(row, &form);
	set_fault(d, ERR_BAD_REQUEST, "%s: `%.*s` is not %.*s", row->json, (int)MIN(text.len, (size_t)64), text.data,
		  STR_FMT(buf_str(&form)));
}

static void check_row(struct message_reading *d, const struct message_row *row, const void *in);

enum err message_set_text(const struct message *m, void *out, struct str json_key, struct str text,
			  struct arena *a, struct fault *reterr_fault)
{
	struct message_reading d = { .arena = a };
	const struct message_row *row = NULL;

	for (uint32_t i = 0; i < m->row_count && !row; i++)
		if (m->rows[i].role == ROLE_PARAM && strlen(m->rows[i].json) == json_key.len &&
		    memcmp(m->rows[i].json, json_key.data, json_key.len) == 0)
			row = &m->rows[i];
	if (!row)
		return ERR_NOT_FOUND;
	message_enter(&d, json_key, -1);
	if (!set_row_text(&d, row, text, out) && !d.err)
		bad_text(&d, row, text);
	if (!d.err) {
		message_set_has(row, out);
		message_leave(&d);
		check_row(&d, row, out);
	}
	if (d.err && reterr_fault)
		*reterr_fault = d.fault;
	return d.err;
}

/* ---- ranges ---- */

/* Has the message, or one inside it, a range at all? Most lists of points have none. */
static bool has_ranges(const struct message *m)
{
	for (uint32_t i = 0; i < m->row_count; i++) {
		const struct message_row *row = &m->rows[i];
		bool nested = row->kind == KIND_MESSAGE || row->kind == KIND_MAP;
		if (row->has_min || (nested && has_ranges(row->message)))
			return true;
		if (row->kind == KIND_CUSTOM && row->custom->check)
			return true;
		if (row->kind == KIND_CUSTOM && (row->custom == &kind_vectors_config ||
						 row->custom == &kind_vectors_config_diff ||
						 row->custom == &kind_quantization_diff))
			return true;
	}
	return false;
}

static void check_number(struct message_reading *d, const struct message_row *row, double v,
			 const char *text)
{
	if (row->has_min && row->has_max && !(v >= row->min && v <= row->max))
		message_invalid(d, "value %s invalid, must be from %g to %g", text, row->min,
				row->max);
	else if (row->has_min && !(v >= row->min))
		message_invalid(d, "value %s invalid, must be %g or larger", text, row->min);
}

static void check_length(struct message_reading *d, const struct message_row *row, size_t n,
			 const char *what)
{
	if (row->has_min && row->has_max && ((double)n < row->min || (double)n > row->max))
		message_invalid(d, "length %zu invalid, must be from %g to %g %s", n, row->min,
				row->max, what);
	else if (row->has_min && (double)n < row->min)
		message_invalid(d, "length %zu invalid, must be %g %s or more", n, row->min, what);
}

static void check_message(struct message_reading *d, const struct message *m, const void *in,
			  bool params);

static void check_items(struct message_reading *d, const struct message *m, const void *items,
			uint32_t count, const struct str *keys)
{
	if (!has_ranges(m))
		return;
	bool named = d->depth > 0 && d->depth <= MESSAGE_PATH_MAX;
	for (uint32_t i = 0; i < count && !d->err; i++) {
		if (keys)
			message_enter(d, keys[i], -1);
		else if (named)
			d->index[d->depth - 1] = i;
		check_message(d, m, (const char *)items + i * m->size, false);
		if (keys)
			message_leave(d);
	}
	if (!d->err && !keys && named)
		d->index[d->depth - 1] = -1;
}

/* Those of the custom kinds that hold messages with ranges. */
static void check_custom(struct message_reading *d, const struct message_row *row, const void *at)
{
	struct message_map map;

	if (row->custom->check) {
		row->custom->check(d, at);
		return;
	}
	if (row->custom == &kind_quantization_diff) {
		check_message(d, &message_quantization_diff, at, false);
		return;
	}
	if (row->custom != &kind_vectors_config && row->custom != &kind_vectors_config_diff)
		return;
	memcpy(&map, at, sizeof(map));
	check_items(d,
		    row->custom == &kind_vectors_config ? &message_vector_params
							: &message_vector_params_diff,
		    map.items, map.count, map.keys);
}

static void check_scalar(struct message_reading *d, const struct message_row *row, const void *at)
{
	char text[32];
	struct str string;
	uint64_t whole = 0;
	double number = 0;
	float narrow;

	switch (row->kind) {
	case KIND_STRING:
		memcpy(&string, at, sizeof(string));
		check_length(d, row, string.len, "bytes");
		return;
	case KIND_U32:
	case KIND_U64:
		memcpy(&whole, at, message_kind_size(row)); /* little-endian */
		(void)snprintf(text, sizeof(text), "%" PRIu64, whole);
		check_number(d, row, (double)whole, text);
		return;
	case KIND_F32:
		memcpy(&narrow, at, sizeof(narrow));
		number = (double)narrow;
		break;
	case KIND_F64:
		memcpy(&number, at, sizeof(number));
		break;
	case KIND_BOOL:
	case KIND_ENUM:
	case KIND_TIME:
	case KIND_MESSAGE:
	case KIND_MAP:
	case KIND_CUSTOM:
	case KIND_LATER:
		return;
	}
	(void)snprintf(text, sizeof(text), "%g", number);
	check_number(d, row, number, text);
}

static void check_row(struct message_reading *d, const struct message_row *row, const void *in)
{
	const void *at = (const char *)in + row->offset;
	bool nameless = !row->json || row->json[0] == 0 || row->json[0] == '*';
	const char *name = nameless ? "" : row->json;
	struct message_list list;
	struct message_map map;

	message_enter(d, (struct str){ .data = name, .len = strlen(name) }, -1);
	if (row->list) {
		memcpy(&list, at, sizeof(list));
		check_length(d, row, list.count, "items");
		if (row->kind == KIND_MESSAGE && !d->err)
			check_items(d, row->message, list.items, list.count, NULL);
	} else if (row->kind == KIND_MAP) {
		memcpy(&map, at, sizeof(map));
		check_items(d, row->message, map.items, map.count, map.keys);
	} else if (row->kind == KIND_MESSAGE) {
		check_message(d, row->message, at, false);
	} else if (row->kind == KIND_CUSTOM) {
		check_custom(d, row, at);
	} else if (row->has_min) {
		check_scalar(d, row, at);
	}
	if (!d->err)
		message_leave(d);
}

/* params: the parameters too. Those of messages inside others are never looked at: the outer one's
 * hold. */
static void check_message(struct message_reading *d, const struct message *m, const void *in,
			  bool params)
{
	for (uint32_t i = 0; i < m->row_count && !d->err; i++) {
		const struct message_row *row = &m->rows[i];
		if (row->role != ROLE_FIELD && (row->role != ROLE_PARAM || !params))
			continue;
		if (message_has(row, in))
			check_row(d, row, in);
	}
}

void message_check(struct message_reading *d, const struct message *m, const void *in)
{
	check_message(d, m, in, false);
}

enum err message_validate(const struct message *m, const void *in, struct fault *reterr_fault)
{
	struct message_reading d = { 0 };

	check_message(&d, m, in, true);
	if (d.err && reterr_fault)
		*reterr_fault = d.fault;
	return d.err;
}

void message_check_union(struct message_reading *d, const struct message *m, const void *in)
{
	uint32_t given = 0;

	for (uint32_t i = 0; i < m->row_count; i++)
		given += m->rows[i].role == ROLE_FIELD && message_has(&m->rows[i], in);
	if (given != 1)
		message_bad_input(d, "exactly one of the forms of %s is to be given, not %" PRIu32,
				  m->name, given);
}

static enum err finish(struct message_reading *d, const struct message *m, const void *in,
		       bool params, struct fault *reterr_fault)
{
	if (!d->err)
		check_message(d, m, in, params);
	if (d->err && reterr_fault)
		*reterr_fault = d->fault;
	return d->err;
}

enum err message_from_json(const struct message *m, struct json_reader *r, struct arena *a,
			   void *out, struct fault *reterr_fault)
{
	struct message_reading d = { .arena = a };

	message_read_json(&d, r, m, out);
	if (!d.err) {
		enum err e = json_end(r, reterr_fault);
		if (e)
			return e;
	}
	return finish(&d, m, out, false, reterr_fault);
}

enum err message_from_proto(const struct message *m, struct bytes b, struct arena *a, void *out,
			    struct fault *reterr_fault)
{
	struct message_reading d = { .arena = a };

	message_read_proto(&d, m, b, out);
	return finish(&d, m, out, true, reterr_fault);
}
