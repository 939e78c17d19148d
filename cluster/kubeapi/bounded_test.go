package kubeapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Answers that are read whole are bounded; streams are not.
func TestAnswersAreBounded(t *testing.T) {
	transport := bounded(transportFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(endless{})}, nil
	}))
	for path, whole := range map[string]bool{
		"/api/v1/pods": true, "/api/v1/pods?watch=true": false, "/api/v1/namespaces/n/pods/p/log": false, "/api/v1/namespaces/n/pods/p:80/proxy/metrics": false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://api"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		n, err := io.CopyN(io.Discard, resp.Body, maxAnswer+1<<20)
		if whole != (err != nil && n <= maxAnswer && strings.Contains(err.Error(), "more than 64 MiB")) {
			t.Errorf("%s: read %d bytes, %v", path, n, err)
		}
	}
}
