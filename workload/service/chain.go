package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// serveChain serves the request if it is a chain, and reports whether it was one.
func (x *exchange) serveChain() bool {
	s, r := x.service, x.r
	endpoint, _ := x.by.plan.Endpoint(http.MethodPost, topology.DefaultPath)
	if endpoint != nil && (r.ContentLength == 0 || !mayBeChain(r.Header.Get("Content-Type"))) {
		return false
	}
	var err error
	x.metrics = s.metrics.Chain
	end := x.awaitBody()
	x.body, err = io.ReadAll(io.LimitReader(r.Body, int64(s.limits.Body)+1))
	if !end(err) {
		return true
	}
	if endpoint != nil && len(x.body) <= int(s.limits.Body) && (len(x.body) == 0 || isForeignObject(x.body)) {
		x.drained = true
		return false
	}
	if !x.play(exec.Arrival{Chain: true, Endpoint: endpoint, Worker: x.connWorker()}) {
		return true
	}
	x.tellDegraded()
	switch end := x.machine.Ending(); {
	case end.Kind == behave.OpRespond:
		x.answerChain(http.StatusOK, x.chain.Designation, x.notes())
	case end.Kind == behave.OpFail && end.Failure.Cause == exec.Overloaded:
		x.failWith(&end.Failure)
	case end.Kind == behave.OpFail:
		x.answerChain(end.Failure.Status, x.chain.Designation, append(x.notes(), end.Failure.Text(&x.machine)))
	default:
		x.breakOff(end.Kind)
	}
	return true
}

// mayBeChain reports whether a chain may have this content type: JSON, none, or
// that of a form, which is curl's default.
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

// readChain reads the chain of the request. If it cannot, it answers with the
// reason and returns false.
func (x *exchange) readChain() bool {
	s := x.service
	if len(x.body) > int(s.limits.Body) {
		x.answerChain(http.StatusRequestEntityTooLarge, "", []string{fmt.Sprintf("the chain has more than the %v bytes possible", int64(s.limits.Body))})
		return false
	}
	var err error
	if x.chain, err = chain.Parse(x.body, s.limits); err != nil {
		x.answerChain(http.StatusBadRequest, "", chain.Refusal(err))
		return false
	}
	return true
}

// notes returns the texts of the failures of parts of a chain that went on.
func (x *exchange) notes() (texts []string) {
	noted := x.machine.Noted()
	for i := range noted {
		texts = append(texts, noted[i].Text(&x.machine))
	}
	return texts
}

// answerChain writes MicroSim's response document. It joins the text itself, so
// that the documents of called services, which were checked when they came, stay
// byte for byte as they are.
func (x *exchange) answerChain(status int, address string, errs []string) {
	s := x.service
	x.status = status
	answer := appendResponse(make([]byte, 0, x.answered+smallResponse), s.Name(), address, errs, x.responses)
	if x.machine.Corrupt() {
		answer = damage(answer)
	}
	if value(x.r.Header, control.TimesHeader, control.MaxTimes) != "" {
		x.w.Header()[control.TimesHeader] = []string{control.FormatTimes(s.now()-x.start, x.times)}
	}
	writeBody(x.w, status, jsonType, answer)
}

// smallResponse is about the size in bytes of a response document without those of
// its routes.
const smallResponse = 512

func appendResponse(b []byte, service, address string, errs []string, responses [][]byte) []byte {
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

// maxAnswers bounds, in bytes, the response documents of all routes of a chain at
// one service, and thereby also what its caller gets.
const maxAnswers = 16 << 20

// tooLong is the error of a response document that exceeds the room left for
// documents.
func tooLong(room int64) error {
	return fmt.Errorf("%w: it is longer than the %d bytes that are left of the %d for all answers of a chain", outcome.ErrMalformed, room, maxAnswers)
}

// keepAnswer keeps the response document of a route, or returns an error if there
// is no room for it.
func (x *exchange) keepAnswer(document []byte) error {
	size := int64(len(document))
	if err := x.by.replica.Memory.Reserve(size); err != nil {
		return fmt.Errorf("keeping its answer: %w", err)
	}
	x.answered += size
	return nil
}

// callRoute sends a route of a chain on, and keeps the response document that comes
// back, or null if none does.
func (x *exchange) callRoute(b *exec.Branch, op *behave.Op) exec.Event {
	s := x.service
	var c exec.Call
	began := s.now()
	c.Begin(b, op, began)
	document, times := []byte("null"), ""
	e := exec.Event{Kind: exec.Answered, Class: outcome.ConnectionError}
	name, replicas, err := s.peers.Load().Locate(op.Route.Designation)
	if err == nil && s.stores.has(name) {
		err = fmt.Errorf("designation %q is a data store, which takes no requests", name)
	}
	if err == nil {
		var a peer.Answer
		sent := sending{number: 1, callee: name, method: http.MethodPost, path: control.EndpointChain, hop: c.Hop(1)}
		a, e.Class, err = x.sendRoute(&c, op, &sent, replicas)
		series := s.metrics.Callee(name)
		series.Attempt(e.Class)
		e.Status, e.Degraded, e.Now, e.Err = a.Status, a.Degraded, s.now(), err
		x.traceAttempt(&sent, began, &e)
		if err == nil {
			err = x.keepAnswer(a.Body)
		}
		if err == nil {
			document, times = a.Body, a.Times
		}
		c.Next(e)
		series.Count(e.Class, c.Took())
		if e.Class == outcome.OK && e.Degraded > 0 {
			series.Degraded()
		}
	}
	x.responses, x.times = append(x.responses, document), append(x.times, times)
	e.Kind, e.Err, e.Now = exec.Called, err, s.now()
	return e
}

// sendRoute sends a route to one of the replicas of a service. A status of 400 or
// more is a failure.
func (x *exchange) sendRoute(c *exec.Call, op *behave.Op, sent *sending, replicas []*peer.Replica) (a peer.Answer, class outcome.Class, err error) {
	name := sent.callee
	attempt := c.Attempt(1, name, topology.DefaultPath, len(replicas))
	if attempt.Fault > 0 {
		x.faults.hit(attempt.Fault)
		sent.fault = attempt.Fault
	}
	if err = attempt.Err; err == nil {
		to := replicas[attempt.Replica]
		o := x.outgoing(&attempt, sent.hop)
		o.To, o.Method, o.Target, o.ContentType, o.Body = to, http.MethodPost, to.RequestURI(), jsonType, op.Route.Append(nil)
		o.Keep, o.Strict, o.Cancel = maxAnswers-x.answered, true, x.cancelled()
		o.Times = value(x.r.Header, control.TimesHeader, control.MaxTimes)
		if name == peer.External {
			o.Authorization = "" // only services of the same system may get it
		}
		a, err = x.service.client.Send(o)
		if errors.Is(err, peer.ErrTooLong) {
			err = tooLong(o.Keep)
		}
	}
	switch {
	case err != nil || a.Status >= 400 || isObject(a.Body):
	case a.Status >= 300:
		err = fmt.Errorf("%w: %d %s leads elsewhere, where no chain is sent", outcome.ErrMalformed, a.Status, http.StatusText(a.Status))
	default:
		err = fmt.Errorf("%w: it is no JSON object", outcome.ErrMalformed)
	}
	class = outcome.Of(a.Status, err)
	switch {
	case class == outcome.HTTPError:
		err = fmt.Errorf("it answered %d %s%s", a.Status, http.StatusText(a.Status), reasons(a.Body))
	case err != nil && class != outcome.Malformed: // whose error says so itself
		err = fmt.Errorf("%s: %w", class, err)
	}
	return a, class, err
}

func isObject(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return json.Valid(body)
		}
		return false
	}
	return false
}

// reasons returns the errors in an answer with an error status, for the caller's
// own error.
func reasons(body []byte) string {
	var told chain.Response
	if json.Unmarshal(body, &told) != nil || len(told.Errors) == 0 {
		return ""
	}
	return ": " + problem.Excerpt(told.Errors[0])
}
