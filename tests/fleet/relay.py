#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The network between the regions of a fleet on loopback: every connection from one region to another goes
through here, so that a link can be cut without root.

Started as: relay.py CONTROL_SOCKET, with lines "FROM TO LISTEN_PORT TARGET_PORT" on standard input; prints "ready".
Commands on the control socket, one line each: "cut A B", "heal A B", "stop". A cut link closes what is open and
takes nothing new, in both directions.
"""
import os
import socket
import sys
import threading

CHUNK = 1 << 18


class Links:
    def __init__(self):
        self.lock = threading.Lock()
        self.cut = set()
        self.open = {}

    @staticmethod
    def key(a, b):
        return (min(a, b), max(a, b))

    def add(self, link, pair):
        with self.lock:
            if link in self.cut:
                return False
            self.open.setdefault(link, set()).add(pair)
            return True

    def remove(self, link, pair):
        with self.lock:
            self.open.get(link, set()).discard(pair)

    def do_cut(self, link):
        with self.lock:
            self.cut.add(link)
            pairs = list(self.open.get(link, set()))
        for pair in pairs:
            close_pair(pair)

    def do_heal(self, link):
        with self.lock:
            self.cut.discard(link)


def close_pair(pair):
    for s in pair:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def pump(src, dst, done):
    try:
        while True:
            data = src.recv(CHUNK)
            if not data:
                break
            dst.sendall(data)
    except OSError:
        pass
    done()


def carry(links, link, client, target):
    try:
        server = socket.create_connection(("127.0.0.1", target), timeout=5)
        server.settimeout(None)
    except OSError:
        client.close()
        return
    for s in (client, server):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pair = (client, server)
    if not links.add(link, pair):
        client.close()
        server.close()
        return
    left = [2]
    lock = threading.Lock()

    def done():
        close_pair(pair)
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            links.remove(link, pair)
            client.close()
            server.close()

    threading.Thread(target=pump, args=(client, server, done), daemon=True).start()
    threading.Thread(target=pump, args=(server, client, done), daemon=True).start()


def listen(links, link, port, target):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(128)

    def loop():
        while True:
            client, _ = s.accept()
            if link in links.cut:
                client.close()
                continue
            threading.Thread(target=carry, args=(links, link, client, target), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()


def main():
    links = Links()
    path = sys.argv[1]
    for line in sys.stdin:
        a, b, port, target = line.split()
        listen(links, Links.key(a, b), int(port), int(target))
    control = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    control.bind(path)
    control.listen(8)
    print("ready", flush=True)
    while True:
        c, _ = control.accept()
        with c:
            words = c.recv(1024).decode().split()
            if words[:1] == ["cut"]:
                links.do_cut(Links.key(*words[1:3]))
            elif words[:1] == ["heal"]:
                links.do_heal(Links.key(*words[1:3]))
            elif words[:1] == ["stop"]:
                c.sendall(b"ok\n")
                os._exit(0)
            c.sendall(b"ok\n")


main()
