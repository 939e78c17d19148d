package gate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// shortly is how long a test waits to see that something does not happen.
const shortly = 60 * time.Millisecond

func TestMain(m *testing.M) {
	before, files := runtime.NumGoroutine(), openFiles()
	code := m.Run()
	if code == 0 {
		code = leaks(before, files)
	}
	os.Exit(code)
}

// leaks reports goroutines and descriptors that the tests have left behind.
func leaks(goroutines, files int) int {
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > goroutines || openFiles() > files {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			fmt.Fprintf(os.Stderr, "left behind: goroutines %d -> %d, descriptors %d -> %d\n%s\n",
				goroutines, runtime.NumGoroutine(), files, openFiles(), stacks)
			return 1
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

// openFiles counts this process's sockets and pipes, or is 0 where that cannot be told.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	n := 0
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:")) {
			n++
		}
	}
	return n
}

// A rig is a client and a server with a gate between them; the server's side of
// the connection is in the test's hand.
type rig struct {
	t        *testing.T
	gate     *gate.Gate
	network  string
	accepted chan net.Conn
}

func newRig(t *testing.T, c gate.Config) *rig {
	t.Helper()
	r := &rig{t: t, network: "tcp", accepted: make(chan net.Conn, 100)}
	listen := "127.0.0.1:0"
	switch {
	case strings.HasPrefix(c.Listen, "unix:"):
		r.network = "unix"
		listen = filepath.Join(t.TempDir(), "server")
		c.Upstream = "unix:" + listen
	case strings.HasPrefix(c.Listen, "["):
		listen = "[::1]:0"
	case c.Listen == "":
		c.Listen = listen
	}
	l, err := net.Listen(r.network, listen)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.accepted <- conn
		}
	}()
	if r.network == "tcp" {
		c.Upstream = l.Addr().String()
	}
	r.gate, err = gate.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.gate.Close(); err != nil {
			t.Error(err)
		}
		l.Close()
		<-done
		close(r.accepted)
		for c := range r.accepted {
			c.Close()
		}
	})
	return r
}

// connect returns both ends of a new connection through the gate.
func (r *rig) connect() (client, server net.Conn) {
	r.t.Helper()
	client, err := net.Dial(r.network, r.gate.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { client.Close() })
	select {
	case server = <-r.accepted:
	case <-time.After(patience):
		r.t.Fatal("the server has not been dialled")
	}
	r.t.Cleanup(func() { server.Close() })
	client.SetDeadline(time.Now().Add(patience))
	server.SetDeadline(time.Now().Add(patience))
	return client, server
}

// A way is a direction seen from a test: who sends, who receives, and the
// gate's direction between them.
type way struct {
	name     string
	on       func(*gate.Gate) *gate.Direction
	from, to func(client, server net.Conn) net.Conn
}

func theClient(c, _ net.Conn) net.Conn { return c }
func theServer(_, s net.Conn) net.Conn { return s }

var ways = []way{
	{"to server", (*gate.Gate).ToServer, theClient, theServer},
	{"to client", (*gate.Gate).ToClient, theServer, theClient},
}

// bothWays runs a test for each direction on a rig of its own.
func bothWays(t *testing.T, test func(t *testing.T, r *rig, w way)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, newRig(t, gate.Config{Seed: 1}), w) })
	}
}

func (r *rig) set(w way, conditions ...gate.Condition) []*gate.Active {
	r.t.Helper()
	active, err := w.on(r.gate).Set(conditions...)
	if err != nil {
		r.t.Fatal(err)
	}
	return active
}

func send(t *testing.T, c net.Conn, data string) {
	t.Helper()
	if _, err := io.WriteString(c, data); err != nil {
		t.Fatalf("sending %.40q: %v", data, err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || string(got) != want {
		t.Fatalf("got %.60q and error %v, want %.60q", got[:n], err, want)
	}
}

func expectNothing(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(shortly))
	defer c.SetReadDeadline(time.Now().Add(patience))
	var b [1]byte
	if n, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes and error %v, want nothing", n, err)
	}
}

func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Fatalf("got %.60q and error %v, want an orderly end", rest, err)
	}
}

func expectReset(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		t.Fatalf("got %.60q and error %v, want a reset", rest, err)
	}
}

// expectRestored takes all conditions away and checks that the connection, or a
// new one if fresh, carries both directions faithfully.
func (r *rig) expectRestored(client, server net.Conn, fresh bool) {
	r.t.Helper()
	if err := r.gate.Reset(); err != nil {
		r.t.Fatal(err)
	}
	if fresh {
		client, server = r.connect()
	}
	for i := range 3 {
		send(r.t, client, fmt.Sprint("request ", i))
		expect(r.t, server, fmt.Sprint("request ", i))
		send(r.t, server, fmt.Sprint("answer ", i))
		expect(r.t, client, fmt.Sprint("answer ", i))
	}
}

func acted(t *testing.T, a *gate.Active) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestPassesEverything(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		data := make([]byte, 20<<20)
		for i := range data {
			data[i] = byte(i * 7 >> 3)
		}
		go func() {
			from.Write(data)
			from.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(to)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %d bytes and error %v, want the %d bytes that were sent", len(got), err, len(data))
		}
		// Only one half was closed.
		send(t, to, "the other half is open")
		expect(t, from, "the other half is open")
		to.Close()
		expectEnd(t, from)
		from.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := r.gate.WaitForNoConnections(ctx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDelay(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		send(t, from, "before")
		expect(t, to, "before")
		a := r.set(w, gate.Delay{By: 50 * time.Millisecond})[0]
		start := time.Now()
		send(t, from, "late")
		expect(t, to, "late")
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("took %v, want at least 50ms", took)
		}
		acted(t, a)
		send(t, to, "the other way")
		expect(t, from, "the other way")
		r.set(w, gate.Delay{By: time.Hour})
		send(t, from, "held")
		expectNothing(t, to)
		w.on(r.gate).Pass()
		expect(t, to, "held")
		r.set(w, gate.Delay{By: time.Hour})
		send(t, from, "replaced")
		expectNothing(t, to)
		r.set(w, gate.Corrupt{}) // which does not meet what is on its way already
		expect(t, to, "replaced")
		r.expectRestored(client, server, false)
	})
}

// Delayed data arrives at its time, whatever happens to other conditions meanwhile,
// in either direction.
func TestOtherConditionsDoNotReleaseADelay(t *testing.T) {
	const by = 400 * time.Millisecond
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		actives := r.set(w, gate.Delay{By: by}, gate.Corrupt{}, gate.Slice{Size: 1000}, gate.Delay{})
		start := time.Now()
		send(t, from, "\x01\x02\x00")
		for _, change := range []func() error{
			func() error { return actives[0].Update(gate.Delay{By: by}) },
			func() error { actives[2].Remove(); return nil },
			func() error { return actives[3].Update(gate.Delay{}) },
			func() error { _, err := w.on(r.gate).Add(gate.Concatenate{}); return err },
		} {
			time.Sleep(10 * time.Millisecond)
			if err := change(); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, to, "\x00\x00\x01")
		if took := time.Since(start); took < by || took > by+300*time.Millisecond {
			t.Errorf("the data took %v, want %v", took, by)
		}
		// A delay that becomes shorter lets go of what has waited long enough.
		hour := r.set(w, gate.Delay{By: time.Hour})[0]
		start = time.Now()
		send(t, from, "x")
		expectNothing(t, to)
		if err := hour.Update(gate.Delay{By: by}); err != nil {
			t.Fatal(err)
		}
		expect(t, to, "x")
		if took := time.Since(start); took < by || took > by+300*time.Millisecond {
			t.Errorf("the data took %v, want %v", took, by)
		}
		r.expectRestored(client, server, false)
	})
}
