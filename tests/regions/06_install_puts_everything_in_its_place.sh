#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What a packager does last: make install DESTDIR=. A configuration that is already there stays as it is.
set -eu
: "${ISTHMUS_BUILD:?the folder of the release build}"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
install() { make -C "$ISTHMUS_BUILD" install DESTDIR="$stage"; }

install
for file in usr/sbin/isthmusd usr/bin/isthmusctl; do
	test -x "$stage/$file" || { echo "$file is missing or not executable"; exit 1; }
done
unit=$stage/usr/lib/systemd/system/isthmusd.service
grep -q '^ExecStart=/usr/sbin/isthmusd -c /etc/isthmus/isthmus.conf$' "$unit" || {
	echo 'the unit does not name the places of this installation:'
	cat "$unit"
	exit 1
}
cmp "$(dirname "$0")/../../etc/isthmus.conf" "$stage/etc/isthmus/isthmus.conf"

echo 'an operator was here' >"$stage/etc/isthmus/isthmus.conf"
install
grep -qx 'an operator was here' "$stage/etc/isthmus/isthmus.conf" || {
	echo 'the second install wrote over the configuration'
	exit 1
}

make -C "$ISTHMUS_BUILD" uninstall DESTDIR="$stage"
left=$(cd "$stage" && find . -type f)
if [ "$left" != ./etc/isthmus/isthmus.conf ]; then
	printf 'after uninstall only the configuration is to be left, but there is:\n%s\n' "$left"
	exit 1
fi
