//go:build !unix

package gate

import (
	"context"
	"fmt"
	"runtime"
)

// FillBacklog makes the gate look like a host whose accept queue is full. It
// cannot be done on this system.
func (g *Gate) FillBacklog(context.Context) error {
	return fmt.Errorf("filling the backlog of gate %q: it cannot be done on %s; use StopAccepting", g, runtime.GOOS)
}

func (f *streamFront) drain() {}
