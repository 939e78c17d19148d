package mock

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// valueOf returns the value of a header, or "" if it is too long.
func valueOf(h http.Header, name string, bound int) string {
	if value := h.Get(name); len(value) <= bound {
		return value
	}
	return ""
}

func requestID(h http.Header) string {
	if id := valueOf(h, "X-Request-ID", 128); id != "" {
		return id
	}
	b := randomBytes(16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4 of RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

var parentPattern = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)

// traceparent is that of a call: the trace that came in with a new span, or a new
// trace.
func traceparent(h http.Header) string {
	span := hex.EncodeToString(randomBytes(8))
	m := parentPattern.FindStringSubmatch(valueOf(h, "Traceparent", 128))
	if m == nil || m[1] == "ff" || strings.Trim(m[2], "0") == "" || strings.Trim(m[3], "0") == "" {
		return "00-" + hex.EncodeToString(randomBytes(16)) + "-" + span + "-01"
	}
	return "00-" + m[2] + "-" + span + "-" + m[4]
}

// timeLeft is what the caller says is left; false if it says nothing.
func timeLeft(h http.Header) (time.Duration, bool) {
	ms, err := strconv.ParseUint(valueOf(h, "Microsim-Deadline", 20), 10, 63)
	if err != nil || ms >= dayMS {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}

// refusalOf says why a request is refused that a web page has sent, or one that
// reaches a loopback address by a foreign name.
func refusalOf(r *http.Request, loopback bool) string {
	if site := r.Header.Get("Sec-Fetch-Site"); r.Header.Get("Origin") != "" || site != "" && site != "none" {
		return "requests of web pages are refused by this service; send it from a program"
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if ip := net.ParseIP(host); loopback && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Sprintf("host %.130q is not this service: use its address", host)
	}
	return ""
}
