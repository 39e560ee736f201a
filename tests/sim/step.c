/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/step.h"

static struct {
	uint32_t region;
	uint64_t left; /* 0: nothing is to be done */
	step_fn fn;
	void *ctx;
	bool done;
} armed;

void step_arm(uint32_t region, uint64_t nth, step_fn fn, void *ctx)
{
	armed.region = region;
	armed.left = nth;
	armed.fn = fn;
	armed.ctx = ctx;
	armed.done = false;
}

bool step_disarm(void)
{
	armed.left = 0;
	return armed.done;
}

void step_passed(uint32_t region)
{
	if (armed.left == 0 || armed.region != region || --armed.left > 0)
		return;
	armed.done = true;
	armed.fn(armed.ctx);
}
