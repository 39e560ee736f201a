/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's actions on aliases become one op, which names all that they come to: wherever it is applied, all of them happen
 * at one position, and are taken back together. Each action sees what those before it did; one that is refused
 * refuses them all. Names of collections are resolved here, in commit order: the op knows incarnations.
 */
#include "replicator/commit_inner.h"

#include "index/order.h"

#include <string.h>

struct switching {
	struct committer *c;
	struct arena *arena;
	struct alias_list now; /* in force, as the actions so far have made it; room for one more each */
	struct fault *fault;
};

static struct alias *find(struct switching *s, struct str name)
{
	/* Its items are this function's caller's own. */
	return (struct alias *)(uintptr_t)alias_find(&s->now, name);
}

static void put(struct switching *s, struct str name, struct incarnation target)
{
	struct alias *known = find(s, name);
	uint32_t at = 0;

	if (known) {
		known->target = target;
		return;
	}
	while (at < s->now.count && str_compare(s->now.items[at].name, name) < 0)
		at++;
	memmove(&s->now.items[at + 1], &s->now.items[at], (s->now.count - at) * sizeof(*s->now.items));
	s->now.items[at] = (struct alias){ .name = name, .target = target };
	s->now.count++;
}

static void take_away(struct switching *s, struct alias *alias)
{
	uint32_t at = (uint32_t)(alias - s->now.items);

	s->now.count--;
	memmove(alias, alias + 1, (s->now.count - at) * sizeof(*alias));
}

/* A collection's own name stands before every alias. */
static enum err check_free(struct switching *s, struct str name)
{
	struct collection *named = catalog_get_named(s->c->o.catalog, name);

	if (name.len == 0 || name.len > COLLECTION_NAME_MAX)
		return fault_set(s->fault, ERR_BAD_INPUT, "the name of an alias has 1 to %d bytes",
				 COLLECTION_NAME_MAX);
	if (!named)
		return ERR_NONE;
	collection_unref(named);
	return fault_set(s->fault, ERR_ALREADY_EXISTS, "Collection `%.*s` already exists!", STR_FMT(name));
}

static enum err create(struct switching *s, const struct alias_action *a)
{
	struct collection *collection = catalog_get_named(s->c->o.catalog, a->to);

	if (!collection)
		return fault_set(s->fault, ERR_NOT_FOUND, "Collection `%.*s` doesn't exist!", STR_FMT(a->to));
	struct incarnation target = collection_incarnation(collection);
	collection_unref(collection);
	enum err err = check_free(s, a->alias);
	if (!err)
		put(s, a->alias, target);
	return err;
}

static enum err rename_alias(struct switching *s, const struct alias_action *a)
{
	struct alias *known = find(s, a->alias);

	if (!known)
		return fault_set(s->fault, ERR_NOT_FOUND, "Alias %.*s does not exists!", STR_FMT(a->alias));
	struct incarnation target = known->target;
	enum err err = check_free(s, a->to);
	if (err)
		return err;
	take_away(s, known);
	put(s, a->to, target);
	return ERR_NONE;
}

static enum err act(struct switching *s, const struct alias_action *a)
{
	struct alias *known;

	switch (a->kind) {
	case ALIAS_CREATE:
		return create(s, a);
	case ALIAS_RENAME:
		return rename_alias(s, a);
	case ALIAS_DELETE:
		known = find(s, a->alias);
		if (known)
			take_away(s, known);
		break;
	}
	return ERR_NONE;
}

static bool same_target(const struct alias *a, const struct alias *b)
{
	return incarnation_compare(a->target, b->target) == 0;
}

/* What leads from one list to the other. */
static enum err difference(const struct alias_list *from, const struct alias_list *to, struct arena *a,
			   struct alias_list *ret_changes)
{
	struct alias_list out = { .items = arena_array(a, (size_t)from->count + to->count, sizeof(*out.items)) };

	if (!out.items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0, k = 0; i < from->count || k < to->count;) {
		const struct alias *old = i < from->count ? &from->items[i] : NULL;
		const struct alias *new = k < to->count ? &to->items[k] : NULL;
		int order = !old ? 1 : !new ? -1 : str_compare(old->name, new->name);

		i += order <= 0;
		k += order >= 0;
		if (order < 0)
			out.items[out.count++] = (struct alias){ .name = old->name };
		else if (order > 0 || !same_target(old, new))
			out.items[out.count++] = *new;
	}
	*ret_changes = out;
	return ERR_NONE;
}

/* What is out of force takes room, too, until nothing is left of its collection. */
static enum err check_count(struct switching *s, uint32_t before)
{
	uint32_t count = catalog_aliases_count(s->c->o.catalog) + s->now.count - before;

	if (s->now.count <= before || count <= ALIASES_MAX)
		return ERR_NONE;
	return fault_set(s->fault, ERR_BAD_INPUT,
			 "%u aliases; at most %d are possible, those of collections that were dropped lately included",
			 count, ALIASES_MAX);
}

enum err commit_alias_changes(struct committer *c, const struct intent *in, struct arena *a,
			      struct alias_list *ret_changes, struct fault *reterr_fault)
{
	struct switching s = { .c = c, .arena = a, .fault = reterr_fault };
	struct alias_list before = { 0 };
	enum err err = ERR_NONE;

	if (in->alias_action_count > ALIAS_ACTIONS_MAX)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "%u actions; at most %d are possible in one request",
				 in->alias_action_count, ALIAS_ACTIONS_MAX);
	err = catalog_aliases(c->o.catalog, a, &before);
	if (!err) {
		s.now.items = arena_array(a, (size_t)before.count + in->alias_action_count, sizeof(*s.now.items));
		err = s.now.items ? ERR_NONE : ERR_NO_MEMORY;
	}
	if (err)
		return fault_set(reterr_fault, err, "reading the aliases: %s", err_sentence(err));
	s.now.count = before.count;
	if (before.count > 0)
		memcpy(s.now.items, before.items, before.count * sizeof(*before.items));
	for (uint32_t i = 0; i < in->alias_action_count && !err; i++)
		err = act(&s, &in->alias_actions[i]);
	if (!err)
		err = check_count(&s, before.count);
	if (err)
		return err;
	err = difference(&before, &s.now, a, ret_changes);
	return err ? fault_set(reterr_fault, err, "changing the aliases: %s", err_sentence(err)) : ERR_NONE;
}
