package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// serveHTTP counts, times and answers one request.
func (s *Service) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if isControl(r.URL.Path) && s.serveControl(w, r) {
		return
	}
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	x := s.exchanges.Get().(*exchange)
	x.w, x.r, x.start, x.faults = w, r, time.Now(), s.faults.now.Load()
	if s.cfg.Service.OnCancel == topology.Stop {
		x.left = r.Context().Done()
	}
	if s.perWorker && s.admission == nil {
		x.worker, _ = r.Context().Value(workerKey{}).(int)
	}
	s.inFlight.Add(1)
	defer x.end()
	x.serve()
}

// admit waits for a worker, where requests do so inside the service, and answers
// 503 where there is none to be had.
func (x *exchange) admit(timeout time.Duration) bool {
	s := x.service
	if s.admission == nil {
		return true
	}
	s.inFlight.Add(-1)
	defer s.inFlight.Add(1)
	x.worker, x.admitted = s.admission.enter(deadline(x.r.Header, x.start, timeout), s.stop, x.left)
	if !x.admitted {
		x.w.Header()["Retry-After"] = []string{"1"}
		x.fail(http.StatusServiceUnavailable, fmt.Sprintf("service %q has too much to do", s.Name()))
	}
	return x.admitted
}

// end counts the request, lets go of all it holds, and makes the client see a
// closed connection where the handler was to break.
func (x *exchange) end() {
	s := x.service
	if broken := recover(); broken != nil {
		x.status, x.closing = 0, true
		if err, ok := broken.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			s.log.Error("the handler broke", "service", s.Name(), "panic", fmt.Sprint(broken), "stack", string(debug.Stack()))
		}
	}
	if x.metrics != nil {
		x.metrics.count(x.status, time.Since(x.start))
	}
	closing := x.closing
	if x.admitted {
		s.admission.leave(x.worker)
	}
	for _, b := range x.blocks {
		b.free()
	}
	x.reset()
	s.exchanges.Put(x)
	s.inFlight.Add(-1)
	s.leave()
	if closing {
		panic(http.ErrAbortHandler)
	}
}

// serve finds out what the request is for and does it.
func (x *exchange) serve() {
	s, r := x.service, x.r
	if r.Method == http.MethodPost && r.URL.Path == topology.DefaultPath && x.serveChain() {
		return
	}
	e, known := s.plan.Endpoint(r.Method, r.URL.Path)
	switch {
	case e != nil:
		x.serveEndpoint(e)
	case known:
		x.metrics = s.metrics.other
		x.fail(http.StatusMethodNotAllowed, fmt.Sprintf("service %q does not answer %s on %q", s.Name(), r.Method, shorten(r.URL.Path)))
	default:
		x.metrics = s.metrics.other
		x.fail(http.StatusNotFound, fmt.Sprintf("service %q has no endpoint %q", s.Name(), shorten(r.URL.Path)))
	}
}

func (x *exchange) serveEndpoint(e *behave.Endpoint) {
	s := x.service
	reply := s.replies[e]
	x.metrics = reply.metrics
	if x.r.ContentLength != 0 && !x.drained {
		x.readBody(len(e.Fields) > 0)
	}
	if !x.admit(e.Timeout) {
		return
	}
	if x.faults == nil && e.Plain() && !s.log.Enabled(x.r.Context(), slog.LevelDebug) {
		if id := x.r.Header[headerRequestID]; len(id) != 0 {
			x.w.Header()[headerRequestID] = id[:1]
		}
		x.respond(reply)
		return
	}
	x.identify()
	if e.Require != "" && x.r.Header.Get(e.Require) == "" {
		x.fail(e.RequireStatus, fmt.Sprintf("the header %s is missing", e.Require))
		return
	}
	if e.UsesRequest() {
		var err error
		if x.values, err = e.Values(x.r.URL.Path, x.body); err != nil {
			x.fail(http.StatusBadRequest, err.Error())
			return
		}
	}
	x.deadline = deadline(x.r.Header, x.start, e.Timeout)
	x.ops, x.owned = e.Decide(x.buffer[:0], x.request, x.faultSet()), !x.faultSet().Empty() || !e.Certain()
	x.logStart()
	switch v := x.run(x.ops); v.kind {
	case behave.OpRespond:
		x.respond(reply)
	case behave.OpFail:
		x.failWith(v)
	default:
		panic(http.ErrAbortHandler)
	}
}

// readBody reads the request's body to its end: a server does so before it works.
func (x *exchange) readBody(keep bool) {
	body := io.LimitReader(x.r.Body, topology.MaxBody)
	var err error
	if keep {
		x.body, err = io.ReadAll(io.LimitReader(body, int64(x.service.limits.Body)))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) respond(reply *reply) {
	if len(reply.names) > 0 {
		filled := *reply
		filled.setBody([]byte(x.values.Fill(reply.template, x.answers)))
		reply = &filled
	}
	x.status = reply.status
	body := reply.body
	if x.corrupt {
		body = damage(body)
	}
	h := x.w.Header()
	for name, value := range reply.header {
		h[name] = value
	}
	if reply.status != http.StatusOK {
		x.w.WriteHeader(reply.status)
	}
	if len(body) > 0 {
		// A client that has left cannot be told.
		_, _ = x.w.Write(body)
	}
}

func (x *exchange) fail(status int, text string) {
	x.status = status
	writeError(x.w, status, text)
}

// failWith answers with the body that the System gives for a failure, if any.
func (x *exchange) failWith(v verdict) {
	if v.body == "" {
		x.fail(v.status, v.text)
		return
	}
	x.status = v.status
	writeBody(x.w, v.status, contentTypeOf([]byte(v.body)), []byte(v.body))
}

// serveChain does the request if it is a chain, and reports whether it was.
func (x *exchange) serveChain() bool {
	s, r := x.service, x.r
	endpoint, _ := s.plan.Endpoint(http.MethodPost, topology.DefaultPath)
	if endpoint != nil && (r.ContentLength == 0 || !mayBeChain(r.Header.Get("Content-Type"))) {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(s.limits.Body)+1))
	if err != nil {
		// The client has left half-way; there is nobody to answer.
		x.metrics = s.metrics.chain
		panic(http.ErrAbortHandler)
	}
	if endpoint != nil && len(body) <= int(s.limits.Body) && (len(body) == 0 || isForeignObject(body)) {
		x.drained, x.body = true, body
		return false
	}
	x.metrics = s.metrics.chain
	if !x.admit(topology.DefaultTimeout.Std()) {
		return true
	}
	x.identify()
	x.deadline = deadline(r.Header, x.start, topology.DefaultTimeout.Std())
	if endpoint != nil {
		x.deadline = deadline(r.Header, x.start, endpoint.Timeout)
	}
	if len(body) > int(s.limits.Body) {
		x.answerChain(http.StatusRequestEntityTooLarge, "", []string{fmt.Sprintf("the chain has more than the %v bytes possible", int64(s.limits.Body))}, nil)
		return true
	}
	tree, err := chain.Parse(body, s.limits)
	if err != nil {
		x.answerChain(http.StatusBadRequest, "", chain.Refusal(err), nil)
		return true
	}
	x.runChain(tree)
	return true
}

// mayBeChain reports whether a content type is one that chains are sent with:
// JSON, none, or that of a form, which curl sends.
func mayBeChain(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == "" || t == jsonType || strings.HasSuffix(t, "+json") || t == "application/x-www-form-urlencoded"
}

// isForeignObject reports whether a body is a JSON object without a
// designation.
func isForeignObject(body []byte) bool {
	if bytes.Contains(body, []byte(`"designation"`)) {
		return false
	}
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil && object != nil
}

// runChain does a chain's program. Faults and calls that go wrong are told in
// the answer, whose status stays 200; only an error fault, and the request's
// own time being over, change the status.
func (x *exchange) runChain(tree *chain.Chain) {
	s := x.service
	x.ops, x.owned = s.plan.DecideChain(x.buffer[:0], tree, x.request, x.faultSet()), true
	x.logStart()
	var errs []string
	responses := make([]json.RawMessage, 0, len(tree.Routes))
	x.times = x.times[:0]
	for i := range x.ops {
		op := &x.ops[i]
		if op.Kind == behave.OpCall {
			response, times, err := x.callRoute(op)
			x.times = append(x.times, times)
			if err != nil {
				errs = append(errs, fmt.Sprintf("calling %s: %v", shorten(op.Route.Designation), err))
			}
			responses = append(responses, response)
			if s.stopping() {
				panic(http.ErrAbortHandler)
			}
			continue
		}
		v := x.do(op)
		switch {
		case v.kind == 0 && v.text != "":
			errs = append(errs, v.text)
		case v.kind == 0:
		case v.kind == behave.OpRespond:
			x.answerChain(v.status, tree.Designation, errs, responses)
			return
		case v.kind == behave.OpFail:
			x.answerChain(v.status, tree.Designation, append(errs, v.text), responses)
			return
		default:
			panic(http.ErrAbortHandler)
		}
	}
}

// answerChain writes MicroSim's response document. It is put together here so
// that the documents of the services that were called, which were checked when
// they came, stay as they are.
func (x *exchange) answerChain(status int, address string, errs []string, responses []json.RawMessage) {
	x.status = status
	answer := appendResponse(nil, x.service.Name(), address, errs, responses)
	if x.corrupt {
		answer = damage(answer)
	}
	if value(x.r.Header, TimesHeader, maxTimes) != "" {
		x.w.Header()[TimesHeader] = []string{formatTimes(time.Since(x.start), x.times)}
	}
	x.service.log.Debug("answered", "service", x.service.Name(), "request", x.request.ID, "status", status, "errors", errs)
	writeBody(x.w, status, jsonType, answer)
}

func appendResponse(b []byte, service, address string, errs []string, responses []json.RawMessage) []byte {
	b = append(b, `{"service":`...)
	b = chain.AppendString(b, service)
	b = append(b, `,"address":`...)
	b = chain.AppendString(b, address)
	b = append(b, `,"errors":[`...)
	for i, text := range errs {
		if i > 0 {
			b = append(b, ',')
		}
		b = chain.AppendString(b, text)
	}
	b = append(b, `],"response":[`...)
	for i, response := range responses {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, bytes.TrimSpace(response)...)
	}
	return append(b, "]}\n"...)
}
