#!/bin/bash
# Interrupts `up` six times, each time with two signals within milliseconds, as
# the timeout of coreutils sends them (to the child, then to its group). They are
# one request to end: each time, the system must be taken down.
# MICROSIM is the program, kubectl-microsim by default.
set -u
microsim=${MICROSIM:-kubectl-microsim}
d=$(mktemp -d)
export XDG_STATE_HOME=$d
trap 'rm -rf "$d"' EXIT
bad=0
for _ in 1 2 3 4 5 6; do
  timeout 3 "$microsim" up simple --on local >"$d/talk" 2>&1
  grep -q 'interrupted again' "$d/talk" && bad=$((bad + 1))
  "$microsim" status --on local 2>/dev/null | grep -q dead && bad=$((bad + 1))
  "$microsim" down simple --on local >/dev/null 2>&1
done
echo "$bad signs of an unclean end in 6 runs; 0 is right"
[ "$bad" = 0 ]
