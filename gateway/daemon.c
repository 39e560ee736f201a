/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start and stop. Listeners are made while nobody runs their loops, hence before the threads, and freed after them.
 */
#include "gateway/daemon_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "replicator/bootstrap.h"

#define LOOPS_DEFAULT_MAX 8
#define SESSION_KEY_BYTES 32
#define ADDRESS_BYTES_MAX 128
#define PATH_BYTES_MAX 4200
/* Descriptors beside connections: files of collections, the store, the loops. */
#define DESCRIPTORS_BESIDE 1024

struct part {
	const char *name;
	enum err (*start)(struct daemon *d, struct fault *reterr_fault);
	void (*stop)(struct daemon *d); /* also after a start that failed half-way */
};

static enum err no_memory(struct fault *reterr_fault)
{
	return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
}

/* --- the process --- */

/* Under systemd LimitNOFILE sets both limits, and raising one is forbidden; elsewhere the soft one is often low. All that
 * is allowed is taken: a commit holds one for each vector file that it writes. */
static void raise_descriptors(const struct config *c)
{
	uint64_t wanted = (uint64_t)c->limits_connections + DESCRIPTORS_BESIDE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		struct rlimit raised = { .rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max };
		if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
			limit = raised;
	}
	if (limit.rlim_cur < wanted)
		log_warn(
			"the process may open few files, connections beyond are refused limit=%llu wanted=%llu",
			(unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static enum err process_start(struct daemon *d, struct fault *reterr_fault UNUSED)
{
	daemon_set_log_level(d->config);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(077);
	raise_descriptors(d->config);
	return ERR_NONE;
}

void daemon_set_log_level(const struct config *c)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
						 LOG_LEVEL_DEBUG };
	log_set_level(levels[c->log_level]);
}

static enum err notify_start(struct daemon *d, struct fault *reterr_fault)
{
	return notify_open(&d->notify, reterr_fault);
}

static void notify_stop(struct daemon *d)
{
	notify_close(&d->notify);
}

/* --- the data --- */

static enum err make_folder(const char *dir, struct fault *reterr_fault)
{
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return fault_set(
			reterr_fault, err_from_errno(errno),
			"storage.dir: %s cannot be made: %s; make it for the user of the daemon, or name another",
			dir, strerror(errno));
	return daemon_check_folder(dir, reterr_fault);
}

enum err daemon_storage_fault(enum err err, const struct fault *f, struct fault *reterr_fault)
{
	static const char cure[] =
		"; bring back a whole copy of the folder, or move it away and begin empty: a region of a fleet "
		"fetches from the others what their logs hold";

	return fault_set(reterr_fault, err, "storage.dir: %s%s",
			 f->err == err ? fault_text(f) : err_sentence(err),
			 err == ERR_CORRUPT ? cure : "");
}

static enum err storage_start(struct daemon *d, struct fault *reterr_fault)
{
	struct fault fault = { 0 };
	enum err err = make_folder(d->config->storage_dir, reterr_fault);

	if (err)
		return err;
	err = daemon_bootstrap_swap(d->config->storage_dir, reterr_fault);
	if (err)
		return err;
	err = store_lmdb_open(d->config->storage_dir, d->config->storage_map_bytes, &d->store,
			      &fault);
	return err ? daemon_storage_fault(err, &fault, reterr_fault) : ERR_NONE;
}

static void storage_stop(struct daemon *d)
{
	if (d->store)
		d->store->ops->close(d->store);
	d->store = NULL;
}

/* Those that the scheduler lets us use. */
static unsigned processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)MAX(CPU_COUNT(&set), 1);
}

static enum err catalog_part_start(struct daemon *d, struct fault *reterr_fault)
{
	const struct catalog_options o = {
		.store = d->store,
		.dir = d->config->storage_dir,
		.builder_threads = d->config->threads_builders
					   ? (unsigned)d->config->threads_builders
					   : MAX(processors() / 2, 1u),
	};
	struct fault fault = { 0 };
	enum err err = catalog_open(&o, &d->catalog, &fault);

	return err ? daemon_storage_fault(err, &fault, reterr_fault) : ERR_NONE;
}

static void catalog_part_stop(struct daemon *d)
{
	catalog_close(d->catalog);
	d->catalog = NULL;
}

/* --- requests --- */

static enum err pool_start(struct daemon *d, struct fault *reterr_fault UNUSED)
{
	unsigned threads =
		d->config->threads_search ? (unsigned)d->config->threads_search : processors();
	return pool_new("search", threads, (size_t)d->config->limits_waiting, &d->pool);
}

static void pool_stop(struct daemon *d)
{
	pool_free(d->pool);
	d->pool = NULL;
}

/* A key of its own for a region that was given none. Under another name first, so that it is there as a whole or not
 * at all. */
static enum err make_session_key(const char *path, struct fault *reterr_fault)
{
	char part[PATH_BYTES_MAX];
	uint8_t key[SESSION_KEY_BYTES];
	int len = snprintf(part, sizeof(part), "%s.part", path);
	enum err err = crypto_random(key, sizeof(key));

	if (err || len < 0 || (size_t)len >= sizeof(part))
		return fault_set(reterr_fault, err ? err : ERR_CONFIG,
				 "session.key_file: no key could be made");
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool written =
		fd >= 0 && write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
	if (fd >= 0)
		(void)close(fd);
	if (!written || rename(part, path) < 0)
		return fault_set(reterr_fault, ERR_IO, "session.key_file: %s cannot be written: %s",
				 path, strerror(errno));
	return ERR_NONE;
}

/* Only the key of the default's place is made: a name that the operator gave is a promise that the file exists. */
static enum err session_start(struct daemon *d, struct fault *reterr_fault)
{
	const char *path = d->config->session_key_file;
	enum err err = ERR_NONE;

	if (daemon_makes_session_key(d->config) && access(path, F_OK) < 0 && errno == ENOENT)
		err = make_session_key(path, reterr_fault);
	return err ? err : daemon_read_session_key(path, &d->session_key, reterr_fault);
}

static enum err auth_start(struct daemon *d, struct fault *reterr_fault)
{
	const struct auth_files files = daemon_auth_files(d->config);
	enum err err = auth_new(&d->auth);

	return err ? err : auth_load(d->auth, &files, reterr_fault);
}

static void auth_stop(struct daemon *d)
{
	auth_free(d->auth);
	d->auth = NULL;
}

enum err daemon_load_tls(const struct config *c, struct tls_context **ret_context,
			 struct fault *reterr_fault)
{
	const struct tls_options o = {
		.certificate = c->tls_certificate,
		.key = c->tls_key,
		.group = "tls",
		.clock = clock_system(),
	};

	*ret_context = NULL;
	return *c->tls_certificate ? tls_context_new(&o, ret_context, reterr_fault) : ERR_NONE;
}

static enum err tls_start(struct daemon *d, struct fault *reterr_fault)
{
	struct tls_context *context;
	enum err err = daemon_load_tls(d->config, &context, reterr_fault);

	if (err || !context)
		return err;
	err = tls_holder_new(context, &d->tls);
	if (err)
		tls_context_unref(context);
	return err;
}

static void tls_stop(struct daemon *d)
{
	tls_holder_free(d->tls);
	d->tls = NULL;
}

bool daemon_is_ready(void *ctx, struct buf *why)
{
	const struct daemon *d = ctx;

	if (atomic_load(&d->draining)) {
		(void)buf_append_cstr(why, "the daemon is being stopped");
		return false;
	}
	/* A gateway is as ready as those that it passes requests on to. */
	if (d->config->region_role != CONFIG_ROLE_DATA && !proxy_can_read(d->proxy)) {
		(void)buf_append_cstr(why, "no region that holds data is heard");
		return false;
	}
	if (d->bootstrap && !bootstrap_ready(d->bootstrap, why))
		return false;
	return d->regions.count == 0 ||
	       replicator_ready(d->replicator, (double)d->config->replication_lag_ms / 1000, why);
}

static enum err api_start(struct daemon *d, struct fault *reterr_fault UNUSED)
{
	const struct admin_options admin = {
		.clock = d->clock,
		.version = d->version,
		.data_dir = d->config->storage_dir,
		.store = d->store,
	};
	const struct serve_options serve = { .api = &d->api, .auth = d->auth };

	d->api = (struct api){
		.clock = d->clock,
		.catalog = d->catalog,
		.committer = d->committer,
		.pool = d->pool,
		.region = d->config->region_name,
		.region_id = (uint8_t)d->config->region_id,
		.session_key = { .mac = crypto_session_mac, .ctx = &d->session_key },
		.ready = daemon_is_ready,
		.ready_ctx = d,
		.data_regions = regions_data_count(&d->regions),
		.replicator = d->replicator,
		.audit = d->audit,
		.bootstrap = d->bootstrap,
		.snapshot = d->bootstrap ? &d->snapshot : NULL,
		.proxy = d->proxy,
		.regions = d->regions.count > 0 ? &d->regions : NULL,
		.gateway_only = d->config->region_role != CONFIG_ROLE_DATA,
		.writers = d->writers,
		.router = d->router,
		.trusted = &d->trusted,
		.silence = &d->silence,
		.drills = d->drills,
	};
	enum err err = admin_new(&admin, &d->api.admin);
	return err ? err : serve_new(&serve, &d->serve);
}

static void api_stop(struct daemon *d)
{
	serve_free(d->serve);
	d->serve = NULL;
	admin_free(d->api.admin);
	d->api.admin = NULL;
}

/* --- connections --- */

static enum err loops_start(struct daemon *d, struct fault *reterr_fault)
{
	unsigned by_default = MIN(MAX(processors() / 2, 1u), (unsigned)LOOPS_DEFAULT_MAX);
	uint32_t count = d->config->threads_loops ? (uint32_t)d->config->threads_loops : by_default;

	d->loops = calloc(count, sizeof(*d->loops));
	if (!d->loops)
		return no_memory(reterr_fault);
	d->loop_count = count;
	for (uint32_t i = 0; i < count; i++) {
		enum err err = loop_new(d->clock, &d->loops[i].loop);
		if (err)
			return err;
	}
	return ERR_NONE;
}

static void loops_stop(struct daemon *d)
{
	for (uint32_t i = 0; i < d->loop_count; i++)
		loop_free(d->loops[i].loop);
	free(d->loops);
	d->loops = NULL;
	d->loop_count = 0;
}

static struct tls_holder *tls_of(const struct daemon *d, enum daemon_address which)
{
	if (which == LISTEN_PEER)
		return d->peer_server_tls;
	return which == LISTEN_CTL ? NULL : d->tls;
}

/* Only clients come through proxies. */
static const struct forwarded_nets *proxies_of(const struct daemon *d, enum daemon_address which)
{
	bool required = d->config->proxy_protocol == CONFIG_PROXY_REQUIRED;

	return required && (which == LISTEN_HTTP || which == LISTEN_GRPC) ? &d->trusted : NULL;
}

static enum err listen_on(struct daemon *d, uint32_t loop, enum daemon_address which,
			  const char *key, const char *address, struct fault *reterr_fault)
{
	struct fault fault = { 0 };
	const struct listener_options o = {
		.loop = d->loops[loop].loop,
		.limits = which == LISTEN_PEER ? &d->peer_limits : &d->limits,
		.shared = &d->shared,
		.tls = tls_of(d, which),
		.peer = which == LISTEN_PEER,
		.knows_peer = daemon_knows_peer,
		.knows_peer_ctx = d,
		.proxies = proxies_of(d, which),
		.serve = serve_request,
		.serve_ctx = d->serve,
		.address = address,
		.first = loop == 0,
	};
	enum err err = listener_new(&o, &d->loops[loop].listeners[which], &fault);

	if (!err)
		return ERR_NONE;
	return fault_set(reterr_fault, err, "%s: %s%s", key, fault_text(&fault),
			 err == ERR_ALREADY_EXISTS
				 ? "; end the other program, or name another address"
				 : "");
}

/* The same address on all loops; the first gets the port when it is 0. */
static enum err listen_tcp(struct daemon *d, enum daemon_address which, const char *key,
			   const struct config_address *a, struct fault *reterr_fault)
{
	uint16_t port = a->port;

	if (!a->host)
		return ERR_NONE;
	for (uint32_t i = 0; i < d->loop_count; i++) {
		char address[ADDRESS_BYTES_MAX];
		(void)snprintf(address, sizeof(address), strchr(a->host, ':') ? "[%s]:%u" : "%s:%u",
			       a->host, port);
		enum err err = listen_on(d, i, which, key, address, reterr_fault);
		if (err)
			return err;
		port = listener_port(d->loops[i].listeners[which]);
		if (i == 0)
			log_info("listening key=%s address=%s port=%u tls=%s", key, a->host, port,
				 tls_of(d, which) ? "yes" : "no");
	}
	d->ports[which] = port;
	return ERR_NONE;
}

static enum err listeners_start(struct daemon *d, struct fault *reterr_fault)
{
	config_conn_limits(d->config, &d->limits);
	daemon_peer_limits(d, &d->peer_limits);
	conn_shared_init(&d->shared, &d->limits);
	enum err err =
		listen_tcp(d, LISTEN_HTTP, "listen.http", &d->config->listen_http, reterr_fault);
	if (!err)
		err = listen_tcp(d, LISTEN_GRPC, "listen.grpc", &d->config->listen_grpc,
				 reterr_fault);
	if (!err)
		err = listen_tcp(d, LISTEN_PEER, "listen.peer", &d->config->listen_peer, reterr_fault);
	if (!err)
		err = listen_on(d, 0, LISTEN_CTL, "listen.ctl", d->config->listen_ctl,
				reterr_fault);
	return err;
}

/* Nobody runs the loops any more, or yet. What waits for another region is answered before its connection goes. */
static void listeners_stop(struct daemon *d)
{
	peer_pool_free(d->peer_pool);
	d->peer_pool = NULL;
	for (uint32_t i = 0; i < d->loop_count; i++) {
		for (unsigned which = 0; which < LISTEN_COUNT; which++) {
			listener_free(d->loops[i].listeners[which]);
			d->loops[i].listeners[which] = NULL;
		}
	}
}

static void *run_loop(void *arg)
{
	struct daemon_loop *l = arg;
	enum err err = loop_run(l->loop);

	/* epoll itself failed. Nothing that this loop owns can go on; systemd starts anew. */
	if (err) {
		log_error("a loop has ended, so the daemon ends err=%s", err_name(err));
		abort();
	}
	return NULL;
}

static enum err threads_start(struct daemon *d, struct fault *reterr_fault)
{
	for (uint32_t i = 0; i < d->loop_count; i++) {
		char name[16];
		int errnum = pthread_create(&d->loops[i].thread, NULL, run_loop, &d->loops[i]);
		if (errnum != 0)
			return fault_set(reterr_fault, err_from_errno(errnum),
					 "threads.loops: no thread could be made: %s",
					 strerror(errnum));
		d->loops[i].running = true;
		(void)snprintf(name, sizeof(name), "loop-%u", i);
		(void)pthread_setname_np(d->loops[i].thread, name);
	}
	return ERR_NONE;
}

static void threads_stop(struct daemon *d)
{
	for (uint32_t i = 0; i < d->loop_count; i++) {
		if (d->loops[i].running)
			loop_stop(d->loops[i].loop);
	}
	for (uint32_t i = 0; i < d->loop_count; i++) {
		if (d->loops[i].running)
			(void)pthread_join(d->loops[i].thread, NULL);
		d->loops[i].running = false;
	}
}

/* --- the table --- */

static const struct part parts[] = {
	{ "process", process_start, NULL },
	{ "signals", daemon_signals_start, daemon_signals_stop },
	{ "notify", notify_start, notify_stop },
	{ "storage", storage_start, storage_stop },
	{ "catalog", catalog_part_start, catalog_part_stop },
	{ "loops", loops_start, loops_stop },
	{ "drill", daemon_drill_start, daemon_drill_stop },
	{ "peers", daemon_peers_start, daemon_peers_stop },
	{ "replicator", daemon_replicator_start, daemon_replicator_stop },
	{ "audit", daemon_audit_start, daemon_audit_stop },
	{ "bootstrap", daemon_bootstrap_start, daemon_bootstrap_stop },
	{ "pool", pool_start, pool_stop },
	{ "session", session_start, NULL },
	{ "auth", auth_start, auth_stop },
	{ "tls", tls_start, tls_stop },
	{ "route", daemon_route_start, daemon_route_stop },
	{ "api", api_start, api_stop },
	{ "listeners", listeners_start, listeners_stop },
	{ "threads", threads_start, threads_stop },
	{ "replication", daemon_replication_start, daemon_replication_stop },
	{ "ready", daemon_ready_start, daemon_ready_stop },
};

const char *daemon_part_name(unsigned i)
{
	return i < LEN(parts) ? parts[i].name : NULL;
}

static enum err start_part(struct daemon *d, const struct part *p, struct fault *reterr_fault)
{
	struct fault fault = { 0 };
	enum err err = p->start(d, &fault);

	if (!err && d->failing_part && strcmp(d->failing_part, p->name) == 0)
		err = fault_set(&fault, ERR_INTERNAL, "the test wants it so");
	if (!err)
		return ERR_NONE;
	if (fault.err)
		return fault_set(reterr_fault, err, "%s", fault_text(&fault));
	return fault_set(reterr_fault, err, "%s: %s", p->name, err_sentence(err));
}

static void stop_parts(struct daemon *d)
{
	while (d->started > 0) {
		const struct part *p = &parts[--d->started];
		if (p->stop)
			p->stop(d);
	}
}

enum err daemon_start(const struct daemon_options *o, struct daemon **ret_daemon,
		      struct fault *reterr_fault)
{
	struct daemon *d = calloc(1, sizeof(*d));
	if (!d)
		return no_memory(reterr_fault);
	*d = (struct daemon){ .config = o->config,
			      .applied = o->config,
			      .config_file = o->config_file,
			      .version = o->version,
			      .failing_part = o->failing_part,
			      .clock = clock_system(),
			      .notify = { .fd = -1 },
			      .signals = { .fd = -1 } };
	uint64_t began_ns = clock_mono_ns(d->clock);
	while (d->started < LEN(parts)) {
		/* A part that failed half-way is stopped as well. */
		enum err err = start_part(d, &parts[d->started++], reterr_fault);
		if (err) {
			stop_parts(d);
			free(d);
			return err;
		}
	}
	struct committer_state state;
	committer_state(d->committer, &state);
	log_info("ready version=%s region=%s epoch=%llu seq=%llu started_ms=%llu", d->version,
		 d->config->region_name, (unsigned long long)state.position.epoch,
		 (unsigned long long)state.position.seq,
		 (unsigned long long)((clock_mono_ns(d->clock) - began_ns) / 1000000));
	*ret_daemon = d;
	return ERR_NONE;
}

void daemon_stop(struct daemon *d, struct config **ret_again)
{
	struct config *again = NULL;

	if (ret_again)
		*ret_again = NULL;
	if (!d)
		return;
	stop_parts(d);
	/* The newest that was good, with what needed a restart. */
	if (d->restarting && ret_again)
		again = d->applied;
	if (d->applied != d->config && d->applied != again)
		config_free(d->applied);
	if (d->config != again)
		config_free(d->config);
	free(d);
	if (again)
		*ret_again = again;
}

uint16_t daemon_http_port(const struct daemon *d)
{
	return d->ports[LISTEN_HTTP];
}

uint16_t daemon_grpc_port(const struct daemon *d)
{
	return d->ports[LISTEN_GRPC];
}
