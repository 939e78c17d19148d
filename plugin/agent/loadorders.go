package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// maxOrder bounds the body of an order.
	maxOrder = 64 << 10
	// maxDelay bounds the delay of a start.
	maxDelay = time.Minute
)

// orders are the orders that have an effect only the first time.
type orders struct{ start, stop, done sync.Once }

// handler answers the orders of followers of the load.
func (g *generator) handler() http.Handler {
	mux := http.NewServeMux()
	fine := func(http.ResponseWriter, *http.Request) {}
	mux.HandleFunc("GET "+control.HealthPath, fine)
	mux.HandleFunc("GET "+control.ReadyPath, fine)
	for path, serve := range map[string]http.HandlerFunc{
		"POST " + control.LoadStartPath:   g.serveStart,
		"GET " + control.LoadOutcomesPath: g.serveOutcomes,
		"POST " + control.LoadControlPath: g.serveControl,
		"POST " + control.LoadSpansPath:   g.serveSpans,
		"POST " + control.LoadStopPath: func(http.ResponseWriter, *http.Request) {
			g.orders.stop.Do(func() { close(g.stopped) })
		},
		"POST " + control.LoadDonePath: func(http.ResponseWriter, *http.Request) {
			g.orders.done.Do(func() { close(g.done) })
		},
	} {
		mux.Handle(path, g.guard(serve))
	}
	return mux
}

// guard refuses requests without the token.
func (g *generator) guard(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !controlhttp.Authorized(r, g.token) {
			http.Error(w, "the header "+control.TokenHeader+" is not this load's token", http.StatusForbidden)
			return
		}
		serve(w, r)
	})
}

func (g *generator) serveStart(w http.ResponseWriter, r *http.Request) {
	var order control.LoadStart
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
	var f control.LoadFactors
	if !readOrder(w, r, &f) {
		return
	}
	g.control.Set(f.Rate, f.Burst, f.Users)
}

func (g *generator) serveSpans(w http.ResponseWriter, r *http.Request) {
	if g.spans == nil {
		http.Error(w, "reading the spans: the load makes none, because its traceSample is 0", http.StatusConflict)
		return
	}
	var q control.SpanQuery
	if err := controlhttp.ReadJSON(w, r, control.MaxBody, &q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer := g.spans.Fetch(q)
	answer.Now = time.Now().UnixNano()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the client may have gone
}

func readOrder(w http.ResponseWriter, r *http.Request, into any) bool {
	err := controlhttp.ReadJSON(w, r, maxOrder, into)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
	return err == nil
}

// serveOutcomes writes lines, from a number on, until the end of the load or until
// the reader leaves.
func (g *generator) serveOutcomes(w http.ResponseWriter, r *http.Request) {
	from := int64(1)
	if text := r.FormValue(control.FromParameter); text != "" {
		var err error
		if from, err = strconv.ParseInt(text, 10, 64); err != nil || from < 1 {
			http.Error(w, fmt.Sprintf("from %q is not a line number: they count from 1", text), http.StatusBadRequest)
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
				line = &remote.Line{Seq: from - 1} // shows that the connection works
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
