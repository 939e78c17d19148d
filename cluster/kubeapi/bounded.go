package kubeapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds an answer of the API server, which the client library reads
// whole: a list of several thousand pods fits.
const maxAnswer = 64 << 20

// bounded wraps a transport so that answers which are read whole have an end.
// Streams, which are read bit by bit, have none: watches, logs, and what comes
// through the proxy, whose readers have bounds of their own.
func bounded(next http.RoundTripper) http.RoundTripper { return boundedTransport{next} }

type boundedTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	pastCredentials(r)
	resp, err := b.next.RoundTrip(r)
	if err != nil || resp.StatusCode == http.StatusSwitchingProtocols || isStream(r) {
		return resp, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

func isStream(r *http.Request) bool {
	return r.URL.Query().Get("watch") != "" || strings.HasSuffix(r.URL.Path, "/log") || strings.Contains(r.URL.Path, "/proxy")
}

// A boundedBody ends with an error where it has more than it may.
type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("the answer has more than %d MiB", maxAnswer>>20)
	}
	return n, err
}
