package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// ControlHandler answers the control requests that every service has: /healthz,
// /readyz, /metrics and, with the token, /admin. A store calls nobody and makes no
// spans, so it takes peers and tells no spans.
func (s *Server) ControlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+control.HealthPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET "+control.ReadyPath, func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			answer(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
		answer(w, http.StatusOK, "ready\n")
	})
	mux.HandleFunc("GET "+control.MetricsPath, s.metrics.serve)
	mux.HandleFunc("GET "+control.FaultsPath, s.admin(func(http.ResponseWriter, *http.Request) (any, error) { return s.Faults(), nil }))
	mux.HandleFunc("PUT "+control.FaultsPath+"/{id}", s.admin(s.putFault))
	mux.HandleFunc("DELETE "+control.FaultsPath+"/{id}", s.admin(func(_ http.ResponseWriter, r *http.Request) (any, error) {
		return nil, s.ClearFault(r.PathValue("id"))
	}))
	mux.HandleFunc("GET "+control.UnreachablePath, s.admin(func(http.ResponseWriter, *http.Request) (any, error) { return []string{}, nil }))
	mux.HandleFunc("PUT "+control.PeersPath, s.admin(func(w http.ResponseWriter, r *http.Request) (any, error) {
		var peers control.Peers
		return nil, controlhttp.ReadJSON(w, r, control.MaxBody, &peers)
	}))
	mux.HandleFunc("POST "+control.SpansPath, s.admin(func(http.ResponseWriter, *http.Request) (any, error) { return span.Answer{}, nil }))
	return mux
}

func (s *Server) putFault(w http.ResponseWriter, r *http.Request) (any, error) {
	var request control.FaultRequest
	if err := controlhttp.ReadJSON(w, r, control.MaxBody, &request); err != nil {
		return nil, err
	}
	return nil, s.AddFault(r.PathValue("id"), request.Fault, request.Deadline)
}

// admin serves a control request whose token is right.
func (s *Server) admin(do func(http.ResponseWriter, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var result any
		status, err := http.StatusBadRequest, error(nil)
		switch {
		case s.cfg.Token == "":
			status, err = http.StatusForbidden, errors.New("control is off: the store has no token")
		case !controlhttp.Authorized(r, s.cfg.Token):
			status, err = http.StatusUnauthorized, errors.New("control needs the header Authorization: Bearer with the system's token")
		default:
			result, err = do(w, r)
		}
		switch {
		case err != nil:
			answerJSON(w, status, control.Refusal{Error: err.Error()})
		case result == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			answerJSON(w, http.StatusOK, result)
		}
	}
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // who does not read it is gone
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		answer(w, http.StatusInternalServerError, fmt.Sprintf("writing the answer: %v\n", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(strings.TrimSpace(string(text)) + "\n")) // as above
}
