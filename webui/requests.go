package webui

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Requests are those requests of a run whose traces were kept.
type Requests interface {
	// Share is which share of all requests is kept, besides those that failed.
	Share() float64
	// All returns them, the earliest first, and how many spans are missing.
	All() (list []Request, lost int64)
	// Spans are those of one request, each below the one that led to it; none if it is
	// not there.
	Spans(id string) []RequestSpan
}

// A Request is one of the load, with what followed from it.
type Request struct {
	ID       string
	Start    time.Time
	Duration time.Duration
	What     string
	// End says how it ended, as a status or a class of outcome; Failed whether badly, at
	// any hop.
	End    string
	Failed bool
	// Services are those that it has reached.
	Services []string
}

// A RequestSpan is what one service, or the caller of one, saw of a request. Start
// counts from the start of the request; both times are in seconds.
type RequestSpan struct {
	Depth int `json:"depth"`
	// Service is that of the replica, or the callee of a call.
	Service  string   `json:"service,omitempty"`
	Who      string   `json:"who"`
	What     string   `json:"what"`
	Call     bool     `json:"call,omitempty"`
	Start    float64  `json:"start"`
	Duration float64  `json:"duration"`
	End      string   `json:"end"`
	Failed   bool     `json:"failed,omitempty"`
	Events   []string `json:"events,omitempty"`
}

// mostRequests is how many requests a list on the page has.
const mostRequests = 12

// A requestView is a request in a list. Start counts from when the load began.
type requestView struct {
	ID       string  `json:"id"`
	Start    float64 `json:"start"`
	Duration float64 `json:"duration"`
	What     string  `json:"what"`
	End      string  `json:"end"`
	Failed   bool    `json:"failed"`
}

// A requestList has the requests that are most worth a look.
type requestList struct {
	// Share of all requests is kept, besides those that failed. Count are those kept
	// that were asked for, Lost the spans that are missing.
	Share   float64       `json:"share"`
	Count   int           `json:"count"`
	Lost    int64         `json:"lost"`
	Slowest []requestView `json:"slowest"`
	Failed  []requestView `json:"failed"`
}

// traces are the requests of the run that the page asks for.
func (s *Server) traces(r *http.Request) (Requests, time.Time, error) {
	run := s.current()
	id, err := strconv.Atoi(r.URL.Query().Get("run"))
	if err != nil {
		return nil, time.Time{}, badRequest("requests need the number of a run")
	}
	if run == nil || run.id != id {
		return nil, time.Time{}, &refusal{http.StatusGone, errors.New("that run is not shown any more")}
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if run.requests == nil {
		return nil, time.Time{}, &refusal{http.StatusNotFound, errors.New("no traces of this run were kept, so its single requests are not known")}
	}
	return run.requests, run.zero, nil
}

// getRequests lists the slowest requests and those that failed, of a service or in a
// time if such is asked for.
func (s *Server) getRequests(r *http.Request) (any, error) {
	requests, zero, err := s.traces(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	from, to := 0.0, 0.0
	if q.Has("from") || q.Has("to") {
		var err2 error
		from, err = strconv.ParseFloat(q.Get("from"), 64)
		if to, err2 = strconv.ParseFloat(q.Get("to"), 64); errors.Join(err, err2) != nil || from >= to {
			return nil, badRequest("the time from %q to %q is none: write both in seconds, the earlier first", q.Get("from"), q.Get("to"))
		}
	}
	all, lost := requests.All()
	list := requestList{Share: requests.Share(), Lost: lost, Slowest: []requestView{}, Failed: []requestView{}}
	for i := range all {
		request := &all[i]
		v := requestView{request.ID, request.Start.Sub(zero).Seconds(), request.Duration.Seconds(), request.What, request.End, request.Failed}
		if service := q.Get("service"); service != "" && !slices.Contains(request.Services, service) || to > from && (v.Start < from || v.Start >= to) {
			continue
		}
		list.Count++
		if v.Failed {
			list.Failed = append(list.Failed, v)
		} else {
			list.Slowest = append(list.Slowest, v)
		}
	}
	slices.SortStableFunc(list.Slowest, func(a, b requestView) int { return cmp.Compare(b.Duration, a.Duration) })
	list.Slowest = list.Slowest[:min(len(list.Slowest), mostRequests)]
	list.Failed = list.Failed[:min(len(list.Failed), mostRequests)]
	return list, nil
}

// getRequest answers with the spans of one request.
func (s *Server) getRequest(r *http.Request) (any, error) {
	requests, _, err := s.traces(r)
	if err != nil {
		return nil, err
	}
	spans := requests.Spans(r.PathValue("id"))
	if len(spans) == 0 {
		return nil, &refusal{http.StatusNotFound, errors.New("the trace of that request is not kept any more")}
	}
	return spans, nil
}
