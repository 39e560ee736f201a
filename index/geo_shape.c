/* SPDX-License-Identifier: Apache-2.0 */
#include "index/geo_shape.h"

#include <math.h>

/* The mean radius, as the IUGG recommends it. */
#define EARTH_RADIUS_M 6371008.8
#define DEGREES_PER_RADIAN (180.0 / M_PI)
/* Of bounds: far more than rounding can lose, far less than anybody's circle. */
#define BOUNDS_SLACK_DEGREES 1e-6

bool geo_point_valid(struct geo_point p)
{
	return p.lon >= -180 && p.lon <= 180 && p.lat >= -90 && p.lat <= 90;
}

enum err geo_ring_check(const struct geo_ring *r, struct fault *reterr_fault)
{
	if (r->count < 4)
		return fault_set(reterr_fault, ERR_BAD_INPUT, "polygon invalid, the size must be at least 4, got %u",
				 r->count);
	const struct geo_point *first = &r->points[0], *last = &r->points[r->count - 1];

	if (first->lon != last->lon || first->lat != last->lat)
		return fault_set(
			reterr_fault, ERR_BAD_INPUT,
			"polygon invalid, the first and the last points should be the same to form a closed line");
	return ERR_NONE;
}

bool geo_point_of(struct value v, struct geo_point *ret_point)
{
	struct value lon, lat;
	struct geo_point p;

	if (value_kind(v) != VALUE_OBJECT || !value_get(v, STR("lon"), &lon) || !value_get(v, STR("lat"), &lat) ||
	    !value_number(lon, &p.lon) || !value_number(lat, &p.lat) || !geo_point_valid(p))
		return false;
	*ret_point = p;
	return true;
}

/* --- inside? --- */

/* The haversine formula. */
double geo_distance_m(struct geo_point a, struct geo_point b)
{
	double lat_a = a.lat / DEGREES_PER_RADIAN, lat_b = b.lat / DEGREES_PER_RADIAN;
	double sin_lat = sin((lat_b - lat_a) / 2);
	double sin_lon = sin((b.lon - a.lon) / DEGREES_PER_RADIAN / 2);
	double h = sin_lat * sin_lat + cos(lat_a) * cos(lat_b) * sin_lon * sin_lon;

	return 2 * EARTH_RADIUS_M * asin(sqrt(fmin(h, 1)));
}

bool geo_box_has(const struct geo_box *b, struct geo_point p)
{
	bool after_left = p.lon > b->top_left.lon, before_right = p.lon < b->bottom_right.lon;
	bool crosses = b->top_left.lon > b->bottom_right.lon;

	return (crosses ? after_left || before_right : after_left && before_right) && p.lat < b->top_left.lat &&
	       p.lat > b->bottom_right.lat;
}

bool geo_circle_has(const struct geo_circle *c, struct geo_point p)
{
	return geo_distance_m(c->center, p) < c->radius_m;
}

enum side { OUTSIDE, ON_EDGE, INSIDE };

static bool is_on_edge(struct geo_point a, struct geo_point b, struct geo_point p)
{
	double cross = (b.lon - a.lon) * (p.lat - a.lat) - (b.lat - a.lat) * (p.lon - a.lon);

	return cross == 0 && (a.lon - p.lon) * (b.lon - p.lon) <= 0 && (a.lat - p.lat) * (b.lat - p.lat) <= 0;
}

/* A ray to the east crosses the edges of a ring an odd number of times when it begins inside. Degrees as a plane. */
static enum side ring_side(const struct geo_ring *r, struct geo_point p)
{
	bool inside = false;

	for (uint32_t i = 0; i + 1 < r->count; i++) {
		struct geo_point a = r->points[i], b = r->points[i + 1];

		if (is_on_edge(a, b, p))
			return ON_EDGE;
		if ((a.lat > p.lat) != (b.lat > p.lat) &&
		    p.lon < (b.lon - a.lon) * (p.lat - a.lat) / (b.lat - a.lat) + a.lon)
			inside = !inside;
	}
	return inside ? INSIDE : OUTSIDE;
}

bool geo_polygon_has(const struct geo_polygon *g, struct geo_point p)
{
	if (ring_side(&g->exterior, p) != INSIDE)
		return false;
	for (uint32_t i = 0; i < g->interior_count; i++)
		if (ring_side(&g->interiors[i], p) != OUTSIDE)
			return false;
	return true;
}

/* --- bounds --- */

struct geo_bounds geo_box_bounds(const struct geo_box *b)
{
	struct geo_bounds bounds = { .lat_min = b->bottom_right.lat,
				     .lat_max = b->top_left.lat,
				     .lon_min = b->top_left.lon,
				     .lon_max = b->bottom_right.lon };

	if (bounds.lon_min > bounds.lon_max) {
		bounds.lon_min = -180;
		bounds.lon_max = 180;
	}
	return bounds;
}

/* Around a pole, or across the antimeridian, all longitudes. Else the widest is where the circle's edge touches a
 * meridian: sin(width) = sin(angle) / cos(latitude). */
struct geo_bounds geo_circle_bounds(const struct geo_circle *c)
{
	struct geo_bounds all = { -90, 90, -180, 180 };
	double angle = c->radius_m / EARTH_RADIUS_M;
	double angle_degrees = angle * DEGREES_PER_RADIAN + BOUNDS_SLACK_DEGREES;

	if (!(angle < M_PI / 2))
		return all;
	struct geo_bounds b = all;

	b.lat_min = fmax(-90, c->center.lat - angle_degrees);
	b.lat_max = fmin(90, c->center.lat + angle_degrees);
	double ratio = sin(angle) / cos(c->center.lat / DEGREES_PER_RADIAN);

	if (b.lat_min == -90 || b.lat_max == 90 || !(ratio < 1))
		return b;
	double width = asin(ratio) * DEGREES_PER_RADIAN + BOUNDS_SLACK_DEGREES;

	if (c->center.lon - width < -180 || c->center.lon + width > 180)
		return b;
	b.lon_min = c->center.lon - width;
	b.lon_max = c->center.lon + width;
	return b;
}

struct geo_bounds geo_polygon_bounds(const struct geo_polygon *g)
{
	struct geo_bounds b = { 90, -90, 180, -180 };

	for (uint32_t i = 0; i < g->exterior.count; i++) {
		struct geo_point p = g->exterior.points[i];

		b.lat_min = fmin(b.lat_min, p.lat);
		b.lat_max = fmax(b.lat_max, p.lat);
		b.lon_min = fmin(b.lon_min, p.lon);
		b.lon_max = fmax(b.lon_max, p.lon);
	}
	return b;
}
