#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary that is cut off goes on for as long as its lease lasts. What it wrote then is taken back when it returns, is listed
by every region as orphans, named to the client who wrote it, and decided about through any region; what was written since
is not beaten by it."""

import json
import os
import tempfile

from lib_fleet import DATA, TestFleet, wait_for

FAILOVER = 'failover = { mode = "auto"; hold = "1500ms"; wait = "2500ms"; renew = "300ms"; };\n'


def cut(fleet, name, verb):
    for other in [n for n in fleet.state["regions"] if n != name]:
        fleet.relay_say(f"{verb} {name} {other}")
        fleet.relay_say(f"{verb} {other} {name}")


def listed(fleet, name, *words):
    return json.loads(fleet.ctl(name, "orphans", *words, "--json"))


def payload(fleet, name, point):
    return fleet.client(name).call("GET", f"/collections/c/points/{point}")["payload"]


def metric(fleet, name, state):
    _, _, text = fleet.client(name).raw("GET", "/metrics")
    line = next(x for x in text.decode().splitlines() if x.startswith(f'isthmus_orphans{{state="{state}"}}'))
    return float(line.split()[-1])


def lose(fleet, first):
    """Writes of a primary that nobody else gets; the session token of the last."""
    rest = fleet.client(first)
    points = [{"id": n, "vector": [n, 1, 2, 3], "payload": {"k": 0}} for n in range(1, 11)]
    rest.call("PUT", "/collections/c/points?wait=true", {"points": points})
    fleet.wait_level()
    cut(fleet, first, "cut")
    rest.call("PUT", "/collections/c/points?wait=true",
              {"points": [{"id": n, "vector": [n, 1, 2, 3]} for n in range(100, 105)]})
    status, headers, text = rest.raw("POST", "/collections/c/points/payload?wait=true",
                                     {"payload": {"k": 5, "lost": 1}, "points": [1]})
    assert status == 200, text
    return {k.lower(): v for k, v in dict(headers).items()}["isthmus-session"]


def main():
    with TestFleet(FAILOVER) as fleet:
        first = wait_for("there is a primary", fleet.primary, 30)
        fleet.make_collection(first)
        token = lose(fleet, first)
        second = wait_for("another region is the primary",
                          lambda: next((n for n in DATA if n != first and
                                        (fleet.status_of(n) or {}).get("role") == "primary"), None), 30)
        fleet.client(second).call("POST", "/collections/c/points/payload?wait=true", {"payload": {"k": 6}, "points": [1]})
        cut(fleet, first, "heal")
        wait_for("every region lists both",
                 lambda: all(listed(fleet, n)["totals"] | {"local": 0, "open": 2} == listed(fleet, n)["totals"] for n in DATA),
                 30)
        fleet.wait_level()

        lists = [listed(fleet, n)["orphans"] for n in [*DATA, "edge"]]
        assert all(x == lists[0] for x in lists), lists
        upsert, change = lists[0]
        assert (upsert["kind"], upsert["points"], upsert["collection"]) == ("upsert", 5, "c"), upsert
        assert (change["kind"], change["region"], change["state"]) == ("set-payload", first, "open"), change
        for name in DATA:
            status, _, text = fleet.client(name).raw("POST", "/collections/c/points", {"ids": [1]},
                                                     headers={"isthmus-session": token})
            assert status == 412 and change["id"] in text.decode(), (name, status, text)
            assert fleet.missing(name, [100]) == [100]
        shown = fleet.ctl("edge", "orphans", "show", change["id"])
        assert "point 1" in shown and '"k":6' in shown and '"lost":1' in shown, shown
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "lost.jsonl")
            fleet.ctl(second, "orphans", "export", "--all", "-o", path)
            lines = [json.loads(x) for x in open(path, encoding="utf-8")]
        assert [len(x["op"]["points"]) for x in lines] == [5, 1], lines

        assert "1 applied, 0 dropped, 0 refused" in fleet.ctl("edge", "orphans", "apply", upsert["id"])
        assert "1 applied, 0 dropped, 0 refused" in fleet.ctl(first, "orphans", "apply", "--all")
        fleet.wait_level()
        for name in DATA:
            assert not fleet.missing(name, list(range(100, 105))), name
            assert payload(fleet, name, 1) == {"k": 6, "lost": 1}, (name, payload(fleet, name, 1))
            assert listed(fleet, name)["orphans"] == [] and len(listed(fleet, name, "--all")["orphans"]) == 2
            wait_for(f"{name} counts them", lambda n=name: metric(fleet, n, "applied") == 2, 10)
        fleet.ctl("edge", "audit", "run")


if __name__ == "__main__":
    main()
