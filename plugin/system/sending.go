package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/internal/version"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/outlet"
)

// sending is what `up` sends of a system on this machine to others while it is up.
type sending struct {
	otlp   outlet.Collector
	fluent outlet.Receiver
	share  unit.Share
	// watch is that of the system that is up.
	watch atomic.Pointer[outlet.Watch]
}

const traceSampleFlag = "trace-sample"

// sendingPatience bounds the sending of what is left when a system is taken down:
// whoever took it down waits.
const sendingPatience = 3 * time.Second

func (s *sending) AddFlags(cmd *cobra.Command) {
	s.share = span.DefaultShare
	s.otlp.AddFlags(cmd, "while the system is up on this machine")
	s.fluent.AddFlags(cmd, "while the system is up on this machine")
	cmd.Flags().Var(&s.share, traceSampleFlag, "share of the requests whose spans --otlp gets, such as 1% or 0.01; it gets those of requests that fail, too; 0 makes none")
	// Requests come from other programs, which send no spans.
	s.otlp.Rootless = true
	s.otlp.Patience, s.fluent.Patience = sendingPatience, sendingPatience
}

// sendingFlags are the flags of sending.
func sendingFlags() []string {
	return []string{outlet.OTLPFlag, outlet.FluentFlag, traceSampleFlag}
}

// Validate refuses what nothing can be sent to, and to send of systems that nobody
// watches.
func (s *sending) Validate(o *upOptions, flags *pflag.FlagSet) error {
	onCluster := slices.Contains([]string{"", "kind", "cluster"}, o.target.On)
	switch {
	case flags.Changed(outlet.FluentFlag) && onCluster:
		return fmt.Errorf("--%s sends what this program reads, and on a cluster it ends when the system is ready: write 'run --%s' for an experiment, or have Fluent Bit read the logs of pods on their nodes", outlet.FluentFlag, outlet.FluentFlag)
	case flags.Changed(outlet.OTLPFlag) && onCluster:
		return fmt.Errorf("--%s needs a program that watches the system, and 'up' on a cluster ends when the system is ready: write 'run --%s' for an experiment, or let 'monitor' have Prometheus scrape the system", outlet.OTLPFlag, outlet.OTLPFlag)
	case flags.Changed(traceSampleFlag) && !flags.Changed(outlet.OTLPFlag):
		return fmt.Errorf("--%s is about the spans that --%s gets: write that, too, or leave it out", traceSampleFlag, outlet.OTLPFlag)
	}
	o.local.TraceSample = float64(s.share)
	return errors.Join(s.otlp.Validate(flags), s.fluent.Validate(flags))
}

// args are the flags of the process that holds the system in the background.
func (s *sending) args() []string {
	args := s.fluent.Args()
	if s.otlp.Wanted() {
		args = append(append(args, s.otlp.Args()...), "--"+traceSampleFlag, s.share.String())
	}
	return args
}

// begin begins to send what services log, which is shown on the screen as well.
func (s *sending) begin(o *upOptions, system string, screen io.Writer) {
	if !s.otlp.Wanted() && !s.fluent.Wanted() {
		return
	}
	s.fluent.Begin(system)
	s.otlp.Begin(trace.Origin{System: system, Target: "local", Version: version.String()})
	var mu sync.Mutex
	format := o.local.LogFormat
	o.local.Lines = func(service string, replica int, text []byte) {
		if len(text) == 0 {
			return
		}
		line, logged := outlet.ReadLine(time.Time{}, system, service, replica, text)
		s.otlp.Line(line)
		s.fluent.Line(line)
		mu.Lock()
		defer mu.Unlock()
		outlet.PrintLine(screen, format, &line, logged, text)
	}
	o.local.Sent = func(status *control.Status) {
		status.Fluent = s.fluent.Sums()
		if s.watch.Load() != nil { // sums count from then on
			status.OTLP = s.counted(s.otlp.Sums())
		}
	}
}

// follow begins to send the figures and spans of a system that is up.
func (s *sending) follow(ctx context.Context, system outlet.System) error {
	if !s.otlp.Wanted() {
		return nil
	}
	watch, err := s.otlp.Watch(ctx, system)
	s.watch.Store(watch)
	return err
}

// counted adds what was lost on its way from the services.
func (s *sending) counted(sums *result.OTLP) *result.OTLP {
	if watch := s.watch.Load(); watch != nil {
		watch.Count(sums)
	}
	return sums
}

// end takes the system down with takeDown, after it was asked a last time, sends what
// is left, and says what others have got.
func (s *sending) end(ctx context.Context, talk io.Writer, takeDown func() error) error {
	var err error
	if watch := s.watch.Load(); watch != nil {
		err = watch.Stop()
	}
	err = errors.Join(err, takeDown())
	report.PrintSent(talk, s.counted(s.otlp.End(ctx)), s.fluent.End(ctx))
	return err
}
