//go:build truth

package truth

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// A lockedBuffer is written by a command and read by the test meanwhile.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// command runs a command of the program to its end and returns its output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, talk bytes.Buffer
	if code := plugin.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk}); code != cli.ExitDone {
		t.Errorf("%q: exit code %d\n%s%s", args, code, out.String(), talk.String())
	}
	return out.String()
}

// background runs a command until the test ends.
func background(t *testing.T, args ...string) *lockedBuffer {
	t.Helper()
	out := &lockedBuffer{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { plugin.Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: out, Err: out}) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return out
}

// Under a steady load, each way to print the table once is of one second.
func TestTopIsOfTheLastSecond(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("MICROSIM_STATE_DIR", filepath.Join(dir, "state"))
	file := filepath.Join(dir, "system.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: steady\nservices: [web]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := background(t, "up", "-f", file, "--on", "local")
	for end := time.Now().Add(20 * time.Second); !strings.Contains(up.String(), "web"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the system is not up:\n%s", up.String())
		}
	}
	background(t, "load", "--system", "steady", "--rate", "100", "--duration", "60s", "--on", "local")
	time.Sleep(500 * time.Millisecond) // the load begins
	line := regexp.MustCompile(`(?m)^web +([0-9.]+)`)
	// The load itself is steady only where the machine is quiet.
	within := size(0.3, 0.1)
	var figures []figure
	for range size(2, 8) {
		var top report.Top
		if err := json.Unmarshal([]byte(command(t, "top", "-o", "json", "--on", "local")), &top); err != nil || len(top.Services) != 1 {
			t.Fatalf("%v, %+v", err, top)
		}
		figures = append(figures,
			figure{name: "top -o json, seconds", truth: 1, shown: top.Seconds, within: within},
			figure{name: "top -o json, per second", truth: 100, shown: top.Services[0].RequestsPerSecond, within: within})
		text := command(t, "top", "--watch=false", "--on", "local")
		found := line.FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("no rate in\n%s", text)
		}
		rate, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		figures = append(figures, figure{name: "top --watch=false, per second", truth: 100, shown: rate, within: within})
	}
	compare(t, figures...)
}
