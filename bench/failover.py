#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long writes and reads stand still when the primary is killed, and when its role is handed over.

  ./dev bench failover [--rounds N] [--rate N] [--json FILE]

A fleet of three regions and an edge on this machine, failover.mode = auto and its times at their defaults. While writers
write through the edge (all of them together --rate a second) and readers read there, the primary (daemon and nats-server) is
killed with -9 and comes back, --rounds times; then its role is handed over as often. Printed are the distributions of
the longest time between two acknowledged writes, and what was refused.
"""
import argparse
import json
import os
import random
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "regions"))
from lib_fleet import DATA, TestFleet, srv, wait_for  # noqa: E402

THREADS = 4
GATE_KILL_S, GATE_SWITCH_S = 9.0, 2.0


class Load:
    """Threads that do one thing again and again; when each last succeeded, and what was refused."""

    def __init__(self, fleet, rate, what):
        self.fleet, self.what, self.pause = fleet, what, THREADS / rate
        self.lock, self.go_on = threading.Lock(), True
        self.done, self.refused, self.last, self.gap = 0, 0, time.monotonic(), 0.0
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(THREADS)]
        for t in self.threads:
            t.start()

    def run(self, number):
        rest, rng, n = self.fleet.client("edge", 30), random.Random(number), 0
        due = time.monotonic()
        while self.go_on:
            n += 1
            try:
                status = self.what(rest, rng, (number + 1) * 100_000_000 + n)
            except (OSError, srv.http.client.HTTPException):
                status = 0
                rest.close()
            now = time.monotonic()
            with self.lock:
                if status == 200:
                    self.done += 1
                    self.gap, self.last = max(self.gap, now - self.last), now
                else:
                    self.refused += 1
            due = max(due + self.pause, now - 1)
            if due > now:
                time.sleep(due - now)

    def begin(self):
        """The gap and the count of refused ones from here on."""
        with self.lock:
            self.gap, self.refused, self.last = 0.0, 0, time.monotonic()

    def more(self, n):
        have = self.done
        wait_for(f"{n} more are answered", lambda: self.done >= have + n, 120)

    def stop(self):
        self.go_on = False
        for t in self.threads:
            t.join()


def write(rest, rng, n):
    body = {"points": [{"id": n, "vector": [rng.random() for _ in range(4)]}]}
    return rest.raw("PUT", "/collections/c/points?wait=true", body)[0]


def read(rest, rng, _):
    return rest.raw("POST", "/collections/c/points/query", {"query": [rng.random() for _ in range(4)], "limit": 3})[0]


def killed(fleet, writes):
    old = fleet.primary()
    fleet.kill(old)
    writes.more(200)
    gap = writes.gap
    fleet.start(old)
    wait_for(f"{old} is back", lambda: (fleet.status_of(old) or {}).get("ready"), 60)
    fleet.wait_level()
    return gap


def handed_over(fleet, writes):
    old = wait_for("there is a primary", fleet.primary, 30)
    new = DATA[(DATA.index(old) + 1) % len(DATA)]
    fleet.ctl("edge", "switchover", "--to", new, "--json")
    writes.more(200)
    return writes.gap


def show(title, seconds, refused_writes, refused_reads, gate):
    s = sorted(seconds)
    row = {"what": title, "rounds": len(s), "min_s": s[0], "median_s": statistics.median(s), "p90_s": s[int(len(s) * 0.9)]
           if len(s) > 1 else s[0], "max_s": s[-1], "refused_writes": refused_writes, "refused_reads": refused_reads,
           "gate_s": gate}
    print(f"{title:34} {row['rounds']:6} {row['min_s']:8.2f} {row['median_s']:8.2f} {row['p90_s']:8.2f} {row['max_s']:8.2f} "
          f"{gate:6.1f}  {refused_writes:14} {refused_reads:13}", flush=True)
    return row


def main():
    ap = argparse.ArgumentParser(prog="./dev bench failover", description=__doc__.splitlines()[0])
    ap.add_argument("--rounds", type=int, default=20)
    ap.add_argument("--rate", type=int, default=1000, help="writes a second")
    ap.add_argument("--json", metavar="FILE")
    a = ap.parse_args()
    rows = []
    with TestFleet('failover = { mode = "auto"; };\naudit = { interval = "0ms"; };\n') as fleet:
        fleet.make_collection(fleet.primary())
        fleet.wait_level()
        writes, reads = Load(fleet, a.rate, write), Load(fleet, a.rate / 10, read)
        try:
            writes.more(1000)
            print(f"{'':34} {'rounds':>6} {'min s':>8} {'median s':>8} {'p90 s':>8} {'max s':>8} {'gate s':>6}  "
                  f"{'refused writes':>14} {'refused reads':>13}")
            for title, step, gate in (("the primary is killed", killed, GATE_KILL_S),
                                      ("the role is handed over", handed_over, GATE_SWITCH_S)):
                gaps, bad_writes, bad_reads = [], 0, 0
                for _ in range(a.rounds):
                    writes.begin()
                    reads.begin()
                    gaps.append(step(fleet, writes))
                    bad_writes, bad_reads = bad_writes + writes.refused, bad_reads + reads.refused
                rows.append(show(title, gaps, bad_writes, bad_reads, gate))
            begun, have = time.monotonic(), writes.done
            time.sleep(2)
            print(f"writes a second: {(writes.done - have) / (time.monotonic() - begun):.0f} of {a.rate} asked for")
        finally:
            writes.stop()
            reads.stop()
    if a.json:
        with open(a.json, "w", encoding="utf-8") as f:
            json.dump(rows, f, indent=1)
    sys.exit(0 if all(r["max_s"] <= r["gate_s"] for r in rows) else 1)


if __name__ == "__main__":
    main()
