# SPDX-License-Identifier: Apache-2.0
"""Filters, compared: python _python_memory.py SEED CASES URL GRPC_ADDRESS

Random collections with random payloads and payload indexes; random filters are asked of the server, by REST and gRPC in turns,
and of the engine in memory that the client brings along. A filter that is answered differently is made smaller as long as it is,
and shown with the points and what each said.

The engine in memory is a second opinion, not the truth: where it is known to differ from the real server, PATCHES makes it
answer as the server does, each with the reason, and what is listed in NOT_ASKED is not generated."""
import random
import sys
import warnings

from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.local import payload_filters
from qdrant_client.local.payload_value_extractor import value_by_key

POINTS = 40
FILTERS = 60  # of one collection
NAME = "compared"

NOT_ASKED = """
match value 1 and true       in Python 1 == 1.0 == True; values are so chosen that no two of different types are equal
match phrase, match prefix   the engine in memory has none
is_empty, is_null on a field the engine in memory passes over them, and finds nothing
several operators in a field the engine in memory takes the first, the server takes any of them
lists in lists               with [] in the path the server looks into the inner list, the engine in memory does not
empty should                 no condition at all for the server, never true for the engine in memory
numbers above 2^53           the server compares as doubles
indexes of type text         with one the server's match text means words, without one pieces of text, as in memory
"""


# ---- where the engine in memory differs from the server ----

def check_match(condition, value, original=payload_filters.check_match):
    if isinstance(condition, m.MatchExcept) and value is None:
        return False  # null is nothing, also not something else
    if isinstance(condition, (m.MatchText, m.MatchTextAny)) and not isinstance(value, str):
        return False  # `in` of Python finds elements of lists, and fails on numbers
    return original(condition, value)


def check_range(condition, value, original=payload_filters.check_range):
    return not isinstance(value, bool) and original(condition, value)  # true is no number


def check_values_count(condition, values):
    """A missing key has no values; one count has to satisfy all bounds."""
    def satisfied(count):
        return ((condition.lt is None or count < condition.lt) and (condition.lte is None or count <= condition.lte) and
                (condition.gt is None or count > condition.gt) and (condition.gte is None or count >= condition.gte))
    counts = [0 if v is None else len(v) if isinstance(v, list) else 1 for v in values or [None]]
    return any(satisfied(count) for count in counts)


def check_condition(condition, payload, point_id, has_vector, original=payload_filters.check_condition):
    if not isinstance(condition, m.NestedCondition):
        return original(condition, payload, point_id, has_vector)
    key = condition.nested.key  # of an array: an object that is in none is no element, nor is what is no object
    elements = value_by_key(payload, key if key.endswith("[]") else key + "[]") or []
    return any(payload_filters.check_filter(condition.nested.filter, v, -1, {}) for v in elements if isinstance(v, dict))


PATCHES = (check_match, check_range, check_values_count, check_condition)


# ---- random things ----

WORDS = ("red", "green", "blue", "dark red", "Red", "")
TIMES = ("2024-02-29T12:00:00Z", "2024-02-29T12:00:00.5Z", "2024-02-29 12:00:00", "2024-03-01", "2024-03-01T01:30:00+02:00",
         "2024-02-28 23:59", "1969-12-31T23:59:59Z", "soon")
PLACES = tuple((lon, lat) for lon in (-179.5, -10.0, 0.0, 13.4, 179.5) for lat in (-60.0, 0.0, 52.5))
KEYS = ("color", "size", "price", "flag", "when", "at", "mixed", "deep.color", "deep.list[].size", "deep.list[0].color",
        "deep.list[].mixed", "list[]", "deep", "absent", '"odd key"')
INDEXES = ("keyword", "integer", "float", "bool", "datetime", "geo", "uuid")
FITTING = {"color": "keyword", "size": "integer", "price": "float", "flag": "bool", "when": "datetime", "at": "geo"}


def scalar(r, kind):
    if kind == "mixed":
        kind = r.choice(("color", "size", "price", "flag", "when", "at", "none"))
    if kind in ("color", "odd key"):
        return r.choice(WORDS)
    if kind == "size":
        return r.randint(2, 9)
    if kind == "price":
        return r.randint(0, 20) + 0.25
    if kind == "flag":
        return r.random() < 0.5
    if kind == "when":
        return r.choice(TIMES)
    if kind == "at":
        lon, lat = r.choice(PLACES)
        return {"lon": lon, "lat": lat}
    return None


def index_of(r, key):
    """An index of a type that hardly any value has must not matter either."""
    return FITTING[key] if key in FITTING and r.random() < 0.7 else r.choice(INDEXES)


def value(r, kind):
    choice = r.random()
    if choice < 0.1:
        return None
    if choice < 0.2:
        return []
    if choice < 0.45:
        return [scalar(r, kind) if r.random() < 0.9 else None for _ in range(r.randint(1, 3))]
    return scalar(r, kind)


def flat(r):
    return {kind: value(r, kind) for kind in ("color", "size", "price", "flag", "when", "at", "mixed", "odd key")
            if r.random() < 0.6}


def payload(r):
    p = flat(r)
    if r.random() < 0.7:
        p["deep"] = flat(r)
        if r.random() < 0.8:
            p["deep"]["list"] = [flat(r) if r.random() < 0.9 else r.choice((None, 7, "red")) for _ in range(r.randint(0, 3))]
    if r.random() < 0.3:
        p["deep"] = r.choice((None, [], 7, {"color": "red"}, [{"color": "red"}]))
    if r.random() < 0.5:
        p["list"] = value(r, "mixed")
    return p


def bounds(r, pick):
    chosen = {}
    if r.random() < 0.8:
        chosen[r.choice(("gt", "gte"))] = pick()
    if r.random() < 0.6 or not chosen:
        chosen[r.choice(("lt", "lte"))] = pick()
    return chosen


def place(r):
    lon, lat = r.choice(PLACES)
    return m.GeoPoint(lon=lon, lat=lat)


def polygon(r):
    def ring(lon, lat, width, height):
        corners = [(lon, lat), (lon + width, lat), (lon + width / 2, lat + height), (lon, lat)]
        return m.GeoLineString(points=[m.GeoPoint(lon=x, lat=y) for x, y in corners])
    lon, lat, width, height = r.randint(-180, 0), r.randint(-80, 0), r.randint(20, 170), r.randint(20, 80)
    holes = [ring(lon + width / 4, lat + 1, width / 4, height / 3)] if r.random() < 0.5 else None
    return m.GeoPolygon(exterior=ring(lon, lat, width, height), interiors=holes)


def match(r):
    kind = r.random()
    if kind < 0.35:
        return m.MatchValue(value=r.choice((r.choice(WORDS), r.randint(2, 9), r.random() < 0.5)))
    items = r.sample(WORDS, r.randint(1, 3)) if r.random() < 0.5 else r.sample(range(2, 10), r.randint(1, 4))
    if kind < 0.55:
        return m.MatchAny(any=items)
    if kind < 0.75:
        return m.MatchExcept(**{"except": items})
    if kind < 0.9:
        return m.MatchText(text=r.choice(("red", "r", "dark red", "e", "x")))
    return m.MatchTextAny(text_any=r.choice(("red blue", "x  dark", "x", "green\tx")))


OPERATORS = ("match", "range", "times", "box", "radius", "polygon", "count")
FITTING_OPERATORS = {"color": ("match",), "size": ("match", "range"), "price": ("range",), "flag": ("match",),
                     "when": ("times",), "at": ("box", "radius", "polygon"), "mixed": OPERATORS}


def field(r, key):
    kind = r.choice(FITTING_OPERATORS.get(key.split(".")[-1], OPERATORS) if r.random() < 0.8 else OPERATORS)
    if kind == "match":
        return m.FieldCondition(key=key, match=match(r))
    if kind == "range":
        return m.FieldCondition(key=key, range=m.Range(**bounds(r, lambda: r.randint(0, 40) / 2)))
    if kind == "times":
        return m.FieldCondition(key=key, range=m.DatetimeRange(**bounds(r, lambda: r.choice(TIMES[:6]))))
    if kind == "box":
        a, b = place(r), place(r)
        return m.FieldCondition(key=key, geo_bounding_box=m.GeoBoundingBox(
            top_left=m.GeoPoint(lon=max(-180.0, a.lon - 1), lat=max(a.lat, b.lat) + 1),
            bottom_right=m.GeoPoint(lon=b.lon + (1 if b.lon < 179 else 0), lat=min(a.lat, b.lat) - 1)))
    if kind == "radius":
        return m.FieldCondition(key=key, geo_radius=m.GeoRadius(center=place(r), radius=r.choice((1.0, 2e5, 5e6, 1.9e7))))
    if kind == "polygon":
        return m.FieldCondition(key=key, geo_polygon=polygon(r))
    return m.FieldCondition(key=key, values_count=m.ValuesCount(**bounds(r, lambda: r.randint(0, 3))))


def condition(r, depth, inner):
    kind = r.random()
    keys = ("color", "size", "price", "flag", "when", "at", "mixed", "absent") if inner else KEYS
    if kind < 0.6:
        return field(r, r.choice(keys))
    if kind < 0.68:
        return m.IsEmptyCondition(is_empty=m.PayloadField(key=r.choice(keys)))
    if kind < 0.76:
        return m.IsNullCondition(is_null=m.PayloadField(key=r.choice(keys)))
    if kind < 0.82:
        return m.HasIdCondition(has_id=r.sample(range(POINTS + 5), r.randint(1, 20)))
    if kind < 0.85:
        return m.HasVectorCondition(has_vector=r.choice(("a", "b", "c")))
    if depth == 0:
        return field(r, r.choice(keys))
    if kind < 0.92 and not inner:
        return m.NestedCondition(nested=m.Nested(key=r.choice(("deep.list", "deep.list[]", "list", "deep", "absent")),
                                                 filter=a_filter(r, depth - 1, True)))
    return a_filter(r, depth - 1, inner)


def a_filter(r, depth, inner=False):
    def some():
        return [condition(r, depth, inner) for _ in range(r.randint(1, 3))]
    clauses = {}
    while not clauses:
        for clause in ("must", "should", "must_not"):
            if r.random() < 0.4:
                clauses[clause] = some()
        if r.random() < 0.1:
            conditions = some()
            clauses["min_should"] = m.MinShould(conditions=conditions, min_count=r.randint(0, len(conditions) + 1))
    return m.Filter(**clauses)


# ---- comparing ----

def found(client, query):
    return {p.id for p in client.scroll(NAME, scroll_filter=query, limit=POINTS + 10, with_payload=False)[0]}


def smaller(query):
    """All filters with one condition less, or with one of the inner filters alone."""
    for clause in ("must", "should", "must_not"):
        conditions = getattr(query, clause)
        for i, c in enumerate(conditions or []):
            rest = conditions[:i] + conditions[i + 1:]
            yield query.model_copy(update={clause: rest or None})
            if isinstance(c, m.Filter):
                yield c
                for less in smaller(c):
                    yield query.model_copy(update={clause: conditions[:i] + [less] + conditions[i + 1:]})
            if isinstance(c, m.NestedCondition):
                for less in smaller(c.nested.filter):
                    nested = m.NestedCondition(nested=m.Nested(key=c.nested.key, filter=less))
                    yield query.model_copy(update={clause: conditions[:i] + [nested] + conditions[i + 1:]})
    least = query.min_should
    if least is not None:
        yield query.model_copy(update={"min_should": None})
        for i in range(len(least.conditions)):
            rest = m.MinShould(conditions=least.conditions[:i] + least.conditions[i + 1:], min_count=max(0, least.min_count - 1))
            yield query.model_copy(update={"min_should": rest if rest.conditions else None})


def fail(what, memory, server, query, indexes):
    def differ(q):
        return any(getattr(q, c) for c in ("must", "should", "must_not", "min_should")) and found(memory, q) != found(server, q)
    shrinking = differ(query)
    while shrinking:
        shrinking = next((q for q in smaller(query) if differ(q)), None)
        query = shrinking or query
    wanted, got = found(memory, query), found(server, query)
    print(f"{what}, indexes {indexes}:\n{query.model_dump_json(exclude_none=True, by_alias=True)}")
    for one in memory.retrieve(NAME, sorted(wanted ^ got)[:3]):
        print(f"point {one.id} {'is missing' if one.id in wanted else 'is found'}: {one.payload}")
    raise SystemExit(1)


def compare_facets(r, memory, server, query):
    key, schema = r.choice((("color", "keyword"), ("size", "integer"), ("flag", "bool")))
    server.create_payload_index(NAME, key, schema)
    limit = r.randint(1, 6)
    wanted, got = (c.facet(NAME, key=key, facet_filter=query, limit=limit) for c in (memory, server))
    if wanted != got:
        raise SystemExit(f"facet of {key}, limit {limit}: {query}\n  wanted {wanted}\n  got    {got}")


def compare_changes(r, memory, server):
    """By filter: who is deleted, and who gets a payload."""
    gone, changed = a_filter(r, 1), a_filter(r, 1)
    for client in (memory, server):
        client.delete(NAME, points_selector=m.FilterSelector(filter=gone))
        client.set_payload(NAME, {"size": 9}, points=changed)
    everything = [{p.id: p.payload for p in c.scroll(NAME, limit=POINTS + 10)[0]} for c in (memory, server)]
    if everything[0] != everything[1]:
        raise SystemExit(f"after delete by {gone}\nand set_payload by {changed}:\n  {everything[0]}\n  {everything[1]}")


def collection(r, memory, servers):
    indexes, points = {}, []
    for client in (memory, servers[0]):
        client.delete_collection(NAME)
        client.create_collection(NAME, vectors_config={n: m.VectorParams(size=1, distance=m.Distance.DOT) for n in "ab"},
                                 **({} if client is memory else {"shard_number": r.randint(1, 3)}))
    for n in range(POINTS):
        vectors = {name: [1.0] for name in "ab" if r.random() < 0.7}
        points.append(m.PointStruct(id=n, vector=vectors or {"a": [1.0]}, payload=payload(r)))
    keys = [k for k in KEYS if r.random() < 0.5]
    for key in keys[:len(keys) // 2]:
        indexes[key] = index_of(r, key)
        servers[0].create_payload_index(NAME, key, indexes[key])
    for client in (memory, servers[0]):
        client.upsert(NAME, points)
    for key in keys[len(keys) // 2:]:  # filled while the filters are asked
        indexes[key] = index_of(r, key)
        servers[0].create_payload_index(NAME, key, indexes[key])
    return indexes


def main():
    seed, cases, url, grpc_address = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    for patch in PATCHES:
        setattr(payload_filters, patch.__name__, patch)
    warnings.simplefilter("ignore")  # the engine in memory has no payload indexes, and says so
    memory = QdrantClient(":memory:")
    port = int(grpc_address.rsplit(":", 1)[1])
    servers = [QdrantClient(url=url, grpc_port=port, prefer_grpc=by_grpc, timeout=60, check_compatibility=False)
               for by_grpc in (False, True)]
    done = matched = 0
    while done < cases:
        r = random.Random(f"{seed}/{done}")
        indexes = collection(r, memory, servers)
        for _ in range(min(FILTERS, cases - done)):
            query, server = a_filter(r, r.randint(0, 2)), servers[done % 2]
            wanted = found(memory, query)
            if wanted != found(server, query):
                fail(f"seed {seed}, case {done}, {('REST', 'gRPC')[done % 2]}", memory, server, query, indexes)
            if server.count(NAME, count_filter=query).count != len(wanted):
                raise SystemExit(f"seed {seed}, case {done}: count differs from scroll: {query}")
            matched += 0 < len(wanted) < POINTS
            done += 1
        compare_facets(r, memory, servers[done % 2], a_filter(r, 1))
        compare_changes(r, memory, servers[0])
    print(f"{done} filters agree; {matched} of them found some points and not others", flush=True)
    if matched * 5 < done:
        raise SystemExit("too few filters tell points apart")


main()
