package service

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// FuzzPost sends any body and identity to a service that knows nobody: it must
// answer, and never with a server error that no fault asked for.
func FuzzPost(f *testing.F) {
	for _, body := range []string{
		`{"designation":"a"}`, `{"designation":"a","routes":[{"designation":"http://127.0.0.1:1/"},{"designation":"b"}]}`, `{"x":1}`, `[`, ``, `"designation"`,
		`{"designation":"a","faults":{"before":[{"type":"error","args":{"status":503}}]}}`,
	} {
		f.Add(body, "application/json", "0.1", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "100")
	}
	s, err := New(Config{System: "fuzz", Service: topology.NewService("a"), Limits: chain.Limits{Body: 4096, Leak: 1 << 20}, TempDir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, body, contentType, hop, trace, deadline string) {
		// Other tests try faults that take time or break the connection.
		for _, slow := range []string{"latency", "cpu", "io", "hang", "abort", "panic", "corrupt", "\\u"} {
			if strings.Contains(body, slow) {
				t.Skip()
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		for name, value := range map[string]string{"Content-Type": contentType, control.HopHeader: hop, control.TraceHeader: trace, control.DeadlineHeader: deadline} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 && !strings.Contains(body, "status") && !strings.Contains(body, "error") && w.Code != behave.StatusTimeout {
			t.Errorf("%q was answered %d %s", body, w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q was answered %q", body, w.Body)
		}
	})
}
