/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.def as data: what the walkers of message_json.c and message_proto.c go through, and what
 * the custom kinds of message_kinds.c and message_filter.c are given. Nobody else needs it but the
 * tests.
 */
#pragma once

#include "gateway/message.h"

/* The columns of message.def that are macros there. */
#define NO_KEY NULL
#define WHOLE ""
#define FLAT "*"

enum message_kind {
	KIND_STRING,
	KIND_BOOL,
	KIND_U32,
	KIND_U64,
	KIND_F32,
	KIND_F64,
	KIND_TIME,
	KIND_ENUM,
	KIND_MESSAGE,
	KIND_MAP,
	KIND_CUSTOM,
	KIND_LATER
};

enum message_role { ROLE_FIELD, ROLE_PARAM, ROLE_VIEW, ROLE_ALIAS, ROLE_LATER };

enum message_presence { PRESENCE_REQ, PRESENCE_OPT, PRESENCE_DEF };

/* One word of an enum; later: the words for it when it is not built. */
struct message_word {
	uint32_t number;
	const char *word;
	const char *later;
};

struct message_enum {
	const struct message_word *words;
	uint32_t count;
};

/* The word of that number or text; NULL when there is none. */
const struct message_word *message_word_of(const struct message_enum *e, uint32_t number);
const struct message_word *message_word_find(const struct message_enum *e, struct str word);

#define MESSAGE_PATH_MAX 24

/* What a reader carries along. The first error stays; after it everything returns soon. */
struct message_reading {
	struct arena *arena;
	enum err err;
	struct fault fault;
	unsigned depth; /* of path; deeper names are left out */
	struct str path[MESSAGE_PATH_MAX];
	int64_t index[MESSAGE_PATH_MAX]; /* of a list's item; -1: none */
	unsigned prefetch_depth;         /* message_query.c's */
	uint32_t prefetches;             /* so far */
};

void message_enter(struct message_reading *d, struct str name, int64_t index);
void message_leave(struct message_reading *d);
/* Each sets the error, if there is none, in words of its own kind. VALIDATION: "[path: words]". */
void message_invalid(struct message_reading *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void message_bad_input(struct message_reading *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void message_later(struct message_reading *d, const char *words);
void message_no_memory(struct message_reading *d);
/* The bytes are not protobuf, or not of the type that the field has. */
void message_bad_proto(struct message_reading *d);
/* arena_array, with the error set on failure. */
MUST_USE void *message_array(struct message_reading *d, size_t count, size_t size);
/* For a list that grows item by item: room for one more than count, which doubles. NULL on
 * failure. */
MUST_USE void *message_grow(struct message_reading *d, void *items, uint32_t count, size_t size);
/* "words `value` more", for the reader's sticky error, which must live as long as the arena. */
void message_json_fail(struct message_reading *d, struct json_reader *r, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* A kind whose shape differs between JSON and protobuf. Functions that a kind does not need are
 * NULL. */
struct message_custom {
	size_t size;
	bool takes_null; /* from_json is called for null too */
	void (*from_json)(struct message_reading *d, struct json_reader *r, void *member);
	/* One occurrence; r stands behind the tag. */
	void (*from_proto)(struct message_reading *d, struct proto_reader *r, enum proto_type t,
			   void *member);
	/* Instead of it, once: all occurrences of the field in the message. */
	void (*from_parent)(struct message_reading *d, struct bytes parent, uint32_t field,
			    void *member);
	/* Path and query parameters. False: the text is not one. */
	bool (*from_text)(struct message_reading *d, struct str text, void *member);
	const char *text_form; /* what it reads: "a point id" */
	/* REQ, and not in the protobuf message; NULL: that is an error. */
	void (*absent)(struct message_reading *d, void *member);
	void (*to_json)(const void *member, struct json_writer *w);
	void (*to_proto)(const void *member, uint32_t field, struct buf *out);
	/* Ranges of the messages inside it. */
	void (*check)(struct message_reading *d, const void *member);
};

#define NO_FLAG SIZE_MAX

struct message_row {
	const char *member;
	const char *json;
	uint32_t proto;
	enum message_role role;
	enum message_kind kind;
	bool list; /* {items, count} of the kind */
	enum message_presence presence;
	int value; /* of DEF; of a custom kind its first member, an int or enum */
	size_t offset;
	size_t has_offset; /* NO_FLAG */
	bool has_min, has_max;
	double min, max;
	union {
		const struct message *message;
		const struct message_enum *words;
		const struct message_custom *custom;
		const char *later;
	};
};

#define MESSAGE_ROWS_MAX 64 /* as many as a uint64_t has bits */

struct message {
	const char *name;
	enum message_shape shape;
	size_t size;
	const struct message_row *rows;
	uint32_t row_count;
};

/* Lists and maps in memory, whatever their items are. */
struct message_list {
	void *items;
	uint32_t count;
};
struct message_map {
	struct str *keys;
	void *items;
	uint32_t count;
};

size_t message_kind_size(const struct message_row *row);
bool message_has(const struct message_row *row, const void *in);
void message_set_has(const struct message_row *row, void *out);
/* Is it to be written? DEF: only when it differs from its default. */
bool message_present(const struct message_row *row, const void *in);

/* The nested forms: no end of text, no validation. */
void message_read_json(struct message_reading *d, struct json_reader *r, const struct message *m,
		       void *out);
void message_read_proto(struct message_reading *d, const struct message *m, struct bytes b,
			void *out);
/* Its ranges, and those inside it, but for parameters. */
void message_check(struct message_reading *d, const struct message *m, const void *in);
/* UNION: exactly one field. */
void message_check_union(struct message_reading *d, const struct message *m, const void *in);
