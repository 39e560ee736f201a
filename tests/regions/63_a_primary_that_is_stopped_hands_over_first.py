#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An elected primary that is stopped in order lets another region be elected first: under load, round the whole fleet, no write is
refused or of unknown outcome, and none that was acknowledged is missing."""

from lib_fleet import DATA, TestFleet, Writers, wait_for


def restart(fleet, name):
    fleet.stop(name)
    fleet.start(name)
    wait_for(f"{name} is ready", lambda: (fleet.status_of(name) or {}).get("ready"), 30)


def main():
    with TestFleet('failover = { mode = "auto"; };\n') as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        writers = Writers(fleet, ("edge",))
        moved = 0
        try:
            writers.more(50)
            for _ in DATA:
                before = wait_for("there is a primary", fleet.primary, 30)
                restart(fleet, before)
                after = wait_for("there is a primary", fleet.primary, 30)
                moved += before != after
                writers.more(50)
        finally:
            ids = writers.stop()
        assert moved == len(DATA), moved
        assert not writers.refused, writers.refused[:3]
        assert not writers.unknown, writers.unknown[:3]
        fleet.wait_level()
        for name in DATA:
            assert not fleet.missing(name, ids), name
        print(f"{len(ids)} writes, {moved} primaries stopped, the longest wait of a writer {writers.gap * 1000:.0f} ms")


if __name__ == "__main__":
    main()
