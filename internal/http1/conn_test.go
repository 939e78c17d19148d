package http1

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// serving is the endpoint of a server that does this with each connection.
func serving(t *testing.T, serve func(conn *net.TCPConn)) Endpoint {
	t.Helper()
	return Endpoint{Addr: peer.Serve(t, serve)}
}

// readRequest reads up to the end of a header, and reports whether one came.
func readRequest(conn net.Conn) bool {
	var got []byte
	for !bytes.HasSuffix(got, []byte("\r\n\r\n")) {
		var one [1]byte
		if _, err := conn.Read(one[:]); err != nil {
			return false
		}
		got = append(got, one[0])
	}
	return true
}

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func connect(t *testing.T, to Endpoint, until time.Time) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), net.Dialer{}, to, until)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Begin(time.Now(), until, false); err != nil {
		t.Fatal(err)
	}
	return c
}

func roundTrip(c *Conn, head, body string) (Response, error) {
	if err := c.Exchange([]byte(head), []byte(body)); err != nil {
		return Response{}, err
	}
	return c.ReadResponse(false, nil)
}

func TestErrorsOfConnecting(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	plain := serving(t, func(conn *net.TCPConn) { io.WriteString(conn, "no TLS") })
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for name, tt := range map[string]struct {
		to      Endpoint
		until   time.Time
		timeout bool
	}{
		"refused":     {to: Endpoint{Addr: ln.Addr().String()}},
		"too late":    {to: plain, until: time.Now().Add(-time.Second), timeout: true},
		"not TLS":     {to: Endpoint{plain.Addr, &tls.Config{InsecureSkipVerify: true}}},
		"unknown CA":  {to: Endpoint{secure.Listener.Addr().String(), &tls.Config{ServerName: "example.com"}}},
		"silent, TLS": {to: Endpoint{quiet(t).Addr, &tls.Config{InsecureSkipVerify: true}}, until: time.Now().Add(50 * time.Millisecond), timeout: true},
	} {
		_, err := Dial(t.Context(), net.Dialer{}, tt.to, tt.until)
		var op *net.OpError
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &op) || op.Op != "dial" || tt.timeout != (errors.As(op.Err, &timeout) && timeout.Timeout()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrorsOfExchanges(t *testing.T) {
	for name, tt := range map[string]struct {
		serve func(*net.TCPConn)
		is    error
	}{
		"closed without an answer": {func(c *net.TCPConn) { readRequest(c) }, io.EOF},
		"closed in the header":     {func(c *net.TCPConn) { readRequest(c); io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n") }, io.ErrUnexpectedEOF},
		"closed in the body": {func(c *net.TCPConn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
		}, io.ErrUnexpectedEOF},
		"no answer in time":      {func(c *net.TCPConn) { io.Copy(io.Discard, c) }, os.ErrDeadlineExceeded},
		"half an answer in time": {func(c *net.TCPConn) { readRequest(c); io.WriteString(c, "HTTP/1.1 200 OK\r\n"); io.Copy(io.Discard, c) }, os.ErrDeadlineExceeded},
		"no HTTP":                {func(c *net.TCPConn) { readRequest(c); io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n") }, outcome.ErrMalformed},
		"interim answers only": {func(c *net.TCPConn) {
			readRequest(c)
			io.WriteString(c, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim+1))
			io.Copy(io.Discard, c)
		}, outcome.ErrMalformed},
		"switching protocols": {func(c *net.TCPConn) { readRequest(c); io.WriteString(c, "HTTP/1.1 101 Switching\r\n\r\n") }, outcome.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := connect(t, serving(t, tt.serve), time.Now().Add(300*time.Millisecond))
			if _, err := roundTrip(c, get, ""); !errors.Is(err, tt.is) {
				t.Errorf("%v, want %v", err, tt.is)
			}
		})
	}
}

// A request that gets no answer must not be sent again.
func TestRequestsAreSentOnce(t *testing.T) {
	var requests, connections atomic.Int64
	to := serving(t, func(c *net.TCPConn) {
		connections.Add(1)
		for first := true; readRequest(c); first = false {
			requests.Add(1)
			if !first {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	pool := NewPool(net.Dialer{}, nil)
	defer pool.Close()
	for i := range 2 {
		c, err := pool.Get(t.Context(), to, time.Now().Add(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := roundTrip(c, get, ""); (err == nil) != (i == 0) {
			t.Errorf("request %d: %v", i, err)
		} else if err != nil {
			pool.Discard(c)
			continue
		}
		pool.Put(c)
	}
	if requests.Load() != 2 || connections.Load() != 1 {
		t.Errorf("%d requests over %d connections", requests.Load(), connections.Load())
	}
}

// The answer to half a request counts, but the connection is of no use any more.
func TestEarlyAnswersCount(t *testing.T) {
	to := serving(t, func(c *net.TCPConn) {
		readRequest(c)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.CloseWrite()
		time.Sleep(50 * time.Millisecond) // the sender fills the buffers
	})
	c := connect(t, to, time.Now().Add(5*time.Second))
	body := strings.Repeat("x", 32<<20)
	res, err := roundTrip(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n", body)
	if err != nil && !errors.Is(err, outcome.ErrMalformed) {
		t.Skipf("the reset overtook the answer: %v", err) // the kernel may drop what was received
	}
	if err != nil || res.Status != 413 || !res.Close {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}))
	defer server.Close()
	c := connect(t, Endpoint{Addr: server.Listener.Addr().String()}, time.Time{})
	for _, n := range []int{0, 1, SmallBody, SmallBody + 1, 5 << 20} {
		var got gatherer
		head := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + itoa(n) + "\r\n\r\n"
		if err := c.Begin(time.Now(), time.Time{}, true); err != nil {
			t.Fatal(err)
		}
		if err := c.Exchange([]byte(head), bytes.Repeat([]byte{'x'}, n)); err != nil {
			t.Fatal(err)
		}
		res, err := c.ReadResponse(false, &got)
		if err != nil || res.Status != 200 || res.Bytes != int64(n) || len(got.body) != n || res.Close {
			t.Errorf("%d bytes: %+v, %v, %d gathered", n, res, err, len(got.body))
		}
	}
}

// A deadline that was armed for an earlier request is put off when it strikes.
func TestDeadlinesThatStrikeEarlyArePutOff(t *testing.T) {
	to := serving(t, func(c *net.TCPConn) {
		for wait := time.Duration(0); readRequest(c); wait = 150 * time.Millisecond {
			time.Sleep(wait)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	for name, until := range map[string]func() time.Time{
		"later": func() time.Time { return time.Now().Add(250 * time.Millisecond) },
		"never": func() time.Time { return time.Time{} },
	} {
		c := connect(t, to, time.Now().Add(140*time.Millisecond))
		if _, err := roundTrip(c, get, ""); err != nil {
			t.Fatal(err)
		}
		c.armed = time.Now().Add(130 * time.Millisecond)
		c.SetDeadline(c.armed)
		if err := c.Begin(time.Now(), until(), false); err != nil {
			t.Fatal(err)
		}
		if _, err := roundTrip(c, get, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInterrupt(t *testing.T) {
	to := serving(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	for _, until := range []time.Time{{}, time.Now().Add(time.Hour)} {
		c := connect(t, to, until)
		time.AfterFunc(20*time.Millisecond, c.Interrupt)
		if _, err := roundTrip(c, get, ""); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("interrupted: %v", err)
		}
		if err := c.Begin(time.Now(), time.Now().Add(time.Minute), false); err == nil {
			_, err = roundTrip(c, get, "")
			if err == nil {
				t.Error("an interrupted connection is used again")
			}
		}
	}
}

func TestStaleConnectionsAreFound(t *testing.T) {
	for name, after := range map[string]func(*net.TCPConn){
		"closed":  func(*net.TCPConn) {},
		"reset":   func(c *net.TCPConn) { c.SetLinger(0) },
		"unasked": func(c *net.TCPConn) { io.WriteString(c, "HTTP/1.1 408 Timeout\r\n\r\n"); io.Copy(io.Discard, c) },
	} {
		done := make(chan struct{})
		to := serving(t, func(c *net.TCPConn) {
			defer close(done)
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			time.Sleep(10 * time.Millisecond)
			after(c)
			c.Close()
		})
		c := connect(t, to, time.Now().Add(5*time.Second))
		if _, err := roundTrip(c, get, ""); err != nil {
			t.Fatal(err)
		}
		if name != "unasked" {
			<-done
		}
		for end := time.Now().Add(2 * time.Second); c.Begin(time.Now(), time.Now().Add(5*time.Second), true) == nil; {
			if time.Now().After(end) {
				t.Fatalf("%s: the connection is used again", name)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestContextEndsConnecting(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, net.Dialer{}, serving(t, func(*net.TCPConn) {}), time.Time{}); err == nil {
		t.Error("connected after the end")
	}
}

// The poller reports an event once. Bytes that came before a request waits for them
// must be found all the same, on new and on used connections.
func TestWhatCameBeforeTheRequestIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		before func(conn *net.TCPConn)
		want   outcome.Class
	}{
		"the server has closed its side": {func(conn *net.TCPConn) { conn.CloseWrite() }, outcome.ConnectionError},
		"the server has answered":        {func(conn *net.TCPConn) { io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n") }, outcome.OK},
	} {
		t.Run(name, func(t *testing.T) {
			came := make(chan struct{})
			to := serving(t, func(conn *net.TCPConn) {
				test.before(conn)
				close(came)
				io.Copy(io.Discard, conn)
			})
			until := time.Now().Add(10 * time.Second)
			c, err := Dial(t.Context(), net.Dialer{}, to, until)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.Begin(time.Now(), until, false); err != nil {
				t.Fatal(err)
			}
			<-came
			// The runtime has to have taken the event, which it does while nothing
			// else runs.
			for range 100 {
				time.Sleep(100 * time.Microsecond)
			}
			res, err := roundTrip(c, get, "")
			if got := outcome.Of(res.Status, err); got != test.want {
				t.Errorf("it is %s (%d, %v), want %s", got, res.Status, err, test.want)
			}
		})
	}
}
