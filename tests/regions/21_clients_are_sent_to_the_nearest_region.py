#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fleet with a database of the real address ranges: a gateway sends clients to the region nearest to them, a region answers
at home unless another is much nearer, rules and residency hold, the dead are out, and a broken database stops nobody."""

import gzip
import ipaddress
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile

from lib_fleet import TestFleet, skip, srv, wait_for

# Country of the client and the region that is nearest to its middle, far enough from the next one that a round trip
# measured on a busy machine does not decide.
NEAREST = {"DE": "eu", "SE": "eu", "EG": "eu", "TR": "eu", "US": "us", "MX": "us", "BR": "us", "CL": "us",
           "SG": "ap", "JP": "ap", "IN": "ap", "AU": "ap"}
SECOND = {"DE": "us", "JP": "eu", "US": "eu"}


def client_addresses(folder):
    """For each country an IPv4 and an IPv6 address of it, from the ranges themselves."""
    found = {}
    for name, parse in (("geoip", ipaddress.IPv4Address), ("geoip6", ipaddress.IPv6Address)):
        with open(os.path.join(folder, name)) as f:
            for line in f:
                fields = line.rstrip("\n").split(",")
                if line.startswith("#") or len(fields) != 3 or fields[2] not in NEAREST:
                    continue
                if (fields[2], name) not in found:
                    found[fields[2], name] = str(parse(int(fields[0]) if name == "geoip" else fields[0]))
    return {c: [found[c, "geoip"], found[c, "geoip6"]] for c in NEAREST}


def read(fleet, name, address, more=None, path="/collections/c/points/1"):
    headers = {"x-forwarded-for": address, "isthmus-explain": "1", **(more or {})}
    status, head, text = fleet.client(name).raw("GET", path, headers=headers)
    return status, head, text


def check_gateway(fleet, clients):
    for country, addresses in clients.items():
        for address in addresses:
            status, head, text = read(fleet, "edge", address)
            assert status == 200, (country, status, text)
            assert head["isthmus-region"] == NEAREST[country], (country, address, head)
            assert head["isthmus-via"] == "edge", head
            assert head["isthmus-route"].startswith(f"proxy {NEAREST[country]}: "), head
            assert "middle of its country" in head["isthmus-route"], head
            status, head, _ = read(fleet, "edge", address, {"isthmus-redirect": "allow"}, "/collections/c/points/1?x=%20y")
            place = fleet.rest(NEAREST[country]) + "/collections/c/points/1?x=%20y"
            assert (status, head["location"]) == (307, place), (status, head)
            assert head["isthmus-region"] == "edge", head
    # Whoever is no proxy says nothing of its client; the explanation is for those who ask.
    status, head, _ = fleet.client("edge").raw("GET", "/collections/c/points/1")
    assert status == 200 and "isthmus-route" not in head and head["isthmus-region"] == "eu", head


def exists_by_grpc(fleet, collection, address, packed=False, more=()):
    """The head of the reply to CollectionExists through the edge."""
    message = srv.field(1, collection)
    message = gzip.compress(message) if packed else message
    headers = ["content-type: application/grpc", "te: trailers", f"x-forwarded-for: {address}", *more]
    headers += ["grpc-encoding: gzip"] if packed else []
    done = subprocess.run(
        ["curl", "-sS", "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null", "--data-binary", "@-", "--max-time", "20"]
        + [w for h in headers for w in ("-H", h)]
        + [f"http://127.0.0.1:{fleet.grpc_port('edge')}/qdrant.Collections/CollectionExists"],
        input=struct.pack(">BI", packed, len(message)) + message, capture_output=True, timeout=30)
    return done.stdout.decode()


def check_grpc(fleet, clients):
    """CollectionExists by gRPC passes as well; gRPC knows no redirect."""
    for country in ("JP", "US"):
        for redirect in ([], ["isthmus-redirect: allow"]):
            head = exists_by_grpc(fleet, "c", clients[country][0], more=redirect)
            assert "grpc-status: 0" in head and f"isthmus-region: {NEAREST[country]}" in head, head


def check_local(fleet, clients):
    """Where data are, they are read, but for clients of the other side of the world."""
    for name, country, answers, why in (("eu", "DE", "eu", "eu scores best"), ("eu", "JP", "ap", "more than the slack"),
                                        ("us", "BR", "us", "us scores best"), ("us", "DE", "eu", "more than the slack"),
                                        ("eu", "TR", "eu", "eu scores best")):
        status, head, text = read(fleet, name, clients[country][0])
        assert (status, head["isthmus-region"]) == (200, answers), (name, country, status, head, text)
        assert why in head["isthmus-route"], head
    # Writes go to the primary, wherever the client is.
    status, head, text = fleet.client("edge").raw("PUT", "/collections/c/points?wait=true",
                                                  {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]},
                                                  {"x-forwarded-for": clients["JP"][0], "isthmus-explain": "1"})
    assert (status, head["isthmus-region"]) == (200, "eu"), (status, head, text)
    assert "eu is the primary" in head["isthmus-route"], head


def check_untrusted_headers(fleet, clients):
    """Malformed ones are as if they were not there, and counted."""
    status, head, _ = read(fleet, "edge", "203.0.113.1, nonsense")
    assert (status, head["isthmus-region"]) == (200, "eu"), head
    status, head, _ = fleet.client("edge").raw("GET", "/collections/c/points/1",
                                               headers={"forwarded": f'for="[{clients["SG"][1]}]:99"'})
    assert (status, head["isthmus-region"]) == (200, "ap"), head
    # Only regions are believed what isthmus-client says.
    status, head, _ = fleet.client("edge").raw("GET", "/collections/c/points/1", headers={"isthmus-client": clients["SG"][0]})
    assert (status, head["isthmus-region"]) == (200, "eu"), head
    metrics = fleet.client("edge").raw("GET", "/metrics")[2].decode()
    assert 'isthmus_rejected_total{reason="x-forwarded-for"} 1' in metrics, metrics
    for name in ("eu", "us", "ap"):
        assert f'isthmus_geo_routes_total{{to_region="{name}"}}' in metrics, metrics
    assert 'isthmus_geo_database_age_seconds{file="geo.mmdb"}' in metrics and "isthmus_geo_databases 1" in metrics, metrics


def check_route_answers(fleet, clients, folder):
    answer = fleet.client("edge").call("GET", f"/isthmus/route?ip={clients['JP'][0]}")
    assert set(answer) == {"client", "decision", "region", "reasons", "candidates"}, answer
    assert (answer["decision"], answer["region"]) == ("proxy", "ap"), answer
    assert answer["client"]["country"] == "JP" and answer["client"]["source"] == "country", answer
    assert [c["region"] for c in answer["candidates"]][0] == "ap" and len(answer["candidates"]) == 4, answer
    assert {"region", "km", "bias", "rtt_ms", "health", "lag_s", "allowed", "score"} <= set(answer["candidates"][0]), answer
    assert 5000 < answer["candidates"][0]["km"] < 5600, answer
    write = fleet.client("us").call("GET", f"/isthmus/route?operation=write&ip={clients['JP'][0]}")
    assert (write["decision"], write["region"]) == ("proxy", "eu"), write
    for bad in ("ip=1.2.3", "ip=host", "operation=delete", "ip="):
        status, _, text = fleet.client("edge").raw("GET", f"/isthmus/route?{bad}")
        assert status in (400, 422), (bad, status, text)
    assert fleet.client("edge").call("GET", "/isthmus/route")["client"]["ip"] == "127.0.0.1"
    told = fleet.ctl("edge", "route", "explain", clients["AU"][0])
    assert "decision  proxy ap" in told and "ap scores best" in told, told
    path = os.path.join(folder, "clients")
    with open(path, "w") as f:
        f.write("# client and region\n")
        for country, addresses in clients.items():
            f.writelines(f"{a} {NEAREST[country]}\n" for a in addresses)
    for words in (["--url", fleet.rest("edge")], ["-c", os.path.join(fleet.region("edge")["dir"], "isthmus.conf")]):
        done = subprocess.run([os.environ["ISTHMUSCTL"], "route", "simulate", path, "--json", *words], capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done
        counts = json.loads(done.stdout)
        assert counts["addresses"] == counts["expected"] == counts["placed"] == 24 and counts["surprises"] == 0, counts
        assert counts["regions"] == {"eu": 8, "us": 8, "ap": 8}, counts
    with open(path, "a") as f:
        f.write(f"{clients['DE'][0]} ap\n")
    done = subprocess.run([os.environ["ISTHMUSCTL"], "route", "simulate", path, "--url", fleet.rest("edge")], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and "ap was expected, eu it is" in done.stdout, done
    status = fleet.client("edge").call("GET", "/isthmus/status")
    assert status["geo"]["files"][0]["type"] == "Isthmus-GeoIP-Country" and status["geo"]["problem"] is None, status


def reload(fleet, name, database, settings="", good=True):
    """With that database, and settings behind the rest of the configuration."""
    r = fleet.region(name)
    path = os.path.join(r["dir"], "isthmus.conf")
    with open(path) as f:
        text = re.sub(r"^geo = .*\n", geo(database), f.read().split("# behind\n")[0], flags=re.M)
    with open(path, "w") as f:
        f.write(text + "# behind\n" + settings)
    word = "reloaded file=" if good else "not reloaded"
    before = log(fleet, name).count(word)
    os.kill(r["pid"]["isthmusd"], signal.SIGHUP)
    wait_for(f"{name}: {word}", lambda: log(fleet, name).count(word) > before, 10)


def log(fleet, name):
    with open(os.path.join(fleet.region(name)["dir"], "isthmusd.log")) as f:
        return f.read()


def geo(path):
    return f'geo = {{ files = [ "{path}" ]; }};\n'


def check_rules(fleet, clients, path):
    reload(fleet, "edge", path, 'route = { rules = ( { country = "DE"; region = "ap"; }, { continent = "SA"; region = "eu"; }'
           ' ); residency = ( { collection = "pinned"; regions = [ "us" ]; } ); };\n')
    for country, region in (("DE", "ap"), ("SE", "eu"), ("BR", "eu"), ("US", "us")):
        status, head, text = read(fleet, "edge", clients[country][0])
        assert (status, head["isthmus-region"]) == (200, region), (country, status, head, text)
        status, head, _ = read(fleet, "edge", clients[country][0], path="/collections/pinned/points/1")
        assert (status, head["isthmus-region"]) == (200, "us"), (country, status, head)
    # By gRPC the collection is in the message, which may be packed.
    for packed in (False, True):
        for collection, region in (("pinned", "us"), ("c", "ap")):
            head = exists_by_grpc(fleet, collection, clients["DE"][0], packed)
            assert "grpc-status: 0" in head and f"isthmus-region: {region}" in head, (packed, collection, head)
    told = fleet.ctl("edge", "route", "explain", clients["DE"][0], "--collection", "pinned")
    assert "decision  proxy us" in told and "outside the residency" in told, told
    reload(fleet, "edge", path)
    status, head, _ = read(fleet, "edge", clients["DE"][0])
    assert head["isthmus-region"] == "eu", head


def check_broken(fleet, clients, path, folder):
    """A reload with a broken file changes nothing; a start with one warns and goes on."""
    broken = os.path.join(folder, "broken.mmdb")
    with open(path, "rb") as f, open(broken, "wb") as g:
        g.write(f.read()[:1000000])
    reload(fleet, "edge", broken, good=False)
    assert f"{broken}: is no MMDB file, or is cut off" in log(fleet, "edge")
    assert read(fleet, "edge", clients["JP"][0])[1]["isthmus-region"] == "ap"
    # What is done to the file that is in use hurts no lookup.
    with open(path, "rb") as f:
        good = f.read()
    with open(path, "r+b") as f:
        f.truncate(4096)
    for country in NEAREST:
        assert read(fleet, "edge", clients[country][0])[1]["isthmus-region"] == NEAREST[country], country
    fleet.kill("edge", "daemon")
    fleet.start("edge")
    wait_for("edge is ready", lambda: fleet.status_of("edge")["ready"], 30)
    lines = [line for line in log(fleet, "edge").splitlines() if " warn geo.files: " in line]
    assert len(lines) == 1 and "is unknown" in lines[0], lines
    status = fleet.client("edge").call("GET", "/isthmus/status")
    assert "cut off" in status["geo"]["problem"] and status["geo"]["files"] == [], status
    assert "isthmus_geo_databases 0" in fleet.client("edge").raw("GET", "/metrics")[2].decode()
    status, head, text = read(fleet, "edge", clients["JP"][0])
    assert (status, head["isthmus-region"]) == (200, "eu") and "place is unknown" in head["isthmus-route"], (status, head, text)
    with open(path + ".new", "wb") as f:
        f.write(good)
    os.replace(path + ".new", path)
    reload(fleet, "edge", path)
    assert read(fleet, "edge", clients["JP"][0])[1]["isthmus-region"] == "ap"


def check_dead(fleet, clients):
    fleet.kill("ap", "daemon")
    for country in ("JP", "AU"):
        status, head, text = read(fleet, "edge", clients[country][0])
        assert status == 200 and head["isthmus-region"] in ("eu", "us"), (status, head, text)
    wait_for("ap is out", lambda: "silent" in json.dumps(fleet.client("edge").call("GET", "/isthmus/route?ip=" + clients["JP"][0])),
             10)
    status, head, _ = read(fleet, "edge", clients["JP"][0], {"isthmus-redirect": "allow"})
    assert status == 307 and not head["location"].startswith(fleet.rest("ap")), head
    fleet.start("ap")
    wait_for("ap answers its clients again", lambda: read(fleet, "edge", clients["JP"][0])[1]["isthmus-region"] == "ap", 30)


def check_proxy_protocol(folder, path, clients):
    """One region behind a proxy that speaks the PROXY protocol."""
    server = srv.Server(os.path.join(folder, "alone"), geo(path) + 'trusted_proxies = [ "127.0.0.1" ];\nproxy_protocol = "required";\n')
    with open(server.log, "ab") as out:
        server.proc = subprocess.Popen([os.environ["ISTHMUSD"], "-c", server.config], stdout=out, stderr=out,
                                       stdin=subprocess.DEVNULL)

    def ask(header):
        with socket.create_connection(("127.0.0.1", server.http), timeout=10) as s:
            s.sendall(header + b"GET /isthmus/route HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            out = b""
            while chunk := s.recv(65536):
                out += chunk
            return out

    def listening():
        try:
            return ask(b"PROXY UNKNOWN\r\n")
        except OSError:
            return None
    try:
        wait_for("isthmusd listens", listening, 30)
        v4, v6 = clients["SG"]
        v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack(">H", 36) + socket.inet_pton(socket.AF_INET6, v6) + bytes(16) + bytes(4)
        for header, ip, country in ((f"PROXY TCP4 {v4} 127.0.0.1 1 2\r\n".encode(), v4, '"SG"'), (v2, v6, '"SG"'),
                                    (b"PROXY UNKNOWN\r\n", "127.0.0.1", "null")):
            reply = ask(header).decode()
            assert f'"ip":"{ipaddress.ip_address(ip)}"' in reply and f'"country":{country}' in reply, reply
        try:
            assert ask(b"") == b"", "answered without the header"
        except ConnectionError:
            pass
    finally:
        server.stop()


def main():
    source = os.environ.get("GEOIP_DIR")
    if not source or not os.path.exists(os.path.join(source, "geoip")):
        skip("tor-geoipdb cannot be had")
    with tempfile.TemporaryDirectory(prefix="isthmus-geo-") as folder:
        path = os.path.join(folder, "geo.mmdb")
        subprocess.run([os.environ["ISTHMUSCTL"], "geo", "build", "--from", source, "-o", path], check=True, timeout=120,
                       stdout=subprocess.DEVNULL)
        clients = client_addresses(source)
        check_proxy_protocol(folder, path, clients)
        # Its clients' proxies are on loopback, and it has made itself a database of the same ranges.
        with TestFleet() as fleet:
            path = fleet.state["geo"]
            for name in ("c", "pinned"):
                fleet.make_collection("eu", name)
                fleet.client("eu").call("PUT", f"/collections/{name}/points?wait=true", {"points": [{"id": 1, "vector": [1, 0, 0, 1]}]})
            fleet.wait_level()
            check_gateway(fleet, clients)
            check_grpc(fleet, clients)
            check_local(fleet, clients)
            check_untrusted_headers(fleet, clients)
            check_route_answers(fleet, clients, folder)
            check_rules(fleet, clients, path)
            check_broken(fleet, clients, path, folder)
            check_dead(fleet, clients)


if __name__ == "__main__":
    main()
