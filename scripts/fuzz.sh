#!/bin/sh
# Runs every fuzz test of the module for the given time, one after another.
set -eu
time=${1:-5s}
go=${GO:-go}
found=0

fuzz() { # name, folder
	$go test -run '^$' -fuzz "^$1\$" -fuzztime "$time" -fuzzminimizetime 10x "./$2"
}

# A worker of the fuzzing engine that is slow to stop at the end of the time makes
# it fail with "context deadline exceeded" alone. That says nothing of the test, and
# is tried again; an input that fails is always named.
patiently() {
	if out=$(fuzz "$1" "$2" 2>&1); then
		echo "$out" | tail -n 1
	elif echo "$out" | grep -q 'context deadline exceeded' && ! echo "$out" | grep -q 'Failing input'; then
		fuzz "$1" "$2"
	else
		echo "$out" >&2
		return 1
	fi
}

for file in $(git grep -l '^func Fuzz' -- '*_test.go'); do
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file"); do
		found=$((found + 1))
		patiently "$name" "$(dirname "$file")"
	done
done
test "$found" -gt 0 || { echo 'no fuzz test was found' >&2; exit 1; }
