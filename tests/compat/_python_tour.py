# SPDX-License-Identifier: Apache-2.0
"""The tour of Qdrant's Python client: python _python_tour.py rest|grpc URL GRPC_ADDRESS"""
import math
import sys
import threading
import warnings

import grpc
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

UUID = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26"
PLAIN, NAMED = "plain", "named"

# What the client offers and the server does not have yet: it says so, and nothing else happens.
NOT_BUILT = {
    "list_snapshots": lambda c: c.list_snapshots(PLAIN),
    "create_snapshot": lambda c: c.create_snapshot(PLAIN),
}


def expect(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}:\n  wanted {wanted!r}\n  got    {got!r}")


def near(what, got, wanted):
    if len(got) != len(wanted) or any(not math.isclose(a, b, abs_tol=1e-6) for a, b in zip(got, wanted)):
        raise SystemExit(f"{what}:\n  wanted {wanted!r}\n  got    {got!r}")


def refused(what, call, http, code, words):
    """The error as the client's own type, with its status and the words that people look for."""
    try:
        answer = call()
    except UnexpectedResponse as e:
        status, text = e.status_code, e.content.decode()
        expect(f"{what}: status", status, http)
    except grpc.RpcError as e:
        text = e.details()
        expect(f"{what}: status", e.code(), code)
    else:
        raise SystemExit(f"{what}: is to be refused, but answers {answer!r}")
    if words not in text:
        raise SystemExit(f"{what}: wanted the words {words!r}\n  got {text!r}")


def scored(answer):
    return [(p.id, p.score) for p in answer.points]


def ids(records):
    return [r.id for r in records]


def match(key, value):
    return m.Filter(must=[m.FieldCondition(key=key, match=m.MatchValue(value=value))])


def points():
    return [
        m.PointStruct(id=1, vector=[1.0, 0.0, 0.0, 0.0], payload={"city": "Berlin", "n": 1}),
        m.PointStruct(id=2, vector=[0.0, 1.0, 0.0, 0.0], payload={"city": "London", "n": 2}),
        m.PointStruct(id=3, vector=[2.0, 1.0, 0.0, 0.0],
                      payload={"city": "Berlin", "n": 3, "tags": ["a", "b"], "deep": {"x": 1.5, "none": None}}),
    ]


def connect(transport, url, grpc_address):
    """The client compares versions in a thread of its own, and warns when that fails or it dislikes what it hears."""
    before = set(threading.enumerate())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        client = QdrantClient(url=url, grpc_port=int(grpc_address.rsplit(":", 1)[1]), prefer_grpc=transport == "grpc",
                              timeout=20)
        checks = set(threading.enumerate()) - before
        for thread in checks:
            thread.join(20)
            expect("the version check has ended", thread.is_alive(), False)
    expect("warnings", [str(w.message) for w in said], [])
    expect("version", client.info().version.split(".")[:2], ["1", "18"])
    return client


def collections(c):
    expect("exists before", c.collection_exists(PLAIN), False)
    expect("list before", c.get_collections().collections, [])
    expect("create plain", c.create_collection(
        PLAIN, vectors_config=m.VectorParams(size=4, distance=m.Distance.DOT)), True)
    expect("create named", c.create_collection(
        NAMED,
        vectors_config={"text": m.VectorParams(size=2, distance=m.Distance.COSINE),
                        "image": m.VectorParams(size=2, distance=m.Distance.EUCLID)},
        sparse_vectors_config={"words": m.SparseVectorParams()}), True)
    expect("exists after", c.collection_exists(PLAIN), True)
    expect("list after", sorted(x.name for x in c.get_collections().collections), [NAMED, PLAIN])
    refused("create twice", lambda: c.create_collection(
        PLAIN, vectors_config=m.VectorParams(size=4, distance=m.Distance.DOT)),
            409, grpc.StatusCode.ALREADY_EXISTS, "Collection `plain` already exists!")


def info(c):
    one = c.get_collection(PLAIN)
    expect("status", one.status, m.CollectionStatus.GREEN)
    expect("optimizer", one.optimizer_status, m.OptimizersStatusOneOf.OK)
    expect("points", one.points_count, 0)
    expect("vectors", (one.config.params.vectors.size, one.config.params.vectors.distance), (4, m.Distance.DOT))
    expect("shards", one.config.params.shard_number, 1)
    expect("hnsw", (one.config.hnsw_config.m, one.config.hnsw_config.ef_construct), (16, 100))
    expect("schema", one.payload_schema, {})
    params = c.get_collection(NAMED).config.params
    expect("names", sorted(params.vectors), ["image", "text"])
    expect("distance of text", params.vectors["text"].distance, m.Distance.COSINE)
    expect("sparse names", list(params.sparse_vectors), ["words"])


def upsert(c):
    expect("upsert a list, wait", c.upsert(PLAIN, points(), wait=True).status, m.UpdateStatus.COMPLETED)
    columns = m.Batch(ids=[4, UUID], vectors=[[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]],
                      payloads=[{"city": "Paris", "n": 4, "when": "2026-01-01T10:00:00Z", "at": {"lon": 2.3522, "lat": 48.8566},
                                 "parts": [{"a": 1, "b": 2}, {"a": 3}]},
                                {"city": "Rome", "n": 5, "when": "2026-01-02", "at": [{"lon": 12.4964, "lat": 41.9028}],
                                 "parts": [{"a": 1}, {"b": 2}]}])
    expect("upsert columns, no wait", c.upsert(PLAIN, columns, wait=False).status, m.UpdateStatus.ACKNOWLEDGED)
    expect("upsert named", c.upsert(NAMED, [
        m.PointStruct(id=1, vector={"text": [3.0, 4.0], "image": [0.0, 0.0],
                                    "words": m.SparseVector(indices=[7, 2], values=[0.5, 1.0])}),
        m.PointStruct(id=2, vector={"text": [1.0, 0.0], "image": [3.0, 4.0]}),
        m.PointStruct(id=3, vector={"words": m.SparseVector(indices=[7], values=[4.0])}),
    ], wait=True).status, m.UpdateStatus.COMPLETED)
    # A write that waits stands behind the one that did not, so that from here on all five are visible.
    expect("upsert again", c.upsert(PLAIN, points()[:1], wait=True).status, m.UpdateStatus.COMPLETED)
    expect("count", c.count(PLAIN, exact=True).count, 5)
    c.create_collection("uploaded", vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT))
    c.upload_points("uploaded", (m.PointStruct(id=i, vector=[float(i), 1.0]) for i in range(150)), batch_size=64, wait=True)
    expect("uploaded in batches", c.count("uploaded").count, 150)


def retrieve(c):
    got = c.retrieve(PLAIN, [3, UUID, 99], with_vectors=True)
    expect("ids", ids(got), [3, UUID])
    expect("payload", got[0].payload, {"city": "Berlin", "n": 3, "tags": ["a", "b"], "deep": {"x": 1.5, "none": None}})
    expect("vectors", [r.vector for r in got], [[2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    bare = c.retrieve(PLAIN, [1], with_payload=False)[0]
    expect("bare", (bare.payload or None, bare.vector), (None, None))
    only = c.retrieve(PLAIN, [3], with_payload=["n", "deep.x"])[0]
    expect("only these keys", only.payload, {"n": 3, "deep": {"x": 1.5}})
    rest = c.retrieve(PLAIN, [3], with_payload=m.PayloadSelectorExclude(exclude=["tags", "deep"]))[0]
    expect("all but these keys", rest.payload, {"city": "Berlin", "n": 3})
    named = c.retrieve(NAMED, [1], with_vectors=["text", "words"])[0].vector
    expect("names", sorted(named), ["text", "words"])
    near("cosine vectors are kept normalised", named["text"], [0.6, 0.8])
    expect("sparse", (named["words"].indices, named["words"].values), ([2, 7], [1.0, 0.5]))


def scroll(c):
    page, after = c.scroll(PLAIN, limit=2)
    expect("first page", (ids(page), after), ([1, 2], 3))
    page, after = c.scroll(PLAIN, limit=2, offset=after, with_payload=["n"], with_vectors=True)
    expect("second page", (ids(page), after), ([3, 4], UUID))
    expect("its payload", [r.payload for r in page], [{"n": 3}, {"n": 4}])
    expect("its vectors", [r.vector for r in page], [[2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    page, after = c.scroll(PLAIN, limit=2, offset=after)
    expect("last page", (ids(page), after), ([UUID], None))
    page, after = c.scroll(PLAIN, scroll_filter=match("city", "Berlin"))
    expect("filtered", (ids(page), after), ([1, 3], None))
    expect("counted", c.count(PLAIN, count_filter=match("city", "Berlin")).count, 2)


def query(c):
    q = [3.0, 2.0, 1.0, 0.25]
    expect("nearest", scored(c.query_points(PLAIN, query=q)),
           [(3, 8.0), (1, 3.0), (2, 2.0), (4, 1.0), (UUID, 0.5)])
    expect("limit and offset", scored(c.query_points(PLAIN, query=q, limit=2, offset=1)), [(1, 3.0), (2, 2.0)])
    expect("exact", scored(c.query_points(PLAIN, query=q, limit=1, search_params=m.SearchParams(exact=True))), [(3, 8.0)])
    expect("by id, which is not its own neighbour", scored(c.query_points(PLAIN, query=3, limit=2)), [(1, 2.0), (2, 1.0)])
    expect("by uuid", scored(c.query_points(PLAIN, query=UUID, limit=1))[0][1], 0.0)
    expect("filter", scored(c.query_points(PLAIN, query=q, query_filter=match("city", "Berlin"))), [(3, 8.0), (1, 3.0)])
    expect("threshold is strict", scored(c.query_points(PLAIN, query=q, score_threshold=2.0)), [(3, 8.0), (1, 3.0)])
    full = c.query_points(PLAIN, query=q, limit=1, with_payload=["city"], with_vectors=True).points[0]
    expect("payload and vector", (full.payload, full.vector), ({"city": "Berlin"}, [2.0, 1.0, 0.0, 0.0]))
    bare = c.query_points(PLAIN, query=q, limit=1, with_payload=False).points[0]
    expect("bare", (bare.payload or None, bare.vector), (None, None))
    expect("no query: in the order of ids", ids(c.query_points(PLAIN, limit=3).points), [1, 2, 3])
    near("cosine", [s for _, s in scored(c.query_points(NAMED, query=[1.0, 0.0], using="text"))], [1.0, 0.6])
    expect("euclid: smaller is nearer", scored(c.query_points(NAMED, query=[0.0, 0.0], using="image")),
           [(1, 0.0), (2, 5.0)])
    expect("sparse", scored(c.query_points(
        NAMED, query=m.SparseVector(indices=[2, 7], values=[2.0, 1.0]), using="words")), [(3, 4.0), (1, 2.5)])
    answers = c.query_batch_points(PLAIN, [
        m.QueryRequest(query=q, limit=1), m.QueryRequest(query=1, limit=1, filter=match("city", "London"))])
    expect("batch", [scored(a) for a in answers], [[(3, 8.0)], [(2, 0.0)]])


def queries(c):
    """The other forms."""
    q = [3.0, 2.0, 1.0, 0.25]
    expect("recommend", scored(c.query_points(
        PLAIN, query=m.RecommendQuery(recommend=m.RecommendInput(positive=[1])), limit=1)), [(3, 2.0)])
    expect("recommend by sums", scored(c.query_points(PLAIN, query=m.RecommendQuery(recommend=m.RecommendInput(
        positive=[1], negative=[2], strategy=m.RecommendStrategy.SUM_SCORES)), limit=1)), [(3, 1.0)])
    expect("discover", scored(c.query_points(PLAIN, query=m.DiscoverQuery(discover=m.DiscoverInput(
        target=[0.0, 0.0, 0.0, 1.0], context=[m.ContextPair(positive=1, negative=2)])), limit=1)), [(3, 1.5)])
    expect("context", scored(c.query_points(
        PLAIN, query=m.ContextQuery(context=[m.ContextPair(positive=1, negative=2)]), limit=1)), [(3, 0.0)])
    expect("mmr", ids(c.query_points(
        PLAIN, query=m.NearestQuery(nearest=q, mmr=m.Mmr(diversity=1.0, candidates_limit=3)), limit=2).points), [3, 2])
    both = [m.Prefetch(query=q, limit=3), m.Prefetch(query=[0.0, 1.0, 0.0, 0.0], limit=2)]
    expect("fusion", [p.id for p in c.query_points(
        PLAIN, query=m.FusionQuery(fusion=m.Fusion.RRF), prefetch=both).points], [3, 2, 1])
    expect("scored again", scored(c.query_points(PLAIN, query=[0.0, 1.0, 0.0, 0.0], prefetch=both[:1], limit=2)),
           [(2, 1.0), (3, 1.0)])
    expect("formula", scored(c.query_points(
        PLAIN, query=m.FormulaQuery(formula=m.SumExpression(sum=["$score", "n"])), prefetch=both[:1], limit=2)),
        [(3, 11.0), (1, 4.0)])
    expect("sample", len(c.query_points(PLAIN, query=m.SampleQuery(sample=m.Sample.RANDOM), limit=3).points), 3)
    expect("a vector of another collection", scored(c.query_points(
        NAMED, query=1, using="image", lookup_from=m.LookupLocation(collection=NAMED, vector="text"), limit=1)), [(2, 4.0)])
    groups = c.query_points_groups(PLAIN, group_by="city", query=q, limit=2, group_size=2).groups
    expect("groups", [(g.id, [h.id for h in g.hits]) for g in groups], [("Berlin", [3, 1]), ("London", [2])])
    pairs = c.search_matrix_pairs(PLAIN, sample=10, limit=1).pairs
    expect("matrix", [(p.a, p.b, p.score) for p in pairs[:3]], [(1, 3, 2.0), (2, 3, 1.0), (3, 1, 2.0)])
    matrix = c.search_matrix_offsets(PLAIN, sample=10, limit=1)
    expect("matrix by offsets", (matrix.ids, matrix.offsets_col[:3]), ([1, 2, 3, 4, UUID], [2, 2, 0]))
    refused("order without an index", lambda: c.query_points(PLAIN, query=m.OrderByQuery(order_by="n")),
            400, grpc.StatusCode.INVALID_ARGUMENT, "No range index for `order_by` key: `n`")
    c.create_payload_index(PLAIN, "n", m.PayloadSchemaType.INTEGER)
    down = m.OrderBy(key="n", direction=m.Direction.DESC, start_from=3)
    expect("order", [(p.id, p.order_value) for p in c.query_points(PLAIN, query=m.OrderByQuery(order_by=down)).points],
           [(3, 3), (2, 2), (1, 1)])
    expect("scroll in order", ids(c.scroll(PLAIN, order_by="n", limit=2)[0]), [1, 2])
    c.delete_payload_index(PLAIN, "n")


CONDITIONS = [
    ("match any", m.FieldCondition(key="city", match=m.MatchAny(any=["Paris", "Rome"])), [4, UUID]),
    ("match except", m.FieldCondition(key="city", match=m.MatchExcept(**{"except": ["Berlin", "London"]})), [4, UUID]),
    ("match an integer", m.FieldCondition(key="n", match=m.MatchValue(value=2)), [2]),
    ("one of an array", m.FieldCondition(key="tags", match=m.MatchValue(value="b")), [3]),
    ("range", m.FieldCondition(key="n", range=m.Range(gt=1, lte=3)), [2, 3]),
    ("nested key", m.FieldCondition(key="deep.x", range=m.Range(gte=1.5)), [3]),
    ("is empty", m.IsEmptyCondition(is_empty=m.PayloadField(key="tags")), [1, 2, 4, UUID]),
    ("is null", m.IsNullCondition(is_null=m.PayloadField(key="deep.none")), [3]),
    ("has id", m.HasIdCondition(has_id=[2, UUID]), [2, UUID]),
    ("match text", m.FieldCondition(key="city", match=m.MatchText(text="erl")), [1, 3]),
    ("match any word", m.FieldCondition(key="city", match=m.MatchTextAny(text_any="Rome Paris")), [4, UUID]),
    ("match phrase", m.FieldCondition(key="city", match=m.MatchPhrase(phrase="Lon")), [2]),
    ("count of values", m.FieldCondition(key="tags", values_count=m.ValuesCount(gte=2)), [3]),
    ("times", m.FieldCondition(key="when", range=m.DatetimeRange(gte="2026-01-01T00:00:00Z", lt="2026-01-02T00:00:00Z")), [4]),
    ("geo radius", m.FieldCondition(key="at", geo_radius=m.GeoRadius(
        center=m.GeoPoint(lon=2.35, lat=48.85), radius=1000.0)), [4]),
    ("geo box", m.FieldCondition(key="at", geo_bounding_box=m.GeoBoundingBox(
        top_left=m.GeoPoint(lon=12.0, lat=42.5), bottom_right=m.GeoPoint(lon=13.0, lat=41.0))), [UUID]),
    ("geo polygon", m.FieldCondition(key="at", geo_polygon=m.GeoPolygon(exterior=m.GeoLineString(points=[
        m.GeoPoint(lon=0.0, lat=40.0), m.GeoPoint(lon=15.0, lat=40.0), m.GeoPoint(lon=0.0, lat=55.0),
        m.GeoPoint(lon=0.0, lat=40.0)]))), [4, UUID]),
    ("nested", m.NestedCondition(nested=m.Nested(key="parts", filter=m.Filter(must=[
        m.FieldCondition(key="a", match=m.MatchValue(value=1)), m.FieldCondition(key="b", match=m.MatchValue(value=2))]))), [4]),
    ("at least two of three", m.Filter(min_should=m.MinShould(min_count=2, conditions=[
        m.HasIdCondition(has_id=[1, 2]), m.HasIdCondition(has_id=[2, 3]), m.HasIdCondition(has_id=[3, 4])])), [2, 3]),
    ("a filter inside", m.Filter(should=[m.HasIdCondition(has_id=[1]), m.HasIdCondition(has_id=[4])]), [1, 4]),
]


def conditions(c):
    for what, condition, wanted in CONDITIONS:
        expect(what, ids(c.scroll(PLAIN, scroll_filter=m.Filter(must=[condition]))[0]), wanted)
    has_vector = m.Filter(must=[m.HasVectorCondition(has_vector="image")])
    expect("has vector", ids(c.scroll(NAMED, scroll_filter=has_vector)[0]), [1, 2])
    expect("must not", ids(c.scroll(PLAIN, scroll_filter=m.Filter(must_not=[CONDITIONS[0][1]]))[0]), [1, 2, 3])


def payload(c):
    def of(point):
        return c.retrieve(PLAIN, [point])[0].payload

    done = m.UpdateStatus.COMPLETED
    expect("set", c.set_payload(PLAIN, {"new": True, "n": 10}, points=[1]).status, done)
    expect("set merges", of(1), {"city": "Berlin", "n": 10, "new": True})
    expect("set by filter", c.set_payload(PLAIN, {"uk": 1}, points=match("city", "London")).status, done)
    expect("by filter", of(2), {"city": "London", "n": 2, "uk": 1})
    expect("overwrite", c.overwrite_payload(PLAIN, {"only": "this"}, points=[1]).status, done)
    expect("overwrite replaces", of(1), {"only": "this"})
    expect("delete", c.delete_payload(PLAIN, ["uk", "absent"], points=[2]).status, done)
    expect("delete removes", of(2), {"city": "London", "n": 2})
    expect("set at a key", c.set_payload(PLAIN, {"x": 1}, points=[2], key="a.b").status, done)
    expect("inside", of(2), {"city": "London", "n": 2, "a": {"b": {"x": 1}}})
    expect("delete inside", c.delete_payload(PLAIN, ["a.b.x", "a.c"], points=[2]).status, done)
    expect("inside it goes", of(2), {"city": "London", "n": 2, "a": {"b": {}}})
    expect("delete the key", c.delete_payload(PLAIN, ["a"], points=[2]).status, done)
    kept = m.PointStruct(id=2, vector=[5.0, 5.0, 5.0, 5.0], payload={})
    expect("insert only", c.upsert(PLAIN, [kept], update_mode=m.UpdateMode.INSERT_ONLY).status, done)
    expect("update if", c.upsert(PLAIN, [kept], update_filter=match("city", "Rome")).status, done)
    expect("neither wrote", of(2), {"city": "London", "n": 2})
    expect("clear", c.clear_payload(PLAIN, points_selector=[1]).status, done)
    expect("clear removes all", of(1), {})


def vectors(c):
    def of(point):
        return c.retrieve(NAMED, [point], with_vectors=True)[0].vector

    done = m.UpdateStatus.COMPLETED
    expect("update", c.update_vectors(NAMED, [m.PointVectors(id=2, vector={"image": [6.0, 8.0]})]).status, done)
    expect("only the named one changes", (of(2)["image"], of(2)["text"]), ([6.0, 8.0], [1.0, 0.0]))
    expect("delete", c.delete_vectors(NAMED, vectors=["image"], points=[2]).status, done)
    expect("only the named one goes", sorted(of(2)), ["text"])
    expect("it is found no more", scored(c.query_points(NAMED, query=[0.0, 0.0], using="image")), [(1, 0.0)])


def multivectors(c):
    config = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)
    expect("create", c.create_collection("multi", vectors_config=m.VectorParams(
        size=2, distance=m.Distance.DOT, multivector_config=config)), True)
    expect("config", c.get_collection("multi").config.params.vectors.multivector_config, config)
    c.upsert("multi", [m.PointStruct(id=1, vector=[[1.0, 0.0], [0.0, 2.0]]), m.PointStruct(id=2, vector=[[3.0, 3.0]])])
    expect("stored", c.retrieve("multi", [1], with_vectors=True)[0].vector, [[1.0, 0.0], [0.0, 2.0]])
    expect("query", scored(c.query_points("multi", query=[[1.0, 0.0], [0.0, 1.0]])), [(2, 6.0), (1, 3.0)])
    expect("delete", c.delete_collection("multi"), True)


def batch(c):
    results = c.batch_update_points(PLAIN, [
        m.UpsertOperation(upsert=m.PointsList(points=[
            m.PointStruct(id=50, vector=[9.0, 0.0, 0.0, 0.0], payload={"n": 50})])),
        m.SetPayloadOperation(set_payload=m.SetPayload(payload={"b": 1}, points=[50])),
        m.DeletePayloadOperation(delete_payload=m.DeletePayload(keys=["n"], points=[50])),
        m.UpdateVectorsOperation(update_vectors=m.UpdateVectors(points=[
            m.PointVectors(id=50, vector=[0.0, 9.0, 0.0, 0.0])])),
        m.DeleteOperation(delete=m.PointIdsList(points=[4])),
    ])
    expect("statuses", [r.status for r in results], [m.UpdateStatus.COMPLETED] * 5)
    got = c.retrieve(PLAIN, [4, 50], with_vectors=True)
    expect("in order", [(r.id, r.payload, r.vector) for r in got], [(50, {"b": 1}, [0.0, 9.0, 0.0, 0.0])])


def indexes(c):
    done = m.UpdateStatus.COMPLETED
    expect("keyword", c.create_payload_index(PLAIN, "city", m.PayloadSchemaType.KEYWORD).status, done)
    expect("integer", c.create_payload_index(
        PLAIN, "n", m.IntegerIndexParams(type=m.IntegerIndexType.INTEGER, lookup=False, range=True)).status, done)
    schema = c.get_collection(PLAIN).payload_schema
    expect("schema", {k: (v.data_type, v.points) for k, v in schema.items()},
           {"city": (m.PayloadSchemaType.KEYWORD, 3), "n": (m.PayloadSchemaType.INTEGER, 3)})
    expect("params", (schema["n"].params.lookup, schema["n"].params.range), (False, True))
    expect("indexed filter", ids(c.scroll(PLAIN, scroll_filter=match("city", "Berlin"))[0]), [3])
    hits = c.facet(PLAIN, key="city", facet_filter=m.Filter(must_not=[m.HasIdCondition(has_id=[UUID])])).hits
    expect("facet", [(h.value, h.count) for h in hits], [("Berlin", 1), ("London", 1)])
    expect("delete", c.delete_payload_index(PLAIN, "city").status, done)
    text = m.TextIndexParams(type=m.TextIndexType.TEXT, tokenizer=m.TokenizerType.PREFIX, min_token_len=2, lowercase=True,
                             stopwords=m.StopwordsSet(languages=[m.Language.ENGLISH], custom=["x"]), phrase_matching=True,
                             stemmer=m.SnowballParams(type=m.Snowball.SNOWBALL, language=m.SnowballLanguage.ENGLISH))
    expect("text", c.create_payload_index(PLAIN, "city", text).status, done)
    schema = c.get_collection(PLAIN).payload_schema["city"]
    expect("of type text", (schema.data_type, schema.points), (m.PayloadSchemaType.TEXT, 3))
    expect("its words", (schema.params.tokenizer, schema.params.min_token_len, schema.params.phrase_matching),
           (m.TokenizerType.PREFIX, 2, True))
    expect("its stemmer", schema.params.stemmer.language, m.SnowballLanguage.ENGLISH)
    words = m.Filter(must=[m.FieldCondition(key="city", match=m.MatchText(text="BERL"))])
    expect("by the beginning of a word", ids(c.scroll(PLAIN, scroll_filter=words)[0]), [3])
    for key, kind in (("at", m.PayloadSchemaType.GEO), ("when", m.PayloadSchemaType.DATETIME),
                      ("u", m.UuidIndexParams(type=m.UuidIndexType.UUID, is_tenant=True)), ("b", m.PayloadSchemaType.BOOL)):
        expect(f"index of {key}", c.create_payload_index(PLAIN, key, kind).status, done)
    expect("indexed times", ids(c.scroll(PLAIN, scroll_filter=m.Filter(must=[m.FieldCondition(
        key="when", range=m.DatetimeRange(gte="2026-01-01T00:00:00Z"))]))[0]), [UUID])
    expect("indexed places", ids(c.scroll(PLAIN, scroll_filter=m.Filter(must=[m.FieldCondition(
        key="at", geo_radius=m.GeoRadius(center=m.GeoPoint(lon=12.5, lat=41.9), radius=5000.0))]))[0]), [UUID])
    for key in ("city", "at", "when", "u", "b"):
        expect(f"delete {key}", c.delete_payload_index(PLAIN, key).status, done)
    expect("schema after", list(c.get_collection(PLAIN).payload_schema), ["n"])


def refusals(c):
    nothing = grpc.StatusCode.NOT_FOUND, "Collection `nowhere` doesn't exist!"
    wrong = grpc.StatusCode.INVALID_ARGUMENT
    refused("info of nowhere", lambda: c.get_collection("nowhere"), 404, *nothing)
    refused("query nowhere", lambda: c.query_points("nowhere", query=[1.0]), 404, *nothing)
    refused("upsert nowhere", lambda: c.upsert("nowhere", [m.PointStruct(id=1, vector=[1.0])]), 404, *nothing)
    refused("upsert with a wrong dimension", lambda: c.upsert(PLAIN, [m.PointStruct(id=7, vector=[1.0, 2.0, 3.0])]),
            400, wrong, "Vector dimension error: expected dim: 4, got 3")
    refused("query with a wrong dimension", lambda: c.query_points(PLAIN, query=[1.0, 2.0, 3.0]),
            400, wrong, "Vector dimension error: expected dim: 4, got 3")
    refused("an unknown vector name", lambda: c.query_points(NAMED, query=[1.0, 2.0], using="sound"),
            400, wrong, "Not existing vector name error: sound")
    refused("payload of a missing point", lambda: c.set_payload(PLAIN, {"a": 1}, points=[777]),
            404, grpc.StatusCode.NOT_FOUND, "No point with id 777 found")
    refused("an id that is none", lambda: c.retrieve(PLAIN, ["no uuid"]), 400, wrong, "no uuid")
    expect("nothing of it was stored", c.retrieve(PLAIN, [7, 777]), [])
    for what, call in NOT_BUILT.items():
        refused(what, lambda call=call: call(c), 501, grpc.StatusCode.UNIMPLEMENTED, "Not implemented")


def aliases(c):
    def create(name, collection):
        return m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=collection, alias_name=name))

    def named(answer):
        return [(a.alias_name, a.collection_name) for a in answer.aliases]
    expect("create", c.update_collection_aliases([create("other", PLAIN), create("second", NAMED)]), True)
    expect("all", named(c.get_aliases()), [("other", PLAIN), ("second", NAMED)])
    expect("of one", named(c.get_collection_aliases(PLAIN)), [("other", PLAIN)])
    expect("count by alias", c.count("other").count, c.count(PLAIN).count)
    expect("switch", c.update_collection_aliases([
        m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="other")),
        m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name="second", new_alias_name="other"))]), True)
    expect("switched", named(c.get_aliases()), [("other", NAMED)])
    refused("of nowhere", lambda: c.update_collection_aliases([create("x", "nowhere")]),
            404, grpc.StatusCode.NOT_FOUND, "Collection `nowhere` doesn't exist!")
    refused("by a collection's name", lambda: c.update_collection_aliases([create(PLAIN, NAMED)]),
            409, grpc.StatusCode.ALREADY_EXISTS, f"Collection `{PLAIN}` already exists!")
    expect("delete", c.update_collection_aliases([
        m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="other"))]), True)
    expect("none is left", named(c.get_aliases()), [])


def deletion(c):
    done = m.UpdateStatus.COMPLETED
    expect("by ids", c.delete(PLAIN, points_selector=[1, 99]).status, done)
    expect("by filter", c.delete(PLAIN, points_selector=m.FilterSelector(filter=match("city", "London"))).status, done)
    expect("left", ids(c.scroll(PLAIN)[0]), [3, 50, UUID])
    expect("update", c.update_collection(
        PLAIN, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=5000), hnsw_config=m.HnswConfigDiff(m=8)), True)
    config = c.get_collection(PLAIN).config
    expect("updated", (config.optimizer_config.indexing_threshold, config.hnsw_config.m), (5000, 8))
    expect("delete a collection", c.delete_collection(PLAIN), True)
    expect("it is gone", c.collection_exists(PLAIN), False)
    expect("delete it again", c.delete_collection(PLAIN), False)
    refused("and cannot be read", lambda: c.scroll(PLAIN), 404, grpc.StatusCode.NOT_FOUND,
            "Collection `plain` doesn't exist!")


TOUR = (collections, info, upsert, retrieve, scroll, query, queries, conditions, payload, vectors, multivectors, batch, indexes,
        refusals, aliases, deletion)


def main():
    client = connect(*sys.argv[1:4])
    for step in TOUR:
        step(client)
        print(f"{step.__name__}: as expected", flush=True)
    client.close()


main()
