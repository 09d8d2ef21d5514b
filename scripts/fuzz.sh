#!/bin/sh
# Runs every fuzz test of the module for the given time, one after another.
set -eu
time=${1:-5s}
go=${GO:-go}
found=0
for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		found=$((found + 1))
		$go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "./$(dirname "$file")"
	done
done
test "$found" -gt 0 || { echo 'no fuzz test was found' >&2; exit 1; }
