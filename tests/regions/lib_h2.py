# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames by hand (RFC 9113), for what no client does: requests that stop half-way, and frames that are wrong."""

import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields(pairs):
    """HPACK: every field a literal without indexing, names and values shorter than 127 bytes, no Huffman."""
    out = b""
    for name, value in pairs:
        out += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return out


class Client:
    def __init__(self, port, patience_s, preface=PREFACE + frame(SETTINGS, 0, 0)):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self.send(preface)

    def send(self, data):
        self.socket.sendall(data)

    def request(self, stream, method, path, more=(), flags=END_HEADERS):
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"), *more]
        self.send(frame(HEADERS, flags, stream, fields(head)))

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the connection has ended")
            data += more
        return data

    def frames(self):
        """(kind, flags, stream, payload), until the server closes; SETTINGS are acknowledged."""
        while True:
            try:
                head = self.read_exactly(9)
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                payload = self.read_exactly(int.from_bytes(head[:3], "big"))
            except ConnectionError:
                return
            if kind == SETTINGS and not flags & ACK:
                self.send(frame(SETTINGS, ACK, 0))
            yield kind, flags, stream, payload

    def been_read(self):
        """Returns when the server has read all that was sent: it answers a PING in its order."""
        self.send(frame(PING, 0, 0, b"been rea"))
        for kind, flags, _, payload in self.frames():
            if kind == PING and flags & ACK and payload == b"been rea":
                return
        raise AssertionError("the server closed instead of answering a PING")

    def body(self, stream):
        """What is answered on a stream, to its end."""
        data = b""
        for kind, flags, on, payload in self.frames():
            if kind == RST_STREAM and on == stream:
                raise AssertionError("the stream was reset with error %d" % int.from_bytes(payload, "big"))
            if kind == DATA and on == stream:
                data += payload
            if kind in (DATA, HEADERS) and on == stream and flags & END_STREAM:
                return data
        raise AssertionError("the server closed before it had answered")

    def close(self):
        self.socket.close()
