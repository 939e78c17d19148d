package nodeagent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
	"github.com/microsim-dev/kubectl-microsim/netfault/netlab"
)

// Handler answers requests that know the token.
func (n *Node) Handler(token string) http.Handler {
	mux := http.NewServeMux()
	// The API server passes escaped slashes on as slashes.
	mux.HandleFunc("PUT "+control.NodeOrdersPath+"/{owner...}", answering(n.putOrder))
	mux.HandleFunc("DELETE "+control.NodeOrdersPath+"/{owner...}", answering(n.deleteOrder))
	mux.HandleFunc("GET "+control.NodeStatusPath, answering(func(*http.Request) (any, error) { return n.statuses(""), nil }))
	mux.HandleFunc("GET "+control.NodeBackendsPath, answering(func(r *http.Request) (any, error) { return backendStates(r.Context()), nil }))
	all := http.NewServeMux()
	all.HandleFunc("GET "+control.HealthPath, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	all.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !controlhttp.Authorized(r, token) {
			http.Error(w, "the header "+control.TokenHeader+" does not have the helper's token", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return all
}

// httpError is an error with the status that tells it.
type httpError struct {
	status int
	error
}

// answering turns what a function returns into JSON, or an error into text.
func answering(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := f(r)
		if err != nil {
			status := http.StatusInternalServerError
			if h := (httpError{}); errors.As(err, &h) {
				status = h.status
			}
			http.Error(w, err.Error(), status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // who does not listen any more misses nothing
	}
}

// putOrder answers when the order has been carried out.
func (n *Node) putOrder(r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxNodeOrder))
	if err != nil {
		return nil, httpError{http.StatusBadRequest, fmt.Errorf("reading the order: %w", err)}
	}
	o, err := parseOrder(body)
	if err == nil && o.Owner != r.PathValue("owner") {
		err = fmt.Errorf("the order of %q is put in the place of %q", o.Owner, r.PathValue("owner"))
	}
	if err != nil {
		return nil, httpError{http.StatusBadRequest, err}
	}
	pods, err := n.store.put(o, time.Now())
	if err != nil {
		return nil, httpError{http.StatusConflict, err}
	}
	if err := n.Wait(r.Context(), pods); err != nil {
		return nil, err
	}
	return n.statuses(o.Owner), nil
}

// deleteOrder answers when everything is taken back.
func (n *Node) deleteOrder(r *http.Request) (any, error) {
	owner := r.PathValue("owner")
	version := int64(0)
	if text := r.URL.Query().Get(control.VersionParameter); text != "" {
		var err error
		if version, err = strconv.ParseInt(text, 10, 64); err != nil || version < 0 {
			return nil, httpError{http.StatusBadRequest, fmt.Errorf("version %q is not a version number", text)}
		}
	}
	pods, err := n.store.remove(owner, version)
	if err != nil {
		return nil, httpError{http.StatusConflict, err}
	}
	if err := n.Wait(r.Context(), pods); err != nil {
		return nil, err
	}
	left := n.statuses(owner)
	for _, s := range left {
		if s.Acts {
			return nil, fmt.Errorf("fault %q of %q still acts on pod %s: %s", s.FaultID, owner, s.PodUID, s.Error)
		}
	}
	return left, nil
}

// Wait has pods look at the orders, and waits until they have.
func (n *Node) Wait(ctx context.Context, pods []string) error {
	for _, answer := range n.notify(pods) {
		select {
		case <-answer:
		case <-ctx.Done():
			return fmt.Errorf("waiting until the order is carried out: %w", ctx.Err())
		}
	}
	if n.stopping() {
		return httpError{http.StatusServiceUnavailable, errors.New("the helper is ending and takes everything back; another one has to be started")}
	}
	return nil
}

func (n *Node) stopping() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ending
}

// backendStates tries every backend in a namespace of its own.
func backendStates(ctx context.Context) []control.Backend {
	all := func(ns vns.NsHandle) []netfault.Backend {
		var out []netfault.Backend
		for _, m := range impair.Backends() {
			out = append(out, m.Open(ns))
		}
		return out
	}
	var out []control.Backend
	for _, c := range netlab.CheckBackends(ctx, all) {
		out = append(out, control.Backend{Name: c.Name, Works: c.Err == nil, Why: oneLine(c.Err)})
	}
	return out
}
