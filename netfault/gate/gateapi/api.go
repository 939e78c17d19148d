package gateapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/webguard"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
	"github.com/microsim-dev/kubectl-microsim/netfault/gate/relay"
)

// APIVersion is the version of toxiproxy whose API is spoken.
const APIVersion = "2.12.0"

// Config is what an API gives to its gates and clients.
type Config struct {
	// Gate holds the options of all gates; Listen, Upstream and Relay are not
	// used. Each gate has a seed of its own, made of Seed and its name.
	Gate gate.Config
	// Hosts are the values of the Host header, with port, by which clients reach
	// the API; empty means any. It keeps out web pages whose name an attacker has
	// pointed to this machine.
	Hosts []string
	// Version is what GET /version answers; "" means [APIVersion], which
	// clients expect.
	Version string
	// Log gets requests that failed through no fault of the client; nil drops
	// them.
	Log *slog.Logger
}

// API is a collection of gates and the HTTP handler that governs it.
type API struct {
	config Config
	mux    *http.ServeMux
	web    webguard.Guard
	relay  *relay.Relay // of all gates

	mu      sync.Mutex // held during each change, so that changes do not mix
	proxies map[string]*proxy
	closed  bool
}

// New returns an API without gates.
func New(c Config) *API {
	if c.Version == "" {
		c.Version = APIVersion
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{
		config: c, mux: http.NewServeMux(), proxies: map[string]*proxy{}, relay: relay.New(),
		web: webguard.Guard{Hosts: c.Hosts, Name: "the API of gates"},
	}
	a.routes()
	return a
}

// Add makes a gate and starts it, as POST /proxies does.
func (a *API) Add(name, listen, upstream string) (*gate.Gate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.create(settings{Name: name, Listen: listen, Upstream: upstream, Enabled: true}, nil)
	if err != nil {
		return nil, fmt.Errorf("adding gate %q from %q to %q: %w", name, problem.CleanURL(listen), problem.CleanURL(upstream), err)
	}
	return p.gate, nil
}

// Gate returns the gate of a name, or nil. It is replaced when a client
// changes its addresses.
func (a *API) Gate(name string) *gate.Gate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.proxies[name]; p != nil {
		return p.gate
	}
	return nil
}

// Populate makes the gates that a JSON list of proxies names, as POST /populate
// does; it is for configuration files.
func (a *API) Populate(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading a list of proxies: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.populate(body); err != nil {
		return fmt.Errorf("populating from a list of proxies: %w", err)
	}
	return nil
}

// Close closes all gates and returns when nothing is left of them.
func (a *API) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	var errs []error
	for name, p := range a.proxies {
		errs = append(errs, p.gate.Close())
		delete(a.proxies, name)
	}
	a.relay.Close()
	return errors.Join(errs...)
}

// Names lists the gates, sorted.
func (a *API) Names() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.proxies))
}

const (
	badRequest  = http.StatusBadRequest
	notFound    = http.StatusNotFound
	conflict    = http.StatusConflict
	serverError = http.StatusInternalServerError
)

// apiError is an error as clients read it.
type apiError struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

func (e *apiError) Error() string { return e.Message }

func failure(status int, format string, args ...any) *apiError {
	return &apiError{fmt.Sprintf(format, args...), status}
}

// asAPIError gives an error without a status one.
func asAPIError(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	return failure(serverError, "%v", err)
}

// copyAttributes copies values between attributes of one type.
func copyAttributes(from, to attributes) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// A proxyBody is what a client sends to make a proxy.
type proxyBody struct {
	settings
	Enabled *bool             `json:"enabled"` // nil means true
	Toxics  []json.RawMessage `json:"toxics"`
}

func (b *proxyBody) wanted() settings {
	s := b.settings
	s.Enabled = b.Enabled == nil || *b.Enabled
	return s
}

// create makes a proxy with its toxics, starts it if it is enabled, and keeps it.
func (a *API) create(s settings, toxics []json.RawMessage) (*proxy, error) {
	if s.Name == "" {
		return nil, failure(badRequest, "missing required field: name")
	}
	if s.Upstream == "" {
		return nil, failure(badRequest, "missing required field: upstream")
	}
	if a.closed {
		return nil, failure(http.StatusServiceUnavailable, "the API is closed")
	}
	if a.proxies[s.Name] != nil {
		return nil, failure(conflict, "proxy already exists")
	}
	p, err := a.newProxy(s, toxics)
	if err != nil {
		return nil, err
	}
	return p, a.replace(nil, p, s)
}

// replace starts a proxy if it is to be enabled and puts it in the place of
// another, or of none. On an error the other one goes on.
func (a *API) replace(old, next *proxy, s settings) error {
	if s.Enabled {
		err := next.start()
		if err != nil && old != nil && old.Enabled && samePort(old.Listen, s.Listen) {
			// The other one may be what is in the way.
			if err = old.gate.Stop(); err == nil {
				err = next.start()
			}
		}
		if err == nil {
			err = next.accept(s.Accepting)
		}
		if err != nil {
			err = errors.Join(err, next.gate.Close())
			if old != nil && old.Enabled {
				err = errors.Join(err, old.gate.Start())
			}
			return err
		}
	}
	a.proxies[s.Name] = next
	if old != nil {
		return old.gate.Close()
	}
	return nil
}

func samePort(a, b string) bool {
	_, one, err := net.SplitHostPort(a)
	_, two, err2 := net.SplitHostPort(b)
	return err == nil && err2 == nil && one == two
}

// populate makes or replaces the proxies of a list, until one cannot listen. All
// else is checked before anything is changed.
func (a *API) populate(body []byte) ([]*proxy, error) {
	var list []proxyBody
	if err := decode(body, &list); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for i, s := range list {
		if s.Name == "" {
			return nil, failure(badRequest, "missing required field: name at proxy %d", i+1)
		}
		if s.Upstream == "" {
			return nil, failure(badRequest, "missing required field: upstream at proxy %d", i+1)
		}
		if names[s.Name] {
			return nil, failure(badRequest, "the name %q is at proxy %d and at one before it; names must differ", s.Name, i+1)
		}
		names[s.Name] = true
	}
	if a.closed {
		return nil, failure(http.StatusServiceUnavailable, "the API is closed")
	}
	steps := make([]func() (*proxy, error), len(list))
	for i := range list {
		step, err := a.populating(&list[i])
		if err != nil {
			return nil, err
		}
		steps[i] = step
	}
	made := []*proxy{}
	for _, step := range steps {
		p, err := step()
		if err != nil {
			return made, err
		}
		made = append(made, p)
	}
	return made, nil
}

// populating plans what populate does for one proxy. One that exists with the
// same addresses stays, with its connections; toxics and enabled are changed if
// the list has them.
func (a *API) populating(b *proxyBody) (func() (*proxy, error), error) {
	s, old := b.wanted(), a.proxies[b.Name]
	if old != nil {
		if s.Listen == "" {
			s.Listen = old.Listen
		}
		differs, err := old.differs(s)
		if err != nil {
			return nil, err
		}
		if !differs {
			toxics, err := decodeToxics(b.Toxics)
			if err != nil {
				return nil, err
			}
			return func() (*proxy, error) { return old, old.change(b.Enabled, s.Accepting, toxics) }, nil
		}
	}
	next, err := a.newProxy(s, b.Toxics)
	if err != nil {
		return nil, err
	}
	return func() (*proxy, error) { return next, a.replace(old, next, s) }, nil
}

func (a *API) get(r *http.Request) (*proxy, error) {
	if p := a.proxies[r.PathValue("proxy")]; p != nil {
		return p, nil
	}
	return nil, failure(notFound, "proxy not found")
}

// A call answers a request with a status and a value to show as JSON, or an error.
type call func(r *http.Request, body []byte) (status int, answer any, err error)

func (a *API) routes() {
	locked := func(f call) call {
		return func(r *http.Request, body []byte) (int, any, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return f(r, body)
		}
	}
	for pattern, f := range map[string]call{
		"GET /version":                               a.version,
		"POST /reset":                                locked(a.reset),
		"POST /populate":                             locked(a.populateCall),
		"GET /proxies":                               locked(a.list),
		"POST /proxies":                              locked(a.createCall),
		"GET /proxies/{proxy}":                       locked(a.show),
		"POST /proxies/{proxy}":                      locked(a.update),
		"PATCH /proxies/{proxy}":                     locked(a.update),
		"DELETE /proxies/{proxy}":                    locked(a.remove),
		"GET /proxies/{proxy}/toxics":                locked(a.listToxics),
		"POST /proxies/{proxy}/toxics":               locked(a.addToxic),
		"GET /proxies/{proxy}/toxics/{toxic}":        locked(a.showToxic),
		"POST /proxies/{proxy}/toxics/{toxic}":       locked(a.updateToxic),
		"PATCH /proxies/{proxy}/toxics/{toxic}":      locked(a.updateToxic),
		"DELETE /proxies/{proxy}/toxics/{toxic}":     locked(a.removeToxic),
		"GET /proxies/{proxy}/toxics/{toxic}/effect": a.effect,
		"GET /proxies/{proxy}/connections":           locked(a.connections),
		"DELETE /proxies/{proxy}/connections":        locked(a.closeConnections),
	} {
		a.mux.Handle(pattern, a.handler(f))
	}
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Toxiproxy-Request-Id", rand.Text())
	if strings.HasPrefix(r.UserAgent(), "Mozilla/") {
		http.Error(w, "User agent not allowed", http.StatusForbidden)
		return
	}
	if err := a.web.Check(r); err != nil {
		respond(w, http.StatusForbidden, failure(http.StatusForbidden, "%v", err))
		return
	}
	a.mux.ServeHTTP(w, r)
}

// Limits of a request: its bytes, and the time to send them.
const (
	maxBody     = 16 << 20
	bodyTimeout = 30 * time.Second
)

func (a *API) handler(f call) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var status int
		var answer any
		// A client that sends slowly does not hold the connection for ever. Without
		// a connection, as in tests, there is nothing to bound.
		connection := http.NewResponseController(w)
		_ = connection.SetReadDeadline(time.Now().Add(bodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		_ = connection.SetReadDeadline(time.Time{})
		if err != nil {
			err = failure(badRequest, "bad request body: %v", err)
		} else {
			status, answer, err = f(r, firstValue(body))
		}
		if err != nil {
			e := asAPIError(err)
			if e.Status >= 500 {
				a.config.Log.Warn("answering a request", "method", r.Method, "path", r.URL.Path, "error", err)
			}
			status, answer = e.Status, e
		}
		respond(w, status, answer)
	})
}

// verbatim is an answer that is JSON already.
type verbatim string

func respond(w http.ResponseWriter, status int, answer any) {
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	var text []byte
	var err error
	if v, ok := answer.(verbatim); ok {
		text = []byte(v)
	} else {
		text, err = json.Marshal(answer)
	}
	if err != nil {
		status, text = serverError, []byte(`{"error":"encoding the answer","status":500}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // a client that went away needs no answer
}

// firstValue returns the first JSON value of a body: what follows is ignored, as toxiproxy does.
func firstValue(body []byte) []byte {
	var first json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); err != nil {
		return body // for the decoder to complain about
	}
	return first
}

func (a *API) version(*http.Request, []byte) (int, any, error) {
	// With the space that clients may have pinned.
	return http.StatusOK, verbatim(fmt.Sprintf(`{"version": %q}`, a.config.Version)), nil
}

func (a *API) reset(*http.Request, []byte) (int, any, error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.proxies)) {
		if err := a.proxies[name].reset(); err != nil {
			errs = append(errs, fmt.Errorf("proxy %q: %w", name, err))
		}
	}
	if len(errs) > 0 {
		return 0, nil, failure(serverError, "%v", errors.Join(errs...))
	}
	return http.StatusNoContent, nil, nil
}

func (a *API) populateCall(_ *http.Request, body []byte) (int, any, error) {
	made, err := a.populate(body)
	answer := struct {
		*apiError
		Proxies []shown `json:"proxies"`
	}{}
	if err == nil {
		answer.Proxies = []shown{}
	}
	for _, p := range made {
		answer.Proxies = append(answer.Proxies, p.show())
	}
	if err != nil {
		answer.apiError = asAPIError(err)
		return answer.Status, answer, nil
	}
	return http.StatusCreated, answer, nil
}

func (a *API) list(*http.Request, []byte) (int, any, error) {
	all := make(map[string]shown, len(a.proxies))
	for name, p := range a.proxies {
		all[name] = p.show()
	}
	return http.StatusOK, all, nil
}

func (a *API) createCall(_ *http.Request, body []byte) (int, any, error) {
	var b proxyBody
	if err := decode(body, &b); err != nil {
		return 0, nil, err
	}
	p, err := a.create(b.wanted(), b.Toxics)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, p.show(), nil
}

func (a *API) show(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.show(), nil
}

func (a *API) update(r *http.Request, body []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	// Clients send toxics as they were when they last asked, so only the calls for
	// toxics change them.
	b := struct {
		settings
		Enabled *bool           `json:"enabled"`
		Toxics  json.RawMessage `json:"toxics"`
	}{settings: p.settings}
	b.settings.Accepting = nil
	if err := decode(body, &b); err != nil {
		return 0, nil, err
	}
	s := b.settings
	if s.Enabled = p.Enabled; b.Enabled != nil {
		s.Enabled = *b.Enabled
	}
	if s.Name != p.Name {
		return 0, nil, failure(badRequest, "proxy %q cannot be renamed to %q; make another one", p.Name, s.Name)
	}
	if err := a.updateProxy(p, s); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.proxies[p.Name].show(), nil
}

func (a *API) remove(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	delete(a.proxies, p.Name)
	return http.StatusNoContent, nil, p.gate.Close()
}

func (a *API) listToxics(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, p.show().Toxics, nil
}

func (a *API) addToxic(r *http.Request, body []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	t, err := p.addToxic(body)
	return http.StatusOK, t, err
}

func (a *API) showToxic(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	_, t, err := p.find(r.PathValue("toxic"))
	return http.StatusOK, t, err
}

func (a *API) updateToxic(r *http.Request, body []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	t, err := p.updateToxic(r.PathValue("toxic"), body)
	return http.StatusOK, t, err
}

func (a *API) removeToxic(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, p.removeToxic(r.PathValue("toxic"))
}

// effect tells what a toxic has done. It is called without the lock, for it may wait.
func (a *API) effect(r *http.Request, _ []byte) (int, any, error) {
	if err := onlyParameters(r, "wait"); err != nil {
		return 0, nil, err
	}
	active, err := a.activeOf(r)
	if err != nil {
		return 0, nil, err
	}
	if text := r.URL.Query().Get("wait"); text != "" {
		limit, err := time.ParseDuration(text)
		if err != nil || limit < 0 {
			return 0, nil, failure(badRequest, "wait is %q; it must be a duration such as 5s", text)
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		if err := active.Wait(ctx); err != nil {
			return 0, nil, failure(http.StatusRequestTimeout, "%v", err)
		}
	}
	answer := map[string]any{"hits": active.Hits(), "bytes": active.Bytes(), "connections": active.Connections()}
	if p := active.Problem(); p != nil {
		answer["problem"] = p.Error()
	}
	return http.StatusOK, answer, nil
}

func (a *API) activeOf(r *http.Request) (*gate.Active, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.get(r)
	if err != nil {
		return nil, err
	}
	_, t, err := p.find(r.PathValue("toxic"))
	if err != nil {
		return nil, err
	}
	return t.active, nil
}

func (a *API) connections(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	type connection struct {
		ID       uint64    `json:"id"`
		Client   string    `json:"client"`
		Server   string    `json:"server"`
		Opened   time.Time `json:"opened"`
		ToServer int64     `json:"to_server_bytes"`
		ToClient int64     `json:"to_client_bytes"`
	}
	list := []connection{}
	for _, c := range p.gate.Connections() {
		list = append(list, connection{c.ID, c.Client.String(), c.Server.String(), c.Opened, c.ToServer, c.ToClient})
	}
	return http.StatusOK, list, nil
}

func (a *API) closeConnections(r *http.Request, _ []byte) (int, any, error) {
	p, err := a.get(r)
	if err != nil {
		return 0, nil, err
	}
	if err := onlyParameters(r, "count", "reset"); err != nil {
		return 0, nil, err
	}
	count := -1
	if text := r.URL.Query().Get("count"); text != "" {
		if count, err = strconv.Atoi(text); err != nil || count < 0 {
			return 0, nil, failure(badRequest, "count is %q; it must be a number of connections, 0 or more", text)
		}
	}
	end := p.gate.CloseConnections
	switch text := r.URL.Query().Get("reset"); text {
	case "true":
		end = p.gate.ResetConnections
	case "", "false":
	default:
		return 0, nil, failure(badRequest, "reset is %q; it must be true or false", text)
	}
	return http.StatusOK, map[string]int{"closed": end(count)}, nil
}

// onlyParameters refuses parameters of a URL that have no effect. Without it a
// mistyped count would close all connections.
func onlyParameters(r *http.Request, known ...string) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return failure(badRequest, "bad query: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if !slices.Contains(known, name) {
			return failure(badRequest, "parameter %q is not known; known are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
