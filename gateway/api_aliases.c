/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aliases. All actions of one request are one op: nobody sees some of them without the others, in no region.
 */
#include "gateway/api_inner.h"

#include "base/panic.h"

/* --- looking --- */

/* Those of one collection, or all of them. */
static enum err show_aliases(struct call *c, const struct collection *of, struct msg_alias_description_list *out)
{
	struct alias_list all = { 0 };
	enum err err = catalog_aliases(c->api->catalog, c->arena, &all);

	if (err)
		return err;
	out->items = arena_array(c->arena, all.count, sizeof(*out->items));
	if (!out->items)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < all.count; i++) {
		struct collection *target = catalog_get_incarnation(c->api->catalog, all.items[i].target);
		/* Dropped meanwhile, and its aliases with it. */
		if (!target)
			continue;
		struct str name = collection_name(target, c->arena);
		if (of ? of == target : call_may_see(c, name))
			out->items[out->count++] = (struct msg_alias_description){
				.alias_name = all.items[i].name,
				.collection_name = name,
			};
		collection_unref(target);
	}
	return ERR_NONE;
}

static void answer(struct call *c, enum err err)
{
	if (!err)
		call_touch(c);
	call_finish(c, err);
}

void api_aliases(struct call *c)
{
	struct msg_aliases_reply *out = c->out;

	answer(c, show_aliases(c, NULL, &out->aliases));
}

void api_collection_aliases(struct call *c)
{
	const struct msg_collection_ref *in = c->in;
	struct msg_aliases_reply *out = c->out;
	struct collection *collection;
	enum err err = api_collection(c, in->collection_name, &collection);

	if (!err) {
		err = show_aliases(c, collection, &out->aliases);
		collection_unref(collection);
	}
	answer(c, err);
}

/* --- changing --- */

/* What a new alias may be called. */
static enum err check_alias(struct call *c, uint32_t at, const char *field, struct str name)
{
	struct fault fault;
	enum err err = api_check_name(field, name, COLLECTION_NAME_MAX, &fault);

	return err ? fault_set(&c->fault, err, "actions[%u]: %s", at, fault.text) : ERR_NONE;
}

/* The message is a union: exactly one is there. */
static enum err set_action(struct call *c, uint32_t at, const struct msg_alias_operation *o, struct alias_action *out)
{
	if (o->has_create_alias) {
		*out = (struct alias_action){ .kind = ALIAS_CREATE,
					      .alias = o->create_alias.alias_name,
					      .to = o->create_alias.collection_name };
		return check_alias(c, at, "alias_name", out->alias);
	}
	if (o->has_rename_alias) {
		*out = (struct alias_action){ .kind = ALIAS_RENAME,
					      .alias = o->rename_alias.old_alias_name,
					      .to = o->rename_alias.new_alias_name };
		return check_alias(c, at, "new_alias_name", out->to);
	}
	ASSERT(o->has_delete_alias);
	*out = (struct alias_action){ .kind = ALIAS_DELETE, .alias = o->delete_alias.alias_name };
	return ERR_NONE;
}

static enum err settle_aliases(struct call *c)
{
	struct msg_bool_reply *out = c->out;

	out->result = c->write.err == ERR_NONE;
	return c->write.err;
}

void api_aliases_update(struct call *c)
{
	const struct msg_aliases_update *in = c->in;
	enum err err = api_check_max(c, "actions", in->actions.count, ALIAS_ACTIONS_MAX);
	struct alias_action *actions = arena_array(c->arena, in->actions.count, sizeof(*actions));

	if (!err && !actions)
		err = ERR_NO_MEMORY;
	for (uint32_t i = 0; i < in->actions.count && !err; i++)
		err = set_action(c, i, &in->actions.items[i], &actions[i]);
	if (err) {
		call_finish(c, err);
		return;
	}
	struct intent *intent = api_intents(c, (struct str){ .data = "", .len = 0 }, 1, OP_ALIASES);
	if (!intent)
		return;
	intent->alias_actions = actions;
	intent->alias_action_count = in->actions.count;
	api_write_schema(c, intent, API_TIMEOUT_MS(in), settle_aliases);
}
