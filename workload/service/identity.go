package service

import (
	"crypto/rand"
	"encoding/hex"
	fast "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/load"
)

const (
	// maxID bounds a request id, a fault id and what is repeated of a name.
	maxID = 128
	// maxHop bounds a hop: 64 indexes of up to 4 digits fit.
	maxHop = 512
	// maxAuthorization bounds what is passed on of that header.
	maxAuthorization = 8 << 10
	// maxTraceState is the size that the W3C asks to be passed on.
	maxTraceState = 512
)

// value returns the one value of a header, or "" where it is missing or longer
// than the bound. The name must be canonical.
func value(h http.Header, name string, bound int) string {
	v := h[name]
	if len(v) == 0 || len(v[0]) > bound {
		return ""
	}
	return v[0]
}

// newRequestID returns a random UUID. It is made for every request that has none,
// and no secret, so a fast generator makes it.
func newRequestID() string { return load.RequestID(dist.Key(fast.Uint64())) }

// setRequestID gives the answer the id of its request, or a new one.
func setRequestID(to, from http.Header) string {
	if given := from[control.RequestIDHeader]; len(given) > 0 && given[0] != "" && len(given[0]) <= maxID {
		to[control.RequestIDHeader] = given[:1]
		return given[0]
	}
	id := newRequestID()
	to[control.RequestIDHeader] = []string{id}
	return id
}

// newTraceparent returns the traceparent of a call: the trace and flags of the
// one that came in with a new span id, or, where none or an invalid one came, a
// new sampled trace. Format: W3C Trace Context, version 00.
func newTraceparent(incoming string) string {
	var b [24]byte
	rand.Read(b[:])
	b[23] |= 1 // never all zero
	var text [55]byte
	if validTraceparent(incoming) {
		copy(text[:], incoming)
		copy(text[:3], "00-")
	} else {
		b[15] |= 1
		copy(text[:], "00-")
		hex.Encode(text[3:35], b[:16])
		copy(text[35:], "-0000000000000000-01")
	}
	hex.Encode(text[36:52], b[16:])
	return string(text[:])
}

// validTraceparent accepts version 00, and later ones that begin like it.
func validTraceparent(s string) bool {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > 55 && (s[:2] == "00" || s[55] != '-') {
		return false
	}
	version, trace, span, flags := s[:2], s[3:35], s[36:52], s[53:55]
	return isHex(version) && version != "ff" && isHex(trace) && isHex(span) && isHex(flags) &&
		strings.Trim(trace, "0") != "" && strings.Trim(span, "0") != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// timeLeftFor is the time that the caller says is left, or exec.Never.
func timeLeftFor(h http.Header) time.Duration {
	if text := value(h, control.DeadlineHeader, 20); text != "" {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms >= 0 && ms < int64(exec.MaxLeft/time.Millisecond) {
			return time.Duration(ms) * time.Millisecond
		}
	}
	return exec.Never
}
