// Package forwardtest is a receiver of Fluentd's forward protocol for tests, which reads
// events by the types of Fluent's own library.
package forwardtest

import (
	"net"
	"sync"
	"testing"

	"github.com/fluent/fluent-logger-golang/fluent"
	"github.com/tinylib/msgp/msgp"
)

// A Receiver keeps the events that it receives.
type Receiver struct {
	// Answer writes what follows on the n-th event, from 1, of all connections; it
	// ends the connection by an error. Nil acknowledges each.
	Answer func(conn net.Conn, n int, chunk string) error
	// Greet writes what comes first; it may be nil.
	Greet func(conn net.Conn)

	// Network and Place are where it listens.
	Network, Place string

	mu     sync.Mutex
	events []fluent.MessageExt
}

// Listen starts a receiver, which ends with the test.
func Listen(t testing.TB, r *Receiver, network, place string) *Receiver {
	t.Helper()
	ln, err := net.Listen(network, place)
	if err != nil {
		t.Fatal(err)
	}
	r.Network, r.Place = network, ln.Addr().String()
	var open sync.WaitGroup
	done := make(chan struct{})
	open.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() { r.serve(conn, done) })
		}
	})
	t.Cleanup(func() {
		close(done)
		ln.Close()
		open.Wait()
	})
	return r
}

func (r *Receiver) serve(conn net.Conn, done <-chan struct{}) {
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ended:
		case <-done:
		}
		conn.Close()
	}()
	if r.Greet != nil {
		r.Greet(conn)
	}
	reader := msgp.NewReader(conn)
	for {
		var e fluent.MessageExt
		if e.DecodeMsg(reader) != nil {
			return
		}
		r.mu.Lock()
		r.events = append(r.events, e)
		n := len(r.events)
		r.mu.Unlock()
		answer := r.Answer
		if answer == nil {
			answer = Acknowledge
		}
		if answer(conn, n, e.Option["chunk"]) != nil {
			return
		}
	}
}

// Acknowledge acknowledges an event.
func Acknowledge(conn net.Conn, _ int, chunk string) error {
	return msgp.Encode(conn, &fluent.AckResp{Ack: chunk})
}

// Events are those that have been received, those that came again included.
func (r *Receiver) Events() []fluent.MessageExt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]fluent.MessageExt(nil), r.events...)
}
