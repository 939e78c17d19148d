package outlet

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/forward"
)

// A Receiver gets lines of logs by Fluentd's forward protocol; a flag names it, or none.
// It gets those of one system after the other.
type Receiver struct {
	// Paced says that what sends waits for the receiver: runs in virtual time.
	Paced bool
	// Patience bounds the sending of what is left at the end; 0 stands for 10 s.
	Patience time.Duration

	text    string
	address forward.Address
	// sender is that of the system that runs.
	sender atomic.Pointer[forward.Sender]
}

// FluentFlag names the receiver.
const FluentFlag = "fluent"

// AddFlags adds the flag that names a receiver; while says when it gets something.
func (r *Receiver) AddFlags(cmd *cobra.Command, while string) {
	cmd.Flags().StringVar(&r.text, FluentFlag, "", "address of Fluentd or Fluent Bit, such as tcp://localhost:24224, that gets logs by the forward protocol "+while)
}

// Validate refuses what is no receiver.
func (r *Receiver) Validate(flags *pflag.FlagSet) (err error) {
	if !flags.Changed(FluentFlag) {
		return nil
	}
	if r.address, err = forward.ParseAddress(r.text); err != nil {
		return fmt.Errorf("--%s: %w", FluentFlag, err)
	}
	return nil
}

// Args are the flags by which another command line names the same receiver.
func (r *Receiver) Args() []string {
	if !r.Wanted() {
		return nil
	}
	return []string{"--" + FluentFlag, r.text}
}

// Wanted reports whether there is a receiver.
func (r *Receiver) Wanted() bool { return r.text != "" }

// Begin begins to send what a system logs. End must be called.
func (r *Receiver) Begin(system string) {
	if r.Wanted() {
		r.sender.Store(forward.New(forward.Options{Address: r.address, Pace: r.Paced, Patience: r.Patience}, system))
	}
}

// End sends what is left, and says what became of everything; nil if nothing was begun.
func (r *Receiver) End(ctx context.Context) *result.Fluent {
	if sender := r.sender.Swap(nil); sender != nil {
		return sender.Close(ctx)
	}
	return nil
}

// Sums says what has become of everything so far; nil if nothing was begun, or all has
// ended.
func (r *Receiver) Sums() *result.Fluent {
	if sender := r.sender.Load(); sender != nil {
		return sender.Sums()
	}
	return nil
}

// Line sends a line of a log.
func (r *Receiver) Line(l logline.Line) {
	if sender := r.sender.Load(); sender != nil {
		sender.Line(l)
	}
}
