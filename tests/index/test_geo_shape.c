/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes on the globe: what is inside, what is on the edge, and bounds that hold the whole shape.
 */
#include "index/geo_shape.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/index/random.h"

static double between(struct random *r, double from, double to)
{
	return from + (to - from) * (double)(random_u64(r) % 1000001) / 1e6;
}

static struct geo_point anywhere(struct random *r)
{
	return (struct geo_point){ between(r, -180, 180), between(r, -90, 90) };
}

static bool is_within(const struct geo_bounds *b, struct geo_point p)
{
	return p.lat >= b->lat_min && p.lat <= b->lat_max && p.lon >= b->lon_min && p.lon <= b->lon_max;
}

START_TEST(distances_are_those_of_the_globe)
{
	static const struct {
		struct geo_point a, b;
		double m, slack;
	} cases[] = {
		{ { 13.4050, 52.5200 }, { 37.6173, 55.7558 }, 1609000, 5000 }, /* Berlin, Moscow */
		{ { 0, 0 }, { 0, 0 }, 0, 0 },
		{ { 0, 0 }, { 180, 0 }, M_PI * 6371008.8, 1e-6 },
		{ { 17, 90 }, { -100, 90 }, 0, 1e-6 },
		{ { 179.999, 0 }, { -179.999, 0 }, 222.39, 0.01 },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(fabs(geo_distance_m(cases[i].a, cases[i].b) - cases[i].m) <= cases[i].slack, "row %zu: %f", i,
			      geo_distance_m(cases[i].a, cases[i].b));
}
END_TEST

/* Concave, as a U: what is between its arms is outside. */
static struct geo_point arms[] = { { 0, 0 }, { 9, 0 }, { 9, 9 }, { 6, 9 }, { 6, 3 }, { 3, 3 }, { 3, 9 }, { 0, 9 }, { 0, 0 } };

START_TEST(a_polygon_has_what_is_inside_and_not_its_edge)
{
	const struct geo_polygon u = { .exterior = { arms, LEN(arms) } };
	static const struct {
		struct geo_point p;
		bool inside;
	} cases[] = {
		{ { 1, 5 }, true },    { { 8, 5 }, true },   { { 5, 1 }, true },    { { 4.5, 5 }, false },
		{ { 4.5, 3 }, false }, { { 0, 5 }, false },  { { 9, 9 }, false },   { { 10, 5 }, false },
		{ { -1, 9 }, false },  { { -1, 3 }, false }, { { 7, 8.99 }, true }, { { 7, 9 }, false },
	};

	for (size_t i = 0; i < LEN(cases); i++)
		ck_assert_msg(geo_polygon_has(&u, cases[i].p) == cases[i].inside, "row %zu", i);
}
END_TEST

START_TEST(points_are_read_from_objects_of_two_numbers)
{
	static const struct {
		const char *json;
		bool good;
	} cases[] = {
		{ "{\"lon\":1,\"lat\":2.5}", true },
		{ "{\"lon\":-180,\"lat\":90,\"name\":\"x\"}", true },
		{ "{\"lon\":1}", false },
		{ "{\"lat\":1}", false },
		{ "{\"lon\":181,\"lat\":0}", false },
		{ "{\"lon\":0,\"lat\":-90.5}", false },
		{ "{\"lon\":null,\"lat\":0}", false },
		{ "[1,2]", false },
		{ "\"1,2\"", false },
		{ "null", false },
	};

	for (size_t i = 0; i < LEN(cases); i++) {
		CLEANUP(arena_release) struct arena a;
		CLEANUP(buf_release) struct buf b = BUF_INIT(1000);
		struct geo_point p;

		arena_init(&a, 1 << 20);
		struct json_reader r = json_reader_of((struct str){ cases[i].json, strlen(cases[i].json) }, &a);
		ck_assert_int_eq(value_from_json(&r, &a, &b), ERR_NONE);
		ck_assert_msg(geo_point_of(value_of_buf(&b), &p) == cases[i].good, "%s", cases[i].json);
	}
}
END_TEST

START_TEST(bounds_hold_all_of_a_circle)
{
	struct random r = { 5 };
	uint32_t inside = 0;

	for (int i = 0; i < 2000; i++) {
		struct geo_circle c = { anywhere(&r), pow(10, between(&r, 1, 7.5)) };
		struct geo_bounds b = geo_circle_bounds(&c);

		for (int n = 0; n < 50; n++) {
			double reach = c.radius_m / 111000;
			struct geo_point p = { c.center.lon + between(&r, -reach, reach) / fmax(0.05, cos(c.center.lat * M_PI / 180)),
					       c.center.lat + between(&r, -reach, reach) };

			if (!geo_point_valid(p) || !geo_circle_has(&c, p))
				continue;
			inside++;
			ck_assert_msg(is_within(&b, p), "%f m around %f %f: %f %f", c.radius_m, c.center.lon, c.center.lat, p.lon,
				      p.lat);
		}
	}
	ck_assert_uint_gt(inside, 10000);
}
END_TEST

START_TEST(bounds_hold_all_of_boxes_and_polygons)
{
	struct random r = { 6 };

	for (int i = 0; i < 2000; i++) {
		struct geo_box box = { anywhere(&r), anywhere(&r) };
		struct geo_point ring[4] = { anywhere(&r), anywhere(&r), anywhere(&r) };
		struct geo_polygon triangle = { .exterior = { ring, 4 } };
		struct geo_bounds of_box = geo_box_bounds(&box), of_triangle;

		ring[3] = ring[0];
		of_triangle = geo_polygon_bounds(&triangle);
		for (int n = 0; n < 20; n++) {
			struct geo_point p = anywhere(&r);

			ck_assert(!geo_box_has(&box, p) || is_within(&of_box, p));
			ck_assert(!geo_polygon_has(&triangle, p) || is_within(&of_triangle, p));
		}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("geo_shape");
	TCase *t = tcase_create("geo_shape");

	tcase_add_test(t, points_are_read_from_objects_of_two_numbers);
	tcase_add_test(t, distances_are_those_of_the_globe);
	tcase_add_test(t, a_polygon_has_what_is_inside_and_not_its_edge);
	tcase_add_test(t, bounds_hold_all_of_a_circle);
	tcase_add_test(t, bounds_hold_all_of_boxes_and_polygons);
	suite_add_tcase(s, t);

	SRunner *sr = srunner_create(s);

	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);

	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
