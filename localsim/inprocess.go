package localsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// errOwnProcess says why faults on the process need isolation.
var errOwnProcess = errors.New("the service has no process of its own; start the system with --isolation process")

// A serverInstance is served by this process.
type serverInstance struct {
	address string
	handler http.Handler
	// controlBase is where the handler is served to others.
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
	if c, ok := server.(interface{ ControlHandler() http.Handler }); ok {
		in.handler = c.ControlHandler()
	}
	endControl := func() {}
	if in.handler != nil && d.queues(r) {
		if in.controlBase, endControl, err = serveControl(in.handler); err != nil {
			cancel()
			return nil, errors.Join(err, ln.Close())
		}
	}
	go func() {
		defer close(in.ended)
		defer cancel()
		in.failure = server.Serve(ctx, ln)
		_ = ln.Close() // a server that failed early may have left it open
		endControl()
	}()
	return in, nil
}

// queues reports whether requests may have to wait for a worker of the replica.
func (d *Deployment) queues(r *replica) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.services[r.service].Workers > 0
}

// serveControl serves a handler on an address of its own until end is called,
// which waits for that.
func serveControl(handler http.Handler) (base string, end func(), err error) {
	ln, err := listen("127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serving metrics past the queue: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: adminTimeout}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(ln) }) // ends by Close only
	return "http://" + ln.Addr().String(), func() {
		_ = server.Close() // what it was answering is not waited for
		serving.Wait()
	}, nil
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

func (s *serverInstance) addr() string { return s.address }
func (s *serverInstance) control() target {
	return target{cmp.Or(s.controlBase, "http://"+s.address), s.handler}
}
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
