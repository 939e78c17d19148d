//go:build linux

package trust

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// A trial is a command that is to end in one way and to leave nothing behind.
type trial struct {
	name string
	command
	// prepare fills the box.
	prepare func(t *testing.T, b *box)
	// code is the exit code; signal -code if negative.
	code int
	// says are patterns that stderr matches; prints those of stdout.
	says, prints []string
	// quiet says that there is no error, although the code may say so.
	quiet bool
}

func (tr *trial) run(t *testing.T) {
	t.Helper()
	b := newBox(t)
	if tr.prepare != nil {
		tr.prepare(t, b)
	}
	b.before = b.files()
	tr.runIn(t, b)
}

func (tr *trial) runIn(t *testing.T, b *box) {
	t.Helper()
	a := tr.in(t, b)
	if code := a.code; a.late || code != tr.code && -int(a.signal) != tr.code {
		t.Errorf("exit code %d, signal %d, want %d (late: %v)", code, a.signal, tr.code, a.late)
	}
	a.judge(t, tr.code > 0 && !tr.quiet)
	matches(t, "stderr", a.stderr, tr.says)
	matches(t, "stdout", a.stdout, tr.prints)
	if left := b.settle(10 * time.Second); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if t.Failed() {
		t.Logf("%q ran for %v in %d MiB; stderr:\n%.3000s\nstdout:\n%.1000s", tr.args, a.took, a.memory>>20, a.stderr, a.stdout)
	}
}

// judge holds what every answer has to keep: bounds of memory, and text that
// neither panics nor acts on the terminal. If an error is due, there is one.
func (a *answer) judge(t *testing.T, failed bool) {
	t.Helper()
	if a.memory > withinMemory {
		t.Errorf("it took %d MiB of memory", a.memory>>20)
	}
	if len(a.stderr) > withinTalk {
		t.Errorf("stderr has %d bytes", len(a.stderr))
	}
	for _, text := range []string{a.stdout, a.stderr} {
		if at := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); at >= 0 {
			t.Errorf("a control character is printed: %q", text[max(0, at-40):min(len(text), at+40)])
		}
		if !utf8.ValidString(text) {
			t.Error("the text is no UTF-8")
		}
		if regexp.MustCompile(`(?m)^(panic: |fatal error: |goroutine \d|runtime: )`).MatchString(text) {
			t.Error("it panics")
		}
	}
	errors := strings.Count("\n"+a.stderr, "\nerror: ")
	if want := map[bool]int{true: 1}[failed]; errors != want {
		t.Errorf("stderr has %d errors, want %d", errors, want)
	}
}

func matches(t *testing.T, what, text string, patterns []string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(`(?m)` + p).MatchString(text) {
			t.Errorf("%s does not match %q", what, p)
		}
	}
}

// runAll runs trials, some at the same time.
func runAll(t *testing.T, trials []trial) {
	for i := range trials {
		tr := &trials[i]
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			tr.run(t)
		})
	}
}

// words makes arguments of a line.
func words(line string) []string { return strings.Fields(line) }
