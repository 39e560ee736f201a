/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a region's stream over JetStream: what struct reader needs, and the reading half of
 * struct stream_ops. Thread: the io_ functions the reader's; the rest as stream.h says.
 */
#include "replicator/stream_nats.h"

#include <stdio.h>
#include <stdlib.h>

#include "replicator/stream_api.h"

#define SUBJECT_MAX 256

struct nats_consumer {
	struct stream_consumer consumer;
	struct nats_stream *stream;
	struct reader *reader;
	char region[STREAM_NAME_MAX + 1], domain[STREAM_NAME_MAX + 1];
	struct inbox *listener; /* the reader's thread only */
};

static struct nats_consumer *consumer_of(struct stream_consumer *c)
{
	return CONTAINER_OF(c, struct nats_consumer, consumer);
}

static uint64_t io_epoch(void *ctx)
{
	return nats_epoch(((struct nats_consumer *)ctx)->stream);
}

static enum err io_find(void *ctx, struct pull_found *ret_found, struct fault *reterr_fault)
{
	struct nats_consumer *c = ctx;
	struct stream *s = &c->stream->stream;
	enum err e = stream_api_stream(s, c->domain, c->region, ret_found, reterr_fault);
	return e ? e
		 : stream_api_durable(s, c->domain, c->region, c->stream->set.region, ret_found,
				      reterr_fault);
}

static enum err io_remove(void *ctx, struct fault *reterr_fault)
{
	struct nats_consumer *c = ctx;
	return stream_api_remove(&c->stream->stream, c->domain, c->region, c->stream->set.region,
				 reterr_fault);
}

static enum err io_create(void *ctx, uint64_t first, struct fault *reterr_fault)
{
	struct nats_consumer *c = ctx;
	return stream_api_create(&c->stream->stream, c->domain, c->region, c->stream->set.region,
				 first, c->stream->set.ack_wait_ms, reterr_fault);
}

static enum err io_listen(void *ctx, const char *inbox, struct fault *reterr_fault)
{
	struct nats_consumer *c = ctx;
	return inbox_new(c->stream, inbox, c->reader, &c->listener, reterr_fault);
}

static void io_unlisten(void *ctx)
{
	inbox_free(TAKE(((struct nats_consumer *)ctx)->listener));
}

static enum err io_ask(void *ctx, const char *reply, const char *text)
{
	struct nats_consumer *c = ctx;
	char subject[SUBJECT_MAX];
	snprintf(subject, sizeof(subject), "$JS%s%s.API.CONSUMER.MSG.NEXT.OPS_%s.%s",
		 c->domain[0] ? "." : "", c->domain, c->region, c->stream->set.region);
	return inbox_send(c->listener, subject, reply, text);
}

static enum err io_ack(void *ctx, const char *reply)
{
	return inbox_send(((struct nats_consumer *)ctx)->listener, reply, NULL, "+ACK");
}

enum err nats_consume(struct stream *stream, const char *region, uint64_t from,
		      const struct stream_handler *h, struct stream_consumer **ret_consumer,
		      struct fault *reterr_fault)
{
	struct nats_stream *s = CONTAINER_OF(stream, struct nats_stream, stream);
	const char *domain = stream_settings_domain(&s->set, region);
	if (!domain)
		return fault_set(reterr_fault, ERR_CONFIG, "region %s is none of the peers",
				 region);
	struct nats_consumer *c = calloc(1, sizeof(*c));
	if (!c)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "no memory to read the stream of %s",
				 region);
	c->consumer.stream = stream;
	c->stream = s;
	snprintf(c->region, sizeof(c->region), "%s", region);
	snprintf(c->domain, sizeof(c->domain), "%s", domain);

	struct reader_options o = {
		.region = c->region,
		.self = s->set.region,
		.can_reset = domain[0] != '\0',
		.ack_wait_ms = s->set.ack_wait_ms,
		.from = from,
		.clock = s->set.clock,
		.handler = *h,
		.io = { .ctx = c,
			.epoch = io_epoch,
			.find = io_find,
			.remove = io_remove,
			.create = io_create,
			.listen = io_listen,
			.unlisten = io_unlisten,
			.ask = io_ask,
			.ack = io_ack },
	};
	enum err e = reader_new(&o, &c->reader);
	if (!e)
		e = reader_start(c->reader);
	if (e) {
		reader_free(c->reader);
		free(c);
		return fault_set(reterr_fault, e, "no thread to read the stream of %s", region);
	}
	pthread_mutex_lock(&s->stream_lock);
	s->consumers++;
	pthread_mutex_unlock(&s->stream_lock);
	*ret_consumer = &c->consumer;
	return ERR_NONE;
}

void nats_close(struct stream_consumer *consumer)
{
	struct nats_consumer *c = consumer_of(consumer);
	struct nats_stream *s = c->stream;

	reader_free(c->reader);
	pthread_mutex_lock(&s->stream_lock);
	s->consumers--;
	pthread_mutex_unlock(&s->stream_lock);
	free(c);
}

void nats_ack(struct stream_consumer *c, struct stream_token upto)
{
	reader_ack(consumer_of(c)->reader, upto);
}

uint64_t nats_reset(struct stream_consumer *c, uint64_t seq)
{
	return reader_reset(consumer_of(c)->reader, seq);
}

void nats_consumer_state(struct stream_consumer *c, struct stream_consumer_state *ret_state)
{
	reader_state(consumer_of(c)->reader, ret_state);
}
