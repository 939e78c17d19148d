package outcome_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// answering reads the head of a request, serves with a function, and returns the address.
func answering(t *testing.T, serve func(conn *net.TCPConn)) string {
	t.Helper()
	return peer.Serve(t, func(conn *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			serve(conn)
		}
	})
}

func text(s string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) { io.WriteString(conn, s) }
}

// reset closes the connection so that the other side sees a reset.
func reset(after string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		io.WriteString(conn, after)
		time.Sleep(20 * time.Millisecond) // the text must not be lost with the reset
		conn.SetLinger(0)
	}
}

// silent waits until the client closes.
func silent(conn *net.TCPConn) { io.Copy(io.Discard, conn) }

// exchange sends a request by hand, as the project's clients do.
func exchange(addr string, patience time.Duration) (status int, err error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	reader := bufio.NewReader(conn)
	if _, err := reader.Peek(1); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", outcome.ErrMalformed, err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func TestOfByRealSockets(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	const long, short = 10 * time.Second, 50 * time.Millisecond
	for name, tt := range map[string]struct {
		addr     string
		patience time.Duration
		want     outcome.Class
		why      outcome.Reason
	}{
		"200":                     {answering(t, text("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")), long, outcome.OK, ""},
		"304":                     {answering(t, text("HTTP/1.1 304 Not Modified\r\n\r\n")), long, outcome.OK, ""},
		"404":                     {answering(t, text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")), long, outcome.HTTPError, "status_404"},
		"503":                     {answering(t, text("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")), long, outcome.HTTPError, "status_503"},
		"refused":                 {closed.Addr().String(), long, outcome.ConnectionError, outcome.Refused},
		"no such host":            {"no-such-host.invalid:80", long, outcome.ConnectionError, outcome.NoSuchHost},
		"not connected in time":   {answering(t, silent), time.Nanosecond, outcome.ConnectionError, outcome.ConnectTimeout},
		"reset without an answer": {answering(t, reset("")), long, outcome.ConnectionError, outcome.Reset},
		// The library that reads by hand here does not say more.
		"reset within the header": {answering(t, reset("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n")), long, outcome.ConnectionError, outcome.Closed},
		"closed without answer":   {answering(t, func(*net.TCPConn) {}), long, outcome.ConnectionError, outcome.Closed},
		"closed within the body":  {answering(t, text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")), long, outcome.ConnectionError, outcome.Closed},
		"no answer in time":       {answering(t, silent), short, outcome.Timeout, outcome.AnswerTimeout},
		"half an answer in time":  {answering(t, func(c *net.TCPConn) { text("HTTP/1.1 200 OK\r\n")(c); silent(c) }), short, outcome.Timeout, outcome.AnswerTimeout},
		"half a body in time":     {answering(t, func(c *net.TCPConn) { text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")(c); silent(c) }), short, outcome.Timeout, outcome.AnswerTimeout},
		"no HTTP":                 {answering(t, text("SSH-2.0-OpenSSH_9.6\r\n")), long, outcome.Malformed, "malformed"},
		"no status":               {answering(t, text("HTTP/1.1 fine\r\n\r\n")), long, outcome.Malformed, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, err := exchange(tt.addr, tt.patience)
			if err != nil {
				status = 0
			}
			if got, why := outcome.Of(status, err), outcome.Why(status, err); got != tt.want || why != tt.why {
				t.Errorf("status %d and error %v are %s because of %q, want %s because of %q", status, err, got, why, tt.want, tt.why)
			}
		})
	}
}

// The standard library's client wraps what it sees; the class stays.
func TestOfByTheStandardClient(t *testing.T) {
	get := func(ctx context.Context, addr string) outcome.Class {
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return outcome.Of(0, err)
		}
		response.Body.Close()
		return outcome.Of(response.StatusCode, nil)
	}
	hanging := answering(t, silent)
	cancelled, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if got := get(cancelled, hanging); got != outcome.Cancelled {
		t.Errorf("a cancelled request is %s", got)
	}
	over, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if got := get(over, hanging); got != outcome.Timeout {
		t.Errorf("a request past its deadline is %s", got)
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "timeout" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestOfByMarks(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: timeoutError{}}
	for _, tt := range []struct {
		err  error
		want outcome.Class
	}{
		{errors.New("something broke"), outcome.ConnectionError},
		{context.DeadlineExceeded, outcome.Timeout},
		{context.Canceled, outcome.Cancelled},
		{fmt.Errorf("reading: %w", &net.OpError{Op: "read", Err: timeoutError{}}), outcome.Timeout},
		{fmt.Errorf("connecting: %w", refused), outcome.ConnectionError},
		{errors.Join(outcome.ErrNotConnected, timeoutError{}), outcome.ConnectionError},
		{fmt.Errorf("%w: it is no JSON", outcome.ErrMalformed), outcome.Malformed},
		{outcome.ErrStopping, outcome.Cancelled},
		// A caller that gives up closes the connection, and then sees errors of that.
		{errors.Join(refused, context.Canceled), outcome.Cancelled},
		{errors.Join(outcome.ErrMalformed, outcome.ErrStopping), outcome.Cancelled},
	} {
		if got := outcome.Of(0, tt.err); got != tt.want {
			t.Errorf("%q is %s, want %s", strings.ReplaceAll(tt.err.Error(), "\n", "; "), got, tt.want)
		}
	}
	if outcome.OfStatus(399) != outcome.OK || outcome.OfStatus(400) != outcome.HTTPError {
		t.Error("errors begin at another status than 400")
	}
}

func TestListsHoldEachClassOnce(t *testing.T) {
	all := outcome.Classes()
	for name, list := range map[string][]outcome.Class{"calls": outcome.OfCalls(), "attempts": outcome.OfAttempts(), "all": all} {
		seen := map[outcome.Class]bool{}
		for _, class := range list {
			if seen[class] || !slices.Contains(all, class) {
				t.Errorf("%s: class %q is there twice or not known", name, class)
			}
			seen[class] = true
		}
		if list[0] != outcome.OK {
			t.Errorf("%s begin with %s", name, list[0])
		}
	}
	onlyClients := func(c outcome.Class) bool { return c == outcome.Dropped || c == outcome.FailedHop }
	if len(outcome.OfCalls()) != len(all)-2 || slices.ContainsFunc(outcome.OfCalls(), onlyClients) {
		t.Error("a call ends with any class but dropped and failed_hop")
	}
	for i, class := range all {
		if outcome.Index(class) != i {
			t.Errorf("the index of %s is %d, want %d", class, outcome.Index(class), i)
		}
	}
	if len(all) != outcome.Count || outcome.Index("nonsense") != -1 {
		t.Errorf("there are %d classes, and %d are counted", len(all), outcome.Count)
	}
}
