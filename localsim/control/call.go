package control

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// maxChain bounds the body of a request to the control plane.
const maxChain = chain.DefaultBody

// newCallClient sends chains to their first service.
func newCallClient() *http.Client {
	return &http.Client{
		Transport:     newCallTransport(),
		Timeout:       topology.DefaultTimeout.Std(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newCallTransport carries chains to their first service. It keeps connections so
// that a chain costs no handshake. It bounds their number and age so that a large
// system does not run out of descriptors.
func newCallTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        4096,
		MaxIdleConnsPerHost: 128,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
}

// call answers a chain: it evaluates the probabilities, resolves the names,
// sends the remaining chain to its first service and passes on the response.
// The same seed in the query makes the same random decisions.
func (c *Server) call(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChain))
	if err != nil {
		var large *http.MaxBytesError
		status := http.StatusBadRequest
		if errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
			err = fmt.Errorf("the request has more than the %d bytes possible; send a smaller one", large.Limit)
		}
		answerErrors(w, status, "", err.Error())
		return
	}
	tree, err := chain.Parse(body, chain.Limits{})
	if err != nil {
		answerErrors(w, http.StatusBadRequest, "", chain.Refusal(err)...)
		return
	}
	key, id, err := c.drawKey(r)
	if err != nil {
		answerErrors(w, http.StatusBadRequest, tree.Designation, err.Error())
		return
	}
	w.Header().Set(control.RequestIDHeader, id)
	sampled := chain.Sample(tree, key)
	if sampled == nil {
		answerErrors(w, http.StatusOK, tree.Designation, fmt.Sprintf("not called: this time the probability of %v %% decided so", tree.Probability))
		return
	}
	replicas, err := c.system.Replicas(r.Context())
	if err != nil {
		answerErrors(w, http.StatusServiceUnavailable, tree.Designation, err.Error())
		return
	}
	resolved, _ := chain.Resolve(sampled, lookup(replicas, key))
	if resolved.Designation == sampled.Designation {
		answerErrors(w, http.StatusNotFound, tree.Designation, fmt.Sprintf("there is no service %q in system %q", tree.Designation, c.system.Name()))
		return
	}
	c.send(w, r, resolved, id)
}

// drawKey returns the key of the request's random decisions, and the request's
// id.
func (c *Server) drawKey(r *http.Request) (dist.Key, string, error) {
	id := r.Header.Get(control.RequestIDHeader)
	if !r.URL.Query().Has(control.SeedParameter) {
		id = cmp.Or(id, uuid.NewString())
		return load.CallKey(c.config.Seed).With(id), id, nil
	}
	text := r.URL.Query().Get(control.SeedParameter)
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, "", fmt.Errorf("invalid seed %q: use a whole number from 0", text)
	}
	key := load.CallKey(seed)
	// The services derive their random decisions from the id, so derive the id
	// from the seed.
	return key, cmp.Or(id, load.RequestID(key)), nil
}

// lookup returns a function that finds a replica for a name. It prefers replicas
// that are ready.
func lookup(replicas []runner.Replica, key dist.Key) func(string) (string, bool) {
	ready, all := map[string][]string{}, map[string][]string{}
	for _, s := range replicas {
		all[s.Service] = append(all[s.Service], s.URL)
		if s.State == runner.Ready {
			ready[s.Service] = append(ready[s.Service], s.URL)
		}
	}
	return func(name string) (string, bool) {
		urls := ready[name]
		if len(urls) == 0 {
			urls = all[name]
		}
		if len(urls) == 0 {
			return "", false
		}
		return urls[key.With("replica").With(name).IntN(len(urls))] + "/", true
	}
}

// send passes the chain to its first service, and the answer back to the client.
func (c *Server) send(w http.ResponseWriter, r *http.Request, tree *chain.Chain, id string) {
	body, err := json.Marshal(tree)
	if err == nil {
		var req *http.Request
		if req, err = http.NewRequestWithContext(r.Context(), http.MethodPost, tree.Designation, bytes.NewReader(body)); err == nil {
			req.URL.Host = c.system.Entrance(req.URL.Host)
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set(control.RequestIDHeader, id)
			for _, name := range []string{control.TraceHeader, control.TraceStateHeader} {
				if v := r.Header.Get(name); v != "" {
					req.Header.Set(name, v)
				}
			}
			err = c.forward(w, req)
		}
	}
	if err != nil {
		answerErrors(w, http.StatusBadGateway, tree.Designation, err.Error())
	}
}

// forward returns an error only if it has not begun to respond.
func (c *Server) forward(w http.ResponseWriter, req *http.Request) error {
	resp, err := c.calls.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, topology.MaxBody+1))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", req.URL, err)
	}
	if len(answer) > topology.MaxBody {
		return fmt.Errorf("the answer of %s has more than %d bytes", req.URL, topology.MaxBody)
	}
	w.Header().Set("Content-Type", cmp.Or(resp.Header.Get("Content-Type"), "application/json"))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer) // the client may have gone
	return nil
}

// answerErrors responds in the same way as a service that could not carry out a
// request.
func answerErrors(w http.ResponseWriter, status int, address string, errs ...string) {
	writeJSON(w, status, chain.Response{Address: address, Errors: errs, Response: []*chain.Response{}})
}
