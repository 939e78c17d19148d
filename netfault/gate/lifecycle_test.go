package gate_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

func TestAddressFamilies(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0", "unix:" + filepath.Join(t.TempDir(), "gate"), "tcp:127.0.0.1:0"} {
		t.Run(listen, func(t *testing.T) {
			r := newRig(t, gate.Config{Listen: listen})
			client, server := r.connect()
			for _, w := range ways {
				send(t, w.from(client, server), "plain")
				expect(t, w.to(client, server), "plain")
				r.set(w, gate.Corrupt{})
				send(t, w.from(client, server), "plain")
				expect(t, w.to(client, server), "\x00\x00\x00\x00\x00")
				w.on(r.gate).Pass()
			}
			r.expectRestored(client, server, false)
			client.(interface{ CloseWrite() error }).CloseWrite()
			expectEnd(t, server)
			send(t, server, "half open")
			expect(t, client, "half open")
			r.gate.Stop()
			expectEnd(t, client)
			r.expectRestored(nil, nil, true)
		})
	}
}

func TestStopRefusesAndStartKeepsThePort(t *testing.T) {
	r := newRig(t, gate.Config{})
	client, server := r.connect()
	address := r.gate.Addr()
	a := r.set(ways[0], gate.Corrupt{})[0]
	for range 2 { // stopping twice is allowed
		if err := r.gate.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	expectEnd(t, client)
	expectEnd(t, server)
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a stopped gate: %v, want connection refused", err)
	}
	if err := r.gate.StopAccepting(); err == nil {
		t.Error("a stopped gate could stop accepting")
	}
	if err := r.gate.StartAccepting(); err == nil {
		t.Error("a stopped gate could start accepting")
	}
	for range 2 {
		if err := r.gate.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if r.gate.Addr() != address {
		t.Errorf("started again on %s, want %s", r.gate.Addr(), address)
	}
	client, server = r.connect()
	send(t, client, "conditions stay")
	acted(t, a)
	expect(t, server, strings.Repeat("\x00", 15))
	r.expectRestored(client, server, false)
}

func TestStopAccepting(t *testing.T) {
	r := newRig(t, gate.Config{})
	client, server := r.connect()
	if err := r.gate.StopAccepting(); err != nil {
		t.Fatal(err)
	}
	if r.gate.Accepting() || !r.gate.Started() {
		t.Error("want a started gate that does not accept")
	}
	waiting, err := net.Dial("tcp", r.gate.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	waiting.SetDeadline(time.Now().Add(patience))
	send(t, waiting, "early")
	expectNothing(t, waiting)
	if n := len(r.accepted); n != 0 {
		t.Errorf("the server was dialled %d times", n)
	}
	send(t, client, "live")
	expect(t, server, "live")
	for range 2 {
		if err := r.gate.StartAccepting(); err != nil {
			t.Fatal(err)
		}
	}
	late := <-r.accepted
	defer late.Close()
	late.SetDeadline(time.Now().Add(patience))
	expect(t, late, "early")
	r.expectRestored(waiting, late, false)
}

func TestFillBacklog(t *testing.T) {
	r := newRig(t, gate.Config{})
	client, server := r.connect()
	if err := r.gate.FillBacklog(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, err := net.DialTimeout("tcp", r.gate.Addr(), 100*time.Millisecond)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dialling: %v, want a timeout", err)
	}
	send(t, client, "live")
	expect(t, server, "live")
	r.expectRestored(client, server, false)
	r.expectRestored(nil, nil, true)
}

func TestCloseAndResetConnections(t *testing.T) {
	r := newRig(t, gate.Config{})
	type ends struct{ client, server net.Conn }
	var all []ends
	for range 5 {
		c, s := r.connect()
		all = append(all, ends{c, s})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.gate.WaitForConnections(ctx, 5); err != nil {
		t.Fatal(err)
	}
	infos := r.gate.Connections()
	if len(infos) != 5 || infos[0].Client.String() != all[0].client.LocalAddr().String() {
		t.Errorf("connections are %+v", infos)
	}
	if n := r.gate.CloseConnections(2); n != 2 {
		t.Errorf("closed %d, want 2", n)
	}
	expectEnd(t, all[0].client)
	expectEnd(t, all[1].server)
	if n := r.gate.ResetConnections(1); n != 1 {
		t.Errorf("reset %d, want 1", n)
	}
	expectReset(t, all[2].client)
	expectReset(t, all[2].server)
	r.set(ways[0], gate.Delay{By: time.Hour}) // lanes as well as the relay
	if n := r.gate.ResetConnections(1); n != 1 {
		t.Errorf("reset %d, want 1", n)
	}
	expectReset(t, all[3].client)
	if n := r.gate.CloseConnections(-1); n != 1 {
		t.Errorf("closed %d, want the last", n)
	}
	expectEnd(t, all[4].client)
	if n := len(r.gate.Connections()); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	r.expectRestored(nil, nil, true)
}

func TestResetsPassThrough(t *testing.T) {
	for _, conditions := range [][]gate.Condition{nil, {gate.Delay{}}} {
		bothWays(t, func(t *testing.T, r *rig, w way) {
			client, server := r.connect()
			r.set(w, conditions...)
			send(t, client, "x")
			expect(t, server, "x")
			w.from(client, server).(*net.TCPConn).SetLinger(0)
			w.from(client, server).Close()
			expectReset(t, w.to(client, server))
		})
	}
}

func TestUpstreamDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upstream := l.Addr().String()
	l.Close()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: upstream})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	c, err := net.Dial("tcp", g.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	expectEnd(t, c)
}

func TestErrors(t *testing.T) {
	if _, err := gate.New(gate.Config{}); err == nil {
		t.Error("a gate without upstream was made")
	}
	if _, err := gate.New(gate.Config{Listen: "udp:127.0.0.1:0", Upstream: "127.0.0.1:1"}); err == nil {
		t.Error("a gate from datagrams to a stream was made")
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = gate.Start(context.Background(), gate.Config{Listen: taken.Addr().String(), Upstream: "127.0.0.1:1"})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("starting on a taken port: %v", err)
	}
	g, err := gate.New(gate.Config{Listen: "127.0.0.1:0", Upstream: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if err := g.Start(); err == nil {
		t.Error("a closed gate was started")
	}
}

func TestContextEndsGate(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	g, err := gate.Start(ctx, gate.Config{Listen: "127.0.0.1:0", Upstream: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	deadline := time.Now().Add(patience)
	for g.Started() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if g.Started() {
		t.Error("the gate outlives its context")
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

func TestTLSPassesUntouched(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.Repeat("secret", 10000))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // corrupted handshakes are the point
	server.StartTLS()
	defer server.Close()
	g, err := gate.Start(context.Background(), gate.Config{Listen: "127.0.0.1:0", Upstream: server.Listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	client := server.Client()
	defer client.CloseIdleConnections()
	get := func() error {
		r, err := client.Get("https://" + g.Addr())
		if err != nil {
			return err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err == nil && len(b) != 60000 {
			err = fmt.Errorf("got %d bytes", len(b))
		}
		return err
	}
	if err := get(); err != nil {
		t.Error(err)
	}
	if _, err := g.ToClient().Slice(100, 0); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil {
		t.Error("sliced:", err)
	}
	client.CloseIdleConnections()
	if _, err := g.ToClient().Corrupt(); err != nil {
		t.Fatal(err)
	}
	var record tls.RecordHeaderError
	if err := get(); !errors.As(err, &record) {
		t.Errorf("corrupted: %v, want a TLS record error", err)
	}
	g.Reset()
	if err := get(); err != nil {
		t.Error("restored:", err)
	}
}

func TestIdleConnectionsLive(t *testing.T) {
	if os.Getenv("MICROSIM_TEST_LONG") == "" {
		t.Skip("waits for longer than a minute; run with MICROSIM_TEST_LONG=1")
	}
	r := newRig(t, gate.Config{})
	c1, s1 := r.connect()
	r.set(ways[0], gate.Delay{By: time.Millisecond})
	time.Sleep(65 * time.Second)
	for _, c := range []net.Conn{c1, s1} {
		c.SetDeadline(time.Now().Add(patience))
	}
	r.expectRestored(c1, s1, false)
}
