package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeFindsTheVersionAmongTheTags: a commit may have tags that name no release.
func TestMakeFindsTheVersionAmongTheTags(t *testing.T) {
	for _, program := range []string{"make", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s: %v", program, err)
		}
	}
	makefile, err := filepath.Abs("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for want, tags := range map[string][]string{
		"v0.0.0-dev":  {"v1", "latest", "release-2026", "v2026.11", "v01.2.3"},
		"v0.9.0":      {"v0.9.0"},
		"v1.10.0":     {"v1", "v1.2.3", "v1.10.0", "v1.10.0-rc.1", "zz"},
		"v2.0.0-rc.2": {"v2", "v2.0.0-rc.1", "v2.0.0-rc.2", "v1.9.9"},
	} {
		t.Run(want, func(t *testing.T) {
			dir := t.TempDir()
			run := func(name string, args ...string) string {
				t.Helper()
				cmd := exec.Command(name, args...)
				cmd.Dir = dir
				cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s %v: %v\n%s", name, args, err, out)
				}
				return string(out)
			}
			run("git", "init", "-q")
			run("git", "-c", "user.name=a", "-c", "user.email=a@example", "commit", "-q", "--allow-empty", "-m", "one")
			for _, tag := range tags {
				run("git", "tag", tag)
			}
			out := run("make", "-n", "-f", makefile, "release-dry")
			if !strings.Contains(out, "-version "+want+" -out dist") || !versionPattern.MatchString(want) {
				t.Errorf("the tags %v make\n%s", tags, out)
			}
		})
	}
}
