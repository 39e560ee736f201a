#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client that keeps to one region and knows no session tokens, as those of Qdrant, reads what it wrote with wait=true, whichever
region it talks to."""

import sys

from lib_fleet import TestFleet

WRITES = 120


def write_and_read(client, name, i):
    client.call("PUT", "/collections/c/points?wait=true", {"points": [{"id": i, "vector": [i, 1.0, 2.0, 3.0],
                                                                      "payload": {"by": name}}]})
    assert client.call("POST", "/collections/c/points", {"ids": [i]}), (name, i)
    client.call("POST", "/collections/c/points/payload?wait=true", {"payload": {"turn": i}, "points": [i]})
    got = client.call("POST", "/collections/c/points", {"ids": [i], "with_payload": True})
    assert got[0]["payload"] == {"by": name, "turn": i}, (name, i, got)
    client.call("POST", "/collections/c/points/delete?wait=true", {"points": [i]})
    assert not client.call("POST", "/collections/c/points", {"ids": [i]}), (name, i)


def check_own_writes(fleet):
    for name in ("us", "ap", "edge", "eu"):
        client = fleet.client(name)
        for i in range(WRITES):
            write_and_read(client, name, 1 + i)


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        check_own_writes(fleet)


if __name__ == "__main__":
    sys.exit(main())
