/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/disk.h"

#include <stdlib.h>

#include "base/panic.h"
#include "tests/sim/step.h"

struct opened;

struct disk {
	uint32_t region;
	struct store *content;
	struct opened *opened; /* NULL: by nobody */
	struct disk_faults faults;
	struct random random;
	disk_written_fn written;
	void *ctx;
};

/* As a process has it. */
struct opened {
	struct store store;
	struct store_ops ops; /* the content's own, but for those below */
	struct disk *disk;    /* NULL: the process crashed */
	struct store *inner;  /* the disk's content or, */
	bool own;             /* from a crash or a failed sync on, what it looked like to this process */
};

/* The content's transaction with what its process is. */
struct store_txn {
	struct opened *opened;
	struct store_txn *inner;
	bool write;
};

static struct opened *opened_of(struct store *s)
{
	return CONTAINER_OF(s, struct opened, store);
}

static struct store *empty_store(void)
{
	struct store *s;

	ASSERT(store_mem_new(&s) == ERR_NONE);
	return s;
}

static struct store *fork_of(struct store *s)
{
	struct store *fork;

	ASSERT(store_mem_fork(s, &fork) == ERR_NONE);
	return fork;
}

static bool happens(struct disk *d, unsigned per_thousand)
{
	return per_thousand > 0 && random_u64(&d->random) % 1000 < per_thousand;
}

static enum err disk_begin(struct store *s, bool write, struct store_txn **ret_txn)
{
	struct opened *o = opened_of(s);
	struct store_txn *t = calloc(1, sizeof(*t));

	ASSERT(t);
	*t = (struct store_txn){ .opened = o, .write = write };
	enum err err = o->inner->ops->begin(o->inner, write, &t->inner);
	if (err) {
		free(t);
		return err;
	}
	*ret_txn = t;
	return ERR_NONE;
}

static void disk_abort(struct store_txn *t)
{
	if (!t)
		return;
	t->opened->inner->ops->abort(t->inner);
	free(t);
}

/* The time that a sync takes; the process may crash in it. */
static void sync_disk(struct disk *d)
{
	const struct disk_faults *f = &d->faults;

	if (happens(d, f->stall))
		fiber_sleep_ns(f->stall_ns);
	else if (f->sync_ns_max > 0)
		fiber_sleep_ns(f->sync_ns_min + random_u64(&d->random) % (f->sync_ns_max - f->sync_ns_min + 1));
}

/* After a failed sync a process goes on with what it had before, whether or not the disk has more. */
static void part(struct opened *o)
{
	o->inner = fork_of(o->inner);
	o->own = true;
}

static bool is_broken(struct disk *d)
{
	if (d->faults.break_at > 0 && --d->faults.break_at == 0)
		return true;
	return happens(d, d->faults.broken);
}

static enum err commit_broken(struct disk *d, struct opened *o, struct store_txn *inner, struct fault *f)
{
	struct store *content = o->inner;

	part(o);
	if (random_u64(&d->random) % 2 != 0)
		content->ops->abort(inner);
	else if (content->ops->commit(inner, f) == ERR_NONE)
		d->written(d->ctx, content);
	return fault_set(f, ERR_IO, "the simulated disk is broken");
}

static enum err disk_commit(struct store_txn *t, struct fault *f)
{
	struct opened *o = t->opened;
	struct disk *d = o->disk;
	struct store_txn *inner = t->inner;
	bool write = t->write;

	free(t);
	if (!write || !d || o->own)
		return o->inner->ops->commit(inner, f);
	if (!d->faults.spared && happens(d, d->faults.full)) {
		o->inner->ops->abort(inner);
		return fault_set(f, ERR_NO_SPACE, "the simulated disk is full");
	}
	bool broken = !d->faults.spared && is_broken(d);
	step_passed(d->region);
	sync_disk(d);
	/* Crashed meanwhile: nothing is on the disk. */
	if (!o->disk)
		return o->inner->ops->commit(inner, f);
	if (broken)
		return commit_broken(d, o, inner, f);
	enum err err = o->inner->ops->commit(inner, f);
	if (!err)
		d->written(d->ctx, o->inner);
	step_passed(d->region);
	fiber_give_way();
	return err;
}

static enum err disk_get(struct store_txn *t, enum store_table table, struct bytes key, struct bytes *ret_value)
{
	return t->opened->inner->ops->get(t->inner, table, key, ret_value);
}

static enum err disk_put(struct store_txn *t, enum store_table table, struct bytes key, struct bytes value)
{
	return t->opened->inner->ops->put(t->inner, table, key, value);
}

static enum err disk_del(struct store_txn *t, enum store_table table, struct bytes key)
{
	return t->opened->inner->ops->del(t->inner, table, key);
}

static enum err disk_cursor_open(struct store_txn *t, enum store_table table, struct store_cursor **ret_cursor)
{
	return t->opened->inner->ops->cursor_open(t->inner, table, ret_cursor);
}

static void disk_close(struct store *s)
{
	struct opened *o = opened_of(s);

	if (o->disk)
		o->disk->opened = NULL;
	if (o->own)
		o->inner->ops->close(o->inner);
	free(o);
}

/* --- life --- */

struct disk *disk_new(uint32_t region, uint64_t seed, disk_written_fn written, void *ctx)
{
	struct disk *d = calloc(1, sizeof(*d));

	ASSERT(d);
	*d = (struct disk){ .region = region,
			    .content = empty_store(),
			    .random = { seed },
			    .written = written,
			    .ctx = ctx };
	return d;
}

void disk_free(struct disk *d)
{
	ASSERT(!d->opened);
	d->content->ops->close(d->content);
	free(d);
}

struct disk_faults *disk_faults(struct disk *d)
{
	return &d->faults;
}

struct store *disk_content(struct disk *d)
{
	return d->content;
}

struct store *disk_open(struct disk *d)
{
	struct opened *o = calloc(1, sizeof(*o));

	ASSERT(o && !d->opened);
	o->ops = *d->content->ops;
	o->ops.begin = disk_begin;
	o->ops.commit = disk_commit;
	o->ops.abort = disk_abort;
	o->ops.get = disk_get;
	o->ops.put = disk_put;
	o->ops.del = disk_del;
	o->ops.cursor_open = disk_cursor_open;
	o->ops.close = disk_close;
	o->store.ops = &o->ops;
	o->disk = d;
	o->inner = d->content;
	d->opened = o;
	return &o->store;
}

void disk_crash(struct disk *d)
{
	struct opened *o = TAKE(d->opened);

	ASSERT(o);
	o->disk = NULL;
	if (!o->own)
		d->content = fork_of(d->content);
	o->own = true;
}

void disk_wipe(struct disk *d)
{
	disk_restore(d, empty_store());
}

struct store *disk_copy(struct disk *d)
{
	return fork_of(d->content);
}

void disk_restore(struct disk *d, struct store *content)
{
	ASSERT(!d->opened);
	d->content->ops->close(d->content);
	d->content = content;
}
