/* SPDX-License-Identifier: Apache-2.0 */
#include "replicator/silence.h"

#define NS_PER_MS UINT64_C(1000000)

void silence_init(struct silence *s, struct clock *clock)
{
	*s = (struct silence){ .clock = clock };
	(void)pthread_mutex_init(&s->lock, NULL);
}

void silence_release(struct silence *s)
{
	(void)pthread_mutex_destroy(&s->lock);
}

/* Under the lock. */
static uint64_t left_ns(const struct silence *s)
{
	uint64_t now_ns = clock_mono_ns(s->clock);

	return s->kind != SILENCE_NONE && now_ns < s->until_ns ? s->until_ns - now_ns : 0;
}

enum err silence_begin(struct silence *s, enum silence_kind kind, uint64_t ms, struct fault *reterr_fault)
{
	if (kind == SILENCE_NONE || ms < SILENCE_MS_MIN || ms > SILENCE_MS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "a region is cut or out for %d to %d ms", SILENCE_MS_MIN, SILENCE_MS_MAX);
	(void)pthread_mutex_lock(&s->lock);
	bool busy = left_ns(s) > 0;

	if (!busy) {
		s->kind = kind;
		s->until_ns = clock_mono_ns(s->clock) + ms * NS_PER_MS;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return busy ? silence_fault(reterr_fault) : ERR_NONE;
}

enum silence_kind silence_now(struct silence *s, uint64_t *ret_left_ms)
{
	enum silence_kind kind = SILENCE_NONE;
	uint64_t left = 0;

	if (s != NULL) {
		(void)pthread_mutex_lock(&s->lock);
		left = left_ns(s);
		kind = left > 0 ? s->kind : SILENCE_NONE;
		(void)pthread_mutex_unlock(&s->lock);
	}
	if (ret_left_ms != NULL)
		*ret_left_ms = (left + NS_PER_MS - 1) / NS_PER_MS;
	return kind;
}

const char *silence_word(enum silence_kind kind)
{
	switch (kind) {
	case SILENCE_CUT:
		return "cut";
	case SILENCE_OUT:
		return "out";
	case SILENCE_NONE:
		break;
	}
	return "none";
}

enum err silence_fault(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_UNAVAILABLE,
			 "this region takes no part for a while: a drill is under way, and ends by itself");
}
