/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core of the protocol that confirmed writes rest on: promise, report, drain, epoch-start, acknowledgement. Three
 * voters, three epochs, two ops an epoch beside its start; every order of steps, messages late or lost, and leases that
 * say nothing: anybody may stand at any time, and who began an epoch writes in it until its fence stops it. Checked:
 *
 *     an op that M data voters applied, each before promising more than its epoch, is in the history of every later
 *     epoch-start, and so is all that its own epoch-start named
 *
 * A step is one transaction of one region, which stores a promise and reads the position at once (rule 5), or one op that
 * is applied. That a step is never made is a message lost, a region that is down, a process that is suspended. What is
 * stored survives a crash; what a candidate collected does not, which is the same as its making no step any more. An
 * answer comes at once or never: later, its voter would have stood still.
 *
 * Epoch n has one candidate (rule 14); which region that is, is open, but for the first: data voters are alike. It begins
 * with epoch 1 begun on empty logs: to have promised it or nothing makes no difference to what follows. A history
 * is how many ops it has of each epoch: an epoch has one writer, so equal numbers are equal ops. Op 1 is epoch-start, and
 * bl[n] is the chain that epoch-start n names.
 *
 *   WITNESS           voter 2 holds no data: 2+1 instead of 3+0
 * Each of these breaks a rule, and has to be found out:
 *   REPORT_FIRST      the position is read and told before the promise is stored (rule 5)
 *   SECOND_BEST       the history of any of those that promised is taken, not of the best (rule 8)
 *   LONGEST_LOG       the longest history is taken, not that of the greatest position (rule 8)
 *   OWN_LOG           the candidate's own history is taken (rule 8)
 *   WITNESS_ACKS      a witness counts for an acknowledgement (rule 7)
 *   OLD_EPOCH_ACKS    whoever has an op counts for it, whichever epoch's history it was applied for (rule 6)
 *   PROMISED_ACKS     who stands at an op of the holder's own epoch counts, though it has promised a later one: a candidate
 *                     that is still copying, say, whose own epoch then never begins
 *   NO_SELF_FENCE     a holder writes on although its own voter has promised a later epoch (rule 5)
 */
#define OPS 2
#define NOBODY 3

#define IDLE 0
#define ASKING 1
#define COPYING 2
#define STARTED 3

#ifdef WITNESS
#define HAS_DATA(v) ((v) != 2)
#else
#define HAS_DATA(v) true
#endif

/* By voter and epoch, by epoch and epoch, by epoch and voter. */
#define LEN(v, e) held[(v) * 3 + (e) - 1]
#define BL(n, e) bl[((n) - 1) * 3 + (e) - 1]
#define ACKED(n, v) acked[((n) - 1) * 3 + (v)]
#define PROMISE(v) promise[v]
#define WHO(n) who[(n) - 1]
#define PHASE(n) phase[(n) - 1]
#define GOT(n) got[(n) - 1]
#define CONFIRMED(n) confirmed[(n) - 1]

byte held[9];      /* the history of each voter */
byte promise[3];
byte who[3] = NOBODY;
byte phase[3];
byte got[3];       /* set of voters that promised */
byte bl[9];        /* the best history that was reported; from STARTED on, the chain */
byte acked[9];     /* the greatest seq of an epoch that a voter acknowledged, ever */
byte confirmed[3];
#ifdef REPORT_FIRST
byte reported[3];
#endif

#define EPOCH(v) (LEN(v, 3) > 0 -> 3 : (LEN(v, 2) > 0 -> 2 : (LEN(v, 1) > 0 -> 1 : 0)))
#define POSITION(a, b, c) ((c) > 0 -> 12 + (c) : ((b) > 0 -> 8 + (b) : ((a) > 0 -> 4 + (a) : 0)))
#ifdef LONGEST_LOG
#define WORTH(a, b, c) ((a) + (b) + (c))
#else
#define WORTH(a, b, c) POSITION(a, b, c)
#endif

#define MIN2(a, b) ((a) < (b) -> (a) : (b))
#define MAX2(a, b) ((a) > (b) -> (a) : (b))
/* The second greatest of three. */
#define MIDDLE(a, b, c) MAX2(MIN2(a, b), MIN2(MAX2(a, b), c))

#ifdef WITNESS
#ifdef WITNESS_ACKS
#define ACKED_BY_M(n) MAX2(ACKED(n, 0), ACKED(n, 1))
#else
#define ACKED_BY_M(n) MIN2(ACKED(n, 0), ACKED(n, 1))
#endif
#else
#define ACKED_BY_M(n) MIDDLE(ACKED(n, 0), ACKED(n, 1), ACKED(n, 2))
#endif
#define MAJORITY(set) ((set) == 3 || (set) >= 5)

#define FENCE(v, n) (PROMISE(v) <= (n))
#ifdef NO_SELF_FENCE
#define SELF_FENCE(v, n) true
#else
#define SELF_FENCE(v, n) (PROMISE(v) <= (n))
#endif

/* Whether v, which has just applied an op of epoch e, counts for it. */
#if defined(OLD_EPOCH_ACKS)
#define COUNTS(v, e) true
#elif defined(PROMISED_ACKS)
#define COUNTS(v, e) (WHO(e) != NOBODY && EPOCH(WHO(e)) == (e))
#else
#define COUNTS(v, e) (PROMISE(v) <= (e))
#endif

/* What epoch n confirmed is in the history of epoch m. */
#define KEPT2 (CONFIRMED(1) <= BL(2, 1))
#define KEPT3 (CONFIRMED(1) <= BL(3, 1) && CONFIRMED(2) <= BL(3, 2) && (CONFIRMED(2) == 0 || BL(2, 1) == BL(3, 1)))

inline check()
{
	assert(PHASE(2) != STARTED || KEPT2);
	assert(PHASE(3) != STARTED || KEPT3)
}

inline applied(v, e)
{
	if
	:: COUNTS(v, e) && ACKED(e, v) < LEN(v, e) ->
		ACKED(e, v) = LEN(v, e);
		CONFIRMED(e) = MAX2(CONFIRMED(e), ACKED_BY_M(e))
	:: else
	fi;
	check()
}

/* The report of voter v reaches candidate n. */
inline report(n, v)
{
	if
#ifdef SECOND_BEST
	:: HAS_DATA(v)
#else
	:: HAS_DATA(v) && WORTH(LEN(v, 1), LEN(v, 2), LEN(v, 3)) > WORTH(BL(n, 1), BL(n, 2), BL(n, 3))
#endif
#ifndef OWN_LOG
		-> BL(n, 1) = LEN(v, 1); BL(n, 2) = LEN(v, 2); BL(n, 3) = LEN(v, 3)
#endif
#ifdef SECOND_BEST
	:: true
#else
	:: else
#endif
	fi
}

/* v has ops that the chain of n does not have, or not in that place. */
#define STRAYS(v, n) (LEN(v, 1) > BL(n, 1) || (LEN(v, 1) < BL(n, 1) && LEN(v, 2) + LEN(v, 3) > 0) || \
		      LEN(v, 2) > BL(n, 2) || (LEN(v, 2) < BL(n, 2) && LEN(v, 3) > 0))
#define AT_END(v, n) (LEN(v, 1) == BL(n, 1) && LEN(v, 2) == BL(n, 2) && LEN(v, 3) == 0)

/* Back to the last common position (rule 20). */
inline rewind(v, n)
{
	if
	:: LEN(v, 1) != BL(n, 1) -> LEN(v, 1) = MIN2(LEN(v, 1), BL(n, 1)); LEN(v, 2) = 0
	:: else -> LEN(v, 2) = MIN2(LEN(v, 2), BL(n, 2))
	fi;
	LEN(v, 3) = 0
}

/* The next op of the chain of n. */
inline catch_up(v, n)
{
	if
	:: LEN(v, 1) < BL(n, 1) -> LEN(v, 1)++; applied(v, 1)
	:: else -> LEN(v, 2)++; applied(v, 2)
	fi
}

/* All that happens between epoch n and voter v. */
#define n ((_pid - 1) / 3 + 1)
#define v ((_pid - 1) % 3)
proctype pair()
{
end:
	do
	/* stand: the own voter promises first */
	:: d_step { PHASE(n) == IDLE && HAS_DATA(v) && PROMISE(v) < n && EPOCH(v) < n ->
		WHO(n) = v; PHASE(n) = ASKING; PROMISE(v) = n; GOT(n) = 1 << v;
		BL(n, 1) = LEN(v, 1); BL(n, 2) = LEN(v, 2) }
#ifdef REPORT_FIRST
	:: atomic { PHASE(n) == ASKING && WHO(n) != v && PROMISE(v) < n && EPOCH(v) < n && !(reported[n - 1] & (1 << v)) ->
		reported[n - 1] = reported[n - 1] | (1 << v); report(n, v) }
	:: d_step { PHASE(n) == ASKING && (reported[n - 1] & (1 << v)) && PROMISE(v) < n && EPOCH(v) < n ->
		PROMISE(v) = n; GOT(n) = GOT(n) | (1 << v) }
#else
	/* promise, and its answer comes */
	:: atomic { PHASE(n) == ASKING && WHO(n) != v && PROMISE(v) < n && EPOCH(v) < n ->
		PROMISE(v) = n; GOT(n) = GOT(n) | (1 << v); report(n, v) }
#endif
	/* promise, and its answer is lost */
	:: d_step { PHASE(n) != IDLE && WHO(n) != v && PROMISE(v) < n && EPOCH(v) < n -> PROMISE(v) = n }

	/* the candidate takes over the best history, op by op */
	:: d_step { PHASE(n) == ASKING && WHO(n) == v && MAJORITY(GOT(n)) -> PHASE(n) = COPYING; GOT(n) = 0 }
	:: d_step { PHASE(n) == COPYING && WHO(n) == v && FENCE(v, n) && EPOCH(v) < n && STRAYS(v, n) -> rewind(v, n) }
	:: d_step { PHASE(n) == COPYING && WHO(n) == v && FENCE(v, n) && EPOCH(v) < n && !STRAYS(v, n) && !AT_END(v, n) ->
		catch_up(v, n) }
	/* and begins its epoch */
	:: d_step { PHASE(n) == COPYING && WHO(n) == v && FENCE(v, n) && EPOCH(v) < n && AT_END(v, n) ->
		PHASE(n) = STARTED; LEN(v, n) = 1; applied(v, n) }
	:: d_step { PHASE(n) == STARTED && WHO(n) == v && SELF_FENCE(v, n) && EPOCH(v) == n && LEN(v, n) <= OPS ->
		LEN(v, n)++;
#ifdef NO_SELF_FENCE
		ACKED(n, v) = LEN(v, n); CONFIRMED(n) = MAX2(CONFIRMED(n), ACKED_BY_M(n)); check()
#else
		applied(v, n)
#endif
	}

	/* a follower: back to the chain, along it, into the epoch, along that */
	:: d_step { PHASE(n) == STARTED && WHO(n) != v && HAS_DATA(v) && FENCE(v, n) && EPOCH(v) < n && STRAYS(v, n) ->
		rewind(v, n) }
	:: d_step { PHASE(n) == STARTED && WHO(n) != v && HAS_DATA(v) && FENCE(v, n) && EPOCH(v) < n && !STRAYS(v, n) &&
		    !AT_END(v, n) -> catch_up(v, n) }
	:: d_step { PHASE(n) == STARTED && WHO(n) != v && HAS_DATA(v) && FENCE(v, n) && EPOCH(v) < n && AT_END(v, n) ->
		LEN(v, n) = 1; applied(v, n) }
	/* what its holder has ever written may come from anywhere */
	:: d_step { PHASE(n) == STARTED && WHO(n) != v && HAS_DATA(v) && FENCE(v, n) && EPOCH(v) == n &&
		    LEN(v, n) < ACKED(n, WHO(n)) -> LEN(v, n)++; applied(v, n) }
	od
}

init
{
	atomic {
		WHO(1) = 0; PHASE(1) = STARTED; LEN(0, 1) = 1; ACKED(1, 0) = 1;
		PROMISE(0) = 1; PROMISE(1) = 1; PROMISE(2) = 1;
		run pair(); run pair(); run pair();
		run pair(); run pair(); run pair();
		run pair(); run pair(); run pair()
	}
}
