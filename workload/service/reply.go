package service

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
)

// A reply is the prepared answer of an endpoint.
type reply struct {
	status  int
	header  []field
	body    []byte
	metrics *metrics.Endpoint
	// template is the body if it has names that each request fills in.
	template string
	names    []string
}

// A field is a header with its values.
type field struct {
	name   string
	values []string
}

func newReply(e *behave.Endpoint, m *metrics.Metrics) *reply {
	r := &reply{status: e.Status, metrics: m.Endpoint(e.Path, e.Status), template: e.Body, names: e.Names}
	if e.Body != "" {
		r.setBody([]byte(e.Body))
		return r
	}
	body, contentType := payload(e.Bytes)
	r.set(body, contentType)
	return r
}

// set gives the reply a body, if its status has one.
func (r *reply) set(body []byte, contentType string) {
	r.body = body
	r.header = []field{{"Content-Type", []string{contentType}}}
	if len(body) > smallBody {
		r.header = append(r.header, field{"Content-Length", []string{strconv.Itoa(len(body))}})
	}
	if bodyForbidden(r.status) {
		r.body, r.header = nil, nil
	}
}

// smallBody is the size up to which net/http sets Content-Length itself, which is
// cheaper.
const smallBody = 2048

// setBody gives the reply a body from the System's file.
func (r *reply) setBody(body []byte) { r.set(body, contentTypeOf(body)) }

func contentTypeOf(body []byte) string {
	if json.Valid(body) {
		return jsonType
	}
	return "text/plain; charset=utf-8"
}

// emptyPayload is the body of an answer without a size.
const emptyPayload = `{"payload":""}` + "\n"

// payload returns a body of exactly size bytes: a JSON object with a payload of
// zeros or, below 15 bytes, only zeros. For size 0 it is the object with an empty
// payload.
func payload(size int64) (body []byte, contentType string) {
	switch {
	case size <= 0:
		return []byte(emptyPayload), jsonType
	case size < int64(len(emptyPayload)):
		return bytes.Repeat([]byte("0"), int(size)), "text/plain"
	}
	body = make([]byte, 0, size)
	body = append(body, `{"payload":"`...)
	body = append(body, bytes.Repeat([]byte("0"), int(size)-len(emptyPayload))...)
	return append(body, "\"}\n"...), jsonType
}

const jsonType = "application/json"

func bodyForbidden(status int) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// damage returns the body with every 64th byte inverted, beginning with the first.
// The length stays, but no reader can mistake it for the right body.
func damage(body []byte) []byte {
	damaged := bytes.Clone(body)
	for i := 0; i < len(damaged); i += 64 {
		damaged[i] = ^damaged[i]
	}
	return damaged
}

// writeError answers with a status and the JSON object {"error": text}.
func writeError(w http.ResponseWriter, status int, text string) {
	var body bytes.Buffer
	out := json.NewEncoder(&body)
	out.SetEscapeHTML(false) // keep addresses such as 10.0.0.2:80->10.0.0.3:80 readable
	_ = out.Encode(struct {  // a string always has a JSON form
		Error string `json:"error"`
	}{text})
	writeBody(w, status, jsonType, body.Bytes())
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	if bodyForbidden(status) {
		w.WriteHeader(status)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	// A client that has left cannot be told.
	_, _ = w.Write(body)
}
