package localsim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// errOwnProcess says why faults on the process need isolation.
var errOwnProcess = errors.New("the service has no process of its own; start the system with --isolation process")

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

// startServer begins to serve the replica on its listener, or on its address if
// the listener has been used up by an instance before.
func (d *Deployment) startServer(_ context.Context, r *replica) (instance, error) {
	ln, err := r.takeListener()
	if err != nil {
		return nil, err
	}
	server, err := d.config.NewServer(d.spec(r, ln.Addr().String()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making its server: %w", err), ln.Close())
	}
	// The instance outlives the order to start it; terminate ends it.
	ctx, cancel := context.WithCancel(context.Background())
	in := &serverInstance{address: ln.Addr().String(), cancel: cancel, ended: make(chan struct{})}
	in.controlBase = "http://" + in.address
	stopControl := func() {}
	if c, ok := server.(interface{ ControlHandler() http.Handler }); ok {
		in.handler = c.ControlHandler()
		if s := d.service(r.service); s.Workers > 0 && s.Shed == nil {
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

// serveBeside serves what is a service's own on a listener of its own, for the
// time that all its workers are busy. stop waits until it has ended.
func serveBeside(handler http.Handler) (base string, stop func(), err error) {
	ln, err := listen("127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ln) // it ends when it is closed
	}()
	return "http://" + ln.Addr().String(), func() {
		_ = server.Close()
		<-ended
	}, nil
}

// service returns a service as it is wanted now.
func (d *Deployment) service(name string) topology.Service {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services[name]
}

func (r *replica) takeListener() (net.Listener, error) {
	r.mu.Lock()
	ln, address := r.listener, r.address
	r.listener = nil
	r.mu.Unlock()
	if ln != nil {
		return ln, nil
	}
	return listen(address)
}

func listen(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening: %w; choose another --port-base, or leave it out for free ports", err)
	}
	return ln, nil
}

func (s *serverInstance) addr() string          { return s.address }
func (s *serverInstance) control() target       { return target{s.controlBase, s.handler} }
func (s *serverInstance) pid() int              { return 0 }
func (s *serverInstance) done() <-chan struct{} { return s.ended }
func (s *serverInstance) err() error            { return s.failure }
func (s *serverInstance) terminate()            { s.cancel() }
func (s *serverInstance) kill() error           { return errOwnProcess }
func (s *serverInstance) pause() error          { return errOwnProcess }
func (s *serverInstance) resume() error         { return errOwnProcess }

// newSharedTransport carries the calls between all replicas in this process.
// Connections are kept so that a call costs no handshake, and bounded in number
// and age so that a large system does not run out of descriptors.
func newSharedTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        4096,
		MaxIdleConnsPerHost: 128,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
}
