# SPDX-License-Identifier: Apache-2.0
"""Three regions and an edge: writes anywhere, answers everywhere, faults on the way."""
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import server as srv
from failover_steps import Failover
from server import fleets

COLLECTION = "packages"
# Addresses in networks that have long been in these countries, and the middle of each country.
CLIENTS = [
    ("Germany", "46.4.1.1", 51.2, 10.4), ("Spain", "81.32.1.1", 40.2, -3.6), ("Egypt", "41.32.1.1", 26.5, 29.9),
    ("United States", "12.0.1.1", 39.8, -98.6), ("Canada", "24.48.1.1", 56.1, -106.3),
    ("Brazil", "177.32.1.1", -10.8, -52.9), ("Japan", "133.1.1.1", 36.5, 138.2),
    ("Australia", "1.128.1.1", -25.7, 134.5),
]


def km(a, b):
    """Great-circle distance of two (latitude, longitude) in degrees."""
    (lat1, lon1), (lat2, lon2) = [(math.radians(x), math.radians(y)) for x, y in (a, b)]
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(h))


class Writers:
    """Writers that go on until told to stop, and know what was acknowledged."""

    def __init__(self, urls, collection, first, headers=None, query=""):
        self.query = query
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
                status, _, _ = rest.raw("PUT", f"/collections/{collection}/points?wait=true{self.query}", body, headers)
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


class Part(Failover):
    title = "Part 2: three data regions and an edge in front of them, each with a nats-server of its own"

    def __init__(self):
        self.dir = self.fleet = None
        self.records = 0
        self.up = False

    def steps(self):
        return [
            srv.Step("regions", "Start three regions and an edge", self.start),
            srv.Step("everywhere", "Load the packages through a region that is not primary", self.load, ("regions",)),
            srv.Step("same-answer", "The same question gives the same answer in every region", self.same_answer,
                     ("everywhere",)),
            srv.Step("nearest", "Clients on six continents are sent to their nearest region", self.nearest,
                     ("everywhere",)),
            srv.Step("session", "A write in one region is read at once in another", self.session, ("regions",)),
            srv.Step("kill-secondary", "Kill -9 a secondary under load, wipe its JetStream", self.kill_secondary,
                     ("regions",)),
            srv.Step("switchover", "Switchover under load", self.switchover, ("regions",)),
            srv.Step("failover", "Kill -9 the primary under writes of all levels", self.kill_primary, ("regions",)),
            srv.Step("orphans", "What only a killed primary had is listed, and decided about", self.decide_orphans, ("regions",)),
            srv.Step("multi-writer", "Two regions write one point while their links are cut", self.both_write,
                     ("regions",)),
            srv.Step("dead-region", "A region dies: its clients are sent to the next", self.nearest_of_the_living,
                     ("everywhere",)),
            srv.Step("repair", "An audit finds and repairs a damaged point", self.audit_repairs, ("everywhere",)),
            srv.Step("last-audit", "A last audit: all regions are equal", self.last_audit, ("everywhere",)),
        ]

    # --- helpers ---

    def writers(self, urls, collection, first, query):
        return Writers(urls, collection, first, query=query)

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
        self.fleet = fleets.Fleet(os.path.join(self.dir, "fleet"))
        # Audits come when they are asked for: one that came by itself could repair what a step is about to look at.
        self.fleet.make('audit = { interval = "0ms"; };\nfailover = { mode = "auto"; };\n')
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
        srv.wait_for("every region has built its index", green, 300)
        figures = {}
        for text in ("chess playing program", "web server", "edit audio files"):
            answers = {n: [(h["id"], h["score"]) for h in self.question(n, text)] for n in [*fleets.DATA, "edge"]}
            assert len({json.dumps(a) for a in answers.values()}) == 1, f"{text!r}: {answers}"
            figures[text] = self.question("ap", text, 1)[0]["payload"]["name"]
        return figures

    def searches_of(self, name):
        """How many queries that region says it has answered itself."""
        text = self.rest(name).raw("GET", "/metrics")[2].decode()
        return sum(int(float(n)) for n in re.findall(r'^isthmus_shard_searches_total{collection="packages",[^}]*} (\S+)$',
                                                     text, re.M))

    def ask_as_clients(self, living):
        """Each client's search through the edge, in plain words; who answered is who is nearest of the living."""
        regions = {n: (self.fleet.region(n)["lat"], self.fleet.region(n)["lon"]) for n in living}
        vector = self.rest("eu" if "eu" in living else living[0]).call(
            "POST", f"/collections/{COLLECTION}/points/scroll", {"limit": 1, "with_vector": True})["points"][0]["vector"]
        figures = {}
        for country, address, lat, lon in CLIENTS:
            want = min(regions, key=lambda n: km((lat, lon), regions[n]))
            before = {n: self.searches_of(n) for n in living}
            status, head, text = self.rest("edge").raw(
                "POST", f"/collections/{COLLECTION}/points/query", {"query": vector, "limit": 3},
                {"x-forwarded-for": address})
            assert status == 200, f"{country}: {status} {text[:200]}"
            after = {n: self.searches_of(n) for n in living}
            counted = [n for n in living if after[n] > before[n]]
            assert head["isthmus-region"] == want and counted == [want], \
                f'{country} ({address}): answered by {head["isthmus-region"]}, counted by {counted}, nearest is {want}'
            figures[f"{country} ({address})"] = want
        return figures

    def nearest(self):
        if not self.fleet.state.get("geo"):
            raise RuntimeError("no ranges of addresses: Debian's tor-geoipdb could not be unpacked (GEOIP_DIR)")
        return self.ask_as_clients(fleets.DATA)

    def nearest_of_the_living(self):
        dead = next(n for n in fleets.DATA if n != self.primary())
        self.fleet.kill(dead)
        try:
            living = [n for n in fleets.DATA if n != dead]

            def noticed():
                explain = self.rest("edge").call("GET", "/isthmus/regions")
                rows = explain["regions"] if isinstance(explain, dict) else explain
                return not next(r for r in rows if r["name"] == dead)["connected"]
            srv.wait_for("the edge notices", noticed, 20)
            return {"killed": dead, **self.ask_as_clients(living)}
        finally:
            self.fleet.start(dead)
            srv.wait_for(f"{dead} is ready", lambda: self.status(dead)["ready"], 30)

    def set_key(self, name, key, value):
        """The session token of the write, which names it."""
        status, head, text = self.rest(name).raw("POST", "/collections/both/points/payload?wait=true",
                                                 {"points": [1], "payload": {key: value}})
        assert status == 200 and head["isthmus-region"] == name, (name, status, text)
        return head["isthmus-session"]

    def answer_of(self, name, headers=None):
        """What that region answers of the collection that all regions write; None when another had to answer for it."""
        status, head, text = self.rest(name).raw("POST", "/collections/both/points/scroll",
                                                 {"limit": 10, "with_vector": True}, headers)
        if status != 200 or head["isthmus-region"] != name:
            return None
        return text.split(b',"status"')[0]

    def has_applied(self, name, tokens):
        return all(self.answer_of(name, {"isthmus-session": t}) is not None for t in tokens)

    def make_both(self):
        """A collection that every region writes, with one point that all of them have."""
        status, _, text = self.rest("eu").raw("PUT", "/collections/both", {"vectors": {"size": 4, "distance": "Dot"}},
                                              {"isthmus-writers": "all"})
        assert status == 200, text
        srv.wait_for("all regions have the collection", lambda: all(
            self.rest(n).call("GET", "/collections/both/exists")["exists"] for n in fleets.DATA), 30)
        self.rest("ap").call("PUT", "/collections/both/points?wait=true",
                             {"points": [{"id": 1, "vector": [1, 2, 3, 4], "payload": {"colour": "none"}}]})
        srv.wait_for("the point is everywhere", lambda: all(
            b'"none"' in (self.answer_of(n) or b"") for n in fleets.DATA), 30)

    def all_links(self, word):
        for a, b in (("eu", "us"), ("eu", "ap"), ("us", "ap")):
            self.fleet.relay_say(f"{word} {a} {b}")

    def payload_of(self, name):
        return self.rest(name).call("GET", "/collections/both/points/1")["payload"]

    def both_write(self):
        self.make_both()
        self.all_links("cut")
        try:
            self.set_key("us", "seen in us", True)
            self.set_key("ap", "seen in ap", True)
            tokens = [self.set_key("us", "colour", "red"), self.set_key("ap", "colour", "blue")]
            assert len({self.answer_of(n) for n in fleets.DATA}) == 3, "the links are not cut"
        finally:
            self.all_links("heal")
        begun = time.monotonic()
        srv.wait_for("all regions have applied both regions' writes",
                     lambda: all(self.has_applied(n, tokens) for n in fleets.DATA), 60)
        took = time.monotonic() - begun
        # Who has applied the same writes, in whatever order, answers the same bytes: there is nothing to wait for any more.
        kept = {n: self.payload_of(n) for n in fleets.DATA}
        assert len({self.answer_of(n) for n in fleets.DATA}) == 1, f"regions that applied the same writes differ: {kept}"
        assert kept["eu"] == {"colour": "blue", "seen in us": True, "seen in ap": True}, \
            f'merging lost what nobody wrote over, or kept the older: {kept["eu"]}'
        self.conflict_is_told()
        return {"different keys": "both kept", "the same key": "ap's blue, which is the later; us's red is in the conflict log",
                "all regions equal after": f"{took:.1f} s"}

    def conflict_is_told(self):
        ctl = srv.program("ISTHMUSCTL", "isthmusctl")
        for n in fleets.DATA:
            done = subprocess.run([ctl, "conflicts", "--collection", "both", "--json", "--url", self.fleet.rest(n)],
                                  capture_output=True, text=True, timeout=30)
            if done.returncode != 0:
                raise RuntimeError(f"isthmusctl conflicts in {n}: {done.stdout}{done.stderr}")
            lost = [(c["field"], c["loser"]["region"], c["loser"]["value"]) for c in json.loads(done.stdout)["conflicts"]]
            assert lost == [("payload:colour", "us", "red")], f"the conflict log of {n} says {lost}"

    def audit(self, *words):
        ctl = srv.program("ISTHMUSCTL", "isthmusctl")
        done = subprocess.run([ctl, "audit", "run", "--json", "--url", self.fleet.rest("edge"), *words],
                              capture_output=True, text=True, timeout=110)
        if done.returncode != 0:
            raise RuntimeError(f"audit: {done.returncode} {done.stdout}{done.stderr}")
        return json.loads(done.stdout)[0]

    def audit_repairs(self):
        victim = next(n for n in fleets.DATA if n != self.primary())
        point = self.rest(victim).call("POST", f"/collections/{COLLECTION}/points/scroll", {"limit": 1})["points"][0]
        self.fleet.end(self.fleet.region(victim)["pid"]["isthmusd"], signal.SIGTERM)
        ctl = srv.program("ISTHMUSCTL", "isthmusctl")
        subprocess.run([ctl, "damage", "--data-dir", os.path.join(self.fleet.region(victim)["dir"], "data"),
                        "--collection", COLLECTION, "--id", str(point["id"]), "--what", "payload"], check=True,
                       stdout=subprocess.DEVNULL)
        self.fleet.start(victim)
        srv.wait_for(f"{victim} is ready", lambda: self.status(victim)["ready"], 30)

        def read(name):
            return self.rest(name).call("GET", f"/collections/{COLLECTION}/points/{point['id']}")["payload"]
        damaged = read(victim)
        assert damaged != point["payload"], "the damage is not to be seen"
        report = self.audit()
        assert report["repaired"] == 1 and report["unrepaired"] == 0, report
        assert [p["id"] for p in report["points"]] == [str(point["id"])], report["points"]
        assert read(victim) == point["payload"], "the point was not repaired"
        return {"damaged": f'point {point["id"]} in {victim}', "found as": report["points"][0]["class"], "repaired": 1}

    def last_audit(self):
        report = self.audit("--deep")
        standing = {r["name"]: r["standing"] for r in report["regions"]}
        assert report["verdict"] == "equal" and set(standing.values()) == {"equal"}, report
        epoch, seq = report["position"]
        return {"equal": ", ".join(sorted(standing)), "at": f"op {seq} of epoch {epoch}"}

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
        """Makes it, unless an earlier step did."""
        rest = self.rest(self.primary())
        if not rest.call("GET", f"/collections/{name}/exists")["exists"]:
            rest.call("PUT", f"/collections/{name}", {"vectors": {"size": 8, "distance": "Dot"}})
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
        return {"killed": victim, "acknowledged writes": len(acknowledged),
                "refused": writers.refused, "missing in any region": 0, "back at the same position after": f"{back:.1f} s"}

    def switchover(self):
        self.small_collection("load")
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
        assert writers.refused == 0, f"{writers.refused} writes were refused"
        return {"from, to": f"{old}, {new}", "acknowledged writes": len(acknowledged),
                "refused": 0, "missing in any region": 0, "longest pause of a writer": f"{max(writers.gaps) * 1000:.0f} ms"}

    # --- the end ---

    def say_where(self):
        print("\nThe fleet runs:")
        fleets.print_status(self.fleet.status(), False)

    def stop(self):
        if self.up:
            self.fleet.down()
            self.up = False
