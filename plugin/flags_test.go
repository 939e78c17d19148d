package plugin

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// A flagRow proves that a flag of a command has an effect, or is refused.
type flagRow struct {
	// command and args are what stands before the flag; words that begin with $ are
	// replaced by what the world of the test has.
	command, flag, args string
	// with is the flag with its value; instead is what stands in its place otherwise.
	with, instead string
	// want is a pattern of what is seen with the flag and not seen otherwise: the exit
	// code, the streams, and what servers were asked for. refused stands for a usage
	// error that names the flag.
	want string
}

const refused = "refused"

// provedElsewhere are flags whose effect needs more than the world of this test, and
// the tests that prove them.
func provedElsewhere() map[string]string {
	return map[string]string{
		"calibrate --out":           "testdata/script/calibrate.txtar",
		"calibrate --output":        "testdata/script/calibrate.txtar",
		"runtimes install --all":    "TestScripts/runtimes",
		"monitor --storage":         "TestPrometheusKeepsItsStorage of package monitor, in make test-monitor",
		"ui --out":                  "TestRunsOfThePageAreKept of package ui",
		"up --verbose":              "testdata/script/detach.txtar",
		"cluster list --no-headers": "TestTables of package cli, and a sandbox of make e2e",
		"fault add --image":         "make e2e, whose nodes start the helper's image",
		"fault add --push":          "make e2e, with a registry",
		"fault apply --image":       "make e2e, whose nodes start the helper's image",
		"fault apply --push":        "make e2e, with a registry",

		"fault add --image-pull-secret":   "TestAHelperPullsItsImageWithACopy of package nodehelper",
		"fault apply --image-pull-secret": "TestAHelperPullsItsImageWithACopy of package nodehelper",
		"fault add --with":                "TestEachFaultActs of netfault/gate",
		"logs --previous":                 "make e2e, after a pod was restarted",
		"logs --since":                    "make e2e, with the logs of pods",
		"report --out":                    "make e2e, with an experiment that was detached",
		"report --wait":                   "make e2e, with an experiment that was detached",
	}
}

// Every flag of every command changes something or is refused. A new flag needs a
// row in flagRows.
func TestEveryFlagActsOrIsRefused(t *testing.T) {
	w := newFlagWorld(t)
	rows := flagRows()
	proved := map[string]bool{}
	for name := range provedElsewhere() {
		proved[name] = true
	}
	for _, row := range rows {
		if row.want != refused {
			proved[row.command+" --"+row.flag] = true
		}
	}
	// These runs take ten seconds, by flags that `run outage` has, too.
	for _, flag := range []string{"out", "force", "report", "junit", "output", "port-base", "called-as", "dry-run", "predict", "trace-sample", "verbose", "log-format", "otlp", "fluent", "prometheus", "rules"} {
		proved["run performance --"+flag] = true
	}
	known := map[string]bool{}
	eachFlag(func(command string, flag *pflag.Flag) {
		name := strings.TrimSpace(command + " --" + flag.Name)
		known[name] = true
		if !proved[name] {
			t.Errorf("no row of flagRows proves that %q has an effect", name)
		}
	})
	for name := range proved {
		if !known[name] {
			t.Errorf("flagRows has a row for %q, and there is no such flag", name)
		}
	}
	for _, row := range rows {
		t.Run(strings.ReplaceAll(row.command, " ", "_")+"/"+strings.ReplaceAll(row.with, "/", "_"), func(t *testing.T) { w.prove(t, row) })
	}
}

// eachFlag visits the flags of all commands, hidden ones included.
func eachFlag(visit func(command string, flag *pflag.Flag)) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		command := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "kubectl microsim"), " ")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" { // the library's own
				visit(command, f)
			}
		})
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(cli.Streams{In: strings.NewReader(""), Out: &strings.Builder{}, Err: &strings.Builder{}}))
}

// prove runs a command with the flag and without it.
func (w *flagWorld) prove(t *testing.T, row flagRow) {
	line := row.command + " " + row.args + " " + row.with
	if row.want == refused {
		if with := w.see(t, line, nil); !strings.HasPrefix(with, "exit code 2\n") || !strings.Contains(with, "--"+row.flag) {
			t.Errorf("it is not refused: %s", with)
		}
		return
	}
	// Ports are other ones for each command, as are the names of new files.
	pattern := func() *regexp.Regexp { return regexp.MustCompile("(?m)" + w.expand(row.want)) }
	if with := w.see(t, line, pattern); !pattern().MatchString(with) {
		t.Errorf("%q is not seen with it: %s", pattern(), with)
	}
	if without := w.see(t, row.command+" "+row.args+" "+row.instead, nil); pattern().MatchString(without) {
		t.Errorf("%q is seen without it, too: %s", pattern(), without)
	}
}

// The time that a command may take, and the time for which an endless one is
// watched: one that waits for pods or nodes that nobody starts, or for more of a
// log.
const (
	endsWithin  = time.Minute
	watchedOnly = time.Second
)

// goesOn reports whether a command ends only when it is interrupted.
func goesOn(line string) bool {
	for _, word := range []string{"--node-image", "--yes", "--probe", "--follow"} {
		if strings.Contains(line, word) {
			return true
		}
	}
	for _, start := range []string{"cluster create", "ui ", "monitor held"} {
		if strings.HasPrefix(line, start) {
			return true
		}
	}
	return strings.HasPrefix(line, "report") && strings.Contains(line, "--wait")
}

// see runs a command and returns all that it did. One that goes on is interrupted when
// what it did matches the pattern; without a pattern, after a while.
func (w *flagWorld) see(t *testing.T, line string, pattern func() *regexp.Regexp) string {
	t.Helper()
	key := line
	if pattern != nil && goesOn(line) {
		key += "\x00" + pattern().String()
	}
	if seen, ok := w.seen[key]; ok {
		return seen
	}
	w.reset(t)
	var args []string
	for _, word := range strings.Fields(line) {
		args = append(args, w.expand(word))
	}
	ctx, cancel := context.WithTimeout(t.Context(), endsWithin)
	defer cancel()
	var out, talk watchedText
	did := func() string { return out.String() + talk.String() + w.asked() }
	ended := make(chan struct{})
	code, interrupted := 0, false
	go func() {
		defer close(ended)
		code = Run(ctx, args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
		interrupted = ctx.Err() != nil
	}()
	if goesOn(line) {
		enough := func(time.Duration) bool { return pattern().MatchString(did()) }
		if pattern == nil || pattern().MatchString("interrupted: true") {
			enough = func(watched time.Duration) bool { return watched > watchedOnly }
		}
		watch(ended, enough)
		cancel()
	}
	<-ended
	if interrupted && !goesOn(line) {
		t.Errorf("kubectl microsim %s: it did not end", line)
	}
	seen := fmt.Sprintf("exit code %d\n%sinterrupted: %t\n", code, did(), interrupted)
	w.seen[key] = seen
	return seen
}

// watch waits until a command has ended, or until enough was seen of it.
func watch(ended <-chan struct{}, enough func(watched time.Duration) bool) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for began := time.Now(); time.Since(began) < endsWithin && !enough(time.Since(began)); {
		select {
		case <-ended:
			return
		case <-look.C:
		}
	}
}

// A watchedText is what a command prints; it may be read meanwhile.
type watchedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *watchedText) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *watchedText) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
