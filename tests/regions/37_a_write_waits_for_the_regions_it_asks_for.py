#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""isthmus-ack asks for regions: all, a number, names; through whatever region, by REST and gRPC, in collections of one and of
several writers. While one region is cut off, what needs it is told to be open, and is there once the region is back."""

import json

from lib_fleet import DATA, TestFleet, error_of, srv, upsert_message, wait_for

VECTOR = [1, 2, 3, 4]


def put(fleet, name, point, ack=None, query="wait=true", collection="c"):
    return fleet.client(name).raw("PUT", f"/collections/{collection}/points?{query}", {"points": [{"id": point, "vector": VECTOR}]},
                                  headers={"isthmus-ack": ack} if ack is not None else {})


def has(fleet, name, point, collection="c"):
    return fleet.client(name).raw("POST", f"/collections/{collection}/points/count",
                                  {"filter": {"must": [{"has_id": [point]}]}, "exact": True})


def is_in(fleet, name, point, collection="c"):
    status, head, text = has(fleet, name, point, collection)
    assert (status, head["isthmus-region"]) == (200, name), (status, head, text)
    return json.loads(text)["result"]["count"] == 1


def levels(head):
    return head["isthmus-ack"].split(",")


def check_reached(fleet, collection):
    """What was acknowledged can be read in these regions at once."""
    point = 100
    for name in ("eu", "us", "edge"):
        for ack, need in (("all", DATA), ("3", DATA), ("ap", ["ap"]), ("us, eu", ["eu", "us"]), ("2", [])):
            point += 1
            status, head, text = put(fleet, name, point, ack, collection=collection)
            assert status == 200, (name, ack, status, text)
            got = head["isthmus-ack-regions"].split(",")
            assert set(need) <= set(got) and f"regions={len(got)}" in levels(head), (name, ack, head)
            assert len(got) >= 2 or ack == "ap", (name, ack, head)
            for region in got:
                assert is_in(fleet, region, point, collection), (name, ack, region)
    # Beside a level.
    status, head, text = put(fleet, "us", 150, "all", "wait=true&ordering=strong", collection)
    assert status == 200 and levels(head)[-2:] == ["confirmed", "regions=3"], (status, head, text)
    status, head, _ = put(fleet, "us", 151, collection=collection)
    assert status == 200 and "isthmus-ack-regions" not in head and levels(head)[:2] == ["local", "visible"], head


def check_impossible(fleet):
    for name in DATA + ["edge"]:
        for ack, words in (("4", "this fleet has 3"), ("0", "0 regions"), ("mars", "'mars' is no region"), ("edge", "is a gateway")):
            status, _, text = put(fleet, name, 9, ack)
            assert status == 400 and words in error_of(text), (name, ack, status, text)
        code, words, _ = srv.grpc_call(fleet.grpc_port(name), "qdrant.Points/Upsert", upsert_message("c", 9, VECTOR),
                                       ["isthmus-ack: 4"])
        assert code == 3 and "this fleet has 3" in words, (name, code, words)
    assert not is_in(fleet, "eu", 9)


def check_open(words, where, confirmed):
    """Of what most regions have nobody is told that it may be lost, and of nothing else that it stays."""
    assert f"written in {where} at (" in words, words
    told = "confirmed by most regions" in words
    assert told == ("open whether it survives " + where not in words), words
    assert confirmed is None or told == confirmed, (words, confirmed)


def cut_off(fleet, word):
    for other in ("eu", "us"):
        fleet.relay_say(f"{word} {other} ap")


def check_cut(fleet):
    cut_off(fleet, "cut")
    status, head, text = put(fleet, "edge", 1, "2")
    assert status == 200 and head["isthmus-ack-regions"] == "eu,us", (status, head, text)
    assert "confirmed" in levels(head), head
    for point, name, ack in ((2, "eu", "all"), (3, "us", "3"), (4, "edge", "eu,ap")):
        status, head, text = put(fleet, name, point, ack, "wait=true&timeout=1")
        assert status == 408, (name, ack, status, head, text)
        words = error_of(text)
        check_open(words, "eu", "confirmed" in levels(head))
        assert "ap" not in head["isthmus-ack-regions"].split(",") and head["isthmus-session"], head
    code, words, _ = srv.grpc_call(fleet.grpc_port("us"), "qdrant.Points/Upsert", upsert_message("c", 5, VECTOR),
                                   ["isthmus-ack: all", "grpc-timeout: 2S"])
    assert code == 4, (code, words)
    check_open(words, "eu", None)
    status, head, text = put(fleet, "us", 6, "all", "wait=true&timeout=1", "m")
    assert status == 408, (status, text)
    check_open(error_of(text), "us", "confirmed" in levels(head))
    status, head, text = put(fleet, "us", 7, "eu", "wait=true", "m")
    assert status == 200 and head["isthmus-ack-regions"] == "eu,us", (status, head, text)
    # The collection's own number.
    status, head, text = put(fleet, "us", 8, None, "wait=true&timeout=1", "three")
    assert status == 408, (status, text)
    check_open(error_of(text), "eu", "confirmed" in levels(head))
    status, head, text = put(fleet, "us", 9, "1", "wait=true&timeout=1", "three")
    assert status == 200, (status, text)

    cut_off(fleet, "heal")
    for collection, points in (("c", (1, 2, 3, 4, 5)), ("m", (6, 7)), ("three", (8, 9))):
        for point in points:
            for name in DATA:
                wait_for(f"{name} has point {point} of {collection}",
                         lambda p=point, n=name, c=collection: is_in(fleet, n, p, c), 30)


def main():
    with TestFleet() as fleet:
        vectors = {"size": 4, "distance": "Dot"}
        for name, more, head in (("c", {}, {}), ("m", {}, {"isthmus-writers": "all"}), ("three", {"write_consistency_factor": 3}, {})):
            # Changes of collections wait for regions, too.
            status, answer, text = fleet.client("us").raw("PUT", f"/collections/{name}", {"vectors": vectors, **more},
                                                          headers={"isthmus-ack": "all", **head})
            assert status == 200 and answer["isthmus-ack-regions"] == "eu,us,ap", (status, answer, text)
        shown = fleet.client("ap").call("GET", "/collections/three")["config"]["params"]
        assert shown["write_consistency_factor"] == 3, shown
        check_reached(fleet, "c")
        check_reached(fleet, "m")
        check_impossible(fleet)
        status, head, text = put(fleet, "us", 1, None, "wait=true", "three")
        assert status == 200 and head["isthmus-ack-regions"] == "eu,us,ap", (status, head, text)
        check_cut(fleet)
        metrics = fleet.client("eu").raw("GET", "/metrics")[2].decode()
        for outcome in ("reached", "missed"):
            assert f'isthmus_acknowledgements_total{{asked="regions",outcome="{outcome}"}}' in metrics, metrics


if __name__ == "__main__":
    main()
