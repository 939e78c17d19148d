package gate_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

func TestDelayIsPipelinedAndKeepsOrder(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		r.set(w, gate.Delay{By: 100 * time.Millisecond, Jitter: 50 * time.Millisecond})
		var want strings.Builder
		start := time.Now()
		for i := range 100 {
			part := strings.Repeat(string(rune('a'+i%26)), i+1)
			send(t, from, part)
			want.WriteString(part)
			time.Sleep(time.Millisecond)
		}
		expect(t, to, want.String())
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("100 chunks took %v: they were delayed one after the other", took)
		}
		r.expectRestored(client, server, false)
	})
}

func TestSerialDelay(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		r.set(w, gate.Delay{By: 40 * time.Millisecond, Serial: true})
		data := strings.Repeat("x", 3*4096)
		start := time.Now()
		send(t, from, data)
		expect(t, to, data)
		if took := time.Since(start); took < 120*time.Millisecond {
			t.Errorf("three chunks took %v, want at least three delays of 40ms", took)
		}
		r.expectRestored(client, server, false)
	})
}

func TestStopReadingKeepsData(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		a := r.set(w, gate.StopReading{})[0]
		acted(t, a)
		send(t, from, "kept")
		expectNothing(t, to)
		send(t, to, "the other way")
		expect(t, from, "the other way")
		w.on(r.gate).Pass()
		expect(t, to, "kept")
		r.expectRestored(client, server, false)
	})
}

func TestDropLosesData(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		a := r.set(w, gate.Drop{})[0]
		send(t, from, "lost")
		acted(t, a)
		if a.Bytes() != 4 || a.Hits() != 1 || a.Connections() != 1 {
			t.Errorf("acted on %d bytes, %d chunks, %d connections; want 4, 1, 1", a.Bytes(), a.Hits(), a.Connections())
		}
		w.on(r.gate).Pass()
		expectNothing(t, to)
		r.expectRestored(client, server, false)
	})
}

func TestCloseOnData(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		quietClient, quietServer := r.connect()
		a := r.set(w, gate.CloseOnData{})[0]
		send(t, w.to(client, server), "the other way")
		expect(t, w.from(client, server), "the other way")
		send(t, w.from(client, server), "x")
		acted(t, a)
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(quietClient, quietServer, false)
		r.expectRestored(nil, nil, true)
	})
}

func TestResets(t *testing.T) {
	for name, c := range map[string]gate.Condition{
		"at data": gate.CloseOnData{Reset: true},
		"peer":    gate.ResetPeer{},
		"later":   gate.ResetPeer{After: 20 * time.Millisecond},
		"hook": gate.Hook{Do: func(gate.ConnInfo, []byte) ([]byte, gate.Verdict) {
			return nil, gate.ResetConnection
		}},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, r *rig, w way) {
				client, server := r.connect()
				a := r.set(w, c)[0]
				send(t, w.from(client, server), "x")
				acted(t, a)
				expectReset(t, client)
				expectReset(t, server)
				r.expectRestored(nil, nil, true)
			})
		})
	}
}

func TestCorrupt(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		a := r.set(w, gate.Corrupt{})[0]
		send(t, w.from(client, server), "a\x00b\x01")
		expect(t, w.to(client, server), "\x00\x01\x00\x00")
		acted(t, a)
		r.expectRestored(client, server, false)
	})
}

func TestBandwidth(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		r.set(w, gate.Bandwidth{Rate: 1000, Burst: 100})
		start := time.Now()
		send(t, from, strings.Repeat("x", 300))
		expect(t, to, strings.Repeat("x", 300))
		if took := time.Since(start); took < 190*time.Millisecond {
			t.Errorf("300 bytes at 1000 B/s with a burst of 100 took %v, want 200ms", took)
		}
		// Data that a slow line holds arrives as soon as the line is restored.
		r.set(w, gate.Bandwidth{Rate: 1, Burst: 1})
		send(t, from, "many bytes")
		w.on(r.gate).Pass()
		expect(t, to, "many bytes")
		r.expectRestored(client, server, false)
	})
}

func TestBandwidthBurstIsOneSecond(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		r.set(w, gate.Bandwidth{Rate: 2})
		start := time.Now()
		send(t, w.from(client, server), "12345")
		expect(t, w.to(client, server), "12345")
		if took := time.Since(start); took < time.Second {
			t.Errorf("5 bytes at 2 B/s took %v, want at least 1s", took)
		}
	})
}

func TestTimeLimit(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		a := r.set(w, gate.TimeLimit{After: 50 * time.Millisecond, Jitter: time.Millisecond})[0]
		send(t, from, "first")
		expect(t, to, "first")
		time.Sleep(60 * time.Millisecond)
		if a.Hits() != 0 {
			t.Error("acted without data")
		}
		send(t, from, "late")
		acted(t, a)
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(nil, nil, true)
	})
}

func TestTimeLimitOfIdleConnections(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		r.set(w, gate.TimeLimit{After: 20 * time.Millisecond, Idle: true})
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(nil, nil, true)
	})
}

func TestByteLimitClosesAll(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		other, otherServer := r.connect()
		a := r.set(w, gate.ByteLimit{Bytes: 10})[0]
		send(t, w.from(other, otherServer), "1234")
		expect(t, w.to(other, otherServer), "1234")
		send(t, w.from(client, server), "567890too much")
		expect(t, w.to(client, server), "567890")
		acted(t, a)
		for _, c := range []net.Conn{client, server, other, otherServer} {
			expectEnd(t, c)
		}
		// Counting has begun again.
		client, server = r.connect()
		send(t, w.from(client, server), "123456789")
		expect(t, w.to(client, server), "123456789")
		r.expectRestored(client, server, false)
	})
}

func TestByteLimitPerConnection(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		other, otherServer := r.connect()
		a := r.set(w, gate.ByteLimit{Bytes: 5, PerConnection: true})[0]
		send(t, w.from(other, otherServer), "1234")
		expect(t, w.to(other, otherServer), "1234")
		send(t, w.from(client, server), "123")
		expect(t, w.to(client, server), "123")
		if err := a.Update(gate.ByteLimit{Bytes: 6, PerConnection: true}); err != nil {
			t.Fatal(err)
		}
		send(t, w.from(client, server), "456too much")
		expect(t, w.to(client, server), "456")
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(other, otherServer, false)
	})
}

func TestSlice(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		to := w.to(client, server)
		r.set(w, gate.Slice{Size: 4, Pause: 15 * time.Millisecond})
		start := time.Now()
		send(t, w.from(client, server), "abcdefghij")
		expect(t, to, "abcdefghij")
		if took := time.Since(start); took < 45*time.Millisecond {
			t.Errorf("three parts with a pause of 15ms before each took %v", took)
		}
		r.set(w, gate.Slice{Size: 10, Variation: 9})
		data := strings.Repeat("0123456789", 1000)
		send(t, w.from(client, server), data)
		expect(t, to, data)
		r.expectRestored(client, server, false)
	})
}

func TestConcatenate(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		size := 10000 // more than one read takes of small chunks
		a := r.set(w, gate.Concatenate{Size: size})[0]
		for range 9 {
			send(t, from, strings.Repeat("x", 1000))
		}
		acted(t, a)
		expectNothing(t, to)
		send(t, from, strings.Repeat("x", 1000))
		expect(t, to, strings.Repeat("x", size))
		send(t, from, "rest")
		expectNothing(t, to)
		w.on(r.gate).Pass()
		expect(t, to, "rest")
		if err := a.Problem(); err != nil {
			t.Error(err)
		}
		r.expectRestored(client, server, false)
	})
}

func TestConcatenateGivesUp(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		a := r.set(w, gate.Concatenate{Size: 100, GiveUp: 20 * time.Millisecond})[0]
		send(t, w.from(client, server), "too few")
		expect(t, w.to(client, server), "too few")
		if err := a.Problem(); err == nil || !strings.Contains(err.Error(), "7 of 100 bytes") {
			t.Errorf("problem is %v, want one that tells of 7 of 100 bytes", err)
		}
	})
}

func TestConcatenateEndsWithTheData(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		r.set(w, gate.Concatenate{Size: 100})
		send(t, w.from(client, server), "last words")
		w.from(client, server).(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(w.to(client, server))
		if err != nil || string(got) != "last words" {
			t.Errorf("got %q and error %v", got, err)
		}
	})
}

func TestSubstitute(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		a := r.set(w, gate.Substitute{Pattern: `(\d+) apples`, With: "$1 pears"})[0]
		send(t, from, "12 apples and 3 apples")
		expect(t, to, "12 pears and 3 pears")
		acted(t, a)
		send(t, from, "\xff 12 apples")
		expect(t, to, "\xff 12 apples")
		r.expectRestored(client, server, false)
	})
}

func TestBlackHole(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		a := r.set(w, gate.BlackHole{})[0]
		send(t, w.from(client, server), "lost")
		acted(t, a)
		expectNothing(t, w.to(client, server))
		w.on(r.gate).Pass() // which closes what was affected
		expectEnd(t, client)
		expectEnd(t, server)
		r.set(w, gate.BlackHole{After: 20 * time.Millisecond})
		client, server = r.connect()
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(nil, nil, true)
	})
}

func TestSlowClose(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		r.set(w, gate.SlowClose{After: 50 * time.Millisecond})
		start := time.Now()
		send(t, w.from(client, server), "data is not held")
		expect(t, w.to(client, server), "data is not held")
		w.from(client, server).(*net.TCPConn).CloseWrite()
		expectEnd(t, w.to(client, server))
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("the end came after %v, want 50ms", took)
		}
		send(t, w.to(client, server), "the other half lives")
		expect(t, w.from(client, server), "the other half lives")
		r.expectRestored(nil, nil, true)
	})
}

func TestSlowOpen(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		old, oldServer := r.connect()
		a := r.set(w, gate.SlowOpen{By: 50 * time.Millisecond})[0]
		send(t, old, "open already")
		expect(t, oldServer, "open already")
		start := time.Now()
		r.connect()
		if took := time.Since(start); took < 50*time.Millisecond {
			t.Errorf("the server was dialled after %v, want 50ms", took)
		}
		acted(t, a)
		// A client that waits is served at once when the condition goes.
		a = r.set(w, gate.SlowOpen{By: time.Hour})[0]
		client, err := net.Dial("tcp", r.gate.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		client.SetDeadline(time.Now().Add(patience))
		acted(t, a)
		w.on(r.gate).Pass()
		server := <-r.accepted
		defer server.Close()
		server.SetDeadline(time.Now().Add(patience))
		r.expectRestored(client, server, false)
	})
}

func TestHook(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		a, err := w.on(r.gate).Hook("upper", func(c gate.ConnInfo, data []byte) ([]byte, gate.Verdict) {
			if c.ID != 1 || c.Client.String() != client.LocalAddr().String() {
				t.Errorf("the hook was told of %+v", c)
			}
			if bytes.Equal(data, []byte("bye")) {
				return data, gate.Close
			}
			return bytes.ToUpper(data), gate.Forward
		})
		if err != nil {
			t.Fatal(err)
		}
		send(t, w.from(client, server), "hello")
		expect(t, w.to(client, server), "HELLO")
		acted(t, a)
		send(t, w.from(client, server), "bye")
		expect(t, w.to(client, server), "bye")
		expectEnd(t, client)
		expectEnd(t, server)
		r.expectRestored(nil, nil, true)
	})
}

func TestConditionsStack(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		actives := r.set(w,
			gate.Substitute{Pattern: "cat", With: "dogs"},
			gate.Delay{By: 30 * time.Millisecond},
			gate.Slice{Size: 2})
		start := time.Now()
		send(t, from, "cat!")
		expect(t, to, "dogs!")
		if took := time.Since(start); took < 30*time.Millisecond {
			t.Errorf("took %v, want 30ms", took)
		}
		for _, a := range actives {
			acted(t, a)
		}
		actives[0].Remove()
		send(t, from, "cat")
		expect(t, to, "cat")
		if err := actives[0].Update(gate.Drop{}); err == nil {
			t.Error("a removed condition was updated")
		}
		if _, err := w.on(r.gate).Add(gate.ByteLimit{Bytes: 3, PerConnection: true}); err != nil {
			t.Fatal(err)
		}
		if n := len(w.on(r.gate).Active()); n != 3 {
			t.Errorf("%d conditions in force, want 3", n)
		}
		send(t, from, "abcdef")
		expect(t, to, "abc")
		expectEnd(t, client)
		r.expectRestored(nil, nil, true)
	})
}

func TestSometimes(t *testing.T) {
	const n, share = 200, 0.3
	r := newRig(t, gate.Config{Seed: 7})
	a := r.set(ways[0], gate.Sometimes{Share: share, Of: gate.Corrupt{}})[0]
	corrupted := 0
	for range n {
		client, server := r.connect()
		// The draw holds for the whole connection.
		got := make([]byte, 2)
		for i := range got {
			send(t, client, "x")
			if _, err := io.ReadFull(server, got[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if got[0] != got[1] {
			t.Fatalf("one connection was treated in two ways: %q", got)
		}
		if got[0] == 0 {
			corrupted++
		}
		client.Close()
		server.Close()
	}
	// Four standard deviations of a binomial: 60 +- 26.
	if corrupted < 34 || corrupted > 86 {
		t.Errorf("%d of %d connections were hit, want about %v", corrupted, n, n*share)
	}
	if int(a.Connections()) != corrupted {
		t.Errorf("counted %d connections, want %d", a.Connections(), corrupted)
	}
}

func TestRefusesNonsense(t *testing.T) {
	g, err := gate.New(gate.Config{Upstream: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	before, err := g.ToServer().Add(gate.Corrupt{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []gate.Condition{
		nil,
		gate.Delay{By: -1}, gate.Delay{Jitter: -1}, gate.Drop{Share: 1.1}, gate.BlackHole{After: -1},
		gate.ResetPeer{After: -1}, gate.Bandwidth{}, gate.Bandwidth{Rate: 1, Burst: -1},
		gate.TimeLimit{After: -1}, gate.TimeLimit{Jitter: -1}, gate.ByteLimit{Bytes: -1},
		gate.Slice{}, gate.Slice{Size: 2, Variation: 2}, gate.Slice{Size: 1, Pause: -1},
		gate.Concatenate{Size: -1}, gate.Concatenate{Size: 1 << 40}, gate.Substitute{Pattern: "("},
		gate.SlowOpen{By: -1}, gate.SlowClose{After: -1}, gate.Hook{},
		gate.Sometimes{}, gate.Sometimes{Share: 2, Of: gate.Corrupt{}}, gate.Sometimes{Share: 1, Of: gate.Slice{}},
	} {
		if _, err := g.ToServer().Set(gate.Drop{}, c); err == nil {
			t.Errorf("Set accepts %#v", c)
		}
		if _, err := g.ToServer().Add(c); err == nil {
			t.Errorf("Add accepts %#v", c)
		}
		if err := before.Update(c); err == nil {
			t.Errorf("Update accepts %#v", c)
		}
	}
	if active := g.ToServer().Active(); len(active) != 1 || active[0] != before || before.Condition() != (gate.Corrupt{}) {
		t.Errorf("a refused change has changed something: %v", active)
	}
}

func TestSwitchingUnderLoadLosesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		to.SetDeadline(time.Now().Add(time.Minute)) // this is about loss, not about speed
		data := make([]byte, 64<<20)
		for i := range data {
			data[i] = byte(i>>8) ^ byte(i)
		}
		received := make(chan []byte, 1)
		go func() {
			got, _ := io.ReadAll(to)
			received <- got
		}()
		written := make(chan error, 1)
		go func() {
			_, err := from.Write(data)
			from.(*net.TCPConn).CloseWrite()
			written <- err
		}()
		harmless := [][]gate.Condition{
			{gate.Delay{By: time.Millisecond}}, {}, {gate.Slice{Size: 30000}}, {},
			{gate.Bandwidth{Rate: 1 << 40}, gate.Delay{}}, {gate.Concatenate{Size: 100000}}, {},
			{gate.StopReading{}}, {}, {gate.Delay{By: time.Hour}}, {},
		}
		for i := 0; ; i++ {
			select {
			case err := <-written:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(time.Duration(i%5) * time.Millisecond):
				r.set(w, harmless[i%len(harmless)]...)
				r.set(ways[(i/2)%2], harmless[(i*3)%len(harmless)]...)
				continue
			}
			break
		}
		r.gate.Reset()
		select {
		case got := <-received:
			if !bytes.Equal(got, data) {
				t.Errorf("received %d bytes that differ from the %d sent", len(got), len(data))
			}
		case <-time.After(time.Minute):
			t.Fatal("the data does not arrive")
		}
	})
}

func TestIdleUntilDeadline(t *testing.T) {
	r := newRig(t, gate.Config{})
	client, server := r.connect()
	r.set(ways[0], gate.StopReading{})
	ctx, cancel := context.WithTimeout(context.Background(), shortly)
	defer cancel()
	a := r.set(ways[1], gate.Corrupt{})[0]
	if err := a.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait returned %v without traffic", err)
	}
	if err := r.gate.WaitForConnections(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitForConnections returned %v", err)
	}
	r.expectRestored(client, server, false)
}

// A limit that has been met closes the connection, however the conditions change
// meanwhile and whoever carries the connection, relay or lanes.
func TestByteLimitClosesUnderChanges(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		stop := make(chan struct{})
		changes := make(chan struct{})
		go func() {
			defer close(changes)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				d := ways[i%2].on(r.gate)
				a, err := d.Add(gate.Delay{By: time.Duration(i%3) * time.Millisecond})
				if err != nil {
					t.Error(err)
					return
				}
				if i%5 == 0 {
					time.Sleep(time.Millisecond)
				}
				a.Remove()
			}
		}()
		for range 150 {
			client, server := r.connect()
			from, to := w.from(client, server), w.to(client, server)
			send(t, from, "before")
			expect(t, to, "before")
			a, err := w.on(r.gate).Add(gate.ByteLimit{Bytes: 5, PerConnection: true})
			if err != nil {
				t.Fatal(err)
			}
			send(t, from, "hello, world")
			expect(t, to, "hello")
			expectEnd(t, to)
			expectEnd(t, from)
			a.Remove()
			client.Close()
			server.Close()
		}
		close(stop)
		<-changes
	})
}

// The end of data is not lost on its way from a lane to the relay and back, while
// the receiver takes nothing.
func TestEndOfDataChangesCarriers(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, w way) {
		client, server := r.connect()
		from, to := w.from(client, server), w.to(client, server)
		const size = 16 << 20
		r.set(w, gate.Delay{By: time.Hour}, gate.SlowClose{})
		if _, err := from.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		from.(*net.TCPConn).CloseWrite()
		end := w.on(r.gate).Active()[0]
		for deadline := time.Now().Add(patience); end.Bytes() < size; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d bytes were read", end.Bytes(), size)
			}
		}
		time.Sleep(shortly) // for the end behind them
		for range 5 {
			w.on(r.gate).Pass() // the relay takes over what the lane holds
			time.Sleep(20 * time.Millisecond)
			r.set(w, gate.Delay{})
		}
		n, err := io.Copy(io.Discard, to)
		if err != nil || n != size {
			t.Errorf("%d bytes and error %v, want %d and an end", n, err, size)
		}
	})
}
