# SPDX-License-Identifier: Apache-2.0
"""Three regions and an edge: writes anywhere, answers everywhere, faults on the way."""
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time

import server as srv

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fleet"))
import fleet as fleets  # noqa: E402

COLLECTION = "packages"
# Addresses of well-known networks, by the country that the country ranges give them.
CLIENTS = [
    ("Germany", "46.4.1.1", "eu"), ("Spain", "81.32.1.1", "eu"), ("United States", "12.0.1.1", "us"),
    ("Canada", "24.48.1.1", "us"), ("Brazil", "177.32.1.1", "us"), ("Japan", "133.1.1.1", "ap"),
    ("Australia", "1.128.1.1", "ap"), ("South Africa", "196.21.1.1", "eu"),
]


class Writers:
    """Writers that go on until told to stop, and know what was acknowledged."""

    def __init__(self, urls, collection, first, headers=None):
        self.acknowledged, self.refused, self.gaps = [], 0, []
        self.stop_event = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(url, collection, first + i * 1_000_000, headers))
                        for i, url in enumerate(urls)]
        for t in self.threads:
            t.start()

    def run(self, port, collection, first, headers):
        rest, rng, n = srv.Rest(port, timeout=20), random.Random(first), 0
        last = time.monotonic()
        while not self.stop_event.is_set():
            body = {"points": [{"id": first + n, "vector": [rng.random() for _ in range(8)], "payload": {"n": n}}]}
            n += 1
            try:
                status, _, _ = rest.raw("PUT", f"/collections/{collection}/points?wait=true", body, headers)
            except (OSError, srv.http.client.HTTPException):
                status = 0
                rest.close()
            now = time.monotonic()
            with self.lock:
                if status == 200:
                    self.acknowledged.append(first + n - 1)
                    self.gaps.append(now - last)
                    last = now
                else:
                    self.refused += 1
            if status != 200:
                self.stop_event.wait(0.02)

    def count(self):
        with self.lock:
            return len(self.acknowledged)

    def more(self, n, seconds=60):
        have = self.count()
        srv.wait_for(f"{n} more writes are acknowledged", lambda: self.count() >= have + n, seconds)

    def stop(self):
        self.stop_event.set()
        for t in self.threads:
            t.join()
        return self.acknowledged


class Part:
    def __init__(self, folder):
        self.fleet = fleets.Fleet(os.path.join(folder, "fleet"))
        self.records = 0
        self.up = False

    def steps(self):
        return [
            ("Start three regions and an edge", self.start),
            ("Load the packages through a region that is not primary", self.load),
            ("The same question gives the same answer in every region", self.same_answer),
            ("A write in one region is read at once in another", self.session),
            ("Kill -9 a secondary under load, wipe its JetStream", self.kill_secondary),
            ("Switchover under load", self.switchover),
        ]

    # --- helpers ---

    def rest(self, name):
        return srv.Rest(self.fleet.region(name)["ports"]["rest"])

    def status(self, name):
        s = self.fleet.status_of(name)
        assert s, f"region {name} does not answer:\n{self.fleet.log_tail(name)}"
        return s

    def primary(self):
        return next(n for n in fleets.DATA if (self.fleet.status_of(n) or {}).get("role") == "primary")

    def position(self, name):
        s = self.status(name)
        return s["epoch"], s["seq"]

    def level(self, seconds=60):
        """All data regions stand at one position."""
        def equal():
            return len({self.position(n) for n in fleets.DATA}) == 1
        begun = time.monotonic()
        srv.wait_for("all regions stand at one position", equal, seconds)
        return time.monotonic() - begun

    def question(self, name, text, limit=10):
        ctl = srv.program("ISTHMUSCTL", "isthmusctl")
        done = subprocess.run([ctl, "search", text, "--collection", COLLECTION, "--limit", str(limit), "--json",
                               "--url", self.fleet.rest(name)], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"search in {name}: {done.stderr}")
        return json.loads(done.stdout)["result"]["points"]

    def missing(self, name, collection, ids):
        rest, gone = self.rest(name), 0
        for at in range(0, len(ids), 1000):
            part = ids[at:at + 1000]
            gone += len(part) - len(rest.call("POST", f"/collections/{collection}/points", {"ids": part}))
        return gone

    # --- steps ---

    def start(self):
        begun = time.monotonic()
        self.fleet.make()
        self.up = True
        self.fleet.up()
        srv.wait_for("a primary", lambda: any((self.fleet.status_of(n) or {}).get("role") == "primary"
                                              for n in fleets.DATA), 30)
        srv.wait_for("every region is ready", lambda: all(self.status(n)["ready"] for n in fleets.DATA), 30)
        return {"regions": ", ".join(f'{n} ({self.status(n)["role"]})' for n in self.fleet.state["regions"]),
                "all ready after": f"{time.monotonic() - begun:.1f} s"}

    def load(self):
        through = next(n for n in fleets.DATA if n != self.primary())
        ctl = srv.program("ISTHMUSCTL", "isthmusctl")
        begun = time.monotonic()
        done = subprocess.run([ctl, "import", "packages", "--collection", COLLECTION, "--url", self.fleet.rest(through)],
                              capture_output=True, text=True, timeout=280)
        if done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        took = time.monotonic() - begun
        behind = self.level(120)
        counts = {n: self.rest(n).call("POST", f"/collections/{COLLECTION}/points/count", {})["count"]
                  for n in fleets.DATA}
        assert len(set(counts.values())) == 1 and min(counts.values()) >= 1000, counts
        self.records = counts["eu"]
        return {"through": through, "packages": self.records, "packages/s": round(self.records / took),
                "everywhere after another": f"{behind:.1f} s"}

    def same_answer(self):
        def green():
            return all(self.rest(n).call("GET", f"/collections/{COLLECTION}")["status"] == "green" for n in fleets.DATA)
        srv.wait_for("every region has built its index", green, 180)
        figures = {}
        for text in ("chess playing program", "web server", "edit audio files"):
            answers = {n: [(h["id"], h["score"]) for h in self.question(n, text)] for n in [*fleets.DATA, "edge"]}
            assert len({json.dumps(a) for a in answers.values()}) == 1, f"{text!r}: {answers}"
            figures[text] = self.question("ap", text, 1)[0]["payload"]["name"]
        return figures

    def session(self):
        for name in ("us", "edge"):
            rest = self.rest(name)
            status, head, text = rest.raw("PUT", "/collections/notes", {"vectors": {"size": 4, "distance": "Dot"}})
            assert status in (200, 409), text
        slowest = 0.0
        for n in range(50):
            body = {"points": [{"id": n, "vector": [1, 2, 3, n], "payload": {"n": n}}]}
            status, head, text = self.rest("us").raw("PUT", "/collections/notes/points?wait=true", body)
            assert status == 200 and "isthmus-session" in head, (status, head, text)
            begun = time.monotonic()
            status, reply, text = self.rest("ap").raw("POST", "/collections/notes/points", {"ids": [n]},
                                                      {"isthmus-session": head["isthmus-session"]})
            slowest = max(slowest, time.monotonic() - begun)
            assert status == 200 and len(json.loads(text)["result"]) == 1, f"write {n} is not there: {text[:200]}"
        return {"writes in us read in ap": 50, "slowest read": f"{slowest * 1000:.0f} ms",
                "answered by": reply["isthmus-region"]}

    def small_collection(self, name):
        self.rest(self.primary()).call("PUT", f"/collections/{name}", {"vectors": {"size": 8, "distance": "Dot"}})
        self.level()

    def kill_secondary(self):
        self.small_collection("load")
        primary = self.primary()
        victim = next(n for n in fleets.DATA if n != primary)
        ports = [self.fleet.region(n)["ports"]["rest"] for n in (primary, "edge")]
        writers = Writers(ports, "load", 10_000_000)
        try:
            writers.more(300)
            self.fleet.kill(victim)
            shutil.rmtree(os.path.join(self.fleet.region(victim)["dir"], "nats"), ignore_errors=True)
            writers.more(500)
            self.fleet.start(victim, parts=("hub", "nats"))
            self.fleet.provision()
            begun = time.monotonic()
            self.fleet.start(victim)
            writers.more(300)
        finally:
            acknowledged = writers.stop()
        self.level()
        back = time.monotonic() - begun
        missing = {n: self.missing(n, "load", acknowledged) for n in fleets.DATA}
        assert not any(missing.values()), f"missing: {missing} of {len(acknowledged)}"
        return {"killed": victim, "acknowledged": len(acknowledged), "refused meanwhile": writers.refused,
                "missing anywhere": 0, "level again after": f"{back:.1f} s"}

    def switchover(self):
        old = self.primary()
        new = next(n for n in fleets.DATA if n != old)
        ports = [self.fleet.region(n)["ports"]["rest"] for n in (old, new, "edge")]
        writers = Writers(ports, "load", 20_000_000)
        try:
            writers.more(500)
            ctl = srv.program("ISTHMUSCTL", "isthmusctl")
            done = subprocess.run([ctl, "switchover", "--to", new, "--json", "--url", self.fleet.rest("edge")],
                                  capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
            writers.more(500)
        finally:
            acknowledged = writers.stop()
        assert self.primary() == new, f"the primary is {self.primary()}"
        self.level()
        missing = {n: self.missing(n, "load", acknowledged) for n in fleets.DATA}
        assert not any(missing.values()), f"missing: {missing} of {len(acknowledged)}"
        return {"from, to": f"{old}, {new}", "acknowledged": len(acknowledged), "refused": writers.refused,
                "missing": 0, "longest pause of a writer": f"{max(writers.gaps) * 1000:.0f} ms"}

    # --- the end ---

    def say_where(self):
        print("\nThe fleet runs:")
        fleets.print_status(self.fleet.status(), False)

    def stop(self):
        if self.up:
            self.fleet.down()
