package service

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/workers"
)

// serveHTTP counts, times and answers one request.
func (s *Service) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if conn := workers.ConnOf(r.Context()); conn != nil {
		conn.Serve()
		defer conn.Leave()
	}
	id := setRequestID(w.Header(), r.Header)
	if !s.mayServe(w, r) {
		return
	}
	if isControl(r.URL.Path) && s.serveControl(w, r) {
		return
	}
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	x := s.exchanges.Get().(*exchange)
	x.w, x.r, x.id, x.start, x.faults, x.by = w, r, id, s.now(), s.faults.now.Load(), s.served.Load()
	if s.tracer.buffer != nil {
		x.traceContext()
	}
	if x.by.replica.StopsAbandoned {
		x.left = r.Context().Done()
	}
	s.inFlight.Add(1)
	defer x.end() //nolint:contextcheck // the log line of the request is written even if its client has left
	x.serve()     //nolint:contextcheck // the exchange has the request, and with it its context
}

// end counts the request, releases everything that it holds, and closes the
// connection if the client must see that.
func (x *exchange) end() {
	s := x.service
	if broken := recover(); broken != nil {
		x.status, x.closing = 0, true
		if err, ok := broken.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			s.log.Error("the handler broke", "panic", fmt.Sprint(broken), "stack", string(debug.Stack()))
		}
	}
	if x.metrics != nil {
		took := s.now() - x.start
		x.metrics.Count(x.status, took)
		x.endTrace(took)
		x.logRequest(took)
		if x.status > 0 && x.status < 400 && x.machine.Degraded() > 0 {
			x.metrics.Degraded()
		}
	}
	closing := x.closing
	for _, b := range x.blocks {
		b.Free()
	}
	if worker, queued := x.reset(); queued {
		s.admission.Leave(worker)
	}
	s.exchanges.Put(x)
	s.inFlight.Add(-1)
	s.leave()
	if closing {
		panic(http.ErrAbortHandler)
	}
}

// serve finds out what the request asks for, and serves it.
func (x *exchange) serve() {
	s, r := x.service, x.r
	if r.Method == http.MethodPost && r.URL.Path == topology.DefaultPath && x.serveChain() {
		return
	}
	if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
		x.metrics = s.metrics.Other
		x.refuseMethod()
		return
	}
	e, known := x.by.plan.Endpoint(r.Method, r.URL.Path)
	switch {
	case e != nil:
		x.serveEndpoint(e)
	case known:
		x.metrics = s.metrics.Other
		x.refuseMethod()
	default:
		x.metrics = s.metrics.Other
		x.fail(http.StatusNotFound, fmt.Sprintf("service %q has no endpoint %q", s.Name(), problem.Excerpt(r.URL.Path)))
	}
}

func (x *exchange) serveEndpoint(e *behave.Endpoint) {
	reply := x.by.replies[e]
	x.metrics = reply.metrics
	if x.r.ContentLength != 0 && !x.drained {
		if !x.readBody(len(e.Fields) > 0) {
			return
		}
	}
	x.play(exec.Arrival{Endpoint: e, Worker: x.connWorker()})
	x.tellFallbacks()
	x.tellDegraded()
	switch end := x.machine.Ending(); end.Kind {
	case behave.OpRespond:
		x.respond(reply)
	case behave.OpFail:
		x.failWith(&end.Failure)
	default:
		x.breakOff(end.Kind)
	}
}

// connWorker returns the worker of the request's connection, or 0 if no policy has
// a state for each worker.
func (x *exchange) connWorker() int {
	worker := 0
	if x.by.replica.PerWorker && x.service.admission == nil {
		if conn := workers.ConnOf(x.r.Context()); conn != nil {
			worker = conn.Worker()
		}
	}
	return worker
}

// breakOff closes the connection without an answer.
func (x *exchange) breakOff(kind behave.OpKind) {
	if kind == behave.OpPanic {
		panic("panic by fault")
	}
	panic(http.ErrAbortHandler)
}

// bodyPatience is how long a client may take to send the body of a request.
const bodyPatience = 30 * time.Second

// awaitBody bounds the time for the body by bodyPatience. Call end when the body
// has been read: it removes the bound. It answers a client that was too slow, and
// then returns false.
func (x *exchange) awaitBody() (end func(err error) bool) {
	control := http.NewResponseController(x.w)
	// It fails only if the writer does not belong to a server, as in tests.
	_ = control.SetReadDeadline(time.Now().Add(bodyPatience))
	return func(err error) bool {
		if err == nil {
			_ = control.SetReadDeadline(time.Time{})
			return true
		}
		// Keep the deadline, because the server would wait for the rest of the
		// body.
		if errors.Is(err, os.ErrDeadlineExceeded) {
			x.w.Header()["Connection"] = []string{"close"}
			x.fail(http.StatusRequestTimeout, fmt.Sprintf("the body did not come within %v", bodyPatience))
			return false
		}
		// The client has left half-way, so an answer would reach nobody.
		panic(http.ErrAbortHandler)
	}
}

// readBody reads the request's body to its end, as servers do before they work. It
// returns false if it has answered the request already.
func (x *exchange) readBody(keep bool) bool {
	end := x.awaitBody()
	body := io.LimitReader(x.r.Body, topology.MaxBody)
	var err error
	if keep {
		x.body, err = io.ReadAll(io.LimitReader(body, int64(x.service.limits.Body)))
	}
	if err == nil {
		_, err = io.Copy(io.Discard, body)
	}
	return end(err)
}

func (x *exchange) respond(reply *reply) {
	if len(reply.names) > 0 {
		filled := *reply
		filled.setBody([]byte(x.machine.Values().Fill(reply.template, x.machine.Answers())))
		reply = &filled
	}
	x.status = reply.status
	body := reply.body
	if x.machine.Corrupt() {
		body = damage(body)
	}
	h := x.w.Header()
	for i := range reply.header {
		h[reply.header[i].name] = reply.header[i].values
	}
	if reply.status != http.StatusOK {
		x.w.WriteHeader(reply.status)
	}
	if len(body) > 0 {
		// It fails only if the client has left, who then needs no answer.
		_, _ = x.w.Write(body)
	}
}

func (x *exchange) tellFallbacks() {
	for _, f := range x.machine.Fallbacks() {
		text := f.To + " " + string(f.Kind)
		if f.Kind == policy.LastGood {
			text += " " + strconv.FormatInt(f.Age.Milliseconds(), 10)
		}
		h := x.w.Header()
		h[control.FallbackHeader] = append(h[control.FallbackHeader], text)
	}
}

// tellDegraded sets the header that says how many parts of the answer are missing
// or replaced.
func (x *exchange) tellDegraded() {
	if n := min(x.machine.Degraded(), control.MaxDegraded); n > 0 {
		x.w.Header()[control.DegradedHeader] = []string{strconv.Itoa(n)}
	}
}

func (x *exchange) fail(status int, text string) {
	x.status = status
	writeError(x.w, status, text)
}

// failWith answers with a failure: with the body that the System describes for it,
// or with its text.
func (x *exchange) failWith(f *exec.Failure) {
	if after := x.machine.RetryAfter(); after > 0 {
		x.w.Header()["Retry-After"] = []string{strconv.Itoa(after)}
	}
	if f.Body == "" {
		x.fail(f.Status, f.Text(&x.machine))
		return
	}
	x.status = f.Status
	writeBody(x.w, f.Status, contentTypeOf([]byte(f.Body)), []byte(f.Body))
}
