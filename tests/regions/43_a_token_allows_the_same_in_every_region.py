#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A client's token counts in the region that it talks to and in those that answer for it: what it allows in which collection,
and the point that it stands for."""

import base64
import hashlib
import hmac
import json
import os
import signal
import time

from lib_fleet import TestFleet, wait_for

KEY = "the key that signs"


def token(**claims):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps(claims).encode())
    return text + "." + part(hmac.new(KEY.encode(), text.encode(), hashlib.sha256).digest())


def allow_tokens(fleet):
    key = os.path.join(fleet.dir, "api.key")
    with open(key, "w") as f:
        f.write(KEY + "\n")
    for name in fleet.state["regions"]:
        with open(os.path.join(fleet.region(name)["dir"], "isthmus.conf"), "a") as f:
            f.write(f'auth = {{ api_key_file = "{key}"; jwt = true; }};\n')
        os.kill(fleet.region(name)["pid"]["isthmusd"], signal.SIGHUP)
        wait_for(f"{name} asks for a key", lambda name=name: fleet.client(name).raw("GET", "/collections")[0] == 401, 10)


def check(fleet, name):
    rest = fleet.client(name)
    point = {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]}

    def status(verb, path, body, **claims):
        return rest.raw(verb, path, body, {"authorization": "Bearer " + token(**claims)})[0]

    def of_c(access):
        return [{"collection": "c", "access": access}]

    upsert, count = "/points?wait=true", "/points/count"
    # Writes go to the primary, reads of the gateway to any region.
    assert status("PUT", "/collections/c" + upsert, point, access=of_c("prw")) == 200, name
    assert status("PUT", "/collections/c" + upsert, point, access=of_c("r")) == 403, name
    assert status("PUT", "/collections/users" + upsert, point, access=of_c("rw")) == 403, name
    assert status("PUT", "/collections/c" + upsert, point, access="r") == 403, name
    assert status("PUT", "/collections/d", {"vectors": {"size": 4, "distance": "Dot"}}, access=of_c("rw")) == 403, name
    assert status("POST", "/collections/c" + count, {}, access=of_c("r")) == 200, name
    assert status("POST", "/collections/users" + count, {}, access=of_c("r")) == 403, name
    assert status("POST", "/collections/c" + count, {}, exp=int(time.time()) - 60) == 403, name
    exists = {"collection": "users", "matches": [{"key": "name", "value": "me"}]}
    wait_for(f"{name} knows the user", lambda: status("POST", "/collections/c" + count, {}, value_exists=exists) == 200, 10)
    assert status("PUT", "/collections/c" + upsert, point, value_exists=exists) == 200, name
    exists["matches"][0]["value"] = "nobody"
    assert status("POST", "/collections/c" + count, {}, value_exists=exists) == 401, name
    assert status("PUT", "/collections/c" + upsert, point, value_exists=exists) == 401, name
    names = json.loads(rest.raw("GET", "/collections", None, {"api-key": token(access=of_c("r"))})[2])
    assert names["result"]["collections"] == [{"name": "c"}], names


def main():
    with TestFleet() as fleet:
        fleet.make_collection("eu")
        fleet.make_collection("eu", "users")
        user = {"points": [{"id": 1, "vector": [1, 0, 0, 0], "payload": {"name": "me"}}]}
        fleet.client("eu").call("PUT", "/collections/users/points?wait=true", user)
        fleet.wait_level()
        allow_tokens(fleet)
        for name in ("eu", "us", "edge"):
            check(fleet, name)


if __name__ == "__main__":
    main()
