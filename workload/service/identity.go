package service

import (
	fast "math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/load"
)

const (
	// maxID bounds, in bytes, a request id, a fault id, and a name that is repeated
	// in a text.
	maxID = 128
	// maxHop bounds a hop: 64 indexes of up to 4 digits fit.
	maxHop = 512
	// maxAuthorization bounds the header Authorization that is passed on.
	maxAuthorization = 8 << 10
	// maxTraceState bounds the header tracestate: the W3C asks to pass on at least
	// this size.
	maxTraceState = 512
)

// value returns the first value of a header, or "" if it is missing or longer than
// bound bytes. The name must be canonical.
func value(h http.Header, name string, bound int) string {
	v := h[name]
	if len(v) == 0 || len(v[0]) > bound {
		return ""
	}
	return v[0]
}

// newRequestID returns a random UUID. It uses a fast generator, because every
// request without an id needs one, and ids are not secret.
func newRequestID() string {
	return string(load.AppendUUID(make([]byte, 0, load.RequestIDLength), fast.Uint64(), fast.Uint64()))
}

// setRequestID sets the id of the answer to that of its request, or to a new one,
// and returns it.
func setRequestID(to, from http.Header) string {
	if given := from[control.RequestIDHeader]; len(given) > 0 && given[0] != "" && len(given[0]) <= maxID {
		to[control.RequestIDHeader] = given[:1]
		return given[0]
	}
	id := newRequestID()
	to[control.RequestIDHeader] = []string{id}
	return id
}

// timeLeftFor returns the time that the caller says is left, or exec.Never.
func timeLeftFor(h http.Header) time.Duration {
	if text := value(h, control.DeadlineHeader, 20); text != "" {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 && ms < int64(exec.MaxLeft/time.Millisecond) {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return exec.Never
}
