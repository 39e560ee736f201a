/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who counts by the voter list, how its members stand, and its changes (protocol rules 9, 10, 27).
 */
#include "replicator/replicator_inner.h"

#include <string.h>

#include "base/log.h"

#define LOOK_MS 1000
#define PAUSE_MS 50
/* Level with the log: within so many ops of the primary, in its epoch. */
#define LEVEL_OPS 1000

/* --- who counts --- */

const char *replicator_name(const struct replicator *r, uint8_t region)
{
	const struct peer_config *c = peers_by_id(r->peers, region);

	return c != NULL ? c->name : "unknown";
}

bool replicator_is_barred(const struct replicator *r)
{
	return replicator_has_lease(r) && !lease_run_counts(r->lease.run);
}

static bool has_its_store(const struct lease_member *m)
{
	static const uint8_t unknown[STORE_ID_BYTES];

	return !m->heard || memcmp(m->voter.store_id, unknown, STORE_ID_BYTES) == 0 ||
	       memcmp(m->voter.store_id, m->identity.store_id, STORE_ID_BYTES) == 0;
}

void replicator_voters_count(struct replicator *r)
{
	struct lease_look look;

	lease_run_look(r->lease.run, &look);
	struct peers_voters v = { .number = look.list.number, .majority = voters_majority(&look.list) };
	for (uint32_t i = 0; i < look.count; i++) {
		const struct lease_member *m = &look.members[i];

		if (m->listed && m->voter.data && has_its_store(m) && m->judged != LEASE_ANSWER_ROLLED_BACK)
			region_set_add(&v.data, m->region);
	}
	peers_set_voters(r->peers, &v);
}

void replicator_voters_why_barred(struct replicator *r, struct buf *why)
{
	const char *name = r->options.self.name;
	struct lease_look look;

	lease_run_look(r->lease.run, &look);
	unsigned long long number = look.list.number;
	if (look.is_rolled_back)
		buf_printf(why, "the store of region %s was put back to an older state, so nothing that it says counts: stop "
			   "it, empty storage.dir, start it, and it is taken in by itself", name);
	else if (look.is_member)
		buf_append_cstr(why, "the voter list was not heard yet");
	else if (voters_find(&look.list, r->options.self.id) != NULL)
		buf_printf(why, "voter list %llu has region %s with another store: its data were replaced, it is taken in once it is "
			   "level with the log", number, name);
	else
		buf_printf(why, "region %s is not in voter list %llu, expelled or not added yet: `isthmusctl region add %s` puts it "
			   "in", name, number, name);
}

/* --- how members stand --- */

enum err replicator_voters(struct replicator *r, struct lease_look *ret_look, struct fault *reterr_fault)
{
	if (!replicator_has_lease(r))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "region %s has failover.mode off, or no vote: ask a region that votes", r->options.self.name);
	lease_run_look(r->lease.run, ret_look);
	return ERR_NONE;
}

static bool is_level(const struct position *here, const struct lease_member *m)
{
	if (!(m->flags & LEASE_ITEM_DATA) || position_compare(m->position, *here) >= 0)
		return true;
	return m->position.epoch == here->epoch && here->seq - m->position.seq <= LEVEL_OPS;
}

static void put_outside(const struct replicator *r, const struct lease_member *m, struct buf *out)
{
	const struct peer_config *c = peers_by_id(r->peers, m->region);

	if (c == NULL)
		buf_append_cstr(out, "not in this region's configuration");
	else if (m->flags & LEASE_ITEM_REPLACED)
		buf_append_cstr(out, "its data were replaced: taken in by itself once it is level with the log");
	else
		buf_printf(out, "not a voter yet: isthmusctl region add %s", c->name);
}

bool replicator_member_words(struct replicator *r, const struct lease_look *look, const struct lease_member *m,
			     struct buf *out)
{
	if (m->pending && !m->listed)
		buf_append_cstr(out, "is being put in");
	else if (!m->listed)
		put_outside(r, m, out);
	else if (look->pending.count > 0 && !m->pending)
		buf_append_cstr(out, "is being taken out");
	else if (!m->heard)
		buf_append_cstr(out, "not heard since the start");
	else if (m->silent)
		buf_printf(out, "not heard for %.0f s", (double)m->silent_ms / 1000);
	else if (!has_its_store(m))
		buf_append_cstr(out, "its data were replaced: taken out and in again once it is level with the log");
	else if (m->judged == LEASE_ANSWER_ROLLED_BACK)
		buf_append_cstr(out, "its store was put back to an older state: stop it, empty its storage.dir, start it");
	else if (!(m->flags & LEASE_ITEM_ABLE))
		buf_append_cstr(out, "its disk or its log does not go on, or its data are being made");
	else if (m->list_number < look->list.number)
		buf_printf(out, "still has voter list %llu", (unsigned long long)m->list_number);
	else if (!m->self && m->said == LEASE_ANSWER_CLOCK)
		buf_append_cstr(out, "finds this region's clock too far ahead");
	else {
		buf_append_cstr(out, "fit");
		return true;
	}
	return false;
}

static const struct lease_member *find_member(const struct lease_look *look, uint8_t region)
{
	for (uint32_t i = 0; i < look->count; i++)
		if (look->members[i].region == region)
			return &look->members[i];
	return NULL;
}

/* --- changes --- */

bool replicator_pause(struct replicator *r, uint64_t ms)
{
	struct timespec until;

	clock_wait_deadline(ms, &until);
	(void)pthread_mutex_lock(&r->lock);
	while (!r->stop && pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0)
		;
	bool go_on = !r->stop;

	(void)pthread_mutex_unlock(&r->lock);
	return go_on;
}

static struct voter voter_of(const struct lease_member *m)
{
	struct voter v = { .region = m->region, .data = m->flags & LEASE_ITEM_DATA };

	memcpy(v.store_id, m->identity.store_id, STORE_ID_BYTES);
	return v;
}

/* May it be put in? It speaks, can do its part, and is where the others are. */
static enum err check_newcomer(struct replicator *r, const struct lease_member *m, uint8_t region, struct fault *f)
{
	const struct peer_config *c = peers_by_id(r->peers, region);
	struct committer_state s;

	committer_state(r->committer, &s);
	if (c == NULL || (!c->data && !c->witness))
		return fault_set(f, ERR_BAD_INPUT, "region %s is no data region and no witness by the configuration of region %s",
				 replicator_name(r, region), r->options.self.name);
	if (m == NULL || !m->heard || m->silent)
		return fault_set(f, ERR_UNAVAILABLE,
				 "region %s was not heard lately: it has to run, with failover.mode auto and the same regions, to be "
				 "put into the voter list", c->name);
	if (c->data != ((m->flags & LEASE_ITEM_DATA) != 0))
		return fault_set(f, ERR_BAD_INPUT, "region %s says that it is a %s, the configuration of region %s says it is not",
				 c->name, c->data ? "witness" : "data region", r->options.self.name);
	if (!(m->flags & LEASE_ITEM_ABLE))
		return fault_set(f, ERR_UNAVAILABLE, "region %s is not ready: its disk or its log does not go on, or its data are "
				 "being made", c->name);
	if (!is_level(&s.position, m))
		return fault_set(f, ERR_UNAVAILABLE,
				 "region %s stands at (%llu,%llu) and the primary at (%llu,%llu): put it in when it is level", c->name,
				 (unsigned long long)m->position.epoch, (unsigned long long)m->position.seq,
				 (unsigned long long)s.position.epoch, (unsigned long long)s.position.seq);
	return ERR_NONE;
}

/* Whoever is to go on must be able to. */
static enum err check_rest(struct replicator *r, const struct lease_look *look, const struct voter_list *next, struct fault *f)
{
	uint32_t answering = 0;

	for (uint32_t i = 0; i < next->count; i++) {
		const struct lease_member *m = find_member(look, next->members[i].region);

		answering += m != NULL && m->heard && !m->silent && has_its_store(m);
	}
	if (answering >= voters_majority(next))
		return ERR_NONE;
	return fault_set(f, ERR_UNAVAILABLE,
			 "only %u of the %u voters that would remain answer, no majority: region %s would stop writing", answering,
			 next->count, r->options.self.name);
}

static enum err next_without(struct replicator *r, enum voters_change change, const struct lease_look *look, uint8_t region,
			     struct voter_list *ret_next, struct fault *f)
{
	const struct lease_member *m = find_member(look, region);
	const char *name = replicator_name(r, region);

	if (region == r->options.self.id)
		return fault_set(f, ERR_BAD_INPUT, "region %s is the primary: hand over first, by `isthmusctl switchover`", name);
	if (voters_without(&look->list, region, ret_next) != ERR_NONE)
		return ERR_NOT_FOUND;
	if (change == VOTERS_REMOVE && (m == NULL || !m->heard || m->silent))
		return fault_set(f, ERR_UNAVAILABLE,
				 "region %s does not answer: if it does not come back, `isthmusctl region expel %s` takes it out", name,
				 name);
	return check_rest(r, look, ret_next, f);
}

/* The list that is the next step; ERR_NOT_FOUND: nothing is left to do. With another store of the region in the list that one is
 * taken out first. */
static enum err next_list(struct replicator *r, enum voters_change change, const struct lease_look *look, uint8_t region,
			  struct voter_list *ret_next, struct fault *f)
{
	const struct lease_member *m = find_member(look, region);

	if (change != VOTERS_ADD)
		return next_without(r, change, look, region, ret_next, f);
	enum err err = check_newcomer(r, m, region, f);
	if (err != ERR_NONE)
		return err;
	const struct voter *listed = voters_find(&look->list, region);
	if (listed != NULL && has_its_store(m))
		return ERR_NOT_FOUND;
	if (listed != NULL)
		return next_without(r, VOTERS_EXPEL, look, region, ret_next, f);
	struct voter v = voter_of(m);
	if (voters_with(&look->list, &v, ret_next) != ERR_NONE)
		return fault_set(f, ERR_BAD_INPUT, "the voter list has %u members, more are not possible", look->list.count);
	return ERR_NONE;
}

static enum err step(struct replicator *r, enum voters_change change, uint8_t region, struct lease_look *look,
		     struct fault *f)
{
	struct voter_list next;
	uint8_t writer;
	enum err err = replicator_admit(r, &writer, f);

	if (err != ERR_NONE)
		return err;
	lease_run_look(r->lease.run, look);
	/* What is on its way comes first. */
	if (look->pending.count > 0 || look->list.number == 0)
		return fault_set(f, ERR_TIMEOUT, "voter list %llu has not been stored by a majority yet: it will be when enough "
				 "regions answer", (unsigned long long)look->list.number + 1);
	err = next_list(r, change, look, region, &next, f);
	if (err != ERR_NONE)
		return err;
	err = lease_run_propose(r->lease.run, &next, f);
	/* Somebody else's change came first. */
	if (err != ERR_NONE)
		return err == ERR_UNAVAILABLE ? ERR_TIMEOUT : err;
	log_info("voter list: a change is proposed number=%llu region=%s change=%s", (unsigned long long)next.number,
		 replicator_name(r, region), change == VOTERS_ADD ? "add" : "remove");
	return fault_set(f, ERR_TIMEOUT, "voter list %llu has not been stored by a majority yet: it will be when enough regions "
			 "answer", (unsigned long long)next.number);
}

enum err replicator_change_voters(struct replicator *r, enum voters_change change, uint8_t region, uint64_t timeout_ms,
				  uint64_t *ret_number, struct fault *reterr_fault)
{
	uint64_t until_ns = clock_mono_ns(r->options.clock) + timeout_ms * NS_PER_MS;
	struct lease_look look = { 0 };
	enum err err;

	if (!replicator_has_lease(r))
		return replicator_voters(r, &look, reterr_fault);
	do {
		err = step(r, change, region, &look, reterr_fault);
		if (err != ERR_TIMEOUT)
			break;
	} while (clock_mono_ns(r->options.clock) < until_ns && replicator_pause(r, PAUSE_MS));
	if (err != ERR_NOT_FOUND)
		return err;
	*ret_number = look.list.number;
	return ERR_NONE;
}

/* --- rule 9 --- */

/* A region whose store was replaced, and that is level with the log: out with the old, then in with the new. Where the change
 * cannot be made now the next look tries again. */
static void take_in(struct replicator *r, const struct lease_look *look, const struct lease_member *m)
{
	struct voter_list next;
	struct fault f = { 0 };

	if (check_newcomer(r, m, m->region, &f) != ERR_NONE ||
	    next_list(r, VOTERS_ADD, look, m->region, &next, &f) != ERR_NONE ||
	    lease_run_propose(r->lease.run, &next, &f) != ERR_NONE) {
		log_debug("voter list: a replaced store is not taken in yet region=%s reason=\"%s\"",
			  replicator_name(r, m->region), fault_text(&f));
		return;
	}
	log_info("voter list: a region's replaced store is %s number=%llu region=%s",
		 voters_find(&look->list, m->region) != NULL ? "going to be taken in, the old one is taken out" : "taken in",
		 (unsigned long long)next.number, replicator_name(r, m->region));
}

void replicator_voters_look(struct replicator *r, uint64_t now_ns)
{
	struct lease_look look;
	uint8_t writer;

	if (!replicator_has_lease(r))
		return;
	if (r->lease.voters_ns != 0 && now_ns - r->lease.voters_ns < LOOK_MS * NS_PER_MS)
		return;
	r->lease.voters_ns = now_ns;
	replicator_voters_count(r);
	if (replicator_admit(r, &writer, NULL) != ERR_NONE)
		return;
	lease_run_look(r->lease.run, &look);
	for (uint32_t i = 0; i < look.count && look.pending.count == 0 && look.list.number > 0; i++) {
		const struct lease_member *m = &look.members[i];

		if (m->heard && !m->silent && m->flags & LEASE_ITEM_REPLACED && m->judged == LEASE_ANSWER_NO_MEMBER) {
			take_in(r, &look, m);
			return;
		}
	}
}
