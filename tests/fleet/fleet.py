#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fleet on loopback: three data regions and one gateway-only region, each with its own nats-server, and a relay between
them. Every fleet has ports and a folder of its own, so several stand side by side.

  fleet.py up [--dir D]            make it and start it
  fleet.py status [--json]         role and epoch as each region reports them; status 1 if any is unreachable
  fleet.py start R | stop R | kill R [daemon|nats] | pause R | resume R | cut R S | heal R S | down
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
# name, id, role, place: where it stands decides which clients it is near to
REGIONS = [
    ("eu", 1, "data", 50.11, 8.68),        # Frankfurt
    ("us", 2, "data", 39.04, -77.49),      # Ashburn
    ("ap", 3, "data", 1.35, 103.82),       # Singapore
    ("edge", 4, "gateway", 52.37, 4.90),   # Amsterdam
]
DATA = [r[0] for r in REGIONS if r[2] == "data"]
HOME = "eu"


class FleetError(Exception):
    pass


def tool(variable, name):
    path = os.environ.get(variable) or shutil.which(name)
    if not path:
        raise FleetError(f"{name} is not there: set {variable}")
    return path


# The UDP ports of the same numbers, which nobody uses: who has one bound has the TCP port, also before anybody listens there and
# while the daemon that does is down. Kept by this process and, once a fleet is up, by its relay.
reserved = []


def reserve(port):
    """Takes the port if nobody has it and nobody listens there."""
    with socket.socket() as tcp:
        udp = socket.socket(type=socket.SOCK_DGRAM)
        try:
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
        except OSError:
            udp.close()
            return False
    reserved.append(udp)
    return True


def free_ports(n):
    """n ports for nobody else, below the range that the kernel hands out to outgoing connections."""
    start = (os.getpid() * 97) % 20000
    found = []
    for i in range(22000):
        port = 10000 + (start + i) % 22000
        if reserve(port):
            found.append(port)
            if len(found) == n:
                return found
    raise FleetError("no free ports on 127.0.0.1")


class Whole:
    """A block that is not left half done, such as to start a process and to note which: end_in_order heeds a signal behind it."""
    depth, pending = 0, None

    def __enter__(self):
        Whole.depth += 1

    def __exit__(self, *_):
        Whole.depth -= 1
        if Whole.pending and Whole.depth == 0:
            raise SystemExit(128 + Whole.pending)


def end_in_order():
    """From here on a signal that ends this process unwinds it first, so that what it started is ended too. Once: what ends the
    rest is not to be interrupted by a second signal."""
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number, _):
        for s in asked:
            signal.signal(s, signal.SIG_IGN)
        if Whole.depth:
            Whole.pending = number
        else:
            raise SystemExit(128 + number)
    for s in asked:
        signal.signal(s, end)


def alive(pid):
    """A process of which only the first thread has ended lives, and holds its files, until the last has."""
    if not pid:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            if f.read().rsplit(")", 1)[1].split()[0] != "Z":
                return True
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def wait_for(what, fn, seconds):
    end = time.monotonic() + seconds
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise FleetError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Fleet:
    def __init__(self, folder):
        self.dir = os.path.abspath(folder)
        self.path = os.path.join(self.dir, "fleet.json")
        self.state = None

    # --- state ---

    def load(self):
        try:
            with open(self.path) as f:
                self.state = json.load(f)
        except FileNotFoundError:
            raise FleetError(f"there is no fleet in {self.dir}: run up first") from None
        return self

    def save(self):
        with open(self.path + ".tmp", "w") as f:
            json.dump(self.state, f, indent=1)
        os.replace(self.path + ".tmp", self.path)

    def region(self, name):
        try:
            return self.state["regions"][name]
        except KeyError:
            raise FleetError(f"there is no region {name}: {', '.join(self.state['regions'])}") from None

    # --- making ---

    def make(self, extra_config=""):
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        if os.path.exists(self.path):
            raise FleetError(f"there is a fleet in {self.dir} already: down first")
        names = [r[0] for r in REGIONS]
        kinds = ("rest", "grpc", "peer", "nats", "hub", "route", "leaf")
        ports = iter(free_ports(len(names) * len(kinds) + len(names) * len(names) * 3))
        self.state = {"regions": {}, "relay": {"pid": None, "links": []}, "extra": extra_config}
        for name, rid, role, lat, lon in REGIONS:
            folder = os.path.join(self.dir, name)
            os.makedirs(folder, exist_ok=True)
            self.state["regions"][name] = {
                "name": name, "id": rid, "role": role, "lat": lat, "lon": lon, "dir": folder,
                "ports": {k: next(ports) for k in kinds}, "via": {},
                "pid": {"isthmusd": None, "nats": None, "hub": None},
            }
        for a in names:
            for b in names:
                if a == b:
                    continue
                for service in ("peer", "leaf", "route"):
                    port = next(ports)
                    self.state["regions"][a]["via"][f"{service}:{b}"] = port
                    self.state["relay"]["links"].append((a, b, port, self.region(b)["ports"][service]))
        self.make_keys()
        self.make_geo()
        for name in names:
            self.write_configs(name)
        self.save()

    def make_keys(self):
        ctl = tool("ISTHMUSCTL", "isthmusctl")
        pki = os.path.join(self.dir, "pki")
        subprocess.run([ctl, "pki", "init", "--dir", pki], check=True, stdout=subprocess.DEVNULL)
        for name in self.state["regions"]:
            subprocess.run([ctl, "pki", "issue", name, "--dir", pki], check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(self.dir, "session.key"), "w") as f:
            f.write(os.urandom(32).hex() + "\n")

    def make_geo(self):
        """A database of where clients are, when the ranges of Debian's tor-geoipdb are at hand."""
        ranges = os.environ.get("GEOIP_DIR")
        if not ranges or not os.path.exists(os.path.join(ranges, "geoip")):
            return
        self.state["geo"] = os.path.join(self.dir, "geo.mmdb")
        subprocess.run([tool("ISTHMUSCTL", "isthmusctl"), "geo", "build", "--from", ranges, "-o", self.state["geo"]],
                       check=True, stdout=subprocess.DEVNULL)

    def write_configs(self, name):
        r = self.region(name)
        p, d = r["ports"], r["dir"]
        others = [n for n in self.state["regions"] if n != name]
        hubs = [n for n in DATA]
        with open(os.path.join(d, "hub.conf"), "w") as f:
            routes = ", ".join(f'"nats://127.0.0.1:{r["via"]["route:" + h]}"' for h in hubs if h > name)
            f.write(f'server_name: hub-{name}\nlisten: 127.0.0.1:{p["hub"]}\n'
                    f'cluster {{ name: hub, listen: 127.0.0.1:{p["route"]}, no_advertise: true, advertise: "127.0.0.1:1", '
                    f'connect_retries: 1000000, routes: [{routes}] }}\n'
                    f'leafnodes {{ listen: 127.0.0.1:{p["leaf"]}, no_advertise: true, advertise: "127.0.0.1:1" }}\n'
                    'accounts { SYS: { users: [{user: sys, password: sys}] }, '
                    'IST: { users: [{user: leaf, password: leaf}] } }\nsystem_account: SYS\n'
                    'ping_interval: "5s"\nping_max: 2\n')
        with open(os.path.join(d, "nats.conf"), "w") as f:
            urls = [f'nats://leaf:leaf@127.0.0.1:{p["leaf"]}'] if name in hubs else []
            urls += [f'nats://leaf:leaf@127.0.0.1:{r["via"]["leaf:" + h]}' for h in hubs if h != name]
            f.write(f'server_name: leaf-{name}\nlisten: 127.0.0.1:{p["nats"]}\n'
                    f'jetstream {{ store_dir: "{d}/nats", max_mem: 64M, max_file: 2G, domain: {name} }}\n'
                    f'leafnodes {{ reconnect: 1, remotes: [ {{ urls: {json.dumps(urls)}, account: IST, '
                    'no_randomize: true } ] }\n'
                    'accounts { SYS: { users: [{user: sys, password: sys}] }, '
                    'IST: { jetstream: enabled, users: [{user: edge, password: edge}] } }\n'
                    'system_account: SYS\nping_interval: "5s"\nping_max: 2\n')
        with open(os.path.join(d, "nats.password"), "w") as f:
            f.write("edge\n")
        with open(os.path.join(d, "isthmus.conf"), "w") as f:
            f.write(self.daemon_config(name, others))

    def daemon_config(self, name, others):
        r = self.region(name)
        p, d = r["ports"], r["dir"]
        pki = os.path.join(self.dir, "pki")
        rows = []
        for n in self.state["regions"]:
            o = self.region(n)
            peer = p["peer"] if n == name else r["via"]["peer:" + n]
            rows.append(f'  {{ name = "{n}"; id = {o["id"]}; role = "{o["role"]}"; lat = {o["lat"]}; lon = {o["lon"]};\n'
                        f'    rest = "http://127.0.0.1:{o["ports"]["rest"]}"; grpc = "127.0.0.1:{o["ports"]["grpc"]}"; '
                        f'peer = "127.0.0.1:{peer}"; domain = "{n}"; }}')
        return (f'fleet = {{ name = "demo"; }};\n'
                f'region = {{ name = "{name}"; id = {r["id"]}; role = "{r["role"]}"; lat = {r["lat"]}; '
                f'lon = {r["lon"]}; }};\n'
                f'listen = {{ http = "127.0.0.1:{p["rest"]}"; grpc = "127.0.0.1:{p["grpc"]}"; '
                f'peer = "127.0.0.1:{p["peer"]}"; }};\n'
                f'storage = {{ dir = "{d}/data"; map_size = "16GiB"; }};\n'
                f'peer = {{ certificate = "{pki}/{name}.pem"; key = "{pki}/{name}.key"; ca = "{pki}/ca.pem"; }};\n'
                f'session = {{ key_file = "{self.dir}/session.key"; }};\n'
                f'nats = {{ url = "nats://127.0.0.1:{p["nats"]}"; domain = "{name}"; user = "edge"; '
                f'password_file = "{d}/nats.password"; }};\n'
                f'scope = {{ home = "{HOME}"; }};\n'
                f'trusted_proxies = [ "127.0.0.0/8" ];\n'
                + (f'geo = {{ files = [ "{self.state["geo"]}" ]; }};\n' if self.state.get("geo") else "") +
                f'regions = (\n' + ",\n".join(rows) + "\n);\n" + self.state["extra"])

    # --- processes ---

    def spawn(self, name, part, argv):
        r = self.region(name)
        with open(os.path.join(r["dir"], part + ".log"), "ab") as out, Whole():
            proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=r["dir"],
                                    start_new_session=True)
            r["pid"][part] = proc.pid
            self.save()
        return proc

    def start_relay(self):
        relay = self.state["relay"]
        with Whole():
            proc = subprocess.Popen([sys.executable, os.path.join(HERE, "relay.py"), self.relay_socket()],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
                                    pass_fds=[s.fileno() for s in reserved])
            relay["pid"] = proc.pid
            self.save()
        for link in relay["links"]:
            proc.stdin.write((" ".join(str(x) for x in link) + "\n").encode())
        proc.stdin.close()
        if proc.stdout.readline().strip() != b"ready":
            raise FleetError("the relay did not start")

    def relay_socket(self):
        return os.path.join(self.dir, "relay.sock")

    def relay_say(self, line):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.relay_socket())
            s.sendall(line.encode())
            return s.recv(16)

    def start(self, name, parts=("hub", "nats", "isthmusd"), wait=True):
        r = self.region(name)
        if "hub" in parts and r["role"] == "data" and not alive(r["pid"]["hub"]):
            self.spawn(name, "hub", [tool("NATS_SERVER", "nats-server"), "-c", os.path.join(r["dir"], "hub.conf")])
        if "nats" in parts and not alive(r["pid"]["nats"]):
            self.spawn(name, "nats", [tool("NATS_SERVER", "nats-server"), "-c", os.path.join(r["dir"], "nats.conf")])
        if "isthmusd" in parts and not alive(r["pid"]["isthmusd"]):
            self.spawn(name, "isthmusd", [tool("ISTHMUSD", "isthmusd"), "-c", os.path.join(r["dir"], "isthmus.conf")])
            if wait:
                self.wait_answer(name)

    def wait_answer(self, name):
        def answers():
            if not alive(self.region(name)["pid"]["isthmusd"]):
                raise FleetError(f"isthmusd of {name} ended:\n" + self.log_tail(name))
            return self.status_of(name) is not None
        wait_for(f"{name} answers", answers, 30)

    def log_tail(self, name, part="isthmusd"):
        try:
            with open(os.path.join(self.region(name)["dir"], part + ".log"), errors="replace") as f:
                return "".join(f.readlines()[-15:])
        except OSError:
            return ""

    def provision(self):
        ctl = tool("ISTHMUSCTL", "isthmusctl")
        for name in self.state["regions"]:
            config = os.path.join(self.region(name)["dir"], "isthmus.conf")
            def once():
                done = subprocess.run([ctl, "provision", "-c", config], capture_output=True, text=True)
                self.provision_words = done.stdout + done.stderr
                return done.returncode == 0
            try:
                wait_for(f"provision {name}", once, 20)
            except FleetError as e:
                raise FleetError(f"{e}\n{self.provision_words}") from None

    def up(self):
        self.start_relay()
        for name in self.state["regions"]:
            self.start(name, parts=("hub", "nats"))
        self.provision()
        for name in self.state["regions"]:
            self.start(name, parts=("isthmusd",), wait=False)
        for name in self.state["regions"]:
            self.wait_answer(name)

    def end(self, pid, sig, seconds=20):
        if not alive(pid):
            return
        os.kill(pid, sig)
        try:
            wait_for(f"process {pid} ends", lambda: self.reap(pid), seconds)
        except FleetError:
            os.kill(pid, signal.SIGKILL)
            self.reap(pid)

    @staticmethod
    def reap(pid):
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass
        return not alive(pid)

    def stop(self, name):
        r = self.region(name)
        for part in ("isthmusd", "nats", "hub"):
            self.end(r["pid"][part], signal.SIGTERM)
            r["pid"][part] = None
        self.save()

    def kill(self, name, which=None):
        r = self.region(name)
        parts = {None: ("isthmusd", "nats", "hub"), "daemon": ("isthmusd",), "nats": ("nats",)}[which]
        for part in parts:
            self.end(r["pid"][part], signal.SIGKILL)
            r["pid"][part] = None
        self.save()

    def signal_all(self, name, sig):
        for pid in self.region(name)["pid"].values():
            if alive(pid):
                os.kill(pid, sig)

    def down(self):
        for name in self.state["regions"]:
            self.signal_all(name, signal.SIGCONT)
        for name in self.state["regions"]:
            self.stop(name)
        self.end(self.state["relay"]["pid"], signal.SIGTERM)
        os.unlink(self.path)

    # --- questions ---

    def rest(self, name):
        return f'http://127.0.0.1:{self.region(name)["ports"]["rest"]}'

    def grpc(self, name):
        return f'127.0.0.1:{self.region(name)["ports"]["grpc"]}'

    def status_of(self, name):
        try:
            with urllib.request.urlopen(self.rest(name) + "/isthmus/status", timeout=3) as reply:
                return json.load(reply)
        except (OSError, ValueError, KeyError):
            return None

    def status(self):
        rows = []
        for name, r in self.state["regions"].items():
            s = self.status_of(name) or {}
            pid = {k: v if alive(v) else None for k, v in r["pid"].items()}
            rows.append({
                "name": name, "role": s.get("role"), "epoch": s.get("epoch"), "ready": s.get("ready", False),
                "rest": self.rest(name), "grpc": self.grpc(name), "peer": f'127.0.0.1:{r["ports"]["peer"]}',
                "nats": f'127.0.0.1:{r["ports"]["nats"]}', "pid_isthmusd": pid["isthmusd"], "pid_nats": pid["nats"],
                "pid_hub": pid["hub"], "data_dir": os.path.join(r["dir"], "data"),
                "nats_dir": os.path.join(r["dir"], "nats"), "config": os.path.join(r["dir"], "isthmus.conf"),
            })
        return rows


def print_status(rows, as_json):
    if as_json:
        print(json.dumps({"regions": rows}))
    else:
        print(f'{"REGION":8} {"ROLE":10} {"EPOCH":>8} {"READY":6} {"REST":28} {"GRPC":20} PID')
        for r in rows:
            print(f'{r["name"]:8} {r["role"] or "unreachable":10} {r["epoch"] if r["epoch"] is not None else "-":>8} '
                  f'{"yes" if r["ready"] else "no":6} {r["rest"]:28} {r["grpc"]:20} {r["pid_isthmusd"] or "-"}')
    return 0 if all(r["role"] for r in rows) else 1


def main():
    ap = argparse.ArgumentParser(prog="./dev fleet", description="A fleet of regions on loopback.")
    ap.add_argument("verb", choices=["up", "down", "status", "start", "stop", "kill", "pause", "resume", "cut", "heal"])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--dir", default=os.environ.get("ISTHMUS_FLEET_DIR", "isthmus-fleet"))
    ap.add_argument("--json", action="store_true")
    a = ap.parse_args()
    wants = {"start": (1, 1), "stop": (1, 1), "kill": (1, 2), "pause": (1, 1), "resume": (1, 1), "cut": (2, 2),
             "heal": (2, 2)}.get(a.verb, (0, 0))
    if not wants[0] <= len(a.names) <= wants[1]:
        ap.error(f"{a.verb} takes {wants[0]} name(s)")
    fleet = Fleet(a.dir)
    if a.verb == "up":
        fleet.make('failover = { mode = "auto"; };\n')
        fleet.up()
        return print_status(fleet.status(), a.json)
    fleet.load()
    if a.verb == "status":
        return print_status(fleet.status(), a.json)
    if a.verb in ("cut", "heal"):
        for name in a.names:
            fleet.region(name)
        fleet.relay_say(f"{a.verb} {a.names[0]} {a.names[1]}")
    elif a.verb in ("pause", "resume"):
        fleet.signal_all(a.names[0], signal.SIGSTOP if a.verb == "pause" else signal.SIGCONT)
    else:
        getattr(fleet, a.verb)(*a.names)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FleetError as e:
        print(f"fleet: {e}", file=sys.stderr)
        sys.exit(1)
