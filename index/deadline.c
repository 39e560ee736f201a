/* SPDX-License-Identifier: Apache-2.0 */
#include "index/deadline.h"

#include "base/clock.h"

enum err deadline_check(const struct deadline *d)
{
	if (d->cancel && atomic_load_explicit(d->cancel, memory_order_relaxed))
		return ERR_CANCELLED;
	if (d->mono_ns && clock_mono_ns(clock_system()) >= d->mono_ns)
		return ERR_TIMEOUT;
	return ERR_NONE;
}
