#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What /metrics says parses, carries the seven names that are fixed, and the alert rules name only metrics that exist."""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "demo"))
import server as srv  # noqa: E402

FIXED = ["search_latency_p99_seconds", "index_build_time_seconds", "replica_lag_seconds", "node_cpu_percent",
         "node_memory_used_bytes", "ingest_latency_seconds", "batch_size"]
# promtool's taste in names differs from names that are fixed for us.
TASTE = re.compile(r"^(node_cpu_percent|batch_size|isthmus_is_primary|isthmus_build_info) ")


def main():
    promtool = os.environ.get("PROMTOOL")
    if not promtool:
        print("no promtool (set PROMTOOL)")
        return 77
    rules = os.path.join(HERE, "..", "..", "etc", "alerts.yml")
    subprocess.run([promtool, "check", "rules", rules], check=True)
    with tempfile.TemporaryDirectory() as folder:
        server = srv.Server(folder).start()
        try:
            rest = server.rest()
            rest.call("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2})
            points = [{"id": i, "vector": [1, 2, 3, i]} for i in range(100)]
            rest.call("PUT", "/collections/c/points?wait=true", {"points": points})
            rest.call("POST", "/collections/c/points/query", {"query": [1.0, 1.0, 1.0, 1.0]})
            status, _, text = rest.raw("GET", "/metrics")
            assert status == 200
            checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True)
            bad = [line for line in checked.stderr.decode().splitlines() if not TASTE.match(line)]
            print("\n".join(bad))
            assert checked.returncode in (0, 3) and not [b for b in bad if "error" in b], checked.stderr
            metrics = text.decode()
            names = set(re.findall(r"^# TYPE (\S+) ", metrics, re.M))
            missing = [n for n in FIXED if n not in names]
            assert not missing, f"missing: {missing}"
            wanted = set(re.findall(r"\b((?:isthmus|search|replica|node|index|ingest)_[a-z0-9_]+)", open(rules).read()))
            unknown = [w for w in wanted if w not in names and re.sub(r"_(count|bucket|sum)$", "", w) not in names]
            assert not unknown, f"alert rules name metrics that do not exist: {unknown}"
            assert 'isthmus_shard_points{collection="c",shard="1"}' in metrics, "no counter of a shard"
            assert re.search(r"^batch_size_count [1-9]", metrics, re.M), "commits were not counted"
            assert re.search(r"^node_memory_used_bytes [1-9]", metrics, re.M)
        finally:
            server.stop()
    return 0


sys.exit(main())
