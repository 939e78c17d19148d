package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A FaultRequest is the body of PUT /admin/faults/{id}.
type FaultRequest struct {
	Fault fault.Fault `json:"fault"`
	// Deadline is when the service takes the fault back by itself; zero means
	// that it is cleared by hand.
	Deadline time.Time `json:"deadline,omitzero"`
}

const (
	faultsPath = "/admin/faults"
	peersPath  = "/admin/peers"
	// unreachablePath lists the peers that take no connection.
	unreachablePath = "/admin/peers/unreachable"
	setDelayPath    = "/set-delay"
	// setDelayID is the id of the latency that /set-delay sets.
	setDelayID = "set-delay"
	// maxControlBody bounds the body of a control request; the peers of 20 000
	// services fit.
	maxControlBody = 8 << 20
)

// isControl reports, cheaply, whether a path may be one of serveControl's.
func isControl(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/metrics", setDelayPath, "/admin":
		return true
	}
	return strings.HasPrefix(path, "/admin/")
}

// serveControl answers the paths that are the service's own, and reports
// whether the request was for one. Faults never act on them.
func (s *Service) serveControl(w http.ResponseWriter, r *http.Request) bool {
	switch path := r.URL.Path; path {
	case "/healthz":
		writeBody(w, http.StatusOK, "text/plain", []byte("ok\n"))
	case "/readyz":
		if s.ready.Load() {
			writeBody(w, http.StatusOK, "text/plain", []byte("ready\n"))
		} else {
			writeBody(w, http.StatusServiceUnavailable, "text/plain", []byte("not ready\n"))
		}
	case "/metrics":
		s.metrics.handler.ServeHTTP(w, r)
	case setDelayPath:
		if e, _ := s.plan.Endpoint(r.Method, path); e != nil {
			return false
		}
		s.serveAdmin(w, r)
	default:
		if path != "/admin" && !strings.HasPrefix(path, "/admin/") {
			return false
		}
		s.serveAdmin(w, r)
	}
	return true
}

// A statusError is what a control request is answered with.
type statusError struct {
	status int
	error
}

// serveAdmin does a control request, if its token is right.
func (s *Service) serveAdmin(w http.ResponseWriter, r *http.Request) {
	result, err := s.admin(w, r)
	if err != nil {
		status := http.StatusBadRequest
		var known statusError
		if errors.As(err, &known) {
			status = known.status
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

func (s *Service) admin(w http.ResponseWriter, r *http.Request) (result any, err error) {
	if s.cfg.Token == "" {
		return nil, statusError{http.StatusForbidden, errors.New("control is off: the service has no token")}
	}
	if !s.authorized(r) {
		return nil, statusError{http.StatusUnauthorized, errors.New("control needs the header Authorization: Bearer with the system's token")}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxControlBody)
	id, isFault := strings.CutPrefix(r.URL.Path, faultsPath+"/")
	switch {
	case r.URL.Path == faultsPath && r.Method == http.MethodGet:
		return s.Faults(), nil
	case isFault && r.Method == http.MethodPut:
		var request FaultRequest
		// As everywhere, a fault without a probability always acts.
		request.Fault.Probability = 1
		if err := decode(r.Body, &request); err != nil {
			return nil, err
		}
		return nil, s.AddFault(id, request.Fault, request.Deadline)
	case isFault && r.Method == http.MethodDelete:
		s.ClearFault(id)
		return nil, nil
	case r.URL.Path == unreachablePath && r.Method == http.MethodGet:
		return s.Unreachable(r.Context()), nil
	case r.URL.Path == peersPath && r.Method == http.MethodPut:
		var peers map[string][]string
		if err := decode(r.Body, &peers); err != nil {
			return nil, err
		}
		return nil, s.SetPeers(peers)
	case r.URL.Path == setDelayPath && r.Method == http.MethodPost:
		return s.setDelay(r.Body)
	}
	return nil, statusError{http.StatusNotFound, fmt.Errorf("there is no %s %q: use GET %[3]s, PUT or DELETE %[3]s/ID, PUT %s, GET %s, POST %s", r.Method, shorten(r.URL.Path), faultsPath, peersPath, unreachablePath, setDelayPath)}
}

// TokenHeader may carry the token in place of Authorization, which a proxy such
// as the API server of Kubernetes keeps for itself.
const TokenHeader = "Microsim-Token"

// authorized compares hashes, so that the time it takes tells nothing.
func (s *Service) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token := r.Header.Get(TokenHeader); token != "" {
		given, ok = token, true
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.cfg.Token))
	return ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func decode(r io.Reader, into any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("reading the request's body: %w", err)
	}
	return nil
}

// setDelay sets the delay of all requests, in VECROsim's format: milliseconds
// with a uniform jitter to either side, a tenth of the delay if not given. It
// takes the place of the delay set before and comes on top of the System's own;
// a delay of 0 takes it back.
func (s *Service) setDelay(body io.Reader) (any, error) {
	var request struct {
		Delay  *float64 `json:"delay"`
		Jitter *float64 `json:"jitter"`
	}
	if err := decode(body, &request); err != nil {
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
	return map[string]string{"payload": fmt.Sprintf("delay set to %v ms with jitter %v ms", delay, jitter)}, nil
}
