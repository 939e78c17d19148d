package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/address"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/relay"
)

const soon = 10 * time.Second

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", soon, what)
		}
	}
}

// listenTCP accepts connections and keeps them.
func listenTCP(t *testing.T) (net.Listener, chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 1000)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(conns)
				return
			}
			t.Cleanup(func() { c.Close() })
			conns <- c
		}
	}()
	return l, conns
}

func started(t *testing.T, c Config) *Gate {
	t.Helper()
	g, err := Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// Peers that send as much as they can into a long delay fill the gate's memory up
// to its bound, and no more; when the delay ends, everything arrives.
func TestMemoryIsBoundedOverAllConnections(t *testing.T) {
	const connections, each, most = 8, 4 << 20, 1 << 20
	l, conns := listenTCP(t)
	g := started(t, Config{Upstream: l.Addr().String(), MaxHeld: most})
	if _, err := g.ToServer().Delay(time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	var senders sync.WaitGroup
	for range connections {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		senders.Go(func() {
			if _, err := c.Write(make([]byte, each)); err != nil {
				t.Error(err)
			}
			c.(*net.TCPConn).CloseWrite()
		})
	}
	eventually(t, "the gate is full", func() bool { return g.held.Load() >= most })
	time.Sleep(100 * time.Millisecond) // for those that would go on
	// Each lane may have one read under way when the bound is met.
	if held := g.held.Load(); held > most+connections*(readSize+share) {
		t.Errorf("the gate holds %d bytes, the bound is %d", held, most)
	}
	g.ToServer().Pass()
	for range connections {
		if n, err := io.Copy(io.Discard, <-conns); err != nil || n != each {
			t.Errorf("%d bytes arrived, %v; want %d", n, err, each)
		}
	}
	senders.Wait()
	eventually(t, "nothing is held", func() bool { return g.held.Load() == 0 })
}

// Datagrams from ever new addresses cost no more than the bound, and a client
// that goes on sending is not forgotten for them.
func TestUDPClientsAreBounded(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], from)
		}
	}()
	for name, slowly := range map[string]bool{"open": false, "while they wait for the server": true} {
		t.Run(name, func(t *testing.T) {
			const most = 16
			before := runtime.NumGoroutine()
			g := started(t, Config{Listen: "udp:127.0.0.1:0", Upstream: "udp:" + server.LocalAddr().String(), UDPClients: 4 * most})
			ask := func(c net.Conn) error {
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
				c.SetReadDeadline(time.Now().Add(soon))
				_, err := c.Read(make([]byte, 1))
				return err
			}
			loyal, err := net.Dial("udp", g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer loyal.Close()
			if err := ask(loyal); err != nil {
				t.Fatal(err)
			}
			id := g.Connections()[0].ID
			if slowly {
				if _, err := g.ToServer().Add(SlowOpen{By: time.Hour}); err != nil {
					t.Fatal(err)
				}
			}
			count := g.front.(interface{ Clients() int }).Clients
			for i := range 5 * most {
				c, err := net.Dial("udp", g.Addr())
				if err != nil {
					t.Fatal(err)
				}
				c.Write([]byte("x"))
				eventually(t, "the client is known", func() bool { return count() >= min(i+2, most) })
				c.Close()
				if err := ask(loyal); err != nil {
					t.Fatal(err)
				}
				if n := count(); n > most {
					t.Fatalf("%d clients of one address are known, want at most %d", n, most)
				}
			}
			if got := g.Connections()[0].ID; got != id {
				t.Errorf("the client that goes on sending has connection %d, had %d", got, id)
			}
			eventually(t, "the forgotten have ended", func() bool { return runtime.NumGoroutine() <= before+8+6*most })
		})
	}
}

// ownEntries counts the entries of a directory of /proc/self: task has the threads
// of this process, fd its descriptors.
func ownEntries(t *testing.T, name string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// An idle gate costs its listener and nothing else, and gates that share a relay
// share its threads and descriptors.
func TestIdleGatesAreCheap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux shares a relay and lists threads and descriptors under /proc")
	}
	const n = 100
	l, conns := listenTCP(t)
	shared := relay.New()
	t.Cleanup(shared.Close) // after the gates
	threadsBefore, before := ownEntries(t, "task"), ownEntries(t, "fd")
	var gates []*Gate
	for range n {
		gates = append(gates, started(t, Config{Upstream: l.Addr().String(), Relay: shared}))
	}
	if more := ownEntries(t, "fd") - before; more > n+5 {
		t.Errorf("%d idle gates have %d descriptors", n, more)
	}
	for _, g := range gates {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		s := <-conns
		io.WriteString(c, "x")
		if _, err := s.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if more := ownEntries(t, "task") - threadsBefore; more > n/5 {
		t.Errorf("%d gates with a connection each have %d threads more", n, more)
	}
}

// Without descriptors for a relay a connection is carried nevertheless.
func TestConnectionsDoWithoutARelay(t *testing.T) {
	l, conns := listenTCP(t)
	shared := relay.New()
	shared.Close()
	g := started(t, Config{Upstream: l.Addr().String(), Relay: shared})
	c, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "x")
	if _, err := (<-conns).Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, c := range []Config{
		{Upstream: "nohost"}, {Upstream: "127.0.0.1:99999"}, {Upstream: "127.0.0.1:"}, {Upstream: "127.0.0.1:x-y-z"}, {Upstream: "unix:"},
		{Upstream: "udp:nohost", Listen: "udp:127.0.0.1:0"}, {Listen: "nohost", Upstream: "127.0.0.1:1"}, {Listen: "::1:80", Upstream: "127.0.0.1:1"},
	} {
		_, err := New(c)
		if err == nil || !strings.Contains(err.Error(), "write host:port") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	g := started(t, Config{Upstream: "127.0.0.1:1"})
	if !strings.HasPrefix(g.Addr(), "127.0.0.1:") {
		t.Errorf("without an address the gate listens on %s", g.Addr())
	}
}

// A gate whose upstream is itself would open connections without end.
func TestItselfAsUpstream(t *testing.T) {
	port := freePort(t)
	for _, c := range []Config{
		{Listen: "127.0.0.1:" + port, Upstream: "127.0.0.1:" + port}, {Listen: ":" + port, Upstream: "127.0.0.1:" + port},
		{Listen: "[::1]:" + port, Upstream: "[::1]:" + port}, {Listen: "127.0.0.1:" + port, Upstream: "0.0.0.0:" + port},
		{Listen: "unix:" + t.TempDir() + "/x", Upstream: ""},
	} {
		if c.Upstream == "" {
			c.Upstream = c.Listen
		}
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Start(); !errors.Is(err, ErrSelf) {
			t.Errorf("%+v: %v", c, err)
		}
		g.Close()
	}
	// A name is looked up when a client comes.
	var logged safeBuffer
	g := started(t, Config{Listen: "127.0.0.1:" + port, Upstream: "localhost:" + port, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	for range 3 {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(soon))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client got %v", err)
		}
		c.Close()
	}
	eventually(t, "the connections to itself have ended", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.pairs)+len(g.opening) == 0
	})
	if text := logged.String(); strings.Count(text, "it is the gate itself") != 1 {
		t.Errorf("logged: %s", text)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.connection > 20 {
		t.Errorf("%d connections were accepted for 3 clients", g.connection)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// An upstream that cannot be reached is told once for each reason, and its return.
func TestUnreachableUpstreamIsToldOnce(t *testing.T) {
	port := freePort(t)
	var logged safeBuffer
	g := started(t, Config{Upstream: "127.0.0.1:" + port, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err := g.CheckUpstream(context.Background()); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the check says %v", err)
	}
	knock := func() {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(soon))
		c.Read(make([]byte, 1))
	}
	for range 5 {
		knock()
	}
	if text := logged.String(); strings.Count(text, "cannot be reached") != 1 || !strings.Contains(text, "connection refused") {
		t.Errorf("logged: %s", text)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
		}
	}()
	knock()
	l.Close()
	knock()
	eventually(t, "the return and the next failure are told", func() bool {
		text := logged.String()
		return strings.Count(text, "again") == 1 && strings.Count(text, "cannot be reached") == 2
	})
}

// The socket of a killed program is in nobody's way; that of a living one, or a
// file, is not touched.
func TestAbandonedSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := address.Listen(context.Background(), "unix:"+path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listening beside a living program: %v", err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	g := started(t, Config{Listen: "unix:" + path, Upstream: "127.0.0.1:1"})
	if _, err := os.Stat(g.Addr()); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := address.Listen(context.Background(), "unix:"+file); err == nil {
		t.Error("listening in place of a file")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "kept" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// Another upstream takes over at once, on the same port.
func TestSetUpstream(t *testing.T) {
	one, first := listenTCP(t)
	two, second := listenTCP(t)
	g := started(t, Config{Upstream: one.Addr().String()})
	c, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-first
	for _, wrong := range []string{"", "nohost", "udp:127.0.0.1:1"} {
		if err := g.SetUpstream(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
	if err := g.SetUpstream(two.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(soon))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection to the old upstream: %v", err)
	}
	d, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	<-second
}
