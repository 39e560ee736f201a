#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The protocol's core, by Spin: every order of steps is tried (tests/model/lease.pml says of what). It has to hold for
# three data voters and for two with a witness; and each mutant, which breaks one rule, has to be found out, else the
# model proves nothing.
set -eu
cd "${srcdir:-$(dirname "$0")/../..}"
model=$PWD/tests/model/lease.pml
cc=${CC:-cc}
if ! command -v spin >/dev/null; then
	echo 'the package spin is missing'
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# errors SWITCHES...: how many the verifier found, after it has seen every state or the first error.
errors() {
	cp "$model" lease.pml
	spin -a "$@" lease.pml >spin.log
	$cc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=1024 -o pan pan.c
	./pan -m10000 >pan.log
	if grep -qE 'out of memory|max search depth too small|Search not completed' pan.log && ! grep -q 'errors: [1-9]' pan.log; then
		cat pan.log >&2
		exit 1
	fi
	sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

states() { awk '/states, stored/ { print $1 }' pan.log; }

failed=0
for shape in '3+0:' '2+1:-DWITNESS'; do
	# shellcheck disable=SC2086
	found=$(errors ${shape#*:})
	if test "$found" != 0; then
		echo "${shape%%:*}: the model is violated, errors: $found"
		failed=1
	fi
	echo "${shape%%:*}: $(states) states"
	# A model in which nothing can happen holds, too.
	test "$(states)" -gt 10000 || failed=1
done
for mutant in REPORT_FIRST SECOND_BEST LONGEST_LOG OWN_LOG OLD_EPOCH_ACKS PROMISED_ACKS NO_SELF_FENCE \
	'WITNESS_ACKS -DWITNESS'; do
	# shellcheck disable=SC2086
	if test "$(errors -D$mutant)" = 0; then
		echo "$mutant is not found out"
		failed=1
	fi
done
exit "$failed"
