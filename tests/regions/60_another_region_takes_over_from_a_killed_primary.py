#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary that is killed with its nats-server under writes of all levels is replaced by another region; what was acknowledged as
strong is there, the killed one comes back and follows, and all regions end equal."""

import time

from lib_fleet import DATA, TestFleet, Writers, wait_for

FAILOVER = 'failover = { mode = "auto"; };\n'


def strong(fleet, name, first, count):
    """Ids that were acknowledged as strong."""
    rest, done = fleet.client(name), []
    for n in range(first, first + count):
        status, _, _ = rest.raw("PUT", "/collections/c/points?wait=true&ordering=strong",
                                {"points": [{"id": n, "vector": [n, 1, 2, 3]}]})
        if status == 200:
            done.append(n)
    return done


def main():
    with TestFleet(FAILOVER) as fleet:
        first = fleet.primary()
        fleet.make_collection(first)
        fleet.wait_level()
        writers = Writers(fleet, ("edge", "us"))
        try:
            writers.more(50)
            ids = strong(fleet, "edge", 1, 50)
            assert len(ids) == 50, len(ids)
            killed = time.monotonic()
            fleet.kill(first)
            second = wait_for("another region is the primary",
                              lambda: next((n for n in DATA if n != first and
                                            (fleet.status_of(n) or {}).get("role") == "primary"), None), 60)
            writers.more(20)
            took = time.monotonic() - killed
            ids += strong(fleet, "edge", 1000, 20)
        finally:
            acknowledged = writers.stop()
        fleet.start(first)
        fleet.wait_level()
        for name in DATA:
            assert not fleet.missing(name, ids), (name, fleet.missing(name, ids))
        lost = {name: len(fleet.missing(name, acknowledged)) for name in DATA}
        assert len(set(lost.values())) == 1, lost
        fleet.ctl("edge", "audit", "run")
        print(f"from {first} to {second}; writes went on after {took:.1f} s; {len(ids)} strong writes, all there; of "
              f"{len(acknowledged)} weak ones {lost[second]} are orphans")


if __name__ == "__main__":
    main()
