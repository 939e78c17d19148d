package gate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// heap is what the program holds, without garbage.
func heap() int64 {
	for range 3 { // pools keep what they have for two collections
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// sockets counts those of the process; -1 if that cannot be told.
func sockets() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	n := 0
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

// A flood of datagrams from ever new addresses, with a server that answers none,
// opens no more sockets and holds no more memory than is stated.
func TestAFloodOfSourcesIsBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 to send from, and counts descriptors")
	}
	const most, sources, perClient = 64, 3000, 64 << 10
	server, err := net.ListenPacket("udp", "127.0.0.1:0") // it reads nothing
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	before, open := heap(), sockets()
	g := started(t, Config{Listen: "udp:127.0.0.1:0", Upstream: "udp:" + server.LocalAddr().String(), UDPClients: most, MaxHeld: 1 << 20})
	if _, err := g.ToServer().Delay(time.Hour, 0); err != nil { // nothing that comes may leave
		t.Fatal(err)
	}
	to := g.front.Address().(*net.UDPAddr)
	payload := make([]byte, 8<<10)
	worst := 0
	for i := range sources {
		from := net.IPv4(127, 1, byte(i>>8), byte(i))
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: from}, to)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := c.Write(payload); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Fatal(err)
			}
		}
		c.Close()
		if i%500 == 499 {
			worst = max(worst, sockets()-open)
		}
	}
	eventually(t, "the flood was read", func() bool { return g.front.(interface{ Clients() int }).Clients() == most })
	// One for listening, one for each client, and those of clients that are being
	// forgotten or dialled at this moment.
	if worst > 2*most+1 {
		t.Errorf("%d sockets were open at once for %d clients", worst, most)
	}
	grown := heap() - before
	if bound := g.maxHeld + most*perClient; grown > bound {
		t.Errorf("the program has grown by %d bytes, the bound is %d", grown, bound)
	}
	t.Logf("%d sources: %d sockets at most, %d KiB more memory, %d KiB held", sources, worst, grown>>10, g.held.Load()>>10)
}

// Clients beyond the bound wait in the backlog and are served when others have left,
// and that is said once. A gate that is full can be stopped.
func TestConnectionsAreBounded(t *testing.T) {
	const most = 3
	l, conns := listenTCP(t)
	var said bytes.Buffer
	g := started(t, Config{Upstream: l.Addr().String(), Connections: most, Log: slog.New(slog.NewTextHandler(&said, nil))})
	dial := func() net.Conn {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	var servers []net.Conn
	for range most {
		dial()
		servers = append(servers, <-conns)
	}
	late := dial()
	if _, err := late.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-conns:
		t.Fatal("more clients are served than may be")
	case <-time.After(100 * time.Millisecond):
	}
	if n := len(g.Connections()); n != most {
		t.Errorf("%d connections, want %d", n, most)
	}
	// An end in good order takes both sides; a reset is passed on at once.
	if err := servers[0].(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	servers[0].Close()
	server := <-conns
	got := make([]byte, 4)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "late" {
		t.Errorf("the client that waited sent %q, %v", got, err)
	}
	dial()
	if err := g.StopAccepting(); err != nil {
		t.Error(err)
	}
	if err := g.StartAccepting(); err != nil {
		t.Error(err)
	}
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(said.String(), "others wait"); n < 1 || n > 2 { // once each time it accepts
		t.Errorf("it was said %d times that clients wait: %s", n, said.String())
	}
}

// A client that does not read stops the server, and the gate holds no more for it.
func TestASlowReaderHoldsNoMemory(t *testing.T) {
	for _, delayed := range []bool{false, true} {
		t.Run(fmt.Sprintf("delayed %t", delayed), func(t *testing.T) {
			const most = 8 << 20 // of what the kernel and the gate may take
			l, conns := listenTCP(t)
			g := started(t, Config{Upstream: l.Addr().String(), MaxInFlight: 1 << 20})
			if delayed {
				if _, err := g.ToClient().Delay(time.Millisecond, 0); err != nil {
					t.Fatal(err)
				}
			}
			before := heap()
			c, err := net.Dial("tcp", g.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			server := <-conns
			sent, block := 0, make([]byte, 64<<10)
			for sent < 64<<20 {
				if err := server.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				n, err := server.Write(block)
				sent += n
				if errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if sent >= 64<<20 {
				t.Errorf("the server could send %d bytes to a client that reads nothing", sent)
			}
			if grown := heap() - before; grown > most {
				t.Errorf("the program has grown by %d bytes", grown)
			} else {
				t.Logf("%d KiB sent, %d KiB more memory, %d KiB held", sent>>10, grown>>10, g.held.Load()>>10)
			}
		})
	}
}
