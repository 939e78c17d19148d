package servicetest

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A recorder is a peer that remembers what it was sent.
type recorder struct {
	url string
	mu  sync.Mutex
	got []recorded
}

type recorded struct {
	at           time.Time
	method, path string
	header       http.Header
	body         string
}

func (r *recorder) requests() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]recorded(nil), r.got...)
}

// record starts a peer that answers by the handler.
func record(t T, answer http.HandlerFunc) *recorder {
	t.Helper()
	r := &recorder{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got = append(r.got, recorded{time.Now(), req.Method, req.URL.Path, req.Header.Clone(), string(body)})
		r.mu.Unlock()
		answer(w, req)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	r.url = "http://" + ln.Addr().String()
	return r
}

func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const goodChild = `{"service":"child","address":"child","errors":[],"response":[]}`
