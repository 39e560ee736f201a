#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Do the tests of the lease notice a broken rule? Each patch of lease_mutants/ breaks one, in a copy; one of the tests has
# to fail with it, and all have to pass without any.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cc=${CC:-cc}
# Of the forms of ops the lease needs positions alone: what nobody calls is left out, and so is what that would need.
flags='-std=gnu17 -D_GNU_SOURCE -O1 -w -ffunction-sections -fdata-sections'
packages='check libxxhash zlib'
# shellcheck disable=SC2086
cflags=$(pkg-config --cflags $packages) libs="$(pkg-config --libs $packages) -lm -lpthread -Wl,--gc-sections"
tests='test_voters test_lease_voter test_lease_bid test_lease_term test_lease_member test_lease'
sources='voters lease lease_voter lease_bid lease_term lease_member lease_config lease_message lease_record'
LEASE_HISTORIES=2000 CK_VERBOSITY=silent
export LEASE_HISTORIES CK_VERBOSITY

# compile SOURCE OBJECT: from the copy of the tree.
compile() {
	# shellcheck disable=SC2086
	$cc $flags $cflags -I"$scratch/tree" -c "$scratch/tree/$1" -o "$scratch/$2.o"
}

mkdir "$scratch/tree"
cp -r base index replicator "$scratch/tree/"
mkdir -p "$scratch/tree/tests"
cp -r tests/replicator "$scratch/tree/tests/"
for file in base/*.c index/value*.c replicator/change.c; do
	compile "$file" "library_$(basename "$file" .c)"
done
ar rc "$scratch/library.a" "$scratch"/library_*.o
for name in $sources; do
	compile "replicator/$name.c" "$name"
done
for name in $tests; do
	compile "tests/replicator/$name.c" "$name"
done

# The first test that fails, or nothing.
failing() {
	objects=
	for name in $sources; do
		objects="$objects $scratch/$name.o"
	done
	for name in $tests; do
		# shellcheck disable=SC2086
		$cc -o "$scratch/program" "$scratch/$name.o" $objects "$scratch/library.a" $libs
		if ! "$scratch/program" >/dev/null 2>&1; then
			echo "$name"
			return
		fi
	done
}

found=$(failing)
if test -n "$found"; then
	echo "$found fails with the sources as they are"
	exit 1
fi
count=0
for patch in tests/replicator/lease_mutants/*.patch; do
	file=$(sed -n 's|^+++ b/||p' "$patch")
	name=$(basename "$file" .c)
	if ! patch -s -p1 -d "$scratch/tree" <"$patch"; then
		echo "$patch does not apply any more"
		exit 1
	fi
	compile "$file" "$name"
	found=$(failing)
	if test -z "$found"; then
		echo "$patch: no test notices"
		exit 1
	fi
	echo "$(basename "$patch" .patch): noticed by $found"
	cp "$file" "$scratch/tree/$file"
	compile "$file" "$name"
	count=$((count + 1))
done
if test "$count" -lt 20; then
	echo "only $count mutants were found"
	exit 1
fi
echo "$count mutants, all noticed"
