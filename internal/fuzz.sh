#!/usr/bin/env bash
# Runs every fuzz test of the project for a while, and one of them for longer:
#
#   internal/fuzz.sh TIME [LONGER [TURN]]
#
# TURN is a number, by default that of the commits up to this one. It chooses whose
# longer turn it is, so each test gets its own within some landings, and a run can
# be repeated. A minute for each at once would take half an hour of two processors.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${1:-10s}
longer=${2:-$time}
turn=${3:-$(git rev-list --count HEAD)}

output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz NAME TIME PACKAGE runs one fuzz test.
fuzz() { go test -run '^$' -fuzz "^$1\$" -fuzztime "$2" "$3" </dev/null 2>&1 | tee "$output"; }

# ended_late tells a failure that is none: up to Go 1.26, the end of the time may be
# reported as an error (go.dev/issue/75804). Then there is no failing input, and no message
# beside it.
ended_late() {
  ! grep -q 'Failing input written' "$output" && grep -A2 '^--- FAIL: ' "$output" | grep -zqP '^--- FAIL: [^\n]*\n    context deadline exceeded\nFAIL\n'
}

mapfile -t targets < <(grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | LC_ALL=C sort)
((${#targets[@]})) || { echo "internal/fuzz.sh: there are no fuzz tests" >&2; exit 1; }
chosen=$((turn % ${#targets[@]}))
echo "${#targets[@]} fuzz tests, $time each; turn $turn: $longer for number $chosen"
for i in "${!targets[@]}"; do
  IFS=: read -r file _ declaration <<<"${targets[i]}"
  name=${declaration#func }
  turn_time=$time
  if ((i == chosen)); then
    turn_time=$longer
  fi
  echo "== ${file%/*} $name, $turn_time"
  if ! fuzz "$name" "$turn_time" "${file%/*}"; then
    ended_late || exit 1
    echo "== once more: the end of the time was taken for a failure"
    fuzz "$name" "$turn_time" "${file%/*}"
  fi
done
