/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a payload value at a path. Values are immutable: the result is another one, in the arena. Both changes are
 * idempotent, so that what was done twice is as if done once.
 */
#pragma once

#include "index/value.h"

/* Sets the members of an object where the path leads, from its step `from` on; a null member is removed. What is on the way
 * and not there, or of another kind, is made: an object for a key, an empty list for [] and [3]. An item that a list does not have is
 * not made. at: data == NULL when there is none. ERR_BAD_INPUT: it would be nested too deeply. */
MUST_USE enum err value_set_at(struct value at, const struct path *p, uint32_t from, struct value members,
			       struct arena *a, struct value *ret_value);
/* Removes what the path finds: a key from its object; [] at the end empties the list; one item of a list stays, as removing it twice
 * would remove two. *ret_value is `at` itself when nothing is found. */
MUST_USE enum err value_remove_at(struct value at, const struct path *p, uint32_t from, struct arena *a,
				  struct value *ret_value);
