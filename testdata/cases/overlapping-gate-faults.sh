#!/bin/bash
# Adds two faults to one gate: a delay of 3 s, and another that ends after 1 s.
# The end of the second must not release early what the first still delays.
# Needs curl. MICROSIM is the program, kubectl-microsim by default.
set -eu
microsim=${MICROSIM:-kubectl-microsim}
d=$(mktemp -d)
export XDG_STATE_HOME=$d
trap '"$microsim" down overlap --on local >/dev/null 2>&1; rm -rf "$d"' EXIT
cat >"$d/system.yaml" <<'YAML'
apiVersion: microsim.dev/v1alpha1
kind: System
name: overlap
services:
  - {name: web, calls: [cart]}
  - name: cart
YAML
"$microsim" up -f "$d/system.yaml" --on local --detach >/dev/null
url=$("$microsim" status overlap --on local | awk '$1 == "web" { print $2 }')
"$microsim" fault add net-delay --target cart --delay 3s --name slow --on local >/dev/null
"$microsim" fault add slice --target cart --size 1000 --for 1s --name other --on local >/dev/null
took=$(curl -s -o /dev/null -w '%{time_total}' "$url/")
echo "a request took $took s; 3.0 is right"
awk -v t="$took" 'BEGIN { exit !(t >= 2.95 && t <= 3.3) }'
