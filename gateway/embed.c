/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/embed.h"

#include <string.h>

#include "base/hash.h"
#include "index/distance.h"

#define EMBED_SEED 0x15734d05u
#define WORD_BYTES_MAX 48
#define GRAM_MIN 3
#define GRAM_MAX 5

static const char *const stop_words[] = {
	"a", "an", "and", "are", "as", "at", "by", "can", "for", "from", "has", "in", "is", "it", "its",
	"of", "on", "or", "that", "the", "this", "to", "use", "used", "using", "which", "with", "you", "your",
};

static bool is_stop_word(struct str word)
{
	for (size_t i = 0; i < LEN(stop_words); i++) {
		if (strlen(stop_words[i]) == word.len && memcmp(stop_words[i], word.data, word.len) == 0)
			return true;
	}
	return false;
}

/* One hashed feature: the lowest bit of the hash gives the sign, the rest the dimension. */
static void add_feature(float v[EMBED_DIM], struct str feature, uint64_t salt, float weight)
{
	uint64_t h = hash64(feature.data, feature.len, EMBED_SEED + salt);

	v[(h >> 1) % EMBED_DIM] += (h & 1) != 0 ? weight : -weight;
}

static void add_grams(float v[EMBED_DIM], struct str word, float weight)
{
	char padded[WORD_BYTES_MAX + 2];
	size_t len = word.len + 2;
	size_t grams = 0;

	padded[0] = '<';
	memcpy(padded + 1, word.data, word.len);
	padded[len - 1] = '>';
	for (size_t n = GRAM_MIN; n <= GRAM_MAX && n <= len; n++)
		grams += len - n + 1;
	for (size_t n = GRAM_MIN; n <= GRAM_MAX && n <= len; n++) {
		for (size_t i = 0; i + n <= len; i++)
			add_feature(v, (struct str){ padded + i, n }, n,
				    weight * EMBED_GRAM_WEIGHT * EMBED_WORD_HASHES / (float)grams);
	}
}

static void add_word(float v[EMBED_DIM], struct str word, float weight)
{
	if (is_stop_word(word))
		return;
	for (uint64_t i = 0; i < EMBED_WORD_HASHES; i++)
		add_feature(v, word, 16 + i, weight);
	add_grams(v, word, weight);
}

static bool is_word_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c > 127;
}

void embed_add(float v[EMBED_DIM], struct str text, float weight)
{
	char word[WORD_BYTES_MAX];
	size_t len = 0;

	for (size_t i = 0; i <= text.len; i++) {
		unsigned char c = i < text.len ? (unsigned char)text.data[i] : ' ';

		if (is_word_byte(c)) {
			if (len < sizeof(word))
				word[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
			continue;
		}
		if (len > 0)
			add_word(v, (struct str){ word, len }, weight);
		len = 0;
	}
}

void embed_finish(float v[EMBED_DIM])
{
	distance_normalize(v, EMBED_DIM);
}
