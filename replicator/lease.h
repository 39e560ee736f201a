/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lease of one scope in one region: voter, candidate and holder (protocol rules 4 to 19). A state machine: time,
 * messages and what became of earlier actions go in, actions come out. It reads no clock, sends nothing, stores nothing
 * and, once made, allocates nothing; the same inputs give the same actions.
 *
 *     follow --own voter is free--> poll --a majority says yes--> (rank delay) --> promise --a majority has stored it-->
 *     grant --a majority granted--> copy the best voter's history --> epoch-start --> write --release--> released
 *
 * That no confirmed write is lost needs no clock: it follows from promises, the copy and the fence of the commit. The
 * times keep the others from standing while a holder lives, and keep weak writes in real-time order.
 *
 * Where the rules are kept:
 *   5   a promise is stored, and the position read, in one transaction (LEASE_PERSIST) before it is told   lease_voter.c
 *   7   not fewer data voters than M; witnesses hold no position                                     voters.c, lease_bid.c
 *   8   the history of the best voter that promised; a candidate behind its log lets it stand               lease_bid.c
 *   9   stores, starts, nonces                                                                  lease.c, lease_member.c
 *   10  voter lists                                            voters.c, lease_voter.c, lease_term.c, lease_member.c
 *   11  who may stand                                                                       lease_bid.c, lease_voter.c
 *   12  valid_until, from the M-th latest sending                                                          lease_term.c
 *   13  both clocks                                                                             lease.c, lease_term.c
 *   14  unique epochs, bounded jumps                                                        lease_bid.c, lease_voter.c
 *   15  poll, promise, grant, abandon; ranks                                                               lease_bid.c
 *   16  a promise is lifted by following; a holder that meets a higher one asks anew          lease_voter.c, lease_term.c
 *   17  a restarted voter                                                                        lease.c, lease_voter.c
 *   18  handover                                                                             lease_term.c, lease_voter.c
 *   19  a holder that cannot commit; the guard of automatic promotion                         lease_term.c, lease_bid.c
 *   27  whoever is taken out of the list learns it                                                       lease_member.c
 *   25  a clock that is off                                                     lease_bid.c, lease_voter.c, lease_term.c
 *
 * Left to the caller: that who a message says it is from is who its certificate names; the commit's fence (no op of an
 * epoch below lease_promised() but those that rule 21 lets in); to write nothing unless lease_term_valid() at admission,
 * in the transaction and after its sync.
 * Thread: one, whichever; lease_get_term()'s answer may be handed to others.
 */
#pragma once

#include "replicator/lease_config.h"
#include "replicator/lease_record.h"

/* One moment by two clocks: CLOCK_BOOTTIME, which counts suspends, and the wall. */
struct lease_now {
	uint64_t boot_ms;
	uint64_t wall_ms;
};

enum lease_action_kind {
	LEASE_SEND,      /* item to region; best effort */
	LEASE_PERSIST,   /* store record, in this order, then lease_persisted(sequence). epoch > 0: a promise, which fails when the
			  * log has that epoch or a newer one */
	LEASE_COPY,      /* make the own history that of region up to position, rewinding the rest, then lease_copied(epoch) */
	LEASE_BEGIN,     /* commit epoch-start of epoch after position, then lease_begun(epoch) */
	LEASE_WRITE,     /* this region may write in epoch */
	LEASE_STOP,      /* it may not any more: reason */
	LEASE_HAND_OVER, /* stop admitting, wait for region to have all, commit release, then lease_handed_over(epoch) */
	LEASE_TELL,      /* event for logs and metrics */
};

enum lease_reason {
#define LEASE_REASON(name, word) LEASE_REASON_##name,
#include "replicator/lease_reason.def"
#undef LEASE_REASON
};
const char *lease_reason_name(enum lease_reason r);

/* STANDING, LOST, YIELDED (region: to whom), WON, PROMISE_STUCK: epoch. LOSS_REFUSED: number, in ms. ROLLED_BACK, DECLINED,
 * STRANGER: region. LIST_IN_EFFECT: number. */
enum lease_event {
#define LEASE_EVENT(name, word, level, outcome) LEASE_EVENT_##name,
#include "replicator/lease_event.def"
#undef LEASE_EVENT
};
const char *lease_event_name(enum lease_event e);

struct lease_action {
	enum lease_action_kind kind;
	uint8_t region;
	uint64_t epoch;
	struct position position;
	enum lease_reason reason;
	enum lease_event event;
	uint64_t number;
	uint64_t sequence;
	const struct lease_record *record; /* as `item.list` and `item.pending` valid until the next input */
	struct lease_item item;
};

/* Three messages to each voter, a greeting to each region, and some more. */
#define LEASE_ACTIONS_MAX 256
struct lease_actions {
	struct lease_action list[LEASE_ACTIONS_MAX];
	uint32_t count;
};

/* How this region stands; told whenever it changes. */
struct lease_here {
	struct position position;  /* durable */
	struct position confirmed;
	struct position oldest;    /* the log holds all ops after it */
	uint64_t epoch;            /* the newest in the logs, orphans included */
	uint64_t stamp_ms;         /* when the op at position was written, by its writer's clock */
	uint64_t stalled_ms;       /* for how long a commit has been waiting for its sync */
	bool failed;               /* nothing can be committed any more */
	bool unfit;                /* expelled, bootstrapping, rewinding, stalled in its log (rule 11) */
};

struct lease_options {
	uint16_t scope;
	struct lease_identity self;
	bool data;
	uint8_t preferred;           /* of regions that have the same this one stands first; 0: none. The same in all */
	struct lease_config config;
	struct lease_here here;
	struct voter_list proposed;  /* list 0, of the configuration: used when nothing is stored */
	struct voter_set known;      /* all regions that vote or are to: those outside the list are greeted, too */
	const struct lease_record *record; /* what was stored; NULL: nothing yet */
};

struct lease;

/* ERR_CONFIG when config or list do not hold. A stored promise binds for WAIT from now (rule 17). */
MUST_USE enum err lease_new(const struct lease_options *o, struct lease_now now, struct lease **ret_lease,
			    struct fault *reterr_fault);
void lease_free(struct lease *l);

/* --- inputs; each empties `out` first --- */

void lease_tick(struct lease *l, struct lease_now now, struct lease_actions *out);
void lease_set_here(struct lease *l, struct lease_now now, const struct lease_here *here, struct lease_actions *out);
/* From whom, by a frame's head; sent_wall_ms is the frame's. */
void lease_receive(struct lease *l, struct lease_now now, const struct lease_identity *from, uint64_t sent_wall_ms,
		   const struct lease_item *item, struct lease_actions *out);
/* ok: the record is on disk. position: this region's, read in that very transaction. */
void lease_persisted(struct lease *l, struct lease_now now, uint64_t sequence, bool ok, struct position position,
		     struct lease_actions *out);
void lease_copied(struct lease *l, struct lease_now now, uint64_t epoch, bool ok, struct lease_actions *out);
void lease_begun(struct lease *l, struct lease_now now, uint64_t epoch, bool ok, struct lease_actions *out);
/* released: the op is on disk, or may be; end: its position. Not released: nothing of it is, this region goes on. */
void lease_handed_over(struct lease *l, struct lease_now now, uint64_t epoch, bool released, struct position end,
		       struct lease_actions *out);

/* An operator's switchover: ERR_NOT_PRIMARY, ERR_BAD_INPUT. */
MUST_USE enum err lease_hand_over(struct lease *l, struct lease_now now, uint8_t target, struct lease_actions *out,
				  struct fault *reterr_fault);
/* A change of the voter list: ERR_NOT_PRIMARY, ERR_CONFIG, ERR_UNAVAILABLE while another is under way. */
MUST_USE enum err lease_propose(struct lease *l, struct lease_now now, const struct voter_list *next,
				struct lease_actions *out, struct fault *reterr_fault);
/* An operator's failover: this region stands as soon as its own voter is free, before all others, until it has won or so many
 * ms have passed. ERR_UNAVAILABLE: it may not be the primary, in words. */
MUST_USE enum err lease_stand(struct lease *l, struct lease_now now, uint64_t for_ms, struct lease_actions *out,
			      struct fault *reterr_fault);
/* An operator has another region stand: this one lets it, for so long. */
void lease_hold_back(struct lease *l, struct lease_now now, uint64_t for_ms);
/*
 * An operator's last resort, when a majority is lost for good: a list without the regions of `lost` is stored here, and taken
 * over by all who hear of it; its number is far above what was. What the lost regions had beyond the rest is lost, what they
 * do when they come back counts for nothing, and two such lists, made where the regions could not reach one another, part the
 * fleet. ERR_BAD_INPUT: a majority answers, a lost one does, or too few remain; ERR_UNAVAILABLE: not now.
 */
MUST_USE enum err lease_force_list(struct lease *l, struct lease_now now, const struct voter_set *lost,
				   struct voter_list *ret_list, struct lease_actions *out, struct fault *reterr_fault);
/* The operator accepts what LOSS_REFUSED names, until this region has stood or so many ms have passed. */
void lease_accept_loss(struct lease *l, struct lease_now now, uint64_t for_ms);

/* --- answers --- */

/* By CLOCK_BOOTTIME: when the next tick has to come. */
uint64_t lease_due(const struct lease *l);
/* The fence: the commit refuses ops of lower epochs (rule 21). */
uint64_t lease_promised(const struct lease *l);
/* Do this region's acknowledgements count (rule 9)? Not with a store outside the list, one that was put back, or an empty one
 * that no list names yet. */
bool lease_counts(const struct lease *l);
/* In effect: for M, and who may acknowledge. Borrowed until the next input. */
const struct voter_list *lease_voters(const struct lease *l);

/* All regions of the lists, those that are known of and those that have spoken. */
#define LEASE_MEMBERS_MAX 64
struct lease_member {
	uint8_t region;
	bool self;
	bool listed;                   /* in the list in effect; */
	bool pending;                  /* in the one that is pending: */
	struct voter voter;            /* as there; of both the former */
	bool heard;                    /* since the start; the rest is as it was said last */
	bool silent;                   /* for so long that it is to be taken for out of reach */
	uint64_t silent_ms;
	struct lease_identity identity;
	uint8_t flags;                 /* LEASE_ITEM_... */
	struct position position;
	uint64_t list_number;
	enum lease_answer judged;      /* YES, NO_MEMBER, ROLLED_BACK: what it is to this region */
	enum lease_answer said;        /* to the last poll of this region; REQUEST: nothing yet */
	uint64_t said_ms;              /* how long ago */
	uint32_t bound_ms;             /* for how long it said to be bound to another one then */
};

/* What a promotion falls behind by, as far as anybody knows: what was written after the last renewal that was heard is in
 * nobody's knowledge. */
struct lease_loss {
	bool known;            /* a majority answered a poll lately, or promised */
	uint64_t ms;           /* 0: nothing that was known of */
	struct position best;  /* of those that answered */
	struct position last;  /* that a holder told of */
};

struct lease_look {
	struct voter_list list;
	struct voter_list pending;     /* count 0: none */
	bool is_member, is_fit, is_replaced, is_rolled_back; /* this region */
	uint8_t bound_to;              /* 0: to nobody */
	uint64_t bound_ms;
	struct lease_renewed renewed;
	struct lease_loss loss;
	struct lease_member members[LEASE_MEMBERS_MAX]; /* this region first */
	uint32_t count;
};
void lease_look(const struct lease *l, struct lease_look *ret_look);

/* The right to write, to be judged by any thread that has its own `now`. */
struct lease_term {
	uint64_t epoch;          /* 0: none */
	bool begun;              /* its epoch-start is committed; before, only that may be */
	uint64_t boot_until_ms;
	uint64_t wall_until_ms;
};
struct lease_term lease_get_term(const struct lease *l);
/* Both clocks are before their deadlines (rule 13). */
bool lease_term_valid(const struct lease_term *t, uint64_t epoch, struct lease_now now);
