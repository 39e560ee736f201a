/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which logs of SCOPE_MULTI do not go on in this region, since when and why, and what of it a person has been told. Pure; guarded
 * by its owner.
 *
 * A log may wait for a moment whenever two logs arrive out of step. So the table is filled in looks: a look notes each log that
 * stands still after everything was tried; what is not noted again is over. A reason that lasts is told once, and once more when
 * it is over or is replaced by another.
 *
 * Nothing here lets an op pass that waits for one that nobody has any more. Merging would allow it, as any order ends in the same
 * row; but whoever wrote the op that waits had applied the lost one and has its effect in its rows. This region would go on
 * without it, different for ever, and call itself up to date. Nor can it know that no disk that is away has a copy. So that
 * is a person's decision, who is told the exact op and who had it.
 */
#pragma once

#include "replicator/change.h"

/* Of a fleet's 32 regions each has one log that grows; some older ones beside them. */
#define LOG_WAITS_MAX 64

enum log_wait_kind {
#define LOG_WAIT(name, word, told_ms, stops, action) LOG_WAIT_##name,
#include "replicator/log_wait.def"
#undef LOG_WAIT
	LOG_WAIT_KINDS
};

const char *log_wait_word(enum log_wait_kind k);
const char *log_wait_action(enum log_wait_kind k);
bool log_wait_stops(enum log_wait_kind k);

struct log_wait {
	uint64_t log;
	uint64_t seq;            /* of the op that waits, or is missing */
	enum log_wait_kind kind;
	uint8_t source;          /* FAULT: whose copy; each is a matter of its own. Else 0 */
	struct fault why;
};

struct log_waits_entry {
	struct log_wait wait;
	struct log_wait noted;   /* in the look under way */
	bool is_noted;
	bool is_new;             /* noted, and there was none before */
	bool told;
	uint64_t since_ns;
};

struct log_waits {
	struct log_waits_entry entries[LOG_WAITS_MAX];
	uint32_t count;
};

/* A look begins. */
void log_waits_begin(struct log_waits *w);
/* It found that. Beyond LOG_WAITS_MAX only a fault is taken, in place of something else. */
void log_waits_note(struct log_waits *w, const struct log_wait *wait, uint64_t now_ns);
/* It did not look at this log: as before. */
void log_waits_keep(struct log_waits *w, uint64_t log);

/* What a person is to be told now. */
struct log_waits_news {
	struct log_wait wait;
	bool over;
};
/* The look ends; faults stay, whatever it noted. Returns how many news there are. */
uint32_t log_waits_end(struct log_waits *w, uint64_t now_ns, struct log_waits_news out[LOG_WAITS_MAX]);
/* That copy of the log can be applied again. True: it was told, and is over. */
bool log_waits_cured(struct log_waits *w, uint64_t log, uint8_t source);

/* What was told, oldest first. */
struct log_waits_told {
	struct log_wait wait;
	uint64_t waited_ms;
};
uint32_t log_waits_told(const struct log_waits *w, uint64_t now_ns, struct log_waits_told out[LOG_WAITS_MAX]);
