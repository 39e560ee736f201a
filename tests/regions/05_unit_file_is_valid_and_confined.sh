#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# systemd understands every line of the unit, and computes an exposure of at most 1.2 (0 best, 10 worst).
# verify ends with 0 even when it ignores a line, so it is its silence that counts.
set -eu
cd "$(dirname "$0")/../.."
exposure_max=1.2

command -v systemd-analyze >/dev/null || { echo 'systemd-analyze is not installed'; exit 77; }
test -x /bin/kill || { echo '/bin/kill, which reloads the daemon, is not installed'; exit 77; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unit=$scratch/isthmusd.service
daemon=${ISTHMUSD:?the built isthmusd}

# verify wants every program of the unit to exist.
sed -e "s|@sbindir@/isthmusd|$daemon|" -e 's|@sysconfdir@|/etc|' systemd/isthmusd.service.in >"$unit"

said=$(systemd-analyze verify "$unit" 2>&1) || true
if [ -n "$said" ]; then
	printf 'systemd-analyze verify is to be silent, but says:\n%s\n' "$said"
	exit 1
fi

report=$(systemd-analyze security --offline=true --no-pager "$unit" 2>&1)
exposure=$(printf '%s\n' "$report" | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')
if [ -z "$exposure" ] || ! awk "BEGIN { exit !($exposure <= $exposure_max) }"; then
	printf '%s\n' "$report"
	echo "the exposure is ${exposure:-unknown}, at most $exposure_max is allowed"
	exit 1
fi

for line in Type=notify WatchdogSec=15 DynamicUser=yes StateDirectory=isthmus RuntimeDirectory=isthmus \
	ConfigurationDirectory=isthmus "ExecReload=/bin/kill -HUP \$MAINPID"; do
	grep -qxF "$line" "$unit" || { echo "the unit has not the line $line"; exit 1; }
done
grep -q '^ExecStartPre=.* --check$' "$unit" || { echo 'the unit does not check the configuration first'; exit 1; }

echo "exposure $exposure"
