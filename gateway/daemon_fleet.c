/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that make a region one of a fleet. Alone, the replicator is only the committer's owner.
 *
 * Order: the connections to other regions are made while nobody runs the loops; the replicator is opened before requests
 * may come, but starts to ask other regions when the loops run; it ends before they do.
 */
#include "gateway/daemon_inner.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "gateway/writers.h"
#include "replicator/audit.h"
#include "replicator/bootstrap.h"

#define PEER_STREAM_WINDOW (1u << 20)
#define PEER_CONNECTION_WINDOW (16u << 20)
#define PEER_STREAMS_MAX 256
#define AUDIT_PATH_MAX 4096
#define NAME_BYTES_MAX 64 /* of a region in its certificate */

/* --- certificates ---------------------------------------------------------------------------- */

enum err daemon_load_peer_tls(const struct config *c, struct tls_context **ret_server,
			      struct tls_context **ret_client, struct fault *reterr_fault)
{
	struct tls_options o = {
		.certificate = c->peer_certificate,
		.key = c->peer_key,
		.client_ca = c->peer_ca,
		.group = "peer",
		.clock = clock_system(),
	};
	char name[NAME_BYTES_MAX];

	*ret_server = *ret_client = NULL;
	if (c->regions.count == 0)
		return ERR_NONE;
	(void)snprintf(name, sizeof(name), "%s%s", c->region_name, TLS_REGION_SUFFIX);
	o.name = name;
	enum err err = tls_context_new(&o, ret_server, reterr_fault);
	o.client = true;
	if (!err)
		err = tls_context_new(&o, ret_client, reterr_fault);
	if (!err)
		return ERR_NONE;
	tls_context_unref(*ret_server);
	*ret_server = NULL;
	return err;
}

static enum err hold_peer_tls(struct daemon *d, struct fault *reterr_fault)
{
	struct tls_context *server, *client;
	enum err err = daemon_load_peer_tls(d->config, &server, &client, reterr_fault);

	if (err)
		return err;
	err = tls_holder_new(server, &d->peer_server_tls);
	if (err)
		tls_context_unref(server);
	enum err second = tls_holder_new(client, &d->peer_client_tls);
	if (second)
		tls_context_unref(client);
	return err ? err : second;
}

bool daemon_knows_peer(void *ctx, struct str name)
{
	const struct daemon *d = ctx;
	const struct region *r = regions_by_certificate(&d->regions, name);

	return r && !r->self;
}

/* --- connections to other regions ------------------------------------------------------------ */

static enum err make_pool(struct daemon *d, struct fault *reterr_fault)
{
	struct peer_pool_region others[REGIONS_MAX];
	struct loop *loops[CONFIG_LOOPS_MAX];
	struct peer_pool_options o = {
		.clock = d->clock, .loops = loops, .loop_count = d->loop_count, .tls = d->peer_client_tls, .regions = others,
		.silence = &d->silence
	};

	for (uint32_t i = 0; i < d->loop_count; i++)
		loops[i] = d->loops[i].loop;
	for (uint32_t i = 0; i < d->regions.count; i++) {
		const struct region *r = &d->regions.rows[i];
		if (!r->self)
			others[o.region_count++] =
				(struct peer_pool_region){ .name = r->name, .id = r->id, .address = r->peer };
	}
	struct fault fault = { 0 };
	enum err err = peer_pool_new(&o, &d->peer_pool, &fault);
	return err ? fault_set(reterr_fault, err, "regions.peer: %s", fault_text(&fault)) : ERR_NONE;
}

/* Who holds data knows from the data. */
static enum err make_writers(struct daemon *d)
{
	const struct writers_options o = {
		.clock = d->clock, .loop = d->loops[0].loop, .pool = d->peer_pool, .regions = &d->regions
	};

	return d->config->region_role != CONFIG_ROLE_DATA ? writers_new(&o, &d->writers) : ERR_NONE;
}

enum err daemon_peers_start(struct daemon *d, struct fault *reterr_fault)
{
	regions_init(&d->regions, d->config);
	if (d->regions.count == 0)
		return ERR_NONE;
	enum err err = hold_peer_tls(d, reterr_fault);
	if (!err)
		err = make_pool(d, reterr_fault);
	return err ? err : make_writers(d);
}

void daemon_peers_stop(struct daemon *d)
{
	peer_pool_free(d->peer_pool);
	d->peer_pool = NULL;
	writers_free(d->writers);
	d->writers = NULL;
	tls_holder_free(d->peer_client_tls);
	tls_holder_free(d->peer_server_tls);
	d->peer_client_tls = d->peer_server_tls = NULL;
}

void daemon_peer_limits(const struct daemon *d, struct conn_limits *ret_limits)
{
	*ret_limits = d->limits;
	ret_limits->stream_window_bytes = PEER_STREAM_WINDOW;
	ret_limits->connection_window_bytes = PEER_CONNECTION_WINDOW;
	ret_limits->streams_max = MAX(ret_limits->streams_max, (uint32_t)PEER_STREAMS_MAX);
	ret_limits->connection_body_bytes_max = ret_limits->total_body_bytes_max;
}

/* --- the replicator -------------------------------------------------------------------------- */

static enum err make_stream(void *ctx, const struct stream_events *events, struct stream **ret_stream,
			    struct fault *reterr_fault)
{
	const struct daemon *d = ctx;
	const struct config *c = d->config;
	struct stream_peer peers[REGIONS_MAX];
	struct stream_config o = {
		.fleet = c->fleet_name,
		.region = c->region_name,
		.domain = c->nats_domain,
		.peers = peers,
		.events = *events,
		.clock = d->clock,
		.urls = c->nats_url,
		.user = *c->nats_user ? c->nats_user : NULL,
		.password_file = *c->nats_password_file ? c->nats_password_file : NULL,
		.credentials_file = *c->nats_credentials_file ? c->nats_credentials_file : NULL,
	};

	for (uint32_t i = 0; i < d->regions.count; i++) {
		const struct region *r = &d->regions.rows[i];
		if (r->data && !r->self)
			peers[o.peer_count++] = (struct stream_peer){ .region = r->name, .domain = r->domain };
	}
	struct fault fault = { 0 };
	enum err err = stream_nats_new(&o, ret_stream, &fault);
	return err ? fault_set(reterr_fault, err, "nats: %s", fault_text(&fault)) : ERR_NONE;
}

static struct peer_config peer_of(const struct region *r)
{
	return (struct peer_config){ .name = r->name, .id = r->id, .data = r->data, .witness = r->witness };
}

static enum err open_replicator(struct daemon *d, struct fault *reterr_fault)
{
	const struct region *self = regions_self(&d->regions);
	struct peer_config others[REGIONS_MAX];
	struct replicator_options o = {
		.clock = d->clock,
		.store = d->store,
		.catalog = d->catalog,
		.log_bytes_max = d->config->storage_log_bytes,
		.fleet = d->config->fleet_name,
		.self = { .name = d->config->region_name, .id = (uint8_t)d->config->region_id, .data = true },
		.others = others,
		.ctx = d,
	};

	if (self) {
		o.self = peer_of(self);
		const char *name = d->config->scope_home;
		const struct region *home = regions_by_name(&d->regions, (struct str){ name, strlen(name) });
		o.home = home ? home->id : 0;
		o.link = peer_pool_link(d->peer_pool);
		o.silence = &d->silence;
		o.make_stream = *d->config->nats_url ? make_stream : NULL;
		o.failover = d->config->failover_mode == CONFIG_FAILOVER_AUTO;
		o.lease = config_lease(d->config);
		o.orphans = (enum orphan_policy)d->config->orphans;
	}
	for (uint32_t i = 0; i < d->regions.count; i++)
		if (!d->regions.rows[i].self)
			others[o.other_count++] = peer_of(&d->regions.rows[i]);
	struct fault fault = { 0 };
	enum err err = replicator_open(&o, &d->replicator, &fault);

	if (err == ERR_CORRUPT)
		return daemon_storage_fault(err, &fault, reterr_fault);
	return err ? fault_set(reterr_fault, err, "%s",
			       fault.err == err ? fault_text(&fault) : err_sentence(err))
		   : ERR_NONE;
}

static enum err begin_replicating(struct daemon *d, struct fault *reterr_fault)
{
	enum err err = replicator_start(d->replicator, reterr_fault);

	d->replicating = err == ERR_NONE;
	return err;
}

static enum err make_proxy(struct daemon *d)
{
	const struct proxy_options o = {
		.clock = d->clock,
		.replicator = d->replicator,
		.regions = &d->regions,
		.hold_ms = conn_limits_default.hold_ms,
		.held_max = conn_limits_default.held_writes_max,
	};
	enum err err = proxy_new(&o, &d->proxy);

	if (!err)
		proxy_set_pool(d->proxy, d->peer_pool);
	return err;
}

static enum err start_catalog(struct daemon *d, struct fault *reterr_fault)
{
	struct fault fault = { 0 };
	enum err err = catalog_start(d->catalog, &fault);

	if (err)
		return daemon_storage_fault(err, &fault, reterr_fault);
	struct catalog_mended mended = catalog_mended(d->catalog);

	if (mended.files > 0)
		log_warn(
			"vector files had damaged headers, written anew from the catalogue; an audit cures wrong vectors "
			"files=%u wrong_vectors=%u",
			mended.files, mended.wrong_values);
	return ERR_NONE;
}

enum err daemon_replicator_start(struct daemon *d, struct fault *reterr_fault)
{
	enum err err = open_replicator(d, reterr_fault);

	if (err)
		return err;
	d->committer = replicator_committer(d->replicator);
	err = start_catalog(d, reterr_fault);
	if (err)
		return err;
	return d->regions.count > 0 ? make_proxy(d) : begin_replicating(d, reterr_fault);
}

static void end_replicating(struct daemon *d)
{
	if (d->replicating)
		replicator_stop(d->replicator);
	d->replicating = false;
}

void daemon_replicator_stop(struct daemon *d)
{
	end_replicating(d);
	proxy_free(d->proxy);
	d->proxy = NULL;
	replicator_free(d->replicator);
	d->replicator = NULL;
	d->committer = NULL;
	if (*d->config->nats_url)
		stream_nats_end();
}

/* Before the first op of another region is applied: marks are among them. */
enum err daemon_audit_start(struct daemon *d, struct fault *reterr_fault)
{
	const struct config *c = d->config;
	char dir[AUDIT_PATH_MAX];
	const struct audit_options o = {
		.clock = d->clock,
		.store = d->store,
		.catalog = d->catalog,
		.committer = d->committer,
		.peers = d->regions.count > 0 ? replicator_peers(d->replicator) : NULL,
		.region = c->region_name,
		.interval_ms = c->audit_interval_ms,
		.deep_bytes_per_s = c->audit_deep_bytes_per_s,
		.dir = dir,
		.hash = crypto_sha256,
	};
	struct fault fault = { 0 };

	if (c->region_role != CONFIG_ROLE_DATA)
		return ERR_NONE;
	int len = snprintf(dir, sizeof(dir), "%s/audits", c->storage_dir);
	if (len < 0 || (size_t)len >= sizeof(dir))
		return fault_set(reterr_fault, ERR_CONFIG, "storage.dir: the name is too long");
	enum err err = audit_new(&o, &d->audit, &fault);
	return err ? fault_set(reterr_fault, err, "storage.dir: %s", fault_text(&fault)) : ERR_NONE;
}

void daemon_audit_stop(struct daemon *d)
{
	audit_free(d->audit);
	d->audit = NULL;
}

enum err daemon_replication_start(struct daemon *d, struct fault *reterr_fault)
{
	enum err err = d->regions.count > 0 ? begin_replicating(d, reterr_fault) : ERR_NONE;

	if (!err && d->audit)
		err = audit_start(d->audit);
	return !err && d->bootstrap ? bootstrap_start(d->bootstrap) : err;
}

/* Who asks other regions at this moment is let go first. */
void daemon_replication_stop(struct daemon *d)
{
	peer_pool_stop(d->peer_pool);
	bootstrap_stop(d->bootstrap);
	audit_stop(d->audit);
	if (d->regions.count > 0)
		end_replicating(d);
	daemon_bootstrap_adopt(d);
}
