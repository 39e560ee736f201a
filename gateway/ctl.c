/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusctl: what an operator asks of a running daemon. Commands are rows of a table, options too.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "gateway/config.h"
#include "gateway/ctl_conflicts.h"
#include "gateway/ctl_drill.h"
#include "gateway/ctl_failover.h"
#include "gateway/ctl_fleet.h"
#include "gateway/ctl_audit.h"
#include "gateway/ctl_geo.h"
#include "gateway/ctl_http.h"
#include "gateway/ctl_orphans.h"
#include "gateway/ctl_route.h"
#include "gateway/ctl_status.h"
#include "gateway/ctl_text.h"
#include "gateway/damage.h"
#include "gateway/import.h"
#include "gateway/pki.h"

#define KEY_BYTES_MAX 4096
#define SOCKET_OF_SYSTEMD "/run/isthmus/ctl.sock"
#define SOCKET_OF_DEFAULT "./isthmus-data/ctl.sock"
#define CONFIG_OF_SYSTEMD "/etc/isthmus/isthmus.conf"
#define URL_DEFAULT "http://127.0.0.1:6333"

enum { EXIT_OK, EXIT_REFUSED, EXIT_USAGE, EXIT_NOBODY, EXIT_NOT_READY };

struct options {
	const char *url;
	const char *socket;
	const char *key_file;
	const char *collection;
	const char *config;
	const char *to;
	const char *target;
	const char *dir;
	const char *data_dir;
	const char *id;
	const char *what;
	const char *inputs[GEO_BUILD_FILES_MAX];
	uint32_t input_count;
	const char *output;
	bool named; /* a collection was given */
	const char *lost;
	bool deep;
	bool local;
	bool all;
	bool accept_loss;
	bool force;
	bool yes;
	bool dry_run;
	uint64_t seconds; /* 0: not given */
	uint64_t days; /* 0: not given */
	uint64_t limit; /* 0: not given */
	uint64_t batch;
	bool json;
	char *key;
	char **args; /* behind the command's words */
	int arg_count;
	struct ctl_http *http;
};

struct command {
	const char *words; /* "import packages" */
	const char *arguments;
	const char *takes; /* letters of the options beside the common ones */
	const char *sentence;
	int (*run)(struct options *o);
};

/* --- telling --- */

static int fail(enum err err, const struct fault *fault)
{
	const char *words = fault_text(fault);

	(void)fputs("isthmusctl: ", stderr);
	ctl_text_put(stderr, (struct str){ .data = words, .len = strlen(words) }, 0);
	(void)fputc('\n', stderr);
	return err == ERR_UNAVAILABLE ? EXIT_NOBODY : EXIT_REFUSED;
}

static int usage_error(const char *what, const char *which)
{
	(void)fprintf(stderr, "isthmusctl: %s%s%s; `isthmusctl --help` shows what there is\n", what,
		      *which ? " " : "", which);
	return EXIT_USAGE;
}

/* --- the way to the daemon --- */

/* The first line of the file; else of the environment. */
static enum err read_key(struct options *o, struct fault *reterr_fault)
{
	const char *key = getenv("ISTHMUS_API_KEY");
	char line[KEY_BYTES_MAX + 2];

	if (o->key_file) {
		FILE *f = fopen(o->key_file, "re");
		if (!f)
			return fault_set(reterr_fault, ERR_BAD_INPUT, "%s: cannot be read: %s",
					 o->key_file, strerror(errno));
		bool got = fgets(line, sizeof(line), f) != NULL;
		(void)fclose(f);
		if (got)
			line[strcspn(line, "\r\n")] = '\0';
		if (!got || !*line)
			return fault_set(reterr_fault, ERR_BAD_INPUT,
					 "%s: the first line is empty, a key is expected",
					 o->key_file);
		key = line;
	}
	if (!key || !*key)
		return ERR_NONE;
	o->key = strdup(key);
	return o->key ? ERR_NONE
		      : fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
}

/* local: whether a daemon's socket on this machine is looked for. */
static enum err open_http(struct options *o, bool local, struct fault *reterr_fault)
{
	char url[256];
	const char *socket = o->socket;

	if (!o->url && !socket && local && access(SOCKET_OF_SYSTEMD, F_OK) == 0)
		socket = SOCKET_OF_SYSTEMD;
	else if (!o->url && !socket && local && access(SOCKET_OF_DEFAULT, F_OK) == 0)
		socket = SOCKET_OF_DEFAULT;
	int len = snprintf(url, sizeof(url), "%s%s", socket ? "unix:" : "",
			   socket   ? socket
			   : o->url ? o->url
				    : URL_DEFAULT);
	if (len < 0 || (size_t)len >= sizeof(url))
		return fault_set(reterr_fault, ERR_BAD_INPUT, "the address is too long");
	enum err err = read_key(o, reterr_fault);
	if (err)
		return err;
	const struct ctl_http_options h = { .url = url,
					    .key = { o->key, o->key ? strlen(o->key) : 0 } };
	return ctl_http_new(&h, &o->http, reterr_fault);
}

static enum err get(struct options *o, const char *path, const struct ctl_http_reply **ret_reply,
		    struct fault *reterr_fault)
{
	char words[FAULT_TEXT_MAX];
	enum err err = open_http(o, true, reterr_fault);

	if (!err)
		err = ctl_http_call(o->http, "GET", path, (struct str){ 0 }, ret_reply,
				    reterr_fault);
	if (err || (*ret_reply)->status == 200)
		return err;
	ctl_http_error(*ret_reply, words);
	return fault_set(reterr_fault, ERR_BAD_GATEWAY, "%s: %.400s", path, words);
}

/* --- commands --- */

static int run_status(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	bool ready = true;
	enum err err = get(o, "/isthmus/status", &reply, &fault);

	if (!err && o->json) {
		(void)printf("%.*s\n", STR_FMT(buf_str(&reply->body)));
		return EXIT_OK;
	}
	if (!err)
		err = ctl_status_print(buf_str(&reply->body), stdout, &ready, &fault);
	if (err)
		return fail(err, &fault);
	return ready ? EXIT_OK : EXIT_NOT_READY;
}

/* The version of the status; that of GET / is the version of Qdrant whose API is spoken. */
static struct str find_version(struct str json, struct arena *a)
{
	struct json_reader r = json_reader_of(json, a);
	struct str version = { 0 };
	struct str key;

	if (json_enter_object(&r))
		while (json_next_key(&r, &key)) {
			if (key.len == 7 && memcmp(key.data, "version", 7) == 0)
				version = json_string(&r);
			else
				json_skip(&r);
		}
	return json_end(&r, NULL) ? (struct str){ 0 } : version;
}

static void print_versions(struct str daemon)
{
	CLEANUP(buf_release) struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer_to(&out);

	json_put_object(&w);
	json_put_key(&w, STR("isthmusctl"));
	json_put_cstr(&w, PACKAGE_VERSION);
	json_put_key(&w, STR("isthmusd"));
	if (daemon.data)
		json_put_string(&w, daemon);
	else
		json_put_null(&w);
	json_put_object_end(&w);
	(void)printf("%.*s\n", STR_FMT(buf_str(&out)));
}

static int run_version(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	struct arena arena;

	if (!o->json)
		(void)printf("isthmusctl %s\n", PACKAGE_VERSION);
	enum err err = get(o, "/isthmus/status", &reply, &fault);
	if (err)
		return fail(err, &fault);
	arena_init(&arena, 1u << 20);
	struct str version = find_version(buf_str(&reply->body), &arena);
	if (o->json) {
		print_versions(version);
	} else {
		(void)fputs("isthmusd ", stdout);
		ctl_text_put(stdout, version.data ? version : STR("of an unknown version"), 0);
		(void)fputc('\n', stdout);
	}
	arena_release(&arena);
	return EXIT_OK;
}

static int run_config_check(struct options *o)
{
	const char *file = o->arg_count > 0 ? o->args[0] : CONFIG_OF_SYSTEMD;
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct config *config;

	if (config_load(file, &config, &errors)) {
		(void)fwrite(errors.data, 1, errors.len, stderr);
		return EXIT_REFUSED;
	}
	config_free(config);
	(void)printf("%s: good\n", file);
	return EXIT_OK;
}

static int run_import(struct options *o)
{
	struct fault fault = { 0 };
	enum err err = open_http(o, false, &fault);
	const struct import_options import = {
		.http = o->http,
		.collection = o->collection,
		.limit = o->limit,
		.batch =
			o->batch ? (uint32_t)MIN(o->batch, IMPORT_BATCH_MAX) : IMPORT_BATCH_DEFAULT,
		.out = stdout,
		.live = isatty(STDOUT_FILENO),
		.clock = clock_system(),
	};

	if (!err)
		err = import_packages(&import, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_search(struct options *o)
{
	CLEANUP(buf_release) struct buf text = BUF_INIT(64u << 10);
	struct fault fault = { 0 };

	for (int i = 0; i < o->arg_count; i++)
		(void)buf_printf(&text, "%s%s", i ? " " : "", o->args[i]);
	if (buf_append_byte(&text, '\0'))
		return usage_error("the text is too long", "");
	enum err err = open_http(o, false, &fault);
	const struct import_search_options search = {
		.http = o->http,
		.collection = o->collection,
		.text = (const char *)text.data,
		.limit = o->limit ? (uint32_t)MIN(o->limit, IMPORT_SEARCH_LIMIT_MAX) : 5,
		.json = o->json,
		.out = stdout,
	};
	if (!err)
		err = import_search(&search, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_regions(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	enum err err = get(o, "/isthmus/regions", &reply, &fault);

	if (!err && o->json)
		(void)printf("%.*s\n", STR_FMT(buf_str(&reply->body)));
	else if (!err)
		err = ctl_fleet_print_regions(buf_str(&reply->body), stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_switchover(struct options *o)
{
	struct fault fault = { 0 };

	if (!o->to)
		return usage_error("switchover needs --to REGION", "");
	enum err err = open_http(o, true, &fault);
	if (!err)
		err = ctl_fleet_switchover(o->http, o->to, o->json, stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_failover(struct options *o)
{
	struct fault fault = { 0 };

	if (o->force != (o->lost != NULL))
		return usage_error("failover takes --force and --lost REGION,... together", "");
	enum err err = open_http(o, true, &fault);
	const struct ctl_failover_options failover = { .http = o->http,
						       .to = o->to,
						       .lost = o->lost,
						       .accept_loss = o->accept_loss,
						       .yes = o->yes,
						       .json = o->json,
						       .in = stdin,
						       .out = stdout,
						       .words = stderr };
	if (!err)
		err = ctl_failover(&failover, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_region_list(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	enum err err = get(o, "/isthmus/voters", &reply, &fault);

	if (!err && o->json)
		(void)printf("%.*s\n", STR_FMT(buf_str(&reply->body)));
	else if (!err)
		err = ctl_voters_print(buf_str(&reply->body), stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int change_voters(struct options *o, const char *change)
{
	struct fault fault = { 0 };

	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	enum err err = open_http(o, true, &fault);
	if (!err)
		err = ctl_voters_change(o->http, change, o->args[0], o->json, stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_region_add(struct options *o)
{
	return change_voters(o, "add");
}

static int run_region_remove(struct options *o)
{
	return change_voters(o, "remove");
}

static int run_region_expel(struct options *o)
{
	return change_voters(o, "expel");
}

static int run_drill(struct options *o)
{
	struct fault fault = { 0 };
	enum drill_kind kind;
	bool good = false;

	if (!drill_kind_parse((struct str){ o->args[0], strlen(o->args[0]) }, &kind))
		return usage_error("a drill is switchover, failover or partition; what is meant by", o->args[0]);
	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	if (!o->target)
		return usage_error("drill needs --target REGION", "");
	if (o->seconds != 0 && (o->seconds < CTL_DRILL_SECONDS_MIN || o->seconds > CTL_DRILL_SECONDS_MAX))
		return usage_error("--seconds is 8 to 120", "");
	enum err err = open_http(o, true, &fault);
	const struct ctl_drill drill = { .http = o->http, .kind = kind, .target = o->target,
					 .seconds = o->seconds ? o->seconds : CTL_DRILL_SECONDS_DEFAULT,
					 .dry_run = o->dry_run, .json = o->json, .out = stdout };
	if (!err)
		err = ctl_drill_run(&drill, &good, &fault);
	if (err)
		return fail(err, &fault);
	return good ? EXIT_OK : EXIT_REFUSED;
}

static int run_drill_history(struct options *o)
{
	struct fault fault = { 0 };
	enum err err = open_http(o, true, &fault);

	if (!err)
		err = ctl_drill_history(o->http, o->limit, o->json, stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_conflicts(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	char path[384];
	unsigned limit = (unsigned)MIN(o->limit ? o->limit : 100, UINT64_C(10000));

	if (o->named)
		(void)snprintf(path, sizeof(path), "/isthmus/conflicts?limit=%u&collection=%s", limit, o->collection);
	else
		(void)snprintf(path, sizeof(path), "/isthmus/conflicts?limit=%u", limit);
	enum err err = get(o, path, &reply, &fault);
	if (!err && o->json)
		(void)printf("%.*s\n", STR_FMT(buf_str(&reply->body)));
	else if (!err)
		err = ctl_conflicts_print(buf_str(&reply->body), stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static struct ctl_orphans orphans_of(const struct options *o)
{
	return (struct ctl_orphans){
		.http = o->http, .ids = o->args, .id_count = o->arg_count, .all = o->all, .json = o->json, .out = stdout
	};
}

static int run_orphans(struct options *o)
{
	struct fault fault = { 0 };
	enum err err = open_http(o, true, &fault);
	struct ctl_orphans orphans = orphans_of(o);

	if (!err)
		err = ctl_orphans_list(&orphans, (unsigned)MIN(o->limit ? o->limit : 100, UINT64_C(10000)), &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_orphans_show(struct options *o)
{
	struct fault fault = { 0 };

	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	enum err err = open_http(o, true, &fault);
	struct ctl_orphans orphans = orphans_of(o);
	if (!err)
		err = ctl_orphans_show(&orphans, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int decide_orphans(struct options *o, bool apply)
{
	struct fault fault = { 0 };
	bool all_done = true;

	if (o->all == (o->arg_count > 0))
		return usage_error("either IDs or --all has to be given to orphans", apply ? "apply" : "drop");
	enum err err = open_http(o, true, &fault);
	struct ctl_orphans orphans = orphans_of(o);
	if (!err)
		err = ctl_orphans_decide(&orphans, apply, &all_done, &fault);
	if (err)
		return fail(err, &fault);
	return all_done ? EXIT_OK : EXIT_REFUSED;
}

static int run_orphans_apply(struct options *o)
{
	return decide_orphans(o, true);
}

static int run_orphans_drop(struct options *o)
{
	return decide_orphans(o, false);
}

static int run_orphans_export(struct options *o)
{
	struct fault fault = { 0 };
	uint64_t count = 0;

	if (o->all == (o->arg_count > 0))
		return usage_error("either IDs or --all has to be given to orphans export", "");
	enum err err = open_http(o, true, &fault);
	struct ctl_orphans orphans = orphans_of(o);
	FILE *file = !err && o->output ? fopen(o->output, "we") : NULL;
	if (!err && o->output && !file)
		err = fault_set(&fault, ERR_BAD_INPUT, "%s: cannot be written: %s", o->output, strerror(errno));
	if (file)
		orphans.out = file;
	if (!err)
		err = ctl_orphans_export(&orphans, &count, &fault);
	if (file && fclose(file) != 0 && !err)
		err = fault_set(&fault, ERR_IO, "%s: writing failed: %s", o->output, strerror(errno));
	if (!err && o->output)
		(void)printf("%s: %llu orphans\n", o->output, (unsigned long long)count);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_audits(struct options *o)
{
	const struct ctl_http_reply *reply;
	struct fault fault = { 0 };
	char path[64];
	bool equal = true;

	(void)snprintf(path, sizeof(path), "/isthmus/audit%s?limit=%u", o->local ? "/local" : "",
		       (unsigned)MIN(o->limit ? o->limit : 20, UINT64_C(1000)));
	enum err err = get(o, path, &reply, &fault);
	if (!err && o->json)
		(void)printf("%.*s\n", STR_FMT(buf_str(&reply->body)));
	else if (!err)
		err = ctl_audit_print(buf_str(&reply->body), stdout, &equal, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_audit(struct options *o)
{
	struct fault fault = { 0 };
	bool equal = true;
	enum err err = open_http(o, true, &fault);

	if (!err)
		err = ctl_audit_run(o->http, o->deep, o->json, stdout, &equal, &fault);
	if (err)
		return fail(err, &fault);
	return equal ? EXIT_OK : EXIT_NOT_READY;
}

static int run_damage(struct options *o)
{
	struct fault fault = { 0 };

	if (!o->data_dir || !o->id)
		return usage_error("damage needs --data-dir DIR and --id ID", "");
	const struct damage_options d = { .data_dir = o->data_dir,
					  .collection = o->collection,
					  .id = o->id,
					  .what = o->what ? o->what : "payload",
					  .out = stdout };
	enum err err = damage_point(&d, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_geo_build(struct options *o)
{
	const struct geo_build_options build = { .inputs = o->inputs, .input_count = o->input_count, .output = o->output };
	struct geo_build_result result;
	struct fault fault = { 0 };

	if (o->input_count == 0 || !o->output)
		return usage_error("geo build needs --from DIR_OR_FILE and --output FILE", "");
	enum err err = geo_build(&build, &result, &fault);
	if (err)
		return fail(err, &fault);
	(void)printf("%s: %llu ranges of %u countries, %llu networks, %u nodes, %llu bytes; skipped %llu ranges without a "
		     "country, left %llu without coordinates\n",
		     o->output, (unsigned long long)result.ranges, result.countries, (unsigned long long)result.networks,
		     result.nodes, (unsigned long long)result.bytes, (unsigned long long)result.skipped,
		     (unsigned long long)result.unknown);
	return EXIT_OK;
}

/* With a configuration no daemon is asked. */
static enum err open_route(struct options *o, struct ctl_route_options *ret, struct fault *reterr_fault)
{
	enum err err = o->config ? ERR_NONE : open_http(o, true, reterr_fault);

	*ret = (struct ctl_route_options){
		.http = o->http,
		.config = o->config,
		.collection = o->named ? o->collection : NULL,
		.json = o->json,
		.out = stdout,
	};
	return err;
}

static int run_route_explain(struct options *o)
{
	struct ctl_route_options route;
	struct fault fault = { 0 };

	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	enum err err = open_route(o, &route, &fault);
	if (!err)
		err = ctl_route_explain(&route, o->args[0], &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_route_simulate(struct options *o)
{
	struct ctl_route_options route;
	struct fault fault = { 0 };
	bool expected = true;

	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	enum err err = open_route(o, &route, &fault);
	if (!err)
		err = ctl_route_simulate(&route, o->args[0], &expected, &fault);
	if (err)
		return fail(err, &fault);
	return expected ? EXIT_OK : EXIT_REFUSED;
}

static int run_rebuild(struct options *o)
{
	struct fault fault = { 0 };

	if (o->input_count > 1)
		return usage_error("one region is enough to copy from:", o->inputs[1]);
	enum err err = open_http(o, true, &fault);
	if (!err)
		err = ctl_fleet_rebuild(o->http, o->input_count ? o->inputs[0] : NULL, o->yes, stdout, &fault);
	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_provision(struct options *o)
{
	struct fault fault = { 0 };
	enum err err = ctl_fleet_provision(o->config ? o->config : CONFIG_OF_SYSTEMD, stdout, &fault);

	return err ? fail(err, &fault) : EXIT_OK;
}

static int run_pki_init(struct options *o)
{
	struct fault fault = { 0 };

	if (!o->dir)
		return usage_error("pki needs --dir DIR", "");
	enum err err = pki_init(o->dir, clock_system(), &fault);
	if (err)
		return fail(err, &fault);
	(void)printf("%s/ca.pem: for every region; %s/ca.key: keep it away from them\n", o->dir, o->dir);
	return EXIT_OK;
}

static int run_pki_issue(struct options *o)
{
	struct fault fault = { 0 };

	if (!o->dir)
		return usage_error("pki needs --dir DIR", "");
	if (o->arg_count > 1)
		return usage_error("what is meant by", o->args[1]);
	unsigned days = o->days ? (unsigned)MIN(o->days, (uint64_t)PKI_DAYS_MAX + 1) : PKI_DAYS_DEFAULT;
	enum err err = pki_issue(o->dir, o->args[0], days, clock_system(), &fault);
	if (err)
		return fail(err, &fault);
	(void)printf("%s/%s.pem and .key: for region %s, valid for %u days\n", o->dir, o->args[0], o->args[0], days);
	return EXIT_OK;
}

static const struct command commands[] = {
	{ "status", "", "j", "how the region is, and what it holds", run_status },
	{ "version", "", "j", "versions of this program and of the daemon", run_version },
	{ "config check", "[FILE]", "",
	  "what is wrong with a configuration (" CONFIG_OF_SYSTEMD ")", run_config_check },
	{ "regions", "", "j", "the regions of the fleet, and how far they are", run_regions },
	{ "switchover", "", "tj", "hand the primary's role over to another region", run_switchover },
	{ "drill history", "", "jl", "the drills whose reports the region keeps", run_drill_history },
	{ "drill", "KIND", "TNSj", "practise a switchover, a failover or a partition, and measure it", run_drill },
	{ "region rebuild", "", "fY", "replace what the region has by a copy of another one's state", run_rebuild },
	{ "failover", "", "tjAFXY", "have a region become the primary when there is none", run_failover },
	{ "region list", "", "j", "who votes, and how each of them stands", run_region_list },
	{ "region add", "REGION", "j", "put a region that runs and is level into the voter list", run_region_add },
	{ "region remove", "REGION", "j", "take a region out of the voter list that is to go", run_region_remove },
	{ "region expel", "REGION", "j", "the same of one that does not answer", run_region_expel },
	{ "conflicts", "", "nlj", "what concurrent writes of several regions lost", run_conflicts },
	{ "orphans show", "ID", "j", "an orphan's points, beside what is there now", run_orphans_show },
	{ "orphans apply", "[ID]...", "aj", "merge orphans into what is there, with their own versions", run_orphans_apply },
	{ "orphans drop", "[ID]...", "aj", "drop orphans", run_orphans_drop },
	{ "orphans export", "[ID]...", "ao", "what orphans are, one JSON object a line", run_orphans_export },
	{ "orphans list", "", "alj", "what failovers took back", run_orphans },
	{ "orphans", "", "alj", "the same", run_orphans },
	{ "audit run", "", "pj", "prove now that all regions hold the same, and cure them", run_audit },
	{ "audit", "", "ljL", "what audits of the primary found", run_audits },
	{ "damage", "", "niDw", "a test aid: damage a point of a region that is stopped", run_damage },
	{ "route explain", "IP", "njc", "which region answers a client, and why", run_route_explain },
	{ "route simulate", "FILE", "njc", "the same of many addresses, counted", run_route_simulate },
	{ "geo build", "", "fo", "a database of where clients are, from ranges in text", run_geo_build },
	{ "provision", "", "c", "make the stream of a configuration's region, or prove it", run_provision },
	{ "pki init", "", "d", "make the authority of a fleet's certificates", run_pki_init },
	{ "pki issue", "REGION", "dy", "make a region's certificate and key", run_pki_issue },
	{ "import packages", "", "nlb", "the packages that apt knows, as points", run_import },
	{ "search", "TEXT...", "nlj", "the packages nearest to a text", run_search },
};

/* --- arguments --- */

static const struct option long_options[] = {
	{ "url", required_argument, NULL, 'u' },        { "socket", required_argument, NULL, 's' },
	{ "key-file", required_argument, NULL, 'k' },   { "json", no_argument, NULL, 'j' },
	{ "collection", required_argument, NULL, 'n' }, { "limit", required_argument, NULL, 'l' },
	{ "batch", required_argument, NULL, 'b' },      { "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },          { "config", required_argument, NULL, 'c' },
	{ "to", required_argument, NULL, 't' },         { "dir", required_argument, NULL, 'd' },
	{ "days", required_argument, NULL, 'y' },       { "deep", no_argument, NULL, 'p' },
	{ "data-dir", required_argument, NULL, 'D' },   { "id", required_argument, NULL, 'i' },
	{ "what", required_argument, NULL, 'w' },       { "from", required_argument, NULL, 'f' },
	{ "output", required_argument, NULL, 'o' },     { "local", no_argument, NULL, 'L' },
	{ "all", no_argument, NULL, 'a' },
	{ "accept-loss", no_argument, NULL, 'A' },      { "force", no_argument, NULL, 'F' },
	{ "lost", required_argument, NULL, 'X' },       { "yes", no_argument, NULL, 'Y' },
	{ "target", required_argument, NULL, 'T' },     { "dry-run", no_argument, NULL, 'N' },
	{ "seconds", required_argument, NULL, 'S' },
	{ 0 },
};

static const char help_options[] =
	"\nOptions\n"
	"  --url URL          http://HOST[:PORT]; import and search: " URL_DEFAULT "\n"
	"  --socket PATH      UNIX socket of the daemon; others than import and search: " SOCKET_OF_SYSTEMD
	",\n"
	"                     " SOCKET_OF_DEFAULT ", else " URL_DEFAULT "\n"
	"  --key-file FILE    its first line is the API key; else $ISTHMUS_API_KEY. The socket needs none\n"
	"  --json             JSON (status, version, regions, switchover, failover, region, drill, conflicts, orphans, audit,\n"
	"                     route, search)\n"
	"  --collection NAME  import, search and damage: packages; route and conflicts: none\n"
	"  --limit N          import: the first N in the order of names; search: 5, at most 1000;\n"
	"                     audit: 20, at most 1000; conflicts and orphans: 100, at most 10000\n"
	"  --batch N          import: points in one request, 256, at most 4096\n"
	"  -c, --config FILE  provision: " CONFIG_OF_SYSTEMD "; route: asks no daemon but this\n"
	"                     configuration, as if all its regions were well\n"
	"  --from PATH        geo build: a file of ranges, or a folder with geoip and geoip6; again for more\n"
	"  --all              orphans list: also those that were decided; apply, drop, export: all that were not\n"
	"  --from REGION      region rebuild: copy this one; else the nearest\n"
	"  -o, --output FILE  geo build: the database; orphans export: instead of stdout\n"
	"  --to REGION        switchover, failover: the next primary; failover: the best placed\n"
	"  --accept-loss      failover: also one that is further behind than failover.max_loss\n"
	"  --force            failover: a majority is lost for good, go on without the regions of\n"
	"  --lost REGION,...  ... which is told what it risks, and asked for the name of the fleet\n"
	"  --yes              failover, region rebuild: not asked\n"
	"  --target REGION    drill: the next primary (switchover), or the primary, to be taken out or cut off\n"
	"  --seconds N        drill failover, partition: for so long, 8 to 120; 12\n"
	"  --dry-run          drill: say what would be done, and what it would be refused for\n"
	"  --dir DIR          pki: where the authority and the certificates are\n"
	"  --days N           pki issue: 825\n"
	"  --deep             audit run: read and hash everything that is stored, in every region\n"
	"  --local            audit: what the region that is asked began itself, when it was the primary\n"
	"  --data-dir DIR     damage: storage.dir of the stopped region\n"
	"  --id ID            damage: the point\n"
	"  --what KIND        damage: payload (a value of it), vector, missing (the row) or record\n"
	"                     (its checksum does not fit)\n"
	"  --help, --version\n"
	"\nStatus: 0 done; 1 refused or failed; 2 wrong usage; 3 no daemon answers; 4 the region is not ready\n"
	"(status), or not all regions are equal (audit run).\n";

static void print_help(void)
{
	(void)puts("usage: isthmusctl COMMAND [OPTIONS]\n\nCommands");
	for (size_t i = 0; i < LEN(commands); i++) {
		char left[64];
		(void)snprintf(left, sizeof(left), "%s %s", commands[i].words,
			       commands[i].arguments);
		(void)printf("  %-22s %s\n", left, commands[i].sentence);
	}
	(void)fputs(help_options, stdout);
}

/* How many of args are the command's words; 0: it is another command. */
static int match(const struct command *c, char *const *args, int count)
{
	int used = 0;

	for (const char *word = c->words; word; used++) {
		size_t len = strcspn(word, " ");
		if (used == count || strlen(args[used]) != len ||
		    memcmp(args[used], word, len) != 0)
			return 0;
		word = word[len] ? word + len + 1 : NULL;
	}
	return used;
}

static bool parse_count(const char *text, uint64_t *ret_count)
{
	char *end;

	errno = 0;
	*ret_count = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && errno == 0 && *ret_count > 0;
}

/* Options that say no more than that they are there, and those that are a text. */
static const struct {
	char letter;
	size_t offset;
} flag_options[] = {
	{ 'j', offsetof(struct options, json) },   { 'p', offsetof(struct options, deep) },
	{ 'L', offsetof(struct options, local) },  { 'A', offsetof(struct options, accept_loss) },
	{ 'F', offsetof(struct options, force) },  { 'Y', offsetof(struct options, yes) },
	{ 'a', offsetof(struct options, all) },    { 'N', offsetof(struct options, dry_run) },
}, text_options[] = {
	{ 'u', offsetof(struct options, url) },      { 's', offsetof(struct options, socket) },
	{ 'k', offsetof(struct options, key_file) }, { 'n', offsetof(struct options, collection) },
	{ 'o', offsetof(struct options, output) },   { 'c', offsetof(struct options, config) },
	{ 't', offsetof(struct options, to) },       { 'd', offsetof(struct options, dir) },
	{ 'D', offsetof(struct options, data_dir) }, { 'i', offsetof(struct options, id) },
	{ 'w', offsetof(struct options, what) },     { 'X', offsetof(struct options, lost) },
	{ 'T', offsetof(struct options, target) },
}, count_options[] = {
	{ 'y', offsetof(struct options, days) },
	{ 'l', offsetof(struct options, limit) },
	{ 'b', offsetof(struct options, batch) },
	{ 'S', offsetof(struct options, seconds) },
};

/* All commands take these. */
static bool is_common(int letter)
{
	return letter == 'u' || letter == 's' || letter == 'k';
}

/* EXIT_OK, or the program's status. */
static int set_option(int letter, struct options *o)
{
	char *base = (char *)o;

	for (size_t i = 0; i < LEN(flag_options); i++)
		if (flag_options[i].letter == letter) {
			*(bool *)(base + flag_options[i].offset) = true;
			return EXIT_OK;
		}
	for (size_t i = 0; i < LEN(text_options); i++)
		if (text_options[i].letter == letter) {
			*(const char **)(base + text_options[i].offset) = optarg;
			return EXIT_OK;
		}
	for (size_t i = 0; i < LEN(count_options); i++)
		if (count_options[i].letter == letter)
			return parse_count(optarg, (uint64_t *)(base + count_options[i].offset))
				       ? EXIT_OK
				       : usage_error("no number above 0:", optarg);
	if (letter != 'f')
		return EXIT_USAGE;
	if (o->input_count == LEN(o->inputs))
		return usage_error("too many inputs, the last is", optarg);
	o->inputs[o->input_count++] = optarg;
	return EXIT_OK;
}

/* given: letters of the options that were there. EXIT_OK, or the program's status. */
static int take_option(int letter, struct options *o, char *given)
{
	int status = set_option(letter, o);

	if (status != EXIT_OK || is_common(letter))
		return status;
	o->named = o->named || letter == 'n';
	size_t len = strlen(given);
	if (!strchr(given, letter))
		given[len] = (char)letter;
	return EXIT_OK;
}

static int run(struct options *o, char **args, int count, const char *given)
{
	for (size_t i = 0; i < LEN(commands); i++) {
		const struct command *c = &commands[i];
		int used = match(c, args, count);
		if (used == 0)
			continue;
		o->args = args + used;
		o->arg_count = count - used;
		if (given[strspn(given, c->takes)] != '\0')
			return usage_error("an option that it does not take was given to",
					   c->words);
		if (c->arguments[0] == '\0' && o->arg_count > 0)
			return usage_error("what is meant by", o->args[0]);
		if (c->arguments[0] == '[' && !strstr(c->arguments, "...") && o->arg_count > 1)
			return usage_error("what is meant by", o->args[1]);
		if (c->arguments[0] != '\0' && c->arguments[0] != '[' && o->arg_count == 0)
			return usage_error("something is missing behind", c->words);
		return c->run(o);
	}
	return usage_error("no such command:", args[0]);
}

int main(int argc, char **argv)
{
	struct options o = { .collection = "packages" };
	char given[LEN(long_options) + 1] = { 0 };
	int letter;

	(void)signal(SIGPIPE, SIG_IGN);
	while ((letter = getopt_long(argc, argv, "hc:o:", long_options, NULL)) != -1) {
		if (letter == 'h') {
			print_help();
			return EXIT_OK;
		}
		if (letter == 'V') {
			(void)puts("isthmusctl " PACKAGE_VERSION);
			return EXIT_OK;
		}
		int status = take_option(letter, &o, given);
		if (status != EXIT_OK)
			return status;
	}
	if (o.url && o.socket)
		return usage_error("--url and --socket exclude each other", "");
	if (optind == argc)
		return usage_error("a command is missing", "");
	int status = run(&o, argv + optind, argc - optind, given);
	ctl_http_free(o.http);
	free(o.key);
	if (fflush(stdout) != 0 && status == EXIT_OK)
		status = EXIT_REFUSED;
	return status;
}
