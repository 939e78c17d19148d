//go:build elsewhere

package virtual

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A browser, which node stands for, and a processor of another kind play a run to the same
// byte as this one. The program for browsers stays small enough for a page.
func TestSameBytesElsewhere(t *testing.T) {
	const most = 12 << 20
	wasm := filepath.Join(strings.TrimSpace(outputOf(t, exec.Command("go", "env", "GOROOT"))), "lib/wasm/go_js_wasm_exec")
	here, browser, arm := buildFor(t, "linux", "amd64"), buildFor(t, "js", "wasm"), buildFor(t, "linux", "arm64")
	program, err := os.ReadFile(browser)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the program for browsers has %.1f MB, %.1f MB with gzip", float64(len(program))/1e6, float64(packed.Len())/1e6)
	if len(program) > most {
		t.Errorf("it has %d bytes, want at most %d", len(program), most)
	}
	for _, example := range []string{"shop", "outage-lab", "lesson-13-metastable", "lesson-37-failover"} {
		want := outputOf(t, exec.Command(here, example))
		if len(want) < 10_000 {
			t.Errorf("%s: only %d bytes are compared", example, len(want))
		}
		for where, cmd := range map[string]*exec.Cmd{"js/wasm": exec.Command(wasm, browser, example), "linux/arm64": exec.Command("qemu-aarch64-static", arm, example)} {
			if got := outputOf(t, cmd); got != want {
				t.Errorf("%s plays %s otherwise:%s", where, example, difference([]byte(want), []byte(got)))
			}
		}
	}
}

func buildFor(t *testing.T, system, arch string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "play-"+arch)
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./testdata/play")
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	outputOf(t, cmd)
	return path
}

func outputOf(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, trouble bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &trouble
	if err := cmd.Run(); err != nil {
		t.Fatalf("running %s: %v\n%s", cmd, err, trouble.String())
	}
	return out.String()
}
