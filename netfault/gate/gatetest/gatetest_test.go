package gatetest

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

func TestSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), Patience)
		defer cancel()
		calls := 0
		err := steady(ctx, func(context.Context) error {
			calls++
			if calls < 4 || calls == 6 {
				return errors.New("broken connection")
			}
			return nil
		})
		if err != nil || calls != 9 {
			t.Errorf("after %d calls: %v; want success after 9", calls, err)
		}
		broken := errors.New("broken for good")
		start := time.Now()
		err = steady(ctx, func(context.Context) error { return broken })
		if !errors.Is(err, broken) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > Patience {
			t.Errorf("after %v: %v; want the last error, in time", time.Since(start), err)
		}
	})
}

// recorder is a testing.TB that takes failures for itself.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Errorf(format string, _ ...any) { r.failures = append(r.failures, format) }
func (r *recorder) Fatalf(format string, _ ...any) {
	r.failures = append(r.failures, format)
	panic(r)
}
func (r *recorder) Helper() {}

func TestRestore(t *testing.T) {
	g := Start(t, gate.Config{Upstream: peer.Echo(t)})
	works := func(ctx context.Context) error {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", g.Addr())
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.WriteString(c, "ping"); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 4))
		return err
	}
	a := Set(t, g.ToServer(), gate.CloseOnData{})[0]
	if works(t.Context()) == nil {
		t.Error("works through a closing gate")
	}
	Acted(t, a)
	g.Stop()
	Restore(t, g, works)

	problem := Set(t, g.ToServer(), gate.Concatenate{Size: 100, GiveUp: time.Millisecond})[0]
	if err := works(t.Context()); err != nil {
		t.Error(err)
	}
	if problem.Problem() == nil {
		t.Error("no problem")
	}
	r := &recorder{TB: t}
	Restore(r, g, works)
	if len(r.failures) != 1 {
		t.Errorf("a concatenation that gave up gave failures %q, want one", r.failures)
	}
}

func TestNonsenseFailsTheTest(t *testing.T) {
	g := Start(t, gate.Config{Upstream: "127.0.0.1:1"})
	r := &recorder{TB: t}
	defer func() {
		if recover() == nil || len(r.failures) != 1 || !strings.Contains(r.failures[0], "gatetest") {
			t.Errorf("failures are %q, want one", r.failures)
		}
	}()
	Set(r, g.ToServer(), gate.Delay{By: -1})
}
