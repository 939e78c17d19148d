package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Layout says what an installed runtime consists of on this machine, for an image in
// which it runs as it does here.
type Layout struct {
	// Root is the directory of the installation, and Dir the working directory below it.
	Root, Dir string
	// Command is the program, by its path, and its arguments.
	Command []string
	// Trees are directories that the program needs beside Root, such as the standard
	// library of its language. Without are the names of what can be left out of them.
	Trees, Without []string

	env map[string]string
}

// Env are the variables of the command, with Root at another place.
func (l *Layout) Env(root string) (env []string) {
	for name, value := range l.env {
		env = append(env, name+"="+strings.ReplaceAll(value, "{dir}", root+"/"+l.Dir))
	}
	return env
}

// Layout tells of an installed runtime.
func (s Store) Layout(m *Manifest) (*Layout, error) {
	cmd, err := s.Command(m)
	if err != nil {
		return nil, err
	}
	root, err := s.root(m)
	if err != nil {
		return nil, err
	}
	l := &Layout{Root: root, Dir: m.dir(), Command: cmd.Args, env: m.Env}
	l.Command[0] = cmd.Path
	program, err := filepath.EvalSymlinks(cmd.Path)
	if err != nil {
		return nil, fmt.Errorf("finding the program of runtime %s: %w", m.Name, err)
	}
	if !strings.HasPrefix(cmd.Path, root+"/") {
		l.Command[0] = program // whatever chose it on this machine
	}
	switch bin := filepath.Dir(program); m.Language {
	case "python":
		// The standard library is beside the programs, under the name of the very version.
		library, err := standardLibrary(bin, filepath.Base(program))
		if err != nil {
			return nil, fmt.Errorf("finding the files of runtime %s: %w", m.Name, err)
		}
		l.Trees = []string{library}
		l.Without = []string{"test", "idlelib", "turtledemo", "tkinter", "ensurepip", "lib2to3", "site-packages", "dist-packages"}
	case "java":
		l.Trees = []string{filepath.Dir(bin)}
		l.Without = []string{"jmods", "include", "man", "demo", "src.zip", "legal", "docs", "libawt_xawt.so", "libsplashscreen.so", "libjawt.so"}
	}
	return l, nil
}

// standardLibrary is the directory of Python's standard library for a program of the
// directory bin.
func standardLibrary(bin, program string) (string, error) {
	library := filepath.Join(filepath.Dir(bin), "lib", program)
	if _, err := os.Stat(filepath.Join(library, "os.py")); err != nil {
		return "", fmt.Errorf("looking for the standard library of Python beside %s: %w", program, err)
	}
	return library, nil
}
