package runtimes

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// The table of runtimes, by which files are checked, says what the manifests say,
// and every directory of a runtime is in it.
func TestManifestsAgreeWithTheTable(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for i := range all {
		m := &all[i]
		known[m.dir()] = true
		r, ok := topology.LookupRuntime(m.Name)
		if !ok || r.Language != m.Language || r.Framework != m.Framework || m.Level != "L"+string(rune('0'+r.Level)) {
			t.Errorf("the manifest says %+v, the table %+v", m, r)
		}
		for _, name := range []string{"Dockerfile", "runtime.json"} {
			if _, err := os.Stat(filepath.Join(m.dir(), name)); err != nil {
				t.Error(err)
			}
		}
		if len(m.Run) == 0 || len(m.Tools) == 0 {
			t.Errorf("runtime %s has no command or no tools", m.Name)
		}
	}
	manifests, err := filepath.Glob("*/runtime.json")
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, path := range manifests {
		if !known[filepath.Dir(path)] {
			t.Errorf("%s is of no runtime in topology.Runtimes", path)
		}
	}
}

// The sources are embedded into the plugin, so they stay small, and what was
// installed beside them stays out.
func TestSourcesAreSmallAndNameNoRegistry(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	total, counted := 0, map[string]bool{}
	for i := range all {
		files, err := all[i].files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			name, data := f.name, f.data
			if !counted[name] { // what runtimes share is embedded once
				counted[name] = true
				total += len(data)
			}
			if strings.Contains(name, "node_modules") || strings.Contains(name, ".venv") || strings.Contains(name, "__pycache__") {
				t.Errorf("%s is embedded", name)
			}
			for _, word := range []string{"registry.npm", "--index-url", "pypi", "proxy.golang", "static.crates.io"} {
				if strings.Contains(string(data), word) {
					t.Errorf("%s names a registry: %q", name, word)
				}
			}
		}
	}
	if total > 1<<20 {
		t.Errorf("the sources have %d bytes", total)
	}
}

var update = flag.Bool("update", false, "write the bundles anew")

// A bundle has what an installation needs of a module of its own.
func TestBundlesAreTheirModules(t *testing.T) {
	bundles, err := filepath.Glob("*.txtar")
	if err != nil || len(bundles) == 0 {
		t.Fatal(bundles, err)
	}
	for _, bundle := range bundles {
		dir := strings.TrimSuffix(bundle, ".txtar")
		archive := &txtar.Archive{Comment: []byte("The module " + dir + ". go test ./runtimes -run Bundles -update writes this file.\n")}
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") || name == "Dockerfile" {
				return err
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			archive.Files = append(archive.Files, txtar.File{Name: filepath.ToSlash(name), Data: data})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		want := txtar.Format(archive)
		if *update {
			if err := os.WriteFile(bundle, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(bundle); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s (%v): run go test ./runtimes -run Bundles -update", bundle, dir, err)
		}
	}
}

// The runtimes in Go compute with the project's own functions, which they cannot
// import.
func TestGinComputesAsTheAgent(t *testing.T) {
	for _, name := range []string{"exact.go", "normal.go"} {
		want, err := os.ReadFile(filepath.Join("../model/exact", name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join("go-gin/exact", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("go-gin/exact/%s is not a copy of model/exact/%[1]s: %v", name, err)
		}
	}
}

// script makes a program that prints a text and ends with a code.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestToolsThatAreMissing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the tools are shell scripts")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	script(t, bin, "new", "echo v21.3.4")
	script(t, bin, "old", "echo v18.20.1")
	script(t, bin, "mute", "echo hello")
	script(t, bin, "broken", "echo no such luck >&2; exit 3")
	for name, want := range map[string]string{
		"new": "", "old": "old is version 18.20.1, too old: install 20.0.0 or newer", "mute": "told no version", "broken": "exit status 3",
		"absent": "there is no program absent on the PATH: install absent 20.0.0 or newer",
	} {
		tool := Tool{Command: []string{name, "--version"}, Least: "20.0.0"}
		version, err := tool.Version(context.Background())
		if want == "" && (err != nil || version != "21.3.4") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v; want %q", name, version, err, want)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"3.9", "3.11", true}, {"3.11.7", "3.11", false}, {"20.0.0", "20.0.0", false}, {"9.10", "20.0.0", true}, {"3.11", "3.11.1", true}} {
		if got := older(tt.a, tt.b); got != tt.want {
			t.Errorf("%s older than %s: %v", tt.a, tt.b, got)
		}
	}
}

// An installation is there as a whole or not at all.
func TestInstall(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the tools are shell scripts")
	}
	bin := t.TempDir()
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	script(t, bin, "node", "echo v20.1.2")
	script(t, bin, "npm", `[ "$1" = --version ] && echo 10.1.2 && exit; echo cannot resolve >&2; exit 7`)
	m, err := Lookup("express")
	if err != nil {
		t.Fatal(err)
	}
	store := Store{filepath.Join(t.TempDir(), "runtimes")}
	missing := (*NotInstalledError)(nil)
	if _, err := store.Command(&m); !errors.As(err, &missing) || !strings.Contains(err.Error(), "kubectl microsim runtimes install express") {
		t.Errorf("a runtime that is not installed: %v", err)
	}
	err = store.Install(context.Background(), &m, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "npm ci") || !strings.Contains(err.Error(), "cannot resolve") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("an installation that fails: %v", err)
	}
	if left, _ := os.ReadDir(store.Dir); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	script(t, bin, "npm", `[ "$1" = --version ] && echo 10.1.2 && exit; mkdir node_modules`)
	old := filepath.Join(store.Dir, unfinished+"express-1")
	if err := os.Mkdir(old, 0o755); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for range 2 {
		if err := store.Install(context.Background(), &m, func(step string) { steps = append(steps, step) }); err != nil {
			t.Fatal(err)
		}
	}
	if len(steps) != 1 || !strings.HasPrefix(steps[0], "npm ci") {
		t.Errorf("the steps of two installations are %q", steps)
	}
	if left, _ := os.ReadDir(store.Dir); len(left) != 1 {
		t.Errorf("there are %v", left)
	}
	cmd, err := store.Command(&m)
	if err != nil {
		t.Fatal(err)
	}
	if cmd.Args[1] != "src/main.js" || filepath.Base(cmd.Dir) != "node-express" {
		t.Errorf("the command is %q in %q", cmd.Args, cmd.Dir)
	}
	for _, path := range []string{"node_modules", "src/main.js", ".npmrc", "../node-common/src/main.js"} {
		if _, err := os.Stat(filepath.Join(cmd.Dir, path)); err != nil {
			t.Error(err)
		}
	}
}
