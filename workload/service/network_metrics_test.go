package service

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// TestNetworkMetricsAreOfTheService asks a process for its metrics. What its network
// carried is among them only if no other program uses that network.
func TestNetworkMetricsAreOfTheService(t *testing.T) {
	for _, own := range []bool{false, true} {
		s, err := New(Config{System: "shop", Service: topology.NewService("web"), ProcessMetrics: true, OwnNetwork: own})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		body := w.Body.String()
		if !strings.Contains(body, "process_open_fds") && runtime.GOOS == "linux" || !strings.Contains(body, "microsim_inflight_requests") {
			t.Errorf("own network %v: metrics are missing:\n%s", own, body)
		}
		if got := strings.Contains(body, "process_network_"); got != (own && runtime.GOOS == "linux") {
			t.Errorf("own network %v: the metrics tell of the network: %v", own, got)
		}
	}
}
