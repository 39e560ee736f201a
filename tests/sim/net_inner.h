/* SPDX-License-Identifier: Apache-2.0 */
/* What net.c and net_stream.c share. */
#pragma once

#include "tests/index/random.h"
#include "tests/sim/net.h"

struct net {
	const char *const *names;
	struct stream_broker *broker;
	struct random random;
	struct net_faults faults;
	uint64_t harm_in; /* messages until one is harmed; 0: none is */
	enum net_harm harm;
	bool cut[NET_REGIONS][NET_REGIONS];
	struct net_end *ends[NET_REGIONS]; /* who is reached there; NULL: nobody */
	struct fiber *fiber;
	struct fiber_line idle;
	bool stop;
};

void net_stream_crash(struct net_stream *s);
