package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLayout(t *testing.T) {
	s := Store{t.TempDir()}
	m, err := Lookup("gin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Layout(&m); !errors.As(err, new(*NotInstalledError)) {
		t.Errorf("of a runtime that is not installed: %v", err)
	}
	root, err := s.root(&m)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(root, "go-gin", "bin", "go-gin")
	touch(t, program)
	l, err := s.Layout(&m)
	if err != nil {
		t.Fatal(err)
	}
	if l.Root != root || l.Dir != "go-gin" || !slices.Equal(l.Command, []string{program}) || len(l.Trees) != 0 || len(l.Env("/x")) != 0 {
		t.Errorf("the layout is %+v", l)
	}
}

func TestLayoutOfPython(t *testing.T) {
	// A virtual environment leads to a Python elsewhere.
	elsewhere := t.TempDir()
	elsewhere, err := filepath.EvalSymlinks(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(elsewhere, "bin", "python3.11")
	touch(t, python)
	s := Store{t.TempDir()}
	m, err := Lookup("flask")
	if err != nil {
		t.Fatal(err)
	}
	root, err := s.root(&m)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(root, "python-flask", ".venv", "bin", "python")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(python, link); err != nil {
		t.Skip(err)
	}
	if _, err := s.Layout(&m); err == nil {
		t.Error("a Python without a standard library is taken")
	}
	touch(t, filepath.Join(elsewhere, "lib", "python3.11", "os.py"))
	l, err := s.Layout(&m)
	if err != nil {
		t.Fatal(err)
	}
	if l.Command[0] != link || !slices.Equal(l.Trees, []string{filepath.Join(elsewhere, "lib", "python3.11")}) {
		t.Errorf("the layout is %+v", l)
	}
	if env := l.Env("/runtime"); !slices.Contains(env, "PYTHONPATH=/runtime/python-flask/../python-common") {
		t.Errorf("the variables are %q", env)
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o755); err != nil { //nolint:gosec // it stands for a program
		t.Fatal(err)
	}
}
