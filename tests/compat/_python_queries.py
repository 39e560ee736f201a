# SPDX-License-Identifier: Apache-2.0
"""Queries, compared: python _python_queries.py SEED CASES URL GRPC_ADDRESS

Random collections with dense and sparse vectors and payloads; random queries of all forms, with prefetches within each other,
groups, ordered scrolls and distance matrices, are asked of the server, by REST and gRPC in turns, and of the engine in memory that
the client brings along. A query that is answered differently is made smaller as long as it is, and shown with what each said.

Answers agree when they have the same scores in the same order, and every point has the score that the other engine gives it: points
of equal scores may come in any order, and scores may differ by what rounding does.

The engine in memory is a second opinion, not the truth. Where it is known to differ from the real server, for_memory() asks it what
means the same there, and what is listed in NOT_ASKED is not generated."""
import copy
import json
import random
import sys
import warnings

from qdrant_client import QdrantClient
from qdrant_client import models as m

POINTS = 60
QUERIES = 80  # of one collection
NAME, OTHER = "queried", "queried_other"
TOLERANCE = 2e-4

FOR_MEMORY = """
the filter of a query holds for its prefetches      the engine in memory uses it for the query alone, and not at all for fusions
points that a query names are no answers to it      the engine in memory leaves them out of the step that names them only
a prefetch that is a list has one form              the engine in memory takes a single one in a list only
"""
NOT_ASKED = """
score_threshold of recommend, discover, context and feedback where less is nearer    the engine in memory takes it for a distance
relevance feedback where less is nearer             the engine in memory sorts it the wrong way round
relevance feedback of sparse and multivectors, and with lookup_from    the engine in memory has none
offsets of mmr                                      the engine in memory leaves out candidates, the server answers
points without a multivector                        the engine in memory fails on them
a pair of an example and itself                     the engine in memory rounds the one otherwise than the other
$score and $score[0] with one default               the engine in memory takes them for two variables
groups of queries with prefetches                   the engine in memory gives them no limits at all
groups of booleans                                  in Python they are integers
which of equal scores a limit cuts off              nobody says: prefetches have a score of its own for each point
matrices of points without the vector    the engine in memory fails, so they are filtered out
points without the vector that a query takes of them, unless it is recommend        the engine in memory takes zeroes
"""

DENSE = {"": ("Euclid", 5), "cos": ("Cosine", 4), "dot": ("Dot", 4), "man": ("Manhattan", 3)}
SPARSE, MULTI = "sparse", "multi"
NAMES = (*DENSE, SPARSE, MULTI)
LESS_IS_NEARER = ("", "man")
MAX_SIM = m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM)


# ---- random things ----

def dense(r, size):
    return [round(r.gauss(0, 1), 6) or 0.5 for _ in range(size)]  # so many digits that sums of few are never the same


def sparse(r):
    indices = sorted(r.sample(range(12), r.randint(2, 6)))
    return {"indices": indices, "values": dense(r, len(indices))}


def vector(r, name):
    if name == MULTI:
        return [dense(r, 3) for _ in range(r.randint(1, 4))]
    return sparse(r) if name == SPARSE else dense(r, DENSE[name][1])


def payload(r, n):
    p = {"n": n * 3 - 50, "f": round(r.uniform(-5, 5), 3), "group": r.choice((r.randint(-2, 4), r.choice("abc")))}
    if r.random() < 0.3:
        p["group"] = [r.randint(0, 3), r.choice("abc")]
    if r.random() < 0.8:
        p["when"] = f"20{r.randint(10, 29)}-0{r.randint(1, 9)}-{r.randint(10, 28)}T{r.randint(10, 23)}:00:00Z"
    if r.random() < 0.8:
        p["place"] = {"lon": round(r.uniform(-170, 170), 3), "lat": round(r.uniform(-80, 80), 3)}
    if r.random() < 0.6:
        p["rare"] = round(r.uniform(0.1, 9), 3)
    return p


class World:
    """What a collection has, for queries that fit it."""

    def __init__(self, r):
        self.points = []
        for n in range(POINTS):
            vectors = {name: vector(r, name) for name in NAMES if name == MULTI or r.random() < 0.85}
            self.points.append({"id": n + 1, "vector": vectors, "payload": payload(r, n)})
        self.others = [{"id": n + 1, "vector": {name: vector(r, name) for name in NAMES}, "payload": {"o": n}}
                       for n in range(10)]

    def ids(self, name, other):
        return [p["id"] for p in (self.others if other else self.points) if name in p["vector"]]


def a_filter(r):
    kind = r.random()
    if kind < 0.4:
        low = r.randint(-60, 60)
        return {"must": [{"key": "n", "range": {"gte": low, "lt": low + r.randint(40, 150)}}]}
    if kind < 0.6:
        return {"must_not": [{"has_id": r.sample(range(1, POINTS + 1), r.randint(1, 20))}]}
    if kind < 0.8:
        return {"should": [{"key": "f", "range": {"gt": r.uniform(-5, 2)}}, {"key": "group", "match": {"value": "a"}}]}
    return {"must": [{"key": "rare", "range": {"gt": 0}}], "must_not": [{"key": "group", "match": {"any": [1, 2]}}]}


def example(r, world, name, other):
    return r.choice(world.ids(name, other)) if r.random() < 0.5 else vector(r, name)


def pairs(r, world, name, other):
    def pair():
        positive, negative = example(r, world, name, other), example(r, world, name, other)
        return pair() if positive == negative else {"positive": positive, "negative": negative}
    return [pair() for _ in range(r.randint(1, 3))]


def vector_form(r, world, name, other, ranked):
    """ranked: scores of its own for each point."""
    kind = r.choice(("nearest", "nearest", "average", "best", "sum", "discover", "feedback", *(() if ranked else ("context",))))
    if kind == "feedback" and (other or name in (*LESS_IS_NEARER, SPARSE, MULTI)):
        kind = "nearest"
    if name == "man" and kind == "sum" and ranked:
        kind = "best"  # sums of distances by Manhattan are the same in whole regions
    if name == SPARSE and ranked:
        kind = r.choice(("nearest", "average"))  # all that share no index with an example score alike
    if kind in ("average", "best", "sum"):
        strategy = {"average": "average_vector", "best": "best_score", "sum": "sum_scores"}[kind]
        positive = [example(r, world, name, other) for _ in range(r.randint(1, 3))]
        negative = [e for e in (example(r, world, name, other) for _ in range(r.randint(0, 2))) if e not in positive]
        if kind != "average" and r.random() < 0.2:
            positive, negative = [], negative + [vector(r, name)]
        return {"recommend": {"positive": positive, "negative": negative, "strategy": strategy}}
    if kind == "discover":
        return {"discover": {"target": example(r, world, name, other), "context": pairs(r, world, name, other)}}
    if kind == "context":
        return {"context": pairs(r, world, name, other)}
    if kind == "feedback":
        items = [{"example": example(r, world, name, other), "score": round(r.random(), 3)} for _ in range(r.randint(0, 4))]
        return {"relevance_feedback": {"target": example(r, world, name, other), "feedback": items,
                                       "strategy": {"naive": {"a": 0.7, "b": round(r.random(), 2), "c": 0.3}}}}
    return {"nearest": example(r, world, name, other)}


def order_by(r):
    key = r.choice(("n", "n", "f", "when"))
    start = {"n": r.randint(-50, 100), "f": round(r.uniform(-5, 5), 2), "when": "2019-06-01T00:00:00Z"}[key]
    o = {"key": key, "direction": r.choice(("asc", "desc"))}
    return {**o, "start_from": start} if r.random() < 0.4 else o


def expression(r, depth, prefetches):
    kind = r.random()
    if depth == 0 or kind < 0.35:
        return r.choice((round(r.uniform(-3, 3), 2), "$score", f"$score[{r.randint(0, prefetches)}]", "n", "f", "rare",
                         {"key": "f", "range": {"gt": 0}}, {"has_id": [1, 2, 3]}, {"datetime": "2020-01-01T00:00:00Z"},
                         {"datetime_key": "when"}, {"has_vector": "dot"},
                         {"geo_distance": {"origin": {"lon": 13.4, "lat": 52.5}, "to": "place"}}))

    def inner():
        return expression(r, depth - 1, prefetches)
    kind = r.choice(("sum", "mult", "neg", "abs", "div", "sqrt", "pow", "exp", "ln", "log10", "lin_decay", "exp_decay", "gauss_decay"))
    if kind in ("sum", "mult"):
        return {kind: [inner() for _ in range(r.randint(1, 3))]}
    if kind in ("neg", "abs"):
        return {kind: inner()}
    if kind in ("sqrt", "ln", "log10"):
        return {kind: {"sum": [1.5, {"abs": inner()}]}} if r.random() < 0.9 else {kind: inner()}
    if kind == "exp":
        return {kind: {"neg": {"abs": inner()}}}
    if kind == "pow":
        return {"pow": {"base": {"abs": inner()}, "exponent": r.choice((0.5, 2.0))}}
    if kind == "div":
        div = {"left": inner(), "right": inner()}
        return {"div": {**div, "by_zero_default": 7.0} if r.random() < 0.7 else div}
    decay = {"x": inner()}
    if r.random() < 0.5:
        decay["target"] = inner()
    if r.random() < 0.5:
        decay.update(scale=round(r.uniform(1, 50), 2), midpoint=round(r.uniform(0.1, 0.9), 2))
    return {kind: decay}


def formula(r, prefetches):
    defaults = {"rare": 1.25, "when": "2021-02-03T00:00:00Z", "place": {"lon": 1.0, "lat": 2.0}}
    if r.random() < 0.5:
        defaults["$score"] = defaults["$score[0]"] = 0.5
    return {"formula": expression(r, r.randint(0, 3), prefetches), "defaults": defaults}


def step(r, world, depth, ranked):
    """A query or a prefetch, without its limits."""
    s = {}
    if depth > 0 and r.random() < 0.6:
        count = r.randint(1, 3)
        kind = r.choice(("rrf", "weights", "dbsf", "formula", "vector", "vector"))
        s["prefetch"] = [prefetch(r, world, depth - 1) for _ in range(count)]
        if kind == "formula":
            s["query"] = formula(r, count)
        elif kind == "weights":
            s["query"] = {"rrf": {"k": r.randint(1, 60), "weights": [round(r.uniform(0.2, 3), 2) for _ in range(count)]}}
        elif kind != "vector":
            s["query"] = {"fusion": kind}
        if kind != "vector":
            return s if not ranked else {**s, "query": {"nearest": vector(r, "dot")}, "using": "dot"}
    name, other = r.choice(NAMES), r.random() < 0.2
    s["query"] = vector_form(r, world, name, other, ranked)
    if name:
        s["using"] = name
    if other:
        s["lookup_from"] = {"collection": OTHER, **({"vector": name} if name else {})}
    if r.random() < 0.2 and (name not in LESS_IS_NEARER or "nearest" in s["query"]):
        s["score_threshold"] = round(r.uniform(-1, 2.5), 2) + 0.003  # equal to no score
    if r.random() < 0.3:
        s["params"] = {"exact": True}
    return s


def prefetch(r, world, depth):
    if r.random() < 0.1:
        p = {} if r.random() < 0.5 else {"query": {"order_by": {"key": "n"}}}
    else:
        p = step(r, world, depth, True)
    if r.random() < 0.3:
        p["filter"] = a_filter(r)
    return {**p, "limit": r.randint(1, 30)}


def query(r, world):
    kind = r.random()
    if kind < 0.08:
        q = {"query": {"order_by": order_by(r)}}
    elif kind < 0.13:
        q = {}
    elif kind < 0.23:
        name = r.choice(("cos", "dot", SPARSE, MULTI, ""))
        q = {"query": {"nearest": vector(r, name), "mmr": {"diversity": round(r.random(), 2), "candidates_limit": r.randint(1, 40)}}}
        if name:
            q["using"] = name
        if r.random() < 0.3:
            q["prefetch"] = [prefetch(r, world, 1)]
    else:
        q = step(r, world, r.randint(0, 3), False)
    if r.random() < 0.3:
        q["filter"] = a_filter(r)
    q["limit"] = r.randint(1, 25)
    if r.random() < 0.3 and not mmr(q):
        q["offset"] = r.randint(0, 10)
    q["with_payload"] = r.choice((True, False, ["n"]))
    q["with_vector"] = r.choice((True, False, ["dot"]))
    return q


def mmr(q):
    return isinstance(q.get("query"), dict) and "mmr" in q["query"]


# ---- asking ----

def named_ids(step):
    """The points of the collection itself that a step and its prefetches name."""
    def of(value):
        if isinstance(value, bool) or value is None:
            return []
        if isinstance(value, int):
            return [value]
        if isinstance(value, dict):
            return [i for k in ("nearest", "recommend", "discover", "context", "relevance_feedback", "target", "positive",
                                "negative", "feedback", "example") for i in of(value.get(k))]
        return [i for v in value if not isinstance(v, float) for i in of(v)] if isinstance(value, list) else []
    mine = [] if "lookup_from" in step else of(step.get("query"))
    return mine + [i for p in step.get("prefetch", []) for i in named_ids(p)]


def both(a, b):
    return {"must": [x for x in (a, b) if x]}


def for_memory(q):
    """See FOR_MEMORY."""
    ids = named_ids(q)
    q = copy.deepcopy(q)

    def push(step, outer):
        step["filter"] = both(outer, step.get("filter"))
        for p in step.get("prefetch", []):
            push(p, step["filter"])
    push(q, {"must_not": [{"has_id": ids}]} if ids else None)
    return q


def ask(client, q):
    model = m.QueryRequest.model_validate(q)
    return client.query_points(NAME, query=model.query, prefetch=model.prefetch, query_filter=model.filter, using=model.using,
                               search_params=model.params, limit=model.limit, offset=model.offset,
                               score_threshold=model.score_threshold, with_payload=model.with_payload,
                               with_vectors=model.with_vector, lookup_from=model.lookup_from).points


def asked(client, q):
    """The points, or why there are none."""
    try:
        return ask(client, q), None
    except Exception as e:  # each engine has exceptions of its own
        return None, f"{type(e).__name__}: {e}"[:600]


def close(a, b):
    return abs(a - b) <= TOLERANCE * max(1, abs(a), abs(b))


def disagreement(memory, server, q):
    """Why the answers to a query differ; None: they do not."""
    mine = for_memory(q)
    wanted, why = asked(memory, mine)
    got, refusal = asked(server, q)
    if wanted is None or got is None:
        return None if wanted is got else f"memory: {why or [p.id for p in wanted]}\nserver: {refusal or [p.id for p in got]}"
    if len(wanted) != len(got):
        return f"memory: {[(p.id, p.score) for p in wanted]}\nserver: {[(p.id, p.score) for p in got]}"
    text = f"memory: {[(p.id, p.score, p.order_value) for p in wanted]}\nserver: {[(p.id, p.score, p.order_value) for p in got]}"
    if mmr(q):
        return None if [p.id for p in wanted] == [p.id for p in got] else text
    everything = {}
    for p in asked(memory, {**mine, "limit": 10 * POINTS, "offset": 0})[0]:
        everything.setdefault(p.id, []).append(p)
    ordered = isinstance(q.get("query"), dict) and "order_by" in q["query"]
    for a, b in zip(wanted, got):
        if not close(a.score, b.score) or ordered and not close(a.order_value, b.order_value):
            return text
        twin = next((p for p in everything.get(b.id, []) if close(p.score, b.score) and
                     (p.order_value is None) == (b.order_value is None) and close(p.order_value or 0, b.order_value or 0)), None)
        if twin is None or (b.payload or {}) != (twin.payload or {}) or bool(b.vector) != bool(twin.vector):
            return text + f"\npoint {b.id}: {b}"
    return None


# ---- making it smaller ----

def smaller(value):
    """All values with one part less."""
    if isinstance(value, dict):
        for k, v in value.items():
            yield {other: w for other, w in value.items() if other != k}
            for less in smaller(v):
                yield {**value, k: less}
    elif isinstance(value, list) and not all(isinstance(v, float) for v in value):
        for i, v in enumerate(value):
            yield value[:i] + value[i + 1:]
            for less in smaller(v):
                yield value[:i] + [less] + value[i + 1:]


def generated(step):
    """Is it none of what is not asked?"""
    form, less = step.get("query", {}), step.get("using", "") in LESS_IS_NEARER
    odd = less and isinstance(form, dict) and ("relevance_feedback" in form or
                                               "score_threshold" in step and not form.keys() & {"nearest", "fusion", "rrf", "formula"})
    return not odd and all(map(generated, step.get("prefetch", [])))


def shrink(memory, server, q):
    def differs(less):
        if not generated(less):
            return False
        try:
            m.QueryRequest.model_validate(less)
            wanted = asked(memory, for_memory(less))[0]
            return wanted is not None and asked(server, less)[0] is not None and disagreement(memory, server, less) is not None
        except Exception:
            return False
    shrinking = True
    while shrinking:
        shrinking = next((less for less in smaller(q) if differs(less)), None)
        q = shrinking or q
    return q


def fail(what, memory, server, q):
    q = shrink(memory, server, q)
    print(f"{what}:\n{json.dumps(q)}\n{disagreement(memory, server, q)}")
    raise SystemExit(1)


# ---- other methods ----

def compare_groups(r, world, memory, server):
    name = r.choice(NAMES)
    q = {"query": vector_form(r, world, name, False, True), "using": name, "limit": r.randint(1, 9), "group_size": r.randint(1, 6)}
    if r.random() < 0.4:
        q["filter"] = a_filter(r)
    sides = []
    for client, asked_for, limit in ((memory, for_memory(q), 10 * POINTS), (server, q, q["limit"])):
        model = m.QueryRequest.model_validate({k: asked_for[k] for k in ("query", "using", "filter") if k in asked_for})
        sides.append(client.query_points_groups(
            NAME, group_by="group", query=model.query, using=model.using, query_filter=model.filter, limit=limit,
            group_size=q["group_size"], with_lookup=m.WithLookup(collection=OTHER, with_payload=True)).groups)
    # A point of two groups gives both the same best score: which of them comes first nobody says.
    wanted, got = ([(g.id, [h.score for h in g.hits], g.lookup and (g.lookup.id, g.lookup.payload)) for g in side] for side in sides)
    by_id = {g[0]: g for g in wanted}
    best = [g[1][0] for g in wanted]
    same = len(got) == min(len(wanted), q["limit"]) and all(
        g[0] in by_id and g[2] == by_id[g[0]][2] and len(g[1]) == len(by_id[g[0]][1]) and
        all(map(close, g[1], by_id[g[0]][1])) and close(g[1][0], best[i]) for i, g in enumerate(got))
    if not same:
        raise SystemExit(f"groups of {json.dumps(q)}:\n  wanted {wanted}\n  got    {got}")


def compare_scrolls(r, memory, server):
    order, some = order_by(r), m.Filter.model_validate(a_filter(r))
    sides = [client.scroll(NAME, scroll_filter=some, order_by=m.OrderBy.model_validate(order), limit=r.randint(20, 20))[0]
             for client in (memory, server)]
    wanted, got = ([(p.order_value, p.payload) for p in side] for side in sides)
    if [w[0] for w in wanted] != [g[0] for g in got]:
        raise SystemExit(f"scroll by {order}, {some}:\n  wanted {wanted}\n  got    {got}")


def compare_matrices(r, memory, server):
    name = r.choice(NAMES)
    some = m.Filter(must=[m.HasVectorCondition(has_vector=name), m.Filter.model_validate(a_filter(r))])
    for method in ("search_matrix_pairs", "search_matrix_offsets"):
        wanted, got = (getattr(client, method)(NAME, query_filter=some, sample=POINTS * 2, limit=3, using=name)
                       for client in (memory, server))
        if method == "search_matrix_offsets":
            wanted, got = ([(x.ids[row], x.ids[col], score) for row, col, score in zip(x.offsets_row, x.offsets_col, x.scores)]
                           for x in (wanted, got))
        else:
            wanted, got = ([(p.a, p.b, p.score) for p in x.pairs] for x in (wanted, got))
        wanted, got = (sorted(x, key=lambda p: (p[0], round(-p[2], 3), p[1])) for x in (wanted, got))  # equals come in any order
        odd = [(w, g) for w, g in zip(wanted, got) if w[:2] != g[:2] or not close(w[2], g[2])]
        if odd or len(wanted) != len(got):
            raise SystemExit(f"{method} of {name!r}: {len(wanted)} and {len(got)} pairs, wanted and got {odd[:9]}")


# ---- the whole ----

def collection(r, memory, server):
    world = World(r)
    for client in (memory, server):
        for name, points in ((NAME, world.points), (OTHER, world.others)):
            client.delete_collection(name)
            client.create_collection(
                name, vectors_config={MULTI: m.VectorParams(size=3, distance=m.Distance.COSINE, multivector_config=MAX_SIM),
                                      **{n: m.VectorParams(size=size, distance=m.Distance(distance))
                                         for n, (distance, size) in DENSE.items()}},
                sparse_vectors_config={SPARSE: m.SparseVectorParams()},
                **({} if client is memory else {"shard_number": r.choice((1, 3))}))
            client.upsert(name, [m.PointStruct.model_validate(p) for p in points])
    for key, schema in (("n", "integer"), ("f", "float"), ("when", "datetime")):
        server.create_payload_index(NAME, key, schema)
    return world


def main():
    seed, cases, url, grpc_address = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    warnings.simplefilter("ignore")
    memory = QdrantClient(":memory:")
    port = int(grpc_address.rsplit(":", 1)[1])
    servers = [QdrantClient(url=url, grpc_port=port, prefer_grpc=by_grpc, timeout=60, check_compatibility=False)
               for by_grpc in (False, True)]
    done = answered = 0
    while done < cases:
        r = random.Random(f"{seed}/{done}")
        world = collection(r, memory, servers[0])
        for _ in range(min(QUERIES, cases - done)):
            q, server = query(r, world), servers[done % 2]
            if disagreement(memory, server, q) is not None:
                fail(f"seed {seed}, case {done}, {('REST', 'gRPC')[done % 2]}", memory, server, q)
            answered += bool(asked(server, q)[0])
            done += 1
            if done % 8 == 0:
                compare_groups(r, world, memory, server)
        compare_scrolls(r, memory, servers[done % 2])
        compare_matrices(r, memory, servers[done % 2])
    print(f"{done} queries agree; {answered} of them found something", flush=True)
    if answered * 2 < done:
        raise SystemExit("too few queries find anything")


main()
