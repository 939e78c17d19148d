package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"runtime"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/stress"
)

const stressDoc = `microsim-agent stress [flags]

Takes processor time, disk time or memory away until --for is over, INT, TERM
or HUP.

With --wait it says "ready" on stdout when all its threads run, begins when a
line comes by stdin, and ends when stdin does.

Flags:
`

// stressCommand is the command `stress`.
func stressCommand(ctx context.Context, args []string, streams Streams) error {
	var o stress.Options
	if helped, err := Parse(stress.Flags(&o), stressDoc, args, streams); helped || err != nil {
		return err
	}
	c, err := stress.FromFault(fault.Fault{Type: o.Type, Probability: 1, Args: fault.Args{Cores: o.Cores, Load: unit.Share(o.Load), Method: o.Method, Size: o.Size}})
	if err != nil {
		return fmt.Errorf("stress: %w: %w", err, ErrUsage)
	}
	c.Dir = o.Dir
	if o.Lasting > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Lasting)
		defer cancel()
	}
	if c.Type == fault.CPUStress {
		// Workers keep their threads busy, and other goroutines must run beside
		// them.
		runtime.GOMAXPROCS(int(math.Ceil(float64(c.Cores))) + 2)
	}
	s, err := stress.Prepare(c)
	if err != nil {
		return err
	}
	if o.Wait {
		var end context.CancelFunc
		ctx, end = waitForLine(ctx, streams)
		defer end()
	}
	return s.Run(ctx)
}

// waitForLine prints that the process is ready, and waits for a line on stdin. The
// returned context ends with stdin.
func waitForLine(ctx context.Context, streams Streams) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if _, err := io.WriteString(streams.Out, "ready\n"); err != nil {
		cancel() // the parent does not read stdout any more
		return ctx, cancel
	}
	line := make(chan struct{})
	// Reading stdin cannot be interrupted; this goroutine ends with stdin or the
	// process.
	go func() {
		defer cancel()
		in := bufio.NewReader(streams.In)
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		close(line)
		_, _ = io.Copy(io.Discard, in) // until stdin ends, with or without an error
	}()
	select {
	case <-line:
	case <-ctx.Done():
	}
	return ctx, cancel
}
