#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Does test_merge notice a broken rule? Each patch of mutants/ breaks one rule of merge.c, in a copy; the
# property test has to fail with it, and to pass without any.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cc=${CC:-cc}
flags='-std=gnu17 -D_GNU_SOURCE -O2'
packages='check libxxhash zlib'
# shellcheck disable=SC2086
cflags=$(pkg-config --cflags $packages) libs="$(pkg-config --libs $packages) -lm -lpthread"

# What merge.c and its test need, compiled once.
for file in base/*.c index/value*.c index/point.c tests/replicator/test_merge.c; do
	# shellcheck disable=SC2086
	$cc $flags $cflags -I. -c "$file" -o "$scratch/$(echo "$file" | tr / _).o"
done
rm -f "$scratch/merge.a"
ar rc "$scratch/merge.a" "$scratch"/base_*.o "$scratch"/index_*.o

# The property test with that merge.c: passed or failed.
run() {
	# shellcheck disable=SC2086
	$cc $flags $cflags -I. -c "$1" -o "$scratch/merge.o"
	# shellcheck disable=SC2086
	$cc -o "$scratch/test_merge" "$scratch/tests_replicator_test_merge.c.o" "$scratch/merge.o" \
		"$scratch/merge.a" $libs
	if CK_RUN_CASE=property CK_VERBOSITY=silent "$scratch/test_merge" >/dev/null 2>&1; then
		echo passed
	else
		echo failed
	fi
}

if test "$(run replicator/merge.c)" != passed; then
	echo 'the property test fails with merge.c as it is'
	exit 1
fi
count=0
for patch in tests/replicator/mutants/*.patch; do
	mkdir -p "$scratch/tree/replicator"
	cp replicator/merge.c "$scratch/tree/replicator/"
	if ! patch -s -p1 -d "$scratch/tree" <"$patch"; then
		echo "$patch does not apply any more"
		exit 1
	fi
	if test "$(run "$scratch/tree/replicator/merge.c")" != failed; then
		echo "$patch: the property test does not notice"
		exit 1
	fi
	count=$((count + 1))
done
if test "$count" -lt 5; then
	echo "only $count mutants were found"
	exit 1
fi
echo "$count mutants, all noticed"
