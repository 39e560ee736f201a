#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGHUP takes over certificates and API keys; connections that are open live on; a reload that fails changes nothing."""

import http.client
import os
import signal
import ssl
import subprocess

from lib_daemon import PATIENCE_S, Daemon


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", os.path.join(folder, "new.key"), "-out", os.path.join(folder, "new.crt"), "-days", "2",
                    "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True)
    os.replace(os.path.join(folder, "new.key"), os.path.join(folder, "tls.key"))
    os.replace(os.path.join(folder, "new.crt"), os.path.join(folder, "tls.crt"))


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        f.write(text)


def connect(d, folder):
    context = ssl.create_default_context(cafile=os.path.join(folder, "tls.crt"))
    connection = http.client.HTTPSConnection("127.0.0.1", d.http_port, timeout=PATIENCE_S, context=context)
    connection.connect()
    return connection


def name_of(connection):
    return dict(pair[0] for pair in connection.sock.getpeercert()["subject"])["commonName"]


def status(connection, key):
    connection.request("GET", "/collections", headers={"api-key": key})
    reply = connection.getresponse()
    reply.read()
    return reply.status


def reload(d, words):
    d.read_text = ""
    d.signal(signal.SIGHUP)
    d.wait_for(words)


def main():
    with Daemon() as d:
        folder = d.folder
        d.configure('tls = { certificate = "%s/tls.crt"; key = "%s/tls.key"; };\nauth = { api_key_file = "%s/key"; };'
                    % (folder, folder, folder))
        make_certificate(folder, "first")
        write(folder, "key", "one\n")
        d.start()
        first = connect(d, folder)
        assert name_of(first) == "first"
        assert status(first, "one") == 200
        assert status(first, "two") == 401

        make_certificate(folder, "second")
        write(folder, "key", "two\n")
        reload(d, "reloaded file=")
        # The open connection lives on, with the new keys.
        assert status(first, "one") == 401
        assert status(first, "two") == 200
        second = connect(d, folder)
        assert name_of(second) == "second"
        assert status(second, "two") == 200

        # A key that is not the certificate's: all stays, the new API key too.
        write(folder, "key", "three\n")
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out",
                        os.path.join(folder, "tls.key")], check=True, capture_output=True)
        reload(d, "not reloaded, everything stays as it was")
        third = connect(d, folder)
        assert name_of(third) == "second"
        assert status(third, "three") == 401
        assert status(third, "two") == 200
        for connection in (first, second, third):
            connection.close()
        assert d.stop() == 0


main()
