/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport over NATS JetStream, with what libnats 3.4.1 and later have in common.
 *
 * Threads
 *   keeper    one per stream: connects, replaces a connection that libnats gave up, measures the
 *             round trip
 *   reader    one per stream that is read (reader.h): attaches, asks, delivers to the owner,
 *             acknowledges
 *   libnats'  deliver messages, acknowledgements and news of the connection; they only copy, push
 *             and signal, or call the owner's struct stream_events
 * Nobody holds stream_lock while calling the owner, the reader, or libnats where that may wait.
 *
 * The other half is stream_nats_read.c: what a reader asks of a server.
 *
 * Why not natsSubscription_Fetch: in 3.4.1 late answers overflow its heap, and it cannot tell holes
 * (see pull.h).
 * Why a new inbox after each attach: what a former durable still sends must not be taken for the
 * new one's.
 * Why the connection may be replaced: after two equal refusals of its credentials libnats closes it
 * for good.
 */
#include "replicator/stream_nats.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "replicator/reader.h"
#include "replicator/server_info.h"
#include "replicator/stream_api.h"

#define NS_PER_MS 1000000u
#define CONNECT_WAIT_MS 2000
#define RECONNECT_WAIT_MS 500
#define PING_MS 2000
#define API_WAIT_MS 2000        /* of one JetStream request */
#define REQUEST_CONNECT_MS 5000 /* how long stream_request waits for the connection */
#define PUBLISH_WAIT_MS 5000    /* after which a publish without an answer is open */
#define STALL_WAIT_MS 200
#define END_WAIT_MS 10000 /* for callbacks that run */
#define FLUSH_WAIT_MS 1000
#define RTT_EVERY_MS 5000
#define VERSION_WAIT_MS 2000
#define KEEPER_TURN_MS 500
#define REBUILD_WAIT_MS 1000
#define SUBJECT_MAX 256

#define JERR_NO_MESSAGE 10037 /* JetStream's error code */

/* One connection and all that lives on it. Whoever uses it holds a reference; the last one ends it,
 * never on a thread of libnats. */
struct link {
	struct nats_stream *stream;
	natsConnection *nc;
	jsCtx *js;
	natsSubscription *beats;
	bool published; /* something, ever; the publisher's thread, then whoever ends it */
	/* under stream_lock */
	unsigned refs;
	bool up;     /* connected */
	bool ready;  /* has all that it needs, whether connected or not */
	bool closed; /* for good; the last callback of the connection has run */
	bool beats_complete;
};

/* The keeper's own. */
struct keeper {
	uint64_t build_at_ns, measure_at_ns, measured_epoch;
};

/* A subscription whose messages a reader gets. */
struct inbox {
	struct reader *reader;
	struct link *link;
	natsSubscription *sub;
	size_t inbox_len;
	bool complete; /* under stream_lock: no callback runs or will run */
};

static struct nats_stream *stream_of(struct stream *s)
{
	return CONTAINER_OF(s, struct nats_stream, stream);
}

static enum err err_from_nats(natsStatus st)
{
	if (st == NATS_OK)
		return ERR_NONE;
	if (st == NATS_TIMEOUT)
		return ERR_TIMEOUT;
	if (st == NATS_NOT_FOUND)
		return ERR_NOT_FOUND;
	if (st == NATS_NO_MEMORY)
		return ERR_NO_MEMORY;
	if (st == NATS_MAX_PAYLOAD)
		return ERR_TOO_LARGE;
	return ERR_UNAVAILABLE;
}

/* The words of the last failed call on this thread. */
static const char *nats_words(natsStatus st)
{
	natsStatus last = NATS_OK;
	const char *words = nats_GetLastError(&last);
	return last == st && words && words[0] ? words : natsStatus_GetText(st);
}

static enum err nats_fault(natsStatus st, const char *what, struct fault *reterr_fault)
{
	if (st == NATS_NO_RESPONDERS)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "%s: nobody answers", what);
	return fault_set(reterr_fault, err_from_nats(st), "%s: %s", what, nats_words(st));
}

static void condition_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr) || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) ||
	    pthread_cond_init(c, &attr))
		PANIC("no condition variable");
	pthread_condattr_destroy(&attr);
}

/* Waits once; spurious wake-ups are the caller's business. */
static void wait_on(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t ms)
{
	struct timespec deadline;
	clock_wait_deadline(ms, &deadline);
	pthread_cond_timedwait(c, lock, &deadline);
}

/* ---- the window of publishing ---- */

/* What the owner hears of a failed window. */
static void tell_closed(struct nats_stream *s, const struct fault *why)
{
	pthread_mutex_lock(&s->stream_lock);
	bool owed = window_close(&s->window);
	if (owed)
		s->shown.trouble = *why;
	pthread_mutex_unlock(&s->stream_lock);
	if (owed && s->set.events.on_closed)
		s->set.events.on_closed(s->set.events.ctx, why);
}

static bool land(struct nats_stream *s, struct window_flight *ret_flight)
{
	pthread_mutex_lock(&s->stream_lock);
	bool landed = window_land(&s->window, ret_flight);
	if (landed)
		s->shown.accepted[ret_flight->scope] = ret_flight->last;
	pthread_mutex_unlock(&s->stream_lock);
	return landed;
}

/* Each message names the sequence before it, so the stream takes them in order or refuses. An
 * acknowledgement with another sequence means that somebody else writes, or that the same id was
 * stored before: look again where it ends. */
static void on_ack(jsCtx *js, natsMsg *msg, jsPubAck *pa, jsPubAckErr *pae, void *closure)
{
	struct nats_stream *s = ((struct link *)closure)->stream;
	struct fault why = { 0 };
	uint64_t due;
	(void)js;

	pthread_mutex_lock(&s->stream_lock);
	if (pa && window_accept(&s->window, msg, pa->Sequence, &due) == ERR_GAP)
		fault_set(&why, ERR_GAP, "the stream gave sequence %" PRIu64 " instead of %" PRIu64,
			  pa->Sequence, due);
	if (pae && window_has(&s->window, msg))
		fault_set(&why, pae->Err == NATS_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
			  "a publish was not accepted: %s (%d)",
			  pae->ErrText ? pae->ErrText : "no reason given", (int)pae->ErrCode);
	pthread_mutex_unlock(&s->stream_lock);
	natsMsg_Destroy(msg);

	if (why.err)
		tell_closed(s, &why);
	struct window_flight landed;
	while (land(s, &landed))
		if (s->set.events.on_accepted)
			s->set.events.on_accepted(s->set.events.ctx, landed.scope, landed.last);
}

/* ---- the connection ---- */

static void connection_changed(struct link *l, bool connected)
{
	struct nats_stream *s = l->stream;
	struct fault why = { 0 };

	pthread_mutex_lock(&s->stream_lock);
	l->up = connected;
	connected = connected && l->ready && !l->closed;
	if (s->link == l && s->shown.connected != connected) {
		s->epoch++;
		s->shown.connected = connected;
		s->shown.connects += connected;
		s->shown.version[0] = s->shown.server[0] = '\0';
		s->shown.rtt_us = 0;
		s->outage = s->outage && !connected;
		if (connected)
			s->shown.trouble = (struct fault){ 0 };
		else
			fault_set(&s->shown.trouble, ERR_UNAVAILABLE,
				  "the connection to NATS is lost");
	}
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->stream_lock);
	if (!connected) {
		fault_set(&why, ERR_UNAVAILABLE, "the connection to NATS is lost");
		tell_closed(s, &why);
	}
}

static void on_connected(natsConnection *nc, void *closure)
{
	(void)nc;
	connection_changed(closure, true);
}

static void on_disconnected(natsConnection *nc, void *closure)
{
	(void)nc;
	connection_changed(closure, false);
}

static void on_connection_closed(natsConnection *nc, void *closure)
{
	struct link *l = closure;
	(void)nc;

	connection_changed(l, false);
	pthread_mutex_lock(&l->stream->stream_lock);
	l->closed = true;
	pthread_cond_broadcast(&l->stream->changed);
	pthread_mutex_unlock(&l->stream->stream_lock);
}

/* Refused permissions are told only here. The subscription may be freed already: not to be
 * touched. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus st, void *closure)
{
	struct nats_stream *s = ((struct link *)closure)->stream;
	const char *words = NULL;
	(void)sub;

	if (natsConnection_GetLastError(nc, &words) == NATS_OK || !words || words[0] == '\0')
		words = natsStatus_GetText(st);
	log_warn("NATS reports an error; region=%s error=\"%s\"", s->set.region, words);
	pthread_mutex_lock(&s->stream_lock);
	fault_set(&s->shown.trouble, ERR_UNAVAILABLE, "NATS: %s", words);
	pthread_mutex_unlock(&s->stream_lock);
}

static void on_beat(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct nats_stream *s = ((struct link *)closure)->stream;
	char region[STREAM_NAME_MAX + 1];
	uint16_t scope;
	int len = natsMsg_GetDataLength(msg);
	(void)nc;
	(void)sub;

	if (len > 0 && len <= STREAM_BEAT_BYTES_MAX && s->set.events.on_beat &&
	    stream_subject_parse(natsMsg_GetSubject(msg), "beat", s->set.fleet, region, &scope) &&
	    strcmp(region, s->set.region) != 0) {
		struct bytes beat = { .data = (const uint8_t *)natsMsg_GetData(msg),
				      .len = (size_t)len };
		s->set.events.on_beat(s->set.events.ctx, region, scope, beat);
	}
	natsMsg_Destroy(msg);
}

static void on_beats_complete(void *closure)
{
	struct link *l = closure;
	pthread_mutex_lock(&l->stream->stream_lock);
	l->beats_complete = true;
	pthread_cond_broadcast(&l->stream->changed);
	pthread_mutex_unlock(&l->stream->stream_lock);
}

static natsStatus options_credentials(struct nats_stream *s, natsOptions *o,
				      struct fault *reterr_fault)
{
	char password[STREAM_SECRET_MAX] = "";

	if (s->set.credentials_file)
		return natsOptions_SetUserCredentialsFromFiles(o, s->set.credentials_file, NULL);
	if (!s->set.user)
		return NATS_OK;
	if (s->set.password_file &&
	    stream_secret_read(s->set.password_file, password, reterr_fault))
		return NATS_INVALID_ARG;
	natsStatus st = natsOptions_SetUserInfo(o, s->set.user, password);
	explicit_bzero(password, sizeof(password));
	return st;
}

static natsStatus options_fill(struct nats_stream *s, struct link *l, natsOptions *o,
			       struct fault *reterr_fault)
{
	const char *urls[STREAM_URLS_MAX];
	char name[STREAM_NAME_MAX + 16], inbox[STREAM_NAME_MAX + 16];
	for (int i = 0; i < s->set.url_count; i++)
		urls[i] = s->set.urls[i];
	snprintf(name, sizeof(name), "isthmus/%s", s->set.region);
	snprintf(inbox, sizeof(inbox), "_INBOX_%s", s->set.region);

	natsStatus st = natsOptions_SetServers(o, urls, s->set.url_count);
	st = st ? st : natsOptions_SetNoRandomize(o, true);
	st = st ? st : natsOptions_SetIgnoreDiscoveredServers(o, true);
	st = st ? st : natsOptions_SetTimeout(o, CONNECT_WAIT_MS);
	st = st ? st : natsOptions_SetMaxReconnect(o, -1);
	st = st ? st : natsOptions_SetReconnectWait(o, RECONNECT_WAIT_MS);
	st = st ? st : natsOptions_SetReconnectJitter(o, 200, 500);
	st = st ? st : natsOptions_SetPingInterval(o, PING_MS);
	st = st ? st : natsOptions_SetMaxPingsOut(o, 2);
	st = st ? st : natsOptions_SetFailRequestsOnDisconnect(o, true);
	/* 0 would mean 8 MiB that are sent after a reconnect, long after they were given up. */
	st = st ? st : natsOptions_SetReconnectBufSize(o, 1);
	st = st ? st : natsOptions_SetSendAsap(o, true);
	st = st ? st : natsOptions_SetName(o, name);
	st = st ? st : natsOptions_SetCustomInboxPrefix(o, inbox);
	st = st ? st : natsOptions_SetRetryOnFailedConnect(o, true, on_connected, l);
	st = st ? st : natsOptions_SetReconnectedCB(o, on_connected, l);
	st = st ? st : natsOptions_SetDisconnectedCB(o, on_disconnected, l);
	st = st ? st : natsOptions_SetClosedCB(o, on_connection_closed, l);
	st = st ? st : natsOptions_SetErrorHandler(o, on_error, l);
	return st ? st : options_credentials(s, o, reterr_fault);
}

/* Of the connection, once it exists; the server need not be there. */
static natsStatus link_furnish(struct link *l)
{
	jsOptions o;
	char subject[STREAM_SUBJECT_MAX];
	snprintf(subject, sizeof(subject), "beat.*.%s.*", l->stream->set.fleet);

	natsStatus st = jsOptions_Init(&o);
	if (st)
		return st;
	o.PublishAsync.MaxPending = STREAM_WINDOW_MESSAGES_MAX;
	o.PublishAsync.StallWait = STALL_WAIT_MS;
	o.PublishAsync.AckHandler = on_ack;
	o.PublishAsync.AckHandlerClosure = l;
	st = natsConnection_JetStream(&l->js, l->nc, &o);
	st = st ? st : natsConnection_Subscribe(&l->beats, l->nc, subject, on_beat, l);
	/* The connection may be closed already: then nothing was ever delivered, and nothing will
	 * be. */
	if (l->beats && natsSubscription_SetOnCompleteCB(l->beats, on_beats_complete, l))
		on_beats_complete(l);
	return st;
}

/* With stream_lock: waits until *flag; false after a time that no callback takes. */
static bool wait_for_flag(struct nats_stream *s, const bool *flag)
{
	uint64_t deadline_ns = clock_mono_ns(s->set.clock) + (uint64_t)END_WAIT_MS * NS_PER_MS;
	while (!*flag && clock_mono_ns(s->set.clock) < deadline_ns)
		wait_on(&s->changed, &s->stream_lock, 100);
	return *flag;
}

/* Ends the connection. What libnats' callbacks use is freed only after the last of them has run. */
static void link_free(struct link *l)
{
	struct nats_stream *s = l->stream;

	if (l->published) {
		/* First those that no handler has: then what is pending is in a handler that runs,
		 * and ends. (With nothing ever published, 3.4.1 crashes here.) */
		natsMsgList pending;
		jsPubOptions o;
		if (js_PublishAsyncGetPendingList(&pending, l->js) == NATS_OK)
			natsMsgList_Destroy(&pending);
		if (jsPubOptions_Init(&o) == NATS_OK) {
			o.MaxWait = END_WAIT_MS;
			js_PublishAsyncComplete(l->js, &o);
		}
	}
	if (l->beats)
		natsSubscription_Unsubscribe(l->beats);
	natsConnection_FlushTimeout(l->nc, FLUSH_WAIT_MS);
	natsConnection_Close(l->nc);

	pthread_mutex_lock(&s->stream_lock);
	bool ended =
		wait_for_flag(s, &l->closed) && (!l->beats || wait_for_flag(s, &l->beats_complete));
	pthread_mutex_unlock(&s->stream_lock);
	if (!ended) {
		log_error("a NATS connection does not end; region=%s, its memory is left to it",
			  s->set.region);
		return;
	}
	natsSubscription_Destroy(l->beats);
	jsCtx_Destroy(l->js);
	natsConnection_Destroy(l->nc);
	free(l);
}

/* The connection, with a reference; NULL while it is not connected. */
static struct link *link_ref(struct nats_stream *s)
{
	pthread_mutex_lock(&s->stream_lock);
	struct link *l = s->shown.connected ? s->link : NULL;
	if (l)
		l->refs++;
	pthread_mutex_unlock(&s->stream_lock);
	return l;
}

static void link_unref(struct link *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->stream->stream_lock);
	bool last = --l->refs == 0;
	pthread_mutex_unlock(&l->stream->stream_lock);
	if (last)
		link_free(l);
}

/* Keeper. */
static enum err link_new(struct nats_stream *s, struct fault *reterr_fault)
{
	struct link *l = calloc(1, sizeof(*l));
	if (!l)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a NATS connection");
	*l = (struct link){ .stream = s, .refs = 1 };
	pthread_mutex_lock(&s->stream_lock);
	s->link = l;
	pthread_mutex_unlock(&s->stream_lock);

	natsOptions *o = NULL;
	*reterr_fault = (struct fault){ 0 };
	natsStatus st = natsOptions_Create(&o);
	st = st ? st : options_fill(s, l, o, reterr_fault);
	st = st ? st : natsConnection_Connect(&l->nc, o);
	natsOptions_Destroy(o);
	bool later = st == NATS_NOT_YET_CONNECTED;
	/* Why not yet is told nowhere else: when libnats gives up for good, it names no reason. */
	const char *why = NULL;
	if (later && natsConnection_GetLastError(l->nc, &why) != NATS_OK && why && why[0])
		fault_set(reterr_fault, ERR_UNAVAILABLE, "NATS: %.200s", why);
	if (st == NATS_OK || later)
		st = link_furnish(l);
	if (st == NATS_OK) {
		pthread_mutex_lock(&s->stream_lock);
		l->ready = true;
		bool up = l->up || !later;
		pthread_mutex_unlock(&s->stream_lock);
		if (up)
			connection_changed(l, true);
		else if (!reterr_fault->err)
			fault_set(reterr_fault, ERR_UNAVAILABLE, "NATS is not reachable");
		return ERR_NONE;
	}
	if (!reterr_fault->err)
		fault_set(reterr_fault, err_from_nats(st), "connecting to NATS: %s",
			  nats_words(st));
	pthread_mutex_lock(&s->stream_lock);
	s->link = NULL;
	s->shown.connected = false;
	pthread_mutex_unlock(&s->stream_lock);
	if (l->nc) {
		link_unref(l);
	} else {
		free(s->failed);
		s->failed = l;
	}
	return reterr_fault->err;
}

/* Keeper: who the server is, and how far. */
static void keeper_measure(struct nats_stream *s, struct link *l)
{
	char url[STREAM_URL_MAX] = "", address[SERVER_ADDRESS_MAX] = "",
	     version[SERVER_VERSION_MAX] = "";
	uint64_t before = clock_mono_ns(s->set.clock);

	if (natsConnection_FlushTimeout(l->nc, PING_MS) != NATS_OK)
		return;
	uint64_t rtt_us = (clock_mono_ns(s->set.clock) - before) / 1000;
	pthread_mutex_lock(&s->stream_lock);
	bool known = s->shown.version[0] != '\0';
	uint64_t epoch = s->epoch;
	pthread_mutex_unlock(&s->stream_lock);
	if (!known && natsConnection_GetConnectedUrl(l->nc, url, sizeof(url)) == NATS_OK &&
	    server_address(url, address) == ERR_NONE &&
	    server_version(address, VERSION_WAIT_MS, version) == ERR_NONE)
		log_info("connected to NATS; region=%s server=%s version=%s", s->set.region,
			 address, version);

	pthread_mutex_lock(&s->stream_lock);
	if (s->epoch == epoch && s->shown.connected) {
		s->shown.rtt_us = MAX(rtt_us, 1);
		if (version[0]) {
			snprintf(s->shown.server, sizeof(s->shown.server), "%s", address);
			snprintf(s->shown.version, sizeof(s->shown.version), "%s", version);
		}
	}
	pthread_mutex_unlock(&s->stream_lock);
}

/* Keeper, with stream_lock: a closed connection leaves its place. */
static struct link *keeper_retire(struct nats_stream *s)
{
	struct link *l = s->link;
	if (!l || !l->closed)
		return NULL;
	s->link = NULL;
	s->shown.connected = false;
	return l;
}

/* Words once per outage, and for each new reason. */
static void keeper_connect(struct nats_stream *s)
{
	struct fault f = { 0 };
	/* An error, or not yet connected: either way it is tried on. */
	(void)link_new(s, &f);
	if (!f.err)
		return;
	pthread_mutex_lock(&s->stream_lock);
	bool news = !s->outage || strcmp(s->shown.trouble.text, f.text) != 0;
	s->outage = true;
	if (news && !s->shown.connected)
		s->shown.trouble = f;
	pthread_mutex_unlock(&s->stream_lock);
	if (news)
		log_warn("no connection to NATS; region=%s error=\"%s\", trying on", s->set.region,
			 f.text);
}

/* Without the lock. At most one new connection in REBUILD_WAIT_MS, however fast they fail. */
static void keeper_turn(struct nats_stream *s, struct keeper *k)
{
	uint64_t now_ns = clock_mono_ns(s->set.clock);

	pthread_mutex_lock(&s->stream_lock);
	struct link *closed = keeper_retire(s);
	bool absent = !s->link;
	bool measure =
		s->shown.connected && (s->epoch != k->measured_epoch || now_ns >= k->measure_at_ns);
	uint64_t epoch = s->epoch;
	pthread_mutex_unlock(&s->stream_lock);

	link_unref(closed);
	if (absent && now_ns >= k->build_at_ns) {
		keeper_connect(s);
		k->build_at_ns =
			clock_mono_ns(s->set.clock) + (uint64_t)REBUILD_WAIT_MS * NS_PER_MS;
	}
	struct link *l = measure ? link_ref(s) : NULL;
	if (l) {
		keeper_measure(s, l);
		k->measured_epoch = epoch;
		k->measure_at_ns = clock_mono_ns(s->set.clock) + (uint64_t)RTT_EVERY_MS * NS_PER_MS;
		link_unref(l);
	}
}

static void *keeper_main(void *arg)
{
	struct nats_stream *s = arg;
	struct keeper k = { 0 };
	uint64_t epoch = 0;

	pthread_mutex_lock(&s->stream_lock);
	while (!s->stopping) {
		pthread_mutex_unlock(&s->stream_lock);
		keeper_turn(s, &k);
		pthread_mutex_lock(&s->stream_lock);
		if (!s->stopping && s->epoch == epoch)
			wait_on(&s->changed, &s->stream_lock, KEEPER_TURN_MS);
		epoch = s->epoch;
	}
	pthread_mutex_unlock(&s->stream_lock);
	nats_ReleaseThreadMemory();
	return NULL;
}

/* ---- publishing ---- */

static enum err not_connected(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_UNAVAILABLE, "not connected to NATS");
}

static enum err nats_open(struct stream *stream, struct fault *reterr_fault)
{
	struct nats_stream *s = stream_of(stream);
	struct pull_found found = { 0 };

	pthread_mutex_lock(&s->stream_lock);
	uint64_t epoch = s->epoch;
	bool connected = s->shown.connected;
	window_close(&s->window);
	pthread_mutex_unlock(&s->stream_lock);
	if (!connected)
		return not_connected(reterr_fault);
	enum err e = stream_api_stream(stream, s->set.domain, s->set.region, &found, reterr_fault);
	if (e)
		return e;
	pthread_mutex_lock(&s->stream_lock);
	bool same = s->epoch == epoch && s->shown.connected;
	if (same) {
		window_open(&s->window, found.last);
		s->shown.trouble = (struct fault){ 0 };
	}
	pthread_mutex_unlock(&s->stream_lock);
	return same ? ERR_NONE : not_connected(reterr_fault);
}

static enum err nats_tail(struct stream *stream, uint16_t scope, struct buf *out,
			  struct fault *reterr_fault)
{
	struct nats_stream *s = stream_of(stream);
	char name[STREAM_API_NAME_MAX], subject[STREAM_SUBJECT_MAX];
	struct link *l = link_ref(s);
	if (!l)
		return not_connected(reterr_fault);

	jsOptions o;
	jsErrCode jerr = 0;
	natsMsg *msg = NULL;
	stream_api_name(s->set.region, name);
	stream_subject("ops", s->set.region, s->set.fleet, scope, subject);
	natsStatus st = jsOptions_Init(&o);
	o.Domain = s->set.domain[0] ? s->set.domain : NULL;
	o.Wait = API_WAIT_MS;
	st = st ? st : js_GetLastMsg(&msg, l->js, name, subject, &o, &jerr);
	link_unref(l);
	if (st)
		return nats_fault((int)jerr == JERR_NO_MESSAGE ? NATS_NOT_FOUND : st,
				  "reading the last message", reterr_fault);
	enum err e = buf_append(out, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
	natsMsg_Destroy(msg);
	return e ? fault_set(reterr_fault, e, "no room for the last message of the stream %s", name)
		 : ERR_NONE;
}

/* Into the window before it is sent, as its acknowledgement may come at once. */
static enum err send_message(struct nats_stream *s, struct link *l, const struct stream_message *m,
			     natsMsg **msg)
{
	jsPubOptions o;
	uint64_t before = 0;
	natsMsg *key = *msg;

	pthread_mutex_lock(&s->stream_lock);
	enum err e = window_add(&s->window, key, m, &before);
	pthread_mutex_unlock(&s->stream_lock);
	if (e)
		return e;
	natsStatus st = jsPubOptions_Init(&o);
	o.MaxWait = PUBLISH_WAIT_MS;
	o.MsgId = m->id;
	o.ExpectLastSeq = before; /* 0 says nothing: the stream is empty then */
	st = st ? st : js_PublishMsgAsync(l->js, msg, &o);
	if (st == NATS_OK) {
		l->published = true;
		return ERR_NONE;
	}
	if (st == NATS_TIMEOUT) {
		/* libnats' own window is full of what was sent through a former one. */
		pthread_mutex_lock(&s->stream_lock);
		window_undo(&s->window, key);
		pthread_mutex_unlock(&s->stream_lock);
		return ERR_RATE_LIMITED;
	}
	struct fault why = { 0 };
	fault_set(&why, err_from_nats(st), "publishing: %s", nats_words(st));
	tell_closed(s, &why);
	return st == NATS_MAX_PAYLOAD ? ERR_TOO_LARGE : ERR_UNAVAILABLE;
}

static enum err nats_publish(struct stream *stream, const struct stream_message *m)
{
	struct nats_stream *s = stream_of(stream);
	char subject[STREAM_SUBJECT_MAX];

	if (m->payload.len > STREAM_PAYLOAD_BYTES_MAX)
		return ERR_TOO_LARGE;
	if (m->payload.len == 0 || m->scope >= SCOPES_MAX || strlen(m->id) >= STREAM_ID_MAX)
		return ERR_BAD_INPUT;
	struct link *l = link_ref(s);
	if (!l)
		return ERR_UNAVAILABLE;
	natsMsg *msg = NULL;
	stream_subject("ops", s->set.region, s->set.fleet, m->scope, subject);
	natsStatus st = natsMsg_Create(&msg, subject, NULL, (const char *)m->payload.data,
				       (int)m->payload.len);
	enum err e = st ? err_from_nats(st) : send_message(s, l, m, &msg);
	natsMsg_Destroy(msg);
	link_unref(l);
	return e;
}

static enum err nats_beat(struct stream *stream, uint16_t scope, struct bytes beat)
{
	struct nats_stream *s = stream_of(stream);
	char subject[STREAM_SUBJECT_MAX];

	if (beat.len == 0 || beat.len > STREAM_BEAT_BYTES_MAX || scope >= SCOPES_MAX)
		return ERR_BAD_INPUT;
	struct link *l = link_ref(s);
	if (!l)
		return ERR_UNAVAILABLE;
	stream_subject("beat", s->set.region, s->set.fleet, scope, subject);
	natsStatus st = natsConnection_Publish(l->nc, subject, beat.data, (int)beat.len);
	link_unref(l);
	return err_from_nats(st);
}

static struct link *link_ref_connected(struct nats_stream *s)
{
	uint64_t deadline_ns =
		clock_mono_ns(s->set.clock) + (uint64_t)REQUEST_CONNECT_MS * NS_PER_MS;

	pthread_mutex_lock(&s->stream_lock);
	/* For a program that begins with a request; later, no connection is an answer. */
	while (s->shown.connects == 0 && clock_mono_ns(s->set.clock) < deadline_ns)
		wait_on(&s->changed, &s->stream_lock, 100);
	pthread_mutex_unlock(&s->stream_lock);
	return link_ref(s);
}

static enum err nats_request(struct stream *stream, const char *domain, const char *what,
			     struct bytes body, struct buf *out, struct fault *reterr_fault)
{
	struct nats_stream *s = stream_of(stream);
	char subject[SUBJECT_MAX];
	int n = snprintf(subject, sizeof(subject), "$JS%s%s.API.%s", domain[0] ? "." : "", domain,
			 what);
	if (n < 0 || (size_t)n >= sizeof(subject))
		return fault_set(reterr_fault, ERR_BAD_INPUT,
				 "the subject of the request %s is too long", what);
	struct link *l = link_ref_connected(s);
	if (!l) {
		struct stream_state state;
		stream_state(stream, &state);
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "not connected to NATS: %s",
				 fault_text(&state.trouble));
	}
	natsMsg *reply = NULL;
	natsStatus st = natsConnection_Request(&reply, l->nc, subject, body.data, (int)body.len,
					       API_WAIT_MS);
	link_unref(l);
	if (st)
		return nats_fault(st, subject, reterr_fault);
	enum err e = buf_append(out, natsMsg_GetData(reply), (size_t)natsMsg_GetDataLength(reply));
	natsMsg_Destroy(reply);
	return e ? fault_set(reterr_fault, e, "the reply to %s is too long", subject) : ERR_NONE;
}

static void nats_state(struct stream *stream, struct stream_state *ret_state)
{
	struct nats_stream *s = stream_of(stream);
	pthread_mutex_lock(&s->stream_lock);
	*ret_state = s->shown;
	ret_state->window_open = s->window.open;
	ret_state->window_messages = s->window.count;
	pthread_mutex_unlock(&s->stream_lock);
}

/* ---- subscriptions of readers ---- */

/* A message without data and with a status is an answer of the server. */
static struct arrival *arrival_of(natsMsg *msg, size_t inbox_len)
{
	const char *code = NULL, *words = NULL, *left = NULL;
	int len = natsMsg_GetDataLength(msg);

	if (len == 0 && natsMsgHeader_Get(msg, "Status", &code) == NATS_OK) {
		if (natsMsgHeader_Get(msg, "Description", &words) != NATS_OK)
			words = "";
		struct arrival *a = arrival_new(strlen(words));
		if (!a)
			return NULL;
		memcpy(a->data, words, a->len);
		a->status = (unsigned)strtoul(code, NULL, 10);
		a->has_left = natsMsgHeader_Get(msg, "Nats-Pending-Messages", &left) == NATS_OK;
		a->left = a->has_left ? (uint32_t)strtoul(left, NULL, 10) : 0;
		const char *subject = natsMsg_GetSubject(msg);
		if (strlen(subject) > inbox_len)
			a->token = (uint32_t)strtoul(subject + inbox_len + 1, NULL, 10);
		return a;
	}
	const char *reply = natsMsg_GetReply(msg);
	if (!reply || strlen(reply) >= READER_REPLY_MAX)
		return NULL;
	struct arrival *a = arrival_new((size_t)len);
	if (a) {
		snprintf(a->reply, sizeof(a->reply), "%s", reply);
		memcpy(a->data, natsMsg_GetData(msg), a->len);
	}
	return a;
}

/* libnats' delivery thread of the subscription. */
static void on_arrival(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
	struct inbox *w = closure;
	(void)nc;
	(void)sub;

	/* What cannot be kept is a hole, and comes again. */
	struct arrival *a = arrival_of(msg, w->inbox_len);
	natsMsg_Destroy(msg);
	if (a)
		reader_push(w->reader, a);
}

static void on_arrivals_complete(void *closure)
{
	struct inbox *w = closure;
	struct nats_stream *s = w->link->stream;
	pthread_mutex_lock(&s->stream_lock);
	w->complete = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->stream_lock);
}

enum err inbox_new(struct nats_stream *s, const char *inbox, struct reader *r,
		      struct inbox **ret_listener, struct fault *reterr_fault)
{
	char subject[READER_INBOX_MAX + 4];
	struct link *l = link_ref(s);
	if (!l)
		return not_connected(reterr_fault);
	struct inbox *w = calloc(1, sizeof(*w));
	if (!w) {
		link_unref(l);
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for a subscription");
	}
	*w = (struct inbox){ .reader = r, .link = l, .inbox_len = strlen(inbox) };
	snprintf(subject, sizeof(subject), "%s.*", inbox);
	natsStatus st = natsConnection_Subscribe(&w->sub, l->nc, subject, on_arrival, w);
	st = st ? st : natsSubscription_SetOnCompleteCB(w->sub, on_arrivals_complete, w);
	if (st) {
		/* The connection was closed meanwhile. Nobody knew the inbox: nothing is being
		 * delivered. */
		natsSubscription_Destroy(w->sub);
		free(w);
		link_unref(l);
		return nats_fault(st, "subscribing to the inbox", reterr_fault);
	}
	st = natsSubscription_SetPendingLimits(w->sub, READER_QUEUE_MESSAGES_MAX,
					       READER_QUEUE_BYTES_MAX);
	if (st) {
		inbox_free(w);
		return nats_fault(st, "subscribing to the inbox", reterr_fault);
	}
	*ret_listener = w;
	return ERR_NONE;
}

/* In 3.4.1 a message that is just being read may still hold a subscription that is destroyed: the
 * flush proves that the reading thread is past it. */
void inbox_free(struct inbox *w)
{
	struct nats_stream *s = w->link->stream;

	natsSubscription_Unsubscribe(w->sub);
	natsConnection_FlushTimeout(w->link->nc, FLUSH_WAIT_MS);
	pthread_mutex_lock(&s->stream_lock);
	while (!wait_for_flag(s, &w->complete))
		log_error("a NATS subscription does not end; region=%s, waiting", s->set.region);
	pthread_mutex_unlock(&s->stream_lock);
	natsSubscription_Destroy(w->sub);
	link_unref(w->link);
	free(w);
}

enum err inbox_send(struct inbox *w, const char *subject, const char *reply, const char *text)
{
	if (!reply)
		return err_from_nats(natsConnection_PublishString(w->link->nc, subject, text));
	return err_from_nats(
		natsConnection_PublishRequestString(w->link->nc, subject, reply, text));
}

uint64_t nats_epoch(struct nats_stream *s)
{
	pthread_mutex_lock(&s->stream_lock);
	uint64_t epoch = s->shown.connected && s->link && s->link->ready ? s->epoch : 0;
	pthread_mutex_unlock(&s->stream_lock);
	return epoch;
}

/* ---- making and ending ---- */

static void nats_release(struct nats_stream *s)
{
	stream_settings_release(&s->set);
	free(s->failed);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->stream_lock);
	free(s);
}

static void nats_free(struct stream *stream)
{
	struct nats_stream *s = stream_of(stream);

	pthread_mutex_lock(&s->stream_lock);
	ASSERT(s->consumers == 0);
	s->stopping = true;
	/* Nothing is told of the end itself. */
	window_close(&s->window);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->stream_lock);
	pthread_join(s->keeper, NULL);
	link_unref(s->link);
	nats_release(s);
}

static const struct stream_ops nats_ops = {
	.free = nats_free,
	.open = nats_open,
	.tail = nats_tail,
	.publish = nats_publish,
	.beat = nats_beat,
	.request = nats_request,
	.state = nats_state,
	.consume = nats_consume,
	.close = nats_close,
	.ack = nats_ack,
	.reset = nats_reset,
	.consumer_state = nats_consumer_state,
};

enum err stream_nats_new(const struct stream_config *config, struct stream **ret_stream,
			 struct fault *reterr_fault)
{
	struct nats_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory for the stream");
	s->stream.ops = &nats_ops;
	if (pthread_mutex_init(&s->stream_lock, NULL))
		PANIC("no mutex");
	condition_init(&s->changed);
	fault_set(&s->shown.trouble, ERR_UNAVAILABLE, "not connected to NATS yet");
	enum err e = stream_settings_copy(&s->set, config, reterr_fault);
	if (!e && s->set.url_count == 0)
		e = fault_set(reterr_fault, ERR_CONFIG, "no url of a nats-server is given");
	if (!e && pthread_create(&s->keeper, NULL, keeper_main, s))
		e = fault_set(reterr_fault, ERR_UNAVAILABLE,
			      "no thread for the connection to NATS");
	if (e) {
		nats_release(s);
		return e;
	}
	*ret_stream = &s->stream;
	return ERR_NONE;
}

void stream_nats_end(void)
{
	nats_CloseAndWait(END_WAIT_MS);
}
