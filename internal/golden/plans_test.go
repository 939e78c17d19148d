package golden

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// drawnToken is the token of a system, which differs every time.
var drawnToken = regexp.MustCompile(`(?m)^  token: .*$`)

// TestManifests pins the objects of a system on a cluster: names, labels,
// annotations and all the rest. The packages of the manifests pin those of loads,
// detached experiments and helpers.
func TestManifests(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"shop":         {"examples/shop.yaml"},
		"pod-monitors": {"examples/simple.yaml", "--pod-monitor", "-n", "other"},
	} {
		args = append([]string{"up", "--dry-run=client", "-o", "yaml", "--image", "registry.example/agent:1", "-f", filepath.Join(root, args[0])}, args[1:]...)
		text := drawnToken.ReplaceAll(output(t, args...), []byte("  token: drawn"))
		compare(t, "manifests-"+name+".yaml", string(text))
	}
}

// TestConvert pins the native form of files of other tools.
func TestConvert(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, file := range []string{"microsim-sample.json", "microsim-four.yaml", "ten-services.yaml", "ten-memory-anomaly.yaml", "tree.yaml", "outage.yaml"} {
		fmt.Fprintf(&b, "# %s\n%s", file, output(t, "convert", "-f", filepath.Join(root, "examples", file)))
	}
	compare(t, "convert.yaml", b.String())
}

const failing = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: failing
system: {services: [{name: web}]}
load: {rate: 50, duration: 200ms}
checks: ["p50 < 1ns"]
`

// TestExitCodes pins the exit codes that a command line shows without a cluster.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, c := range []struct{ what, line string }{
		{"done", "version"},
		{"error", "validate -f no-such-file.yaml"},
		{"misuse: unknown command", "nonsense"},
		{"misuse: unknown flag", "up --onn local"},
		{"misuse: value of a flag", "up shop --on moon"},
		{"a check failed", "run --on local -f " + written(t, "failing.yaml", failing)},
	} {
		var talk bytes.Buffer
		code := runPlugin(t.Context(), strings.NewReader(""), io.Discard, &talk, strings.Fields(c.line)...)
		fmt.Fprintf(&b, "%-25s %d\n", c.what, code)
	}
	for _, c := range []struct{ what, line string }{
		{"done", "help"},
		{"error", "serve --addr 127.0.0.1:999999"},
		{"misuse: no command", ""},
		{"misuse: unknown command", "nonsense"},
		{"misuse: unknown flag", "net apply --onn eth0"},
	} {
		code := exitOfAgent(runAgent(t.Context(), io.Discard, strings.Fields(c.line)...))
		fmt.Fprintf(&b, "agent: %-25s %d\n", c.what, code)
	}
	fmt.Fprintf(&b, "agent: %-25s %d\n", "left behind", exitOfAgent(fmt.Errorf("undoing a fault: %w", leftBehind())))
	compare(t, "exit-codes.txt", b.String())
}
