#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A secondary is killed under load and its nats-server's store wiped: the writers notice nothing, and it comes back to the same
position. Then a secondary loses its own data as well, and fetches everything from a peer's log."""

import os
import shutil

from lib_fleet import DATA, TestFleet, Writers


def kill_and_wipe(fleet, name, data_too):
    fleet.kill(name)
    region = fleet.region(name)["dir"]
    shutil.rmtree(os.path.join(region, "nats"))
    if data_too:
        shutil.rmtree(os.path.join(region, "data"))


def check(fleet, name, data_too):
    elsewhere = [n for n in DATA + ["edge"] if n != name]
    writers = Writers(fleet, elsewhere)
    try:
        writers.more(100)
        kill_and_wipe(fleet, name, data_too)
        writers.more(300)
        fleet.start(name, parts=("hub", "nats"))
        fleet.provision()
        fleet.start(name)
        writers.more(100)
    finally:
        ids = writers.stop()
    assert not writers.refused, writers.refused[:3]
    assert not writers.unknown, writers.unknown[:3]
    fleet.wait_level(60)
    assert not fleet.missing(name, ids), name
    return ids


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        ids = check(fleet, "ap", False)
        # Ids are the same in both rounds, so the second one writes over the first one's.
        check(fleet, "us", True)
        for name in DATA:
            assert not fleet.missing(name, ids), name


if __name__ == "__main__":
    main()
