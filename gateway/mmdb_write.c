/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree is built by insertion, then made as small as it can be from the leaves up (two children that say the same
 * become one), then numbered in the order in which it is walked. The aliases of IPv4 come between, because they make
 * the tree one no more: several records name the same node.
 */
#include "gateway/mmdb_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/panic.h"

#define NODES_FIRST 1024
#define BITS 128
#define V4_BITS 96
#define SEPARATOR_BYTES 16
#define MARKER "\xab\xcd\xefMaxMind.com"
#define METADATA_BYTES_MAX ((size_t)64 << 10)
#define POINTER_BYTES_MAX 5
#define SIZE_MAX_OF_FORMAT ((1u << 24) - 1)

/* A child of a node: nothing, the number of a node (the root is nobody's child), or a value. */
#define EMPTY 0u
#define VALUE_FLAG 0x80000000u
_Static_assert(MMDB_WRITE_NODES_MAX < VALUE_FLAG && MMDB_WRITE_DATA_BYTES_MAX < VALUE_FLAG,
	       "the flag is above both");

/* As the format numbers them. */
enum type {
	TYPE_POINTER = 1,
	TYPE_TEXT = 2,
	TYPE_DOUBLE = 3,
	TYPE_U16 = 5,
	TYPE_U32 = 6,
	TYPE_MAP = 7,
	TYPE_U64 = 9,
	TYPE_ARRAY = 11,
	TYPE_BOOL = 14,
	TYPE_FLOAT = 15,
	TYPE_EXTENDED_FIRST = 8
};

struct node {
	uint32_t children[2];
};

struct mmdb_writer {
	unsigned ip_version;
	char *type;
	char *description;
	uint64_t build_epoch;
	struct node *nodes;
	uint32_t count, cap;
	struct buf data;
	struct map offsets;        /* bytes of a value, without pointers -> where it stands, and one */
	/* While it is finished. */
	uint32_t *numbers;         /* of a node: its place in the file, and one; 0: not walked */
	uint32_t *order;           /* of a place: the node */
	uint32_t numbered;
};

/* --- values --- */

static void put_control(struct buf *out, enum type type, size_t size)
{
	unsigned first = type < TYPE_EXTENDED_FIRST ? (unsigned)type << 5 : 0;
	uint8_t more[3];
	unsigned more_count = 0;

	if (size < 29) {
		first |= (unsigned)size;
	} else if (size < 285) {
		first |= 29;
		more[more_count++] = (uint8_t)(size - 29);
	} else if (size < 65821) {
		first |= 30;
		more[more_count++] = (uint8_t)((size - 285) >> 8);
		more[more_count++] = (uint8_t)(size - 285);
	} else {
		ASSERT(size - 65821 < 1u << 24);
		first |= 31;
		more[more_count++] = (uint8_t)((size - 65821) >> 16);
		more[more_count++] = (uint8_t)((size - 65821) >> 8);
		more[more_count++] = (uint8_t)(size - 65821);
	}
	buf_append_byte(out, (uint8_t)first);
	if (type >= TYPE_EXTENDED_FIRST)
		buf_append_byte(out, (uint8_t)(type - 7));
	buf_append(out, more, more_count);
}

static void put_big_endian(struct buf *out, uint64_t v, unsigned bytes)
{
	while (bytes-- > 0)
		buf_append_byte(out, (uint8_t)(v >> (8 * bytes)));
}

/* As few bytes as there are; none for 0. */
static void put_whole(struct buf *out, enum type type, uint64_t v)
{
	unsigned bytes = 0;

	while (bytes < 8 && v >> (8 * bytes) != 0)
		bytes++;
	put_control(out, type, bytes);
	put_big_endian(out, v, bytes);
}

static void put_text(struct buf *out, struct str text)
{
	put_control(out, TYPE_TEXT, text.len);
	buf_append(out, text.data, text.len);
}

static void put_double(struct buf *out, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_control(out, TYPE_DOUBLE, sizeof(bits));
	put_big_endian(out, bits, sizeof(bits));
}

static void put_float(struct buf *out, float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	put_control(out, TYPE_FLOAT, sizeof(bits));
	put_big_endian(out, bits, sizeof(bits));
}

/* Everything but what is within maps and arrays. */
static void put_plain(struct buf *out, const struct mmdb_value *v)
{
	switch (v->kind) {
	case MMDB_WRITE_TEXT:
		put_text(out, v->text);
		return;
	case MMDB_WRITE_DOUBLE:
		put_double(out, v->number);
		return;
	case MMDB_WRITE_FLOAT:
		put_float(out, (float)v->number);
		return;
	case MMDB_WRITE_U16:
		put_whole(out, TYPE_U16, (uint16_t)v->whole);
		return;
	case MMDB_WRITE_U32:
		put_whole(out, TYPE_U32, (uint32_t)v->whole);
		return;
	case MMDB_WRITE_U64:
		put_whole(out, TYPE_U64, v->whole);
		return;
	case MMDB_WRITE_BOOL:
		put_control(out, TYPE_BOOL, v->whole != 0);
		return;
	case MMDB_WRITE_MAP:
		put_control(out, TYPE_MAP, v->count);
		return;
	case MMDB_WRITE_ARRAY:
		put_control(out, TYPE_ARRAY, v->count);
		return;
	}
}

/* Without pointers: what makes two values the same. Recursion ends at MMDB_WRITE_DEPTH_MAX. */
static enum err put_whole_value(struct buf *out, const struct mmdb_value *v, unsigned depth)
{
	enum err err = ERR_NONE;

	if (depth > MMDB_WRITE_DEPTH_MAX || v->text.len > SIZE_MAX_OF_FORMAT || v->count > SIZE_MAX_OF_FORMAT)
		return ERR_BAD_INPUT;
	put_plain(out, v);
	for (uint32_t i = 0; i < v->count && !err; i++) {
		if (v->kind == MMDB_WRITE_MAP)
			put_text(out, v->items[i].key);
		err = put_whole_value(out, &v->items[i].value, depth + 1);
	}
	return err ? err : buf_err(out);
}

static void put_pointer(struct buf *out, uint32_t to)
{
	unsigned first = (unsigned)TYPE_POINTER << 5;

	if (to < 2048) {
		buf_append_byte(out, (uint8_t)(first | to >> 8));
		put_big_endian(out, to, 1);
	} else if (to < 526336) {
		buf_append_byte(out, (uint8_t)(first | 1 << 3 | (to - 2048) >> 16));
		put_big_endian(out, to - 2048, 2);
	} else if (to < 134744064) {
		buf_append_byte(out, (uint8_t)(first | 2 << 3 | (to - 526336) >> 24));
		put_big_endian(out, to - 526336, 3);
	} else {
		buf_append_byte(out, (uint8_t)(first | 3 << 3));
		put_big_endian(out, to, 4);
	}
}

static unsigned pointer_bytes(uint32_t to)
{
	return to < 2048 ? 2 : to < 526336 ? 3 : to < 134744064 ? 4 : POINTER_BYTES_MAX;
}

/* In the data section: pointed at when that is shorter, and never when *ret_offset is asked for, which nobody may look
 * for at a pointer. */
static enum err put_shared(struct mmdb_writer *w, const struct mmdb_value *v, uint32_t *ret_offset)
{
	CLEANUP(buf_release) struct buf whole = BUF_INIT(MMDB_WRITE_DATA_BYTES_MAX);
	enum err err = put_whole_value(&whole, v, 0);
	if (err)
		return err;
	uintptr_t found = (uintptr_t)map_get(&w->offsets, buf_str(&whole));
	if (found && ret_offset) {
		*ret_offset = (uint32_t)(found - 1);
		return ERR_NONE;
	}
	if (found && pointer_bytes((uint32_t)(found - 1)) < whole.len) {
		put_pointer(&w->data, (uint32_t)(found - 1));
		return buf_err(&w->data);
	}
	uint32_t at = (uint32_t)w->data.len;
	put_plain(&w->data, v);
	for (uint32_t i = 0; i < v->count && !err; i++) {
		const struct mmdb_value key = { .kind = MMDB_WRITE_TEXT, .text = v->items[i].key };
		if (v->kind == MMDB_WRITE_MAP)
			err = put_shared(w, &key, NULL);
		if (!err)
			err = put_shared(w, &v->items[i].value, NULL);
	}
	if (!err)
		err = buf_err(&w->data);
	/* The first place counts: nearer to the beginning, pointers to it are shorter. */
	if (!err && !found)
		err = map_put(&w->offsets, buf_str(&whole), (void *)((uintptr_t)at + 1), NULL);
	if (!err && ret_offset)
		*ret_offset = at;
	return err;
}

enum err mmdb_writer_value(struct mmdb_writer *w, const struct mmdb_value *v, uint32_t *ret_value)
{
	return put_shared(w, v, ret_value);
}

/* --- the tree --- */

struct mmdb_address mmdb_address_v4(uint32_t address)
{
	struct mmdb_address a = { 0 };

	for (unsigned i = 0; i < 4; i++)
		a.bytes[12 + i] = (uint8_t)(address >> (24 - 8 * i));
	return a;
}

static unsigned bit_of(const struct mmdb_address *a, unsigned i)
{
	return a->bytes[i / 8] >> (7 - i % 8) & 1u;
}

static enum err add_node(struct mmdb_writer *w, uint32_t children, uint32_t *ret_node)
{
	if (w->count == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : NODES_FIRST;
		if (w->cap >= MMDB_WRITE_NODES_MAX)
			return ERR_TOO_LARGE;
		struct node *grown = realloc(w->nodes, (size_t)cap * sizeof(*grown));
		if (!grown)
			return ERR_NO_MEMORY;
		w->nodes = grown;
		w->cap = cap;
	}
	w->nodes[w->count] = (struct node){ { children, children } };
	*ret_node = w->count++;
	return ERR_NONE;
}

static bool is_node(uint32_t child)
{
	return child != EMPTY && !(child & VALUE_FLAG);
}

/* The network gets the child, whatever was there. */
static enum err set_child(struct mmdb_writer *w, const struct mmdb_address *network, unsigned from, unsigned prefix,
			  uint32_t child)
{
	uint32_t at = 0;

	if (prefix == from) {
		w->nodes[0] = (struct node){ { child, child } };
		return ERR_NONE;
	}
	for (unsigned i = from; i + 1 < prefix; i++) {
		unsigned bit = bit_of(network, i);
		uint32_t next = w->nodes[at].children[bit];
		if (!is_node(next)) {
			/* What the wider network said still holds beside this one. */
			enum err err = add_node(w, next, &next);
			if (err)
				return err;
			w->nodes[at].children[bit] = next;
		}
		at = next;
	}
	w->nodes[at].children[bit_of(network, prefix - 1)] = child;
	return ERR_NONE;
}

static unsigned first_bit(const struct mmdb_writer *w)
{
	return w->ip_version == 4 ? V4_BITS : 0;
}

enum err mmdb_writer_add(struct mmdb_writer *w, struct mmdb_address network, unsigned prefix, uint32_t value)
{
	static const struct mmdb_address v4 = { 0 };

	if (prefix > BITS || prefix < first_bit(w) || memcmp(&network, &v4, first_bit(w) / 8) != 0)
		return ERR_BAD_INPUT;
	ASSERT(value < w->data.len);
	return set_child(w, &network, first_bit(w), prefix, value | VALUE_FLAG);
}

static unsigned __int128 number_of(const struct mmdb_address *a)
{
	unsigned __int128 n = 0;

	for (unsigned i = 0; i < sizeof(a->bytes); i++)
		n = n << 8 | a->bytes[i];
	return n;
}

static struct mmdb_address address_of(unsigned __int128 n)
{
	struct mmdb_address a;

	for (unsigned i = sizeof(a.bytes); i-- > 0; n >>= 8)
		a.bytes[i] = (uint8_t)n;
	return a;
}

enum err mmdb_writer_add_range(struct mmdb_writer *w, struct mmdb_address first, struct mmdb_address last,
			       uint32_t value, uint32_t *ret_networks)
{
	unsigned __int128 at = number_of(&first);
	unsigned __int128 end = number_of(&last);
	uint32_t networks = 0;

	if (at > end)
		return ERR_BAD_INPUT;
	for (;;) {
		/* The widest network that begins here and does not reach beyond the end. */
		unsigned wide = 0;
		unsigned __int128 rest = 0;
		while (wide < BITS && !(at >> wide & 1) && at + (rest << 1 | 1) <= end && at + (rest << 1 | 1) >= at) {
			rest = rest << 1 | 1;
			wide++;
		}
		enum err err = mmdb_writer_add(w, address_of(at), BITS - wide, value);
		if (err)
			return err;
		networks++;
		if (at + rest == end)
			break;
		at += rest + 1;
	}
	if (ret_networks)
		*ret_networks = networks;
	return ERR_NONE;
}

/* What stands for the node when all below it is as small as it can be. Recursion ends with the address. */
static uint32_t shrink(struct mmdb_writer *w, uint32_t at)
{
	for (unsigned side = 0; side < 2; side++)
		if (is_node(w->nodes[at].children[side])) {
			/* The array does not move: nothing is added meanwhile. */
			uint32_t child = shrink(w, w->nodes[at].children[side]);
			w->nodes[at].children[side] = child;
		}
	const struct node *n = &w->nodes[at];
	return n->children[0] == n->children[1] && !is_node(n->children[0]) ? n->children[0] : at;
}

static enum err add_aliases(struct mmdb_writer *w)
{
	static const struct {
		struct mmdb_address network;
		unsigned prefix;
	} aliases[] = {
		{ { { [10] = 0xff, [11] = 0xff } }, 96 },
		{ { { 0x20, 0x02 } }, 16 },
	};
	uint32_t v4 = 0;

	for (unsigned i = 0; i < V4_BITS && (i == 0 || is_node(v4)); i++)
		v4 = w->nodes[v4].children[0];
	for (size_t i = 0; i < LEN(aliases) && v4 != EMPTY; i++) {
		enum err err = set_child(w, &aliases[i].network, 0, aliases[i].prefix, v4);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* Recursion ends with the address. */
static void number(struct mmdb_writer *w, uint32_t at)
{
	w->order[w->numbered] = at;
	w->numbers[at] = ++w->numbered;
	for (unsigned side = 0; side < 2; side++) {
		uint32_t child = w->nodes[at].children[side];
		if (is_node(child) && w->numbers[child] == 0)
			number(w, child);
	}
}

static uint32_t record_of(const struct mmdb_writer *w, uint32_t child)
{
	if (child == EMPTY)
		return w->numbered;
	return child & VALUE_FLAG ? w->numbered + SEPARATOR_BYTES + (child & ~VALUE_FLAG) : w->numbers[child] - 1;
}

static unsigned record_bits(const struct mmdb_writer *w)
{
	uint64_t greatest = (uint64_t)w->numbered + SEPARATOR_BYTES + w->data.len;

	return greatest < 1u << 24 ? 24 : greatest < 1u << 28 ? 28 : 32;
}

static void put_node(struct buf *out, unsigned bits, uint32_t left, uint32_t right)
{
	if (bits == 28) {
		put_big_endian(out, left & 0xffffff, 3);
		buf_append_byte(out, (uint8_t)(left >> 24 << 4 | right >> 24));
		put_big_endian(out, right & 0xffffff, 3);
		return;
	}
	put_big_endian(out, left, bits / 8);
	put_big_endian(out, right, bits / 8);
}

static enum err put_tree(struct mmdb_writer *w, struct buf *out)
{
	w->numbers = calloc(w->count, sizeof(*w->numbers));
	w->order = calloc(w->count, sizeof(*w->order));
	if (!w->numbers || !w->order)
		return ERR_NO_MEMORY;
	number(w, 0);
	for (uint32_t i = 0; i < w->numbered; i++) {
		const struct node *n = &w->nodes[w->order[i]];
		put_node(out, record_bits(w), record_of(w, n->children[0]), record_of(w, n->children[1]));
	}
	put_big_endian(out, 0, 8);
	put_big_endian(out, 0, 8);
	return buf_err(out);
}

/* --- the file --- */

static struct str text_of(const char *text)
{
	return (struct str){ text, strlen(text) };
}

static enum err put_metadata(const struct mmdb_writer *w, struct buf *out)
{
	const struct mmdb_item description = { STR("en"), { .kind = MMDB_WRITE_TEXT, .text = text_of(w->description) } };
	const struct mmdb_item language = { .value = { .kind = MMDB_WRITE_TEXT, .text = STR("en") } };
	const struct mmdb_item items[] = {
		{ STR("binary_format_major_version"), { .kind = MMDB_WRITE_U16, .whole = 2 } },
		{ STR("binary_format_minor_version"), { .kind = MMDB_WRITE_U16, .whole = 0 } },
		{ STR("build_epoch"), { .kind = MMDB_WRITE_U64, .whole = w->build_epoch } },
		{ STR("database_type"), { .kind = MMDB_WRITE_TEXT, .text = text_of(w->type) } },
		{ STR("description"), { .kind = MMDB_WRITE_MAP, .items = &description, .count = 1 } },
		{ STR("ip_version"), { .kind = MMDB_WRITE_U16, .whole = w->ip_version } },
		{ STR("languages"), { .kind = MMDB_WRITE_ARRAY, .items = &language, .count = 1 } },
		{ STR("node_count"), { .kind = MMDB_WRITE_U32, .whole = w->numbered } },
		{ STR("record_size"), { .kind = MMDB_WRITE_U16, .whole = record_bits(w) } },
	};
	const struct mmdb_value all = { .kind = MMDB_WRITE_MAP, .items = items, .count = LEN(items) };
	CLEANUP(buf_release) struct buf metadata = BUF_INIT(METADATA_BYTES_MAX);
	enum err err = put_whole_value(&metadata, &all, 0);
	if (err)
		return err;
	buf_append(out, MARKER, sizeof(MARKER) - 1);
	return buf_append_str(out, buf_str(&metadata));
}

enum err mmdb_writer_finish(struct mmdb_writer *w, struct buf *out, uint32_t *ret_nodes)
{
	uint32_t all = shrink(w, 0);
	/* A tree has a root, even if it says one thing of all addresses, and of these it does. */
	ASSERT(all == 0 || w->nodes[0].children[0] == all);
	enum err err = w->ip_version == 6 ? add_aliases(w) : ERR_NONE;
	if (!err)
		err = put_tree(w, out);
	if (!err)
		err = buf_append_str(out, buf_str(&w->data));
	if (!err)
		err = put_metadata(w, out);
	if (!err && ret_nodes)
		*ret_nodes = w->numbered;
	return err;
}

enum err mmdb_writer_new(const struct mmdb_writer_options *o, struct mmdb_writer **ret_writer)
{
	uint32_t root;
	struct mmdb_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return ERR_NO_MEMORY;
	ASSERT(o->ip_version == 4 || o->ip_version == 6);
	w->ip_version = o->ip_version;
	w->build_epoch = o->build_epoch;
	w->data = BUF_INIT(MMDB_WRITE_DATA_BYTES_MAX);
	map_init(&w->offsets);
	w->type = strdup(o->type);
	w->description = strdup(o->description);
	if (!w->type || !w->description || add_node(w, EMPTY, &root)) {
		mmdb_writer_free(w);
		return ERR_NO_MEMORY;
	}
	*ret_writer = w;
	return ERR_NONE;
}

void mmdb_writer_set_epoch(struct mmdb_writer *w, uint64_t build_epoch)
{
	w->build_epoch = build_epoch;
}

void mmdb_writer_free(struct mmdb_writer *w)
{
	if (!w)
		return;
	map_release(&w->offsets);
	buf_release(&w->data);
	free(w->nodes);
	free(w->numbers);
	free(w->order);
	free(w->type);
	free(w->description);
	free(w);
}
