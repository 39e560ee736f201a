/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a file by libconfig, and what must be true of several keys together.
 */
#include "gateway/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "gateway/config_scan.h"

#define PATH_BYTES_MAX 256 /* of a key */
#define GROUP_DEPTH_MAX 8
#define NAME_BYTES_MAX 64 /* of names that are compared with the right ones */
#define ARENA_BYTES_MAX (4u << 20)

static const struct config_key rows[] = {
#define KEY(path, kind, extra, initial, least, greatest, member, reload, sentence)                 \
	{ path,                                                                                    \
	  CONFIG_##kind,                                                                           \
	  extra,                                                                                   \
	  initial,                                                                                 \
	  least,                                                                                   \
	  greatest,                                                                                \
	  offsetof(struct config, member),                                                         \
	  CONFIG_##reload,                                                                         \
	  sentence },
#include "gateway/config.def"
#undef KEY
};

const struct config_table config_keys = { rows, LEN(rows), sizeof(struct config) };

/* One file being read. */
struct reading {
	const char *file;
	const char *dir; /* of the file; what it includes is told relative to it */
	struct arena *arena;
	struct buf *errors;
	enum err err; /* ERR_NO_MEMORY */
};

/* Where a group stands: the path of its keys in the table, and as it is told to the reader. */
struct place {
	const struct config_table *table;
	char *out; /* the struct */
	char path[PATH_BYTES_MAX];
	char shown[PATH_BYTES_MAX];
	unsigned depth;
};

static void *member_of(const struct config_key *k, void *out)
{
	return (char *)out + k->offset;
}

/* What a key that must be in the file has until then. */
static void set_nothing(const struct config_key *k, void *member)
{
	if (k->kind == CONFIG_STRING || k->kind == CONFIG_PATH)
		*(const char **)member = "";
}

enum err config_table_defaults(const struct config_table *t, struct arena *a, void *out)
{
	struct config_origin **origins = out;
	struct fault fault;

	*origins = arena_array(a, t->count, sizeof(**origins));
	if (!*origins)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < t->count; i++) {
		const struct config_key *k = &t->keys[i];
		if (k->kind == CONFIG_LIST || k->kind == CONFIG_STRINGS)
			continue;
		if (!k->initial) {
			set_nothing(k, member_of(k, out));
			continue;
		}
		enum err err = config_value_parse(k, k->initial, a, member_of(k, out), &fault);
		if (err == ERR_CONFIG)
			panic_at(__FILE__, __LINE__, fault.text);
		if (err)
			return err;
	}
	return ERR_NONE;
}

/* The name of the file a setting stands in; libconfig 1.5 leaves the folder of included files out. */
static const char *file_of(struct reading *r, const char *name)
{
	if (!name || strcmp(name, r->file) == 0)
		return r->file;
	if (name[0] == '/' || strncmp(name, r->dir, strlen(r->dir)) == 0)
		return arena_str(r->arena, (struct str){ .data = name, .len = strlen(name) }).data;
	return arena_printf(r->arena, "%s/%s", r->dir, name).data;
}

static struct config_origin origin_of(struct reading *r, const config_setting_t *s)
{
	const char *file = file_of(r, config_setting_source_file(s));
	if (!file)
		r->err = ERR_NO_MEMORY;
	return (struct config_origin){ .file = file, .line = config_setting_source_line(s) };
}

/* Levenshtein's distance, of names up to NAME_BYTES_MAX. */
static size_t distance(const char *a, const char *b)
{
	size_t row[NAME_BYTES_MAX + 1];
	size_t len_a = strlen(a);
	size_t len_b = strlen(b);

	if (len_a > NAME_BYTES_MAX || len_b > NAME_BYTES_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= len_b; j++)
		row[j] = j;
	for (size_t i = 1; i <= len_a; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= len_b; j++) {
			size_t changed = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[len_b];
}

static const char *last_name(const char *path)
{
	const char *dot = strrchr(path, '.');
	return dot ? dot + 1 : path;
}

/* The key or group that was probably meant, in near; false when none is like it. */
static bool find_near(const struct config_table *t, const char *path, char near[PATH_BYTES_MAX])
{
	size_t best = MAX(strlen(path) / 4, 2) + 1;

	for (uint32_t i = 0; i < t->count; i++) {
		const char *key = t->keys[i].path;
		for (size_t len = strcspn(key, ".");; len += 1 + strcspn(key + len + 1, ".")) {
			char candidate[PATH_BYTES_MAX];
			(void)snprintf(candidate, sizeof(candidate), "%.*s", (int)len, key);
			size_t d = distance(path, candidate);
			/* The right name in the wrong group. */
			if (key[len] == '\0' && strcmp(last_name(path), last_name(key)) == 0)
				d = MIN(d, 1);
			if (d < best) {
				best = d;
				(void)snprintf(near, PATH_BYTES_MAX, "%s", candidate);
			}
			if (key[len] == '\0')
				break;
		}
	}
	return best <= MAX(strlen(path) / 4, 2);
}

static bool is_group(const struct config_table *t, const char *path)
{
	size_t len = strlen(path);

	for (uint32_t i = 0; i < t->count; i++)
		if (strncmp(t->keys[i].path, path, len) == 0 && t->keys[i].path[len] == '.')
			return true;
	return false;
}

static const struct config_key *find_key(const struct config_table *t, const char *path)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (strcmp(t->keys[i].path, path) == 0)
			return &t->keys[i];
	return NULL;
}

static const char *const expected[] = {
	[CONFIG_STRING] = "a text in quotes",
	[CONFIG_PATH] = "a path in quotes",
	[CONFIG_INT] = "a whole number",
	[CONFIG_BOOL] = "true or false",
	[CONFIG_FLOAT] = "a number",
	[CONFIG_SIZE] = "a size in quotes, such as \"8GiB\",",
	[CONFIG_DURATION] = "a time in quotes, such as \"250ms\",",
	[CONFIG_ADDRESS] = "an address in quotes, such as \"127.0.0.1:6333\",",
	[CONFIG_CHOICE] = "a word in quotes",
	[CONFIG_STRINGS] = "[ \"text\", … ]",
	[CONFIG_LIST] = "( { … }, … )",
};

/* Does the setting have the type that the kind is written in? */
static bool has_type(const struct config_key *k, const config_setting_t *s)
{
	int type = config_setting_type(s);

	switch (k->kind) {
	case CONFIG_INT:
		return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
	case CONFIG_BOOL:
		return type == CONFIG_TYPE_BOOL;
	case CONFIG_FLOAT:
		return type == CONFIG_TYPE_FLOAT || type == CONFIG_TYPE_INT ||
		       type == CONFIG_TYPE_INT64;
	case CONFIG_STRINGS:
		return type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
	case CONFIG_LIST:
		return type == CONFIG_TYPE_LIST;
	case CONFIG_STRING:
	case CONFIG_PATH:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_ADDRESS:
	case CONFIG_CHOICE:
		break;
	}
	return type == CONFIG_TYPE_STRING;
}

static enum err read_int(const struct config_key *k, const config_setting_t *s, int64_t *ret_number,
			 struct fault *reterr_fault)
{
	*ret_number = config_setting_get_int64(s);
	return config_value_check(k, (double)*ret_number, reterr_fault);
}

/* libconfig does not turn a whole number into a fraction unless it turns everything into everything. */
static enum err read_float(const struct config_key *k, const config_setting_t *s,
			   double *ret_number, struct fault *reterr_fault)
{
	bool whole = config_setting_type(s) != CONFIG_TYPE_FLOAT;
	*ret_number = whole ? (double)config_setting_get_int64(s) : config_setting_get_float(s);
	return config_value_check(k, *ret_number, reterr_fault);
}

static enum err read_strings(const struct config_key *k, const config_setting_t *s, struct arena *a,
			     struct config_strings *ret_strings, struct fault *reterr_fault)
{
	uint32_t count = (uint32_t)config_setting_length(s);
	const char **items = arena_array(a, count, sizeof(*items));
	enum err err = config_value_check(k, count, reterr_fault);

	if (err)
		return err;
	if (!items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		const char *text = config_setting_get_string_elem(s, (int)i);
		if (!text)
			return fault_set(reterr_fault, ERR_CONFIG, "[%u] is no text", i);
		items[i] = arena_str(a, (struct str){ .data = text, .len = strlen(text) }).data;
		if (!items[i])
			return ERR_NO_MEMORY;
	}
	*ret_strings = (struct config_strings){ .items = items, .count = count };
	return ERR_NONE;
}

static void read_group(struct reading *r, const struct place *at, const config_setting_t *group);

/* o: where the group stands. */
static void check_required(struct reading *r, const struct place *at, const struct config_origin *o)
{
	const struct config_origin *origins = *(struct config_origin **)(void *)at->out;

	for (uint32_t i = 0; i < at->table->count; i++)
		if (!at->table->keys[i].initial && !origins[i].file)
			config_add_error(r->errors, o, at->shown, "%s is missing",
					 at->table->keys[i].path);
}

static enum err read_list(struct reading *r, const struct place *at, const struct config_key *k,
			  const config_setting_t *s, struct fault *reterr_fault)
{
	const struct config_table *t = k->extra;
	uint32_t count = (uint32_t)config_setting_length(s);
	enum err err = config_value_check(k, count, reterr_fault);

	if (err)
		return err;
	char *list_rows = arena_array(r->arena, count, t->size);
	if (!list_rows)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < count; i++) {
		const config_setting_t *row = config_setting_get_elem(s, i);
		struct place inside = { .table = t,
					.out = list_rows + i * t->size,
					.depth = at->depth + 1 };
		if (!config_setting_is_group(row))
			return fault_set(reterr_fault, ERR_CONFIG,
					 "[%u]: a group { … } is expected", i);
		int len = snprintf(inside.shown, sizeof(inside.shown), "%s[%u]", at->shown, i);
		if (len < 0 || (size_t)len >= sizeof(inside.shown))
			return fault_set(reterr_fault, ERR_CONFIG, "too deep");
		err = config_table_defaults(t, r->arena, inside.out);
		if (err)
			return err;
		read_group(r, &inside, row);
		if (!r->err) {
			struct config_origin o = origin_of(r, row);
			check_required(r, &inside, &o);
		}
	}
	*(struct config_list *)member_of(k, at->out) =
		(struct config_list){ .rows = list_rows, .count = count };
	return ERR_NONE;
}

static enum err read_value(struct reading *r, const struct place *at, const struct config_key *k,
			   const config_setting_t *s, struct fault *reterr_fault)
{
	void *member = member_of(k, at->out);

	if (!has_type(k, s))
		return fault_set(reterr_fault, ERR_CONFIG, "%s is expected", expected[k->kind]);
	switch (k->kind) {
	case CONFIG_INT:
		return read_int(k, s, member, reterr_fault);
	case CONFIG_BOOL:
		*(bool *)member = config_setting_get_bool(s);
		return ERR_NONE;
	case CONFIG_FLOAT:
		return read_float(k, s, member, reterr_fault);
	case CONFIG_STRINGS:
		return read_strings(k, s, r->arena, member, reterr_fault);
	case CONFIG_LIST:
		return read_list(r, at, k, s, reterr_fault);
	case CONFIG_STRING:
	case CONFIG_PATH:
	case CONFIG_SIZE:
	case CONFIG_DURATION:
	case CONFIG_ADDRESS:
	case CONFIG_CHOICE:
		break;
	}
	return config_value_parse(k, config_setting_get_string(s), r->arena, member, reterr_fault);
}

static void read_setting(struct reading *r, const struct place *at, const config_setting_t *s)
{
	const struct config_key *k = find_key(at->table, at->path);
	struct config_origin o = origin_of(r, s);
	char near[PATH_BYTES_MAX];
	struct fault fault;

	if (r->err)
		return;
	if (k) {
		enum err err = read_value(r, at, k, s, &fault);
		if (err == ERR_CONFIG)
			config_add_error(r->errors, &o, at->shown, "%s", fault.text);
		else if (err)
			r->err = err;
		(*(struct config_origin **)(void *)at->out)[k - at->table->keys] = o;
	} else if (is_group(at->table, at->path)) {
		if (config_setting_is_group(s))
			read_group(r, at, s);
		else
			config_add_error(r->errors, &o, at->shown, "a group { … } is expected");
	} else if (find_near(at->table, at->path, near)) {
		config_add_error(r->errors, &o, at->shown, "unknown key; is %s meant?", near);
	} else {
		config_add_error(r->errors, &o, at->shown, "unknown key");
	}
}

/* Appends ".name" (or "name", to nothing); false when it is too long. */
static bool extend(char path[PATH_BYTES_MAX], const char *name)
{
	size_t len = strlen(path);
	int added = snprintf(path + len, PATH_BYTES_MAX - len, "%s%s", len ? "." : "", name);
	return added >= 0 && (size_t)added < PATH_BYTES_MAX - len;
}

/* at says where the group stands. Recursion ends with GROUP_DEPTH_MAX. */
static void read_group(struct reading *r, const struct place *at, const config_setting_t *group)
{
	for (int i = 0; i < config_setting_length(group) && !r->err; i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		struct config_origin o = origin_of(r, s);
		struct place inside = *at;
		inside.depth++;
		bool fits = extend(inside.path, config_setting_name(s)) &&
			    extend(inside.shown, config_setting_name(s)) &&
			    inside.depth <= GROUP_DEPTH_MAX;
		if (fits)
			read_setting(r, &inside, s);
		else
			config_add_error(r->errors, &o, at->shown,
					 "unknown key, too long or too deep");
	}
}

static void parse(struct reading *r, const struct config_table *t, void *out)
{
	config_t parsed;

	config_init(&parsed);
	config_set_include_dir(&parsed, r->dir);
	if (config_read_file(&parsed, r->file)) {
		struct place top = { .table = t, .out = out };
		read_group(r, &top, config_root_setting(&parsed));
	} else {
		struct config_origin o = { .file = file_of(r, config_error_file(&parsed)),
					   .line = (unsigned)config_error_line(&parsed) };
		config_add_error(r->errors, &o, NULL, "%s", config_error_text(&parsed));
	}
	config_destroy(&parsed);
}

enum err config_table_read(const struct config_table *t, const char *file, struct arena *a,
			   void *out, struct buf *errors)
{
	const char *slash = strrchr(file, '/');
	struct str name = { .data = file, .len = strlen(file) };
	struct str dir = slash ? (struct str){ .data = file, .len = MAX((size_t)(slash - file), 1) }
			       : STR(".");
	struct reading r = { .file = arena_str(a, name).data,
			     .dir = arena_str(a, dir).data,
			     .arena = a,
			     .errors = errors };

	if (!r.file || !r.dir)
		return ERR_NO_MEMORY;
	enum err err = config_scan(r.file, r.dir, errors);
	if (err)
		return err;
	parse(&r, t, out);
	if (r.err)
		return r.err;
	return errors->len > 0 || buf_err(errors) ? ERR_CONFIG : ERR_NONE;
}

/* --- what holds of several keys --- */

static const struct config_origin *origin_of_member(const struct config *c, const void *member)
{
	size_t offset = (size_t)((const char *)member - (const char *)c);

	for (uint32_t i = 0; i < config_keys.count; i++)
		if (config_keys.keys[i].offset == offset)
			return &c->origins[i];
	PANIC("no such member");
}

const struct config_origin *config_origin(const struct config *c, const void *member)
{
	const struct config_origin *o = origin_of_member(c, member);

	return o->file ? o : &c->whole;
}

void config_add_fault(const struct config *c, const struct fault *f, struct buf *errors)
{
	const struct config_origin *o = &c->whole;

	for (uint32_t i = 0; i < config_keys.count; i++) {
		const struct config_key *k = &config_keys.keys[i];
		size_t len = strlen(k->path);
		if (strncmp(f->text, k->path, len) == 0 && f->text[len] == ':' && c->origins[i].file)
			o = &c->origins[i];
	}
	config_add_error(errors, o, NULL, "%s", fault_text(f));
}

/* The first folder of $name, which systemd sets; NULL when it does not. */
static const char *folder_of_systemd(struct config *c, const char *name)
{
	const char *value = getenv(name);

	if (!value || value[0] != '/')
		return NULL;
	return arena_str(&c->arena, (struct str){ .data = value, .len = strcspn(value, ":") }).data;
}

static void set_by(struct config *c, const void *member, const char *who)
{
	for (uint32_t i = 0; i < config_keys.count; i++)
		if ((const char *)c + config_keys.keys[i].offset == (const char *)member)
			c->origins[i] = (struct config_origin){ .file = who };
}

/* Keys whose default depends on the machine. */
static enum err fill_in(struct config *c)
{
	const char *state = folder_of_systemd(c, "STATE_DIRECTORY");
	const char *runtime = folder_of_systemd(c, "RUNTIME_DIRECTORY");

	if (!*c->storage_dir) {
		c->storage_dir = state ? state : "./isthmus-data";
		if (state)
			set_by(c, &c->storage_dir, "$STATE_DIRECTORY");
	}
	if (!*c->listen_ctl) {
		c->listen_ctl =
			arena_printf(&c->arena, "%s/ctl.sock", runtime ? runtime : c->storage_dir)
				.data;
		if (runtime)
			set_by(c, &c->listen_ctl, "$RUNTIME_DIRECTORY");
	}
	/* Who listens tells paths from addresses by the slash. */
	if (c->listen_ctl && !strchr(c->listen_ctl, '/'))
		c->listen_ctl = arena_printf(&c->arena, "./%s", c->listen_ctl).data;
	if (!*c->session_key_file)
		c->session_key_file =
			arena_printf(&c->arena, "%s/session.key", c->storage_dir).data;
	return c->listen_ctl && c->session_key_file ? ERR_NONE : ERR_NO_MEMORY;
}

/* It stands in subjects of streams, in metrics and in headers. */
static void check_name(const struct config *c, struct buf *errors)
{
	if (strspn(c->region_name, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
		    strlen(c->region_name) ||
	    c->region_name[0] == '-')
		config_add_error(
			errors, config_origin(c, &c->region_name), "region.name",
			"'%s' has other than small letters, digits and '-', or begins with '-'",
			c->region_name);
}

/* To listen needs an address, not a name that may stand for several. */
static void check_address(const struct config *c, const struct config_address *a, const char *path,
			  struct buf *errors)
{
	struct in6_addr binary;

	if (a->host && inet_pton(AF_INET, a->host, &binary) != 1 &&
	    inet_pton(AF_INET6, a->host, &binary) != 1)
		config_add_error(
			errors, config_origin(c, a), path,
			"'%s' is no IPv4 or IPv6 address, which is what the daemon can listen on",
			a->host);
}

static void check_listen(const struct config *c, struct buf *errors)
{
	const struct config_address *http = &c->listen_http;
	const struct config_address *grpc = &c->listen_grpc;

	check_address(c, http, "listen.http", errors);
	check_address(c, grpc, "listen.grpc", errors);
	check_address(c, &c->listen_peer, "listen.peer", errors);
	if (http->host && grpc->host && http->port != 0 && http->port == grpc->port &&
	    strcmp(http->host, grpc->host) == 0)
		config_add_error(errors, config_origin(c, grpc), "listen.grpc",
				 "is the same as listen.http; \"off\" closes one of them");
	if (strlen(c->listen_ctl) > 107)
		config_add_error(
			errors, config_origin(c, &c->listen_ctl), "listen.ctl",
			"'%s' has more than the 107 characters that the name of a UNIX socket may have",
			c->listen_ctl);
}

static void check_pair(const struct config *c, const char *const *member, const char *path,
		       const char *const *other, const char *other_path, struct buf *errors)
{
	if (**member && !**other)
		config_add_error(errors, config_origin(c, member), path, "is given without %s",
				 other_path);
}

static void check_together(const struct config *c, struct buf *errors)
{
	check_name(c, errors);
	check_listen(c, errors);
	check_pair(c, &c->tls_certificate, "tls.certificate", &c->tls_key, "tls.key", errors);
	check_pair(c, &c->tls_key, "tls.key", &c->tls_certificate, "tls.certificate", errors);
	config_check_fleet(c, errors);
	config_check_route(c, errors);
	check_pair(c, &c->auth_alt_api_key_file, "auth.alt_api_key_file", &c->auth_api_key_file,
		   "auth.api_key_file", errors);
}

static enum err load(struct config *c, const char *file, struct buf *errors)
{
	enum err err = config_table_defaults(&config_keys, &c->arena, c);

	if (!err && file) {
		c->whole.file = arena_str(&c->arena, (struct str){ .data = file, .len = strlen(file) }).data;
		err = c->whole.file ? ERR_NONE : ERR_NO_MEMORY;
	}
	if (!err && file)
		err = config_table_read(&config_keys, file, &c->arena, c, errors);
	if (!err)
		err = fill_in(c);
	if (err)
		return err;
	check_together(c, errors);
	return errors->len > 0 ? ERR_CONFIG : ERR_NONE;
}

enum err config_load(const char *file, struct config **ret_config, struct buf *errors)
{
	struct config *c = calloc(1, sizeof(*c));
	if (!c)
		return ERR_NO_MEMORY;
	arena_init(&c->arena, ARENA_BYTES_MAX);
	enum err err = load(c, file, errors);
	if (err) {
		if (errors->len == 0)
			(void)buf_printf(errors, "%s: %s\n", file ? file : "configuration",
					 err_sentence(err));
		config_free(c);
		return err;
	}
	*ret_config = c;
	return ERR_NONE;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	arena_release(&c->arena);
	free(c);
}

void config_conn_limits(const struct config *c, struct conn_limits *ret_limits)
{
	*ret_limits = conn_limits_default;
	ret_limits->connections_max = (uint32_t)c->limits_connections;
	ret_limits->streams_max = (uint32_t)c->limits_streams;
	ret_limits->body_bytes_max = c->limits_body_bytes;
	ret_limits->total_body_bytes_max = c->limits_bodies_bytes;
	ret_limits->idle_ms = (uint32_t)c->limits_idle_ms;
	ret_limits->drain_ms = (uint32_t)c->limits_drain_ms;
}

void config_sample(struct buf *out)
{
	(void)buf_append_cstr(
		out,
		"# SPDX-License-Identifier: Apache-2.0\n"
		"#\n"
		"# The configuration of isthmusd; isthmus.conf(5) explains how it is read. Every key is shown with its\n"
		"# default, commented out: an empty file is a complete one. `isthmusd -c FILE --check` tells what is\n"
		"# wrong with a file, `--dump-config` what holds and where it comes from.\n"
		"#\n"
		"# Keys marked \"reload\" are taken over by SIGHUP (systemctl reload isthmusd), the others by a restart.\n"
		"\n");
	config_table_sample(&config_keys, out);
}

void config_manual(struct buf *out)
{
	static const char head[] =
		".\\\" SPDX-License-Identifier: Apache-2.0\n"
		".\\\" Made by isthmusd --dump-config=manual from gateway/config.def.\n"
		".Dd November 21, 2026\n"
		".Dt ISTHMUS.CONF 5\n"
		".Os\n"
		".Sh NAME\n"
		".Nm isthmus.conf\n"
		".Nd configuration of the vector search gateway isthmusd\n"
		".Sh DESCRIPTION\n"
		"The file is in the language of libconfig:\n"
		"groups of keys with values.\n"
		"A key that is not in the file has its default, so an empty file is complete.\n"
		"An unknown key is an error, and so is a value outside its bounds;\n"
		".Ic isthmusd Fl c Ar file Fl \\-check\n"
		"tells all errors with their file and line.\n"
		".Pp\n"
		"Sizes and times are texts with a unit:\n"
		".Dq 8GiB\n"
		"(B, KiB, MiB, GiB, TiB),\n"
		".Dq 250ms\n"
		"(ms, s, m, h, d).\n"
		"Relative paths start from the folder in which the daemon was started.\n"
		".Ql @include \\(dqname\\(dq\n"
		"at the beginning of a line takes in another file of the same folder.\n"
		".Sh KEYS\n"
		"Keys marked\n"
		".Dq reload\n"
		"are taken over when the daemon gets SIGHUP, the others when it is started.\n"
		"Certificates and keys are read again at every SIGHUP.\n"
		".Bl -tag -width Ds\n";
	static const char tail[] =
		".El\n"
		".Sh FILES\n"
		".Bl -tag -width Ds\n"
		".It Pa /etc/isthmus/isthmus.conf\n"
		"What the systemd unit reads.\n"
		".El\n"
		".Sh EXAMPLES\n"
		"A server for other machines, with a key:\n"
		".Bd -literal -offset indent\n"
		"listen = { http = \"0.0.0.0:6333\"; grpc = \"0.0.0.0:6334\"; };\n"
		"auth = { api_key_file = \"/etc/isthmus/api.key\"; };\n"
		"tls = {\n"
		"\tcertificate = \"/etc/isthmus/tls.crt\";\n"
		"\tkey = \"/etc/isthmus/tls.key\";\n"
		"};\n"
		".Ed\n"
		".Sh SEE ALSO\n"
		".Xr isthmusctl 1 ,\n"
		".Xr isthmusd 8\n";

	(void)buf_append_cstr(out, head);
	config_table_manual(&config_keys, out);
	(void)buf_append_cstr(out, tail);
}
