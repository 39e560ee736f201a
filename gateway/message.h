/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the API: structs, made from message.def, one row per field: member, JSON key,
 * protobuf number, kind. Two readers and two writers walk the table, so what is true by REST is
 * true by gRPC. Kinds whose shape differs between the two (point id, vectors, payload, filter …)
 * are functions in message_kinds.c and message_filter.c. Everything read lies in the request's
 * arena; a struct starts zeroed, and `has_x` says of optional members whether they were there.
 * Unknown JSON keys and protobuf fields are passed over (filters refuse them, as Qdrant does).
 */
#pragma once

#include "base/json.h"
#include "base/proto.h"
#include "index/collection.h"

struct message; /* the description of one message type */

#define MESSAGE(name) extern const struct message message_##name;
#include "gateway/message_names.def"
#undef MESSAGE

#include "gateway/message_types.h"

const char *message_name(const struct message *m);
size_t message_size(const struct message *m);
/* out is zeroed; writes the defaults that are not zero. The readers do it themselves. */
void message_set_defaults(const struct message *m, void *out);

/* What a reply consists of: OBJECT and UNION go into an envelope as its result, DOCUMENT stands
 * alone. In the others the handler made the text: JSON_RESULT goes into an envelope,
 * JSON_DOCUMENT, TEXT and BYTES stand alone. */
enum message_shape {
	SHAPE_OBJECT,
	SHAPE_UNION,
	SHAPE_DOCUMENT,
	SHAPE_JSON_RESULT,
	SHAPE_JSON_DOCUMENT,
	SHAPE_TEXT,
	SHAPE_BYTES
};
/* The collection that the message is about; data == NULL: it has no such field. */
struct str message_collection(const struct message *m, const void *in);
bool message_has_collection(const struct message *m);
enum message_shape message_shape(const struct message *m);
/* Does REST carry any of it in a body? */
bool message_has_body(const struct message *m);

/* Reads the whole text. ERR_BAD_REQUEST: not JSON or of wrong types, with line and column;
 * ERR_VALIDATION: "[path: words]"; ERR_BAD_INPUT; ERR_NOT_IMPLEMENTED names the feature. Path and
 * query parameters are left for message_set_text(). */
MUST_USE enum err message_from_json(const struct message *m, struct json_reader *r, struct arena *a,
				    void *out, struct fault *reterr_fault);
MUST_USE enum err message_from_proto(const struct message *m, struct bytes b, struct arena *a,
				     void *out, struct fault *reterr_fault);
/* One whole number of a message in protobuf's form, by its name, without reading the rest; false: it has none. */
bool message_peek(const struct message *m, struct bytes b, const char *member, uint64_t *ret_value);
/* The same, of a message within it. */
bool message_peek_bytes(const struct message *m, struct bytes b, const char *member, struct bytes *ret_bytes);
/* One PARAM given as text, decoded, in the arena. ERR_NOT_FOUND: the message has none of that
 * name. */
MUST_USE enum err message_set_text(const struct message *m, void *out, struct str json_key,
				   struct str text, struct arena *a, struct fault *reterr_fault);
/* Appends; out carries the error. */
void message_to_json(const struct message *m, const void *in, struct json_writer *w);
void message_to_proto(const struct message *m, const void *in, struct buf *out);
/* The time it took, for replies that carry it (protobuf's do). */
void message_set_time(const struct message *m, void *out, double seconds);
/* Ranges and lengths of the rows; ERR_VALIDATION names the field's path. The readers call it,
 * message_from_json() for all but the parameters. */
MUST_USE enum err message_validate(const struct message *m, const void *in,
				   struct fault *reterr_fault);
