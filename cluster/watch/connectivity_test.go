package watch_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// TestServicesAreAwaited reaches one address at once, and another only after it was asked
// in vain.
func TestServicesAreAwaited(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	later, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := later.Addr().String()
	later.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached := make(chan error, 1)
	go func() { reached <- watch.AwaitReached(ctx, []string{first.Addr().String(), address}) }()
	// The first is connected to in each round before the later one is asked for.
	for range 2 {
		conn, err := first.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	select {
	case err := <-reached:
		t.Fatalf("it has not waited for what is not there: %v", err)
	default:
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Skipf("somebody else has taken the port: %v", err)
	}
	defer again.Close()
	select {
	case err := <-reached:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not notice that all are there")
	}
	cancel()
	if err := watch.AwaitReached(ctx, []string{address}); !errors.Is(err, context.Canceled) {
		t.Errorf("without time it says %v", err)
	}
}
