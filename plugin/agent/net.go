package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

const netDoc = `microsim-agent net apply|list|clear|watch [flags]

Breaks the network of one namespace, named by --netns, --pid or --pod-uid.

  apply  sets up the state of -f or of the flags, waits for the deadline, INT,
         TERM or HUP, and takes everything back. It replaces what another process
         has applied for the same --owner, which then ends with an error, as it
         does if another program removes its faults
  watch  reads states from stdin, one line of JSON each; each replaces the one
         before, and when stdin ends everything is taken back
  list   prints what is set up, by whomever
  clear  takes back what carries the mark of --owner, or all marks of ours

Prints a line of JSON for every change. If a process is killed (kill -9), faults
by tc go on: clear takes them back, or the next apply after their deadline. Those
by emulate end: list shows what is left as orphaned, and the next apply removes it.

Flags:
`

// An Event is a line that the net commands print.
type Event struct {
	Time time.Time `json:"time"`
	// Event is one of backend, applied, listed, cleared, lost, nothing: lost means
	// that another program removed the faults, nothing that there was nothing to
	// clear.
	Event   string `json:"event"`
	Backend string `json:"backend,omitempty"`
	// Why is the reason for the choice of a backend, or for a clearing.
	Why       string              `json:"why,omitempty"`
	Owner     string              `json:"owner,omitempty"`
	Effective *netfault.Effective `json:"effective,omitempty"`
}

// netCommand is one run of a net command.
type netCommand struct {
	*impair.Impairer
	o       netOptions
	streams Streams
}

// netFaults is the command `net`.
func netFaults(ctx context.Context, args []string, streams Streams) error {
	verbs := map[string]func(*netCommand, context.Context) error{
		"apply": (*netCommand).apply, "watch": (*netCommand).watch, "list": (*netCommand).list, "clear": (*netCommand).clear,
	}
	if len(args) == 0 {
		return fmt.Errorf("net: say apply, list, clear or watch: %w", ErrUsage)
	}
	verb, ok := verbs[args[0]]
	help := args[0] == "help" || args[0] == "-h" || args[0] == "--help"
	if !ok && !help {
		return fmt.Errorf("net %q: say apply, list, clear or watch: %w", args[0], ErrUsage)
	}
	c := &netCommand{streams: streams}
	flags := c.o.flags()
	flags.Init("net "+args[0], flag.ContinueOnError)
	rest := args[1:]
	if help {
		rest = []string{"-h"}
	}
	if helped, err := Parse(flags, netDoc, rest, streams); helped || err != nil {
		return err
	}
	if err := c.o.target.Validate(); err != nil {
		return fmt.Errorf("net %s: %w: use --netns, --pid or --pod-uid: %w", args[0], err, ErrUsage)
	}
	if err := c.open(); err != nil {
		return err
	}
	return errors.Join(verb(c, ctx), c.Close())
}

// open finds the namespace and makes the backends.
func (c *netCommand) open() error {
	makers, err := backendsNamed(c.o.backend)
	if err != nil {
		return err
	}
	ns, err := netns.Open(c.o.target)
	if err != nil {
		return err
	}
	c.Impairer = impair.New(ns, makers)
	return nil
}

func (c *netCommand) say(e Event) error {
	e.Time = time.Now()
	if err := json.NewEncoder(c.streams.Out).Encode(e); err != nil {
		return fmt.Errorf("printing an event: %w", err)
	}
	return nil
}

// apply sets up one state, waits until its end, and clears it.
func (c *netCommand) apply(ctx context.Context) error {
	if c.o.anyFault && c.o.rule.Interface == "" {
		name, err := c.NS.DefaultInterface()
		if err != nil {
			return fmt.Errorf("net apply: %w: use --interface", err)
		}
		c.o.rule.Interface = name
	}
	state, err := c.o.state(time.Now(), c.streams.In)
	if err != nil {
		return err
	}
	if c.o.dryRun {
		return c.dryRun(state)
	}
	if err := c.clearStale(ctx); err != nil {
		return err
	}
	if acts, err := c.set(ctx, state); err != nil {
		if acts {
			err = errors.Join(err, c.takeBack(ctx, state.Owner, "error"))
		}
		return err
	}
	return c.end(ctx, state.Owner, waitFor(ctx, state.Deadline, c.watchOver(ctx, state.Owner)))
}

// watchOver returns a function that returns an error if the faults of an owner no
// longer act, or no longer on the named namespace.
func (c *netCommand) watchOver(ctx context.Context, owner string) func() error {
	ctx = context.WithoutCancel(ctx) // the function is called after a signal, too
	return func() error {
		if err := c.Lost(ctx, owner); err != nil || owner == "" {
			return err
		}
		return c.NS.Named()
	}
}

// end clears the faults of an owner. It also clears the rest after another program
// removed a part of them, and in a namespace that has lost its name but still has
// processes.
func (c *netCommand) end(ctx context.Context, owner, why string) error {
	err := c.watchOver(ctx, owner)()
	if err == nil {
		return c.takeBack(ctx, owner, why)
	}
	if !errors.Is(err, impair.ErrReplaced) {
		err = errors.Join(err, c.Impairer.TakeBack(ctx, owner))
	}
	err = fmt.Errorf("net: %w", err)
	return errors.Join(err, c.say(Event{Event: "lost", Owner: owner, Why: err.Error()}))
}

// planner is a backend that can say what it would do.
type planner interface {
	Describe(netfault.State) ([]string, error)
}

func (c *netCommand) dryRun(state netfault.State) error {
	for _, b := range c.Backends {
		p, ok := b.(planner)
		if !ok {
			continue
		}
		steps, err := p.Describe(state)
		if errors.Is(err, netfault.ErrUnsupported) && len(c.Backends) > 1 {
			continue
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.streams.Out, strings.Join(steps, "\n"))
		return err
	}
	return errors.New("no backend that works here can say beforehand what it would do; leave out --dry-run, or try --backend tc")
}

// set applies the state and prints that. acts says whether the state acts, even if
// printing failed.
func (c *netCommand) set(ctx context.Context, state netfault.State) (acts bool, err error) {
	a, err := c.Impairer.Apply(ctx, state)
	if a == nil {
		return false, err
	}
	return true, errors.Join(err,
		c.say(Event{Event: "backend", Backend: a.Effective.Backend, Why: a.Why}),
		c.say(Event{Event: "applied", Backend: a.Effective.Backend, Owner: state.Owner, Effective: &a.Effective}))
}

// takeBack clears the faults of an owner in every backend, and prints that.
func (c *netCommand) takeBack(ctx context.Context, owner, why string) error {
	if err := c.Impairer.TakeBack(ctx, owner); err != nil {
		return fmt.Errorf("%w; try again with `microsim-agent net clear --owner %s %s`", err, owner, c.o.targetFlag())
	}
	return c.say(Event{Event: "cleared", Owner: owner, Why: why})
}

// clearStale clears faults of this program that are past their deadline or whose
// process is gone, and prints that.
func (c *netCommand) clearStale(ctx context.Context) error {
	cleared, err := c.ClearStale(ctx)
	for _, e := range cleared {
		why := "expired"
		if e.Orphaned {
			why = "orphaned"
		}
		err = errors.Join(err, c.say(Event{Event: "cleared", Backend: e.Backend, Owner: e.Owner, Why: why}))
	}
	return err
}

func (c *netCommand) list(ctx context.Context) error {
	list, err := c.Held(ctx)
	for _, e := range list {
		err = errors.Join(err, c.say(Event{Event: "listed", Backend: e.Backend, Owner: e.Owner, Effective: &e}))
	}
	return err
}

// clear clears the faults that are set up, and prints them.
func (c *netCommand) clear(ctx context.Context) error {
	list, err := c.Held(ctx)
	if err != nil {
		return err
	}
	var others []string
	list = slices.DeleteFunc(list, func(e netfault.Effective) bool {
		other := c.o.owner != "" && e.Owner != c.o.owner
		if other {
			others = append(others, strconv.Quote(e.Owner))
		}
		return other
	})
	if err := c.Impairer.TakeBack(ctx, c.o.owner); err != nil {
		return fmt.Errorf("%w; try again with `microsim-agent net clear %s`", err, c.o.targetFlag())
	}
	if len(list) == 0 {
		why := "no faults are set up here"
		if len(others) > 0 {
			why = "this owner has no faults here; those that are set up belong to " + strings.Join(others, ", ")
		}
		return c.say(Event{Event: "nothing", Owner: c.o.owner, Why: why})
	}
	for _, e := range list {
		if err := c.say(Event{Event: "cleared", Backend: e.Backend, Owner: e.Owner, Why: "asked"}); err != nil {
			return err
		}
	}
	return nil
}

// maxLine bounds a state that watch reads.
const maxLine = 4 << 20

// watch applies the states that stdin has, one after the other.
func (c *netCommand) watch(ctx context.Context) error {
	if err := c.clearStale(ctx); err != nil {
		return err
	}
	states := make(chan string)
	readErr := make(chan error, 1)
	// Reading stdin cannot be interrupted; this goroutine ends with stdin or the
	// process.
	go func() {
		defer close(states)
		lines := bufio.NewScanner(c.streams.In)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			select {
			case states <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
		readErr <- lines.Err()
	}()
	current := netfault.State{}
	for {
		why, text := c.next(ctx, states, current)
		if why == "" {
			state, err := netfault.Parse(strings.NewReader(text))
			if err == nil && current.Owner != "" && state.Owner != current.Owner {
				err = c.takeBack(ctx, current.Owner, "replaced")
			}
			if err == nil {
				current = state
				_, err = c.set(ctx, state)
			}
			if err == nil {
				continue
			}
			// The state that is applied differs from the desired one.
			return errors.Join(fmt.Errorf("net watch: %w", err), c.endWatch(ctx, current.Owner, "error"))
		}
		if why == "deadline" {
			if err := c.endWatch(ctx, current.Owner, why); err != nil {
				return err
			}
			current = netfault.State{}
			continue
		}
		var err error
		if why == "end of input" {
			err = <-readErr
		}
		return errors.Join(err, c.endWatch(ctx, current.Owner, why))
	}
}

func (c *netCommand) endWatch(ctx context.Context, owner, why string) error {
	if owner == "" {
		return nil
	}
	return c.end(ctx, owner, why)
}

// next waits for another state, or returns why there is none.
func (c *netCommand) next(ctx context.Context, states <-chan string, current netfault.State) (why, text string) {
	var due <-chan time.Time
	if !current.Deadline.IsZero() {
		timer := time.NewTimer(time.Until(current.Deadline))
		defer timer.Stop()
		due = timer.C
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case text, ok := <-states:
			if !ok {
				return "end of input", ""
			}
			return "", text
		case <-due:
			return "deadline", ""
		case <-ctx.Done():
			return "signal", ""
		case <-look.C:
			if c.watchOver(ctx, current.Owner)() != nil {
				return "lost", ""
			}
		}
	}
}

// readState reads a state from a file, or stdin for "-".
func readState(path string, stdin io.Reader) (netfault.State, error) {
	if path == "-" {
		return netfault.Parse(stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return netfault.State{}, fmt.Errorf("reading the desired network state: %w", err)
	}
	defer f.Close()
	s, err := netfault.Parse(f)
	if err != nil {
		return s, fmt.Errorf("file %q: %w", path, err)
	}
	return s, nil
}
