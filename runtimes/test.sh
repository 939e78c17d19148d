#!/usr/bin/env bash
# Checks the mock services in other languages: their types, their decisions by the
# published vectors, and the service contract. What it installs stays for the next
# run. It needs node 20, npm and python 3.11 with venv.
set -euo pipefail
cd "$(dirname "$0")"
passed=0
step() { printf '\n--- %s\n' "$*"; }

plugin=$(mktemp -d)
trap 'rm -rf "$plugin"' EXIT
step "building the plugin"
(cd .. && "${GO:-go}" build -o "$plugin/" ./cmd/kubectl-microsim)

# Without --omit=dev: the compiler that checks the types is a dependency for development.
for dir in node-common node-express; do
  step "types of $dir"
  [[ -e $dir/node_modules/.package-lock.json && $dir/node_modules/.package-lock.json -nt $dir/package-lock.json ]] ||
    (cd $dir && npm ci --no-audit --no-fund --ignore-scripts)
  (cd $dir && npx --no-install tsc)
done
step "vectors in JavaScript"
(cd node-common && node --test test/)
step "vectors in Python"
venv=$PWD/python-flask/.venv
[[ -e $venv/installed && $venv/installed -nt python-flask/requirements.lock ]] ||
  { python3 -m venv "$venv" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r python-flask/requirements.lock && touch "$venv/installed"; }
(cd python-common && PYTHONPATH=. PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m unittest discover -s tests)

for name in $("$plugin/kubectl-microsim" runtimes list -o name); do
  name=${name#runtime/}
  [[ $name != agent ]] || continue
  step "runtime $name"
  "$plugin/kubectl-microsim" runtimes install "$name"
  "$plugin/kubectl-microsim" runtimes conform "$name" --start-timeout 60s
  passed=$((passed + 1))
done
echo "$passed passed, 0 failed"
