#!/usr/bin/env bash
# Runs every fuzz test of the project for a while: internal/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."

targets=$(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort)
echo "$(wc -l <<<"$targets") fuzz tests, ${1:-10s} each"
while IFS=: read -r file _ declaration; do
  name=${declaration#func }
  echo "== ${file%/*} $name"
  go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-10s}" "${file%/*}" </dev/null
done <<<"$targets"
