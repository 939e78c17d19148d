package gate

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/front"
)

var errClosed = errors.New("the gate is closed; make a new one")

// Start listens and accepts. A gate that was stopped comes back on the same
// port, with the conditions it had. Starting a started gate does nothing.
func (g *Gate) Start() error {
	g.control.Lock()
	defer g.control.Unlock()
	g.mu.Lock()
	listen, started, closed := g.listen, g.front != nil, g.closed
	g.mu.Unlock()
	if closed {
		return fmt.Errorf("starting gate %q: %w", g, errClosed)
	}
	if started {
		return nil
	}
	f, err := g.newFront(listen)
	if err != nil {
		return fmt.Errorf("starting gate %q: %w", g, err)
	}
	if g.upstream.get().LeadsTo(f.Address()) {
		return fmt.Errorf("starting gate %q: %w", g, errors.Join(ErrSelf, f.Close()))
	}
	g.mu.Lock()
	g.front, g.accepting = f, true
	g.listen = g.listen.At(f.Address())
	g.mu.Unlock()
	f.Resume()
	return nil
}

func (g *Gate) newFront(a address.Address) (front.Front, error) {
	return front.Listen(context.Background(), a, front.Server{
		Serve: g.serve, Go: g.work.Go, Name: g.String, Log: g.log,
		Slots: g.slots, Clients: g.udpClients, Held: &g.held, MaxHeld: g.maxHeld,
	})
}

// Stop closes the listener and all connections and waits until they are gone:
// clients then find the connection refused. Conditions stay. Stopping a
// stopped gate does nothing.
func (g *Gate) Stop() error {
	g.control.Lock()
	defer g.control.Unlock()
	return g.stop()
}

func (g *Gate) stop() error {
	g.mu.Lock()
	f := g.front
	g.front, g.accepting = nil, false
	g.mu.Unlock()
	if f == nil {
		return nil
	}
	err := f.Close()
	g.endAll(endOrderly)
	g.work.Wait()
	if err != nil {
		return fmt.Errorf("stopping gate %q: %w", g, err)
	}
	return nil
}

// Close stops the gate for good. It returns when nothing of it is left.
func (g *Gate) Close() error {
	g.mu.Lock()
	if g.unwatch != nil {
		g.unwatch()
	}
	g.mu.Unlock()
	g.control.Lock()
	defer g.control.Unlock()
	err := g.stop()
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	if g.ownRelay {
		g.relay.Close()
	}
	return err
}

// Started says whether the gate listens.
func (g *Gate) Started() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.front != nil
}

// Accepting says whether new clients are served.
func (g *Gate) Accepting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.accepting
}

// StopAccepting serves no new clients. The port stays open: TCP clients
// connect, wait in the kernel's backlog, and are served after
// [Gate.StartAccepting]; datagrams of new UDP clients are lost. Connections go on.
func (g *Gate) StopAccepting() error {
	g.control.Lock()
	defer g.control.Unlock()
	g.mu.Lock()
	f, accepting := g.front, g.accepting
	g.accepting = false
	g.mu.Unlock()
	if f == nil {
		return fmt.Errorf("stopping to accept at gate %q: it is not started; start it first", g)
	}
	if accepting {
		f.Pause()
	}
	return nil
}

// StartAccepting serves clients again, those first who have waited.
func (g *Gate) StartAccepting() error {
	g.control.Lock()
	defer g.control.Unlock()
	g.mu.Lock()
	f, accepting := g.front, g.accepting
	g.accepting = f != nil
	g.mu.Unlock()
	if f == nil {
		return fmt.Errorf("starting to accept at gate %q: it is not started; start it first", g)
	}
	if !accepting {
		f.Resume()
	}
	return nil
}

// FillBacklog makes the gate look like a host whose accept queue is full: it
// stops accepting and fills the kernel's backlog, so that attempts to connect
// are neither accepted nor refused and run into the client's timeout. It is for
// TCP only, and not for Windows. [Gate.StartAccepting], [Gate.Reset] and [Gate.Stop]
// undo it.
func (g *Gate) FillBacklog(ctx context.Context) error {
	if !front.CanFill {
		return fmt.Errorf("filling the backlog of gate %q: it cannot be done on %s; use StopAccepting", g, runtime.GOOS)
	}
	if err := g.StopAccepting(); err != nil {
		return err
	}
	g.control.Lock()
	defer g.control.Unlock()
	g.mu.Lock()
	f, ok := g.front.(*front.Stream)
	g.mu.Unlock()
	if !ok || g.listen.Network() != "tcp" {
		return fmt.Errorf("filling the backlog of gate %q: only TCP has one; use a TCP gate", g)
	}
	if err := f.Fill(ctx); err != nil {
		f.Drain()
		return fmt.Errorf("filling the backlog of gate %q: %w", g, err)
	}
	return nil
}

// Reset brings everything back to normal: no conditions, started, accepting.
// Live connections stay.
func (g *Gate) Reset() error {
	g.toServer.Pass()
	g.toClient.Pass()
	if err := g.Start(); err != nil {
		return err
	}
	return g.StartAccepting()
}
