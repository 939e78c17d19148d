package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/outlet"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// runLogs handles the lines that the services of a run log: it shows them, keeps them
// for --out, and sends them on.
type runLogs struct {
	// requests makes services log each request, and shows all lines.
	requests bool
	format   string
	// keep says that lines are kept for --out, silent that none are shown.
	keep, silent bool
	// more is called with each line; it may be nil.
	more func(logline.Line)
	// store has the lines of the present run or, between runs, of the last one.
	store atomic.Pointer[logline.Store]
	// system is the name of the system that runs.
	system atomic.Pointer[string]

	mu sync.Mutex
	// screen is where lines are shown, or nil; guarded by mu.
	screen io.Writer
}

const (
	verboseFlag   = "verbose"
	logFormatFlag = "log-format"
)

func (l *runLogs) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&l.requests, verboseFlag, "v", false, "have services log every request, and show what they log")
	flags.StringVar(&l.format, logFormatFlag, service.TextLogs, "format of the lines that --verbose shows: text or json")
	cli.CompleteFlag(cmd, logFormatFlag, service.TextLogs, service.JSONLogs)
}

// Validate checks the flags, and sets what to do with lines and what services log.
func (l *runLogs) Validate(o *runOptions, flags *pflag.FlagSet) error {
	if err := cli.OneOf(logFormatFlag, l.format, service.TextLogs, service.JSONLogs); err != nil {
		return err
	}
	switch {
	case o.dryRun:
		return cli.Refuse(flags, "are for what a run shows, and --dry-run runs nothing: leave them out", verboseFlag, logFormatFlag)
	case flags.Changed(logFormatFlag) && o.detached.detach:
		return fmt.Errorf("--%s is about the lines that are shown, and --detach shows none: leave it out", logFormatFlag)
	case flags.Changed(logFormatFlag) && !l.requests:
		return fmt.Errorf("--%s is about the lines that --%s shows: write that, too, or leave it out", logFormatFlag, verboseFlag)
	}
	l.keep, l.silent = o.out != "", o.detached.called != ""
	l.ask(o)
	return nil
}

// ask sets what services log.
func (l *runLogs) ask(o *runOptions) {
	o.local.Verbose, o.local.Tell = l.requests, l.wanted()
	o.target.Kube.Verbose, o.target.Kube.LogFormat = l.requests, service.JSONLogs
}

// wanted reports whether lines are kept or sent on.
func (l *runLogs) wanted() bool { return l.keep || l.more != nil }

// args returns the flags for a detached run.
func (l *runLogs) args() []string {
	if !l.requests {
		return nil
	}
	return []string{"--" + verboseFlag}
}

// begin drops the lines of the run before.
func (l *runLogs) begin(system string) {
	l.system.Store(&system)
	if l.keep {
		l.store.Store(logline.NewStore())
	}
}

// show sets where lines are shown from now on.
func (l *runLogs) show(screen io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.screen = screen
}

// take handles a line that a replica has just printed.
func (l *runLogs) take(service string, replica int, text []byte) {
	l.takeAt(time.Time{}, service, replica, text)
}

// takeAt handles a line that a replica printed at a time; the zero time means now.
func (l *runLogs) takeAt(at time.Time, service string, replica int, text []byte) {
	if len(text) == 0 {
		return
	}
	system := ""
	if s := l.system.Load(); s != nil {
		system = *s
	}
	line, logged := outlet.ReadLine(at, system, service, replica, text)
	l.print(&line, logged, text)
	if store := l.store.Load(); store != nil {
		store.Add(line)
	}
	if l.more != nil {
		l.more(line)
	}
}

// print shows a line. Without --verbose it shows only warnings, errors, and output
// that is not in the format of logs.
func (l *runLogs) print(line *logline.Line, logged bool, words []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.screen == nil || l.silent || logged && !l.requests && line.Level < slog.LevelWarn {
		return
	}
	outlet.PrintLine(l.screen, l.format, line, logged, words)
}

// takeAll handles the lines of a run in virtual time.
func (l *runLogs) takeAll(store *logline.Store) {
	if l.keep {
		l.store.Store(store)
	}
	if !l.requests && l.more == nil {
		return
	}
	for _, line := range store.Lines() {
		if l.requests {
			l.print(&line, true, nil)
		}
		if l.more != nil {
			l.more(line)
		}
	}
	if dropped := store.Summary().Dropped; dropped > 0 && l.requests {
		l.mu.Lock()
		defer l.mu.Unlock()
		fmt.Fprintf(l.screen, "%d more lines did not fit\n", dropped)
	}
}

// reader returns the reader of logs on a cluster, or nil if lines are neither
// shown, kept nor sent.
func (l *runLogs) reader() runner.LogReader {
	if !l.wanted() && !l.requests {
		return nil
	}
	return &logReader{logs: l}
}

// summary returns what is kept of the run's lines, or nil if nothing is kept.
func (l *runLogs) summary() *result.Logs {
	store := l.store.Load()
	if store == nil {
		return nil
	}
	sum := store.Summary()
	return &result.Logs{Requests: l.requests, Lines: sum.Lines, Share: sum.Share, Dropped: sum.Dropped, Trouble: sum.Trouble}
}

// A logReader reads the logs of a system on a cluster.
type logReader struct {
	logs *runLogs
	// last is when the last line came, in nanoseconds since 1970.
	last atomic.Int64
	end  context.CancelFunc
	done chan struct{}
}

// Start implements runner.LogReader.
func (r *logReader) Start(ctx context.Context, source runner.LogSource) {
	ctx, r.end = context.WithCancel(ctx)
	r.done = make(chan struct{})
	r.last.Store(time.Now().UnixNano())
	go func() {
		defer close(r.done)
		err := source.Logs(ctx, func(at time.Time, service string, replica int, text []byte) { //nolint:contextcheck // writing a line to a screen ends by itself
			r.last.Store(time.Now().UnixNano())
			r.logs.takeAt(at, service, replica, text)
		})
		if store := r.logs.store.Load(); err != nil && !errors.Is(err, context.Canceled) && store != nil {
			store.Fail(err.Error())
		}
	}()
}

// A log counts as read if no line has come for quietFor. Stop waits for that, but
// no longer than mostWait.
const (
	quietFor = time.Second
	mostWait = 5 * time.Second
)

// Stop implements runner.LogReader.
func (r *logReader) Stop() {
	ticker, late := time.NewTicker(quietFor/10), time.NewTimer(mostWait)
	defer ticker.Stop()
	defer late.Stop()
	for waiting := true; waiting; {
		select {
		case <-r.done:
			waiting = false
		case <-late.C:
			waiting = false
		case <-ticker.C:
			waiting = time.Since(time.Unix(0, r.last.Load())) < quietFor
		}
	}
	r.end()
	<-r.done
}
