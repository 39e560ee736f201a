/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies between the regions: their streams (replicator/stream_mem.h), stepped in the world's time, and the way by which
 * one region asks another (struct peer_link), with delays, losses and cuts of one direction.
 *
 * What a stream brings to a process waits in a queue of that process, whose fibers take it: the network itself never waits
 * for a process. One that crashed gets nothing more, and what it says reaches nobody.
 */
#pragma once

#include "replicator/audit.h"
#include "replicator/replicator.h"
#include "replicator/stream_mem.h"
#include "tests/sim/fiber.h"

#define NET_REGIONS 3

struct net;

struct net_faults {
	uint64_t delay_ns_min, delay_ns_max; /* one way */
	uint64_t timeout_ns;                 /* after which a lost question is given up */
	unsigned lost;                       /* of a thousand questions and answers */
	unsigned repeated;                   /* of a thousand questions: they come twice */
};

struct net *net_new(uint64_t seed, const char *const names[NET_REGIONS]);
/* After every stream was freed and the fiber of the network has ended. */
void net_free(struct net *n);
void net_stop(struct net *n);
struct net_faults *net_faults(struct net *n);
struct stream_broker *net_broker(struct net *n);
/* The nats-servers' streams changed from outside. */
void net_wake(struct net *n);

/* What goes from one region to another is lost from now on, or is not. */
void net_cut(struct net *n, uint32_t from, uint32_t to, bool cut);
bool net_is_cut(const struct net *n, uint32_t from, uint32_t to);

/* What is done to one message: to a question, an answer, a batch on its way from a stream, or a heartbeat. */
enum net_harm { NET_HARM_NONE, NET_HARM_LOSE, NET_HARM_DELAY, NET_HARM_REPEAT };
#define NET_HARM_DELAY_NS (3 * NS_PER_S)
/* To the one that is the nth from now on (1: the next), wherever it goes. */
void net_do_harm(struct net *n, uint64_t nth, enum net_harm how);
/* For whoever carries messages: what becomes of this one. */
enum net_harm net_harm_of_next(struct net *n);

/* A process of a region: whom the others reach. */
struct net_end {
	struct net *net;
	uint32_t region;
	struct process *process;
	struct peer_link link;       /* its way to the others */
	struct replicator *replicator;
	struct audit *audit;
	bool dead;
	bool serves;                 /* questions of others */
	unsigned visitors;           /* that are being answered */
	struct fiber_line left;
	struct net_stream *stream;
};
/* The process is up: questions reach it. */
void net_attach(struct net_end *e, struct net *n, uint32_t region, struct process *p);
void net_serve(struct net_end *e, struct replicator *r, struct audit *a);
/* It answers no more; waits until what it began is answered. */
void net_close(struct net_end *e);
/* It is dead at this moment. */
void net_crash(struct net_end *e);
/* replicator_options.make_stream; ctx is the struct net_end. */
MUST_USE enum err net_make_stream(void *ctx, const struct stream_events *events, struct stream **ret_stream,
				  struct fault *reterr_fault);
/* The time that a message takes now. */
uint64_t net_delay_ns(struct net *n);
