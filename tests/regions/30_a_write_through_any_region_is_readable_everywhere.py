#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes by REST and gRPC through a secondary and through a gateway land on the primary; with the reply's session token
they are read at once in every other region; what only regions may say is believed of regions only."""

import json

from lib_fleet import TestFleet, srv, upsert_message, wait_for

ROUNDS = 60


def check_rest(fleet):
    writers = {n: fleet.client(n) for n in ("us", "edge", "ap", "eu")}
    readers = {n: fleet.client(n) for n in ("ap", "eu", "us", "edge")}
    for i in range(ROUNDS):
        through, at = list(writers)[i % 4], list(readers)[(i + i // 4) % 4]
        point = {"id": i, "vector": [i, 0, 0, 1], "payload": {"by": through}}
        status, head, text = writers[through].raw("PUT", "/collections/c/points?wait=true", {"points": [point]})
        assert status == 200, (through, status, text)
        assert head["isthmus-region"] == "eu" and head.get("isthmus-via", "") == ("" if through == "eu" else through), head
        status, _, text = readers[at].raw("GET", f"/collections/c/points/{i}", headers={"isthmus-session": head["isthmus-session"]})
        assert status == 200, (i, through, at, status, text)
        assert json.loads(text)["result"]["payload"] == {"by": through}, text


def check_grpc(fleet):
    for i, (through, at) in enumerate((("us", "ap"), ("edge", "us"), ("ap", "edge"))):
        point = 1000 + i
        status, words, reply = srv.grpc_call(fleet.grpc_port(through), "qdrant.Points/Upsert",
                                             upsert_message("c", point, [1, 2, 3, 4]))
        assert (status, words) == (0, ""), (through, status, words)
        # PointsOperationResponse.result.status: completed
        assert dict(srv.parse(dict(srv.parse(reply))[1]))[2] == 2, reply
        wait_for(f"{at} has it", lambda: not fleet.missing(at, [point]), 10)
        status, words, _ = srv.grpc_call(fleet.grpc_port(through), "qdrant.Points/Upsert",
                                         upsert_message("no-such", point, [1, 2, 3, 4]))
        assert status == 5 and "no-such" in words, (status, words)


def check_refusals(fleet):
    """An error of the primary comes back as it is; a token that names nothing is refused."""
    status, head, text = fleet.client("us").raw("PUT", "/collections/c/points", {"points": [{"id": 1, "vector": [1]}]})
    assert status == 400 and b"dimension" in text.lower(), (status, text)
    assert head["isthmus-region"] == "eu", head
    status, _, text = fleet.client("ap").raw("GET", "/collections/c/points/1", headers={"isthmus-session": "AAAA"})
    assert status == 400, (status, text)
    # The peers' own paths are unknown to clients, whatever they say of themselves.
    for headers in ({}, {"isthmus-access": "manage", "isthmus-hops": "1"}):
        status, _, _ = fleet.client("eu").raw("GET", "/isthmus/peer/standing?scope=0", headers=headers)
        assert status == 404, status


def check_session_of_the_gateway(fleet):
    """DDL through the gateway is seen by whoever shows the token."""
    status, head, _ = fleet.client("edge").raw("PUT", "/collections/d", {"vectors": {"size": 4, "distance": "Dot"}})
    assert status == 200
    names = fleet.client("ap").raw("GET", "/collections", headers={"isthmus-session": head["isthmus-session"]})[2]
    assert {"name": "d"} in json.loads(names)["result"]["collections"], names
    assert {"name": "d"} in fleet.client("edge").call("GET", "/collections")["collections"]


def check_staleness(fleet):
    """Who wants nothing stale is answered by the primary, whomever it asks."""
    for name in ("us", "ap", "edge"):
        status, head, _ = fleet.client(name).raw("GET", "/collections/c/points/1", headers={"isthmus-max-staleness-ms": "0"})
        assert (status, head["isthmus-region"], head["isthmus-staleness-ms"]) == (200, "eu", "0"), (name, status, head)
    status, head, _ = fleet.client("ap").raw("GET", "/collections/c/points/1", headers={"isthmus-max-staleness-ms": "60000"})
    assert (status, head["isthmus-region"]) == (200, "ap"), head


def check_regions(fleet):
    table = fleet.client("edge").call("GET", "/isthmus/regions")
    assert table["primary"] == "eu", table
    roles = {r["name"]: r["role"] for r in table["regions"]}
    assert roles == {"eu": "primary", "us": "secondary", "ap": "secondary", "edge": "gateway"}, roles
    assert all(r["connected"] and r["heard"] for r in table["regions"]), table
    assert "secondary" in fleet.ctl("us", "regions")


def main():
    with TestFleet() as fleet:
        fleet.make_collection("us")
        fleet.wait_level()
        check_rest(fleet)
        check_grpc(fleet)
        check_refusals(fleet)
        check_session_of_the_gateway(fleet)
        check_staleness(fleet)
        check_regions(fleet)


if __name__ == "__main__":
    main()
