/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of a lease share: lease.c (identity, storing, the way in and out), lease_voter.c, lease_bid.c (the
 * candidate), lease_term.c (the holder), lease_member.c (who is there). Theirs alone.
 */
#pragma once

#include "replicator/lease.h"

#define LEASE_NEVER UINT64_MAX
/* While a list is pending one voter may be in only one of both lists. */
#define LEASE_ASKED_MAX (VOTERS_MAX + 1)
/* Messages to oneself that one input can give rise to, and their answers. */
#define LEASE_INBOX_MAX 16
/* A holder remembers when it sent so many renewals. */
#define LEASE_ROUNDS_MAX 16

/* To whom this voter is bound, and until when. */
struct lease_bound {
	uint64_t epoch;
	uint8_t holder;
	uint64_t until_ms;
};

struct lease_reply {
	enum lease_kind kind;
	uint8_t region;
	uint64_t asker;
	uint64_t round;
	uint64_t epoch;
	uint64_t list_number; /* of whoever asks */
};

enum bid_phase { BID_NONE, BID_POLL, BID_RANK, BID_PROMISE };

/* What one voter said to the question under way. */
struct bid_answer {
	uint8_t region;
	bool asked;
	bool got;
	struct lease_item said; /* without its lists */
	int64_t offset_ms;      /* its wall clock against ours, by half the round trip */
	uint64_t error_ms;      /* of that offset, at most */
};

struct lease_bid {
	enum bid_phase phase;
	uint64_t round;
	uint64_t epoch;          /* PROMISE */
	struct lease_now began;
	uint64_t enough_ms;      /* since when there are enough yes; LEASE_NEVER */
	uint64_t stand_ms;       /* RANK: when to go on */
	uint64_t next_ms;        /* no poll before */
	bool invited;            /* by a release */
	uint64_t asked_ms;       /* POLL: when it was asked last */
	bool reacquire;          /* a holder that met a higher promise */
	struct voter_list pending; /* the newest that answers named */
	struct bid_answer answers[LEASE_ASKED_MAX];
	uint32_t count;
};

enum term_phase { TERM_NONE, TERM_GRANT, TERM_COPY, TERM_BEGIN, TERM_WRITE, TERM_HANDOVER, TERM_RELEASED };

struct term_grant {
	uint8_t region;
	bool granted;
	struct lease_now sent;   /* the latest renewal that it granted */
	bool offset_known;
	int64_t offset_ms;
	uint64_t error_ms;
};

struct term_round {
	uint64_t round;
	struct lease_now sent;
};

struct lease_holding {
	enum term_phase phase;
	uint64_t epoch;
	uint64_t valid_ms;       /* when it was last seen valid, or began */
	uint64_t expired_ms;     /* since when a tick has found it expired; 0: it is valid */
	bool writing;            /* LEASE_WRITE was told, and no LEASE_STOP since */
	struct term_grant grants[LEASE_ASKED_MAX];
	uint32_t grant_count;
	struct term_round rounds[LEASE_ROUNDS_MAX];
	uint64_t round;
	uint64_t renew_ms;       /* when to ask next */
	uint8_t source;          /* whose history is copied */
	struct position after;   /* the end of what epoch-start follows */
	/* handover and release */
	uint8_t target;
	struct position end;
	struct voter_set told;
	uint64_t released_ms;
	/* a voter list on its way */
	struct voter_list proposal; /* count 0: none */
	uint64_t list_round;
	struct voter_set stored;
};

/* What a region last said, to anything. */
struct lease_heard {
	uint8_t region;
	bool heard;
	uint64_t at_ms;
	struct lease_identity identity;
	uint8_t flags;
	struct position position;
	uint64_t list_number;
	enum lease_answer judged;
	enum lease_answer said;  /* to a poll; REQUEST: nothing */
	uint64_t said_ms;
	uint32_t bound_ms;
	bool greeted;
	uint64_t hello_ms;
};

struct lease {
	uint16_t scope;
	struct lease_identity self;
	bool data;
	uint8_t preferred;
	struct lease_config config;
	struct lease_here here;
	uint64_t caught_up_ms;       /* by a holder's clock: all that it had then is here */
	struct lease_renewed heard;  /* the newest renewal, for the above */
	uint64_t accept_loss_until_ms;
	uint64_t stand_until_ms;     /* an operator has this region stand */
	struct lease_loss loss;
	uint64_t loss_ms;            /* when it was known */
	bool excluded_told;
	bool was_empty;              /* nothing was stored at the start */
	bool replaced;               /* the list has, or had, this region with another store */
	bool rolled_back;            /* a member says so of this store */
	struct voter_set known;
	struct lease_heard heard_regions[LEASE_MEMBERS_MAX];
	uint32_t heard_count;
	struct voter_set rolled_back_told;

	struct lease_record record;  /* as stored */
	struct lease_record staged;  /* on its way to the disk */
	bool staging;
	bool staging_lazily;         /* nobody waits for it: what does not want to wait may overtake it */
	uint64_t sequence;
	struct lease_reply reply;    /* when it is there; region 0: to nobody */
	bool dirty;                  /* how far a holder is has changed: worth storing now and then */
	bool urgent;                 /* worth storing soon, though nobody waits for it */
	uint64_t stored_ms;

	struct lease_bound bound;
	uint64_t over[256];          /* by region: its highest epoch that is released or abandoned */
	struct position promise_position;
	bool promise_position_known; /* the promise was made since the start */
	uint64_t promise_since_ms;
	bool promise_stuck_told;

	struct lease_bid bid;
	struct lease_holding term;

	/* of the input under way */
	struct lease_now now;
	struct lease_actions *out;
	struct lease_item inbox[LEASE_INBOX_MAX];
	uint32_t inbox_count;
};

/* --- lease.c --- */

/* Around each input; leaving delivers what this region has to say to itself. */
void lease_enter(struct lease *l, struct lease_now now, struct lease_actions *out);
void lease_leave(struct lease *l);
struct lease_action *lease_act(struct lease *l, enum lease_action_kind kind);
void lease_tell(struct lease *l, enum lease_event event, uint8_t region, uint64_t epoch, uint64_t number);
/* Fills in how this region stands; to itself by the inbox. */
void lease_send(struct lease *l, uint8_t region, struct lease_item m);
void lease_reply_to(struct lease *l, const struct lease_reply *to, enum lease_answer answer);
/* Something is being stored that may not be overtaken. */
bool lease_is_busy(const struct lease *l);
/* Stores `staged`, which the caller made of `record`; not while busy. */
void lease_stage(struct lease *l, uint64_t promise, const struct lease_reply *reply);
/* The list that is not in effect yet but counts: the newest known; NULL: none. */
const struct voter_list *lease_pending(const struct lease *l);
/* The members of both lists, at most LEASE_ASKED_MAX. */
uint32_t lease_everybody(const struct lease *l, uint8_t regions[LEASE_ASKED_MAX]);
/* A majority of the list and of the pending one. */
bool lease_is_majority(const struct lease *l, const struct voter_set *s);
/* May this region be the primary (rules 9, 11, 19)? */
bool lease_is_fit(const struct lease *l);
/* What this region says of itself: LEASE_ITEM_... */
uint8_t lease_flags(const struct lease *l);
uint64_t lease_stamp_ms(const struct lease *l);
/* An offset of a clock from what it said, when it was asked and now. */
void lease_measure(const struct lease *l, struct lease_now asked, uint64_t said_ms, int64_t *ret_offset_ms,
		   uint64_t *ret_error_ms);
/* Is that offset surely beyond 80 % of what is allowed? */
bool lease_is_off(const struct lease *l, int64_t offset_ms, uint64_t error_ms);

/* --- lease_voter.c --- */

void voter_start(struct lease *l);
void voter_request(struct lease *l, const struct lease_identity *from, uint64_t wall_ms, const struct lease_item *m);
void voter_stored(struct lease *l, bool ok, struct position position);
void voter_tick(struct lease *l);
void voter_follow(struct lease *l);
/* For how long this voter is still bound to a region other than that. */
uint64_t voter_bound_ms(const struct lease *l, uint8_t region);
/* The lists that a known member told: one in effect is taken over from anybody, a pending one only from the holder. */
bool voter_take_list(struct lease *l, const struct lease_item *m, const struct lease_reply *reply);

/* --- lease_bid.c --- */

void bid_tick(struct lease *l);
void bid_answer(struct lease *l, uint8_t region, uint64_t wall_ms, const struct lease_item *m);
/* As soon as may be: a target of a release, a holder that met a higher promise. */
void bid_soon(struct lease *l, bool invited, bool reacquire);
void bid_drop(struct lease *l);
void bid_hold_back(struct lease *l, uint64_t for_ms);
uint64_t bid_due(const struct lease *l);

/* --- lease_term.c --- */

void term_start(struct lease *l, uint64_t epoch, uint8_t source, struct position after);
void term_tick(struct lease *l);
void term_answer(struct lease *l, uint8_t region, uint64_t wall_ms, const struct lease_item *m);
/* Ends it without a word to the voters. */
void term_end(struct lease *l, enum lease_reason reason);
bool term_is_valid(const struct lease *l);
uint64_t term_due(const struct lease *l);

/* --- lease_member.c --- */

void member_note(struct lease *l, const struct lease_identity *from, const struct lease_item *m);
void member_judged(struct lease *l, uint8_t region, enum lease_answer who);
bool member_is_listed(const struct lease *l);
void member_tick(struct lease *l);
uint64_t member_due(const struct lease *l);
/* A greeting, of somebody that is `who` to this region; and the answer to one. */
void member_hello(struct lease *l, const struct lease_identity *from, const struct lease_item *m, enum lease_answer who);
void member_hello_answered(struct lease *l, const struct lease_item *m);
