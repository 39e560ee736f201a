/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: one enum for the whole house, from the table err.def. 0 is good.
 * A fallible function returns enum err and says MUST_USE. Where words are owed to a person, the last
 * parameter is `struct fault *reterr_fault`, set only on failure; it may be NULL.
 */
#pragma once

#include "base/macros.h"

enum err {
	ERR_NONE = 0,
#define ERR(name, http, grpc, sentence) ERR_##name,
#include "base/err.def"
#undef ERR
	ERR_COUNT
};

#define FAULT_TEXT_MAX 512

/* What went wrong, in words that name the field, the file or the region. */
struct fault {
	enum err err;
	char text[FAULT_TEXT_MAX];
};

const char *err_name(enum err e);
const char *err_sentence(enum err e);
int err_http_status(enum err e);
int err_grpc_status(enum err e);

/* Translates errno; anything unknown is ERR_IO. */
enum err err_from_errno(int errnum);

/* Fills *f (which may be NULL) and returns e, so that `return fault_set(f, ERR_IO, "…")` reads well. */
enum err fault_set(struct fault *f, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The words: the fault's own, or the sentence of its error when it has none. */
const char *fault_text(const struct fault *f);
