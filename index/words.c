/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only file that includes utf8proc.h and libstemmer.h. What a letter is and how it looks in lower case comes from
 * utf8proc's tables of Unicode, stems from Snowball's algorithms. Texts without spaces between words (Chinese,
 * Japanese, Thai …) are taken character by character, as there is no dictionary: a search for a word of such a
 * language finds every text that has its characters, a phrase every text that has them in a row.
 */
#include "index/words.h"

#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/map.h"
#include "base/proto.h"

/* TextIndexParams.tokenizer */
enum tokenizer { TOKENIZER_OF_PREFIXES = 1, TOKENIZER_OF_SPACES = 2, TOKENIZER_OF_WORDS = 3, TOKENIZER_OF_LANGUAGES = 4 };

struct words {
	enum tokenizer tokenizer;
	bool keep_case, folding, phrases;
	uint64_t length_min, length_max; /* in characters; 0, UINT64_MAX: any */
	struct map stop;
	char language[32]; /* of the stemmer; "": none */
};

static const struct {
	const char *language, *words;
} stop_words[] = {
#define STOP_WORDS(language, words) { language, words },
#include "index/stop_words.def"
#undef STOP_WORDS
};

/* --- letters --- */

enum letter { LETTER_NONE, LETTER_OF_WORD, LETTER_ALONE };

#define CATEGORY(name) (1u << UTF8PROC_CATEGORY_##name)
#define SPACES (CATEGORY(ZS) | CATEGORY(ZL) | CATEGORY(ZP))
#define LETTERS (CATEGORY(LU) | CATEGORY(LL) | CATEGORY(LT) | CATEGORY(LM) | CATEGORY(LO) | CATEGORY(NL) | CATEGORY(MC))
#define DIGITS (CATEGORY(ND) | CATEGORY(NO))

static bool is_of(utf8proc_int32_t c, unsigned categories)
{
	return 1u << utf8proc_category(c) & categories;
}

static bool is_space(utf8proc_int32_t c)
{
	return is_of(c, SPACES) || (c >= '\t' && c <= '\r') || c == 0x85;
}

/* Of the marks above, below and around letters those that are accents are none, those that are vowels are. */
static bool is_letter(utf8proc_int32_t c)
{
	return is_of(c, LETTERS) || (is_of(c, CATEGORY(MN)) && c >= 0x0370);
}

static bool is_alphanumeric(utf8proc_int32_t c)
{
	return is_letter(c) || is_of(c, DIGITS);
}

/* Of scripts that write no spaces between words. */
static bool is_without_spaces(utf8proc_int32_t c)
{
	static const struct {
		utf8proc_int32_t from, to;
	} ranges[] = {
		{ 0x0e00, 0x0eff },   /* Thai, Lao */
		{ 0x1000, 0x109f },   /* Myanmar */
		{ 0x1780, 0x17ff },   /* Khmer */
		{ 0x3040, 0x30ff },   /* Hiragana, Katakana */
		{ 0x3400, 0x4dbf },   /* Han */
		{ 0x4e00, 0x9fff },
		{ 0xf900, 0xfaff },
		{ 0x20000, 0x323af },
	};

	for (size_t i = 0; i < LEN(ranges); i++)
		if (c >= ranges[i].from && c <= ranges[i].to)
			return true;
	return false;
}

static enum letter letter_of(const struct words *w, utf8proc_int32_t c)
{
	if (w->tokenizer == TOKENIZER_OF_SPACES)
		return is_space(c) ? LETTER_NONE : LETTER_OF_WORD;
	if (!is_alphanumeric(c))
		return LETTER_NONE;
	return w->tokenizer == TOKENIZER_OF_LANGUAGES && is_without_spaces(c) ? LETTER_ALONE : LETTER_OF_WORD;
}

/* The character at p, and its bytes; what is no UTF-8 is one byte that is in no word. */
static size_t take(const char *p, const char *end, utf8proc_int32_t *ret_c)
{
	utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, end - p, ret_c);

	if (n > 0)
		return (size_t)n;
	*ret_c = 0;
	return 1;
}

static size_t characters(struct str s)
{
	size_t count = 0;

	for (size_t i = 0; i < s.len; i++)
		count += ((unsigned char)s.data[i] & 0xc0) != 0x80;
	return count;
}

/* Bytes of the first n characters. */
static size_t bytes_of(struct str s, uint64_t n)
{
	size_t i = 0;

	for (; i < s.len; i++)
		if (((unsigned char)s.data[i] & 0xc0) != 0x80 && n-- == 0)
			break;
	return i;
}

/* Letters that fall into others by no rule of Unicode's. */
static const char *folded(utf8proc_int32_t c)
{
	static const struct {
		utf8proc_int32_t from;
		const char *to;
	} letters[] = {
		{ 0x00c6, "AE" }, { 0x00d0, "D" },  { 0x00d8, "O" },  { 0x00de, "TH" }, { 0x00df, "ss" }, { 0x00e6, "ae" },
		{ 0x00f0, "d" },  { 0x00f8, "o" },  { 0x00fe, "th" }, { 0x0110, "D" },  { 0x0111, "d" },  { 0x0126, "H" },
		{ 0x0127, "h" },  { 0x0131, "i" },  { 0x0141, "L" },  { 0x0142, "l" },  { 0x0152, "OE" }, { 0x0153, "oe" },
		{ 0x0166, "T" },  { 0x0167, "t" },  { 0x1e9e, "SS" },
	};

	for (size_t i = 0; i < LEN(letters); i++)
		if (letters[i].from == c)
			return letters[i].to;
	return NULL;
}

/* --- one word --- */

struct splitter {
	const struct words *words;
	enum words_role role;
	struct sb_stemmer *stemmer;
	enum err (*fn)(void *ctx, struct str word);
	void *ctx;
	char word[WORD_BYTES_MAX];
	size_t len;
	bool has_letter;
};

static void put(struct splitter *s, const void *bytes, size_t len)
{
	if (s->len + len > sizeof(s->word))
		return;
	memcpy(s->word + s->len, bytes, len);
	s->len += len;
}

static void put_character(struct splitter *s, utf8proc_int32_t c)
{
	utf8proc_uint8_t bytes[4];

	if (!s->words->keep_case)
		c = utf8proc_tolower(c);
	s->has_letter |= is_letter(c);
	put(s, bytes, (size_t)utf8proc_encode_char(c, bytes));
}

/* Without accents: what the character is made of, but for its marks. */
static void put_folded(struct splitter *s, utf8proc_int32_t c)
{
	utf8proc_int32_t parts[8];
	const char *letters = folded(c);

	if (letters) {
		for (; *letters; letters++)
			put_character(s, *letters);
		return;
	}
	utf8proc_ssize_t n = utf8proc_decompose_char(c, parts, LEN(parts), UTF8PROC_DECOMPOSE | UTF8PROC_STRIPMARK, NULL);

	if (n < 0 || n > (utf8proc_ssize_t)LEN(parts)) {
		put_character(s, c);
		return;
	}
	for (utf8proc_ssize_t i = 0; i < n; i++)
		put_character(s, parts[i]);
}

static struct str stemmed(struct splitter *s)
{
	struct str word = { .data = s->word, .len = s->len };

	if (!s->stemmer)
		return word;
	const sb_symbol *stem = sb_stemmer_stem(s->stemmer, (const sb_symbol *)word.data, (int)word.len);

	/* NULL: no memory for it; the word itself is the next best */
	return stem ? (struct str){ .data = (const char *)stem, .len = (size_t)sb_stemmer_length(s->stemmer) } : word;
}

/* Each beginning of the word, as long as it may be. */
static enum err tell_prefixes(struct splitter *s, struct str word)
{
	const struct words *w = s->words;

	if (s->role == WORDS_OF_QUERY) {
		word.len = bytes_of(word, w->length_max);
		return s->fn(s->ctx, word);
	}
	for (uint64_t n = MAX(w->length_min, (uint64_t)1); n <= w->length_max; n++) {
		struct str prefix = { .data = word.data, .len = bytes_of(word, n) };
		enum err e = s->fn(s->ctx, prefix);

		if (e || prefix.len == word.len)
			return e;
	}
	return ERR_NONE;
}

/* What was put since the last one. */
static enum err end_word(struct splitter *s)
{
	const struct words *w = s->words;
	struct str word = { .data = s->word, .len = s->len };
	bool by_prefix = w->tokenizer == TOKENIZER_OF_PREFIXES, has_letter = s->has_letter;
	bool may_stop = !(by_prefix && s->role == WORDS_OF_QUERY); /* "the" may be the beginning of a word */

	if (word.len == 0)
		return ERR_NONE;
	s->has_letter = false;
	if ((w->tokenizer == TOKENIZER_OF_LANGUAGES && !has_letter) || (may_stop && map_get(&w->stop, word))) {
		s->len = 0;
		return ERR_NONE;
	}
	word = stemmed(s);
	s->len = 0;
	size_t length = characters(word);

	if (word.len == 0 || length < w->length_min || (!by_prefix && length > w->length_max))
		return ERR_NONE;
	return by_prefix ? tell_prefixes(s, word) : s->fn(s->ctx, word);
}

static enum err split(struct splitter *s, struct str text)
{
	const char *p = text.data, *end = p + text.len;
	enum err e = ERR_NONE;

	while (!e && p < end) {
		utf8proc_int32_t c;
		size_t n = take(p, end, &c);
		enum letter letter = letter_of(s->words, c);

		p += n;
		/* An accent that stands for itself belongs to the letter before it, whether it is kept or not. */
		if (letter == LETTER_NONE && s->words->folding && s->len > 0 && utf8proc_category(c) == UTF8PROC_CATEGORY_MN)
			continue;
		if (letter != LETTER_OF_WORD)
			e = end_word(s);
		if (e || letter == LETTER_NONE)
			continue;
		if (s->words->folding)
			put_folded(s, c);
		else
			put_character(s, c);
		if (letter == LETTER_ALONE)
			e = end_word(s);
	}
	return e ? e : end_word(s);
}

enum err words_each(const struct words *w, struct str text, enum words_role role,
		    enum err (*fn)(void *ctx, struct str word), void *ctx)
{
	struct splitter s = { .words = w, .role = role, .fn = fn, .ctx = ctx };

	if (text.len == 0)
		return ERR_NONE;
	if (w->language[0]) {
		s.stemmer = sb_stemmer_new(w->language, "UTF_8");
		if (!s.stemmer)
			return ERR_NO_MEMORY;
	}
	enum err e = split(&s, text);

	sb_stemmer_delete(s.stemmer);
	return e;
}

/* --- rows of words --- */

static enum err append_word(void *ctx, struct str word)
{
	static const uint8_t mark = WORDS_MARK;
	struct buf *row = ctx;

	if (row->len == 0)
		(void)buf_append_byte(row, mark); /* sticky */
	(void)buf_append_str(row, word);
	(void)buf_append_byte(row, mark);
	return buf_err(row);
}

enum err words_append(const struct words *w, struct str text, enum words_role role, struct buf *row)
{
	return words_each(w, text, role, append_word, row);
}

/* Does the document have the query's words, one by one? */
static bool words_in(const struct buf *query, const struct buf *document, bool all)
{
	if (query->len == 0 || document->len == 0)
		return false;
	const uint8_t *word = query->data, *end = word + query->len;

	while (word + 1 < end) {
		const uint8_t *mark = memchr(word + 1, WORDS_MARK, (size_t)(end - word) - 1);
		bool found = memmem(document->data, document->len, word, (size_t)(mark - word) + 1);

		if (found != all)
			return found;
		word = mark;
	}
	return all;
}

bool words_all_in(const struct buf *query, const struct buf *document)
{
	return words_in(query, document, true);
}

bool words_any_in(const struct buf *query, const struct buf *document)
{
	return words_in(query, document, false);
}

bool words_phrase_in(const struct buf *query, const struct buf *document)
{
	return query->len > 0 && document->len > 0 && memmem(document->data, document->len, query->data, query->len);
}

/* --- definitions --- */

static char *lowered(struct str word, char out[WORD_BYTES_MAX], size_t *ret_len)
{
	struct words plain = { .tokenizer = TOKENIZER_OF_SPACES };
	struct splitter s = { .words = &plain };
	const char *p = word.data, *end = p + word.len;

	while (p < end) {
		utf8proc_int32_t c;

		p += take(p, end, &c);
		put_character(&s, c);
	}
	memcpy(out, s.word, s.len);
	*ret_len = s.len;
	return out;
}

static enum err add_stop_word(struct words *w, struct str word, struct fault *reterr_fault)
{
	char lower[WORD_BYTES_MAX];

	if (word.len > WORD_BYTES_MAX || w->stop.count == WORDS_STOP_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "stopwords: at most %d words of %d bytes are allowed",
				 WORDS_STOP_MAX, WORD_BYTES_MAX);
	if (!w->keep_case)
		word.data = lowered(word, lower, &word.len);
	return map_put(&w->stop, word, w, NULL);
}

static enum err add_stop_language(struct words *w, struct str language, struct fault *reterr_fault)
{
	for (size_t i = 0; i < LEN(stop_words); i++) {
		if (strlen(stop_words[i].language) != language.len ||
		    memcmp(stop_words[i].language, language.data, language.len) != 0)
			continue;
		const char *p = stop_words[i].words;
		enum err e = ERR_NONE;

		while (!e && *p) {
			size_t len = strcspn(p, " ");

			e = add_stop_word(w, (struct str){ .data = p, .len = len }, reterr_fault);
			p += len + (p[len] == ' ');
		}
		return e;
	}
	return fault_set(reterr_fault, ERR_NOT_IMPLEMENTED,
			 "stop words of the language `%.*s`: give them as `custom` (english, german, french, spanish, "
			 "italian, portuguese and dutch are built in)",
			 (int)MIN(language.len, (size_t)64), language.data);
}

/* StopwordsSet{languages=1, custom=2} */
static enum err read_stop_words(struct words *w, struct bytes b, struct fault *reterr_fault)
{
	struct proto_reader r = proto_reader_of(b);
	enum err e = ERR_NONE;
	enum proto_type t;
	uint32_t field;

	while (!e && proto_next(&r, &field, &t)) {
		if (field == 1)
			e = add_stop_language(w, proto_string(&r, t), reterr_fault);
		else if (field == 2)
			e = add_stop_word(w, proto_string(&r, t), reterr_fault);
		else
			proto_skip(&r, t);
	}
	return e ? e : r.err;
}

/* StemmingAlgorithm{snowball=1: {language=1} | disabled=2} */
static enum err read_stemmer(struct words *w, struct bytes b, struct fault *reterr_fault)
{
	struct proto_reader r = proto_reader_of(b), in = { 0 };
	struct str language = { 0 };
	enum proto_type t;
	uint32_t field;

	while (proto_next(&r, &field, &t)) {
		if (field != 1) {
			proto_skip(&r, t);
			continue;
		}
		in = proto_reader_of(proto_bytes(&r, t));
		while (proto_next(&in, &field, &t)) {
			if (field == 1)
				language = proto_string(&in, t);
			else
				proto_skip(&in, t);
		}
	}
	if (r.err || in.err || !language.data)
		return r.err ? r.err : in.err;
	for (const char **name = sb_stemmer_list(); *name; name++)
		if (strlen(*name) == language.len && memcmp(*name, language.data, language.len) == 0 &&
		    language.len < sizeof(w->language)) {
			memcpy(w->language, language.data, language.len);
			return ERR_NONE;
		}
	return fault_set(reterr_fault, ERR_BAD_INPUT, "stemmer: Snowball has no language `%.*s`",
			 (int)MIN(language.len, (size_t)64), language.data);
}

/* TextIndexParams; stop words are read last, as they depend on the case. */
static enum err read_params(struct words *w, struct bytes b, struct fault *reterr_fault)
{
	struct proto_reader r = proto_reader_of(b);
	struct bytes stop = { 0 };
	enum err e = ERR_NONE;
	enum proto_type t;
	uint32_t field;

	while (!e && proto_next(&r, &field, &t)) {
		if (field == 1)
			w->tokenizer = (enum tokenizer)proto_varint(&r, t);
		else if (field == 2)
			w->keep_case = proto_varint(&r, t) == 0;
		else if (field == 3)
			w->length_min = proto_varint(&r, t);
		else if (field == 4)
			w->length_max = proto_varint(&r, t);
		else if (field == 6)
			stop = proto_bytes(&r, t);
		else if (field == 7)
			w->phrases = proto_varint(&r, t) != 0;
		else if (field == 8)
			e = read_stemmer(w, proto_bytes(&r, t), reterr_fault);
		else if (field == 9)
			w->folding = proto_varint(&r, t) != 0;
		else
			proto_skip(&r, t);
	}
	if (!e && r.err)
		e = r.err;
	return e ? e : read_stop_words(w, stop, reterr_fault);
}

enum err words_new(struct bytes params, struct words **ret_words, struct fault *reterr_fault)
{
	struct words *w = calloc(1, sizeof(*w));
	struct proto_reader r = proto_reader_of(params);
	enum err e = ERR_NONE;
	enum proto_type t;
	uint32_t field;

	if (!w)
		return ERR_NO_MEMORY;
	map_init(&w->stop);
	w->length_max = UINT64_MAX;
	while (!e && proto_next(&r, &field, &t)) {
		if (field == 1)
			e = read_params(w, proto_bytes(&r, t), reterr_fault);
		else
			proto_skip(&r, t);
	}
	if (!e)
		e = r.err;
	if (w->tokenizer < TOKENIZER_OF_PREFIXES || w->tokenizer > TOKENIZER_OF_LANGUAGES)
		w->tokenizer = TOKENIZER_OF_WORDS;
	if (w->tokenizer == TOKENIZER_OF_LANGUAGES) {
		w->keep_case = false;
		w->folding = true;
	}
	if (e) {
		words_free(w);
		return e;
	}
	*ret_words = w;
	return ERR_NONE;
}

void words_free(struct words *w)
{
	if (!w)
		return;
	map_release(&w->stop);
	free(w);
}

bool words_have_phrases(const struct words *w)
{
	return w->phrases;
}
