#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wrong names, parameters, points and indexes are refused with the status that fits, in words that name what is wrong and where it
stands; strangers are refused before anything of theirs is unpacked."""

import gzip
import json
import struct
import subprocess

from lib_daemon import PATIENCE_S, Daemon

KEY = "secret"
PLAIN = {"vectors": {"size": 2, "distance": "Dot"}}
POINT = {"points": [{"id": 1, "vector": [1, 2]}]}
POINTS = "/collections/c/points"
PATH, QUERY, BODY = "Validation error in path parameters: ", "Deserialize error in query parameters: ", "Format error in JSON body: "

# Request, status, and what its words begin with or have.
REST = [
    ("PUT", "/collections/a%3Ab", PLAIN, 422, PATH + '[collection_name: cannot contain ":" char; possible is UTF-8 without < > : " / \\ | ? *'),
    ("PUT", "/collections/a%1Fb", PLAIN, 422, PATH + '[collection_name: cannot contain "\\x1f" char'),
    ("PUT", "/collections/" + "x" * 256, PLAIN, 422, PATH + "[collection_name: length 256 invalid, must be from 1 to 255 bytes]"),
    ("PUT", "/collections/v", {"vectors": {"a/b": PLAIN["vectors"]}}, 422,
     'Validation error in JSON body: [vector_name: cannot contain "/" char'),
    ("PUT", POINTS + "?timeout=abc", POINT, 400, QUERY + "timeout: `abc` is not a whole number from 0 to 18446744073709551615"),
    ("PUT", POINTS + "?wait=maybe", POINT, 400, QUERY + "wait: `maybe` is not `true` or `false`"),
    ("PUT", POINTS + "?ordering=foo", POINT, 400, QUERY + "ordering: `foo` is not `weak`, `medium` or `strong`"),
    ("POST", POINTS + "/count?consistency=foo", {}, 400, QUERY + "consistency: `foo` is not a whole number, `majority`, `quorum` or `all`"),
    ("GET", POINTS + "/abc", None, 400, 'Wrong input: Can not recognize "abc" as point id'),
    # A point without vectors is asked for by an empty map of them.
    ("PUT", POINTS, {"points": [{"id": 2}]}, 400, BODY + "missing field `vector`"),
    ("PUT", POINTS, {"points": [{"id": 2, "vector": None}]}, 400, BODY),
    ("PUT", POINTS, {"points": [{"id": 2, "vector": []}]}, 400, "Wrong input: Vector dimension error: expected dim: 2, got 0"),
    ("PUT", POINTS, '{"points": [{"id": 2, "id": 3, "vector": [1, 2]}]}', 400, BODY + "duplicate field `id`"),
    ("PUT", POINTS, {"points": [{"id": 2, "vector": [1, 2], "payload": {"a": "x" * 800000}}]}, 413,
     "bytes with its payload and vectors; at most 786304 are possible"),
    ("POST", POINTS + "/payload", {"points": [1], "payload": {"a": "x" * 800000}}, 413, "at most 785344 are possible"),
]


def ask(d, verb, path, body, headers):
    connection = d.connect()
    connection.request(verb, path, json.dumps(body) if isinstance(body, dict) else body, headers)
    reply = connection.getresponse()
    status, text = reply.status, reply.read().decode()
    connection.close()
    return status, json.loads(text)["status"]["error"] if text.startswith("{") and status != 200 else text


def check_rest(d):
    for verb, path, body, wanted, words in REST:
        status, said = ask(d, verb, path, body, {"api-key": KEY})
        assert status == wanted and words in said, (verb, path[:80], str(body)[:80], status, said)
    # None of it was done, not even by half.
    d.good("PUT", POINTS + "?wait=true", {"points": [{"id": 5, "vector": {}, "payload": {"a": 1}}]}, key=KEY)
    points = d.good("POST", POINTS + "/scroll", {"with_vector": True}, key=KEY)["points"]
    assert points == [{"id": 1, "payload": {}, "vector": [1.0, 2.0]}, {"id": 5, "payload": {"a": 1}, "vector": {}}], points
    assert d.good("GET", "/collections/c", key=KEY)["payload_schema"] == {}


def grpc_head(d, method, frame, *headers):
    headers = ["content-type: application/grpc", "te: trailers", *headers]
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "--data-binary", "@-", "--max-time", "20"]
        + [word for header in headers for word in ("-H", header)] + [f"http://127.0.0.1:{d.grpc_port}/{method}"],
        input=frame, capture_output=True, timeout=PATIENCE_S, check=False)
    return done.stdout.decode(errors="replace")


def check_strangers(d):
    """What is no gzip at all shows whether it was looked at before the key."""
    for body, good in ((b"no gzip", 400), (gzip.compress(json.dumps(POINT).encode()), 200)):
        for key, wanted in ((None, 401), ("wrong", 401), (KEY, good)):
            headers = {"content-encoding": "gzip", **({"api-key": key} if key else {})}
            status, said = ask(d, "PUT", POINTS, body, headers)
            assert status == wanted, (key, status, said)
    assert ask(d, "PUT", "/nowhere", b"no gzip", {"content-encoding": "gzip"})[0] == 401
    frame = struct.pack(">BI", 1, 7) + b"no gzip"
    for headers, wanted in (((), 16), ((f"api-key: {KEY}",), 3)):
        head = grpc_head(d, "qdrant.Points/Upsert", frame, "grpc-encoding: gzip", *headers)
        assert f"grpc-status: {wanted}\r\n" in head, (headers, head)


def main():
    with Daemon() as d:
        with open(f"{d.folder}/key", "w", encoding="ascii") as f:
            f.write(KEY + "\n")
        d.configure(f'auth = {{ api_key_file = "{d.folder}/key"; }};')
        d.start()
        d.good("PUT", "/collections/c", PLAIN, key=KEY)
        d.good("PUT", POINTS + "?wait=true", POINT, key=KEY)
        check_rest(d)
        check_strangers(d)
        # A point without the field of its vectors, by gRPC: PointStruct { id: { num: 2 } }.
        message = b"\x0a\x01c\x1a\x04\x0a\x02\x08\x02"
        head = grpc_head(d, "qdrant.Points/Upsert", struct.pack(">BI", 0, len(message)) + message, f"api-key: {KEY}")
        assert "grpc-status: 3\r\n" in head and "Expected some vectors" in head, head
        assert d.stop() == 0


main()
