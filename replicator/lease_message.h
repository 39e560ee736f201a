/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What voters tell one another about leases. A frame goes from one region to another over their own connection and
 * carries an item for each scope that has something to say, so all scopes of a pair renew in one frame. Format at
 * the top of lease_message.c. Pure; any thread.
 */
#pragma once

#include "replicator/change.h"
#include "replicator/voters.h"

enum lease_kind {
#define LEASE_KIND(name, number, word) LEASE_##name = (number),
#include "replicator/lease_message.def"
#undef LEASE_KIND
};

enum lease_answer {
#define LEASE_ANSWER(name, number, word) LEASE_ANSWER_##name = (number),
#include "replicator/lease_answer.def"
#undef LEASE_ANSWER
};

const char *lease_kind_name(enum lease_kind k);
const char *lease_answer_name(enum lease_answer a);

/* Who speaks, and since when (rule 9). */
struct lease_identity {
	uint8_t region;
	uint8_t store_id[STORE_ID_BYTES]; /* random, of the store */
	uint64_t boots;                   /* how often that store was opened */
	uint64_t nonce;                   /* drawn at each start; not 0 */
};

/* What a holder last said of itself: how far an automatic promotion would fall behind (rule 19). */
struct lease_renewed {
	struct position position;
	uint64_t wall_ms; /* the holder's clock then */
};

#define LEASE_ITEM_DATA 1u /* the sender holds data */
#define LEASE_ITEM_FIT 2u  /* and may be the primary */
#define LEASE_ITEM_ABLE 4u /* a member of the voter list like this one could do its part: nothing is amiss here */
#define LEASE_ITEM_REPLACED 8u /* the voter list has this region with another store, or had when this one was told of it */

/* One scope's part of a frame. All kinds have all fields; what a kind does not need is 0. */
struct lease_item {
	uint16_t scope;
	enum lease_kind kind;
	enum lease_answer answer;
	uint8_t flags;            /* LEASE_ITEM_… */
	uint8_t target;           /* RELEASE: to whom; 0: to anybody */
	uint64_t round;           /* the asker's number for this question, in the answer the same */
	uint64_t asker;           /* in an answer: the nonce of who asked. Answers to an earlier start mean nothing */
	uint64_t epoch;           /* that is asked for; POLL: 0 */
	uint64_t promised;        /* the highest by the sender */
	uint64_t logged;          /* the newest epoch in the sender's logs, orphans included */
	struct position position; /* the sender's; in an answer to PROMISE, as it was in the promise's transaction */
	struct position confirmed;
	struct position oldest;   /* the first op after which the sender's log holds all */
	uint64_t stamp_ms;        /* when the op at `position` was written, by its writer's clock */
	uint32_t remaining_ms;    /* that the sender is bound to another region */
	struct lease_renewed renewed;
	uint64_t list_number;     /* of the sender's list */
	const struct voter_list *list;    /* NULL: not told. Borrowed */
	const struct voter_list *pending;
};

struct lease_frame {
	uint64_t fleet;
	struct lease_identity from;
	uint64_t wall_ms; /* the sender's clock when sending */
	const struct lease_item *items;
	uint32_t count;
};

#define LEASE_FRAME_BYTES_MAX (64u << 10)

/* Appends to out. ERR_BAD_INPUT outside the bounds; ERR_TOO_LARGE: out is full. */
MUST_USE enum err lease_frame_encode(const struct lease_frame *f, struct buf *out);
/* Items and lists are in the arena. ERR_VERSION: from a newer Isthmus; ERR_CORRUPT; ERR_NO_MEMORY. */
MUST_USE enum err lease_frame_decode(struct bytes b, struct arena *a, struct lease_frame *ret_frame,
				     struct fault *reterr_fault);
