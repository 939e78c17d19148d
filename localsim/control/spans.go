package control

import (
	"net/http"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// spans asks all replicas for the spans of traces, and merges their answers. Only a
// query for traces has a meaning for several replicas at once.
func (c *Server) spans(r *http.Request) (any, error) {
	var q control.SpanQuery
	if err := readJSON(r, control.MaxBody, &q); err != nil {
		return nil, err
	}
	if q.From >= 0 || len(q.Traces) == 0 || len(q.Traces) > control.MaxTracesAsked {
		return nil, refuse(http.StatusBadRequest, "asking a whole system for spans: name 1 to %d traces, and make from -1; replicas answer the rest themselves", control.MaxTracesAsked)
	}
	replicas, err := c.system.Replicas(r.Context())
	if err != nil {
		return nil, err
	}
	answers := make([]control.Spans, len(replicas))
	var questions sync.WaitGroup
	for i, replica := range replicas {
		if replica.State == runner.Down || replica.State == runner.Paused {
			continue
		}
		questions.Go(func() { //nolint:contextcheck // it has that of the request
			// A replica that does not answer adds no spans.
			answers[i], _ = c.system.Spans(r.Context(), replica, q)
		})
	}
	questions.Wait()
	all := control.Spans{Next: -1}
	for i := range answers {
		all.Spans = append(all.Spans, answers[i].Spans...)
	}
	return all, nil
}
