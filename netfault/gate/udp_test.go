package gate_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// echo answers each datagram with "re:" and itself.
func echo(t *testing.T, network, address string) string {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte("re:"), buf[:n]...), from)
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return c.LocalAddr().String()
}

func udpGate(t *testing.T, c gate.Config) *gate.Gate {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "udp:127.0.0.1:0"
		c.Upstream = "udp:" + echo(t, "udp", "127.0.0.1:0")
	}
	g, err := gate.Start(context.Background(), c)
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

func udpClient(t *testing.T, g *gate.Gate) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// ask sends a datagram and returns the answer.
func ask(t *testing.T, c net.Conn, question string) string {
	t.Helper()
	send(t, c, question)
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("asking %.20q: %v", question, err)
	}
	return string(buf[:n])
}

func TestUDPManyClients(t *testing.T) {
	for _, a := range []string{"127.0.0.1:0", "[::1]:0"} {
		g := udpGate(t, gate.Config{Listen: "udp:" + a, Upstream: "udp:" + echo(t, "udp", a)})
		for i := range 20 {
			c := udpClient(t, g)
			for range 3 {
				q := fmt.Sprintf("client %d", i)
				if got := ask(t, c, q); got != "re:"+q {
					t.Errorf("got %q for %q", got, q)
				}
			}
			big := strings.Repeat("x", 20000)
			if got := ask(t, c, big); got != "re:"+big {
				t.Errorf("got %d bytes for a large datagram", len(got))
			}
		}
		if n := len(g.Connections()); n != 20 {
			t.Errorf("%d connections, want 20", n)
		}
		if n := g.CloseConnections(5); n != 5 {
			t.Errorf("closed %d", n)
		}
		if n := len(g.Connections()); n != 15 {
			t.Errorf("%d connections, want 15", n)
		}
	}
}

func TestUDPConditions(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			g := udpGate(t, gate.Config{})
			c := udpClient(t, g)
			d := w.on(g)
			restored := func() {
				t.Helper()
				if err := g.Reset(); err != nil {
					t.Fatal(err)
				}
				if got := ask(t, c, "again"); got != "re:again" {
					t.Errorf("restored, got %q", got)
				}
			}
			set := func(c gate.Condition) *gate.Active {
				t.Helper()
				a, err := d.Set(c)
				if err != nil {
					t.Fatal(err)
				}
				return a[0]
			}
			restored()
			start := time.Now()
			set(gate.Delay{By: 30 * time.Millisecond, Jitter: time.Millisecond})
			if got := ask(t, c, "slow"); got != "re:slow" || time.Since(start) < 29*time.Millisecond {
				t.Errorf("got %q after %v", got, time.Since(start))
			}
			restored()
			a := set(gate.Drop{})
			send(t, c, "lost")
			acted(t, a)
			d.Pass()
			expectNothing(t, c)
			restored()
			a = set(gate.StopReading{})
			send(t, c, "kept")
			expectNothing(t, c)
			acted(t, a)
			d.Pass()
			expect(t, c, "re:kept")
			restored()
			set(gate.Corrupt{})
			if got := ask(t, c, "x"); got == "re:x" {
				t.Errorf("got %q, want it corrupted", got)
			}
			restored()
			set(gate.Substitute{Pattern: "cat", With: "dog"})
			if got := ask(t, c, "cat"); got != "re:dog" {
				t.Errorf("got %q", got)
			}
			restored()
			set(gate.Bandwidth{Rate: 100, Burst: 1})
			start = time.Now()
			if got := ask(t, c, "12345"); got != "re:12345" || time.Since(start) < 35*time.Millisecond {
				t.Errorf("got %q after %v", got, time.Since(start))
			}
			restored()
			for _, closing := range []gate.Condition{gate.CloseOnData{}, gate.ByteLimit{Bytes: 1}, gate.ByteLimit{PerConnection: true}, gate.BlackHole{After: time.Millisecond}} {
				a = set(closing)
				send(t, c, "closed")
				acted(t, a)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if err := g.WaitForNoConnections(ctx); err != nil {
					t.Errorf("%s: %v", closing.Kind(), err)
				}
				cancel()
				g.Reset()
				drainUDP(c)
				restored()
			}
			for _, stream := range []gate.Condition{gate.Slice{Size: 1}, gate.Concatenate{Size: 1}, gate.ResetPeer{}, gate.SlowClose{}, gate.CloseOnData{Reset: true}} {
				if _, err := d.Set(stream); !errors.Is(err, gate.ErrDatagrams) {
					t.Errorf("%s on UDP: %v", stream.Kind(), err)
				}
			}
		})
	}
}

// drainUDP reads what is there.
func drainUDP(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	defer c.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 100); ; {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// TestUDPReorder sends datagrams at once: those that overtake come first, each group in
// its order, and none is lost.
func TestUDPReorder(t *testing.T) {
	const all = 40
	g := udpGate(t, gate.Config{Seed: 3})
	a, err := g.ToClient().Add(gate.Reorder{By: 300 * time.Millisecond, Share: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	c := udpClient(t, g)
	for i := range all {
		send(t, c, fmt.Sprintf("%02d", i))
	}
	var came []string
	for range all {
		buf := make([]byte, 10)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("after %d datagrams: %v", len(came), err)
		}
		came = append(came, string(buf[:n]))
	}
	turn := 1
	for turn < all && came[turn] > came[turn-1] {
		turn++
	}
	if !slices.IsSorted(came[turn:]) || turn < all/4 || turn > all*3/4 {
		t.Errorf("the datagrams came as %v", came)
	}
	if n := a.Hits(); n != int64(turn) {
		t.Errorf("the condition tells of %d datagrams that overtook, and %d did", n, turn)
	}
	if _, err := g.ToClient().Set(gate.Reorder{Share: 0.5}); err == nil || !strings.Contains(err.Error(), "longer than the distance") {
		t.Errorf("a delay of 0 is refused by %v", err)
	}
}

func TestStreamsAreNotReordered(t *testing.T) {
	g, err := gate.New(gate.Config{Upstream: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.ToClient().Set(gate.Reorder{By: time.Second, Share: 0.5}); !errors.Is(err, gate.ErrStream) {
		t.Errorf("a TCP gate refuses it by %v", err)
	}
}

func TestUDPDropShare(t *testing.T) {
	g := udpGate(t, gate.Config{Seed: 3})
	a, err := g.ToServer().Add(gate.Drop{Share: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	c := udpClient(t, g)
	answered := 0
	for range 200 {
		send(t, c, "x")
		c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if _, err := c.Read(make([]byte, 10)); err == nil {
			answered++
		}
	}
	if answered < 60 || answered > 140 {
		t.Errorf("%d of 200 came through a drop of half", answered)
	}
	if got := int(a.Hits()); got != 200-answered {
		t.Errorf("counted %d drops, want %d", got, 200-answered)
	}
}

func TestUDPLifecycle(t *testing.T) {
	g := udpGate(t, gate.Config{})
	c, late := udpClient(t, g), udpClient(t, g)
	ask(t, c, "hello")
	if err := g.StopAccepting(); err != nil {
		t.Fatal(err)
	}
	send(t, late, "not known yet")
	expectNothing(t, late)
	if got := ask(t, c, "known"); got != "re:known" {
		t.Errorf("got %q", got)
	}
	if err := g.StartAccepting(); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, late, "now"); got != "re:now" {
		t.Errorf("got %q", got)
	}
	address := g.Addr()
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(g.Connections()); n != 0 {
		t.Errorf("%d connections of a stopped gate", n)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	if g.Addr() != address {
		t.Errorf("started again on %s, want %s", g.Addr(), address)
	}
	if got := ask(t, udpClient(t, g), "back"); got != "re:back" {
		t.Errorf("got %q", got)
	}
}

func TestUDPForgetsIdleClients(t *testing.T) {
	g := udpGate(t, gate.Config{
		Listen: "udp:127.0.0.1:0", Upstream: "udp:" + echo(t, "udp", "127.0.0.1:0"), UDPIdle: 30 * time.Millisecond,
	})
	c := udpClient(t, g)
	ask(t, c, "x")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.WaitForNoConnections(ctx); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, c, "back"); got != "re:back" {
		t.Errorf("got %q", got)
	}
}

func TestUDPServerComesBack(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := l.LocalAddr().String()
	l.Close()
	g := udpGate(t, gate.Config{Listen: "udp:127.0.0.1:0", Upstream: "udp:" + down})
	c := udpClient(t, g)
	for range 3 {
		send(t, c, "nobody is there")
	}
	expectNothing(t, c)
	back := echo(t, "udp", down)
	if got := ask(t, c, back); got != "re:"+back {
		t.Errorf("got %q", got)
	}
}
