//go:build !linux

package gate

// hasRelay says whether there is a relay on this system: lanes carry everything.
const hasRelay = false

// A Relay carries connections whose data no condition needs. There is none on
// this system, and it costs nothing.
type Relay struct{}

type carried struct{}

// NewRelay returns a relay that does nothing.
func NewRelay() *Relay { return nil }

// Close does nothing.
func (*Relay) Close() {}

func (*Relay) start() error                 { return nil }
func (*Relay) carry(*pair) error            { return nil }
func (*Relay) notify(*pair) <-chan struct{} { return nil }
