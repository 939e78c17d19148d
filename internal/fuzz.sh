#!/usr/bin/env bash
# Runs every fuzz test of the project for a while: internal/fuzz.sh 10s
set -euo pipefail
cd "$(dirname "$0")/.."
go list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir package; do
  grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' | while read -r name; do
    echo "== $package $name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-10s}" "$package"
  done
done
