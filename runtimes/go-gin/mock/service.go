// Package mock is a mock service without its web framework: which endpoints it
// has, and what it answers. The framework routes requests here and writes the
// answers.
package mock

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	jsonType       = "application/json"
	defaultTimeout = 120 * time.Second
)

// A Request is one as the framework has read it.
type Request struct {
	*http.Request
	Body []byte
	// Gone is closed when the client has left.
	Gone <-chan struct{}
}

// An Answer is what is answered; nil closes the connection without an answer.
type Answer struct {
	Status int
	Body   []byte
	Header map[string]string
}

// A Route is a path with the endpoint that answers it.
type Route struct {
	Path     string
	Endpoint *Endpoint
}

// A Service answers the requests of one replica of a service.
type Service struct {
	Name string
	// Grace is how long requests in flight have at the end.
	Grace time.Duration
	// Loopback says that only this machine reaches the service.
	Loopback bool

	token     string
	limits    limits
	root      key
	endpoints []Endpoint
	faults    *faultBoard
	memory    *memory
	peers     *peers
	client    *http.Client
	metrics   *metrics
	inflight  atomic.Int64
	stopping  context.Context
	stop      context.CancelFunc
}

// New makes a service of what MICROSIM_SERVICE holds.
func New(spec []byte) (*Service, error) {
	var from struct {
		System     string          `json:"system"`
		Service    json.RawMessage `json:"service"`
		Replica    int             `json:"replica"`
		Seed       string          `json:"seed"`
		Peers      json.RawMessage `json:"peers"`
		AllowHosts []string        `json:"allowHosts"`
		Limits     limits          `json:"limits"`
		Token      string          `json:"token"`
		Grace      duration        `json:"grace"`
		// TraceSample has no effect: a service of level L2 makes no spans.
		TraceSample float64 `json:"traceSample"`
	}
	if err := decodeStrictly(spec, &from); err != nil {
		return nil, fmt.Errorf("reading MICROSIM_SERVICE: %w", err)
	}
	var service struct {
		Name      string     `json:"name"`
		Endpoints []Endpoint `json:"endpoints"`
		Memory    size       `json:"memory"`
		OnCancel  string     `json:"onCancel"`

		Workers, Backlog, Shed, Store given
	}
	if err := json.Unmarshal(from.Service, &service); err != nil {
		return nil, fmt.Errorf("reading the service of MICROSIM_SERVICE: %w", err)
	}
	where := "service " + service.Name
	switch {
	case bool(service.Workers):
		return nil, refuse(where, "workers")
	case bool(service.Backlog):
		return nil, refuse(where, "backlog")
	case bool(service.Shed):
		return nil, refuse(where, "shed")
	case bool(service.Store):
		return nil, refuse(where, "store")
	case service.OnCancel == "stop":
		return nil, refuse(where, "onCancel: stop")
	}
	n, err := strconv.ParseUint("0"+from.Seed, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the seed of MICROSIM_SERVICE: %w", err)
	}
	s := &Service{
		Name: service.Name, Grace: 5 * time.Second, token: from.Token, limits: from.Limits, root: seed(n).with(service.Name),
		endpoints: service.Endpoints, faults: newFaultBoard(service.Name, max(from.Replica, 1)), memory: &memory{},
		peers: &peers{system: from.System, allowHosts: from.AllowHosts}, client: newClient(),
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	if from.Grace > 0 {
		s.Grace = time.Duration(from.Grace)
	}
	s.limits.fill()
	for i := range s.endpoints {
		if err := s.endpoints[i].compile(); err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	if len(from.Peers) > 0 && string(from.Peers) != "null" {
		if err := s.peers.set(from.Peers); err != nil {
			return nil, err
		}
	}
	if service.Memory > 0 {
		if _, err := s.memory.take(int64(service.Memory)); err != nil {
			return nil, err
		}
	}
	s.metrics = newMetrics(s)
	return s, nil
}

// Close ends all that waits.
func (s *Service) Close() {
	s.stop()
	s.faults.clearAll()
	s.client.CloseIdleConnections()
}

// Routes lists the paths of the endpoints in order. If no endpoint has the root
// path, the root means all of them.
func (s *Service) Routes() (routes []Route) {
	hasRoot := false
	for i := range s.endpoints {
		e := &s.endpoints[i]
		routes = append(routes, Route{e.Path, e})
		hasRoot = hasRoot || e.Path == "/"
	}
	for i := 0; !hasRoot && i < len(s.endpoints); i++ {
		routes = append(routes, Route{"/", &s.endpoints[i]})
	}
	return routes
}

// Find returns the endpoint that answers a method on a path; nil if none does.
func (s *Service) Find(method, path string) *Endpoint {
	for _, r := range s.Routes() {
		if r.Path == path && r.Endpoint.Answers(method) {
			return r.Endpoint
		}
	}
	return nil
}

// Methods are those that an endpoint without one answers.
func Methods() []string { return []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"} }

// Answers reports whether the endpoint answers a method.
func (e *Endpoint) Answers(method string) bool {
	return e.Method == method || e.Method == "" && slices.Contains(Methods(), method)
}

// Answer answers a request to an endpoint.
func (s *Service) Answer(e *Endpoint, r *Request) *Answer {
	return s.exchange(r, e.Path, time.Duration(e.Timeout), false, func(x *exchange) *Answer {
		end := x.run(e.decide(x.key, x.from, x.faults))
		switch {
		case end == nil || end.kind == opAbort:
			return nil
		case end.kind == opFail && end.body != "":
			return textAnswer(end.status, end.body)
		case end.kind == opFail:
			return ErrorAnswer(end.status, end.text)
		case e.Response.Body != "":
			return textAnswer(e.Response.Status, e.Response.Body)
		}
		body, contentType := payload(int64(e.Response.Size))
		return &Answer{e.Response.Status, body, map[string]string{"Content-Type": contentType}}
	})
}

// IsChain reports whether a POST to the root carries a chain.
func (s *Service) IsChain(r *Request) bool {
	if s.Find(http.MethodPost, "/") == nil {
		return true
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); {
	case len(r.Body) == 0:
		return false
	case kind == "", kind == jsonType, kind == "application/x-www-form-urlencoded", strings.HasSuffix(kind, "+json"):
	default:
		return false
	}
	if len(r.Body) > int(s.limits.Body) || bytes.Contains(r.Body, []byte(`"designation"`)) {
		return true
	}
	var object map[string]json.RawMessage
	return json.Unmarshal(r.Body, &object) != nil || object == nil
}

// AnswerChain answers a chain.
func (s *Service) AnswerChain(r *Request) *Answer {
	began, timeout := time.Now(), defaultTimeout
	if e := s.Find(http.MethodPost, "/"); e != nil {
		timeout = time.Duration(e.Timeout)
	}
	return s.exchange(r, "chain", timeout, true, func(x *exchange) *Answer {
		c, err := parseChain(r.Body, &s.limits)
		refused := (*chainRefusedError)(nil)
		if errors.As(err, &refused) {
			return s.document(x, refused.status, "", refused.texts)
		}
		end := x.run(decideChain(c, x.key, x.from, x.faults))
		if end == nil || end.kind == opAbort {
			return nil
		}
		status := http.StatusOK
		if end.kind == opFail {
			status, x.notes = end.status, append(x.notes, end.text)
		}
		answer := s.document(x, status, c.designation, x.notes)
		if valueOf(r.Header, "Microsim-Times", 16384) != "" {
			took := fmt.Sprintf("%.1f", float64(time.Since(began))/1e6)
			if len(x.times) > 0 {
				took += "(" + strings.Join(x.times, ",") + ")"
			}
			answer.Header["Microsim-Times"] = took
		}
		return answer
	})
}

// document is MicroSim's response document. Those of routes stay as they came.
func (s *Service) document(x *exchange, status int, address string, texts []string) *Answer {
	if texts == nil {
		texts = []string{}
	}
	head, err := encodeJSON(struct {
		Service string   `json:"service"`
		Address string   `json:"address"`
		Errors  []string `json:"errors"`
	}{s.Name, address, texts})
	if err != nil {
		return ErrorAnswer(http.StatusInternalServerError, err.Error())
	}
	body := fmt.Appendf(bytes.TrimSuffix(head, []byte("}")), `,"response":[%s]}`, strings.Join(x.documents, ","))
	return &Answer{status, body, map[string]string{"Content-Type": jsonType}}
}

// exchange counts and times a request, and gives its answer what every answer has.
func (s *Service) exchange(r *Request, label string, timeout time.Duration, isChain bool, work func(*exchange) *Answer) (answer *Answer) {
	began, h := time.Now(), r.Header
	x := &exchange{
		service: s, request: r, id: requestID(h), hop: valueOf(h, "Microsim-Hop", 512), from: valueOf(h, "Microsim-From", 128),
		chain: isChain, faults: s.faults.set.Load(),
	}
	x.key = s.root.with(x.id).with(x.hop)
	if left, told := timeLeft(h); told && (timeout == 0 || left < timeout) {
		x.deadline = began.Add(left)
	} else if timeout > 0 {
		x.deadline = began.Add(timeout)
	}
	s.inflight.Add(1)
	defer func() {
		x.release()
		s.inflight.Add(-1)
		status := 0
		if answer != nil {
			status = answer.Status
		}
		s.metrics.request(label, status, time.Since(began), x.degraded)
	}()
	if answer = work(x); answer == nil {
		return nil
	}
	answer.Header["X-Request-ID"] = x.id
	if x.degraded > 0 {
		answer.Header["Microsim-Degraded"] = strconv.Itoa(min(x.degraded, 1_000_000))
	}
	if x.corrupt { // no reader takes it for good, and its length stays
		for i := 0; i < len(answer.Body); i += 64 {
			answer.Body[i] = ^answer.Body[i]
		}
	}
	return answer
}

// Refuse refuses a request of a web page; nil if it may pass.
func (s *Service) Refuse(r *http.Request) *Answer {
	if why := refusalOf(r, s.Loopback); why != "" {
		return ErrorAnswer(http.StatusForbidden, why)
	}
	return nil
}

// AnswerNone answers a request to a path or with a method that there is not.
func (s *Service) AnswerNone(r *Request) *Answer {
	path := r.URL.Path
	var allowed []string
	for _, route := range s.Routes() {
		switch {
		case route.Path != path:
		case route.Endpoint.Method == "":
			allowed = append(allowed, Methods()...)
		default:
			allowed = append(allowed, route.Endpoint.Method)
		}
	}
	answer := ErrorAnswer(http.StatusNotFound, fmt.Sprintf("service %q has no endpoint %.130q", s.Name, path))
	if len(allowed) > 0 {
		if path == "/" {
			allowed = append(allowed, http.MethodPost) // chains
		}
		slices.Sort(allowed)
		answer = ErrorAnswer(http.StatusMethodNotAllowed, fmt.Sprintf("service %q does not answer %s on %.130q", s.Name, r.Method, path))
		answer.Header["Allow"] = strings.Join(slices.Compact(allowed), ", ")
	}
	answer.Header["X-Request-ID"] = requestID(r.Header)
	s.metrics.request("other", answer.Status, 0, 0)
	return answer
}

// Metrics serves the metrics.
func (s *Service) Metrics() http.Handler { return s.metrics.handler }

// Control answers a request to /admin or /set-delay.
func (s *Service) Control(r *Request) *Answer {
	if s.token == "" {
		return ErrorAnswer(http.StatusForbidden, "control is off: the service has no token")
	}
	token := valueOf(r.Header, "Microsim-Token", 8192)
	if bearer, ok := strings.CutPrefix(valueOf(r.Header, "Authorization", 8192), "Bearer "); ok && token == "" {
		token = bearer
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(s.token)) != 1 {
		return ErrorAnswer(http.StatusUnauthorized, "control needs the header Authorization: Bearer with the system's token")
	}
	answer, err := s.control(r)
	if err != nil {
		return ErrorAnswer(http.StatusBadRequest, err.Error())
	}
	return answer
}

func (s *Service) control(r *Request) (*Answer, error) {
	done := &Answer{Status: http.StatusNoContent, Header: map[string]string{}}
	path, id := r.URL.EscapedPath(), ""
	if rest, ok := strings.CutPrefix(path, "/admin/faults/"); ok {
		var err error
		if id, err = url.PathUnescape(rest); err != nil {
			return nil, err
		}
		path = "/admin/faults/ID"
	}
	switch r.Method + " " + path {
	case "GET /admin/faults":
		return jsonAnswer(s.faults.told())
	case "PUT /admin/faults/ID":
		return done, s.faults.add(id, r.Body)
	case "DELETE /admin/faults/ID":
		s.faults.clear(id)
		return done, nil
	case "GET /admin/peers/unreachable":
		return jsonAnswer(s.peers.unreachable(r.Context()))
	case "PUT /admin/peers":
		return done, s.peers.set(r.Body)
	case "POST /set-delay":
		return s.setDelay(r.Body)
	}
	return ErrorAnswer(http.StatusNotFound, fmt.Sprintf("there is no %s %.130q", r.Method, path)), nil
}

// setDelay takes VECROsim's format.
func (s *Service) setDelay(body []byte) (*Answer, error) {
	var from struct {
		Delay  *float64 `json:"delay"`
		Jitter *float64 `json:"jitter"`
	}
	if err := decodeStrictly(body, &from); err != nil {
		return nil, err
	}
	if from.Delay == nil {
		return nil, errors.New("the request needs delay")
	}
	d := *from.Delay
	jitter := d / 10
	if from.Jitter != nil {
		jitter = *from.Jitter
	}
	if !(d >= 0 && d <= dayMS && jitter >= 0 && jitter <= dayMS) {
		return nil, fmt.Errorf("delay %v and jitter %v must be 0 to %.0f milliseconds", d, jitter, float64(dayMS))
	}
	if d == 0 && jitter == 0 {
		s.faults.clear("set-delay")
	} else {
		args := map[string]string{"delay": fmt.Sprintf("%fms", d)}
		if jitter > 0 {
			args["jitter"] = fmt.Sprintf("%fms", jitter)
		}
		request, err := json.Marshal(map[string]any{"fault": map[string]any{"type": "latency", "args": args}})
		if err != nil {
			return nil, err
		}
		if err := s.faults.add("set-delay", request); err != nil {
			return nil, err
		}
	}
	return jsonAnswer(map[string]string{"payload": fmt.Sprintf("delay set to %v ms with jitter %v ms", d, jitter)})
}

func jsonAnswer(v any) (*Answer, error) {
	body, err := encodeJSON(v)
	return &Answer{http.StatusOK, append(body, '\n'), map[string]string{"Content-Type": jsonType}}, err
}

// ErrorAnswer answers with a status and the object {"error": text}.
func ErrorAnswer(status int, text string) *Answer {
	body, _ := encodeJSON(map[string]string{"error": text}) // texts can always be encoded
	return &Answer{status, append(body, '\n'), map[string]string{"Content-Type": jsonType}}
}

func textAnswer(status int, body string) *Answer {
	contentType := mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"})
	if json.Valid([]byte(body)) {
		contentType = jsonType
	}
	return &Answer{status, []byte(body), map[string]string{"Content-Type": contentType}}
}
