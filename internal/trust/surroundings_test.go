//go:build linux

package trust

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// homeless are commands that need no home and no state.
var homeless = [][]string{words("version"), words("examples shop"), words("validate -f one.yaml"), words("schema system"), words("doctor -o json"), words("up -f one.yaml --on local --dry-run"), words("run -f brief.yaml --on local --dry-run")}

// Without a home, or with one that cannot be written, commands that need none work,
// and all others say which variable names another place.
func TestHomes(t *testing.T) {
	readOnly := func(t *testing.T, b *box) {
		writeFiles(t, b)
		if err := os.Chmod(b.path("home"), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	var trials []trial
	for _, args := range homeless {
		trials = append(trials,
			trial{name: args[0] + " without", command: command{args: args, without: []string{"HOME", "MICROSIM_STATE_DIR", "TMPDIR"}}, prepare: writeFiles},
			trial{name: args[0] + " read-only", command: command{args: args, without: []string{"MICROSIM_STATE_DIR"}, nobody: true}, prepare: readOnly},
		)
	}
	for _, args := range [][]string{
		words("up -f one.yaml --on local"), words("up -f one.yaml --on local --detach"), words("run -f brief.yaml --on local"), words("status --on local"), words("down one --on local"),
		words("load --system one --rate 1 --on local"), words("fault list --on local"), words("logs --all --on local"), words("top --on local"),
	} {
		name := strings.Join(args[:min(2, len(args))], " ") + args[len(args)-1]
		trials = append(trials,
			trial{name: name + " without", command: command{args: args, without: []string{"HOME", "MICROSIM_STATE_DIR"}}, code: 1, says: []string{"MICROSIM_STATE_DIR"}, prepare: writeFiles},
			trial{name: name + " read-only", command: command{args: args, without: []string{"MICROSIM_STATE_DIR"}, nobody: true}, code: 1, says: []string{`permission denied.*MICROSIM_STATE_DIR`}, prepare: readOnly},
			trial{name: name + " no directory", command: command{args: args, env: []string{"MICROSIM_STATE_DIR=/dev/null"}}, code: 1, says: []string{`/dev/null`}, prepare: writeFiles},
		)
	}
	runAll(t, trials)
}

// With any content of the state directory, commands follow no links, do not block,
// and leave the files of others.
func TestStateDirectories(t *testing.T) {
	foreign := func(t *testing.T, b *box) string {
		path := b.path("foreign")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(b.path("foreign", "system.json"), []byte(`{"name":"one"}`), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	record := func(text string) func(t *testing.T, b *box) error {
		return func(_ *testing.T, b *box) error {
			if err := os.Mkdir(b.path("state", "one"), 0o755); err != nil {
				return err
			}
			return os.WriteFile(b.path("state", "one", "system.json"), []byte(text), 0o644)
		}
	}
	states := map[string]func(t *testing.T, b *box) error{
		"link for a system": func(t *testing.T, b *box) error { return os.Symlink(foreign(t, b), b.path("state", "one")) },
		"link for the lock": func(t *testing.T, b *box) error { return os.Symlink(foreign(t, b)+"/lock", b.path("state", ".lock")) },
		"link for a record": func(t *testing.T, b *box) error {
			return os.Symlink(foreign(t, b)+"/system.json", b.path("state", "one-record"))
		},
		"link for a log": func(t *testing.T, b *box) error {
			return os.Symlink(foreign(t, b)+"/system.json", b.path("state", "one.log"))
		},
		"file for a system":  func(_ *testing.T, b *box) error { return os.WriteFile(b.path("state", "one"), nil, 0o644) },
		"pipe for the lock":  func(_ *testing.T, b *box) error { return syscall.Mkfifo(b.path("state", ".lock"), 0o644) },
		"pipe for a log":     func(_ *testing.T, b *box) error { return syscall.Mkfifo(b.path("state", "one.log"), 0o644) },
		"directory for lock": func(_ *testing.T, b *box) error { return os.Mkdir(b.path("state", ".lock"), 0o755) },
		"pipe for a record": func(_ *testing.T, b *box) error {
			return firstOf(os.Mkdir(b.path("state", "one"), 0o755), syscall.Mkfifo(b.path("state", "one", "system.json"), 0o644))
		},
		"pipe for children": func(t *testing.T, b *box) error {
			return firstOf(record(`{"name":"one","holder":{"pid":1,"start":"x"}}`)(t, b), syscall.Mkfifo(b.path("state", "one", "children.jsonl"), 0o644))
		},
		"empty record":   record(""),
		"binary record":  record("\x00\x1b[2J\xff"),
		"foreign record": record(`{"name":"../../x","holder":{"pid":1,"start":"x"}}`),
		"record of init": record(`{"name":"one","holder":{"pid":1,"start":""},"controlURL":"http://127.0.0.1:1"}`),
		"escape record":  record(`{"name":"one","holder":{"pid":-5,"start":"\u001b[2J"},"controlURL":"\u001b[2J"}`),
		"strange names":  func(_ *testing.T, b *box) error { return os.Mkdir(b.path("state", "\x1b[2Jone"), 0o755) },
	}
	for name, prepare := range states {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			writeFiles(t, b)
			if err := prepare(t, b); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{
				words("status --on local"), words("status one --on local"), words("fault list --on local"), words("logs --all --system one --on local"), words("load --system one --rate 1 --count 1 --on local"),
				words("run -f brief.yaml --on local"), words("down one --on local --ignore-not-found"), words("down --all --on local"),
			} {
				c := command{args: args}
				a := c.in(t, b)
				a.judge(t, a.code > 0)
				if a.late || a.code < 0 || a.code == 2 {
					t.Errorf("%q: exit code %d, signal %d, late %v", args, a.code, a.signal, a.late)
				}
				if t.Failed() {
					t.Fatalf("%q: %s%s", args, a.stdout, a.stderr)
				}
			}
			if text, err := os.ReadFile(b.path("foreign", "system.json")); err == nil && string(text) != `{"name":"one"}` || os.IsNotExist(err) && strings.HasPrefix(name, "link") {
				t.Errorf("a file of somebody else is now %q", text)
			}
			if left := b.processes(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// The language and the terminal change nothing of what programs read.
func TestLocalesAndTerminals(t *testing.T) {
	var trials []trial
	for _, env := range []string{"LANG=C", "LC_ALL=tr_TR.UTF-8", "LC_ALL=de_DE@euro", "LANG=\x1b[2J", "TERM=", "TERM=dumb", "TERM=\x1b]0;x\a", "NO_COLOR=", "COLUMNS=1", "COLUMNS=-5", "COLUMNS=99999999999", "TZ=Nowhere/None", "GOMAXPROCS=1", "HTTP_PROXY=::garbage::", "MICROSIM_DETACHED=/dev/null"} {
		for _, args := range [][]string{words("examples"), words("doctor"), words("run -f brief.yaml --on local")} {
			trials = append(trials, trial{name: fmt.Sprintf("%s %q", args[0], env), command: command{args: args, env: []string{env}}, prints: []string{"[A-Za-z]"}, prepare: writeFiles})
		}
	}
	runAll(t, trials)
}
