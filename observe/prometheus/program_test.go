package prometheus

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// program is a script in the place of Prometheus.
func program(t *testing.T, script string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there is no shell")
	}
	path := filepath.Join(t.TempDir(), "prometheus")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlyAPrometheusThatFindsTargetsIsRun(t *testing.T) {
	for _, tt := range []struct{ name, script, version, want string }{
		{"Debian's", "echo 'prometheus, version 2.42.0+ds (branch: x, revision: y)'", "2.42.0+ds", ""},
		{"a new one", "echo 'prometheus, version 3.1.0 (branch: x)'", "3.1.0", ""},
		{"the first that can", "echo 'prometheus, version 2.28.0 (branch: x)'", "2.28.0", ""},
		{"one that speaks to stderr", "echo 'prometheus, version 2.45.0 (branch: x)' >&2", "2.45.0", ""},
		{"an old one", "echo 'prometheus, version 2.27.1 (branch: x)'", "", "version 2.27.1 of Prometheus is too old"},
		{"an older one", "echo 'prometheus, version 1.8.2 (branch: x)'", "", "too old"},
		{"another program", "echo 'promtool, version 2.42.0'", "", "it is not Prometheus"},
		{"a program without a version", "exit 3", "", "exit status 3"},
		{"a talkative program", "yes 2>/dev/null | head -c 1000000", "", "it is not Prometheus"},
	} {
		version, err := Check(t.Context(), program(t, tt.script))
		if version != tt.version || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.name, version, err, tt.version, tt.want)
		}
	}
	if _, err := Check(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "name the program prometheus") {
		t.Errorf("a program that is not there: %v", err)
	}
}

const version = `[ "$1" = --version ] && echo 'prometheus, version 2.42.0' && exit`

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("TMPDIR", t.TempDir())
	_, err = Start(t.Context(), Options{Path: program(t, version), Port: ln.Addr().(*net.TCPAddr).Port})
	if err == nil || !strings.Contains(err.Error(), "--prometheus-port") {
		t.Errorf("%v", err)
	}
	nothingLeft(t)
}

// nothingLeft looks into the directory for temporary files.
func nothingLeft(t *testing.T) {
	t.Helper()
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A program that ends at once is an error with what it said last.
func TestAProgramThatEndsSaysWhy(t *testing.T) {
	path := program(t, version+"\necho first >&2; echo 'the storage is broken' >&2; exit 4")
	t.Setenv("TMPDIR", t.TempDir())
	_, err := Start(t.Context(), Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.Contains(err.Error(), "the storage is broken") {
		t.Errorf("%v", err)
	}
	nothingLeft(t)
}
