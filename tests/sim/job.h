/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write of a client on its way: to a region, through its committer, and back with a token. A process that dies answers
 * nothing; a client that lost its patience does not know what became of its write.
 */
#pragma once

#include "index/filter.h"
#include "replicator/session.h"
#include "tests/sim/world.h"

#define JOB_PAYLOAD_BYTES 512

struct job {
	struct write w;
	struct intent intent;
	struct op_point point;
	struct op_vector vector;
	float values[4];
	uint32_t indices[1];
	struct point_id id;
	struct str key;
	struct vector_config vectors[2];
	struct condition condition;
	struct filter filter;
	uint8_t payload[JOB_PAYLOAD_BYTES];
	struct world *world;
	struct boot *boot;
	bool finished;       /* the committer is done with it, */
	bool answered;       /* and its process was alive then; */
	uint64_t hlc;        /* the clock of its region stood there */
	bool abandoned;      /* by its client */
	struct fiber_line done;
};

struct job *job_new(struct world *w, enum op_kind kind, const char *collection);
/* A point with {"n": number}, and a dense or a sparse vector. */
struct job *job_upsert(struct world *w, const char *collection, uint64_t id, int64_t number);
/* The vector of a point alone. */
struct job *job_vector(struct world *w, const char *collection, uint64_t id, int64_t number);
/* Of one point. */
struct job *job_of_id(struct world *w, enum op_kind kind, const char *collection, uint64_t id);
struct job *job_create(struct world *w, const char *collection, bool multi_writer);
/* Of one point, and a key of its payload or the name of a vector. */
struct job *job_of_key(struct world *w, enum op_kind kind, const char *collection, uint64_t id, const char *key);
/* Of all points that have {key: is}: sets it to another number. */
struct job *job_change_if(struct world *w, const char *collection, const char *key, int64_t is, int64_t becomes);
/* {key: number}, in the job's memory. */
struct value job_payload(struct job *j, const char *key, int64_t number);

/* Who sends, and what it has seen. */
struct sender {
	struct world *world;
	struct random random;
	struct session session;
	bool orphaned;       /* it was told that what it has seen did not survive */
	bool anywhere;       /* all regions write, and the one that is asked does */
};

enum answer { ANSWER_DONE, ANSWER_REFUSED, ANSWER_UNKNOWN };

/* Gives the job away. */
enum answer job_send(struct sender *s, struct job *j, struct write *ret_write);
/* The same to that region and no other, with that level to be reached. */
enum answer job_send_to(struct sender *s, struct job *j, uint32_t region, enum ack_level ack, struct write *ret_write);
/* The time that a message takes passes. */
void job_travel(struct world *w);
