// Package gatetest helps tests that put a gate between a client and a server: a
// gate that ends with its test, conditions whose errors fail it, and the
// check that everything works again once the network is restored.
package gatetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// Patience bounds how long the helpers wait.
const Patience = 30 * time.Second

// Start starts a gate that is closed at the end of the test. Where Listen is
// empty it listens on a free port of 127.0.0.1. A condition that could not be
// carried out as ordered (see [gate.Active.Problem]) fails the test.
func Start(t testing.TB, c gate.Config) *gate.Gate {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	g, err := gate.Start(context.Background(), c)
	if err != nil {
		t.Fatalf("gatetest: %v", err)
	}
	t.Cleanup(func() {
		problems(t, g)
		if err := g.Close(); err != nil {
			t.Errorf("gatetest: %v", err)
		}
	})
	return g
}

func problems(t testing.TB, g *gate.Gate) {
	t.Helper()
	for _, d := range []*gate.Direction{g.ToServer(), g.ToClient()} {
		for _, a := range d.Active() {
			if err := a.Problem(); err != nil {
				t.Errorf("gatetest: %v", err)
			}
		}
	}
}

// Set replaces the conditions of a direction and fails the test if they make no sense.
func Set(t testing.TB, d *gate.Direction, conditions ...gate.Condition) []*gate.Active {
	t.Helper()
	actives, err := d.Set(conditions...)
	if err != nil {
		t.Fatalf("gatetest: %v", err)
	}
	return actives
}

// Acted waits until a condition has acted on traffic, and fails the test if it does not.
func Acted(t testing.TB, a *gate.Active) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := a.Wait(ctx); err != nil {
		t.Fatalf("gatetest: %v", err)
	}
}

// Restore brings the gate back to normal and fails the test unless works
// succeeds within Patience. A client may have broken connections in its pool,
// so works is tried, after a growing pause, until it has succeeded three times
// in a row: that the system recovers is what matters, and that it stays so.
func Restore(t testing.TB, g *gate.Gate, works func(context.Context) error) {
	t.Helper()
	problems(t, g)
	if err := g.Reset(); err != nil {
		t.Fatalf("gatetest: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := steady(ctx, works); err != nil {
		t.Fatalf("gatetest: gate %q is restored, but what uses it does not recover within %v: %v", g, Patience, err)
	}
}

// steady returns nil once works has succeeded three times in a row.
func steady(ctx context.Context, works func(context.Context) error) error {
	var last error
	pause := time.Millisecond
	for good := 0; good < 3; {
		if err := works(ctx); err != nil {
			good, last = 0, err
			select {
			case <-time.After(pause):
				pause = min(2*pause, 500*time.Millisecond)
			case <-ctx.Done():
				return errors.Join(last, ctx.Err())
			}
			continue
		}
		good++
	}
	return nil
}
