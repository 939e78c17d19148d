package supervise

import (
	"errors"
	"sync"
)

// errOutside says why an instance cannot be stopped.
var errOutside = errors.New("its server was not started here") //nolint:gochecknoglobals // a sentinel

// An outsideInstance is a server that this program has not started. To end the
// instance does not end the server.
type outsideInstance struct {
	address string
	left    chan struct{}
	leave   sync.Once
}

// Attach returns an instance for a server at host:port that this program has not
// started. It has no control target. It ends only by Terminate, which the server
// does not notice. It refuses Kill, Pause and Resume.
func Attach(address string) Instance {
	return &outsideInstance{address: address, left: make(chan struct{})}
}

func (o *outsideInstance) Addr() string          { return o.address }
func (o *outsideInstance) Control() Target       { return Target{} }
func (o *outsideInstance) PID() int              { return 0 }
func (o *outsideInstance) Done() <-chan struct{} { return o.left }
func (o *outsideInstance) Err() error            { return nil }
func (o *outsideInstance) Terminate()            { o.leave.Do(func() { close(o.left) }) }
func (o *outsideInstance) Kill() error           { return errOutside }
func (o *outsideInstance) Pause() error          { return errOutside }
func (o *outsideInstance) Resume() error         { return errOutside }
