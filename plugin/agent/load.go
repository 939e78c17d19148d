package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

const loadDoc = `microsim-agent load [flags]

Generates a share of a load when it is told to, and tells what came back. When
it listens, it prints its address as a line of JSON: {"addr":"127.0.0.1:8081"}.

  POST /start {"delayNs":N}    begin, once
  GET  /outcomes?from=N        what became of the requests, as lines of JSON
  POST /spans                  the spans of requests that were sent
  POST /control, /stop, /done  change the load, end it early, exit

Environment:
  MICROSIM_LOAD         the load as JSON, or @FILE
  MICROSIM_TOKEN        the token that requests carry in the header Microsim-Token
  JOB_COMPLETION_INDEX  which share of the load is sent, from 0

Flags:
`

// generate is the command `load`.
func generate(ctx context.Context, args []string, streams Streams) error {
	var addr string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&addr, "addr", ":8081", "address to listen on; port 0 takes a free one")
	if helped, err := Parse(flags, loadDoc, args, streams); helped || err != nil {
		return err
	}
	g, err := newGenerator(os.Getenv)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening for orders: %w; choose another port with --addr", err)
	}
	if err := json.NewEncoder(streams.Out).Encode(addresses{Addr: ln.Addr().String()}); err != nil {
		_ = ln.Close()
		return fmt.Errorf("printing the address: %w", err)
	}
	stop := serveControl(ln, g.handler())
	err = g.run(ctx)
	return errors.Join(err, stop())
}

// patience bounds how long a generator waits for its followers.
type patience struct {
	// start bounds the wait for the order to start, and terminated the wait, after
	// a signal, for a follower to read the end. absent is how long a follower whose
	// connection broke may stay away.
	start, terminated, absent time.Duration
	// during and after bound the time without a follower: during the load, and
	// after its end.
	during, after time.Duration
}

func defaultPatience() patience {
	return patience{start: 5 * time.Minute, terminated: 20 * time.Second, absent: 5 * time.Second, during: 10 * time.Minute, after: time.Minute}
}

// A generator generates one share of a load, and keeps its outcomes until a
// follower has read them.
type generator struct {
	job     remote.Job
	share   loadgen.Share
	token   string
	control *loadgen.Control
	log     *outcomeLog
	// spans is nil if no spans are wanted.
	spans    *span.Buffer
	patience patience

	started chan time.Duration // gets the delay, once
	stopped chan struct{}      // closed by the order to stop
	done    chan struct{}      // closed when a follower has read everything
	orders  orders
}

// newGenerator reads the load from the environment.
func newGenerator(getenv func(string) string) (*generator, error) {
	text, err := readVariable(getenv, "MICROSIM_LOAD")
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, errors.New("MICROSIM_LOAD is not set: it describes the load as JSON, or names a file with @FILE")
	}
	g := &generator{
		token: getenv("MICROSIM_TOKEN"), control: loadgen.NewControl(), log: newOutcomeLog(maxKept), patience: defaultPatience(),
		started: make(chan time.Duration, 1), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	if g.token == "" {
		return nil, errors.New("MICROSIM_TOKEN is not set: without it anybody could start the load")
	}
	if err := json.Unmarshal(text, &g.job); err != nil {
		return nil, fmt.Errorf("reading MICROSIM_LOAD: %w", err)
	}
	index, err := strconv.Atoi(cmp.Or(getenv("JOB_COMPLETION_INDEX"), "0"))
	if err != nil {
		return nil, fmt.Errorf("reading JOB_COMPLETION_INDEX: %w", err)
	}
	g.share = loadgen.Share{Index: index, Of: g.job.Of}
	if g.job.TraceSample > 0 {
		g.spans = span.NewBuffer(time.Now().UnixNano())
	}
	return g, nil
}

// readVariable reads an environment variable, whose text may be in a file: @FILE.
func readVariable(getenv func(string) string, name string) ([]byte, error) {
	text := getenv(name)
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		return []byte(text), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the file that %s names: %w", name, err)
	}
	return data, nil
}

// run waits for the order to start, generates the load, and returns when a follower
// has read its end, or no follower has come in time.
func (g *generator) run(ctx context.Context) error {
	waiting := time.NewTimer(g.patience.start)
	defer waiting.Stop()
	select {
	case delay := <-g.started:
		g.generate(ctx, delay)
	case <-g.done:
		return nil
	case <-ctx.Done():
		return nil
	case <-waiting.C:
		return fmt.Errorf("nobody has started the load for %v", g.patience.start)
	}
	ended, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	select {
	case <-g.done:
	case <-g.log.lonely(ended, g.patience.after, time.Now()):
		return errors.New("nobody has read the end of the load")
	case <-ctx.Done():
		// Give up if no follower comes, such as when its program was killed.
		select {
		case <-g.done:
		case <-g.log.lonely(ended, g.patience.absent, time.Time{}):
		case <-time.After(g.patience.terminated):
		}
	}
	return nil
}

var (
	errStopped = errors.New("stopped by an order")                        //nolint:gochecknoglobals // a sentinel
	errLonely  = errors.New("nobody follows what becomes of it any more") //nolint:gochecknoglobals // a sentinel
)

// generate sends the share of the load, and notes its end.
func (g *generator) generate(parent context.Context, delay time.Duration) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	lonely := g.log.lonely(ctx, g.patience.during, time.Time{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-g.stopped:
			cancel(errStopped)
		case <-lonely:
			cancel(errLonely)
		case <-ctx.Done():
		}
	}()
	flushing := g.log.flushEvery(remote.BatchEvery) //nolint:contextcheck // the last flush comes after the end of ctx
	select {
	case <-time.After(delay):
	case <-ctx.Done():
	}
	load := &loadgen.Generator{Control: g.control, Share: g.share, Spans: g.spans, TraceSample: g.job.TraceSample, Processors: max(1, runtime.GOMAXPROCS(0)/2)}
	target := runner.LoadTarget{System: &g.job.System, URLs: g.job.URLs, Seed: g.job.Seed}
	report, err := load.Load(ctx, g.job.Profile, target, g.log.add)
	end := &remote.End{Report: report, Stopped: errors.Is(err, errStopped)}
	switch {
	case end.Stopped:
	case parent.Err() != nil:
		end.Error = "the pod was told to end"
	case err != nil:
		end.Error = err.Error()
	}
	cancel(nil)
	<-watched
	flushing()
	g.log.finish(end)
}
