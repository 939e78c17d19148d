package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/forward/forwardtest"
)

func address(r *forwardtest.Receiver) Address { return Address{r.Network, r.Place} }

func line(t *testing.T, text string) logline.Line {
	t.Helper()
	l, ok := logline.Parse([]byte(text))
	if !ok {
		t.Fatalf("%s is no line", text)
	}
	return l
}

func lines(t *testing.T, n int) (all []logline.Line) {
	t.Helper()
	for i := range n {
		all = append(all, line(t, fmt.Sprintf(`{"time":"2026-11-27T13:24:22.5Z","level":"INFO","msg":"line","service":"web","number":%d}`, i)))
	}
	return all
}

// send sends lines, and returns what became of them.
func send(t *testing.T, o Options, all []logline.Line) result.SentCounts {
	t.Helper()
	o.Every = time.Millisecond
	s := New(o, "shop")
	for _, l := range all {
		s.Line(l)
	}
	return s.Close(t.Context()).Lines
}

func TestLinesArrive(t *testing.T) {
	const request = `{"time":"2026-11-27T13:24:22.123456789+01:00","level":"DEBUG","msg":"request","system":"shop","service":"web","replica":2,"path":"/","status":503,"duration":0.25,"good":false,"none":null,"more":{"x":[1]}}`
	own := line(t, `{"time":"2026-11-27T13:24:22Z","level":"INFO","msg":"fault applied"}`)
	for _, r := range []*forwardtest.Receiver{forwardtest.Listen(t, &forwardtest.Receiver{}, "tcp", "127.0.0.1:0"), forwardtest.Listen(t, &forwardtest.Receiver{}, "unix", filepath.Join(t.TempDir(), "s"))} {
		const most = 3*mostLines + 1
		all := append([]logline.Line{line(t, request), own}, lines(t, most)...)
		if got := send(t, Options{Address: address(r)}, all); got != (result.SentCounts{Sent: most + 2}) {
			t.Errorf("of %d lines: %+v", most+2, got)
		}
		events := r.Events()
		if len(events) != most+2 {
			t.Fatalf("%d events have arrived of %d lines", len(events), most+2)
		}
		e := &events[0]
		const want = "map[duration:0.25 good:false level:DEBUG more:{\"x\":[1]} msg:request none:<nil> path:/ replica:2 service:web status:503 system:shop]"
		if at := time.Time(e.Time); e.Tag != "microsim.shop.web" || !at.Equal(all[0].Time) || at.Nanosecond() != 123456789 || fmt.Sprint(e.Record) != want {
			t.Errorf("the event is %s at %v: %v, not %s", e.Tag, at, e.Record, want)
		}
		if events[1].Tag != "microsim.shop" {
			t.Errorf("a line of no service has the tag %q", events[1].Tag)
		}
		for i := range most {
			record, _ := events[i+2].Record.(map[string]any)
			if record["number"] != int64(i) {
				t.Fatalf("event %d is %v: the order is another", i, record)
			}
		}
	}
}

var errEnd = errors.New("the connection ends here")

// A receiver in trouble gets what it can, and every line is accounted for.
func TestTrouble(t *testing.T) {
	for name, c := range map[string]struct {
		receiver *forwardtest.Receiver
		want     result.SentCounts
		// events is how many arrive, those that come again included.
		events int
	}{
		"ends a connection": {&forwardtest.Receiver{Answer: func(conn net.Conn, n int, chunk string) error {
			if n == 4 {
				return errEnd
			}
			return forwardtest.Acknowledge(conn, n, chunk)
		}}, result.SentCounts{Sent: 10, Trouble: "EOF"}, 11},
		"acknowledges another": {&forwardtest.Receiver{Answer: func(conn net.Conn, n int, chunk string) error {
			if n == 6 {
				chunk = "another"
			}
			return forwardtest.Acknowledge(conn, n, chunk)
		}}, result.SentCounts{Sent: 10, Trouble: "do not follow the forward protocol"}, 0},
		"asks for a key": {&forwardtest.Receiver{Greet: func(conn net.Conn) {
			_, _ = conn.Write(msgp.AppendMapHeader(msgp.AppendString(msgp.AppendArrayHeader(nil, 2), "HELO"), 0))
		}}, result.SentCounts{Refused: 10, Trouble: "shared key"}, 0},
		"is none": {&forwardtest.Receiver{Answer: func(conn net.Conn, _ int, _ string) error {
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			return errEnd
		}}, result.SentCounts{Dropped: 10, Trouble: "waiting for the receiver to acknowledge lines: "}, 0},
		"is silent": {&forwardtest.Receiver{Answer: func(net.Conn, int, string) error { return nil }}, result.SentCounts{Dropped: 10, Trouble: "no answer came in time"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := forwardtest.Listen(t, c.receiver, "tcp", "127.0.0.1:0")
			o := Options{Address: address(r)}
			if c.want.Dropped > 0 {
				o.Timeout, o.Patience = 50*time.Millisecond, 200*time.Millisecond
			}
			got := send(t, o, lines(t, 10))
			if !strings.Contains(got.Trouble, c.want.Trouble) {
				t.Errorf("the trouble is %q, not %q", got.Trouble, c.want.Trouble)
			}
			got.Trouble = c.want.Trouble
			if got != c.want {
				t.Errorf("of 10 lines: %+v, not %+v", got, c.want)
			}
			if n := len(r.Events()); c.events > 0 && n != c.events {
				t.Errorf("%d events have arrived, not %d", n, c.events)
			}
		})
	}
}

// A receiver that is away costs nothing but lines: adding does not wait, what has no room
// is counted, and the end comes within its bound.
func TestAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	got := send(t, Options{Address: Address{"tcp", ln.Addr().String()}, Queue: 100, Patience: 100 * time.Millisecond}, lines(t, 1000))
	if got.Dropped != 1000 || got.Sent+got.Refused+got.Waiting != 0 || !strings.Contains(got.Trouble, "connection refused") {
		t.Errorf("of 1000 lines: %+v", got)
	}
}

// The end of the context ends the waiting for a receiver that is silent.
func TestCloseIsHurried(t *testing.T) {
	r := forwardtest.Listen(t, &forwardtest.Receiver{Answer: func(net.Conn, int, string) error { return nil }}, "tcp", "127.0.0.1:0")
	s := New(Options{Address: address(r)}, "shop")
	s.Line(lines(t, 1)[0])
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := s.Close(ctx).Lines; got.Dropped != 1 || got.Sent != 0 {
		t.Errorf("of a line: %+v", got)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"localhost": "tcp://localhost:24224", "localhost:1": "tcp://localhost:1", "tcp://10.0.0.1": "tcp://10.0.0.1:24224", "tls://fluent.example:24224/": "tls://fluent.example:24224",
		"[::1]:24224": "tcp://[::1]:24224", "unix:///run/fluent.sock": "unix:///run/fluent.sock",
		"": "!is not the address", "http://x:9880": "!HTTP", "unix://x": "!unix:///PATH", "tcp://x/path": "!is not the address", "tcp://u:secret@x": "!shared key", "x:0": "!1 to 65535", "x:99999": "!1 to 65535",
		"udp://x": "!is not the address", "x?y=z": "!leave it out", "x:y": "!invalid port",
	} {
		got, err := ParseAddress(text)
		refusal, refused := strings.CutPrefix(want, "!")
		switch {
		case refused && (err == nil || !strings.Contains(err.Error(), refusal) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%q: %v, %v", text, got, err)
		case !refused && (err != nil || got.String() != want):
			t.Errorf("%q is %v, %v; not %s", text, got, err, want)
		}
	}
}
