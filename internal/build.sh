#!/usr/bin/env bash
# Runs go build with the given arguments and counts the packages it compiles, so
# that a first build does not look stuck. The last argument names the packages.
#
#   internal/build.sh -trimpath -o bin/ ./cmd/...
set -euo pipefail

go=${GO:-go}
total=$($go list -deps "${@: -1}" | wc -l | tr -d ' ')
compiled=0
before=
after=$'\n'
if [[ -t 2 ]]; then
  before=$'\r'
  after=
fi

progress() {
  printf '%scompiled %d of at most %d packages%s' "$before" "$compiled" "$total" "$after" >&2
}

# With -v, go build prints each package it compiles, and nothing for those it
# has in its cache. Everything else it prints is an error and has a space.
$go build -v "$@" 2>&1 | while IFS= read -r line; do
  if [[ $line == *' '* ]]; then
    printf '%s\n' "$line" >&2
    continue
  fi
  compiled=$((compiled + 1))
  if ((compiled == 20)); then
    echo 'compiling: two to three minutes on two processors the first time, seconds later' >&2
  fi
  if ((compiled % 100 == 0)) || [[ -t 2 ]]; then
    progress
  fi
done
[[ ! -t 2 ]] || printf '\r\033[K' >&2
