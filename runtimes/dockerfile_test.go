package runtimes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An instruction is one of a Dockerfile, with its arguments.
type instruction struct {
	name string
	args []string
}

// instructions reads a Dockerfile, as far as those here go: comments, continued lines,
// and words between blanks.
func instructions(t *testing.T, path string) (all []instruction) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "CMD"}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if !slices.Contains(known, words[0]) {
			t.Errorf("%s: %q is no instruction that this test knows", path, words[0])
		}
		all = append(all, instruction{words[0], words[1:]})
	}
	return all
}

// stageOf splits the words of COPY into the stage that it copies from, the sources and the
// destination.
func stageOf(args []string) (stage string, sources []string) {
	for len(args) > 0 && strings.HasPrefix(args[0], "--") {
		if from, ok := strings.CutPrefix(args[0], "--from="); ok {
			stage = from
		}
		args = args[1:]
	}
	return stage, args[:len(args)-1]
}

// lockFiles are those that fix what an installation gets, by language. Maven has none.
var lockFiles = map[string]string{"go": "", "node": "package-lock.json", "bun": "bun.lock", "python": "requirements.lock", "rust": "Cargo.lock", "java": "pom.xml"}

// TestDockerfilesBuildFromWhatIsHere checks what can be checked without a registry: what is
// copied is here, the lock file among it, stages exist, and the service is not root.
func TestDockerfilesBuildFromWhatIsHere(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		m := &all[i]
		path := filepath.Join(m.dir(), "Dockerfile")
		var stages, copied []string
		user := ""
		for _, in := range instructions(t, path) {
			switch in.name {
			case "FROM":
				if base := in.args[0]; !strings.Contains(base, ":") || strings.HasSuffix(base, ":latest") {
					t.Errorf("%s: the base image %s has no version", path, base)
				}
				if len(in.args) == 3 && in.args[1] == "AS" {
					stages = append(stages, in.args[2])
				}
				user = ""
			case "USER":
				user = in.args[0]
			case "COPY":
				stage, sources := stageOf(in.args)
				if stage != "" {
					if !slices.Contains(stages, stage) {
						t.Errorf("%s: there is no stage %s to copy from", path, stage)
					}
					continue
				}
				copied = append(copied, sources...)
			}
		}
		if user == "" || user == "root" || user == "0" {
			t.Errorf("%s: the service is served by user %q, want one without rights", path, user)
		}
		for _, source := range copied {
			if _, err := os.Stat(filepath.FromSlash(source)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		lock := m.dir() + "/" + lockFiles[m.Language]
		if !slices.ContainsFunc(copied, func(source string) bool { return source == lock || source == m.dir() || source+"/" == lock }) {
			t.Errorf("%s: it does not copy %s", path, lock)
		}
		for _, shared := range m.Shares {
			if !slices.ContainsFunc(copied, func(source string) bool { return source == shared || strings.HasPrefix(source, shared+"/") }) {
				t.Errorf("%s: it copies nothing of %s", path, shared)
			}
		}
	}
}
