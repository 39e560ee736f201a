#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writers in every region go on while the primary's role is handed round: no write is refused or of unknown outcome, none that
was acknowledged is missing anywhere, and the table of regions follows."""

import json

from lib_fleet import DATA, TestFleet, Writers, wait_for

ROUND = ("us", "ap", "eu", "us", "eu")


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        writers = Writers(fleet, ("eu", "us", "ap", "edge"))
        try:
            writers.more(100)
            # Asked of whatever region: it goes to the one that writes.
            for i, to in enumerate(ROUND):
                told = json.loads(fleet.ctl(("edge", "us", "ap", "eu")[i % 4], "switchover", "--to", to, "--json"))
                assert told["to"] == to and told["pause_ms"] >= 0, told
                assert told["end"][0] >> 8 == (told["epoch"] >> 8) - 1 and told["end"][1] > 1, told
                wait_for(f"{to} says that it is the primary", lambda to=to: fleet.primary() == to, 10)
                writers.more(100)
        finally:
            ids = writers.stop()
        assert not writers.refused, writers.refused[:3]
        assert not writers.unknown, writers.unknown[:3]
        fleet.wait_level()
        for name in DATA + ["edge"]:
            assert not fleet.missing(name, ids), name
        status, _, text = fleet.client("us").raw("POST", "/isthmus/switchover", {"to": "edge"})
        assert status == 400 and b"data region" in text, (status, text)
        status, _, text = fleet.client("us").raw("POST", "/isthmus/switchover", {"to": "eu"})
        assert status == 400 and b"already" in text, (status, text)
        print(f"{len(ids)} writes, {len(ROUND)} switchovers, the longest wait of a writer {writers.gap * 1000:.0f} ms")


if __name__ == "__main__":
    main()
