package virtual

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
)

// respond returns the answer of a request whose machine has ended.
func (w *world) respond(sv *serving) response {
	m := &sv.message
	if m.endpoint == nil && m.chain == nil {
		status := 404
		if _, known := w.serviceAt(sv.replica).plan.Endpoint(m.method, m.path); known {
			status = 405
		}
		return response{status: status, bytes: errorBytes, json: true}
	}
	end := sv.machine.Ending()
	switch end.Kind {
	case behave.OpFail:
		return w.failed(sv, &end.Failure)
	case behave.OpRespond:
	default: // OpAbort, OpPanic
		return response{}
	}
	if m.chain != nil {
		return response{status: 200, bytes: 300, json: true, corrupt: sv.machine.Corrupt(), degraded: min(sv.machine.Degraded(), control.MaxDegraded), document: sv.document()}
	}
	e := m.endpoint
	res := response{status: e.Status, corrupt: sv.machine.Corrupt(), degraded: min(sv.machine.Degraded(), control.MaxDegraded)}
	switch {
	case e.Status < 200 || e.Status == 204 || e.Status == 304:
	case e.Body != "" && len(e.Names) > 0:
		res.text = []byte(sv.machine.Values().Fill(e.Body, sv.machine.Answers()))
		res.bytes, res.json = int64(len(res.text)), json.Valid(res.text)
	case e.Body != "":
		res.bytes, res.json = int64(len(e.Body)), w.isJSON(e)
		res.template = e.Body
	default:
		res.bytes, res.json = max(e.Bytes, emptyPayload), e.Bytes == 0 || e.Bytes >= emptyPayload
		if e.Bytes > 0 {
			res.bytes = e.Bytes
		}
	}
	return res
}

// emptyPayload is the length of the default body of an answer, errorBytes about
// that of an error.
const (
	emptyPayload = 15
	errorBytes   = 60
)

// isJSON reports whether the body of an endpoint's answer is JSON.
func (w *world) isJSON(e *behave.Endpoint) bool {
	valid, known := w.jsonBodies[e]
	if !known {
		valid = json.Valid([]byte(e.Body))
		w.jsonBodies[e] = valid
	}
	return valid
}

// failed returns the answer of a request that failed. It makes the text of the
// reason only if a chain or an example of the load repeats it.
func (w *world) failed(sv *serving, f *exec.Failure) response {
	res := response{status: f.Status, bytes: errorBytes, json: true, template: f.Body, retryAfter: time.Duration(sv.machine.RetryAfter()) * time.Second}
	switch {
	case f.Body != "":
		res.bytes, res.json = int64(len(f.Body)), json.Valid([]byte(f.Body))
	case sv.message.chain != nil, w.wantsExample(sv, f.Status):
		res.reason = f.Text(&sv.machine)
	}
	return res
}

// wantsExample reports whether the load waits for the answer, and has no example of
// its status yet.
func (w *world) wantsExample(sv *serving, status int) bool {
	return w.waits(sv) && w.attempts.at(sv.attempt).job >= 0 && !w.clients.report.Knows(ofStatus(status))
}

// body returns the text of an answer, or nil if no other answer may contain it.
func (r *response) body() []byte {
	switch {
	case r.text != nil:
		return r.text
	case r.template != "":
		return []byte(r.template)
	case r.bytes > 0 && r.bytes < emptyPayload:
		return []byte(strings.Repeat("0", int(r.bytes)))
	case r.bytes > 64<<10:
		return nil // too long to keep
	case r.bytes == 0:
		return nil
	}
	return []byte(`{"payload":"` + strings.Repeat("0", int(r.bytes)-emptyPayload) + "\"}\n")
}
