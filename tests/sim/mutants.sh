#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Does the simulator notice a broken rule? Each line of mutants.tsv breaks one, in a copy of the tree; a scenario, or some seed, has
# to show it. Says which seed that was and what it said. The last line is JSON: {"mutants", "survived"}.
#
# usage: mutants.sh [NAME-PART]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
part=${1:-}
seeds=${SIM_SEEDS:-200}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

first_violation() { grep -m 1 -E '^([^ ]+ )?seed ' run.log || echo "no run: $(tail -n 1 run.log)"; }

stale=0
while IFS=$'\t' read -r name file _ program; do
	[[ $name != \#* && $name == *"$part"* ]] || continue
	! sed -E -z "$program" "$root/$file" | cmp -s - "$root/$file" || { echo "$name: does not apply any more"; stale=1; }
done <"$root/tests/sim/mutants.tsv"
((stale == 0)) || exit 1

echo 'copying and building the tree'
tar -C "$root" --exclude='./build-gcc*' --exclude='./build-clang*' --exclude=./.git -cf - . | tar -C "$scratch" -xf -
cd "$scratch"
[[ -x configure ]] || autoreconf -fi >autoreconf.log 2>&1
./configure >configure.log
make -s -j2 tests/sim/isthmus-sim >make.log 2>&1 || { tail make.log; exit 1; }
tests/sim/isthmus-sim --quiet --seeds 20 >sound.log || { cat sound.log; echo 'the simulator finds faults without any'; exit 1; }

count=0 survived=0
while IFS=$'\t' read -r name file faults program; do
	[[ $name != \#* && $name == *"$part"* ]] || continue
	count=$((count + 1))
	cp "$file" sound.c
	sed -E -z -i "$program" "$file"
	make -s tests/sim/isthmus-sim >make.log 2>&1 || { cat make.log; echo "$name: does not compile"; exit 1; }
	words=survived
	if [[ $faults == scenario:* ]]; then
		tests/sim/isthmus-sim --scenario "${faults#*:}" --quiet >run.log 2>&1 || words=$(first_violation)
	else
		options=()
		[[ $faults == - ]] || options=(--faults "$faults")
		for ((seed = 1; seed <= seeds; seed += 10)); do
			tests/sim/isthmus-sim --first "$seed" --seeds 10 "${options[@]}" --quiet >run.log 2>&1 && continue
			words=$(first_violation)
			break
		done
	fi
	echo "$name: $words"
	[[ $words != survived ]] || survived=$((survived + 1))
	cp sound.c "$file"
done <tests/sim/mutants.tsv
printf '{"mutants": %d, "survived": %d}\n' "$count" "$survived"
((count > 0 && survived == 0))
