package workers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAReadIsHeldBack(t *testing.T) {
	for name, c := range map[string]struct {
		// do happens while the read waits.
		do func(w *watch)
		// want is what the read returns, and ended what end says afterwards.
		want  error
		ended bool
	}{
		"until the handler needs it":     {(*watch).release, nil, false},
		"until the server ends it":       {func(w *watch) { w.end() }, os.ErrDeadlineExceeded, true},
		"until both, the handler first":  {func(w *watch) { w.release(); w.end() }, nil, false},
		"until the server reads further": {func(w *watch) { w.end(); synctest.Wait(); w.reset() }, os.ErrDeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &watch{}
				w.cond.L = &w.mu
				w.hold()
				read := make(chan error, 1)
				go func() { read <- w.begin() }()
				synctest.Wait()
				select {
				case err := <-read:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				c.do(w)
				if err := <-read; !errors.Is(err, c.want) {
					t.Errorf("the read returned %v, want %v", err, c.want)
				}
				if ended := w.end(); ended != c.ended {
					t.Errorf("that end is enough: %v, want %v", ended, c.ended)
				}
			})
		})
	}
}

// A read that began before the handler did is ended by a deadline alone.
func TestAnEarlyReadIsNotHeldBack(t *testing.T) {
	w := &watch{}
	w.cond.L = &w.mu
	if err := w.begin(); err != nil {
		t.Fatal(err)
	}
	w.hold()
	if w.end() {
		t.Error("the read is taken for one that waits")
	}
}

// serveWatched serves a handler by a Listener, and returns its address.
func serveWatched(t *testing.T, handler func(conn *Conn, w http.ResponseWriter, r *http.Request)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewListener(ln, 0, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ConnContext: RememberConn, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := ConnOf(r.Context())
		conn.Serve(r.Body == http.NoBody)
		defer conn.Leave()
		handler(conn, w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	})
	return ln.Addr().String()
}

// A client that leaves is noticed whether it does so before the handler asks for it or
// after.
func TestALeavingClientIsNoticed(t *testing.T) {
	for name, late := range map[string]bool{"after the handler asks": false, "before": true} {
		t.Run(name, func(t *testing.T) {
			begun, left, noticed := make(chan struct{}), make(chan struct{}), make(chan struct{})
			addr := serveWatched(t, func(conn *Conn, _ http.ResponseWriter, r *http.Request) {
				if !late {
					conn.Watch()
				}
				close(begun)
				<-left
				if late {
					conn.Watch()
				}
				select {
				case <-r.Context().Done():
				case <-time.After(time.Minute):
					t.Error("nobody noticed that the client had left")
				}
				close(noticed)
			})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			<-begun
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			close(left)
			<-noticed
		})
	}
}

// Requests that are sent at once are all answered in order, with bodies and without,
// watched and not.
func TestPipelinedRequestsAreAnswered(t *testing.T) {
	addr := serveWatched(t, func(conn *Conn, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/watched") {
			conn.Watch()
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %s", r.URL.Path, body)
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var requests strings.Builder
	var want []string
	for i := range 200 {
		path, body := fmt.Sprintf("/%d", i), ""
		if i%3 == 0 {
			path = "/watched" + path
		}
		if i%4 == 0 {
			body = fmt.Sprintf("body %d", i)
		}
		fmt.Fprintf(&requests, "GET %s HTTP/1.1\r\nHost: localhost\r\n", path)
		if body != "" {
			fmt.Fprintf(&requests, "Content-Length: %d\r\n", len(body))
		}
		requests.WriteString("\r\n" + body)
		want = append(want, path+" "+body)
	}
	go func() { _, _ = io.WriteString(conn, requests.String()) }() // what is missing is seen below
	answers := bufio.NewReader(conn)
	for _, text := range want {
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("instead of %q: %v", text, err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != text {
			t.Fatalf("answered %q, %v, want %q", body, err, text)
		}
	}
}
