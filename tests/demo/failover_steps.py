# SPDX-License-Identifier: Apache-2.0
"""Steps of the fleet's part in which the primary is killed: what goes on, what was promised and held, and what is taken back."""
import json
import subprocess
import time

import server as srv
from server import fleets

LEVELS = ("weak", "medium", "strong")
# Each is a write of its own, to a primary that nobody hears.
LOST = 20


class Failover:
    """Of fleet_part.Part."""

    def follower_writes(self, killed):
        """The region that is the primary in place of the killed one; None: there is none yet."""
        return next((n for n in fleets.DATA if n != killed and (self.fleet.status_of(n) or {}).get("role") == "primary"), None)

    def kill_primary(self):
        self.small_collection("load")
        old = self.primary()
        edge = self.fleet.region("edge")["ports"]["rest"]
        writers = {level: self.writers([edge], "load", (30 + i) * 1_000_000, f"&ordering={level}")
                   for i, level in enumerate(LEVELS)}
        try:
            for w in writers.values():
                w.more(100)
            self.fleet.kill(old)
            for w in writers.values():
                w.more(100)
        finally:
            acknowledged = {level: w.stop() for level, w in writers.items()}
        stood_still = {level: max(w.gaps) for level, w in writers.items()}
        new = srv.wait_for("another region is the primary", lambda: self.follower_writes(old), 30)
        begun = time.monotonic()
        self.fleet.start(old)
        srv.wait_for(f"{old} is ready", lambda: self.status(old)["ready"], 30)
        self.level()
        back = time.monotonic() - begun
        missing = {level: {n: self.missing(n, "load", ids) for n in fleets.DATA} for level, ids in acknowledged.items()}
        assert not any(missing["strong"].values()), f"strong writes are missing: {missing['strong']}"
        for level, by_region in missing.items():
            assert len(set(by_region.values())) == 1, f"regions do not miss the same {level} writes: {by_region}"
        return {"killed, next": f"{old}, {new}", "writes stood still for": ", ".join(f"{stood_still[level]:.1f} s {level}" for level in LEVELS),
                "back at the same position after": f"{back:.1f} s",
                "acknowledged": ", ".join(f"{len(acknowledged[level])} {level}" for level in LEVELS),
                "missing": ", ".join(f"{missing[level]['eu']} {level}" for level in LEVELS)}

    def orphans(self, name, *words):
        done = subprocess.run([srv.program("ISTHMUSCTL", "isthmusctl"), "orphans", *words, "--url", self.fleet.rest(name)],
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"isthmusctl orphans {' '.join(words)} in {name}: {done.stdout}{done.stderr}")
        return done.stdout

    def listed(self, name, epoch):
        """Of that epoch: an earlier step may have left some, too."""
        return [o for o in json.loads(self.orphans(name, "list", "--json"))["orphans"] if o["id"].startswith(f"{epoch}-")]

    def links_of(self, name, verb):
        for other in [n for n in self.fleet.state["regions"] if n != name]:
            self.fleet.relay_say(f"{verb} {name} {other}")
            self.fleet.relay_say(f"{verb} {other} {name}")

    def lose_writes(self, old):
        """Weak writes that the primary acknowledges while nobody hears it any more, before it is killed."""
        self.links_of(old, "cut")
        try:
            for i in range(LOST):
                status, _, text = self.rest(old).raw(
                    "PUT", "/collections/load/points?wait=true",
                    {"points": [{"id": 40_000_000 + i, "vector": [i] * 8, "payload": {"lost": i}}]})
                assert status == 200, text
            self.fleet.kill(old)
        finally:
            self.links_of(old, "heal")

    def decide_orphans(self):
        self.small_collection("load")
        old = self.primary()
        epoch = self.status(old)["epoch"]
        self.lose_writes(old)
        new = srv.wait_for("another region is the primary", lambda: self.follower_writes(old), 60)
        ids = [40_000_000 + i for i in range(LOST)]
        assert self.missing(new, "load", ids) == LOST, "what only the killed region had is elsewhere"
        self.fleet.start(old)
        srv.wait_for("every region lists what was taken back",
                     lambda: all(len(self.listed(n, epoch)) == LOST for n in fleets.DATA), 60)
        print("   " + "\n   ".join(self.orphans("edge", "list").splitlines()[:5]))
        lists = [self.listed(n, epoch) for n in [*fleets.DATA, "edge"]]
        assert all(x == lists[0] for x in lists), "the lists of the regions differ"
        half = [o["id"] for o in lists[0][:LOST // 2]]
        self.orphans("edge", "apply", *half)
        self.orphans("edge", "drop", "--all")
        self.level()
        missing = {n: self.missing(n, "load", ids) for n in fleets.DATA}
        assert set(missing.values()) == {LOST - len(half)}, missing
        report = self.audit()
        assert report["verdict"] == "equal", report
        return {"killed, next": f"{old}, {new}", "written by it alone": LOST, "listed in every region": LOST,
                "applied": len(half), "dropped": LOST - len(half), "audited": "all regions equal"}
