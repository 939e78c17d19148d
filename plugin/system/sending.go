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

// sending sends traces, figures and logs of a system on this machine to other
// programs while it is up.
type sending struct {
	otlp   outlet.Collector
	fluent outlet.Receiver
	share  unit.Share
	// watch is the watch of the running system.
	watch atomic.Pointer[outlet.Watch]
}

const traceSampleFlag = "trace-sample"

// sendingPatience bounds the sending of the rest when a system is taken down,
// because the user waits for that.
const sendingPatience = 3 * time.Second

func (s *sending) AddFlags(cmd *cobra.Command) {
	s.share = span.DefaultShare
	s.otlp.AddFlags(cmd, "while the system is up on this machine")
	s.fluent.AddFlags(cmd, "while the system is up on this machine")
	cmd.Flags().Var(&s.share, traceSampleFlag, "share of the requests whose spans --otlp gets, such as 1% or 0.01; it gets those of requests that fail, too; 0 makes none")
	// Requests come from other programs, so no root spans are sent.
	s.otlp.Rootless = true
	s.otlp.Patience, s.fluent.Patience = sendingPatience, sendingPatience
}

// sendingFlags returns the names of the flags of sending.
func sendingFlags() []string {
	return []string{outlet.OTLPFlag, outlet.FluentFlag, traceSampleFlag}
}

// Validate refuses invalid receivers, and flags of sending where `up` does not
// watch the system.
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

// args returns the flags for the process that holds the system in the background.
func (s *sending) args() []string {
	args := s.fluent.Args()
	if s.otlp.Wanted() {
		args = append(append(args, s.otlp.Args()...), "--"+traceSampleFlag, s.share.String())
	}
	return args
}

// begin begins to send the logs of services, which are also shown on the screen.
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
		if s.watch.Load() != nil { // from then on the sums count
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

// counted adds the spans that were lost on the way from the services.
func (s *sending) counted(sums *result.OTLP) *result.OTLP {
	if watch := s.watch.Load(); watch != nil {
		watch.Count(sums)
	}
	return sums
}

// end asks the system a last time, takes it down with takeDown, sends the rest, and
// prints what the receivers have got.
func (s *sending) end(ctx context.Context, talk io.Writer, takeDown func() error) error {
	var err error
	if watch := s.watch.Load(); watch != nil {
		err = watch.Stop()
	}
	err = errors.Join(err, takeDown())
	report.PrintSent(talk, s.counted(s.otlp.End(ctx)), s.fluent.End(ctx))
	return err
}
