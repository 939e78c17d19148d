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

// runLogs are the lines that the services of a run log: what --out keeps of them, and
// what is shown.
type runLogs struct {
	// requests asks for a line for each request, and for all lines to be shown.
	requests bool
	format   string
	// keep says that the lines are kept, silent that none are shown.
	keep, silent bool
	// more is told of all lines that come; it may be nil.
	more func(logline.Line)
	// store has the lines of the run under way, or of the last one.
	store atomic.Pointer[logline.Store]
	// system is the one that runs.
	system atomic.Pointer[string]

	mu sync.Mutex
	// screen is where lines are shown; guarded by mu.
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

// Validate finds out what is done with lines, and tells the services.
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

// ask tells the services what to log.
func (l *runLogs) ask(o *runOptions) {
	o.local.Verbose, o.local.Tell = l.requests, l.wanted()
	o.target.Kube.Verbose, o.target.Kube.LogFormat = l.requests, service.JSONLogs
}

// wanted reports whether anybody gets lines that are not shown.
func (l *runLogs) wanted() bool { return l.keep || l.more != nil }

// args are the flags of a run inside the cluster.
func (l *runLogs) args() []string {
	if !l.requests {
		return nil
	}
	return []string{"--" + verboseFlag}
}

// begin begins the lines of each run anew.
func (l *runLogs) begin(system string) {
	l.system.Store(&system)
	if l.keep {
		l.store.Store(logline.NewStore())
	}
}

// show says where lines are shown from now on.
func (l *runLogs) show(screen io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.screen = screen
}

// take takes in what a replica has printed now.
func (l *runLogs) take(service string, replica int, text []byte) {
	l.takeAt(time.Time{}, service, replica, text)
}

// takeAt takes in what a replica has printed at a time; at zero it is now.
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

// print shows a line: all if requests are logged, otherwise warnings, and words that
// are no line of a log.
func (l *runLogs) print(line *logline.Line, logged bool, words []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.screen == nil || l.silent || logged && !l.requests && line.Level < slog.LevelWarn {
		return
	}
	outlet.PrintLine(l.screen, l.format, line, logged, words)
}

// takeAll takes in the lines of a run in virtual time.
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

// reader reads the logs of systems that run elsewhere; nil if nobody wants them.
func (l *runLogs) reader() runner.LogReader {
	if !l.wanted() && !l.requests {
		return nil
	}
	return &logReader{logs: l}
}

// summary says what there is of the run's lines; nil if none were kept.
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

// A log counts as read if no line has come for quietFor; Stop waits for that for
// mostWait.
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
