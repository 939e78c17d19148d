//go:build !linux

package relay

import (
	"errors"
	"net"
	"sync/atomic"
)

// Available says whether there is a relay on this system: others carry everything.
const Available = false

// A Relay carries pairs of sockets. There is none on this system, and it costs nothing.
type Relay struct{}

// Carried is a connection whose sockets the relay has.
type Carried struct{}

// New returns a relay that does nothing.
func New() *Relay { return nil }

// Close does nothing.
func (*Relay) Close() {}

var errNone = errors.New("there is no relay on this system") //nolint:gochecknoglobals // an error to compare with

// Start fails.
func (*Relay) Start() error { return errNone }

// Take fails.
func (*Relay) Take(*[2]net.Conn, [2]*atomic.Int64) (*Carried, error) { return nil, errNone }

// Carry fails.
func (*Carried) Carry(*[2]Half) error { return errNone }

// Leave returns a channel that is closed.
func (*Carried) Leave() <-chan struct{} {
	told := make(chan struct{})
	close(told)
	return told
}

// GiveBack fails.
func (*Carried) GiveBack(*[2]net.Conn) error { return errNone }
