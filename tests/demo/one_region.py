# SPDX-License-Identifier: Apache-2.0
"""One region alone: a complete durable vector search server, on the package descriptions that apt knows."""
import json
import os
import random
import threading
import time

import server as srv

COLLECTION = "packages"
DIM = 384
QUESTIONS = [
    ("chess playing program", ("chess",)),
    ("edit audio files", ("audio", "sound", "wav")),
    ("web server", ("web", "http", "server")),
    ("weather forecast", ("weather", "forecast")),
    ("convert images between formats", ("image", "convert", "picture")),
    ("password manager", ("password",)),
    ("astronomy telescope control", ("telescope", "astronom")),
    ("spell checker dictionary", ("spell", "dictionar")),
]


class Part:
    title = "Part 1: one server alone, on the descriptions of the packages that this machine's apt knows"

    def __init__(self):
        self.dir = self.server = None
        self.records = 0

    def steps(self):
        return [
            srv.Step("start", "Start one server without any regions", self.start),
            srv.Step("load", "Load the packages that apt knows", self.load, ("start",)),
            srv.Step("index", "Wait until the index is built", self.indexed, ("load",)),
            srv.Step("search", "Search in plain words", self.search, ("load",)),
            srv.Step("filter", "Search with filters", self.filtered, ("index",)),
            srv.Step("grpc", "The same answers by gRPC", self.by_grpc, ("index",)),
            srv.Step("refuse", "Refuse what is wrong, clearly", self.bad_input, ("load",)),
            srv.Step("kill", "Kill -9 under writes, start again", self.kill_under_load, ("load",)),
            srv.Step("restart", "Stop and start in order", self.restart, ("load",)),
        ]

    def start(self):
        self.server = srv.Server(os.path.join(self.dir, "one"))
        begun = time.monotonic()
        self.server.start()
        rest = self.server.rest()
        version = rest.call("GET", "/")
        return {"url": self.server.url, "speaks the API of Qdrant": version["version"],
                "ready after": f"{time.monotonic() - begun:.2f} s"}

    def load(self):
        begun = time.monotonic()
        self.server.ctl("import", "packages", "--collection", COLLECTION)
        took = time.monotonic() - begun
        self.records = self.server.rest().call("POST", f"/collections/{COLLECTION}/points/count", {})["count"]
        assert self.records >= 1000, f"only {self.records} packages"
        return {"packages": self.records, "packages/s": round(self.records / took)}

    def indexed(self):
        rest = self.server.rest()

        def green():
            info = rest.call("GET", f"/collections/{COLLECTION}")
            return info if info["status"] == "green" else None
        # Builders are nice: on a machine that is busy with other things they get little of it.
        info = srv.wait_for("the index is built", green, 300)
        assert info["points_count"] == self.records, info
        return {"segments": info["segments_count"], "indexed vectors": info["indexed_vectors_count"]}

    def ask(self, text, limit=5):
        reply = self.server.ctl("search", text, "--collection", COLLECTION, "--limit", str(limit), "--json").stdout
        return json.loads(reply)["result"]["points"]

    def search(self):
        figures = {}
        for text, words in QUESTIONS:
            hits = self.ask(text)
            assert len(hits) == 5, f"{text!r}: {len(hits)} answers"
            named = [h["payload"]["name"] + " " + h["payload"]["summary"] for h in hits]
            good = sum(any(w in n.lower() for w in words) for n in named)
            assert good >= 3, f"{text!r} gave {named}"
            figures[text] = ", ".join(h["payload"]["name"] for h in hits[:3])
        return figures

    def a_vector(self, rest):
        point = rest.call("POST", f"/collections/{COLLECTION}/points/scroll",
                          {"limit": 1, "with_vector": True, "offset": self.records // 2})["points"][0]
        return point["id"], point["vector"]

    def filtered(self):
        rest = self.server.rest()
        _, vector = self.a_vector(rest)
        wanted = {"must": [{"key": "section", "match": {"value": "games"}}]}
        count = rest.call("POST", f"/collections/{COLLECTION}/points/count", {"filter": wanted})["count"]
        body = {"query": vector, "filter": wanted, "limit": 20, "with_payload": True}
        before = rest.call("POST", f"/collections/{COLLECTION}/points/query", body)["points"]
        assert before and all(h["payload"]["section"] == "games" for h in before)
        rest.call("PUT", f"/collections/{COLLECTION}/index?wait=true",
                  {"field_name": "section", "field_schema": "keyword"})
        after = rest.call("POST", f"/collections/{COLLECTION}/points/query", body)["points"]
        exact = rest.call("POST", f"/collections/{COLLECTION}/points/query", dict(body, params={"exact": True}))["points"]
        assert [h["id"] for h in after] == [h["id"] for h in exact], "an indexed filter changed the answer"
        overlap = len({h["id"] for h in before} & {h["id"] for h in exact})
        assert overlap >= 18, f"only {overlap} of 20 found without the payload index"
        return {"packages in section games": count, "found of the exact 20 without an index": overlap}

    def by_grpc(self):
        rest = self.server.rest()
        _, vector = self.a_vector(rest)
        by_rest = rest.call("POST", f"/collections/{COLLECTION}/points/query", {"query": vector, "limit": 10})["points"]
        query = srv.field(1, srv.field(2, srv.floats(1, vector)))
        message = srv.field(1, COLLECTION) + srv.field(3, query) + srv.field(8, 10)
        status, words, reply = srv.grpc_call(self.server.grpc, "qdrant.Points/Query", message)
        assert status == 0, f"grpc-status {status} {words}"
        hits = [dict(srv.parse(v)) for n, v in srv.parse(reply) if n == 1]
        ids = [dict(srv.parse(h[1])).get(1, 0) for h in hits]
        assert ids == [h["id"] for h in by_rest], (ids, by_rest)
        return {"answers": len(ids)}

    def bad_input(self):
        rest = self.server.rest()
        path = f"/collections/{COLLECTION}/points"
        cases = [
            ("malformed JSON", "POST", path + "/query", b'{"query": [1, 2', 400),
            ("wrong dimension", "POST", path + "/query", {"query": [0.5, 0.5]}, 400),
            ("NaN", "POST", path + "/query", b'{"query": [NaN]}', 400),
            ("unknown collection", "POST", "/collections/nowhere/points/query", {"query": [1.0]}, 404),
            ("id of a wrong kind", "PUT", path, {"points": [{"id": "no-uuid", "vector": [0.0] * DIM}]}, 400),
            ("not built", "POST", f"/collections/{COLLECTION}/snapshots", {}, 501),
            ("unknown path", "GET", "/no/such/path", None, 404),
        ]
        figures = {}
        for name, verb, where, body, want in cases:
            status, _, text = rest.raw(verb, where, body)
            assert status == want, f"{name}: {status} instead of {want}: {text[:200]}"
            words = json.loads(text)["status"]["error"] if text[:1] == b"{" else ""
            figures[name] = f"{status} {words or '(no words, as in Qdrant)'}"
        return figures

    def kill_under_load(self):
        rest = self.server.rest()
        rest.call("PUT", "/collections/killed", {"vectors": {"size": 8, "distance": "Dot"}})
        acknowledged, stop = [], threading.Event()

        def write(worker):
            mine = self.server.rest(timeout=10)
            rng, n = random.Random(worker), 0
            while not stop.is_set():
                pid = worker * 1_000_000 + n
                body = {"points": [{"id": pid, "vector": [rng.random() for _ in range(8)], "payload": {"n": n}}]}
                try:
                    mine.call("PUT", "/collections/killed/points?wait=" + ("true" if n % 2 else "false"), body)
                except (OSError, RuntimeError, srv.http.client.HTTPException):
                    return
                acknowledged.append(pid)
                n += 1

        figures = {"kills": 3}
        slowest = 0.0
        for round_ in range(3):
            stop.clear()
            threads = [threading.Thread(target=write, args=(round_ * 10 + w,)) for w in range(4)]
            for t in threads:
                t.start()
            have = len(acknowledged)
            srv.wait_for("writes are acknowledged", lambda: len(acknowledged) >= have + 300, 60)
            self.server.kill()
            stop.set()
            for t in threads:
                t.join()
            begun = time.monotonic()
            self.server.start()
            slowest = max(slowest, time.monotonic() - begun)
            rest = self.server.rest()
            missing = 0
            for at in range(0, len(acknowledged), 500):
                part = acknowledged[at:at + 500]
                found = rest.call("POST", "/collections/killed/points", {"ids": part})
                missing += len(part) - len(found)
            assert missing == 0, f"{missing} of {len(acknowledged)} acknowledged points are missing after kill {round_ + 1}"
        count = rest.call("POST", f"/collections/{COLLECTION}/points/count", {})["count"]
        assert count == self.records, f"{count} packages of {self.records}"
        figures.update({"acknowledged writes": len(acknowledged), "missing": 0, "slowest start": f"{slowest:.2f} s"})
        return figures

    def restart(self):
        before = self.ask("web server", 10)
        status = self.server.stop()
        assert status == 0, f"isthmusd ended with {status}"
        begun = time.monotonic()
        self.server.start()
        took = time.monotonic() - begun
        after = self.ask("web server", 10)
        assert [h["id"] for h in before] == [h["id"] for h in after], "another answer after a restart"
        return {"ready after": f"{took:.2f} s"}

    def say_where(self):
        print(f"\nisthmusd runs at {self.server.url} (pid {self.server.proc.pid}).")
        print(f"  isthmusctl search --url {self.server.url} \"edit audio files\"")
        print(f"  kill {self.server.proc.pid} ends it.")

    def stop(self):
        if self.server:
            self.server.stop()
