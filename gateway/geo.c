/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search is libmaxminddb's, on a copy of the file in sealed memory: a mapped file that somebody truncates kills who
 * reads it. The values are read by geo_record.c.
 */
#include "gateway/geo.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/geo_record.h"

#define MARKER "\xab\xcd\xefMaxMind.com"
/* As the format has it: the metadata are that near to the end. */
#define METADATA_BYTES_MAX ((size_t)128 << 10)
#define SEPARATOR_BYTES 16
/* Nodes that are looked at when a file is opened, evenly spread. */
#define NODES_PROBED 65536
#define COPY_BYTES ((size_t)1 << 20)
#define TYPE_BYTES_MAX 128
/* Records kept as they were read: all of a file of countries, some of a file of cities. A power of two. */
#define KEPT_MAX 16384

struct kept {
	uint32_t offset;
	struct geo_record record;
};

struct file {
	MMDB_s mmdb;
	bool open;
	char *path;
	char type[TYPE_BYTES_MAX];
	bool coarse;                    /* of countries: its coordinates, if any, are their middles */
	_Atomic(struct kept *) *kept;   /* KEPT_MAX places by offset; who came first stays */
};

struct geo {
	_Atomic uint32_t references;
	uint32_t count;
	struct file files[GEO_FILES_MAX];
};

const char *place_source_name(enum place_source s)
{
	static const char *const names[] = {
		[PLACE_NONE] = "none", [PLACE_COUNTRY] = "country", [PLACE_CITY] = "city"
	};
	return names[s];
}

/* --- opening --- */

static void close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static enum err refuse(const struct file *f, struct fault *reterr_fault, const char *why)
{
	return fault_set(reterr_fault, ERR_CONFIG, "%s: %s", f->path, why);
}

static enum err refuse_errno(const struct file *f, struct fault *reterr_fault)
{
	return fault_set(reterr_fault, err_from_errno(errno), "%s: cannot be read: %s", f->path, strerror(errno));
}

static enum err write_all(int to, const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(to, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_from_errno(errno);
		data += n;
		len -= (size_t)n;
	}
	return ERR_NONE;
}

static enum err copy_file(const struct file *f, int to, struct fault *reterr_fault)
{
	CLEANUP(close_fd) int from = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	uint64_t all = 0;
	ssize_t n;

	if (from < 0 || fstat(from, &st) != 0)
		return refuse_errno(f, reterr_fault);
	if (!S_ISREG(st.st_mode))
		return refuse(f, reterr_fault, "is not a file");
	uint8_t *chunk = malloc(COPY_BYTES);
	if (!chunk)
		return refuse(f, reterr_fault, "out of memory");
	enum err err = ERR_NONE;
	while (!err && (n = read(from, chunk, COPY_BYTES)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		all += n > 0 ? (uint64_t)n : 0;
		if (n < 0)
			err = refuse_errno(f, reterr_fault);
		else if (all > GEO_FILE_BYTES_MAX)
			err = refuse(f, reterr_fault, "is too large");
		else if (write_all(to, chunk, (size_t)n))
			err = refuse(f, reterr_fault, "there is no memory for a copy of it");
	}
	free(chunk);
	return err;
}

static struct bytes section(const struct file *f)
{
	return (struct bytes){ f->mmdb.data_section, f->mmdb.data_section_size };
}

/* Before libmaxminddb reads them, which follows every pointer as often as it is asked to. */
static enum err check_metadata(const struct file *f, struct bytes file, struct fault *reterr_fault)
{
	const size_t marker_len = sizeof(MARKER) - 1;
	size_t first = file.len > METADATA_BYTES_MAX ? file.len - METADATA_BYTES_MAX : 0;

	if (file.len < marker_len)
		return refuse(f, reterr_fault, "is no MMDB file, or is cut off");
	for (size_t at = file.len - marker_len + 1; at-- > first;) {
		if (memcmp(file.data + at, MARKER, marker_len) != 0)
			continue;
		const struct bytes metadata = { file.data + at + marker_len, file.len - at - marker_len };
		if (!geo_record_check(metadata, 0))
			return refuse(f, reterr_fault, "is damaged: what it says of itself cannot be read");
		return ERR_NONE;
	}
	return refuse(f, reterr_fault, "is no MMDB file, or is cut off");
}

static enum err check_size(const struct file *f, struct fault *reterr_fault)
{
	const MMDB_metadata_s *m = &f->mmdb.metadata;
	uint64_t tree = (uint64_t)m->node_count * (m->record_size / 4u) + SEPARATOR_BYTES;

	if (m->record_size != 24 && m->record_size != 28 && m->record_size != 32)
		return refuse(f, reterr_fault, "is damaged: its nodes have an unknown size");
	if (m->ip_version != 4 && m->ip_version != 6)
		return refuse(f, reterr_fault, "is of an unknown version of IP");
	if (m->node_count == 0)
		return refuse(f, reterr_fault, "has no networks");
	if (tree > (uint64_t)f->mmdb.file_size || section(f).data != f->mmdb.file_content + tree)
		return refuse(f, reterr_fault, "is damaged, or cut off: its tree does not fit into it");
	return ERR_NONE;
}

enum finding { FOUND_NOTHING, FOUND_OTHER, FOUND_PLACE, FOUND_DAMAGE };

static enum finding probe_record(const struct file *f, uint8_t type, uint32_t offset)
{
	struct geo_record record;

	if (type == MMDB_RECORD_TYPE_INVALID)
		return FOUND_DAMAGE;
	if (type != MMDB_RECORD_TYPE_DATA)
		return FOUND_NOTHING;
	if (geo_record_read(section(f), offset, &record))
		return record.country[0] || record.located ? FOUND_PLACE : FOUND_OTHER;
	return geo_record_check(section(f), offset) ? FOUND_OTHER : FOUND_DAMAGE;
}

static enum err probe(const struct file *f, struct fault *reterr_fault)
{
	uint32_t nodes = f->mmdb.metadata.node_count;
	uint32_t probed = MIN(nodes, (uint32_t)NODES_PROBED);
	bool seen[FOUND_DAMAGE + 1] = { 0 };
	MMDB_search_node_s n;

	for (uint32_t i = 0; i < probed && !seen[FOUND_DAMAGE]; i++) {
		if (MMDB_read_node(&f->mmdb, (uint32_t)((uint64_t)i * nodes / probed), &n) != MMDB_SUCCESS) {
			seen[FOUND_DAMAGE] = true;
			break;
		}
		seen[probe_record(f, n.left_record_type, n.left_record_entry.offset)] = true;
		seen[probe_record(f, n.right_record_type, n.right_record_entry.offset)] = true;
	}
	if (seen[FOUND_DAMAGE])
		return refuse(f, reterr_fault, "is damaged: its tree or its data cannot be read");
	if (!seen[FOUND_PLACE])
		return refuse(f, reterr_fault,
			      seen[FOUND_OTHER] ? "says nothing of countries or coordinates" : "has no networks");
	return ERR_NONE;
}

/* What the file calls itself, for people: it is not to be trusted with their terminal. */
static void keep_type(struct file *f)
{
	const char *type = f->mmdb.metadata.database_type;
	size_t i = 0;

	for (; type && type[i] && i + 1 < sizeof(f->type); i++)
		f->type[i] = type[i];
	for (f->type[i] = '\0'; i-- > 0;)
		if (f->type[i] < ' ' || f->type[i] > '~')
			f->type[i] = '?';
	f->coarse = strcasestr(f->type, "country") != NULL;
}

static enum err open_copy(struct file *f, int copy, struct fault *reterr_fault)
{
	char path[64];
	struct stat st;
	enum err err;

	if (fstat(copy, &st) != 0 || st.st_size == 0)
		return refuse(f, reterr_fault, "is empty");
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, copy, 0);
	if (data == MAP_FAILED)
		return refuse(f, reterr_fault, "there is no memory for a copy of it");
	err = check_metadata(f, (struct bytes){ data, (size_t)st.st_size }, reterr_fault);
	(void)munmap(data, (size_t)st.st_size);
	if (err)
		return err;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	int status = MMDB_open(path, MMDB_MODE_MMAP, &f->mmdb);
	if (status != MMDB_SUCCESS)
		return fault_set(reterr_fault, ERR_CONFIG, "%s: is damaged: %s", f->path, MMDB_strerror(status));
	f->open = true;
	err = check_size(f, reterr_fault);
	if (!err)
		err = probe(f, reterr_fault);
	if (err)
		return err;
	keep_type(f);
	f->kept = calloc(KEPT_MAX, sizeof(*f->kept));
	return f->kept ? ERR_NONE : refuse(f, reterr_fault, "out of memory");
}

static int make_memory(const struct file *f)
{
	const char *base = strrchr(f->path, '/');
	char name[64];

	(void)snprintf(name, sizeof(name), "%s", base ? base + 1 : f->path);
	return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

/* bytes NULL: of the file at the path. */
static enum err open_file(struct file *f, const char *path, const struct bytes *bytes, struct fault *reterr_fault)
{
	f->path = strdup(path);
	if (!f->path)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s: out of memory", path);
	CLEANUP(close_fd) int copy = make_memory(f);
	if (copy < 0)
		return refuse(f, reterr_fault, "there is no memory for a copy of it");
	enum err err = bytes ? write_all(copy, bytes->data, bytes->len) : copy_file(f, copy, reterr_fault);
	if (err)
		return bytes ? refuse(f, reterr_fault, "there is no memory for a copy of it") : err;
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
		return refuse(f, reterr_fault, "its copy cannot be sealed");
	return open_copy(f, copy, reterr_fault);
}

static enum err geo_new(struct geo **ret_geo, struct fault *reterr_fault)
{
	*ret_geo = calloc(1, sizeof(**ret_geo));
	if (!*ret_geo)
		return fault_set(reterr_fault, ERR_NO_MEMORY, "%s", err_sentence(ERR_NO_MEMORY));
	atomic_init(&(*ret_geo)->references, 1);
	return ERR_NONE;
}

enum err geo_open(const char *const *files, uint32_t count, struct geo **ret_geo, struct fault *reterr_fault)
{
	struct geo *g;

	if (count == 0 || count > GEO_FILES_MAX)
		return fault_set(reterr_fault, ERR_CONFIG, "1 to %d MMDB files are expected", GEO_FILES_MAX);
	enum err err = geo_new(&g, reterr_fault);
	for (uint32_t i = 0; i < count && !err; i++)
		err = open_file(&g->files[g->count++], files[i], NULL, reterr_fault);
	if (err) {
		geo_unref(g);
		return err;
	}
	*ret_geo = g;
	return ERR_NONE;
}

enum err geo_open_bytes(struct bytes file, const char *name, struct geo **ret_geo, struct fault *reterr_fault)
{
	struct geo *g;
	enum err err = geo_new(&g, reterr_fault);

	if (!err)
		err = open_file(&g->files[g->count++], name, &file, reterr_fault);
	if (err) {
		geo_unref(g);
		return err;
	}
	*ret_geo = g;
	return ERR_NONE;
}

static void close_file(struct file *f)
{
	for (size_t i = 0; f->kept && i < KEPT_MAX; i++)
		free(atomic_load_explicit(&f->kept[i], memory_order_relaxed));
	free(f->kept);
	if (f->open)
		MMDB_close(&f->mmdb);
	free(f->path);
}

struct geo *geo_ref(struct geo *g)
{
	if (g)
		(void)atomic_fetch_add_explicit(&g->references, 1, memory_order_relaxed);
	return g;
}

void geo_unref(struct geo *g)
{
	if (!g || atomic_fetch_sub_explicit(&g->references, 1, memory_order_acq_rel) != 1)
		return;
	for (uint32_t i = 0; i < g->count; i++)
		close_file(&g->files[i]);
	free(g);
}

/* --- looking up --- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* IPv4 as it is, even when it came in IPv6. False: neither. */
static bool take_address(const struct sockaddr *from, union address *ret)
{
	if (from->sa_family == AF_INET) {
		memcpy(&ret->v4, from, sizeof(ret->v4));
		return true;
	}
	if (from->sa_family != AF_INET6)
		return false;
	memcpy(&ret->v6, from, sizeof(ret->v6));
	if (IN6_IS_ADDR_V4MAPPED(&ret->v6.sin6_addr)) {
		struct sockaddr_in v4 = { .sin_family = AF_INET };
		memcpy(&v4.sin_addr, ret->v6.sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
		ret->v4 = v4;
	}
	return true;
}

static void keep(_Atomic(struct kept *) *place, uint32_t offset, const struct geo_record *record)
{
	struct kept *none = NULL;
	struct kept *k = malloc(sizeof(*k));

	if (!k)
		return;
	*k = (struct kept){ offset, *record };
	if (!atomic_compare_exchange_strong_explicit(place, &none, k, memory_order_release, memory_order_relaxed))
		free(k);
}

/* Reading a record takes longer than finding it, and there are far fewer of them than networks. */
static bool read_record(const struct file *f, uint32_t offset, struct geo_record *ret_record)
{
	_Atomic(struct kept *) *place = &f->kept[(offset * 2654435761u >> 16) % KEPT_MAX];
	const struct kept *k = atomic_load_explicit(place, memory_order_acquire);

	if (k && k->offset == offset) {
		*ret_record = k->record;
		return true;
	}
	if (!geo_record_read(section(f), offset, ret_record))
		return false;
	if (!k)
		keep(place, offset, ret_record);
	return true;
}

static bool find_record(const struct file *f, const union address *a, struct geo_record *ret_record)
{
	int status = MMDB_SUCCESS;

	if (a->any.sa_family == AF_INET6 && f->mmdb.metadata.ip_version == 4)
		return false;
	MMDB_lookup_result_s found = MMDB_lookup_sockaddr(&f->mmdb, &a->any, &status);
	return status == MMDB_SUCCESS && found.found_entry &&
	       read_record(f, found.entry.offset, ret_record);
}

static void join(struct place *p, const struct geo_record *r, bool coarse)
{
	enum place_source source = coarse ? PLACE_COUNTRY : PLACE_CITY;

	if (!p->country[0])
		memcpy(p->country, r->country, sizeof(p->country));
	if (!p->continent[0])
		memcpy(p->continent, r->continent, sizeof(p->continent));
	if (r->located && p->source < source) {
		p->source = source;
		p->lat = r->lat;
		p->lon = r->lon;
	}
}

static void fill_in(struct place *p)
{
	if (p->continent[0] && p->source != PLACE_NONE)
		return;
	const struct geo_country *c = geo_country((struct str){ p->country, strlen(p->country) });
	if (c && !p->continent[0])
		memcpy(p->continent, c->continent, sizeof(p->continent));
	if (c && p->source == PLACE_NONE) {
		p->source = PLACE_COUNTRY;
		p->lat = c->lat;
		p->lon = c->lon;
	}
}

void geo_lookup(const struct geo *g, const struct sockaddr *address, struct place *ret_place)
{
	struct place p = { 0 };
	struct geo_record record;
	union address a;

	if (g && take_address(address, &a)) {
		for (uint32_t i = 0; i < g->count && !(p.country[0] && p.source == PLACE_CITY); i++)
			if (find_record(&g->files[i], &a, &record))
				join(&p, &record, g->files[i].coarse);
		fill_in(&p);
	}
	*ret_place = p;
}

/* --- what there is --- */

uint32_t geo_file_count(const struct geo *g)
{
	return g ? g->count : 0;
}

void geo_file_info(const struct geo *g, uint32_t i, struct geo_file *ret_file)
{
	const struct file *f = &g->files[i];

	*ret_file = (struct geo_file){
		.path = f->path,
		.type = f->type,
		.build_epoch = f->mmdb.metadata.build_epoch,
		.nodes = f->mmdb.metadata.node_count,
		.ip_version = f->mmdb.metadata.ip_version,
	};
}
