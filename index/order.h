/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of keys and names, everywhere: by their bytes, a prefix before what continues it.
 */
#pragma once

#include <string.h>

#include "base/macros.h"

static inline int bytes_compare(struct bytes a, struct bytes b)
{
	size_t common = MIN(a.len, b.len);
	int order = common ? memcmp(a.data, b.data, common) : 0;
	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

static inline int str_compare(struct str a, struct str b)
{
	return bytes_compare((struct bytes){ .data = (const uint8_t *)a.data, .len = a.len },
			     (struct bytes){ .data = (const uint8_t *)b.data, .len = b.len });
}
