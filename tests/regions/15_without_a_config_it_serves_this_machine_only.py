# SPDX-License-Identifier: Apache-2.0
"""isthmusd with no configuration, in an empty folder, is a complete and durable server on 127.0.0.1, and nowhere else.

Its ports are then those of Qdrant. Where it can, the script runs in a network of its own, in which they are free."""
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))
import server  # noqa: E402

PORTS = (6333, 6334)
LISTENING = "0A"
# systemd's, which would turn the daemon to other folders.
FOREIGN = ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET")


def expect(what, got, wanted):
    assert got == wanted, f"{what}: wanted {wanted!r}, got {got!r}"


def loopback_up():
    """What `ip link set lo up` does: SIOCGIFFLAGS, and SIOCSIFFLAGS with IFF_UP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, 0x8913, request))[1]
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))


def into_own_network():
    inner = ["unshare", "--map-root-user", "--net", sys.executable, os.path.abspath(__file__), "inside"]
    try:
        if subprocess.run(["unshare", "--map-root-user", "--net", "true"], capture_output=True).returncode == 0:
            os.execvp(inner[0], inner)
    except FileNotFoundError:
        pass
    for port in PORTS:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError as e:
                print(f"port {port} is taken ({e.strerror}), and no network of our own can be made")
                sys.exit(77)


def listening(pid):
    """The addresses at which a process listens, by the sockets that it has open."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:  # closed since it was listed
            continue
        target = re.fullmatch(r"socket:\[(\d+)\]", link)
        if target:
            inodes.add(target[1])
    found = set()
    for table in ("tcp", "tcp6"):
        if not os.path.exists(f"/proc/{pid}/net/{table}"):
            continue
        with open(f"/proc/{pid}/net/{table}") as f:
            for line in f.readlines()[1:]:
                words = line.split()
                if words[3] == LISTENING and words[9] in inodes:
                    address, port = words[1].split(":")
                    found.add((address, int(port, 16)))
    return found


def start(folder):
    env = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    with open(os.path.join(folder, "log"), "ab") as log:
        return subprocess.Popen([server.program("ISTHMUSD", "isthmusd")], cwd=folder, stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log, env=env)


def ready(process):
    assert process.poll() is None, f"isthmusd ended with {process.returncode}"
    try:
        return server.Rest(PORTS[0]).raw("GET", "/readyz")[0] == 200
    except OSError:
        return False


def use(rest):
    rest.call("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
    points = [{"id": i, "vector": [i, 1], "payload": {"even": i % 2 == 0}} for i in range(10)]
    rest.call("PUT", "/collections/c/points?wait=true", {"points": points})


def look(rest):
    found = rest.call("POST", "/collections/c/points/query", {
        "query": [1, 0], "limit": 2, "filter": {"must": [{"key": "even", "match": {"value": True}}]}})
    expect("the nearest even points", [(p["id"], p["score"]) for p in found["points"]], [(8, 8.0), (6, 6.0)])


def run(folder):
    loopback = struct.unpack("=I", socket.inet_aton("127.0.0.1"))[0]
    for turn in ("first", "second"):
        process, rest = start(folder), server.Rest(PORTS[0])
        try:
            server.wait_for("isthmusd is ready", lambda: ready(process), 30)
            expect("addresses", listening(process.pid), {(f"{loopback:08X}", port) for port in PORTS})
            for port in PORTS:
                with socket.socket() as s:
                    expect(f"connecting to 127.0.0.2:{port}", s.connect_ex(("127.0.0.2", port)), 111)
            if turn == "first":
                use(rest)
            look(rest)
            expect("gRPC", server.grpc_call(PORTS[1], "qdrant.Qdrant/HealthCheck", b"")[0], 0)
            rest.close()
            process.send_signal(signal.SIGTERM)
            expect("status", process.wait(30), 0)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    expect("what it made", sorted(os.listdir(folder)), ["isthmus-data", "log"])
    expect("for others", os.stat(os.path.join(folder, "isthmus-data")).st_mode & 0o077, 0)


def main():
    if sys.argv[1:] != ["inside"]:
        into_own_network()
    else:
        loopback_up()
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        try:
            run(folder)
        except BaseException:
            with open(os.path.join(folder, "log")) as f:
                print(f.read())
            raise


main()
