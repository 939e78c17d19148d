#!/usr/bin/env bash
# Checks the mock services in other languages: their types, their decisions by the
# published vectors, and the service contract. What it installs stays for the next
# run. It needs node 20, npm, python 3.11 with venv, cargo 1.89, a JDK 17 and Maven.
# Bun comes from npm where it is missing.
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONDONTWRITEBYTECODE=1
step() { printf '\n--- %s\n' "$*"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
plugin=$work/kubectl-microsim
step "building the plugin"
(cd .. && "${GO:-go}" build -o "$work/" ./cmd/kubectl-microsim)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-microsim
if ! command -v bun >/dev/null; then
  step "Bun"
  npm install --prefix "$cache/test-bun" --no-audit --no-fund --ignore-scripts --omit=dev bun@1.4.4
  # Its script, which does not run, would copy the program of this machine.
  bun=("$cache"/test-bun/node_modules/@oven/bun-*/bin/bun)
  mkdir -p "$cache/test-bun/bin"
  ln -sf "${bun[0]}" "$cache/test-bun/bin/bun"
  export PATH=$cache/test-bun/bin:$PATH
fi

# Without --omit=dev: the compiler that checks the types is a dependency for development.
for dir in node-*; do
  step "types of $dir"
  [[ -e $dir/node_modules/.package-lock.json && $dir/node_modules/.package-lock.json -nt $dir/package-lock.json ]] ||
    (cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts)
  (cd "$dir" && npx --no-install tsc)
done
step "vectors in Go"
(cd go-gin && "${GO:-go}" vet ./... && "${GO:-go}" test ./...)
step "vectors in Rust"
(cd rust-common && CARGO_PROFILE_DEV_DEBUG=false cargo test --quiet --locked --target-dir "$cache/test-rust")
step "vectors in Java"
(cd java-spring-boot && mvn --batch-mode --quiet --strict-checksums test)
step "types of bun-hono"
(cd bun-hono && bun install --frozen-lockfile --ignore-scripts --no-progress && bun --bun run tsc)
step "vectors in JavaScript"
(cd node-common && node --test test/)

# venv DIR LOCK installs what a lock file names into DIR/.venv.
venv() {
  local venv=$1/.venv
  [[ -e $venv/installed && $venv/installed -nt $1/$2 ]] && return
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$1/$2"
  touch "$venv/installed"
}
venv python-common requirements-dev.lock
for dir in python-*; do
  [[ $dir != python-common ]] || continue
  step "types of $dir"
  venv "$dir" requirements.lock
  (cd "$dir" && MYPYPATH=../python-common ../python-common/.venv/bin/mypy --config-file ../python-common/pyproject.toml \
    --python-executable .venv/bin/python microsim_*/ ../python-common/microsim_common/)
done
step "vectors in Python"
(cd python-common && PYTHONPATH=. ../python-flask/.venv/bin/python -m unittest discover -s tests)

# conform NAME holds a runtime to its level.
# The Java machine would compile for seconds what each case asks for once.
export JAVA_TOOL_OPTIONS=-XX:TieredStopAtLevel=1
conform() { "$plugin" runtimes conform "$1" --start-timeout 60s >"$work/$1.out" 2>&1 || touch "$work/$1.failed"; }
names=()
for name in $("$plugin" runtimes list -o name); do
  name=${name#runtime/}
  [[ $name != agent ]] || continue
  "$plugin" runtimes install "$name"
  names+=("$name")
done
# Two at once: most cases wait.
for ((i = 0; i < ${#names[@]}; i += 2)); do
  for name in "${names[@]:i:2}"; do conform "$name" & done
  wait
done
failed=0
for name in "${names[@]}"; do
  step "runtime $name"
  cat "$work/$name.out"
  [[ ! -e $work/$name.failed ]] || failed=$((failed + 1))
done

# One chain passes through a system of all runtimes and comes back to the agent it
# began with. Both of the agent's spans are of one trace only if each hop passes it on.
step "a chain through all runtimes"
export XDG_STATE_HOME=$work
chain='{"designation":"agent"}'
for name in "${names[@]}"; do chain='{"designation":"'$name'","routes":['$chain']}'; done
echo '{"designation":"agent","routes":['"$chain"']}' >"$work/chain.json"
{
  printf 'apiVersion: microsim.dev/v1alpha1\nkind: System\nname: mixed\nservices:\n- {name: agent, readiness: {period: 1s, timeout: 1s, failureThreshold: 2}}\n'
  probes='readiness: {period: 1s, timeout: 1s, failureThreshold: 2}, liveness: {period: 10s, failureThreshold: 100}'
  for name in "${names[@]}"; do echo "- {name: $name, runtime: $name, $probes}"; done
} >"$work/mixed.yaml"
echo '{"designation":"express"}' >"$work/one.json"
"$plugin" up -f "$work/mixed.yaml" --on local --detach
trap '"$plugin" down mixed --on local --ignore-not-found; rm -rf "$work"' EXIT
fail() { echo "$*"; failed=$((failed + 1)); }
pass_through() {
  "$plugin" call -f "$work/chain.json" --on local --system mixed --trace | tee "$work/answer"
  [[ $(grep -c '^ *agent/1 POST chain' "$work/answer") == 2 ]] || fail "the trace did not pass through all runtimes"
}
pass_through

# states prints for each service of the system its name, state, restarts and process.
states() { "$plugin" status mixed --on local -o go-template='{{range .services}}{{.name}}{{with index .replicas 0}} {{.state}} {{.restarts}} {{.pid}}{{end}}{{"\n"}}{{end}}'; }
# await WHAT TEST...: waits until the test holds, for a minute at most.
await() {
  local what=$1 end=$((SECONDS + 60))
  shift
  until "$@"; do
    ((SECONDS < end)) || { states; fail "$what"; return 0; }
    sleep 0.1
  done
}

step "children that are killed come back where they were"
mapfile -t pids < <(states | awk '{print $4}')
kill -9 "${pids[@]}"
came_back() { [[ $(states | grep -c ' ready 1 ') == $((${#names[@]} + 1)) ]]; }
await "not every child came back" came_back
pass_through

step "children that hang are not said to be ready"
mapfile -t pids < <(states | awk '{print $4}')
kill -STOP "${pids[@]}"
none_ready() { [[ $(states) != *' ready '* ]]; }
await "a child that is stopped is said to be ready" none_ready
kill -CONT "${pids[@]}"
all_ready() { [[ $(states | grep -c ' ready ') == $((${#names[@]} + 1)) ]]; }
await "not every child is ready again" all_ready

step "work on the processor of a runtime with one thread blocks its health checks"
"$plugin" fault add cpu --target express --hold 4s --for 10min --system mixed --on local
while :; do "$plugin" call -f "$work/one.json" --on local --system mixed >/dev/null 2>&1; done &
calls=$!
# To tell the fault's hits, status waits for the replica that is blocked. So it is asked
# again meanwhile, or it would always look at the moment after an answer.
blocked() {
  states >>"$work/states" 2>/dev/null &
  sleep 0.3
  grep -q 'express unready ' "$work/states"
}
await "the health check of express is answered beside work on its processor" blocked
said=$("$plugin" status mixed --on local 2>&1)
[[ $said == *'one thread'* ]] || fail "status does not say why express is not ready: $said"
kill "$calls"
wait "$calls" || true
"$plugin" fault clear --all --system mixed --on local
await "express is not ready again" all_ready

step "children end with the program that holds them, and down leaves nothing"
mapfile -t pids < <(states | awk '{print $4}')
kill -9 "$("$plugin" status mixed --on local -o jsonpath='{.pid}')"
gone() { for pid in "${pids[@]}"; do [[ ! -e /proc/$pid/stat ]] || [[ $(awk '{print $3}' "/proc/$pid/stat") == Z ]] || return 1; done; }
await "a child has outlived its holder" gone
"$plugin" down mixed --on local
left=$(find "$XDG_STATE_HOME/microsim" ! -type d ! -name .lock)
[[ -z $left ]] || fail "down left $left"

echo "$((${#names[@]} + 1 - failed)) passed, $failed failed"
[[ $failed == 0 ]]
