# SPDX-License-Identifier: Apache-2.0
"""A fleet of its own for one script, and writers that know what was acknowledged."""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fleet"))
sys.path.insert(0, os.path.join(HERE, "..", "demo"))
import fleet as fleets  # noqa: E402
import server as srv  # noqa: E402

fleets.end_in_order()
DATA = fleets.DATA
wait_for = srv.wait_for


def skip(why):
    print(why)
    sys.exit(77)


class TestFleet(fleets.Fleet):
    """With up() in `with`, down and gone behind it."""

    def __init__(self, extra=""):
        if not os.environ.get("NATS_SERVER"):
            skip("nats-server is not there")
        self.parent = tempfile.mkdtemp(prefix="isthmus-fleet-")
        self.extra = extra
        super().__init__(os.path.join(self.parent, "f"))

    def __enter__(self):
        try:
            self.make(self.extra)
            self.up()
            wait_for("every region is ready", lambda: all(s["ready"] for s in self.status()), 30)
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind and self.state:
            for name in self.state["regions"]:
                sys.stderr.write(f"--- {name}\n{self.log_tail(name)}")
        if self.state and os.path.exists(self.path):
            self.down()
        shutil.rmtree(self.parent)

    def client(self, name, timeout=60):
        return srv.Rest(self.region(name)["ports"]["rest"], timeout=timeout)

    def grpc_port(self, name):
        return self.region(name)["ports"]["grpc"]

    def primary(self):
        return next((n for n in DATA if (self.status_of(n) or {}).get("role") == "primary"), None)

    def position(self, name):
        s = self.status_of(name)
        return (s["epoch"], s["seq"]) if s else None

    def wait_level(self, seconds=60):
        wait_for("all data regions stand at one position",
                 lambda: len({self.position(n) for n in DATA}) == 1 and self.position(DATA[0]), seconds)

    def ctl(self, name, *words):
        done = subprocess.run([os.environ["ISTHMUSCTL"], *words, "--url", self.rest(name)], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, f"isthmusctl {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def make_collection(self, name, collection="c"):
        self.client(name).call("PUT", f"/collections/{collection}", {"vectors": {"size": 4, "distance": "Dot"}})

    def missing(self, name, ids, collection="c"):
        rest, found = self.client(name), set()
        for at in range(0, len(ids), 1000):
            found |= {p["id"] for p in rest.call("POST", f"/collections/{collection}/points",
                                                 {"ids": ids[at:at + 1000]})}
        return sorted(set(ids) - found)


class Writers:
    """One thread for each region named; ids of its own. refused: clear noes, nothing was written. unknown: no answer, or one that
    says that the outcome is unknown."""

    def __init__(self, fleet, names, collection="c"):
        self.fleet, self.collection = fleet, collection
        self.acknowledged, self.refused, self.unknown, self.gap = [], [], [], 0.0
        self.go_on = True
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n, (i + 1) * 1_000_000)) for i, n in enumerate(names)]
        for t in self.threads:
            t.start()

    def run(self, name, first):
        rest, rng, n, last = self.fleet.client(name, 20), random.Random(first), 0, time.monotonic()
        while self.go_on:
            n += 1
            body = {"points": [{"id": first + n, "vector": [rng.random() for _ in range(4)], "payload": {"n": n}}]}
            try:
                status, _, text = rest.raw("PUT", f"/collections/{self.collection}/points?wait=true", body)
            except (OSError, srv.http.client.HTTPException) as e:
                status, text = 0, repr(e).encode()
                rest.close()
            now = time.monotonic()
            with self.lock:
                if status == 200:
                    self.acknowledged.append(first + n)
                    self.gap = max(self.gap, now - last)
                    last = now
                elif status == 0 or b"outcome unknown" in text:
                    self.unknown.append((first + n, status, text))
                else:
                    self.refused.append((first + n, status, text))

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def more(self, n, seconds=60):
        have = self.count()
        wait_for(f"{n} more writes are acknowledged", lambda: self.count() >= have + n, seconds)

    def stop(self):
        self.go_on = False
        for t in self.threads:
            t.join()
        return self.acknowledged


def upsert_message(collection, point, vector):
    """qdrant.UpsertPoints by hand: one point with a number for id, wait."""
    p = srv.field(1, srv.field(1, point)) + srv.field(4, srv.field(1, srv.floats(1, vector)))
    return srv.field(1, collection) + srv.field(2, 1) + srv.field(3, p)


def header_of(head, name):
    return head.get(name, "")


def error_of(text):
    return json.loads(text)["status"]["error"]
