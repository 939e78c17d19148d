package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ErrOwnProcess says why faults on the process need isolation.
var ErrOwnProcess = errors.New("the service has no process of its own; start the system with --isolation process")

// A serverInstance is served by this process.
type serverInstance struct {
	address string
	handler http.Handler
	// controlBase is where the handler is reached from other programs.
	controlBase string
	cancel      context.CancelFunc
	ended       chan struct{}
	failure     error
}

// A Server serves one replica in this process.
type Server interface {
	// Serve answers on the listener until ctx ends, and returns when nothing of
	// the server runs any more. It closes the listener. If the server has a
	// method ControlHandler() http.Handler, control requests go there, past its
	// queue.
	Serve(ctx context.Context, ln net.Listener) error
}

// Serve begins to serve a replica on the listener, and takes it over. With
// controlBeside, control requests have a listener of their own, so that they
// get through while all workers are busy.
func Serve(server Server, ln net.Listener, controlBeside bool) (Instance, error) {
	// The instance outlives the call that starts it; Terminate ends it.
	ctx, cancel := context.WithCancel(context.Background())
	in := &serverInstance{address: ln.Addr().String(), cancel: cancel, ended: make(chan struct{})}
	in.controlBase = "http://" + in.address
	stopControl := func() {}
	if c, ok := server.(interface{ ControlHandler() http.Handler }); ok {
		in.handler = c.ControlHandler()
		if controlBeside {
			var err error
			if in.controlBase, stopControl, err = serveBeside(in.handler); err != nil {
				cancel()
				return nil, errors.Join(err, ln.Close())
			}
		}
	}
	go func() {
		defer close(in.ended)
		defer stopControl()
		defer cancel()
		in.failure = server.Serve(ctx, ln)
		ln.Close() // a server that failed early may have left it open
	}()
	return in, nil
}

// serveBeside serves the control handler on a listener of its own, which works
// while all workers of the service are busy. stop waits until the server has
// ended.
func serveBeside(handler http.Handler) (base string, stop func(), err error) {
	ln, err := Listen("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ln) // ends by Close
	}()
	return "http://" + ln.Addr().String(), func() {
		_ = server.Close()
		<-ended
	}, nil
}

// Listen opens a TCP port of a replica or of the control plane.
func Listen(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w; choose another --port-base, or leave it out for free ports", err)
	}
	return ln, nil
}

func (s *serverInstance) Addr() string          { return s.address }
func (s *serverInstance) Control() Target       { return Target{s.controlBase, s.handler} }
func (s *serverInstance) PID() int              { return 0 }
func (s *serverInstance) Done() <-chan struct{} { return s.ended }
func (s *serverInstance) Err() error            { return s.failure }
func (s *serverInstance) Terminate()            { s.cancel() }
func (s *serverInstance) Kill() error           { return ErrOwnProcess }
func (s *serverInstance) Pause() error          { return ErrOwnProcess }
func (s *serverInstance) Resume() error         { return ErrOwnProcess }
