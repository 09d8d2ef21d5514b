#!/bin/sh
# Runs every fuzz test of the module, one after another, for what go test takes as
# -fuzztime. A number of runs (10000x) is better than a time: at the end of a time the
# fuzzing engine of Go before 1.27 may fail with "context deadline exceeded", on a busy
# machine time and again, though no input failed (golang/go#75804).
set -eu
time=${1:-10000x}
go=${GO:-go}
found=0

for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		found=$((found + 1))
		if out=$($go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "./$(dirname "$file")" 2>&1); then
			echo "$out" | tail -n 1
		else
			echo "$out" >&2
			exit 1
		fi
	done
done
test "$found" -gt 0 || { echo 'no fuzz test was found' >&2; exit 1; }
