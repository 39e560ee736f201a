#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Broken HTTP/1.1, broken HTTP/2, broken gRPC, broken JSON, bodies that are too large or too slow, and rubbish for TLS, over
real sockets: each is refused as it should be, other clients notice nothing, and no descriptor is left open."""

import gzip
import json
import os
import re
import socket
import ssl
import struct
import subprocess

import lib_h2
from lib_daemon import PATIENCE_S, Daemon
from lib_h2 import frame

BODY_MAX = 65536
RESIDENT_KB_MAX = 400_000
CLOSED = "closed"

H = "host: x\r\n"
PUT = "PUT /collections/c/points HTTP/1.1\r\n" + H


def get(more):
    return f"GET /collections HTTP/1.1\r\n{more}\r\n"


# What is sent; the status that is answered, or CLOSED: the connection ends without a word.
HTTP_1 = [
    ("rubbish", b"\x00\x01\x02\xff rubbish\r\n\r\n", 400),
    ("rubbish without a line's end", b"\xff" * 20000, 414),
    ("an empty method", " /collections HTTP/1.1\r\n" + H + "\r\n", 400),
    ("no version", "GET /collections\r\n" + H + "\r\n", 400),
    ("an unknown version", "GET /collections HTTP/3.7\r\n" + H + "\r\n", 505),
    ("no path", "GET  HTTP/1.1\r\n" + H + "\r\n", 400),
    ("a path that does not begin with /", "GET collections HTTP/1.1\r\n" + H + "\r\n", 400),
    ("a broken escape in the path", "GET /collections/%zz HTTP/1.1\r\n" + H + "\r\n", 400),
    ("a path that is too long", "GET /" + "a" * 9000 + " HTTP/1.1\r\n" + H + "\r\n", 414),
    ("no host", get(""), 400),
    ("two hosts", get(H + H), 400),
    ("a space before the colon", get(H + "a : b\r\n"), 400),
    ("a folded line", get(H + "a: b\r\n c\r\n"), 400),
    ("a field without a name", get(H + ": b\r\n"), 400),
    ("NUL in a value", get(H + "a: b\0c\r\n"), 400),
    ("CR alone in a value", get(H + "a: b\rc\r\n"), 400),
    ("too many fields", get(H + "".join(f"a{i}: b\r\n" for i in range(101))), 431),
    ("too large a field", get(H + "a: " + "b" * 9000 + "\r\n"), 431),
    ("fields too large together", get(H + "".join(f"a{i}: {'b' * 5000}\r\n" for i in range(5))), 431),
    ("a negative length", PUT + "content-length: -1\r\n\r\n", 400),
    ("no number for a length", PUT + "content-length: ten\r\n\r\n", 400),
    ("a length beyond 64 bits", PUT + "content-length: 99999999999999999999999\r\n\r\n", 400),
    ("two lengths", PUT + "content-length: 1\r\ncontent-length: 2\r\n\r\n{}", 400),
    ("a length and chunks", PUT + "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("an unknown transfer coding", PUT + "transfer-encoding: brotli\r\n\r\n", 400),
    ("chunked twice", PUT + "transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("no number for a chunk", PUT + "transfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    ("a chunk longer than it says", PUT + "transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    ("a chunk beyond 64 bits", PUT + "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 413),
    ("a body that says it is too large", PUT + f"content-length: {BODY_MAX + 1}\r\n\r\n", 413),
    ("a body that is too large in chunks",
     PUT + "transfer-encoding: chunked\r\n\r\n" + f"{BODY_MAX:x}\r\n" + "x" * BODY_MAX + "\r\n2\r\nxx\r\n", 413),
    ("an unknown coding", PUT + "content-encoding: br\r\ncontent-length: 2\r\n\r\n{}", 415),
    ("an unknown expectation", PUT + "expect: wonders\r\ncontent-length: 2\r\n\r\n{}", 417),
    ("no gzip", PUT + "content-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope", 400),
    ("gzip that unpacks to too much",
     (PUT + "content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", gzip.compress(bytes(20 << 20))), 413),
    ("an unknown path", "GET /nothing/here HTTP/1.1\r\n" + H + "\r\n", 404),
    ("a wrong method", "DELETE /collections HTTP/1.1\r\n" + H + "\r\n", 405),
]

# Bodies for PUT /collections/c/points.
BODIES = [
    ("nothing", b"", 400),
    ("half of it", b'{"points": [{"id": 1, "vector": [1, ', 400),
    ("more than it", b'{"points": []}}', 400),
    ("no UTF-8", b'{"points": [{"id": 1, "vector": [1, 2], "payload": {"a": "\xff\xfe"}}]}', 400),
    ("half a surrogate", b'{"points": [{"id": 1, "vector": [1, 2], "payload": {"a": "\\ud800"}}]}', 400),
    ("a raw control character", b'{"points": [{"id": 1, "vector": [1, 2], "payload": {"a": "\x01"}}]}', 400),
    ("too deep", b'{"points": [{"id": 1, "vector": [1, 2], "payload": {"a": ' + b"[" * 20000 + b"]" * 20000 + b"}}]}", 400),
    ("no number", b'{"points": [{"id": 1, "vector": [NaN, 2]}]}', 400),
    ("a number beyond float", b'{"points": [{"id": 1, "vector": [1e39, 2]}]}', 400),
    ("a number beyond double", b'{"points": [{"id": 1, "vector": [1e999, 2]}]}', 400),
    ("an id beyond 64 bits", b'{"points": [{"id": 18446744073709551616, "vector": [1, 2]}]}', 400),
    ("a negative id", b'{"points": [{"id": -1, "vector": [1, 2]}]}', 400),
    ("an id that is no UUID", b'{"points": [{"id": "x", "vector": [1, 2]}]}', 400),
    ("too few numbers", b'{"points": [{"id": 1, "vector": [1]}]}', 400),
    ("a list for a point", b'{"points": [[1, 2]]}', 400),
    ("one wrong point among good ones", b'{"points": [{"id": 1, "vector": [1, 2]}, {"id": 2, "vector": [1]}]}', 400),
]

CLIENT_PREFACE = lib_h2.PREFACE + frame(lib_h2.SETTINGS, 0, 0)
GOOD_HEAD = lib_h2.fields([(":method", "GET"), (":scheme", "http"), (":path", "/collections"), (":authority", "x")])
PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL, FRAME_SIZE, COMPRESSION, CALM = 1, 2, 3, 6, 9, 11
PUSH_PROMISE, WINDOW_UPDATE, CONTINUATION = 5, 8, 9

# What is sent after the preface; the error of the GOAWAY that answers.
HTTP_2 = [
    ("DATA on no stream", frame(lib_h2.DATA, 0, 0, b"x"), {PROTOCOL_ERROR}),
    ("DATA on an idle stream", frame(lib_h2.DATA, 0, 1, b"x"), {PROTOCOL_ERROR}),
    ("HEADERS on an even stream", frame(lib_h2.HEADERS, 5, 2, GOOD_HEAD), {PROTOCOL_ERROR}),
    ("HEADERS on no stream", frame(lib_h2.HEADERS, 5, 0, GOOD_HEAD), {PROTOCOL_ERROR}),
    ("a frame that is too large", frame(lib_h2.HEADERS, 5, 1, bytes(20000)), {FRAME_SIZE}),
    ("half a setting", frame(lib_h2.SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE}),
    ("SETTINGS on a stream", frame(lib_h2.SETTINGS, 0, 1), {PROTOCOL_ERROR}),
    ("too large a window", frame(lib_h2.SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)), {FLOW_CONTROL}),
    ("windows that overflow", frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1)) * 2, {FLOW_CONTROL}),
    ("a short PING", frame(lib_h2.PING, 0, 0, b"x"), {FRAME_SIZE}),
    ("PUSH_PROMISE from a client", frame(PUSH_PROMISE, 4, 1, bytes(4)), {PROTOCOL_ERROR}),
    ("CONTINUATION of nothing", frame(CONTINUATION, 4, 1, GOOD_HEAD), {PROTOCOL_ERROR}),
    ("no HPACK", frame(lib_h2.HEADERS, 5, 1, b"\xff" * 50), {COMPRESSION}),
    ("another frame within a head", frame(lib_h2.HEADERS, 1, 1, GOOD_HEAD) + frame(lib_h2.PING, 0, 0, bytes(8)),
     {PROTOCOL_ERROR}),
    ("padding beyond the frame", frame(lib_h2.HEADERS, 5 | 8, 1, b"\xf0" + GOOD_HEAD[:10]), {PROTOCOL_ERROR}),
    ("a head that never ends",
     frame(lib_h2.HEADERS, 1, 1, GOOD_HEAD) + frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 100) * 2000,
     {PROTOCOL_ERROR, INTERNAL_ERROR, CALM}),
    ("a flood of PING", frame(lib_h2.PING, 0, 0, bytes(8)) * 5000, {CALM}),
    ("a flood of SETTINGS", frame(lib_h2.SETTINGS, 0, 0) * 5000, {CALM}),
    ("a flood of empty DATA", frame(lib_h2.HEADERS, 4, 1, GOOD_HEAD) + frame(lib_h2.DATA, 0, 1) * 5000, {CALM}),
    ("a flood of resets", b"".join(
        frame(lib_h2.HEADERS, 5, i, GOOD_HEAD) + frame(lib_h2.RST_STREAM, 0, i, struct.pack(">I", 8))
        for i in range(1, 10001, 2)), {CALM}),
]

# Fields of a request; all of them are the stream's own fault: RST_STREAM, or an answer of 400, and the connection goes on.
HTTP_2_HEADS = [
    ("no method", [(":scheme", "http"), (":path", "/"), (":authority", "x")]),
    ("no path", [(":method", "GET"), (":scheme", "http"), (":authority", "x")]),
    ("two paths", [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":path", "/"), (":authority", "x")]),
    ("an upper-case name", [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "x"), ("Abc", "d")]),
    ("a field of connections", [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("connection", "close")]),
    ("an unknown pseudo field", [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":what", "x")]),
    ("a pseudo field at the end", [(":method", "GET"), (":scheme", "http"), ("a", "b"), (":path", "/")]),
    ("a line's end in a value", [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a", "b\r\nc: d")]),
]

# Bodies of gRPC calls; the grpc-status that is answered.
GRPC = [
    ("no frame", "qdrant.Points/Count", b"", {3, 13}),
    ("half a frame", "qdrant.Points/Count", b"\0\0\0\0\x10abc", {3, 13}),
    ("an unknown flag", "qdrant.Points/Count", b"\7\0\0\0\0", {3, 12, 13}),
    ("two messages", "qdrant.Points/Count", b"\0\0\0\0\0" * 2, {3, 12, 13}),
    ("a length beyond what comes", "qdrant.Points/Count", b"\0\x7f\xff\xff\xff", {3, 8}),
    ("no protobuf", "qdrant.Points/Count", b"\0\0\0\0\4\xff\xff\xff\xff", {3}),
    ("a string that is no UTF-8", "qdrant.Points/Count", b"\0\0\0\0\4\x0a\2\xff\xfe", {3}),
    ("compressed, which was not said", "qdrant.Points/Count", b"\1\0\0\0\2hi", {3, 12, 13}),
    ("an unknown method", "qdrant.Points/Nonsense", b"\0\0\0\0\0", {12}),
    ("an unknown service", "no.Such/Thing", b"\0\0\0\0\0", {12}),
]


def read_all(s):
    said = b""
    try:
        while more := s.recv(65536):
            said += more
    except ConnectionResetError:
        pass
    return said


def send(s, data):
    """All of it, or as much as the server takes."""
    try:
        s.sendall(data)
    except OSError:
        pass


def answer(s):
    """Status and body of one answer of HTTP/1.1; the connection may live on."""
    said = b""
    while b"\r\n\r\n" not in said:
        more = s.recv(65536)
        assert more, f"closed after {said!r}"
        said += more
    head, body = said.split(b"\r\n\r\n", 1)
    size = int(re.search(rb"\r\ncontent-length: (\d+)", head)[1])
    while len(body) < size:
        more = s.recv(65536)
        assert more, "closed within an answer"
        body += more
    return status_of("the answer", head), body


def connect(d):
    return socket.create_connection(("127.0.0.1", d.http_port), timeout=PATIENCE_S)


def status_of(what, said):
    found = re.match(rb"HTTP/1\.1 (\d+) ", said)
    assert found, (what, said[:200])
    return int(found[1])


def encode(request):
    if isinstance(request, tuple):
        head, body = request
        return head.format(len(body)).encode() + body
    return request if isinstance(request, bytes) else request.encode("latin-1")


def check_alive(d, what):
    assert d.process.poll() is None, f"{what}: the daemon is dead"
    assert d.good("POST", "/collections/c/points/count", {"exact": True}) == {"count": 1}, what


def check_http_1(d):
    for what, request, wanted in HTTP_1:
        with connect(d) as s:
            send(s, encode(request))
            got, _ = answer(s)
        assert got == wanted, f"{what}: wanted {wanted}, got {got}"
        check_alive(d, what)


def check_bodies(d):
    for what, body, wanted in BODIES:
        with connect(d) as s:
            send(s, f"{PUT}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            got, said = answer(s)
        assert got == wanted, f"{what}: wanted {wanted}, got {got}, {said}"
        assert json.loads(said)["status"]["error"], what
        check_alive(d, what)


def check_http_2(d):
    with connect(d) as s:
        send(s, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(100))
        read_all(s)
    for what, data, wanted in HTTP_2:
        c = lib_h2.Client(d.http_port, PATIENCE_S)
        send(c.socket, data)
        errors = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in received(c) if kind == lib_h2.GOAWAY]
        c.close()
        assert errors and errors[-1] in wanted, f"{what}: wanted {wanted}, got {errors}"
        check_alive(d, what)


def received(c):
    """What comes, to the end of the connection, however it ends."""
    try:
        for one in c.frames():
            yield one
    except OSError:
        pass


def check_http_2_heads(d):
    for what, head in HTTP_2_HEADS:
        c = lib_h2.Client(d.http_port, PATIENCE_S)
        c.send(frame(lib_h2.HEADERS, 5, 1, lib_h2.fields(head)))
        for kind, _, stream, payload in c.frames():
            if stream == 1 and kind in (lib_h2.RST_STREAM, lib_h2.HEADERS):
                # 0x88: the status is 200.
                assert kind == lib_h2.RST_STREAM or payload[:1] != b"\x88", what
                break
        else:
            raise AssertionError(f"{what}: the connection was closed")
        c.request(3, "GET", "/collections", flags=5)
        assert b'"collections"' in c.body(3), what
        c.close()


def check_grpc(d):
    """curl decodes the trailers, and nothing else here has to."""
    for what, method, body, wanted in GRPC:
        done = subprocess.run(
            ["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "-H", "content-type: application/grpc",
             "-H", "te: trailers", "--data-binary", "@-", "--max-time", "20", f"http://127.0.0.1:{d.grpc_port}/{method}"],
            input=body, capture_output=True, timeout=PATIENCE_S, check=False)
        head = done.stdout.decode(errors="replace")
        assert head.startswith("HTTP/2 200"), (what, head, done.stderr)
        status = re.search(r"^grpc-status: (\d+)", head, re.M)
        assert status and int(status[1]) in wanted, (what, head)
        check_alive(d, what)


def slow_clients(d):
    """Each stops somewhere; what the server says then, at last. The limits are 5 and 10 seconds."""
    slow = []
    for what, data, wanted in (
            ("says nothing", b"", CLOSED),
            ("half a request line", b"GET /coll", 408),
            ("half a head", get(H)[:-2].encode(), 408),
            ("half a body", f"{PUT}content-length: 10\r\n\r\n{{".encode(), 408),
            ("half a preface", lib_h2.PREFACE[:10], CLOSED)):
        s = connect(d)
        s.sendall(data)
        slow.append((what, s, wanted))
    return slow


def check_slow(slow):
    for what, s, wanted in slow:
        said = read_all(s)
        s.close()
        if wanted == CLOSED:
            assert b" 200 " not in said, (what, said)
        else:
            assert status_of(what, said) == wanted, (what, said)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt", "-days", "2", "-subj", "/CN=localhost"],
                   check=True, capture_output=True)


def tls_hello():
    """The first flight of a real client."""
    out = ssl.MemoryBIO()
    client = ssl._create_unverified_context().wrap_bio(ssl.MemoryBIO(), out)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def check_tls():
    with Daemon() as d:
        make_certificate(d.folder)
        d.configure(f'tls = {{ certificate = "{d.folder}/tls.crt"; key = "{d.folder}/tls.key"; }};')
        d.start()
        before = descriptors(d)
        hello = tls_hello()
        for what, data in (
                ("rubbish", os.urandom(2000)), ("zeros", bytes(70000)), ("HTTP without TLS", get(H).encode()),
                ("HTTP/2 without TLS", CLIENT_PREFACE), ("half a hello", hello[:50]),
                ("a broken hello", hello[:60] + b"\xff" * 20 + hello[80:]), ("a hello, then rubbish", hello + os.urandom(500)),
                ("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)),
                ("a record that is too large", b"\x16\x03\x01\xff\xff" + bytes(65535))):
            with connect(d) as s:
                send(s, data)
                assert b"HTTP/1.1 200" not in read_all(s), what
            assert d.process.poll() is None, f"{what}: the daemon is dead"
            with ssl._create_unverified_context().wrap_socket(connect(d)) as s:
                s.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                assert b"healthz check passed" in read_all(s), what
        check_descriptors(d, before)
        assert d.stop() == 0


def descriptors(d):
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


def check_descriptors(d, before):
    """Those of closed connections are gone, once their loop has seen that they are closed: it has when it answers."""
    left = before + 1
    for _ in range(1000):
        assert d.process.poll() is None
        left = descriptors(d)
        if left <= before:
            return
        with connect(d) as s:
            send(s, b"x")
            read_all(s)
    raise AssertionError(f"{left - before} descriptors are left open")


def resident_kb(d):
    with open(f"/proc/{d.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def main():
    with Daemon(f'limits = {{ body = "{BODY_MAX >> 10}KiB"; }};') as d:
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        d.good("PUT", "/collections/c/points?wait=true", {"points": [{"id": 7, "vector": [1, 2]}]})
        before = descriptors(d)
        slow = slow_clients(d)
        check_http_1(d)
        check_bodies(d)
        check_http_2(d)
        check_http_2_heads(d)
        check_grpc(d)
        check_tls()
        check_slow(slow)
        check_alive(d, "at the end")
        check_descriptors(d, before)
        assert resident_kb(d) < RESIDENT_KB_MAX, resident_kb(d)
        assert d.stop() == 0


main()
