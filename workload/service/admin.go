package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
)

// setDelayID is the id of the latency that control.SetDelayPath sets.
const setDelayID = "set-delay"

// isControl is a cheap check whether a path may be one of serveControl.
func isControl(path string) bool {
	switch path {
	case control.HealthPath, control.ReadyPath, control.MetricsPath, control.SetDelayPath, control.AdminPath:
		return true
	}
	return strings.HasPrefix(path, control.AdminPath+"/")
}

// serveControl answers a request for one of the service's control paths, and
// reports whether it was one. Faults never act on them.
func (s *Service) serveControl(w http.ResponseWriter, r *http.Request) bool {
	switch r.URL.Path {
	case control.HealthPath, control.ReadyPath, control.MetricsPath:
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header()["Allow"] = []string{"GET, HEAD"}
			writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is read by GET", r.URL.Path))
			return true
		}
	}
	switch path := r.URL.Path; path {
	case control.HealthPath:
		writeBody(w, http.StatusOK, "text/plain", []byte("ok\n"))
	case control.ReadyPath:
		if s.ready.Load() {
			writeBody(w, http.StatusOK, "text/plain", []byte("ready\n"))
		} else {
			writeBody(w, http.StatusServiceUnavailable, "text/plain", []byte("not ready\n"))
		}
	case control.MetricsPath:
		s.serveMetrics(w, r)
	case control.SetDelayPath:
		if e, _ := s.served.Load().plan.Endpoint(r.Method, path); e != nil {
			return false
		}
		s.serveAdmin(w, r)
	default:
		if path != control.AdminPath && !strings.HasPrefix(path, control.AdminPath+"/") {
			return false
		}
		s.serveAdmin(w, r)
	}
	return true
}

// serveMetrics answers with the metrics for Prometheus or, if this project's
// scraper asks for them, with fine histograms.
func (s *Service) serveMetrics(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != control.FineQuery {
		s.metrics.ServeHTTP(w, r)
		return
	}
	page, err := s.metrics.Fine()
	if err != nil {
		writeError(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeBody(w, http.StatusOK, metrics.FineType(), page)
}

// A statusError is an error of a control request with the status of its answer.
type statusError struct {
	status int
	error
}

// serveAdmin carries out a control request if its token is right.
func (s *Service) serveAdmin(w http.ResponseWriter, r *http.Request) {
	result, err := s.admin(w, r)
	if err != nil {
		status := http.StatusBadRequest
		var known statusError
		if errors.As(err, &known) {
			status = known.status
		}
		if allow := adminMethods(r.URL.Path); status == http.StatusNotFound && allow != "" {
			status, w.Header()["Allow"] = http.StatusMethodNotAllowed, []string{allow}
		}
		writeError(w, status, err.Error())
		return
	}
	if result == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := json.Marshal(result)
	if err != nil {
		writeError(w, http.StatusInternalServerError, "writing the answer: "+err.Error())
		return
	}
	writeBody(w, http.StatusOK, jsonType, append(body, '\n'))
}

// adminMethods returns the methods of a control path, or "" if there is no such
// path.
func adminMethods(path string) string {
	switch {
	case path == control.FaultsPath, path == control.UnreachablePath:
		return "GET"
	case path == control.PeersPath:
		return "PUT"
	case path == control.ServicePath:
		return "GET, PUT"
	case path == control.SetDelayPath, path == control.SpansPath:
		return "POST"
	case strings.HasPrefix(path, control.FaultsPath+"/"):
		return "DELETE, PUT"
	}
	return ""
}

func (s *Service) admin(w http.ResponseWriter, r *http.Request) (result any, err error) {
	if s.cfg.Token == "" {
		return nil, statusError{http.StatusForbidden, errors.New("control is off: the service has no token")}
	}
	if !controlhttp.Authorized(r, s.cfg.Token) {
		return nil, statusError{http.StatusUnauthorized, errors.New("control needs the header Authorization: Bearer with the system's token")}
	}
	id, isFault := strings.CutPrefix(r.URL.Path, control.FaultsPath+"/")
	switch {
	case r.URL.Path == control.FaultsPath && r.Method == http.MethodGet:
		return s.Faults(), nil
	case isFault && r.Method == http.MethodPut:
		var request control.FaultRequest
		if err := controlhttp.ReadJSON(w, r, control.MaxBody, &request); err != nil {
			return nil, err
		}
		return nil, s.AddFault(id, request.Fault, request.Deadline)
	case isFault && r.Method == http.MethodDelete:
		s.ClearFault(id)
		return nil, nil
	case r.URL.Path == control.UnreachablePath && r.Method == http.MethodGet:
		return s.Unreachable(r.Context()), nil
	case r.URL.Path == control.PeersPath && r.Method == http.MethodPut:
		var peers control.Peers
		if err := controlhttp.ReadJSON(w, r, control.MaxBody, &peers); err != nil {
			return nil, err
		}
		return nil, s.SetPeers(peers)
	case r.URL.Path == control.ServicePath && r.Method == http.MethodGet:
		return s.Serving(), nil
	case r.URL.Path == control.ServicePath && r.Method == http.MethodPut:
		var d control.Description
		if err := controlhttp.ReadJSON(w, r, control.MaxBody, &d); err != nil {
			return nil, err
		}
		if err := s.Describe(&d); err != nil {
			return nil, err
		}
		return s.Serving(), nil
	case r.URL.Path == control.SpansPath && r.Method == http.MethodPost:
		return s.spans(w, r)
	case r.URL.Path == control.SetDelayPath && r.Method == http.MethodPost:
		return s.setDelay(w, r)
	}
	return nil, statusError{http.StatusNotFound, fmt.Errorf("there is no %s %q: use GET %[3]s, PUT or DELETE %[3]s/ID, PUT %s, GET %s, GET or PUT %s, POST %s, POST %s", r.Method, problem.Excerpt(r.URL.Path), control.FaultsPath, control.PeersPath, control.UnreachablePath, control.ServicePath, control.SpansPath, control.SetDelayPath)}
}

// setDelay sets the delay of all requests, in VECROsim's format: milliseconds, with
// a uniform jitter to either side that is a tenth of the delay if not given. It
// replaces the delay set before, and adds to that of the System; a delay of 0
// removes it.
func (s *Service) setDelay(w http.ResponseWriter, r *http.Request) (any, error) {
	var request control.SetDelay
	if err := controlhttp.ReadJSON(w, r, control.MaxBody, &request); err != nil {
		return nil, err
	}
	if request.Delay == nil {
		return nil, errors.New("setting the delay: write delay, and jitter if wanted, in milliseconds")
	}
	delay, jitter := *request.Delay, *request.Delay/10
	if request.Jitter != nil {
		jitter = *request.Jitter
	}
	const day = 24 * 3600e3
	if !(delay >= 0 && delay <= day && jitter >= 0 && jitter <= day) {
		return nil, fmt.Errorf("setting the delay: delay %v and jitter %v must be 0 to %v milliseconds", delay, jitter, day)
	}
	if delay == 0 && jitter == 0 {
		s.ClearFault(setDelayID)
	} else {
		ms := float64(time.Millisecond)
		f := fault.Fault{Type: fault.Latency, Probability: 1, Args: fault.Args{Delay: dist.Jittered(time.Duration(delay*ms), time.Duration(jitter*ms))}}
		if err := s.AddFault(setDelayID, f, time.Time{}); err != nil {
			return nil, err
		}
	}
	return control.SetDelayDone{Payload: fmt.Sprintf("delay set to %v ms with jitter %v ms", delay, jitter)}, nil
}
