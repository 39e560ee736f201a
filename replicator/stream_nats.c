/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport over NATS JetStream, with what libnats 3.4.1 and later have in common.
 *
 * Threads
 *   keeper      one per stream: connects, replaces a connection that libnats gave up, measures the round trip
 *   consumer    one per stream that is read: attaches, asks, delivers to the owner, acknowledges
 *   libnats'    deliver messages, acknowledgements and news of the connection; they only copy, push and signal,
 *               or call the owner's struct stream_events
 * A libnats callback may hold stream_lock or a consumer's lock, never both, and none while it calls the owner.
 *
 * Why not natsSubscription_Fetch: in 3.4.1 late answers overflow its heap, and it cannot tell holes (see pull.h).
 * Why a new inbox after each attach: an acknowledgement to the reply subject of a durable that was made anew since
 * would move the new one's floor beyond what it delivered.
 * Why the connection may be replaced: after two equal refusals of its credentials libnats closes it for good.
 */
#include "replicator/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "replicator/pull.h"
#include "replicator/server_info.h"

#define NS_PER_MS 1000000u
#define CONNECT_WAIT_MS 2000
#define RECONNECT_WAIT_MS 500
#define PING_MS 2000
#define API_WAIT_MS 2000          /* of one JetStream request */
#define REQUEST_CONNECT_MS 5000   /* how long stream_request waits for the connection */
#define PUBLISH_WAIT_MS 5000      /* after which a publish without an answer is open */
#define STALL_WAIT_MS 200
#define END_WAIT_MS 10000         /* for callbacks that run */
#define FLUSH_WAIT_MS 1000
#define RTT_EVERY_MS 5000
#define VERSION_WAIT_MS 2000
#define KEEPER_TURN_MS 500
#define REBUILD_WAIT_MS 1000
#define CONSUMER_TURN_MS 500
#define ATTACH_WAIT_MS_MIN 250
#define ATTACH_WAIT_MS_MAX 1000
#define QUEUE_MESSAGES_MAX 4096u  /* more than the credit; beyond, messages are dropped and come again */
#define QUEUE_BYTES_MAX (64u << 20)
#define REPLY_MAX 256
#define SUBJECT_MAX 256
#define SECRET_MAX 512
#define URLS_MAX 8
#define URL_MAX 256

/* JetStream's error codes. */
#define JERR_NO_CONSUMER 10014
#define JERR_NO_MESSAGE 10037
#define JERR_NO_STREAM 10059

struct nats_stream;

/* One connection and all that lives on it. Whoever uses it holds a reference; the last one ends it, never on a
 * thread of libnats. */
struct link {
	struct nats_stream *stream;
	natsConnection *nc;
	jsCtx *js;
	natsSubscription *beats;
	/* under stream_lock */
	unsigned refs;
	bool closed;              /* for good; the last callback of the connection has run */
	bool beats_complete;
};

/* A message published and not yet accepted. */
struct flight {
	natsMsg *msg;             /* identifies it; libnats' */
	uint64_t seq;             /* that the stream has to give it */
	struct position last;
	size_t bytes;
	uint16_t scope;
	bool accepted;
};

struct nats_stream {
	struct stream stream;
	/* fixed */
	char fleet[STREAM_NAME_MAX + 1], region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1];
	struct {
		char region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1];
	} peers[STREAM_PEERS_MAX];
	uint32_t peer_count;
	char urls[URLS_MAX][URL_MAX];
	int url_count;
	char *user, *password_file, *credentials_file;
	struct stream_events events;
	struct clock *clock;
	uint64_t ack_wait_ms;
	pthread_t keeper;

	pthread_mutex_t stream_lock; /* guards all below, and what struct link says */
	pthread_cond_t changed;
	bool stopping;
	unsigned consumers;
	struct link *link;
	struct stream_state shown;
	uint64_t epoch;           /* moves with every connect and disconnect */
	bool window_open;
	uint64_t window_seq;      /* the last sequence that the stream has or will have given */
	size_t window_bytes;
	uint32_t window_head, window_count;
	struct flight window[STREAM_WINDOW_MESSAGES_MAX];
};

/* The subscription of one attachment. */
struct inbox {
	struct nats_consumer *consumer;
	natsSubscription *sub;
	char subject[SUBJECT_MAX]; /* without the last token */
	bool complete;            /* under consumer_lock: no callback runs or will run */
};

struct arrival {
	struct arrival *next;
	natsMsg *msg;
};

struct unacked {
	uint64_t seq;
	char reply[REPLY_MAX];
};

struct nats_consumer {
	struct stream_consumer consumer;
	/* fixed */
	char region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1], name[STREAM_NAME_MAX + 8];
	struct stream_handler handler;
	pthread_t thread;

	pthread_mutex_t consumer_lock; /* guards all of this paragraph, and struct inbox's complete */
	pthread_cond_t wake;
	bool attention;           /* something of this paragraph changed */
	bool stopping;
	struct arrival *head, *tail;
	uint32_t queue_count;
	size_t queue_bytes;
	uint64_t generation;
	uint64_t ack_wanted;      /* sequence in this generation */
	uint64_t reset_seq;       /* 0: none asked for */
	uint64_t heard_ns;
	struct stream_consumer_state shown;

	/* the consumer's thread only */
	struct pull pull;
	struct link *link;
	struct inbox *inbox;
	uint64_t epoch;           /* of the stream, when attached */
	uint64_t seen_generation;
	natsMsg *held;            /* offered and not taken */
	uint64_t held_until_ns, held_pending;
	uint64_t acked_sent;      /* sequence */
	uint32_t unacked_head, unacked_count;
	struct unacked unacked[STREAM_UNACKED_MAX]; /* a ring, ascending */
};

static struct nats_stream *stream_of(struct stream *s)
{
	return CONTAINER_OF(s, struct nats_stream, stream);
}

static struct nats_consumer *consumer_of(struct stream_consumer *c)
{
	return CONTAINER_OF(c, struct nats_consumer, consumer);
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

static enum err js_fault(natsStatus st, jsErrCode jerr, const char *what, struct fault *reterr_fault)
{
	if ((int)jerr == JERR_NO_STREAM || (int)jerr == JERR_NO_CONSUMER || (int)jerr == JERR_NO_MESSAGE)
		return fault_set(reterr_fault, ERR_NOT_FOUND, "%s: %s", what, nats_words(st));
	if (st == NATS_NO_RESPONDERS)
		return fault_set(reterr_fault, ERR_UNAVAILABLE, "%s: no JetStream server answers", what);
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

/* With stream_lock; true when it was open: then on_closed is owed. */
static bool window_close(struct nats_stream *s)
{
	bool was = s->window_open;
	s->window_open = false;
	s->window_count = 0;
	s->window_bytes = 0;
	return was;
}

/* Without the lock. What the owner hears of a failed window. */
static void tell_closed(struct nats_stream *s, const struct fault *why)
{
	pthread_mutex_lock(&s->stream_lock);
	bool owed = window_close(s);
	if (owed)
		s->shown.trouble = *why;
	pthread_mutex_unlock(&s->stream_lock);
	if (owed && s->events.on_closed)
		s->events.on_closed(s->events.ctx, why);
}

/* With stream_lock. */
static struct flight *flight_at(struct nats_stream *s, uint32_t i)
{
	return &s->window[(s->window_head + i) % STREAM_WINDOW_MESSAGES_MAX];
}

static struct flight *flight_find(struct nats_stream *s, const natsMsg *msg)
{
	for (uint32_t i = 0; i < s->window_count; i++)
		if (flight_at(s, i)->msg == msg)
			return flight_at(s, i);
	return NULL;
}

/* Takes the oldest off the window if it is accepted. */
static bool flight_land(struct nats_stream *s, struct flight *ret_flight)
{
	pthread_mutex_lock(&s->stream_lock);
	bool landed = s->window_count > 0 && flight_at(s, 0)->accepted;
	if (landed) {
		*ret_flight = *flight_at(s, 0);
		s->window_head = (s->window_head + 1) % STREAM_WINDOW_MESSAGES_MAX;
		s->window_count--;
		s->window_bytes -= ret_flight->bytes;
		s->shown.accepted[ret_flight->scope] = ret_flight->last;
	}
	pthread_mutex_unlock(&s->stream_lock);
	return landed;
}

/* Each message names the sequence before it, so the stream takes them in order or refuses. An acknowledgement with
 * another sequence means that somebody else writes, or that the same id was stored before: look again where it ends. */
static void on_ack(jsCtx *js, natsMsg *msg, jsPubAck *pa, jsPubAckErr *pae, void *closure)
{
	struct nats_stream *s = ((struct link *)closure)->stream;
	struct fault why = { 0 };
	(void)js;

	pthread_mutex_lock(&s->stream_lock);
	struct flight *f = flight_find(s, msg);
	if (f && pa && pa->Sequence == f->seq)
		f->accepted = true;
	else if (f && pa)
		fault_set(&why, ERR_GAP, "the stream gave sequence %" PRIu64 " instead of %" PRIu64, pa->Sequence, f->seq);
	else if (f)
		fault_set(&why, pae && pae->Err == NATS_TIMEOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE,
			  "a publish was not accepted: %s (%d)", pae && pae->ErrText ? pae->ErrText : "no reason given",
			  pae ? (int)pae->ErrCode : 0);
	pthread_mutex_unlock(&s->stream_lock);
	natsMsg_Destroy(msg);

	if (why.err)
		tell_closed(s, &why);
	struct flight landed;
	while (flight_land(s, &landed))
		if (s->events.on_accepted)
			s->events.on_accepted(s->events.ctx, landed.scope, landed.last);
}

/* ---- the connection ---- */

static void connection_changed(struct link *l, bool connected)
{
	struct nats_stream *s = l->stream;
	struct fault why = { 0 };

	pthread_mutex_lock(&s->stream_lock);
	if (s->link == l && s->shown.connected != connected) {
		s->epoch++;
		s->shown.connected = connected;
		s->shown.connects += connected;
		s->shown.version[0] = s->shown.server[0] = '\0';
		s->shown.rtt_us = 0;
		if (connected)
			s->shown.trouble = (struct fault){ 0 };
		else
			fault_set(&s->shown.trouble, ERR_UNAVAILABLE, "the connection to NATS is lost");
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

/* Refused permissions are told only here. The subscription may be freed already: not to be touched. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus st, void *closure)
{
	struct nats_stream *s = ((struct link *)closure)->stream;
	const char *words = NULL;
	(void)sub;

	if (natsConnection_GetLastError(nc, &words) == NATS_OK || !words || words[0] == '\0')
		words = natsStatus_GetText(st);
	log_warn("NATS reports an error; region=%s error=\"%s\"", s->region, words);
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

	if (len > 0 && len <= STREAM_BEAT_BYTES_MAX && s->events.on_beat &&
	    stream_subject_parse(natsMsg_GetSubject(msg), "beat", s->fleet, region, &scope) &&
	    strcmp(region, s->region) != 0) {
		struct bytes beat = { .data = (const uint8_t *)natsMsg_GetData(msg), .len = (size_t)len };
		s->events.on_beat(s->events.ctx, region, scope, beat);
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

/* The first line of a file, terminated. */
static enum err secret_read(const char *path, char out[SECRET_MAX], struct fault *reterr_fault)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return fault_set(reterr_fault, ERR_CONFIG, "cannot open %s: %s", path, strerror(errno));
	bool got = fgets(out, SECRET_MAX, f) != NULL;
	fclose(f);
	if (!got)
		return fault_set(reterr_fault, ERR_CONFIG, "%s is empty", path);
	out[strcspn(out, "\r\n")] = '\0';
	return ERR_NONE;
}

static natsStatus options_credentials(struct nats_stream *s, natsOptions *o, struct fault *reterr_fault)
{
	char password[SECRET_MAX] = "";

	if (s->credentials_file)
		return natsOptions_SetUserCredentialsFromFiles(o, s->credentials_file, NULL);
	if (!s->user)
		return NATS_OK;
	if (s->password_file && secret_read(s->password_file, password, reterr_fault))
		return NATS_INVALID_ARG;
	natsStatus st = natsOptions_SetUserInfo(o, s->user, password);
	explicit_bzero(password, sizeof(password));
	return st;
}

static natsStatus options_fill(struct nats_stream *s, struct link *l, natsOptions *o, struct fault *reterr_fault)
{
	const char *urls[URLS_MAX];
	char name[STREAM_NAME_MAX + 16], inbox[STREAM_NAME_MAX + 16];
	for (int i = 0; i < s->url_count; i++)
		urls[i] = s->urls[i];
	snprintf(name, sizeof(name), "isthmus/%s", s->region);
	snprintf(inbox, sizeof(inbox), "_INBOX_%s", s->region);

	natsStatus st = natsOptions_SetServers(o, urls, s->url_count);
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
	snprintf(subject, sizeof(subject), "beat.*.%s.*", l->stream->fleet);

	natsStatus st = jsOptions_Init(&o);
	if (st)
		return st;
	o.PublishAsync.MaxPending = STREAM_WINDOW_MESSAGES_MAX;
	o.PublishAsync.StallWait = STALL_WAIT_MS;
	o.PublishAsync.AckHandler = on_ack;
	o.PublishAsync.AckHandlerClosure = l;
	st = natsConnection_JetStream(&l->js, l->nc, &o);
	st = st ? st : natsConnection_Subscribe(&l->beats, l->nc, subject, on_beat, l);
	if (l->beats && natsSubscription_SetOnCompleteCB(l->beats, on_beats_complete, l))
		PANIC("a fresh subscription takes no callback");
	return st;
}

/* With stream_lock: waits until *flag; false after a time that no callback takes. */
static bool wait_for_flag(struct nats_stream *s, const bool *flag)
{
	uint64_t deadline_ns = clock_mono_ns(s->clock) + (uint64_t)END_WAIT_MS * NS_PER_MS;
	while (!*flag && clock_mono_ns(s->clock) < deadline_ns)
		wait_on(&s->changed, &s->stream_lock, 100);
	return *flag;
}

/* Ends the connection. What libnats' callbacks use is freed only after the last of them has run. */
static void link_free(struct link *l)
{
	struct nats_stream *s = l->stream;

	if (l->js) {
		/* First those that no handler has: then what is pending is in a handler that runs, and ends. */
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
	bool ended = wait_for_flag(s, &l->closed) && (!l->beats || wait_for_flag(s, &l->beats_complete));
	pthread_mutex_unlock(&s->stream_lock);
	if (!ended) {
		log_error("a NATS connection does not end; region=%s, its memory is left to it", s->region);
		return;
	}
	natsSubscription_Destroy(l->beats);
	jsCtx_Destroy(l->js);
	natsConnection_Destroy(l->nc);
	free(l);
}

/* The connection, with a reference; NULL while there is none. */
static struct link *link_ref(struct nats_stream *s)
{
	pthread_mutex_lock(&s->stream_lock);
	struct link *l = s->link;
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
	if (st == NATS_OK)
		connection_changed(l, true);
	if (st == NATS_OK || later)
		st = link_furnish(l);
	if (st == NATS_OK) {
		if (later)
			fault_set(reterr_fault, ERR_UNAVAILABLE, "NATS is not reachable; trying on");
		return ERR_NONE;
	}
	if (!reterr_fault->err)
		fault_set(reterr_fault, err_from_nats(st), "connecting to NATS: %s", nats_words(st));
	pthread_mutex_lock(&s->stream_lock);
	s->link = NULL;
	s->shown.connected = false;
	pthread_mutex_unlock(&s->stream_lock);
	if (l->nc)
		link_unref(l);
	else
		free(l);
	return reterr_fault->err;
}

/* Keeper: who the server is, and how far. */
static void keeper_measure(struct nats_stream *s, struct link *l)
{
	char url[URL_MAX] = "", address[SERVER_ADDRESS_MAX] = "", version[SERVER_VERSION_MAX] = "";
	uint64_t before = clock_mono_ns(s->clock);

	if (natsConnection_FlushTimeout(l->nc, PING_MS) != NATS_OK)
		return;
	uint64_t rtt_us = (clock_mono_ns(s->clock) - before) / 1000;
	pthread_mutex_lock(&s->stream_lock);
	bool known = s->shown.version[0] != '\0';
	uint64_t epoch = s->epoch;
	pthread_mutex_unlock(&s->stream_lock);
	if (!known && natsConnection_GetConnectedUrl(l->nc, url, sizeof(url)) == NATS_OK &&
	    server_address(url, address) == ERR_NONE && server_version(address, VERSION_WAIT_MS, version) == ERR_NONE)
		log_info("connected to NATS; region=%s server=%s version=%s", s->region, address, version);

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
	return l;
}

static void keeper_connect(struct nats_stream *s)
{
	struct fault f = { 0 };
	enum err e = link_new(s, &f);
	pthread_mutex_lock(&s->stream_lock);
	if (f.err && !s->shown.connected)
		s->shown.trouble = f;
	if (e && !s->stopping)
		wait_on(&s->changed, &s->stream_lock, REBUILD_WAIT_MS);
	pthread_mutex_unlock(&s->stream_lock);
	if (f.err)
		log_warn("no connection to NATS; region=%s error=\"%s\", trying on", s->region, f.text);
}

static void *keeper_main(void *arg)
{
	struct nats_stream *s = arg;
	uint64_t measured_ns = 0, measured_epoch = 0;

	pthread_mutex_lock(&s->stream_lock);
	while (!s->stopping) {
		struct link *closed = keeper_retire(s);
		bool absent = !s->link;
		bool measure = s->shown.connected &&
			       (s->epoch != measured_epoch || clock_mono_ns(s->clock) >= measured_ns);
		uint64_t epoch = s->epoch;
		pthread_mutex_unlock(&s->stream_lock);

		link_unref(closed);
		struct link *l = measure ? link_ref(s) : NULL;
		if (absent) {
			keeper_connect(s);
		} else if (l) {
			keeper_measure(s, l);
			measured_epoch = epoch;
			measured_ns = clock_mono_ns(s->clock) + (uint64_t)RTT_EVERY_MS * NS_PER_MS;
		}
		link_unref(l);
		pthread_mutex_lock(&s->stream_lock);
		if (!s->stopping && !absent)
			wait_on(&s->changed, &s->stream_lock, KEEPER_TURN_MS);
	}
	pthread_mutex_unlock(&s->stream_lock);
	nats_ReleaseThreadMemory();
	return NULL;
}
