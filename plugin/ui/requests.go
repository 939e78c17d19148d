package ui

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/webui"
)

// keptRequests is about how many requests of a run keep their traces, besides those
// that fail.
const keptRequests = 2000

// requests has the traces of a run.
type requests struct {
	store *trace.Store
	share float64
	// rootless says that the load may tell nothing of a request, such as in records of
	// earlier versions: then it begins where it reached the first service.
	rootless bool
}

var _ webui.Requests = (*requests)(nil)

// newRequests chooses the share of an experiment's requests that is kept.
func newRequests(e *experiment.Experiment) *requests {
	expected, users := 0.0, false
	for _, p := range e.Load.WithDefaults().Phases {
		most := p.Rate
		if p.RateTo != nil {
			most = max(most, *p.RateTo)
		}
		expected += most * p.Duration.Std().Seconds()
		users = users || p.Users > 0 || p.UsersTo != nil
	}
	share := span.DefaultShare
	if !users && expected > 0 {
		share = min(max(keptRequests/expected, share), 1)
	}
	return &requests{store: trace.NewStore(nil), share: share}
}

// Share implements webui.Requests.
func (r *requests) Share() float64 { return r.share }

// All implements webui.Requests.
func (r *requests) All() (list []webui.Request, lost int64) {
	traces := r.store.Traces()
	for i := range traces {
		t := &traces[i]
		root := t.Root()
		if root.Kind != span.Root && !r.rootless {
			continue // the load has not told of it yet
		}
		request := webui.Request{ID: t.ID.String(), Start: time.Unix(0, root.Start), Duration: root.Duration, Failed: t.Failed()}
		for j := range t.Spans {
			if s := t.Spans[j].Service; s != "" && !slices.Contains(request.Services, s) {
				request.Services = append(request.Services, s)
			}
		}
		request.What, request.End = trace.Name(root), trace.Ending(root)
		list = append(list, request)
	}
	return list, r.store.Lost()
}

// Spans implements webui.Requests.
func (r *requests) Spans(id string) []webui.RequestSpan {
	traces := r.store.Traces()
	at := slices.IndexFunc(traces, func(t trace.Trace) bool { return t.ID.String() == id })
	if at < 0 {
		return nil
	}
	return rowsOf(&traces[at])
}

// rowsOf are the spans of a trace as the page draws them.
func rowsOf(t *trace.Trace) (spans []webui.RequestSpan) {
	for _, row := range t.Rows() {
		spans = append(spans, webui.RequestSpan{
			Depth: row.Depth, Service: row.Service, Who: row.Who, What: row.What, Call: row.Kind == span.Client,
			Start: row.Start.Seconds(), Duration: row.Duration.Seconds(), End: row.End, Failed: row.Failed, Events: row.Events,
		})
	}
	return spans
}
