// Package front is the side of a gate that clients see: it accepts connections, and makes
// one of the datagrams of each client.
package front

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
)

// A Front listens for clients once Resume was called. Its methods have one caller at a
// time.
type Front interface {
	// Address is where it listens.
	Address() net.Addr
	// Resume serves clients, Pause lets new ones wait.
	Resume()
	Pause()
	// Close ends listening. It does not end connections.
	Close() error
}

// A Server is the gate behind a front.
type Server struct {
	// Serve carries a client's connection, which it closes, in a goroutine of its own.
	// The context ends when the client is forgotten.
	Serve func(ctx context.Context, client net.Conn)
	// Go runs a goroutine that the gate waits for.
	Go func(func())
	// Name names the gate in what is logged.
	Name func() string
	Log  *slog.Logger
	// Slots are taken by connections, one by each; those beyond wait in the backlog.
	Slots chan struct{}
	// Clients bounds how many clients that send datagrams are remembered. Datagrams that
	// wait are counted in Held, in bytes, up to MaxHeld.
	Clients int
	Held    *atomic.Int64
	MaxHeld int64
}

// Listen returns a front on an address, which serves nobody yet.
func Listen(ctx context.Context, a address.Address, s Server) (Front, error) {
	if a.Datagrams() {
		return listenDatagrams(ctx, a, s)
	}
	l, err := a.Listen(ctx)
	if err != nil {
		return nil, err
	}
	return &Stream{server: s, listener: l.(deadlineListener)}, nil
}
