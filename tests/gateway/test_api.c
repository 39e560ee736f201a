/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods, through both front ends: every one by REST and by gRPC with equal results; what is refused, and in which
 * words.
 */
#include "gateway/api.h"

#include "gateway/grpc.h"
#include "gateway/rest.h"
#include "tests/gateway/world.h"

static struct world one, two;

static void set_up(void)
{
	world_open(&one, &(struct world_options){ 0 });
}

static void tear_down(void)
{
	world_close(&one);
}

/* --- every method, both ways --- */

struct step {
	const char *method;
	const char *path; /* with its query */
	const char *body;
	const char *result; /* what REST's result must be; NULL: whatever gRPC's is, too */
};

static const struct step steps[] = {
	{ "version", "/", NULL, NULL },
	{ "health_check", NULL, NULL, NULL },
	{ "healthz", "/healthz", NULL, NULL },
	{ "livez", "/livez", NULL, NULL },
	{ "readyz", "/readyz", NULL, NULL },
	{ "metrics", "/metrics", NULL, NULL },
	{ "telemetry", "/telemetry", NULL, NULL },
	{ "cluster", "/cluster", NULL, "{\"status\":\"disabled\"}" },
	{ "collections_list", "/collections", NULL, "{\"collections\":[]}" },
	{ "collection_exists", "/collections/c/exists", NULL, "{\"exists\":false}" },
	{ "collection_delete", "/collections/c", NULL, "false" },
	{ "collection_create", "/collections/c",
	  "{\"vectors\":{\"\":{\"size\":4,\"distance\":\"Dot\"},\"small\":{\"size\":2,\"distance\":\"Euclid\"}},"
	  "\"sparse_vectors\":{\"text\":{}},\"shard_number\":3,\"metadata\":{\"a\":1}}",
	  "true" },
	{ "collection_exists", "/collections/c/exists", NULL, "{\"exists\":true}" },
	{ "collections_list", "/collections", NULL, "{\"collections\":[{\"name\":\"c\"}]}" },
	{ "points_upsert", "/collections/c/points?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":{\"\":[1,0,0,0],\"small\":[0,1]},\"payload\":{\"n\":1,\"tag\":\"a\"}},"
	  "{\"id\":2,\"vector\":[0,1,0,0],\"payload\":{\"n\":2,\"o\":{\"x\":1,\"y\":[{\"z\":1,\"q\":2}]}}},"
	  "{\"id\":\"5c56c793-69f3-4fbf-87e6-c4bf54c28c26\",\"vector\":{\"text\":{\"indices\":[7,3],\"values\":[0.5,2]}}}]}",
	  "{\"operation_id\":3,\"status\":\"completed\"}" },
	{ "points_upsert", "/collections/c/points",
	  "{\"points\":[{\"id\":4,\"vector\":[0.5,0.5,0.5,0.5]}]}",
	  "{\"operation_id\":4,\"status\":\"acknowledged\"}" },
	{ "points_upsert", "/collections/c/points?wait=true&ordering=strong",
	  "{\"batch\":{\"ids\":[8,9],\"vectors\":[[1,1,1,1],[2,2,2,2]],\"payloads\":[null,{\"n\":9}]}}",
	  "{\"operation_id\":5,\"status\":\"completed\"}" },
	{ "points_retrieve", "/collections/c/points",
	  "{\"ids\":[2,77,1],\"with_payload\":true,\"with_vector\":true}",
	  "[{\"id\":2,\"payload\":{\"n\":2,\"o\":{\"x\":1,\"y\":[{\"q\":2,\"z\":1}]}},\"vector\":[0.0,1.0,0.0,0.0]},"
	  "{\"id\":1,\"payload\":{\"n\":1,\"tag\":\"a\"},\"vector\":{\"\":[1.0,0.0,0.0,0.0],\"small\":[0.0,1.0]}}]" },
	{ "points_retrieve", "/collections/c/points",
	  "{\"ids\":[2],\"with_payload\":[\"o.x\"],\"with_vector\":[\"small\"]}",
	  "[{\"id\":2,\"payload\":{\"o\":{\"x\":1}},\"vector\":{}}]" },
	{ "points_retrieve", "/collections/c/points",
	  "{\"ids\":[2],\"with_payload\":{\"exclude\":[\"o.y[].z\",\"n\"]}}",
	  "[{\"id\":2,\"payload\":{\"o\":{\"x\":1,\"y\":[{\"q\":2}]}}}]" },
	{ "point_get", "/collections/c/points/4", NULL,
	  "{\"id\":4,\"payload\":{},\"vector\":[0.5,0.5,0.5,0.5]}" },
	{ "points_scroll", "/collections/c/points/scroll", "{\"limit\":2,\"with_payload\":false}",
	  "{\"points\":[{\"id\":1},{\"id\":2}],\"next_page_offset\":4}" },
	{ "points_scroll", "/collections/c/points/scroll",
	  "{\"offset\":9,\"with_payload\":[\"n\"],\"filter\":{\"must_not\":{\"has_id\":[4]}}}",
	  "{\"points\":[{\"id\":9,\"payload\":{\"n\":9}},"
	  "{\"id\":\"5c56c793-69f3-4fbf-87e6-c4bf54c28c26\",\"payload\":{}}],\"next_page_offset\":null}" },
	{ "points_count", "/collections/c/points/count", "{}", "{\"count\":6}" },
	{ "points_count", "/collections/c/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"n\",\"range\":{\"gte\":2}}]}}", "{\"count\":2}" },
	{ "points_query", "/collections/c/points/query",
	  "{\"query\":[1,0,0,0],\"limit\":2,\"with_payload\":[\"n\"]}",
	  "{\"points\":[{\"id\":9,\"version\":5,\"score\":2.0,\"payload\":{\"n\":9}},"
	  "{\"id\":1,\"version\":3,\"score\":1.0,\"payload\":{\"n\":1}}]}" },
	{ "points_query", "/collections/c/points/query",
	  "{\"query\":9,\"limit\":1,\"offset\":1,\"score_threshold\":1.5,\"params\":{\"exact\":true,\"hnsw_ef\":64}}",
	  "{\"points\":[{\"id\":4,\"version\":4,\"score\":4.0}]}" },
	{ "points_query", "/collections/c/points/query",
	  "{\"query\":{\"indices\":[3],\"values\":[2]},\"using\":\"text\",\"with_vector\":true}",
	  "{\"points\":[{\"id\":\"5c56c793-69f3-4fbf-87e6-c4bf54c28c26\",\"version\":3,\"score\":4.0,"
	  "\"vector\":{\"text\":{\"indices\":[3,7],\"values\":[2.0,0.5]}}}]}" },
	{ "points_query", "/collections/c/points/query", "{\"limit\":1,\"offset\":1}",
	  "{\"points\":[{\"id\":2,\"version\":3,\"score\":1.0}]}" },
	{ "points_query_batch", "/collections/c/points/query/batch",
	  "{\"searches\":[{\"query\":[0,1,0,0],\"limit\":1},{\"query\":1,\"using\":\"small\",\"limit\":3},{\"limit\":1}]}",
	  "[{\"points\":[{\"id\":9,\"version\":5,\"score\":2.0}]},{\"points\":[]},"
	  "{\"points\":[{\"id\":1,\"version\":3,\"score\":1.0}]}]" },
	{ "points_search", "/collections/c/points/search",
	  "{\"vector\":{\"name\":\"small\",\"vector\":[0,4]},\"limit\":3,\"with_payload\":{\"include\":[\"tag\"]}}",
	  "[{\"id\":1,\"version\":3,\"score\":3.0,\"payload\":{\"tag\":\"a\"}}]" },
	{ "points_search", "/collections/c/points/search",
	  "{\"vector\":[0,0,0,1],\"limit\":2,\"offset\":1}",
	  "[{\"id\":8,\"version\":5,\"score\":1.0},{\"id\":4,\"version\":4,\"score\":0.5}]" },
	{ "points_search_batch", "/collections/c/points/search/batch",
	  "{\"searches\":[{\"vector\":[0,0,0,1],\"limit\":1},{\"vector\":[1,0,0,0],\"limit\":1,\"filter\":"
	  "{\"must\":{\"key\":\"tag\",\"match\":{\"value\":\"a\"}}}}]}",
	  "[[{\"id\":9,\"version\":5,\"score\":2.0}],[{\"id\":1,\"version\":3,\"score\":1.0}]]" },
	{ "points_recommend", "/collections/c/points/recommend",
	  "{\"positive\":[1],\"negative\":[2],\"limit\":2}",
	  "[{\"id\":9,\"version\":5,\"score\":2.0},{\"id\":8,\"version\":5,\"score\":1.0}]" },
	{ "points_recommend", "/collections/c/points/recommend",
	  "{\"positive\":[1,[0,1,0,0]],\"strategy\":\"sum_scores\",\"limit\":1,\"offset\":1,\"with_payload\":true}",
	  "[{\"id\":8,\"version\":5,\"score\":2.0,\"payload\":{}}]" },
	{ "points_recommend_batch", "/collections/c/points/recommend/batch",
	  "{\"searches\":[{\"positive\":[1],\"limit\":1},{\"negative\":[9],\"strategy\":\"best_score\",\"limit\":1}]}",
	  "[[{\"id\":9,\"version\":5,\"score\":2.0}],[{\"id\":1,\"version\":3,\"score\":-0.8333334}]]" },
	{ "points_recommend_groups", "/collections/c/points/recommend/groups",
	  "{\"positive\":[2],\"group_by\":\"n\",\"group_size\":1,\"limit\":3}",
	  "{\"groups\":[{\"hits\":[{\"id\":9,\"version\":5,\"score\":2.0}],\"id\":9},{\"hits\":[{\"id\":1,\"version\":3,\"score\":0.0}],\"id\":1}]}" },
	{ "points_discover", "/collections/c/points/discover",
	  "{\"target\":4,\"context\":[{\"positive\":9,\"negative\":1}],\"limit\":1}",
	  "[{\"id\":8,\"version\":5,\"score\":1.8333334}]" },
	{ "points_discover", "/collections/c/points/discover",
	  "{\"context\":[{\"positive\":[0,1,0,0],\"negative\":[1,0,0,0]}],\"limit\":5}",
	  "[{\"id\":2,\"version\":3,\"score\":0.0},{\"id\":4,\"version\":4,\"score\":-1.19209275e-7},{\"id\":8,\"version\":5,\"score\":-1.19209275e-7},{\"id\":9,\"version\":5,\"score\":-1.19209275e-7},{\"id\":1,\"version\":3,\"score\":-0.50000006}]" },
	{ "points_discover_batch", "/collections/c/points/discover/batch",
	  "{\"searches\":[{\"target\":[0,0,0,1],\"limit\":1}]}",
	  "[[{\"id\":9,\"version\":5,\"score\":0.8333334}]]" },
	{ "points_search_groups", "/collections/c/points/search/groups",
	  "{\"vector\":[1,0,0,0],\"group_by\":\"n\",\"group_size\":2,\"limit\":2,\"with_payload\":[\"n\"]}",
	  "{\"groups\":[{\"hits\":[{\"id\":9,\"version\":5,\"score\":2.0,\"payload\":{\"n\":9}}],\"id\":9},{\"hits\":[{\"id\":1,\"version\":3,\"score\":1.0,\"payload\":{\"n\":1}}],\"id\":1}]}" },
	{ "points_search_groups", "/collections/c/points/search/groups",
	  "{\"vector\":{\"name\":\"text\",\"vector\":{\"indices\":[3],\"values\":[1]}},\"group_by\":\"n\",\"group_size\":2,\"limit\":2}",
	  "{\"groups\":[]}" },
	{ "points_query_groups", "/collections/c/points/query/groups",
	  "{\"query\":[1,0,0,0],\"group_by\":\"n\",\"limit\":1,\"with_lookup\":\"c\"}",
	  "{\"groups\":[{\"hits\":[{\"id\":9,\"version\":5,\"score\":2.0}],\"id\":9,\"lookup\":{\"id\":9,\"payload\":{\"n\":9}}}]}" },
	{ "search_matrix_pairs", "/collections/c/points/search/matrix/pairs",
	  "{\"sample\":10,\"limit\":1}",
	  "{\"pairs\":[{\"a\":1,\"b\":9,\"score\":2.0},{\"a\":2,\"b\":9,\"score\":2.0},{\"a\":4,\"b\":9,\"score\":4.0},{\"a\":8,\"b\":9,\"score\":8.0},{\"a\":9,\"b\":8,\"score\":8.0}]}" },
	{ "search_matrix_offsets", "/collections/c/points/search/matrix/offsets",
	  "{\"sample\":10,\"limit\":1,\"filter\":{\"must_not\":{\"has_id\":[4,8]}}}",
	  "{\"offsets_row\":[0,1,2],\"offsets_col\":[2,2,0],\"scores\":[2.0,2.0,2.0],\"ids\":[1,2,9]}" },
	{ "payload_set", "/collections/c/points/payload?wait=true",
	  "{\"payload\":{\"tag\":\"b\",\"n\":null},\"points\":[1,2]}",
	  "{\"operation_id\":6,\"status\":\"completed\"}" },
	{ "payload_overwrite", "/collections/c/points/payload?wait=true",
	  "{\"payload\":{\"only\":true,\"keep\":1},\"filter\":{\"must\":[{\"has_id\":[4]}]}}",
	  "{\"operation_id\":7,\"status\":\"completed\"}" },
	{ "payload_delete", "/collections/c/points/payload/delete?wait=true",
	  "{\"keys\":[\"only\"],\"points\":[4]}", "{\"operation_id\":8,\"status\":\"completed\"}" },
	{ "payload_clear", "/collections/c/points/payload/clear?wait=true", "{\"points\":[9]}",
	  "{\"operation_id\":9,\"status\":\"completed\"}" },
	{ "vectors_update", "/collections/c/points/vectors?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":{\"small\":[3,4]}}]}",
	  "{\"operation_id\":10,\"status\":\"completed\"}" },
	{ "vectors_delete", "/collections/c/points/vectors/delete?wait=true",
	  "{\"points\":[1],\"vector\":[\"\"]}", "{\"operation_id\":11,\"status\":\"completed\"}" },
	{ "points_delete", "/collections/c/points/delete?wait=true", "{\"points\":[8,8,777]}",
	  "{\"operation_id\":12,\"status\":\"completed\"}" },
	{ "points_retrieve", "/collections/c/points",
	  "{\"ids\":[1,2,4,8,9],\"with_payload\":true,\"with_vector\":[\"\",\"small\"]}",
	  "[{\"id\":1,\"payload\":{\"tag\":\"b\"},\"vector\":{\"small\":[3.0,4.0]}},"
	  "{\"id\":2,\"payload\":{\"o\":{\"x\":1,\"y\":[{\"q\":2,\"z\":1}]},\"tag\":\"b\"},\"vector\":[0.0,1.0,0.0,0.0]},"
	  "{\"id\":4,\"payload\":{\"keep\":1},\"vector\":[0.5,0.5,0.5,0.5]},"
	  "{\"id\":9,\"payload\":{},\"vector\":[2.0,2.0,2.0,2.0]}]" },
	{ "points_batch", "/collections/c/points/batch?wait=true",
	  "{\"operations\":[{\"upsert\":{\"points\":[{\"id\":20,\"vector\":[0,0,0,9],\"payload\":{\"a\":1,\"b\":2}}]}},"
	  "{\"set_payload\":{\"payload\":{\"c\":3},\"points\":[20]}},{\"delete_payload\":{\"keys\":[\"a\"],\"points\":[20]}},"
	  "{\"update_vectors\":{\"points\":[{\"id\":20,\"vector\":{\"small\":[1,1]}}]}},"
	  "{\"delete_vectors\":{\"vector\":[\"\"],\"points\":[20]}},"
	  "{\"overwrite_payload\":{\"payload\":{\"d\":4},\"points\":[9]}},"
	  "{\"clear_payload\":{\"filter\":{\"must\":{\"has_id\":[4]}}}},{\"delete\":{\"points\":[2]}}]}",
	  "[{\"operation_id\":13,\"status\":\"completed\"},{\"operation_id\":14,\"status\":\"completed\"},"
	  "{\"operation_id\":15,\"status\":\"completed\"},{\"operation_id\":16,\"status\":\"completed\"},"
	  "{\"operation_id\":17,\"status\":\"completed\"},{\"operation_id\":18,\"status\":\"completed\"},"
	  "{\"operation_id\":19,\"status\":\"completed\"},{\"operation_id\":20,\"status\":\"completed\"}]" },
	{ "points_scroll", "/collections/c/points/scroll", "{\"with_vector\":true}",
	  "{\"points\":[{\"id\":1,\"payload\":{\"tag\":\"b\"},\"vector\":{\"small\":[3.0,4.0]}},"
	  "{\"id\":4,\"payload\":{},\"vector\":[0.5,0.5,0.5,0.5]},"
	  "{\"id\":9,\"payload\":{\"d\":4},\"vector\":[2.0,2.0,2.0,2.0]},"
	  "{\"id\":20,\"payload\":{\"b\":2,\"c\":3},\"vector\":{\"small\":[1.0,1.0]}},"
	  "{\"id\":\"5c56c793-69f3-4fbf-87e6-c4bf54c28c26\",\"payload\":{},"
	  "\"vector\":{\"text\":{\"indices\":[3,7],\"values\":[2.0,0.5]}}}],\"next_page_offset\":null}" },
	{ "index_create", "/collections/c/index?wait=true",
	  "{\"field_name\":\"tag\",\"field_schema\":{\"type\":\"keyword\",\"is_tenant\":true}}",
	  "{\"operation_id\":21,\"status\":\"completed\"}" },
	{ "index_create", "/collections/c/index?wait=true",
	  "{\"field_name\":\"b\",\"field_schema\":\"integer\"}",
	  "{\"operation_id\":22,\"status\":\"completed\"}" },
	{ "collection_update", "/collections/c",
	  "{\"hnsw_config\":{\"m\":24},\"optimizers_config\":{\"indexing_threshold\":0},\"params\":{\"replication_factor\":2},"
	  "\"vectors\":{\"small\":{\"hnsw_config\":{\"ef_construct\":50},\"on_disk\":true}},\"metadata\":{\"b\":\"x\"},"
	  "\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"always_ram\":true}}}",
	  "true" },
	{ "collection_get", "/collections/c", NULL,
	  "{\"status\":\"green\",\"optimizer_status\":\"ok\",\"indexed_vectors_count\":1,\"points_count\":5,"
	  "\"segments_count\":4,\"config\":{\"params\":{\"vectors\":{\"\":{\"size\":4,\"distance\":\"Dot\"},"
	  "\"small\":{\"size\":2,\"distance\":\"Euclid\",\"hnsw_config\":{\"ef_construct\":50},\"on_disk\":true}},"
	  "\"shard_number\":3,\"replication_factor\":2,\"write_consistency_factor\":1,\"on_disk_payload\":true,"
	  "\"sparse_vectors\":{\"text\":{}}},\"hnsw_config\":{\"m\":24,\"ef_construct\":100,\"full_scan_threshold\":10000,"
	  "\"max_indexing_threads\":0,\"on_disk\":false},\"optimizer_config\":{\"deleted_threshold\":0.2,"
	  "\"vacuum_min_vector_number\":1000,\"default_segment_number\":0,\"indexing_threshold\":0,\"flush_interval_sec\":5},"
	  "\"wal_config\":{\"wal_capacity_mb\":32,\"wal_segments_ahead\":0,\"wal_retain_closed\":1},"
	  "\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"always_ram\":true}},\"metadata\":{\"a\":1,\"b\":\"x\"}},"
	  "\"payload_schema\":{\"tag\":{\"data_type\":\"keyword\",\"params\":{\"type\":\"keyword\",\"is_tenant\":true},"
	  "\"points\":1},\"b\":{\"data_type\":\"integer\",\"points\":1}}}" },
	{ "index_delete", "/collections/c/index/tag?wait=true", NULL,
	  "{\"operation_id\":24,\"status\":\"completed\"}" },
	{ "index_delete", "/collections/c/index/tag?wait=true", NULL,
	  "{\"operation_id\":25,\"status\":\"completed\"}" },
	{ "collection_cluster", "/collections/c/cluster", NULL,
	  "{\"peer_id\":7,\"shard_count\":3,\"local_shards\":[{\"shard_id\":0,\"points_count\":2,\"state\":\"Active\"},"
	  "{\"shard_id\":1,\"points_count\":1,\"state\":\"Active\"},{\"shard_id\":2,\"points_count\":2,\"state\":\"Active\"}],"
	  "\"remote_shards\":[],\"shard_transfers\":[]}" },
	{ "aliases", "/aliases", NULL, "{\"aliases\":[]}" },
	{ "collection_aliases", "/collections/c/aliases", NULL, "{\"aliases\":[]}" },
	{ "aliases_update", "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"x\"}},"
	  "{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"w\"}},"
	  "{\"rename_alias\":{\"old_alias_name\":\"x\",\"new_alias_name\":\"v\"}},"
	  "{\"delete_alias\":{\"alias_name\":\"none\"}}]}",
	  "true" },
	{ "aliases", "/aliases", NULL,
	  "{\"aliases\":[{\"alias_name\":\"v\",\"collection_name\":\"c\"},"
	  "{\"alias_name\":\"w\",\"collection_name\":\"c\"}]}" },
	{ "collection_aliases", "/collections/c/aliases", NULL,
	  "{\"aliases\":[{\"alias_name\":\"v\",\"collection_name\":\"c\"},"
	  "{\"alias_name\":\"w\",\"collection_name\":\"c\"}]}" },
	{ "collection_exists", "/collections/v/exists", NULL, "{\"exists\":true}" },
	{ "points_count", "/collections/v/points/count", "{}", "{\"count\":5}" },
	{ "collection_delete", "/collections/v", NULL, "false" },
	/* Conditions, and changes inside payloads. */
	{ "points_upsert", "/collections/c/points?wait=true",
	  "{\"update_mode\":\"insert_only\",\"points\":[{\"id\":1,\"vector\":[0,0,0,0],\"payload\":{\"new\":1}},"
	  "{\"id\":30,\"vector\":[1,1,1,1],\"payload\":{\"new\":1,\"o\":{\"x\":1,\"y\":2},\"l\":[{\"a\":1},{\"a\":2}]}}]}",
	  "{\"operation_id\":27,\"status\":\"completed\"}" },
	{ "points_upsert", "/collections/c/points?wait=true",
	  "{\"update_mode\":\"update_only\",\"update_filter\":{\"must\":{\"key\":\"tag\",\"match\":{\"value\":\"b\"}}},"
	  "\"points\":[{\"id\":1,\"vector\":[0,0,0,1],\"payload\":{\"tag\":\"c\"}},{\"id\":30,\"vector\":[2,2,2,2]},"
	  "{\"id\":31,\"vector\":[2,2,2,2]}]}",
	  "{\"operation_id\":28,\"status\":\"completed\"}" },
	{ "vectors_update", "/collections/c/points/vectors?wait=true",
	  "{\"update_filter\":{\"must\":{\"has_vector\":\"small\"}},\"points\":[{\"id\":1,\"vector\":[9,9,9,9]},"
	  "{\"id\":20,\"vector\":[7,7,7,7]}]}",
	  "{\"operation_id\":29,\"status\":\"completed\"}" },
	{ "payload_set", "/collections/c/points/payload?wait=true",
	  "{\"key\":\"o.z\",\"payload\":{\"deep\":true},\"points\":[30,1]}",
	  "{\"operation_id\":30,\"status\":\"completed\"}" },
	{ "payload_set", "/collections/c/points/payload?wait=true",
	  "{\"key\":\"l[1]\",\"payload\":{\"b\":3},\"filter\":{\"must\":{\"key\":\"l[].a\",\"match\":{\"value\":2}}}}",
	  "{\"operation_id\":31,\"status\":\"completed\"}" },
	{ "payload_delete", "/collections/c/points/payload/delete?wait=true",
	  "{\"keys\":[\"o.x\",\"l[].a\",\"new\"],\"points\":[30]}", "{\"operation_id\":32,\"status\":\"completed\"}" },
	{ "points_batch", "/collections/c/points/batch?wait=true",
	  "{\"operations\":[{\"set_payload\":{\"payload\":{\"q\":1},\"points\":[30],\"key\":\"o.z\"}},"
	  "{\"upsert\":{\"points\":[{\"id\":30,\"vector\":[3,3,3,3]}],\"update_mode\":\"insert_only\"}},"
	  "{\"update_vectors\":{\"points\":[{\"id\":30,\"vector\":[5,5,5,5]}],"
	  "\"update_filter\":{\"must\":{\"key\":\"o.z.q\",\"match\":{\"value\":1}}}}}]}",
	  "[{\"operation_id\":33,\"status\":\"completed\"},{\"operation_id\":33,\"status\":\"completed\"},"
	  "{\"operation_id\":34,\"status\":\"completed\"}]" },
	{ "points_retrieve", "/collections/c/points",
	  "{\"ids\":[1,20,30,31],\"with_payload\":true,\"with_vector\":true}",
	  "[{\"id\":1,\"payload\":{\"o\":{\"z\":{\"deep\":true}},\"tag\":\"c\"},\"vector\":[0.0,0.0,0.0,1.0]},"
	  "{\"id\":20,\"payload\":{\"b\":2,\"c\":3},\"vector\":{\"\":[7.0,7.0,7.0,7.0],\"small\":[1.0,1.0]}},"
	  "{\"id\":30,\"payload\":{\"l\":[{},{\"b\":3}],\"o\":{\"y\":2,\"z\":{\"deep\":true,\"q\":1}}},"
	  "\"vector\":[5.0,5.0,5.0,5.0]}]" },
	/* Types of components. */
	{ "collection_create", "/collections/d",
	  "{\"vectors\":{\"b\":{\"size\":2,\"distance\":\"Cosine\",\"datatype\":\"uint8\"},"
	  "\"h\":{\"size\":2,\"distance\":\"Euclid\",\"datatype\":\"float16\"},"
	  "\"f\":{\"size\":2,\"distance\":\"Dot\",\"datatype\":\"float32\"}},"
	  "\"sparse_vectors\":{\"s\":{\"index\":{\"datatype\":\"float16\"}}}}",
	  "true" },
	{ "points_upsert", "/collections/d/points?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":{\"b\":[30.9,40],\"h\":[2049,0.1],\"f\":[0.1,0.2]}},"
	  "{\"id\":2,\"vector\":{\"b\":[-5,999],\"h\":[70000,0]}}]}",
	  NULL },
	{ "points_retrieve", "/collections/d/points", "{\"ids\":[1,2],\"with_vector\":true}",
	  "[{\"id\":1,\"vector\":{\"b\":[30.0,40.0],\"f\":[0.1,0.2],\"h\":[2048.0,0.099975586]}},"
	  "{\"id\":2,\"vector\":{\"b\":[0.0,255.0],\"h\":[65504.0,0.0]}}]" },
	{ "points_query", "/collections/d/points/query", "{\"query\":[3,4],\"using\":\"b\",\"limit\":2}",
	  "{\"points\":[{\"id\":1,\"version\":36,\"score\":1.0},{\"id\":2,\"version\":36,\"score\":0.8}]}" },
	{ "points_query", "/collections/d/points/query", "{\"query\":[2049,0],\"using\":\"h\",\"limit\":1,\"score_threshold\":1}",
	  NULL },
	{ "collection_get", "/collections/d", NULL, NULL },
	{ "collection_delete", "/collections/d", NULL, "true" },
	/* What is rare weighs more, once it is asked for. */
	{ "collection_create", "/collections/i", "{\"sparse_vectors\":{\"s\":{}},\"shard_number\":2}", "true" },
	{ "points_upsert", "/collections/i/points?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":{\"s\":{\"indices\":[1,2],\"values\":[1,1]}}},"
	  "{\"id\":2,\"vector\":{\"s\":{\"indices\":[1],\"values\":[1]}}},"
	  "{\"id\":3,\"vector\":{\"s\":{\"indices\":[1],\"values\":[2]}}},{\"id\":4,\"vector\":{}}]}",
	  NULL },
	{ "points_query", "/collections/i/points/query", "{\"query\":{\"indices\":[1,2],\"values\":[1,1]},\"using\":\"s\",\"limit\":1}",
	  "{\"points\":[{\"id\":1,\"version\":39,\"score\":2.0}]}" },
	{ "collection_update", "/collections/i", "{\"sparse_vectors\":{\"s\":{\"modifier\":\"idf\"}}}", "true" },
	/* ln((3 - 3 + 0.5) / (3 + 0.5) + 1) and ln((3 - 1 + 0.5) / (1 + 0.5) + 1) */
	{ "points_query", "/collections/i/points/query", "{\"query\":{\"indices\":[1,2],\"values\":[1,1]},\"using\":\"s\"}",
	  "{\"points\":[{\"id\":1,\"version\":39,\"score\":1.1143606},{\"id\":3,\"version\":39,\"score\":0.26706278},"
	  "{\"id\":2,\"version\":39,\"score\":0.13353139}]}" },
	{ "collection_get", "/collections/i", NULL, NULL },
	{ "collection_delete", "/collections/i", NULL, "true" },
	/* Multivectors. */
	{ "collection_create", "/collections/m",
	  "{\"vectors\":{\"size\":2,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"max_sim\"}}}", "true" },
	{ "points_upsert", "/collections/m/points?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":[[1,0],[0,2]]},{\"id\":2,\"vector\":[3,3]},{\"id\":3,\"vector\":[[1,1]]}]}", NULL },
	{ "vectors_update", "/collections/m/points/vectors?wait=true",
	  "{\"points\":[{\"id\":3,\"vector\":[[0.5,0.5],[0,0],[0,0]]}]}", NULL },
	{ "points_retrieve", "/collections/m/points", "{\"ids\":[1,2,3],\"with_vector\":true}",
	  "[{\"id\":1,\"vector\":[[1.0,0.0],[0.0,2.0]]},{\"id\":2,\"vector\":[[3.0,3.0]]},"
	  "{\"id\":3,\"vector\":[[0.5,0.5],[0.0,0.0],[0.0,0.0]]}]" },
	{ "points_query", "/collections/m/points/query", "{\"query\":[[1,0],[0,1]]}",
	  "{\"points\":[{\"id\":2,\"version\":43,\"score\":6.0},{\"id\":1,\"version\":43,\"score\":3.0},"
	  "{\"id\":3,\"version\":44,\"score\":1.0}]}" },
	{ "points_query", "/collections/m/points/query", "{\"query\":[0,1],\"limit\":1,\"params\":{\"exact\":true}}",
	  "{\"points\":[{\"id\":2,\"version\":43,\"score\":3.0}]}" },
	{ "points_query", "/collections/m/points/query", "{\"query\":1,\"limit\":1}",
	  "{\"points\":[{\"id\":2,\"version\":43,\"score\":9.0}]}" },
	{ "collection_get", "/collections/m", NULL, NULL },
	{ "collection_delete", "/collections/m", NULL, "true" },
	{ "collection_create", "/collections/t",
	  "{\"vectors\":{\"size\":1,\"distance\":\"Dot\"},\"shard_number\":2}",
	  "true" },
	{ "points_upsert", "/collections/t/points?wait=true",
	  "{\"points\":[{\"id\":1,\"vector\":[1],\"payload\":{\"t\":\"The quick brown Fox\",\"g\":{\"lon\":13.4,\"lat\":52.5},\"d\":\"2024-02-29T12:00:00Z\",\"u\":\"550e8400-e29b-41d4-a716-446655440000\",\"n\":7,\"c\":[\"red\",\"blue\"],\"f\":true}},{\"id\":2,\"vector\":[1],\"payload\":{\"t\":[\"brown bread\",\"a fox\"],\"g\":{\"lon\":2.35,\"lat\":48.85},\"d\":\"2024-03-01\",\"n\":[7,8],\"c\":\"red\",\"f\":[true,false]}},{\"id\":3,\"vector\":[1],\"payload\":{\"t\":\"foxes\",\"g\":[],\"d\":null,\"n\":8.5,\"c\":[\"green\"],\"p\":[{\"a\":1,\"b\":2},{\"a\":3}]}}]}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"t\",\"field_schema\":{\"type\":\"text\",\"tokenizer\":\"word\",\"min_token_len\":2,\"lowercase\":true,\"stopwords\":{\"languages\":[\"english\"],\"custom\":[\"bread\"]},\"phrase_matching\":true,\"stemmer\":{\"type\":\"snowball\",\"language\":\"english\"}}}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"g\",\"field_schema\":\"geo\"}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"d\",\"field_schema\":{\"type\":\"datetime\",\"is_principal\":true,\"on_disk\":true}}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"u\",\"field_schema\":{\"type\":\"uuid\",\"is_tenant\":true}}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"n\",\"field_schema\":{\"type\":\"integer\",\"lookup\":true,\"range\":false}}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"c\",\"field_schema\":{\"type\":\"keyword\",\"prefix\":true}}",
	  NULL },
	{ "index_create", "/collections/t/index?wait=true",
	  "{\"field_name\":\"f\",\"field_schema\":\"bool\"}",
	  NULL },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"t\",\"match\":{\"text\":\"FOXES\"}}]}}",
	  "{\"count\":3}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"t\",\"match\":{\"text\":\"fox brown the\"}}]}}",
	  "{\"count\":2}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"t\",\"match\":{\"text_any\":\"bread foxy\"}}]}}",
	  "{\"count\":0}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"t\",\"match\":{\"text_any\":\"quick wolf\"}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"t\",\"match\":{\"phrase\":\"quick brown\"}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"c\",\"match\":{\"prefix\":\"r\"}}]}}",
	  "{\"count\":2}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"d\",\"range\":{\"gte\":\"2024-02-29\",\"lt\":\"2024-03-01\"}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"g\",\"geo_radius\":{\"center\":{\"lon\":2.3,\"lat\":48.9},\"radius\":10000}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"g\",\"geo_bounding_box\":{\"top_left\":{\"lon\":0,\"lat\":60},\"bottom_right\":{\"lon\":20,\"lat\":40}}}]}}",
	  "{\"count\":2}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"c\",\"values_count\":{\"gte\":2}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"nested\":{\"key\":\"p\",\"filter\":{\"must\":[{\"key\":\"a\",\"match\":{\"value\":3}}],\"must_not\":[{\"key\":\"b\",\"match\":{\"value\":2}}]}}}]}}",
	  "{\"count\":1}" },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"slice\":{\"total\":1,\"index\":0}}]}}",
	  "{\"count\":3}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"c\"}",
	  "{\"hits\":[{\"value\":\"red\",\"count\":2},{\"value\":\"blue\",\"count\":1},{\"value\":\"green\",\"count\":1}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"c\",\"limit\":1,\"exact\":true}",
	  "{\"hits\":[{\"value\":\"red\",\"count\":2}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"c\",\"filter\":{\"must_not\":[{\"has_id\":[1]}]}}",
	  "{\"hits\":[{\"value\":\"green\",\"count\":1},{\"value\":\"red\",\"count\":1}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"n\"}",
	  "{\"hits\":[{\"value\":7,\"count\":2},{\"value\":8,\"count\":1}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"f\"}",
	  "{\"hits\":[{\"value\":true,\"count\":2},{\"value\":false,\"count\":1}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"u\"}",
	  "{\"hits\":[{\"value\":\"550e8400-e29b-41d4-a716-446655440000\",\"count\":1}]}" },
	{ "facet", "/collections/t/facet",
	  "{\"key\":\"c\",\"filter\":{\"must\":[{\"has_id\":[77]}]}}",
	  "{\"hits\":[]}" },
	/* A condition of a write means the same words as one of a read. */
	{ "points_upsert", "/collections/t/points?wait=true",
	  "{\"update_filter\":{\"must\":{\"key\":\"t\",\"match\":{\"text\":\"FOX QUICK\"}}},"
	  "\"points\":[{\"id\":1,\"vector\":[2],\"payload\":{\"new\":1}},{\"id\":2,\"vector\":[2],\"payload\":{\"new\":1}}]}",
	  NULL },
	{ "points_count", "/collections/t/points/count",
	  "{\"filter\":{\"must\":[{\"key\":\"new\",\"match\":{\"value\":1}}]}}", "{\"count\":1}" },
	{ "collection_get", "/collections/t",
	  NULL,
	  NULL },
	{ "isthmus_status", "/isthmus/status", NULL, NULL },
	{ "collection_delete", "/collections/c", NULL, "true" },
	{ "collection_exists", "/collections/c/exists", NULL, "{\"exists\":false}" },
};

/* The same request as a protobuf message. */
static void to_proto(const struct step *s, const struct method *m, struct buf *out)
{
	struct request *r;
	struct method_match match;
	char path[1024];
	struct fault f = { 0 };

	if (!s->path)
		return;
	ck_assert_int_eq(request_new(one.loop, SIZE_MAX, &r), ERR_NONE);
	const char *mark = strchr(s->path, '?');
	snprintf(path, sizeof(path), "%.*s", (int)(mark ? mark - s->path : (long)strlen(s->path)),
		 s->path);
	r->query = text_of(mark ? mark + 1 : "");
	buf_append_cstr(&r->body, s->body ? s->body : "");
	ck_assert_int_eq(method_find_rest(m->verb, text_of(path), &r->arena, &match, &f), ERR_NONE);
	ck_assert_ptr_eq(match.method, m);
	struct call c = { .api = &one.api, .request = r, .method = m, .arena = &r->arena };
	ck_assert_msg(rest_decode(&c, &match) == ERR_NONE, "%s: %s", s->method, c.fault.text);
	message_to_proto(m->in, c.in, out);
	ck_assert_int_eq(buf_err(out), ERR_NONE);
	request_free(r);
}

/* What REST answers, without the envelope. */
static void rest_result(const struct step *s, const struct method *m, struct exchange *x,
			struct buf *out)
{
	CLEANUP(arena_release) struct arena a;
	struct str key;

	arena_init(&a, SIZE_MAX);
	world_rest(&one, m->verb, s->path, s->body, x);
	ck_assert_msg(x->status == 200, "%s: %d %s", s->method, x->status, exchange_body(x));
	enum message_shape shape = message_shape(m->out);
	if (shape != SHAPE_OBJECT && shape != SHAPE_UNION && shape != SHAPE_JSON_RESULT) {
		buf_append_cstr(out, exchange_body(x));
		return;
	}
	struct json_reader r = json_reader_of(text_of(exchange_body(x)), &a);
	ck_assert(json_enter_object(&r));
	while (json_next_key(&r, &key)) {
		struct str value = json_raw(&r);
		if (key.len == 6 && memcmp(key.data, "result", 6) == 0)
			buf_append_str(out, value);
	}
	ck_assert_int_eq(json_end(&r, NULL), ERR_NONE);
}

/* What gRPC answers, as REST would write it. */
static void grpc_result(const struct step *s, const struct method *m, struct exchange *x,
			struct buf *out)
{
	CLEANUP(buf_release) struct buf message = BUF_INIT(SIZE_MAX);
	CLEANUP(arena_release) struct arena a;
	struct json_writer w = json_writer_to(out);
	char path[256];
	struct fault f = { 0 };

	arena_init(&a, SIZE_MAX);
	to_proto(s, m, &message);
	snprintf(path, sizeof(path), "/%s", m->grpc);
	world_grpc(&two, path, buf_bytes(&message), x);
	ck_assert_msg(x->grpc_status == 0, "%s: %d %s", s->method, x->grpc_status, x->grpc_message);
	ck_assert_int_eq(x->status, 200);
	ck_assert_uint_ge(x->body_out.len, 6);
	void *reply = arena_alloc(&a, message_size(m->out));
	struct bytes body = { x->body_out.data + 5, x->body_out.len - 6 };
	ck_assert_msg(message_from_proto(m->out, body, &a, reply, &f) == ERR_NONE, "%s: %s",
		      s->method, f.text);
	message_to_json(m->out, reply, &w);
}

/* Protobuf cannot tell an empty payload from none. */
static void forget_empty(char *text)
{
	static const char empty[] = ",\"payload\":{}";
	char *at;

	while ((at = strstr(text, empty)))
		memmove(at, at + sizeof(empty) - 1, strlen(at + sizeof(empty) - 1) + 1);
}

static void run_both(const struct step *s, const struct method *m)
{
	CLEANUP(buf_release) struct buf by_rest = BUF_INIT(SIZE_MAX);
	CLEANUP(buf_release) struct buf by_grpc = BUF_INIT(SIZE_MAX);
	struct exchange x = { 0 };
	struct exchange y = { 0 };

	if (m->path) {
		rest_result(s, m, &x, &by_rest);
		buf_append_byte(&by_rest, 0);
		if (s->result)
			ck_assert_msg(strcmp((char *)by_rest.data, s->result) == 0,
				      "%s %s:\n got %s\nwant %s", s->method, s->body ? s->body : "",
				      (char *)by_rest.data, s->result);
	}
	if (m->grpc) {
		grpc_result(s, m, &y, &by_grpc);
		buf_append_byte(&by_grpc, 0);
	} else {
		world_rest(&two, m->verb, s->path, s->body, &y);
	}
	if (m->path && m->grpc) {
		forget_empty((char *)by_rest.data);
		ck_assert_msg(strcmp((char *)by_rest.data, (char *)by_grpc.data) == 0,
			      "%s %s:\nrest %s\ngrpc %s", s->method, s->body ? s->body : "",
			      (char *)by_rest.data, (char *)by_grpc.data);
	}
	exchange_release(&x);
	exchange_release(&y);
}

START_TEST(every_method_answers_the_same_by_rest_and_grpc)
{
	uint32_t count;
	const struct method *m = method_table(&count);

	world_open(&two, &(struct world_options){ 0 });
	for (uint32_t i = 0; i < count; i++) {
		/* What is ours has no gRPC form to compare with; tests/regions/ calls it on a fleet. */
		bool there = !m[i].handler || (m[i].path && strncmp(m[i].path, "/isthmus/", 9) == 0);
		for (size_t k = 0; k < LEN(steps); k++)
			there |= strcmp(steps[k].method, m[i].name) == 0;
		ck_assert_msg(there, "no step calls %s", m[i].name);
	}
	for (size_t i = 0; i < LEN(steps); i++)
		run_both(&steps[i], world_method(steps[i].method));
	world_close(&two);
}
END_TEST

/* --- what is refused --- */

#define DEEP_16 "[[[[[[[[[[[[[[[["
#define DEEP_64 DEEP_16 DEEP_16 DEEP_16 DEEP_16

static const struct {
	enum http_verb verb;
	const char *path, *body;
	int status;
	const char *words; /* within the body */
} refused[] = {
	{ VERB_GET, "/nowhere", NULL, 404, "" },
	{ VERB_DELETE, "/healthz", NULL, 405, "" },
	{ VERB_GET, "/collections/%zz", NULL, 400, "" },
	{ VERB_GET, "/collections/none", NULL, 404, "Not found: Collection `none` doesn't exist!" },
	{ VERB_GET, "/collections/none/cluster", NULL, 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_GET, "/collections/none/aliases", NULL, 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_PATCH, "/collections/none", "{}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_PUT, "/collections/none/points", "{\"points\":[]}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/none/points", "{\"ids\":[1]}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/none/points/scroll", "{}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/none/points/count", "{}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/none/points/query", "{\"query\":[1]}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/none/points/search", "{\"vector\":[1],\"limit\":1}", 404,
	  "doesn't exist!" },
	{ VERB_POST, "/collections/none/points/delete", "{\"points\":[1]}", 404, "doesn't exist!" },
	{ VERB_PUT, "/collections/none/index",
	  "{\"field_name\":\"a\",\"field_schema\":\"keyword\"}", 404, "doesn't exist!" },
	{ VERB_PUT, C, "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 409,
	  "Wrong input: Collection `c` already exists!" },
	{ VERB_PUT, "/collections/d", "{\"vectors\":{\"size\":0,\"distance\":\"Dot\"}}", 422,
	  "Validation error" },
	{ VERB_PUT, "/collections/d", "{\"vectors\":{\"size\":65537,\"distance\":\"Dot\"}}", 422,
	  "Validation error" },
	{ VERB_PUT, "/collections/d", "{\"vectors\":{\"size\":4,\"distance\":\"Far\"}}", 400,
	  "Format error in JSON body" },
	{ VERB_PUT, "/collections/d", "{\"vectors\":{\"a/b\":{\"size\":4,\"distance\":\"Dot\"}}}",
	  422, "vector_name" },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Dot\"}},\"sparse_vectors\":{\"a\":{}}}",
	  400, "Vector name `a` is given twice" },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"hnsw_config\":{\"m\":129}}", 422,
	  "hnsw_config.m" },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"hnsw_config\":{\"ef_construct\":1}}",
	  422, "hnsw_config.ef_construct" },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"shard_number\":257}", 422,
	  "shard_number" },
	{ VERB_PUT, "/collections/a%3Ab", "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}", 422,
	  "collection_name" },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},\"strict_mode_config\":{\"enabled\":true,\"read_rate_limit\":5}}",
	  501, "Not implemented: strict mode's read_rate_limit" },
	{ VERB_PUT, "/collections/d?timeout=0", "{\"vectors\":{\"size\":4,\"distance\":\"Dot\"}}",
	  422, "timeout: value 0 invalid" },
	{ VERB_PATCH, C, "{\"vectors\":{\"nope\":{\"on_disk\":true}}}", 400,
	  "Wrong input: Not existing vector name error: nope" },
	{ VERB_PATCH, C, "{\"params\":{\"read_fan_out_factor\":2}}", 501, "read_fan_out_factor" },
	{ VERB_PUT, P, "{\"points\":[", 400, "Format error in JSON body" },
	{ VERB_PUT, P, "", 400, "Format error in JSON body" },
	{ VERB_PUT, P, "{}", 400, "Format error in JSON body" },
	{ VERB_PUT, P, "{\"points\":[]} x", 400, "Format error in JSON body" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[1,2,3]}]}", 400,
	  "Wrong input: Vector dimension error: expected dim: 4, got 3" },
	{ VERB_PUT, P "?wait=true", "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4,5]}]}", 400,
	  "Wrong input: Vector dimension error: expected dim: 4, got 5" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[[1,2,3,4]]}]}", 400,
	  "Wrong input: Conversion between multi and regular vectors failed" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[[1,2],[3]]}]}", 422,
	  "points[0].vector: all vectors must have the same dimension" },
	{ VERB_POST, P "/query", "{\"query\":[[1,2,3,4]]}", 400,
	  "Wrong input: Conversion between multi and regular vectors failed" },
	{ VERB_POST, P "/query", "{\"prefetch\":[{\"query\":[1,0,0,0]}]}", 400,
	  "A query is needed to merge the prefetches. Can't have prefetches without defining a query." },
	{ VERB_POST, P "/query", "{\"score_threshold\":1}", 400,
	  "A query is needed to use the score_threshold." },
	{ VERB_POST, P "/query", "{\"query\":{\"order_by\":\"n\"},\"score_threshold\":1}", 400,
	  "Can't use score_threshold with an order_by query." },
	{ VERB_POST, P "/query", "{\"query\":{\"order_by\":\"none\"}}", 400,
	  "No range index for `order_by` key: `none`." },
	{ VERB_POST, P "/query", "{\"prefetch\":[{\"query\":[1,0,0,0]}],\"query\":{\"fusion\":\"rrf\"},\"using\":\"a\"}", 400,
	  "Fusion queries cannot be combined with the 'using' field." },
	{ VERB_POST, P "/query", "{\"prefetch\":[{\"query\":[1,0,0,0]}],\"query\":{\"rrf\":{\"weights\":[1,2]}}}", 400,
	  "got 2, expected 1" },
	{ VERB_POST, P "/query", "{\"query\":{\"recommend\":{}}}", 400,
	  "Positive vectors should not be empty with `average` strategy" },
	{ VERB_POST, P "/query", "{\"query\":{\"recommend\":{\"strategy\":\"best_score\"}}}", 400,
	  "At least one positive or negative vector ID required with this strategy" },
	{ VERB_POST, P "/query", "{\"query\":777}", 404,
	  "No point with id 777 found" },
	{ VERB_POST, P "/query", "{\"query\":1,\"lookup_from\":{\"collection\":\"none\"}}", 404,
	  "doesn't exist!" },
	{ VERB_POST, P "/query", "{\"query\":{\"fusion\":\"sum\"}}", 400,
	  "Format error in JSON body" },
	{ VERB_POST, P "/query", "{\"query\":{\"nearest\":[1,0,0,0],\"mmr\":{\"diversity\":2}}}", 422,
	  "diversity" },
	{ VERB_POST, P "/query", "{\"prefetch\":[{\"query\":[1,0,0,0]}],\"query\":{\"formula\":{\"log2\":1}}}", 400,
	  "Format error in JSON body" },
	{ VERB_POST, P "/query/groups", "{\"query\":[1,0,0,0]}", 400,
	  "Format error in JSON body" },
	{ VERB_POST, P "/recommend", "{\"positive\":[777],\"limit\":1}", 404,
	  "No point with id 777 found" },
	{ VERB_POST, P "/search/matrix/pairs", "{\"using\":\"none\"}", 400,
	  "Not existing vector name error: none" },
	{ VERB_POST, P "/scroll", "{\"order_by\":\"n\",\"offset\":1}", 400,
	  "Cannot use an `offset` when using `order_by`." },
	{ VERB_PUT, "/collections/d",
	  "{\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"multivector_config\":{\"comparator\":\"sum\"}}}", 400,
	  "unknown variant `sum`" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[1,2,3,NaN]}]}", 400,
	  "Format error in JSON body" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[1,2,3,1e39]}]}", 400,
	  "Format error in JSON body" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":{\"nope\":[1]}}]}", 400,
	  "Wrong input: Not existing vector name error: nope" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":-1,\"vector\":[1,2,3,4]}]}", 400,
	  "is not a valid point ID" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1.5,\"vector\":[1,2,3,4]}]}", 400,
	  "is not a valid point ID" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":\"x\",\"vector\":[1,2,3,4]}]}", 400,
	  "is not a valid point ID" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":18446744073709551616,\"vector\":[1,2,3,4]}]}", 400,
	  "is not a valid point ID" },
	{ VERB_PUT, P,
	  "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":{\"a\":" DEEP_64 "]}}]}", 400,
	  "" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[1,2,3,4],\"payload\":[]}]}", 400,
	  "Format error in JSON body" },
	{ VERB_GET, P "/x", NULL, 400, "Can not recognize \\\"x\\\" as point id" },
	{ VERB_GET, P "/5", NULL, 404, "Not found: Point with id 5 does not exists!" },
	{ VERB_POST, P "/payload", "{\"payload\":{\"a\":1},\"points\":[42]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_PUT, P "/payload", "{\"payload\":{\"a\":1},\"points\":[42]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_POST, P "/payload/delete", "{\"keys\":[\"a\"],\"points\":[42]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_POST, P "/payload/clear", "{\"points\":[42]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_PUT, P "/vectors", "{\"points\":[{\"id\":42,\"vector\":[1,2,3,4]}]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_POST, P "/vectors/delete", "{\"points\":[42],\"vector\":[\"\"]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_POST, P "/vectors/delete", "{\"points\":[1],\"vector\":[\"nope\"]}", 400,
	  "Not existing vector name error: nope" },
	{ VERB_POST, P "/payload", "{\"payload\":{\"a\":1}}", 400, "No filter or points provided" },
	{ VERB_POST, P "/payload", "{\"payload\":{\"a\":1},\"points\":[1],\"key\":\"x..y\"}", 400,
	  "Wrong input: `x..y` is not a payload path" },
	{ VERB_POST, P "/payload", "{\"payload\":{\"a\":1},\"points\":[42],\"key\":\"x\"}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_PUT, P "/payload", "{\"payload\":{\"a\":1},\"points\":[1],\"key\":\"x\"}", 400,
	  "Bad request: `key` is not possible" },
	{ VERB_POST, P "/payload/delete", "{\"keys\":[\"a.b\"],\"points\":[42]}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_PUT, P, "{\"points\":[],\"update_mode\":\"sometimes\"}", 400, "unknown variant `sometimes`" },
	{ VERB_PUT, P, "{\"points\":[],\"update_filter\":{\"nope\":[]}}", 400, "Format error in JSON body" },
	{ VERB_PUT, P, "{\"points\":[{\"id\":1,\"vector\":[1,2]}],\"update_mode\":\"insert_only\"}", 400,
	  "Wrong input: Vector dimension error: expected dim: 4, got 2" },
	{ VERB_PUT, P "/vectors", "{\"points\":[{\"id\":42,\"vector\":[1,2,3,4]}],\"update_filter\":{}}", 404,
	  "Not found: No point with id 42 found" },
	{ VERB_POST, P "/payload/delete", "{\"keys\":[\"\"],\"points\":[1]}", 400,
	  "Wrong input: " },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3]}", 400,
	  "Wrong input: Vector dimension error: expected dim: 4, got 3" },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3,4],\"using\":\"nope\"}", 400,
	  "Not existing vector name error: nope" },
	{ VERB_POST, P "/query", "{\"query\":42}", 404, "Not found: No point with id 42 found" },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3,4],\"limit\":0}", 422, "limit" },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3,4],\"limit\":10001}", 400,
	  "Bad request: Limit exceeded 10001 > 10000 for \\\"limit\\\"" },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3,4],\"limit\":10000,\"offset\":90001}", 400,
	  "for \\\"offset\\\"" },
	{ VERB_POST, P "/query", "{\"limit\":1,\"score_threshold\":0.5}", 400, "Bad request: " },
	{ VERB_POST, P "/query", "{\"query\":[1,2,3,4],\"with_vector\":[\"nope\"]}", 400,
	  "Not existing vector name error: nope" },
	{ VERB_POST, P "/query?timeout=0", "{\"query\":[1,2,3,4]}", 422,
	  "timeout: value 0 invalid" },
	{ VERB_POST, P "/query?consistency=0", "{\"query\":[1,2,3,4]}", 0, "consistency" },
	{ VERB_POST, P "/search", "{\"vector\":[1,2,3,4]}", 400, "Format error in JSON body" },
	{ VERB_POST, P "/search", "{\"vector\":{\"indices\":[1,1],\"values\":[1,2]},\"limit\":1}",
	  0, "" },
	{ VERB_POST, P "/scroll", "{\"limit\":100001}", 400,
	  "Bad request: Limit exceeded 100001 > 100000" },
	{ VERB_POST, C "/facet", "{\"key\":\"n\"}", 400, "Bad request: No appropriate index for faceting: `n`" },
	{ VERB_POST, C "/facet", "{}", 400, "missing field `key`" },
	{ VERB_POST, C "/facet", "{\"key\":\"a..b\"}", 400, "Wrong input: " },
	{ VERB_POST, C "/facet", "{\"key\":\"n\",\"limit\":0}", 422, "limit" },
	{ VERB_POST, C "/facet", "{\"key\":\"n\",\"limit\":1000000}", 400, "limit" },
	{ VERB_POST, "/collections/none/facet", "{\"key\":\"n\"}", 404, "doesn't exist!" },
	{ VERB_PUT, C "/index",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"text\",\"stemmer\":{\"type\":\"snowball\",\"language\":\"klingon\"}}}",
	  400, "Wrong input: stemmer: Snowball has no language `klingon`" },
	{ VERB_PUT, C "/index",
	  "{\"field_name\":\"a\",\"field_schema\":{\"type\":\"integer\",\"lookup\":false,\"range\":false}}", 422,
	  "can't be both false" },
	{ VERB_POST, P "/scroll", "{\"filter\":{\"nope\":[]}}", 400, "Format error in JSON body" },
	{ VERB_POST, P "/batch", "{\"operations\":[{\"nope\":{}}]}", 400, "" },
	{ VERB_PUT, C "/index", "{\"field_name\":\"a\"}", 501, "Not implemented: " },
	{ VERB_PUT, C "/index", "{\"field_name\":\"a..b\",\"field_schema\":\"keyword\"}", 400,
	  "Wrong input: " },
	{ VERB_POST, "/collections/aliases", "{}", 400, "missing field `actions`" },
	{ VERB_POST, "/collections/aliases", "{\"actions\":[{}]}", 400, "exactly one of the forms of" },
	{ VERB_POST, "/collections/aliases", "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\"}}]}", 400,
	  "missing field `alias_name`" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"x\"},"
	  "\"delete_alias\":{\"alias_name\":\"x\"}}]}",
	  400, "" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":7}}]}", 400,
	  "Format error in JSON body" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"\"}}]}", 422, "alias_name" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a/b\"}}]}", 422,
	  "actions[0]: [alias_name: cannot contain" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"none\",\"alias_name\":\"x\"}}]}", 404,
	  "Not found: Collection `none` doesn't exist!" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"c\"}}]}", 409,
	  "Wrong input: Collection `c` already exists!" },
	{ VERB_POST, "/collections/aliases",
	  "{\"actions\":[{\"rename_alias\":{\"old_alias_name\":\"none\",\"new_alias_name\":\"x\"}}]}", 404,
	  "Not found: Alias none does not exists!" },
};

START_TEST(bad_requests_are_refused_in_the_words_of_qdrant)
{
	struct exchange x;

	world_collection(&one);
	for (size_t i = 0; i < LEN(refused); i++) {
		x = (struct exchange){ 0 };
		world_rest(&one, refused[i].verb, refused[i].path, refused[i].body, &x);
		if (refused[i].status)
			ck_assert_msg(x.status == refused[i].status, "row %zu %s %s: %d %s", i,
				      refused[i].path, refused[i].body ? refused[i].body : "",
				      x.status, exchange_body(&x));
		else
			ck_assert_msg(x.status == 400 || x.status == 422, "row %zu %s: %d", i,
				      refused[i].path, x.status);
		ck_assert_msg(strstr(exchange_body(&x), refused[i].words) != NULL,
			      "row %zu %s %s: %s", i, refused[i].path,
			      refused[i].body ? refused[i].body : "", exchange_body(&x));
		exchange_release(&x);
	}
	/* Nothing half-done. */
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_POST, P "/scroll", "{\"with_vector\":true}", &x);
	ck_assert_ptr_nonnull(
		strstr(exchange_body(&x),
		       "\"points\":[{\"id\":1,\"payload\":{},\"vector\":[1.0,2.0,3.0,4.0]}]"));
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, "/collections", NULL, &x);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "{\"collections\":[{\"name\":\"c\"}]}"));
	exchange_release(&x);
}
END_TEST

START_TEST(bad_grpc_requests_are_refused_with_their_status)
{
	static const float bad[][4] = { { 1, 2, 3, __builtin_nanf("") },
					{ 1, __builtin_inff(), 3, 4 } };
	struct msg_collection_ref ref = { .collection_name = STR("none") };
	struct exchange x = { 0 };

	world_collection(&one);
	world_call(&one, "collection_get", &ref, &x);
	ck_assert_int_eq(x.grpc_status, 5);
	ck_assert_int_eq(x.status, 200);
	ck_assert_str_eq(x.grpc_message, "Not found: Collection `none` doesn't exist!");
	exchange_release(&x);
	for (size_t i = 0; i < LEN(bad); i++) {
		struct named_vector v = {
			.vector = { .kind = VECTOR_DENSE, .count = 4, .values = bad[i] }
		};
		struct msg_point p = { .id = { .lo = 1 }, .vector = { &v, 1 } };
		struct msg_points_upsert in = { .collection_name = STR("c"), .points = { &p, 1 } };
		world_call(&one, "points_upsert", &in, &x);
		ck_assert_int_eq(x.grpc_status, 3);
		exchange_release(&x);
		struct msg_points_query q = { .collection_name = STR("c"), .limit = 1 };
		struct msg_query form = { .has_nearest = true, .nearest = { .vector = v.vector } };
		q.has_query = true;
		q.query = &form;
		world_call(&one, "points_query", &q, &x);
		ck_assert_int_eq(x.grpc_status, 3);
		exchange_release(&x);
	}
	x = (struct exchange){ 0 };
	world_grpc(&one, "/qdrant.Points/Nothing", body_of(""), &x);
	ck_assert_int_eq(x.grpc_status, 12);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_grpc(&one, "/qdrant.Snapshots/List", body_of(""), &x);
	ck_assert_int_eq(x.grpc_status, 12);
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_grpc(&one, "/qdrant.Collections/Get", body_of("\x0a\x7f"), &x);
	ck_assert_int_eq(x.grpc_status, 3);
	exchange_release(&x);
	struct msg_points_query other = { .collection_name = STR("d"), .limit = 1 };
	struct msg_points_query_batch batch = { .collection_name = STR("c"),
						.searches = { &other, 1 } };
	world_call(&one, "points_query_batch", &batch, &x);
	ck_assert_int_eq(x.grpc_status, 3);
	ck_assert_ptr_nonnull(strstr(x.grpc_message, "Cross collection"));
	exchange_release(&x);
}
END_TEST

START_TEST(a_failed_batch_keeps_what_came_before_the_failure)
{
	struct exchange x = { 0 };

	world_collection(&one);
	world_rest(&one, VERB_POST, P "/batch?wait=true",
		   "{\"operations\":[{\"set_payload\":{\"payload\":{\"a\":1},\"points\":[1]}},"
		   "{\"set_payload\":{\"payload\":{\"a\":2},\"points\":[99]}},"
		   "{\"set_payload\":{\"payload\":{\"a\":3},\"points\":[1]}}]}",
		   &x);
	ck_assert_int_eq(x.status, 404);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "Not found: No point with id 99 found"));
	exchange_release(&x);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_GET, P "/1", NULL, &x);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "\"payload\":{\"a\":1}"));
	exchange_release(&x);
}
END_TEST

START_TEST(ids_win_over_a_filter)
{
	struct exchange x = { 0 };

	world_collection(&one);
	world_ok(&one, VERB_PUT, P "?wait=true", "{\"points\":[{\"id\":2,\"vector\":[1,1,1,1]}]}");
	world_ok(&one, VERB_POST, P "/payload?wait=true",
		 "{\"payload\":{\"a\":1},\"points\":[1],\"filter\":{\"must\":{\"has_id\":[2]}}}");
	world_rest(&one, VERB_POST, P "/scroll", "{}", &x);
	ck_assert_ptr_nonnull(strstr(
		exchange_body(&x), "[{\"id\":1,\"payload\":{\"a\":1}},{\"id\":2,\"payload\":{}}]"));
	exchange_release(&x);
}
END_TEST

START_TEST(batches_and_id_lists_have_bounds)
{
	CLEANUP(buf_release) struct buf b = BUF_INIT(SIZE_MAX);
	struct exchange x = { 0 };

	world_collection(&one);
	buf_append_cstr(&b, "{\"searches\":[");
	for (int i = 0; i <= SEARCH_BATCH_MAX; i++)
		buf_printf(&b, "%s{\"limit\":1}", i ? "," : "");
	buf_append(&b, "]}", 3);
	world_rest(&one, VERB_POST, P "/query/batch", (char *)b.data, &x);
	ck_assert_int_eq(x.status, 400);
	ck_assert_ptr_nonnull(strstr(exchange_body(&x), "Limit exceeded 65 > 64"));
	exchange_release(&x);

	buf_reset(&b);
	buf_append_cstr(&b, "{\"operations\":[");
	for (int i = 0; i <= WRITE_BATCH_MAX; i++)
		buf_printf(&b, "%s{\"delete\":{\"points\":[%d]}}", i ? "," : "", i);
	buf_append(&b, "]}", 3);
	x = (struct exchange){ 0 };
	world_rest(&one, VERB_POST, P "/batch", (char *)b.data, &x);
	ck_assert_int_eq(x.status, 400);
	exchange_release(&x);
	world_ok(&one, VERB_POST, P "/batch", "{\"operations\":[]}");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api");
	TCase *t = tcase_create("api");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, bad_requests_are_refused_in_the_words_of_qdrant);
	tcase_add_test(t, bad_grpc_requests_are_refused_with_their_status);
	tcase_add_test(t, a_failed_batch_keeps_what_came_before_the_failure);
	tcase_add_test(t, ids_win_over_a_filter);
	tcase_add_test(t, batches_and_id_lists_have_bounds);
	tcase_add_test(t, every_method_answers_the_same_by_rest_and_grpc);
	suite_add_tcase(s, t);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
