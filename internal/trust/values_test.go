//go:build linux

package trust

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hostileValues are values that no flag below takes.
func hostileValues() []string {
	return []string{
		strings.Repeat("x", 100_000), "\x1b[2J\x1b]0;owned\a", "a\nerror: all is lost", "\xff\xfe",
		"=cmd|' /C calc'!A0", "../../../etc/passwd", "$(id)", "%s%n%x", "-.1", "1e309%", "N/A", "9999999999999999999999.", "\u202ex",
	}
}

// valued are command lines in which % stands for the value.
func valued() []string {
	return []string{
		"status % --on local", "down % --on local", "validate -f %", "up -f one.yaml --on local --name %", "up -f one.yaml --on local --isolation %",
		"up -f one.yaml --on %", "up -f one.yaml --on local --port-base %", "run -f one.yaml --on local --duration %", "run -f brief.yaml --on local --variants %",
		"load --on local --system % --rate 1", "load --url % --rate 1 --count 1", "load --url http://127.0.0.1:1/ --count 1 --rate %",
		"load --url http://127.0.0.1:1/ --rate 1 --duration %", "call -f request.json --on local --system %", "fault add % --target web --on local",
		"fault add error --target % --on local", "fault add error --target web --status % --on local", "fault add error --target web --status 500 --name % --on local",
		"fault add latency --target web --delay % --on local", "gate --listen % --upstream 127.0.0.1:1 --api 127.0.0.1:0", "gate --listen 127.0.0.1:0 --upstream % --api 127.0.0.1:0",
		"gate --listen 127.0.0.1:0 --upstream 127.0.0.1:1 --api %", "logs --system % --all --on local", "top % --on local", "report %/x", "status --on local -o %",
		"status --kubeconfig %", "status --context %", "status --server %", "examples %", "schema %", "help %", "%", "--%", "examples generate random --services %",
		"cluster create %", "completion %",
	}
}

// Values of any length and kind are refused in a few lines. Each command gets the
// first values, which are the worst, and takes turns with the others.
func TestHostileValues(t *testing.T) {
	const worst, others = 4, 3
	values := hostileValues()
	for i, line := range valued() {
		for j, value := range values {
			if j >= worst && (i+j)%(len(values)-worst) >= others {
				continue
			}
			args := words(line)
			for k := range args {
				args[k] = strings.Replace(args[k], "%", value, 1)
			}
			t.Run(fmt.Sprintf("%s with %.12q", line, value), func(t *testing.T) {
				t.Parallel()
				refused(t, args)
			})
		}
	}
}

// refused demands that the arguments are refused, with any of two exit codes.
func refused(t *testing.T, args []string) {
	t.Helper()
	b := newBox(t)
	writeFiles(t, b)
	b.before = b.files()
	c := command{args: args}
	a := c.in(t, b)
	a.judge(t, true)
	if a.late || !slices.Contains([]int{1, 2}, a.code) {
		t.Errorf("exit code %d, signal %d, late %v", a.code, a.signal, a.late)
	}
	if left := b.remains(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if t.Failed() {
		t.Logf("%.200q: %.1500s\n%.500s", args, a.stderr, a.stdout)
	}
}
