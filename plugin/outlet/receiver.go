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

// A Receiver is the receiver of log lines by Fluentd's forward protocol that --fluent
// names, or none. Several systems can send to it, one after the other.
type Receiver struct {
	// Paced makes senders wait for the receiver, as runs in virtual time can.
	Paced bool
	// Patience bounds the sending of the rest at the end; 0 means 10 s.
	Patience time.Duration

	text    string
	address forward.Address
	// sender is the sender of the running system.
	sender atomic.Pointer[forward.Sender]
}

// FluentFlag is the flag that names the receiver.
const FluentFlag = "fluent"

// AddFlags adds the flag that names a receiver. while says, in the help, when it
// gets data.
func (r *Receiver) AddFlags(cmd *cobra.Command, while string) {
	cmd.Flags().StringVar(&r.text, FluentFlag, "", "address of Fluentd or Fluent Bit, such as tcp://localhost:24224, that gets logs by the forward protocol "+while)
}

// Validate refuses an invalid address.
func (r *Receiver) Validate(flags *pflag.FlagSet) (err error) {
	if !flags.Changed(FluentFlag) {
		return nil
	}
	if r.address, err = forward.ParseAddress(r.text); err != nil {
		return fmt.Errorf("--%s: %w", FluentFlag, err)
	}
	return nil
}

// Args returns the flags by which another command line names the same receiver.
func (r *Receiver) Args() []string {
	if !r.Wanted() {
		return nil
	}
	return []string{"--" + FluentFlag, r.text}
}

// Wanted reports whether there is a receiver.
func (r *Receiver) Wanted() bool { return r.text != "" }

// Begin begins to send the logs of a system. Call End afterwards.
func (r *Receiver) Begin(system string) {
	if r.Wanted() {
		r.sender.Store(forward.New(forward.Options{Address: r.address, Pace: r.Paced, Patience: r.Patience}, system))
	}
}

// End sends the rest, and returns how many lines were sent and dropped, or nil if
// nothing was begun.
func (r *Receiver) End(ctx context.Context) *result.Fluent {
	if sender := r.sender.Swap(nil); sender != nil {
		return sender.Close(ctx)
	}
	return nil
}

// Sums returns how many lines were sent and dropped so far, or nil if no sending is
// under way.
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
