package report

import (
	"fmt"
	"io"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A View shows a run while it goes on: frames that repaint themselves on a
// terminal, a line for each thing that happens elsewhere.
type View struct {
	out  io.Writer
	live Live
	// screen is nil if out is not a terminal.
	screen *Screen
	said   time.Duration
	errors int64
	// since has what came since the last line of figures.
	since result.ClientSecond
}

// NewView returns a view on out. size asks the terminal for its size, which may
// change; nil means that out is not a terminal. Colours are used on a terminal
// only, and only where color is set.
func NewView(out io.Writer, size func() (width, height int), color bool) *View {
	v := &View{out: out}
	if size != nil {
		v.screen = NewScreen(out, size, color)
	}
	return v
}

// Observe is the run's observer. It drops errors of the terminal, because they
// must not fail the run.
func (v *View) Observe(e runner.Event) {
	before := v.live.shows
	v.live.Observe(e)
	if v.screen == nil {
		v.say(e)
		return
	}
	switch e.(type) {
	case runner.ServiceSampled, runner.ClientSampled:
		// Painted once for all of a second, or a large system would paint for ever.
		if v.live.shows > before {
			v.screen.Paint(v.live.Frame)
		}
	case runner.Done:
		v.Close()
	default:
		v.screen.Paint(v.live.Frame)
	}
}

// Close takes the frame off the screen, so that what follows begins on a clean
// line.
func (v *View) Close() {
	if v.screen != nil && v.screen.painted > 0 {
		v.screen.Clear()
	}
}

// quiet is the longest time without a line of plain output while the load runs
// well.
const quiet = 5 * time.Second

// say prints a line for events that are worth one.
func (v *View) say(e runner.Event) {
	switch e := e.(type) {
	case runner.Deploying:
		v.line("starting %s on %s", e.System, e.Target)
	case runner.Deployed:
		v.line("%s ready after %s", unit.Count(len(e.Replicas), "replica"), experiment.FormatSeconds(e.Took.Seconds()))
	case runner.PhaseBegun:
		v.at(e.At, "phase %s", e.Name)
	case runner.FaultApplied:
		v.sayFault(&e.Record)
	case runner.FaultCleared:
		switch r := &e.Record; {
		case r.ClearedAt.IsZero():
			v.at(secondsOf(r.PlannedTo), "fault %s could not be cleared: %s", r.Label, r.Error)
		case r.Victim != fault.Nobody && !isMoment(r):
			v.at(secondsOf(r.To), "fault cleared: %s", r.Label)
		}
	case runner.ReplicaDown:
		v.at(v.live.when(e.Recovery.DownAt), "%s is down", replicaName(e.Recovery))
	case runner.ReplicaReady:
		v.at(v.live.when(e.Recovery.ReadyAt), "%s is ready again after %s", replicaName(e.Recovery), experiment.FormatSeconds(e.Recovery.Took))
	case runner.ClientSampled:
		v.saySecond(&e.Second)
	case runner.LoadEnded:
		v.at(e.At, "load ended")
	case runner.TailBegun:
		v.at(e.At, "watching until the system is idle, for %s at most", seconds(e.Longest.Seconds()))
	case runner.CleaningUp:
		v.line("taking %s down", e.System)
	}
}

func (v *View) sayFault(r *result.FaultRecord) {
	switch {
	case r.Error != "":
		v.at(secondsOf(r.PlannedFrom), "fault %s could not be applied: %s", r.Label, r.Error)
	case r.Victim == fault.Nobody:
		v.at(secondsOf(r.From), "nothing happens: %s", r.Label)
	case isMoment(r):
		v.at(secondsOf(r.From), "fault: %s", r.Label)
	default:
		v.at(secondsOf(r.From), "fault applied: %s, until %s", r.Label, seconds(r.PlannedTo))
	}
}

// saySecond prints the clients' figures since the last such line every few
// seconds, and at once where errors begin or end.
func (v *View) saySecond(s *result.ClientSecond) {
	errors := s.Errors()
	turned := (errors > 0) != (v.errors > 0)
	v.since.Seconds += s.Seconds
	v.since.Ended += s.Ended
	v.since.Degraded += s.Degraded
	if v.since.Outcomes == nil {
		v.since.Outcomes = map[outcome.Class]int64{}
	}
	for class, n := range s.Outcomes {
		v.since.Outcomes[class] += n
	}
	if v.since.Seconds < 0.2 || s.At-v.said < quiet-time.Second/2 && !turned {
		return
	}
	requests := v.since.Requests()
	text := fmt.Sprintf("%s req/s, %s errors", rate(v.since.Rate()), share(v.since.Errors(), requests))
	if v.since.Degraded > 0 {
		text += fmt.Sprintf(", %s degraded", share(v.since.Degraded, requests))
	}
	ms := clientLatencies(s.Latency)
	v.at(s.At, "%s; in the last second p50 %s, p99 %s", text, ms.p50, ms.p99)
	v.said, v.errors, v.since = s.At, errors, result.ClientSecond{}
}

func (v *View) at(at time.Duration, format string, args ...any) {
	v.line("%7s  "+format, append([]any{seconds(at.Seconds())}, args...)...)
}

func (v *View) line(format string, args ...any) {
	fmt.Fprintf(v.out, format+"\n", args...)
}
