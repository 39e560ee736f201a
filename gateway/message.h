/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the API: structs, made from message.def, one row per field: member, JSON key, protobuf number,
 * kind. Two readers and two writers walk the table, so what is true by REST is true by gRPC. Kinds whose shape
 * differs between the two (point id, vectors, payload, filter …) are quadruples of functions in message_kinds.c.
 * Everything read lies in the request's arena; a struct starts zeroed, and `has_x` says of optional members whether they
 * were there. Unknown JSON keys and protobuf fields are passed over (filters refuse them, as Qdrant does).
 */
#pragma once

#include "base/json.h"
#include "base/proto.h"
#include "index/collection.h"

struct message;   /* the description of one message type */

#define MESSAGE(name) extern const struct message message_##name;
#include "gateway/message_names.def"
#undef MESSAGE

#include "gateway/message_types.h"

const char *message_name(const struct message *m);
size_t message_size(const struct message *m);

/* Errors name the field: ERR_BAD_REQUEST (shape, types: "Format error in JSON body: …"), ERR_VALIDATION (ranges). */
MUST_USE enum err message_from_json(const struct message *m, struct json_reader *r, struct arena *a, void *out,
				    struct fault *reterr_fault);
MUST_USE enum err message_from_proto(const struct message *m, struct bytes b, struct arena *a, void *out,
				     struct fault *reterr_fault);
/* One field given as text: path and query parameters. ERR_NOT_FOUND: the message has no such field. */
MUST_USE enum err message_set_text(const struct message *m, void *out, struct str json_key, struct str text,
				   struct arena *a, struct fault *reterr_fault);
/* Appends; out carries the error. */
void message_to_json(const struct message *m, const void *in, struct json_writer *w);
void message_to_proto(const struct message *m, const void *in, struct buf *out);
/* Ranges and lengths of the rows (min, max); ERR_VALIDATION names the field's path. The readers call it. */
MUST_USE enum err message_validate(const struct message *m, const void *in, struct fault *reterr_fault);
