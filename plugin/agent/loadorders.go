package agent

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// tokenHeader carries the token of orders.
	tokenHeader = "Microsim-Token"
	// maxOrder bounds the body of an order.
	maxOrder = 64 << 10
	// maxDelay bounds the delay of a start.
	maxDelay = time.Minute
)

// orders are those that count only once.
type orders struct{ start, stop, done sync.Once }

// handler answers the orders of whoever wants the load.
func (g *generator) handler() http.Handler {
	mux := http.NewServeMux()
	fine := func(http.ResponseWriter, *http.Request) {}
	mux.HandleFunc("GET "+remote.HealthPath, fine)
	mux.HandleFunc("GET "+remote.ReadyPath, fine)
	for path, serve := range map[string]http.HandlerFunc{
		"POST " + remote.StartPath:   g.serveStart,
		"GET " + remote.OutcomesPath: g.serveOutcomes,
		"POST " + remote.ControlPath: g.serveControl,
		"POST " + remote.StopPath: func(http.ResponseWriter, *http.Request) {
			g.orders.stop.Do(func() { close(g.stopped) })
		},
		"POST " + remote.DonePath: func(http.ResponseWriter, *http.Request) {
			g.orders.done.Do(func() { close(g.done) })
		},
	} {
		mux.Handle(path, g.guard(serve))
	}
	return mux
}

// guard lets those through who know the token.
func (g *generator) guard(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get(tokenHeader)), []byte(g.token)) != 1 {
			http.Error(w, "the header "+tokenHeader+" is not this load's token", http.StatusForbidden)
			return
		}
		serve(w, r)
	})
}

func (g *generator) serveStart(w http.ResponseWriter, r *http.Request) {
	var order remote.Start
	if !readOrder(w, r, &order) {
		return
	}
	if order.Delay < 0 || order.Delay > maxDelay {
		http.Error(w, fmt.Sprintf("a delay of %v is not possible: at most %v", order.Delay, maxDelay), http.StatusBadRequest)
		return
	}
	g.orders.start.Do(func() { g.started <- order.Delay })
}

func (g *generator) serveControl(w http.ResponseWriter, r *http.Request) {
	var f remote.Factors
	if !readOrder(w, r, &f) {
		return
	}
	g.control.Set(f.Rate, f.Burst, f.Users)
}

func readOrder(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(io.LimitReader(r.Body, maxOrder)).Decode(into)
	if err != nil {
		http.Error(w, "the order cannot be read: "+err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// serveOutcomes writes lines from a number on until the end, or until the reader
// has gone.
func (g *generator) serveOutcomes(w http.ResponseWriter, r *http.Request) {
	from := int64(1)
	if text := r.FormValue("from"); text != "" {
		var err error
		if from, err = strconv.ParseInt(text, 10, 64); err != nil || from < 1 {
			http.Error(w, fmt.Sprintf("from %q is no number of a line: they count from 1", text), http.StatusBadRequest)
			return
		}
	}
	defer g.log.follow()()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, send := json.NewEncoder(w), http.NewResponseController(w).Flush
	alive := time.NewTicker(remote.AliveEvery)
	defer alive.Stop()
	for {
		line, more := g.log.next(from)
		for line == nil {
			select {
			case <-more:
				line, more = g.log.next(from)
			case <-alive.C:
				line = &remote.Line{Seq: from - 1} // shows that the connection is whole
			case <-r.Context().Done():
				return
			}
		}
		if out.Encode(line) != nil || send() != nil || line.End != nil {
			return
		}
		from = line.Seq + 1
	}
}
