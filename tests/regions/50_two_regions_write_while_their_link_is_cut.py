#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A collection that every region writes: two regions change one point while nothing passes between any of the three. Once healed,
changes of different keys are both there, of the same key one; all regions answer the same bytes and tell what was lost."""

import json

from lib_fleet import DATA, TestFleet, error_of, wait_for

POINT = "/collections/m/points/1"


def set_key(fleet, name, key, value):
    status, head, text = fleet.client(name).raw("POST", "/collections/m/points/payload?wait=true",
                                                {"points": [1], "payload": {key: value}})
    assert status == 200, (name, status, text)
    assert head["isthmus-region"] == name and "isthmus-via" not in head, head
    return head


def answer(fleet, name):
    status, _, text = fleet.client(name).raw("POST", "/collections/m/points/scroll", {"limit": 100, "with_vector": True})
    assert status == 200, (name, status, text)
    return json.dumps(json.loads(text)["result"], sort_keys=True)


def level(fleet):
    return len({answer(fleet, n) for n in DATA}) == 1


def links(fleet, word):
    for a, b in (("eu", "us"), ("eu", "ap"), ("us", "ap")):
        fleet.relay_say(f"{word} {a} {b}")


def main():
    with TestFleet() as fleet:
        status, _, text = fleet.client("eu").raw("PUT", "/collections/m", {"vectors": {"size": 4, "distance": "Dot"}},
                                                 headers={"isthmus-writers": "all"})
        assert status == 200, (status, text)
        wait_for("all have it", lambda: all(fleet.client(n).call("GET", "/collections/m/exists")["exists"] for n in DATA), 20)

        # Every region takes writes of its own; what a filter would find is refused.
        for i, n in enumerate(DATA):
            body = {"points": [{"id": i + 1, "vector": [i, 1, 0, 0], "payload": {"by": n}}]}
            status, head, text = fleet.client(n).raw("PUT", "/collections/m/points?wait=true&ordering=strong", body)
            assert (status, head["isthmus-region"]) == (200, n), (n, status, head, text)
        status, _, text = fleet.client("us").raw("POST", "/collections/m/points/payload?wait=true", {"filter": {}, "payload": {"x": 1}})
        assert status == 400 and "isthmus-conditional" in error_of(text), (status, text)
        wait_for("all regions answer the same", lambda: level(fleet), 20)

        # The token of a write is honoured elsewhere.
        head = set_key(fleet, "ap", "k", 1)
        status, _, text = fleet.client("us").raw("GET", POINT, headers={"isthmus-session": head["isthmus-session"]})
        assert status == 200 and json.loads(text)["result"]["payload"]["k"] == 1, (status, text)

        wait_for("all regions answer the same", lambda: level(fleet), 20)
        links(fleet, "cut")
        set_key(fleet, "us", "colour", "red")
        set_key(fleet, "ap", "size", 9)
        set_key(fleet, "us", "k", "of us")
        set_key(fleet, "ap", "k", "of ap")
        assert "size" not in json.loads(answer(fleet, "us"))["points"][0]["payload"]
        links(fleet, "heal")
        wait_for("all regions answer the same", lambda: level(fleet), 60)
        payload = json.loads(answer(fleet, "eu"))["points"][0]["payload"]
        assert (payload["colour"], payload["size"], payload["k"]) == ("red", 9, "of ap"), payload

        for n in DATA:
            found = json.loads(fleet.ctl(n, "conflicts", "--collection", "m", "--json"))["conflicts"]
            assert [(c["id"], c["field"], c["winner"]["region"], c["loser"]["region"], c["loser"]["value"], c["reason"])
                    for c in found] == [("1", "payload:k", "ap", "us", "of us", "lww")], (n, found)
            assert "of us" in fleet.ctl(n, "conflicts"), n


if __name__ == "__main__":
    main()
