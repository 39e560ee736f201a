#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The order of the house, as a test. Prints FILE:LINE: what is wrong, and ends with 1 if anything is.
#
#   folders   base -> index -> replicator -> gateway: a file includes its own folder and those to its left;
#             tests/FOLDER/ as FOLDER; names are written from the root
#   ranks     inside gateway/ a file includes lower ranks; files of one rank never in a circle
#   owners    a header of a third party has one file that includes it
#   api       api_*.c knows nothing of HTTP, JSON and protobuf
#
# A unit is a name of the table below with all that begins with it and "_": message_kinds.c is of the unit
# message, api_search.c of api.
set -eu
cd "${srcdir:-$(dirname "$0")/..}"

find base index replicator gateway tests bench \( -name '*.c' -o -name '*.h' -o -name '*.def' \) -type f |
LC_ALL=C sort | awk '
function wrong(what) {
	printf "%s:%d: %s\n", file, line, what
	bad = 1
}

# "gateway/api_search.c" -> "api_search"
function stem(path) {
	sub(/^.*\//, "", path)
	sub(/\.[a-z]+$/, "", path)
	return path
}

function unit(path,    name) {
	name = stem(path)
	while (!(name in rank) && name ~ /_/)
		sub(/_[^_]*$/, "", name)
	return name
}

function rank_row(number, names,    n, list, i) {
	n = split(names, list, " ")
	for (i = 1; i <= n; i++)
		rank[list[i]] = number
}

function owner_row(pattern, paths) {
	owner[pattern] = paths
}

function check_ours(target,    folder) {
	folder = target
	sub(/\/.*$/, "", folder)
	if (target !~ /\//) {
		wrong("\"" target "\" is to be written from the root, as \"folder/" target "\"")
		return
	}
	if (folder == "tests" || folder == "bench") {
		if (place != "tests" && place != "bench")
			wrong(layer "/ may not include " folder "/")
		return
	}
	if (!(folder in order))
		wrong("\"" target "\" is in no folder of the house")
	else if (layer in order && order[folder] > order[layer])
		wrong(layer "/ may not include " folder "/")
	if (place == "gateway" && folder == "gateway")
		check_rank(target)
	if (file ~ /^gateway\/api(_[a-z]+)?\.[ch]$/ && stem(target) ~ /^(h1|h2|rest|grpc|json|proto)$/)
		wrong("the service layer may not include \"" target "\"")
}

function check_rank(target,    from, to) {
	from = unit(file)
	to = unit(target)
	if (from == to || !(from in rank))
		return
	if (!(to in rank))
		wrong("\"" target "\" has no rank: give it one in tests/layers.sh")
	else if (rank[to] > rank[from])
		wrong(from " (rank " rank[from] ") may not include " to " (rank " rank[to] ")")
	else if (rank[to] == rank[from] && !((from, to) in edge)) {
		edge[from, to] = file ":" line
		beside[from] = beside[from] " " to
	}
}

function check_theirs(target,    pattern, found) {
	for (pattern in owner)
		if (target ~ pattern)
			found = pattern
	if (found == "" || place == "tests" || place == "bench")
		return
	if (index(" " owner[found] " ", " " file " ") == 0)
		wrong("<" target "> belongs to " (owner[found] == "" ? "tests/" : owner[found]))
}

# Depth first over the includes inside one rank; state 1 = on the path, 2 = done.
function walk(from, path,    n, list, i) {
	state[from] = 1
	n = split(beside[from], list, " ")
	for (i = 1; i <= n; i++) {
		if (state[list[i]] == 1) {
			printf "%s: a circle inside one rank: %s -> %s\n", edge[from, list[i]], path, list[i]
			bad = 1
		} else if (!state[list[i]]) {
			walk(list[i], path " -> " list[i])
		}
	}
	state[from] = 2
}

BEGIN {
	order["base"] = 1
	order["index"] = 2
	order["replicator"] = 3
	order["gateway"] = 4

	rank_row(0, "drill config crypto limits notify refusal watchdog")
	rank_row(1, "jwt request protocol tls h1 h2")
	rank_row(2, "conn peer_pool resolver message forwarded geo region route router auth ack_words")
	rank_row(3, "method api rest grpc proxy writers")
	rank_row(4, "serve admin")
	rank_row(5, "main daemon listener")
	rank_row(6, "apt_records damage ctl ctl_http ctl_text embed import mmdb_write pki")

	owner_row("^nghttp2/", "gateway/h2.c gateway/h2_client.c")
	owner_row("^openssl/", "gateway/tls.c gateway/crypto.c gateway/pki.c")
	owner_row("^maxminddb", "gateway/geo.c")
	owner_row("^libconfig", "gateway/config.c")
	owner_row("^nats(/|\\.h)", "replicator/stream_nats.c")
	owner_row("^lmdb", "index/store_lmdb.c")
	owner_row("^(utf8proc|libstemmer)", "index/words.c")
	owner_row("^xxh", "base/hash.c")
	owner_row("^zlib", "base/gzip.c")
	owner_row("^check\\.h", "")
}

{
	file = $0
	line = 0
	place = file
	sub(/\/.*$/, "", place)
	layer = place
	if (file ~ /^tests\/[a-z]+\//) {
		layer = substr(file, 7)
		sub(/\/.*$/, "", layer)
	}
	if (place == "gateway" && !(unit(file) in rank)) {
		line = 1
		wrong(stem(file) " has no rank: give it one in tests/layers.sh")
		line = 0
	}
	while ((getline text < file) > 0) {
		line++
		if (text !~ /^[ \t]*#[ \t]*include[ \t]*["<]/)
			continue
		target = text
		sub(/^[^"<]*["<]/, "", target)
		sub(/[">].*$/, "", target)
		includes++
		if (text ~ /include[ \t]*"/)
			check_ours(target)
		else
			check_theirs(target)
	}
	close(file)
}

END {
	for (name in rank)
		if (!state[name])
			walk(name, name)
	if (!includes) {
		print "layers.sh: not one include was found; nothing was checked"
		bad = 1
	}
	exit bad
}'
