#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The port for other regions takes HTTP/2 with a certificate of the fleet's authority that names one of its regions, and tells the
log by name who else was there. Keys are checked by the region that the client talks to."""

import os
import shutil
import signal
import subprocess

from lib_fleet import TestFleet, skip, wait_for

KEY = "the key of the API"
READ_ONLY = "the key for reading"


def issue(folder, region):
    subprocess.run([os.environ["ISTHMUSCTL"], "pki", "issue", region, "--dir", folder], check=True,
                   stdout=subprocess.DEVNULL)


def curl(fleet, certificate, path, *more):
    """The status that eu's peer port answers, or 0."""
    port = fleet.region("eu")["ports"]["peer"]
    argv = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", "--http2",
            "--cacert", os.path.join(fleet.dir, "pki", "ca.pem"), "--connect-to", f"eu.isthmus:{port}:127.0.0.1:{port}"]
    if certificate:
        argv += ["--cert", certificate + ".pem", "--key", certificate + ".key"]
    done = subprocess.run(argv + [*more, f"https://eu.isthmus:{port}{path}"], capture_output=True, text=True)
    return int(done.stdout or 0), done.stderr


def refused(fleet, certificate, words, *more):
    """The log tells one refusal in a second at most, so it may take some."""
    log = os.path.join(fleet.region("eu")["dir"], "isthmusd.log")
    before = os.path.getsize(log)

    def said():
        status, _ = curl(fleet, certificate, "/isthmus/peer/standing?scope=0", *more)
        assert status == 0, (certificate, status)
        with open(log, errors="replace") as f:
            f.seek(before)
            return [line for line in f if "peer connection refused" in line and words in line]
    wait_for(f"the log says {words}", said, 10)


def check_strangers(fleet):
    alien = os.path.join(fleet.parent, "alien")
    subprocess.run([os.environ["ISTHMUSCTL"], "pki", "init", "--dir", alien], check=True, stdout=subprocess.DEVNULL)
    issue(alien, "us")
    issue(os.path.join(fleet.dir, "pki"), "elsewhere")
    ours = os.path.join(fleet.dir, "pki")
    refused(fleet, None, "peer did not return a certificate")
    refused(fleet, os.path.join(alien, "us"), "certificate")
    refused(fleet, os.path.join(ours, "elsewhere"), "elsewhere.isthmus")
    # A region that claims to be the very one it talks to.
    refused(fleet, os.path.join(ours, "eu"), "eu.isthmus")
    refused(fleet, os.path.join(ours, "us"), "does not speak HTTP/2", "--http1.1")
    assert curl(fleet, os.path.join(ours, "us"), "/isthmus/peer/standing?scope=0")[0] == 200
    assert curl(fleet, os.path.join(ours, "us"), "/isthmus/peer/standing?scope=9")[0] == 404
    assert curl(fleet, os.path.join(ours, "us"), "/isthmus/peer/log?scope=0&epoch=0&seq=0")[0] in (200, 409)
    assert curl(fleet, os.path.join(ours, "us"), "/isthmus/peer/chain")[0] == 200
    # What needs a right needs to be told which one the client has.
    assert curl(fleet, os.path.join(ours, "us"), "/collections/c")[0] == 401
    assert curl(fleet, os.path.join(ours, "us"), "/collections/c", "-H", "isthmus-access: read")[0] == 200
    assert curl(fleet, os.path.join(ours, "us"), "/collections/c", "-X", "DELETE", "-H", "isthmus-access: read")[0] == 403


def check_keys(fleet):
    body = {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]}
    path = "/collections/c/points?wait=true"
    for name in ("us", "edge"):
        rest = fleet.client(name)
        assert rest.raw("PUT", path, body)[0] == 401
        assert rest.raw("PUT", path, body, {"isthmus-access": "manage", "isthmus-hops": "1"})[0] == 401
        assert rest.raw("PUT", path, body, {"api-key": READ_ONLY, "isthmus-access": "manage"})[0] == 403
        assert rest.raw("PUT", path, body, {"api-key": KEY, "isthmus-hops": "7"})[0] == 200
        assert rest.raw("GET", "/collections/c/points/1", headers={"api-key": READ_ONLY})[0] in (200, 404)


def set_keys(fleet):
    """Keys are among what SIGHUP takes over."""
    for name, key in (("api", KEY), ("read", READ_ONLY)):
        with open(os.path.join(fleet.dir, name + ".key"), "w") as f:
            f.write(key + "\n")
    for name in fleet.state["regions"]:
        with open(os.path.join(fleet.region(name)["dir"], "isthmus.conf"), "a") as f:
            f.write(f'auth = {{ api_key_file = "{fleet.dir}/api.key"; read_only_api_key_file = "{fleet.dir}/read.key"; }};\n')
        os.kill(fleet.region(name)["pid"]["isthmusd"], signal.SIGHUP)
        wait_for(f"{name} asks for a key", lambda name=name: fleet.client(name).raw("GET", "/collections")[0] == 401, 10)


def main():
    if not shutil.which("curl"):
        skip("curl is not there")
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.wait_level()
        check_strangers(fleet)
        set_keys(fleet)
        check_keys(fleet)


if __name__ == "__main__":
    main()
