/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259): reader and writer.
 *
 * The reader stands, between two calls, before a value (after enter, key or element said that one follows)
 * or behind one. A level of nesting is one bit of object_bits and one of first_bits.
 * After an error every call returns at once: false, zero or an empty view.
 */
#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/panic.h"
#include "base/utf8.h"

static const char no_memory[] = "the text needs more memory than it may have";

struct json_reader json_reader_of(struct str text, struct arena *arena)
{
	/* An address for the empty text, so that no arithmetic is done on NULL. */
	const char *start = text.data ? text.data : "";
	return (struct json_reader){
		.start = start,
		.p = start,
		.end = start + (text.data ? text.len : 0),
		.arena = arena,
	};
}

bool json_failed(const struct json_reader *r)
{
	return r->error != NULL;
}

static void fail_at(struct json_reader *r, const char *p, const char *what)
{
	if (r->error)
		return;
	r->error = what;
	r->error_at = (size_t)(p - r->start);
}

void json_fail(struct json_reader *r, const char *what)
{
	fail_at(r, r->p, what);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_space(struct json_reader *r)
{
	while (r->p < r->end && is_space(*r->p))
		r->p++;
}

/* The next byte that is no white space; 0 at the end or after an error. */
static char next_byte(struct json_reader *r)
{
	if (r->error)
		return 0;
	skip_space(r);
	return r->p < r->end ? *r->p : 0;
}

enum json_kind json_peek(struct json_reader *r)
{
	if (r->error)
		return JSON_BAD;
	char c = next_byte(r);
	if (r->p == r->end)
		return JSON_END;
	switch (c) {
	case 'n':
		return JSON_NULL;
	case 't':
	case 'f':
		return JSON_BOOL;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	case '-':
	case '0' ... '9':
		return JSON_NUMBER;
	default:
		return JSON_BAD;
	}
}

/* Blank text passes whatever the caller asked for nothing of it: it is not JSON. */
static void check_end(struct json_reader *r)
{
	if (next_byte(r) != 0 || r->p != r->end) {
		json_fail(r, "trailing characters");
		return;
	}
	const char *p = r->start;
	while (p < r->end && is_space(*p))
		p++;
	if (p == r->end)
		json_fail(r, "expected a value");
}

enum err json_end(struct json_reader *r, struct fault *reterr_fault)
{
	if (!r->error && r->depth > 0)
		json_fail(r, "expected the end of an array or object");
	check_end(r);
	if (!r->error)
		return ERR_NONE;

	size_t line = 1, column = 1;
	for (const char *p = r->start; p < r->start + r->error_at; p++) {
		column = *p == '\n' ? 1 : column + 1;
		line += *p == '\n';
	}
	return fault_set(reterr_fault, r->error == no_memory ? ERR_TOO_LARGE : ERR_BAD_REQUEST,
			 "%s at line %zu column %zu", r->error, line, column);
}

static uint64_t level_bit(const struct json_reader *r)
{
	return 1ULL << (r->depth - 1);
}

/* what is said when something else than bracket stands there. */
static bool enter(struct json_reader *r, char bracket, const char *what)
{
	if (next_byte(r) != bracket) {
		json_fail(r, what);
		return false;
	}
	if (r->depth == JSON_DEPTH_MAX) {
		json_fail(r, "nested too deeply");
		return false;
	}
	r->p++;
	r->depth++;
	r->first_bits |= level_bit(r);
	if (bracket == '{')
		r->object_bits |= level_bit(r);
	else
		r->object_bits &= ~level_bit(r);
	return true;
}

/* Passes the comma, if one is due. False when the array or object ends here (it is left) or on error. */
static bool next_item(struct json_reader *r, char bracket, const char *what)
{
	char c = next_byte(r);
	if (r->error)
		return false;
	ASSERT(r->depth > 0);
	bool first = r->first_bits & level_bit(r);
	if (c == bracket) {
		r->p++;
		r->depth--;
		return false;
	}
	if (!first && c != ',') {
		json_fail(r, what);
		return false;
	}
	r->first_bits &= ~level_bit(r);
	r->p += !first;
	return true;
}

bool json_enter_object(struct json_reader *r)
{
	return enter(r, '{', "expected an object");
}

bool json_enter_array(struct json_reader *r)
{
	return enter(r, '[', "expected an array");
}

bool json_next_element(struct json_reader *r)
{
	if (!next_item(r, ']', "expected `,` or `]`"))
		return false;
	char c = next_byte(r);
	if (c == ']' || c == ',' || c == 0) {
		json_fail(r, "expected a value");
		return false;
	}
	return true;
}

#define ONES 0x0101010101010101U
#define HIGHS 0x8080808080808080U

/* Is any byte of the word a quote, a backslash, a control character or not ASCII? Borrows make it say yes
 * of a byte above one that is; never no. */
static bool has_special(uint64_t word)
{
	uint64_t quote = word ^ (ONES * '"');
	uint64_t backslash = word ^ (ONES * '\\');
	return ((word - ONES * 0x20) | (quote - ONES) | (backslash - ONES) | word) & HIGHS;
}

/* -1 when the four bytes are not hexadecimal digits. */
static int hex4(const char *p)
{
	int value = 0;
	for (unsigned i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			value = value * 16 + ((c | 0x20) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* The escape at p (its backslash): how many bytes it takes, 0 when it is none. A surrogate is one only with
 * its other half. */
static size_t escape_length(const char *p, const char *end)
{
	if (end - p < 2)
		return 0;
	if (p[1] != 'u')
		return p[1] != 0 && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
	int first = end - p >= 6 ? hex4(p + 2) : -1;
	if (first < 0 || (first >= 0xDC00 && first <= 0xDFFF))
		return 0;
	if (first < 0xD800 || first > 0xDFFF)
		return 6;
	int second = end - p >= 12 && p[6] == '\\' && p[7] == 'u' ? hex4(p + 8) : -1;
	return second >= 0xDC00 && second <= 0xDFFF ? 12 : 0;
}

/* Passes a string and validates it. ret_raw is what stands between the quotes. */
static bool scan_string(struct json_reader *r, struct str *ret_raw, bool *ret_escaped)
{
	const char *start = r->p + 1;
	const char *p = start;
	bool escaped = false;

	while (p < r->end && *p != '"') {
		uint64_t word;
		if (r->end - p >= (ptrdiff_t)sizeof(word)) {
			memcpy(&word, p, sizeof(word));
			if (!has_special(word)) {
				p += sizeof(word);
				continue;
			}
		}
		size_t n;
		if (*p == '\\') {
			escaped = true;
			n = escape_length(p, r->end);
		} else {
			n = utf8_length((const uint8_t *)p, (size_t)(r->end - p));
		}
		if (n == 0) {
			fail_at(r, p, *p == '\\' ? "invalid escape" : "invalid UTF-8 in a string");
			return false;
		}
		if ((unsigned char)*p < 0x20) {
			fail_at(r, p, "control character in a string");
			return false;
		}
		p += n;
	}
	if (p == r->end) {
		fail_at(r, p, "expected the end of a string");
		return false;
	}
	*ret_raw = (struct str){ .data = start, .len = (size_t)(p - start) };
	*ret_escaped = escaped;
	r->p = p + 1;
	return true;
}

static char *put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		*out++ = (char)code;
		return out;
	}
	if (code < 0x800) {
		*out++ = (char)(0xC0 | code >> 6);
	} else {
		if (code < 0x10000) {
			*out++ = (char)(0xE0 | code >> 12);
		} else {
			*out++ = (char)(0xF0 | code >> 18);
			*out++ = (char)(0x80 | (code >> 12 & 0x3F));
		}
		*out++ = (char)(0x80 | (code >> 6 & 0x3F));
	}
	*out++ = (char)(0x80 | (code & 0x3F));
	return out;
}

/* p is a valid escape of n bytes. */
static char *put_escaped(char *out, const char *p, size_t n)
{
	static const char names[] = "bfnrt", meanings[] = "\b\f\n\r\t";

	if (n == 2) {
		const char *name = strchr(names, p[1]);
		*out++ = name ? meanings[name - names] : p[1];
		return out;
	}
	unsigned code = (unsigned)hex4(p + 2);
	if (n == 12)
		code = 0x10000 + ((code - 0xD800) << 10) + ((unsigned)hex4(p + 8) - 0xDC00);
	return put_utf8(out, code);
}

/* raw is valid; no escape is shorter than what it stands for. */
static struct str unescape(struct json_reader *r, struct str raw)
{
	char *text = r->arena ? arena_alloc(r->arena, raw.len) : NULL;
	if (!text) {
		json_fail(r, no_memory);
		return (struct str){ 0 };
	}
	const char *end = raw.data + raw.len;
	char *out = text;
	for (const char *p = raw.data; p < end;) {
		if (*p != '\\') {
			*out++ = *p++;
			continue;
		}
		size_t n = escape_length(p, end);
		out = put_escaped(out, p, n);
		p += n;
	}
	return (struct str){ .data = text, .len = (size_t)(out - text) };
}

struct str json_string(struct json_reader *r)
{
	struct str raw;
	bool escaped;

	if (next_byte(r) != '"') {
		json_fail(r, "expected a string");
		return (struct str){ 0 };
	}
	if (!scan_string(r, &raw, &escaped))
		return (struct str){ 0 };
	return escaped ? unescape(r, raw) : raw;
}

static bool next_key_starts(struct json_reader *r)
{
	if (!next_item(r, '}', "expected `,` or `}`"))
		return false;
	if (next_byte(r) != '"')
		json_fail(r, "expected a key in quotes");
	return !r->error;
}

static bool pass_colon(struct json_reader *r)
{
	if (next_byte(r) != ':') {
		json_fail(r, "expected `:`");
		return false;
	}
	r->p++;
	return true;
}

bool json_next_key(struct json_reader *r, struct str *ret_key)
{
	if (!next_key_starts(r))
		return false;
	struct str key = json_string(r);
	if (!pass_colon(r))
		return false;
	*ret_key = key;
	return true;
}

static bool pass_word(struct json_reader *r, struct str word, const char *what)
{
	(void)next_byte(r); /* for the white space that it passes */
	if (r->error)
		return false;
	if ((size_t)(r->end - r->p) < word.len || memcmp(r->p, word.data, word.len) != 0) {
		json_fail(r, what);
		return false;
	}
	r->p += word.len;
	return true;
}

bool json_bool(struct json_reader *r)
{
	if (next_byte(r) == 't')
		return pass_word(r, STR("true"), "expected true or false");
	(void)pass_word(r, STR("false"), "expected true or false"); /* the reader keeps the error */
	return false;
}

void json_null(struct json_reader *r)
{
	(void)pass_word(r, STR("null"), "expected null"); /* the reader keeps the error */
}

static bool scan_number(struct json_reader *r, struct decimal *ret_decimal)
{
	(void)next_byte(r); /* for the white space that it passes */
	if (r->error)
		return false;
	size_t n = decimal_scan(r->p, (size_t)(r->end - r->p), ret_decimal);
	if (n == 0)
		json_fail(r, "expected a number");
	r->p += n;
	return n > 0;
}

uint64_t json_u64(struct json_reader *r)
{
	struct decimal d;
	uint64_t v;

	if (!scan_number(r, &d))
		return 0;
	if (decimal_to_u64(&d, &v))
		return v;
	fail_at(r, d.text, "expected a whole number from 0 to 18446744073709551615");
	return 0;
}

int64_t json_i64(struct json_reader *r)
{
	struct decimal d;
	int64_t v;

	if (!scan_number(r, &d))
		return 0;
	if (decimal_to_i64(&d, &v))
		return v;
	fail_at(r, d.text,
		"expected a whole number from -9223372036854775808 to 9223372036854775807");
	return 0;
}

double json_f64(struct json_reader *r)
{
	struct decimal d;
	double v;

	if (!scan_number(r, &d))
		return 0;
	if (decimal_to_f64(&d, &v))
		return v;
	fail_at(r, d.text, "number out of range");
	return 0;
}

static float read_f32(struct json_reader *r)
{
	struct decimal d;
	float v;

	if (!scan_number(r, &d))
		return 0;
	if (decimal_to_f32(&d, &v))
		return v;
	fail_at(r, d.text, "number out of range");
	return 0;
}

/* -0 is a double: as an integer it would lose its sign. */
struct json_number json_number(struct json_reader *r)
{
	struct json_number number = { .kind = JSON_DOUBLE };
	struct decimal d;

	if (!scan_number(r, &d))
		return number;
	if (!decimal_to_f64(&d, &number.d)) {
		fail_at(r, d.text, "number out of range");
		return number;
	}
	if (d.negative && d.digits == 0)
		return number;
	if (decimal_to_i64(&d, &number.i))
		number.kind = JSON_INT;
	else if (decimal_to_u64(&d, &number.u))
		number.kind = JSON_UINT;
	return number;
}

static bool skip_key(struct json_reader *r)
{
	struct str raw;
	bool escaped;

	return next_key_starts(r) && scan_string(r, &raw, &escaped) && pass_colon(r);
}

/* Passes a scalar, or enters an array or object. */
static void skip_start(struct json_reader *r)
{
	struct str raw;
	struct decimal d;
	bool escaped;

	switch (json_peek(r)) {
	case JSON_NULL:
		json_null(r);
		break;
	case JSON_BOOL:
		(void)json_bool(r);
		break;
	case JSON_NUMBER:
		(void)scan_number(r, &d); /* the reader keeps the error */
		break;
	case JSON_STRING:
		(void)scan_string(r, &raw, &escaped); /* the same */
		break;
	case JSON_ARRAY:
		(void)json_enter_array(r); /* the same */
		break;
	case JSON_OBJECT:
		(void)json_enter_object(r); /* the same */
		break;
	case JSON_END:
	case JSON_BAD:
		json_fail(r, "expected a value");
		break;
	}
}

void json_skip(struct json_reader *r)
{
	unsigned base = r->depth;

	skip_start(r);
	while (!r->error && r->depth > base) {
		bool more = r->object_bits & level_bit(r) ? skip_key(r) : json_next_element(r);
		if (more)
			skip_start(r);
	}
}

struct str json_raw(struct json_reader *r)
{
	(void)next_byte(r); /* for the white space that it passes */
	const char *start = r->p;
	json_skip(r);
	if (r->error)
		return (struct str){ 0 };
	return (struct str){ .data = start, .len = (size_t)(r->p - start) };
}

/* Vectors up to this size are copied once, into memory of their exact size. */
#define FLOATS_LOCAL 2048

struct floats {
	float *items;
	float *grown; /* items, once they are in the arena */
	size_t count;
	size_t cap;
};

static bool floats_grow(struct json_reader *r, struct floats *f)
{
	size_t cap = f->cap * 2;
	float *items =
		r->arena && cap <= UINT32_MAX ? arena_array(r->arena, cap, sizeof(float)) : NULL;
	if (!items) {
		json_fail(r, no_memory);
		return false;
	}
	memcpy(items, f->items, f->count * sizeof(float));
	f->items = f->grown = items;
	f->cap = cap;
	return true;
}

static float *floats_copy(struct json_reader *r, const float *items, size_t count)
{
	float *copy = r->arena ? arena_array(r->arena, count, sizeof(float)) : NULL;
	if (!copy) {
		json_fail(r, no_memory);
		return NULL;
	}
	memcpy(copy, items, count * sizeof(float));
	return copy;
}

float *json_floats(struct json_reader *r, uint32_t *ret_count)
{
	float local[FLOATS_LOCAL];
	struct floats f = { .items = local, .cap = FLOATS_LOCAL };

	if (next_byte(r) != '[')
		json_fail(r, "expected an array of numbers");
	if (!json_enter_array(r))
		return NULL;
	while (json_next_element(r)) {
		f.count += decimal_scan_f32s(&r->p, r->end, f.items + f.count, f.cap - f.count);
		if (f.count == f.cap && !floats_grow(r, &f))
			return NULL;
		f.items[f.count++] = read_f32(r);
	}
	if (r->error)
		return NULL;
	float *items = f.grown ? f.grown : floats_copy(r, local, f.count);
	if (items)
		*ret_count = (uint32_t)f.count;
	return items;
}

struct json_writer json_writer_to(struct buf *out)
{
	return (struct json_writer){ .out = out, .first = true };
}

/* The comma before a key or value, unless it is the first of its level or the value of a key. */
static void separate(struct json_writer *w)
{
	if (!w->first && !w->after_key)
		buf_append_byte(w->out, ',');
	w->first = false;
	w->after_key = false;
}

static void open_level(struct json_writer *w, char bracket)
{
	separate(w);
	buf_append_byte(w->out, (uint8_t)bracket);
	w->first = true;
}

/* What is closed was something in its own level. */
static void close_level(struct json_writer *w, char bracket)
{
	buf_append_byte(w->out, (uint8_t)bracket);
	w->first = false;
}

void json_put_object(struct json_writer *w)
{
	open_level(w, '{');
}

void json_put_object_end(struct json_writer *w)
{
	close_level(w, '}');
}

void json_put_array(struct json_writer *w)
{
	open_level(w, '[');
}

void json_put_array_end(struct json_writer *w)
{
	close_level(w, ']');
}

static void put_escape(struct buf *out, unsigned char c)
{
	static const char meanings[] = "\b\f\n\r\t\"\\", names[] = "bfnrt\"\\";
	const char *meaning = c ? strchr(meanings, c) : NULL;

	if (meaning)
		buf_append(out, (const char[2]){ '\\', names[meaning - meanings] }, 2);
	else
		buf_printf(out, "\\u%04x", c);
}

static void put_quoted(struct buf *out, struct str s)
{
	size_t done = 0;

	buf_append_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_append(out, s.data + done, i - done);
		put_escape(out, c);
		done = i + 1;
	}
	/* An empty view may point nowhere. */
	if (s.len > done)
		buf_append(out, s.data + done, s.len - done);
	buf_append_byte(out, '"');
}

void json_put_key(struct json_writer *w, struct str key)
{
	separate(w);
	put_quoted(w->out, key);
	buf_append_byte(w->out, ':');
	w->after_key = true;
}

void json_put_string(struct json_writer *w, struct str s)
{
	separate(w);
	put_quoted(w->out, s);
}

void json_put_cstr(struct json_writer *w, const char *s)
{
	json_put_string(w, (struct str){ .data = s, .len = strlen(s) });
}

void json_put_u64(struct json_writer *w, uint64_t v)
{
	char text[DECIMAL_TEXT_MAX];

	separate(w);
	buf_append(w->out, text, decimal_format_u64(v, text));
}

void json_put_i64(struct json_writer *w, int64_t v)
{
	char text[DECIMAL_TEXT_MAX];

	separate(w);
	buf_append(w->out, text, decimal_format_i64(v, text));
}

void json_put_f64(struct json_writer *w, double v)
{
	char text[DECIMAL_TEXT_MAX];

	if (!isfinite(v)) {
		json_put_null(w);
		return;
	}
	separate(w);
	buf_append(w->out, text, decimal_format_f64(v, text));
}

void json_put_f32(struct json_writer *w, float v)
{
	char text[DECIMAL_TEXT_MAX];

	if (!isfinite(v)) {
		json_put_null(w);
		return;
	}
	separate(w);
	buf_append(w->out, text, decimal_format_f32(v, text));
}

void json_put_floats(struct json_writer *w, const float *v, size_t n)
{
	json_put_array(w);
	for (size_t i = 0; i < n; i++)
		json_put_f32(w, v[i]);
	json_put_array_end(w);
}

void json_put_bool(struct json_writer *w, bool v)
{
	json_put_raw(w, v ? STR("true") : STR("false"));
}

void json_put_null(struct json_writer *w)
{
	json_put_raw(w, STR("null"));
}

void json_put_raw(struct json_writer *w, struct str json)
{
	separate(w);
	buf_append_str(w->out, json);
}
