#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The style of CONTRIBUTING.md as far as a script can see it. Prints FILE:LINE: what is wrong and ends
# with 1 if anything is. Lines that begin with "report:" are for the reader and fail nothing.
set -eu
cd "${srcdir:-$(dirname "$0")/..}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

sources() { find base index replicator gateway tests bench "$@" -type f | LC_ALL=C sort; }

sources \( -name '*.c' -o -name '*.h' -o -name '*.def' \) >"$scratch/c"
{
	sources \( -name '*.sh' -o -name '*.py' -o -name '*.inc' \)
	for file in dev .ci/run configure.ac Makefile.am; do
		test ! -e "$file" || echo "$file"
	done
} >"$scratch/scripts"
{
	cat "$scratch/c" "$scratch/scripts"
	find doc etc systemd -type f | LC_ALL=C sort
	find . -maxdepth 2 -name '*.md' -not -path './build-*' | sed 's|^\./||' | LC_ALL=C sort
} | LC_ALL=C sort -u >"$scratch/all"

failed=0
fail() { echo "$1"; failed=1; }

if ! test -s "$scratch/c"; then
	fail 'tidy.sh: no source was found; nothing was checked'
fi

# Unfinished work has no place in the tree. The words are put together here, lest this file name itself.
awk '
BEGIN { words = "(TO" "DO|FIX" "ME|XX" "X)" }
{
	file = $0
	for (line = 1; (getline text < file) > 0; line++)
		if (text ~ ("(^|[^A-Za-z0-9_])" words "([^A-Za-z0-9_]|$)")) {
			printf "%s:%d: unfinished: %s\n", file, line, text
			bad = 1
		}
	close(file)
}
END { exit bad }' "$scratch/all" || failed=1

# What is cleaned up at the end of its scope is begun before a way out of it: not every compiler fills it with zeros.
awk '
{
	file = $0
	name = ""
	for (line = 1; (getline text < file) > 0; line++) {
		if (name != "" && text ~ ("&" name "[^A-Za-z0-9_]"))
			name = ""
		if (name != "" && text ~ /[ \t](return|continue|break|goto)[ ;]/) {
			printf "%s:%d: left before `%s` is begun, and cleaned up all the same\n", file, line, name
			bad = 1
			name = ""
		}
		if (text ~ /^}/)
			name = ""
		if (text ~ /CLEANUP\([a-z_]*\) struct [a-z_]* [a-z_]*;/) {
			name = text
			sub(/;.*/, "", name)
			sub(/.* /, "", name)
		}
	}
	close(file)
}
END { exit bad }' "$scratch/c" || failed=1

# One licence line, the first or, after #!, the second. A .def holds its rows and their explanation only.
awk '
{
	file = $0
	if (file ~ /\.def$/)
		next
	found = 0
	for (line = 1; line <= 2 && (getline text < file) > 0; line++)
		if (text ~ /SPDX-License-Identifier: Apache-2\.0/)
			found = 1
	close(file)
	if (!found) {
		printf "%s:1: the line SPDX-License-Identifier: Apache-2.0 is missing\n", file
		bad = 1
	}
}
END { exit bad }' "$scratch/c" "$scratch/scripts" || failed=1

# In C: no line comments; clock_gettime in base/clock.c only; who calls an exported function that may fail
# must look at the result. Exempt from that: appenders to a buf, whose error is sticky, and the functions of
# base/err.h, which make errors and do not fail.
awk '
function wrong(what) {
	printf "%s:%d: %s\n", file, line, what
	bad = 1
}

# The text of a line outside comments and literals; in_comment lasts from line to line.
function code_of(text,    out, end) {
	out = ""
	while (text != "") {
		if (in_comment) {
			end = index(text, "*/")
			if (!end)
				return out
			text = substr(text, end + 2)
			in_comment = 0
		} else if (!match(text, /"|\047|\/\*|\/\//)) {
			return out text
		} else {
			out = out substr(text, 1, RSTART - 1)
			mark = substr(text, RSTART, RLENGTH)
			text = substr(text, RSTART + RLENGTH)
			if (mark == "//")
				return out "//"
			if (mark == "/*")
				in_comment = 1
			else
				text = after_literal(text, mark)
		}
	}
	return out
}

function after_literal(text, quote,    i, c) {
	for (i = 1; i <= length(text); i++) {
		c = substr(text, i, 1)
		if (c == "\\")
			i++
		else if (c == quote)
			return substr(text, i + 1)
	}
	return ""
}

{
	file = $0
	in_comment = 0
	for (line = 1; (getline text < file) > 0; line++) {
		code = code_of(text)
		if (index(code, "//"))
			wrong("a // comment; write /* */")
		if (code ~ /(^|[^A-Za-z0-9_])clock_gettime[ \t]*\(/ && file !~ /^(base\/clock\.c|tests\/|bench\/)/)
			wrong("clock_gettime is called by base/clock.c only")
		if (file ~ /\.h$/ && code ~ /^enum err [a-z0-9_]+\(/ && code !~ /MUST_USE/ &&
		    code !~ /^enum err (buf|err|fault)_/)
			wrong("an exported function that may fail is to be marked MUST_USE")
	}
	close(file)
	if (line > 1001)
		printf "report: %s has %d lines\n", file, line - 1
}
END { exit bad }' "$scratch/c" || failed=1

# A test per source. What implements an interface (store_lmdb.c behind store.h) is tested as the interface.
tested() {
	folder=${1%%/*} name=$(basename "$1" .c)
	if test -e "tests/$folder/test_$name.c"; then
		return 0
	fi
	test ! -e "$folder/$name.h" || return 1
	test -e "$folder/${name%_*}.h" && test -e "tests/$folder/test_${name%_*}.c"
}
while read -r file; do
	case $file in
	tests/* | bench/* | *.h | *.def | gateway/main.c | gateway/ctl.c) continue ;;
	esac
	tested "$file" && continue
	case $file in
	gateway/*) echo "report: $file:1: has no test" ;;
	*) fail "$file:1: has no tests/${file%%/*}/test_$(basename "$file")" ;;
	esac
done <"$scratch/c"

for folder in base index replicator gateway tests bench systemd; do
	test -e "$folder/README.md" || fail "$folder:1: the folder has no README.md"
done

# Only universal ctags knows where a function ends.
if ctags --version 2>/dev/null | grep -q Universal; then
	grep '\.c$' "$scratch/c" | ctags --languages=C --c-kinds=f --fields=+ne -f - -L - 2>/dev/null | awk -F '\t' '
	{
		start = end = 0
		for (i = 4; i <= NF; i++) {
			if ($i ~ /^line:/)
				start = substr($i, 6)
			if ($i ~ /^end:/)
				end = substr($i, 5)
		}
		if (end - start + 1 > 70)
			printf "report: %s:%d: %s has %d lines\n", $2, start, $1, end - start + 1
	}'
fi

exit "$failed"
