#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# No file is left out of the build: every source of a folder stands in its Makefile.inc, every
# tests/FOLDER/test_*.c in tests/Makefile.inc, and nothing stands there that does not exist.
#
# With --fix it writes the lists anew, from what is there.
set -eu
cd "${srcdir:-$(dirname "$0")/..}"

sources() { find "$@" \( -name '*.[ch]' -o -name '*.def' \) -type f | LC_ALL=C sort; }

# write_list FILE VARIABLE: the list in FILE becomes the names on the input.
write_list() {
	awk -v variable="$2" '
	FILENAME == "-" { names = names " \\\n\t" $0; next }
	in_list { in_list = /\\$/; next }
	$1 == variable && $2 == "=" { print variable " =" names; in_list = /\\$/; next }
	{ print }' - "$1" >"$1.part"
	# An unchanged list keeps its time, so that make does not begin anew.
	if cmp -s "$1" "$1.part"; then
		rm "$1.part"
	else
		mv "$1.part" "$1"
	fi
}

if [ "${1:-}" = --fix ]; then
	for folder in base index replicator gateway; do
		# These two hold main() and are the sources of programs.
		sources "$folder" -maxdepth 1 | grep -vxE 'gateway/(main|ctl)\.c' |
			write_list "$folder/Makefile.inc" "lib${folder}_a_SOURCES"
		find "tests/$folder" -maxdepth 1 -name 'test_*.c' | sed 's/\.c$//' | LC_ALL=C sort |
			write_list tests/Makefile.inc "${folder}_tests"
	done
fi

{
	sources base index replicator gateway -maxdepth 1
	sources tests -mindepth 2
} | awk '
function read_list(path, folder,    text, n, word, i) {
	while ((getline text < path) > 0) {
		sub(/#.*$/, "", text)
		n = split(text, word, /[ \t\\]+/)
		for (i = 1; i <= n; i++)
			if (word[i] ~ ("^" folder "/") && word[i] !~ /\$/)
				listed[word[i]] = path
	}
	close(path)
}

BEGIN {
	split("base index replicator gateway tests", folders, " ")
	for (i = 1; i <= 5; i++)
		read_list(folders[i] "/Makefile.inc", folders[i])
}

{
	there[$0] = 1
	count++
	name = $0
	if (name ~ /^tests\/[a-z]+\/test_[^\/]*\.c$/)
		sub(/\.c$/, "", name)
	if (name in listed || $0 in listed)
		next
	folder = name
	sub(/\/.*$/, "", folder)
	printf "%s:1: stands not in %s/Makefile.inc, add the line %s\n", $0, folder, name
	bad = 1
}

END {
	for (name in listed)
		if (name ~ /\.(c|h|def)$/ && !(name in there)) {
			printf "%s: names %s, which does not exist\n", listed[name], name
			bad = 1
		} else if (name ~ /\/test_[^.]*$/ && !((name ".c") in there)) {
			printf "%s: names %s, but there is no %s.c\n", listed[name], name, name
			bad = 1
		}
	if (!count) {
		print "sources.sh: no source was found; nothing was checked"
		bad = 1
	}
	exit bad
}'
