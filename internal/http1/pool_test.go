package http1

import (
	"errors"
	"io"
	"net"
	"strconv"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

func quiet(t *testing.T) Endpoint {
	return serving(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
}

func take(t *testing.T, p *Pool, to Endpoint) *Conn {
	t.Helper()
	c, err := p.Get(t.Context(), to, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnectionsThatAreSeldomUsedAreClosed(t *testing.T) {
	p := NewPool(net.Dialer{}, nil)
	defer p.Close()
	to, other := quiet(t), quiet(t)
	first, second, elsewhere := take(t, p, to), take(t, p, to), take(t, p, other)
	for _, c := range []*Conn{first, second, elsewhere} {
		p.Put(c)
	}
	first.idleSince, elsewhere.idleSince = time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)
	p.swept = time.Now().Add(-time.Hour)
	third, err := p.dial(t.Context(), to, time.Now(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	p.Put(third)
	if list := p.idle[to.Addr]; len(p.idle) != 1 || len(list) != 2 || len(p.all.open) != 2 || list[0] != second || list[1] != third {
		t.Errorf("%d addresses, %d connections and %d in all are left", len(p.idle), len(list), len(p.all.open))
	}
}

func TestIdleConnectionsAreUsedLastInFirstOut(t *testing.T) {
	p := NewPool(net.Dialer{}, nil)
	defer p.Close()
	to := quiet(t)
	first, second := take(t, p, to), take(t, p, to)
	p.Put(first)
	p.Put(second)
	if a, b, c := take(t, p, to), take(t, p, to), take(t, p, to); a != second || b != first || c == first || c == second {
		t.Error("connections are taken in another order")
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	p := NewPool(net.Dialer{}, nil)
	defer p.Close()
	to := quiet(t)
	var all []*Conn
	for range MaxIdle + 3 {
		all = append(all, take(t, p, to))
	}
	for _, c := range all {
		p.Put(c)
	}
	if len(p.idle[to.Addr]) != MaxIdle || len(p.all.open) != MaxIdle {
		t.Errorf("%d are idle, %d open", len(p.idle[to.Addr]), len(p.all.open))
	}
}

func TestKeepOnly(t *testing.T) {
	p := NewPool(net.Dialer{}, nil)
	defer p.Close()
	p.KeepOnly(func() map[string]bool { t.Error("asked without connections"); return nil })
	a, b := quiet(t), quiet(t)
	idleA, busyB, idleB := take(t, p, a), take(t, p, b), take(t, p, b)
	p.Put(idleA)
	p.Put(idleB)
	p.KeepOnly(func() map[string]bool { return map[string]bool{a.Addr: true} })
	if len(p.all.open) != 2 || len(p.idle[a.Addr]) != 1 || len(p.idle[b.Addr]) != 0 {
		t.Errorf("%d are open, %d and %d idle", len(p.all.open), len(p.idle[a.Addr]), len(p.idle[b.Addr]))
	}
	p.Put(busyB)
	if len(p.all.open) != 1 {
		t.Error("a busy connection to an address that was left is kept")
	}
	p.KeepOnly(func() map[string]bool { return map[string]bool{a.Addr: true, b.Addr: true} })
	p.Put(take(t, p, b))
	if len(p.idle[b.Addr]) != 1 {
		t.Error("a connection to an address that came back is not kept")
	}
}

func TestCloseEndsWhatIsInFlight(t *testing.T) {
	p := NewPool(net.Dialer{}, nil)
	to := quiet(t)
	c := take(t, p, to)
	idle := take(t, p, to)
	p.Put(idle)
	done := make(chan error, 1)
	go func() { done <- c.Exchange([]byte(get), nil) }()
	p.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) && err == nil {
		t.Errorf("in flight: %v", err)
	}
	p.Put(c) // closes it
	if _, err := p.Get(t.Context(), to, time.Time{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := idle.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("an idle connection: %v", err)
	}
}
