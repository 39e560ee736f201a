#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Some worlds of the simulator, enough to see what is plainly broken; `./dev sim` runs more. Then all scenarios, and that nothing
# in it reaches out of the process.
#
# In a build folder, as `make check` calls it, that one's; else, as `./dev test` does, that of $ISTHMUS_BUILD.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=${ISTHMUS_BUILD:-.}
if ! test -e "$build/Makefile"; then
	echo 'no build folder: run ./dev sim once'
	exit 1
fi
make -s -C "$build" tests/sim/isthmus-sim
"$build/tests/sim/isthmus-sim" --seeds "${SIM_SEEDS:-60}" --quiet
# Worlds that found something (doc/RELIABILITY.md), for as long as they stay what they were.
for seed in 20920 22175; do
	"$build/tests/sim/isthmus-sim" --seed "$seed" --quiet
done
"$build/tests/sim/isthmus-sim" --scenario all --quiet
sh "$here/symbols.sh" "$build"
