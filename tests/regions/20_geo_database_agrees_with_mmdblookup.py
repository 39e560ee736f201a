#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The database that `isthmusctl geo build` makes of Tor's real ranges says of every address what the ranges say, to a reader of
our own, to mmdblookup, and like a database that MaxMind's own writer made of the same ranges."""

import bisect
import ipaddress
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

ADDRESSES = 2000
RANGES_FOR_PERL = 4000
V6_ALIAS_6TO4 = 0x2002 << 112


def skip(why):
    print(why)
    sys.exit(77)


class Mmdb:
    """As much of MaxMind DB 2.0 as a look-up needs."""

    MARKER = b"\xab\xcd\xefMaxMind.com"

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        start = self.data.rindex(self.MARKER) + len(self.MARKER)
        self.meta, _ = self.value(start, start)
        self.nodes, self.bits = self.meta["node_count"], self.meta["record_size"]
        self.section = self.nodes * self.bits // 4 + 16

    def value(self, at, base):
        control = self.data[at]
        at += 1
        kind, size = control >> 5, control & 31
        if kind == 1:
            n = (size >> 3) + 1
            raw = int.from_bytes(self.data[at:at + n], "big")
            to = raw if n == 4 else raw + ((size & 7) << 8 * n) + (0, 2048, 526336)[n - 1]
            return self.value(base + to, base)[0], at + n
        if kind == 0:
            kind = self.data[at] + 7
            at += 1
        if size > 28:
            n = size - 28
            size = int.from_bytes(self.data[at:at + n], "big") + (29, 285, 65821)[n - 1]
            at += n
        if kind == 7:
            out = {}
            for _ in range(size):
                key, at = self.value(at, base)
                out[key], at = self.value(at, base)
            return out, at
        if kind == 11:
            out = []
            for _ in range(size):
                item, at = self.value(at, base)
                out.append(item)
            return out, at
        raw = self.data[at:at + size]
        if kind == 2:
            return raw.decode(), at + size
        if kind == 3:
            return struct.unpack(">d", raw)[0], at + size
        assert kind in (5, 6, 9, 10), kind
        return int.from_bytes(raw, "big"), at + size

    def record(self, node, side):
        at = node * self.bits // 4
        if self.bits == 28:
            middle = self.data[at + 3]
            high = middle >> 4 if side == 0 else middle & 15
            part = self.data[at:at + 3] if side == 0 else self.data[at + 4:at + 7]
            return high << 24 | int.from_bytes(part, "big")
        n = self.bits // 8
        return int.from_bytes(self.data[at + side * n:at + (side + 1) * n], "big")

    def find(self, address):
        """address: a number of 128 bits; IPv4 below 2^32."""
        node = 0
        for i in range(127, -1, -1):
            node = self.record(node, address >> i & 1)
            if node >= self.nodes:
                break
        if node <= self.nodes:
            return None
        return self.value(node - self.nodes - 16 + self.section, self.section)[0]


class Ranges:
    def __init__(self, folder):
        self.rows = {}
        for name, parse in (("geoip", int), ("geoip6", lambda t: int(ipaddress.IPv6Address(t)))):
            rows = []
            with open(os.path.join(folder, name)) as f:
                for line in f:
                    fields = line.rstrip("\n").split(",")
                    if not line.startswith("#") and len(fields) == 3:
                        rows.append((parse(fields[0]), parse(fields[1]), fields[2]))
            rows.sort()
            self.rows[name] = (rows, [r[0] for r in rows])

    def find(self, address, v6):
        rows, starts = self.rows["geoip6" if v6 else "geoip"]
        i = bisect.bisect_right(starts, address) - 1
        if i < 0 or address > rows[i][1]:
            return None
        return rows[i][2] if rows[i][2] not in ("", "??") else None


def some_addresses(ranges, rng):
    """Half of them anywhere, half at the edges of ranges, where mistakes are; (number, is IPv6)."""
    out = []
    for i in range(ADDRESSES):
        v6 = i % 2 == 1
        rows = ranges.rows["geoip6" if v6 else "geoip"][0]
        if i % 4 < 2:
            first, last, _ = rng.choice(rows)
            a = rng.choice((first, last, first - 1, last + 1, rng.randint(first, last)))
        else:
            a = rng.getrandbits(125) | 1 << 125 if v6 else rng.getrandbits(32)
        a %= 1 << (128 if v6 else 32)
        # There IPv4 is found as well.
        if v6 and (a >> 112 == 0x2002 or a >> 32 in (0, 0xffff)):
            continue
        out.append((a, v6))
    return out


def text_of(address, v6):
    return str(ipaddress.IPv6Address(address) if v6 else ipaddress.IPv4Address(address))


def country_of(record):
    return record["country"]["iso_code"] if record else None


def build(ctl, source, output):
    done = subprocess.run([ctl, "geo", "build", "--from", source, "-o", output], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_ranges(db, ranges, addresses):
    known = 0
    for a, v6 in addresses:
        record, expected = db.find(a), ranges.find(a, v6)
        assert country_of(record) == expected, (text_of(a, v6), record, expected)
        known += expected is not None
        if record and "location" in record:
            assert -90 <= record["location"]["latitude"] <= 90 and -180 <= record["location"]["longitude"] <= 180, record
            assert record["continent"]["code"] in ("AF", "AN", "AS", "EU", "NA", "OC", "SA"), record
        if not v6:
            for alias in (0xffff << 32 | a, V6_ALIAS_6TO4 | a << 80 | 1):
                assert country_of(db.find(alias)) == expected, text_of(a, v6)
    assert known > len(addresses) // 3, known


def check_mmdblookup(path, db, addresses):
    tool = shutil.which("mmdblookup")
    if not tool:
        print("part skipped: mmdblookup is not there")
        return
    for a, v6 in addresses[:400]:
        done = subprocess.run([tool, "--file", path, "--ip", text_of(a, v6), "country", "iso_code"], capture_output=True,
                              text=True, timeout=20)
        told = done.stdout.split('"')[1] if '"' in done.stdout else None
        assert told == country_of(db.find(a)), (text_of(a, v6), done.stdout, done.stderr)


PERL = r"""
use strict; use warnings;
use MaxMind::DB::Writer::Tree;
my %types = (country => 'map', iso_code => 'utf8_string');
my $tree = MaxMind::DB::Writer::Tree->new(ip_version => 6, record_size => 28, database_type => 'Test-Country',
	languages => ['en'], description => { en => 'test' }, alias_ipv6_to_ipv4 => 1, remove_reserved_networks => 0,
	map_key_type_callback => sub { $types{ $_[0] } });
while (<STDIN>) { chomp; my ($first, $last, $code) = split /,/;
	$tree->insert_range($first, $last, { country => { iso_code => $code } }); }
open my $fh, '>:raw', $ARGV[0] or die; $tree->write_tree($fh);
"""


def check_perl(ctl, folder, ranges, rng):
    """MaxMind's own writer, given the same ranges, says the same of all their edges."""
    probe = subprocess.run(["perl", "-MMaxMind::DB::Writer::Tree", "-e", "1"], capture_output=True)
    if probe.returncode != 0:
        print("part skipped: libmaxmind-db-writer-perl is not there")
        return
    lines, edges = [], []
    for name, v6 in (("geoip", False), ("geoip6", True)):
        rows = [r for r in ranges.rows[name][0] if r[2] not in ("", "??") and r[0] >> 112 != 0x2002]
        for first, last, code in sorted(rng.sample(rows, RANGES_FOR_PERL // 2)):
            # IPv4 is told to it as what it is in a tree for IPv6.
            a, b = (str(ipaddress.IPv6Address(n)) if v6 else text_of(n, False) for n in (first, last))
            lines.append(f"{a},{b},{code}\n")
            edges += [first, last, max(first - 1, 0), last + 1]
    with open(os.path.join(folder, "part"), "w") as f:
        f.writelines(lines)
    ours, theirs = os.path.join(folder, "ours.mmdb"), os.path.join(folder, "theirs.mmdb")
    build(ctl, f.name, ours)
    subprocess.run(["perl", "-e", PERL, theirs], input="".join(lines), text=True, check=True, timeout=200)
    a, b = Mmdb(ours), Mmdb(theirs)
    for edge in edges:
        assert country_of(a.find(edge)) == country_of(b.find(edge)), ipaddress.IPv6Address(edge)
    print(f"like MaxMind's writer at {len(edges)} edges; {a.nodes} nodes, {b.nodes} of theirs")


def main():
    source = os.environ.get("GEOIP_DIR")
    if not source or not os.path.exists(os.path.join(source, "geoip")):
        skip("tor-geoipdb cannot be had")
    ctl = os.environ["ISTHMUSCTL"]
    rng = random.Random(20)
    with tempfile.TemporaryDirectory(prefix="isthmus-geo-") as folder:
        path, again = os.path.join(folder, "geo.mmdb"), os.path.join(folder, "again.mmdb")
        print(build(ctl, source, path).strip())
        build(ctl, source, again)
        with open(path, "rb") as f, open(again, "rb") as g:
            assert f.read() == g.read(), "the same ranges made other bytes"
        ranges, db = Ranges(source), Mmdb(path)
        assert db.meta["ip_version"] == 6 and db.meta["record_size"] == 24, db.meta
        addresses = some_addresses(ranges, rng)
        check_ranges(db, ranges, addresses)
        check_mmdblookup(path, db, addresses)
        check_perl(ctl, folder, ranges, rng)


if __name__ == "__main__":
    main()
