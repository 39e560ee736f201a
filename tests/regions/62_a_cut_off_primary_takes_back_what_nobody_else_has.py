#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary that is cut off acknowledges weak writes until its lease ends; another region goes on. Healed, it takes back what nobody
else has and follows: all regions answer the same, and a client that saw such a write is told."""

import json

from lib_fleet import DATA, TestFleet, error_of, wait_for

FAILOVER = 'failover = { mode = "auto"; };\n'


def put(fleet, name, point, ordering="weak"):
    return fleet.client(name).raw("PUT", f"/collections/c/points?wait=true&ordering={ordering}",
                                  {"points": [{"id": point, "vector": [point, 1, 2, 3], "payload": {"by": name}}]})


def answer(fleet, name):
    status, _, text = fleet.client(name).raw("POST", "/collections/c/points/scroll", {"limit": 100, "with_vector": True})
    assert status == 200, (name, status, text)
    return json.dumps(json.loads(text)["result"], sort_keys=True)


def links(fleet, word, name):
    for other in DATA:
        if other != name:
            fleet.relay_say(f"{word} {name} {other}")


def main():
    with TestFleet(FAILOVER) as fleet:
        first = fleet.primary()
        fleet.make_collection(first)
        for point in range(1, 6):
            status, _, text = put(fleet, first, point, "strong")
            assert status == 200, (status, text)
        fleet.wait_level()

        links(fleet, "cut", first)
        alone = []
        for point in (1, 2, 100, 101):
            status, head, text = put(fleet, first, point)
            if status == 200:
                alone.append((point, head["isthmus-session"]))
        assert alone, text
        second = wait_for("another region is the primary",
                          lambda: next((n for n in DATA if n != first and
                                        (fleet.status_of(n) or {}).get("role") == "primary"), None), 60)
        status, _, text = put(fleet, second, 2)
        assert status == 200, (status, text)
        links(fleet, "heal", first)
        fleet.wait_level()

        answers = {n: answer(fleet, n) for n in DATA}
        assert len(set(answers.values())) == 1, answers
        points = {p["id"]: p["payload"]["by"] for p in json.loads(answers[first])["points"]}
        assert points == {1: first, 2: second, 3: first, 4: first, 5: first}, points
        for name in DATA:
            status, _, text = fleet.client(name).raw("GET", "/collections/c/points/1",
                                                     headers={"isthmus-session": alone[-1][1]})
            assert status == 412 and "did not survive" in error_of(text), (name, status, text)
        wait_for(f"{first} is ready", lambda: fleet.client(first).raw("GET", "/readyz")[0] == 200, 20)
        print(f"from {first} to {second}; {len(alone)} writes were taken back")


if __name__ == "__main__":
    main()
