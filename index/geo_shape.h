/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boxes, circles and polygons on the globe, and whether a point is inside one. The edge is outside.
 */
#pragma once

#include <stdbool.h>

#include "index/value.h"

/* Degrees: longitude -180 to 180, latitude -90 to 90. */
struct geo_point {
	double lon, lat;
};
/* A box whose left edge is east of its right one crosses the antimeridian. */
struct geo_box {
	struct geo_point top_left, bottom_right;
};
struct geo_circle {
	struct geo_point center;
	double radius_m;
};
/* Closed: the last point is the first. At least 4 points. */
struct geo_ring {
	struct geo_point *points;
	uint32_t count;
};
struct geo_polygon {
	struct geo_ring exterior;
	struct geo_ring *interiors; /* holes */
	uint32_t interior_count;
};

bool geo_point_valid(struct geo_point p);
/* ERR_BAD_INPUT in Qdrant's words. */
MUST_USE enum err geo_ring_check(const struct geo_ring *r, struct fault *reterr_fault);
/* {"lon", "lat"}, valid. */
bool geo_point_of(struct value v, struct geo_point *ret_point);

double geo_distance_m(struct geo_point a, struct geo_point b);
bool geo_box_has(const struct geo_box *b, struct geo_point p);
bool geo_circle_has(const struct geo_circle *c, struct geo_point p);
bool geo_polygon_has(const struct geo_polygon *g, struct geo_point p);

/* A box that holds all of the shape, perhaps more; for a first look. Its edge is inside. */
struct geo_bounds {
	double lat_min, lat_max;
	double lon_min, lon_max; /* of two that are crossed over the antimeridian: -180 and 180 */
};
struct geo_bounds geo_box_bounds(const struct geo_box *b);
struct geo_bounds geo_circle_bounds(const struct geo_circle *c);
struct geo_bounds geo_polygon_bounds(const struct geo_polygon *g);
