package control

import (
	"encoding/json"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestPathsEscapeNames(t *testing.T) {
	for got, want := range map[string]string{
		FaultPath("a"):                   "/admin/faults/a",
		FaultPath("a/b?c"):               "/admin/faults/a%2Fb%3Fc",
		NodeOrderPath("shop/default"):    "/orders/shop%2Fdefault",
		WithdrawPath("shop/default", 7):  "/orders/shop%2Fdefault?version=7",
		ReplicaPath("a b", 2, "kill"):    "/admin/replicas/a%20b/2/kill",
		OutcomesFrom(12):                 "/outcomes?from=12",
		ReplicaPath("cart", 1, "resume"): "/admin/replicas/cart/1/resume",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Stored metrics, dashboards and services in other languages know these names.
func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		HealthPath: "/healthz", ReadyPath: "/readyz", MetricsPath: "/metrics", PeersPath: "/admin/peers", UnreachablePath: "/admin/peers/unreachable", ServicePath: "/admin/service/v1",
		SetDelayPath: "/set-delay", StatusPath: "/admin/status", SystemPath: "/admin/system", ShutdownPath: "/admin/shutdown",

		HopHeader: "Microsim-Hop", FromHeader: "Microsim-From", DeadlineHeader: "Microsim-Deadline", TimesHeader: "Microsim-Times",
		FallbackHeader: "Microsim-Fallback", TokenHeader: "Microsim-Token",

		RequestsTotal: "microsim_requests_total", RequestDurationSeconds: "microsim_request_duration_seconds",
		CallsTotal: "microsim_calls_total", CallAttemptsTotal: "microsim_call_attempts_total", CallDurationSeconds: "microsim_call_duration_seconds",
		FallbacksTotal: "microsim_fallbacks_total", FaultActive: "microsim_fault_active", InflightRequests: "microsim_inflight_requests",
		QueueLength: "microsim_queue_length", HeldMemoryBytes: "microsim_held_memory_bytes", BreakerState: "microsim_breaker_state",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// The code of a service sets headers without making their names canonical.
func TestHeadersAreCanonical(t *testing.T) {
	for _, name := range []string{
		RequestIDHeader, TraceHeader, TraceStateHeader, HopHeader, FromHeader, DeadlineHeader, TimesHeader, FallbackHeader, TokenHeader, AuthorizationHeader,
	} {
		if canonical := textproto.CanonicalMIMEHeaderKey(name); name != canonical {
			t.Errorf("%s, want %s", name, canonical)
		}
	}
}

// A System must not be able to put an endpoint in the place of a control path.
func TestTopologyReservesPaths(t *testing.T) {
	for path, reserved := range map[string]bool{
		HealthPath: true, ReadyPath: true, MetricsPath: true, AdminPath: true, FaultsPath: true, PeersPath: true, UnreachablePath: true, ServicePath: true,
		SetDelayPath: false, "/cart": false,
	} {
		service := topology.NewService("a")
		service.Endpoints[0].Path = path
		err := (&topology.System{Name: "x", Services: []topology.Service{service}}).Validate().Err()
		if refused := err != nil && strings.Contains(err.Error(), path); refused != reserved {
			t.Errorf("an endpoint %s: %v", path, err)
		}
	}
}

// Bodies are read by programs of other languages and versions.
func TestBodies(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	latency := fault.Fault{Type: fault.Latency, Target: fault.Target{Service: "db"}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Second)}}
	one := 1.0
	for _, tt := range []struct {
		body any
		want string
	}{
		{FaultRequest{Fault: latency}, `{"fault":{"type":"latency","target":{"service":"db"},"probability":1,"args":{"delay":"1s"}}}`},
		{FaultRequest{latency, at}, `{"fault":{"type":"latency","target":{"service":"db"},"probability":1,"args":{"delay":"1s"}},"deadline":"2026-01-02T03:04:05Z"}`},
		{Injection{ID: "x", Fault: latency, Since: at, Replicas: []string{"db/1"}, Hits: -1}, `{"id":"x","fault":{"type":"latency","target":{"service":"db"},"probability":1,"args":{"delay":"1s"}},"since":"2026-01-02T03:04:05Z","replicas":["db/1"],"hits":-1}`},
		{Peers{"db": {"http://10.0.0.7:8080"}}, `{"db":["http://10.0.0.7:8080"]}`},
		{Serving{"00ff"}, `{"fingerprint":"00ff"}`},
		{SetDelay{Delay: &one}, `{"delay":1,"jitter":null}`},
		{SetDelayDone{"done"}, `{"payload":"done"}`},
		{Refusal{"no"}, `{"error":"no"}`},
		{FaultPossible{true}, `{"possible":true}`},
		{ShutdownBegun{"ending", "shop"}, `{"state":"ending","system":"shop"}`},
		{Backend{Name: "tc", Works: true}, `{"name":"tc","works":true}`},
		{LoadStart{time.Millisecond}, `{"delayNs":1000000}`},
		{LoadFactors{1, 2, 3}, `{"rate":1,"burst":2,"users":3}`},
	} {
		if got, err := json.Marshal(tt.body); err != nil || string(got) != tt.want {
			t.Errorf("%T: %s, %v; want %s", tt.body, got, err, tt.want)
		}
	}
}

// A fault without a probability always acts, at every door that reads one.
func TestFaultRequestDefaults(t *testing.T) {
	for text, want := range map[string]float64{
		`{"fault":{"type":"hang"}}`:                   1,
		`{"fault":{"type":"hang","probability":0.5}}`: 0.5,
		`{"fault":{"type":"hang","probability":0}}`:   0,
	} {
		var r FaultRequest
		if err := json.Unmarshal([]byte(text), &r); err != nil || float64(r.Fault.Probability) != want {
			t.Errorf("%s: probability %v, %v; want %v", text, r.Fault.Probability, err, want)
		}
	}
	for _, text := range []string{`{"fault":{"type":"hang"},"until":1}`, `{"fault":{"typ":"hang"}}`} {
		if err := json.Unmarshal([]byte(text), new(FaultRequest)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}

// A running service may get other endpoints. All other fields of a service are known, so that a
// new one is not taken for one that changes in place.
func TestFixedFields(t *testing.T) {
	old := topology.NewService("a")
	for want, change := range map[string]func(*topology.Service){
		"":               func(s *topology.Service) { s.Endpoints, s.OnCancel, s.Replicas = nil, topology.Stop, 9 },
		"workers,memory": func(s *topology.Service) { s.Workers, s.Memory = 1, 1 },
		"resources":      func(s *topology.Service) { s.Resources = &topology.Resources{CPULimit: 1} },
		"kind,store":     func(s *topology.Service) { s.Kind, s.Store = topology.Redis, &topology.Store{} },
		"liveness":       func(s *topology.Service) { s.Liveness = &topology.Probe{Path: "/"} },
		"runtime":        func(s *topology.Service) { s.Runtime = "express" },
	} {
		next := old
		change(&next)
		if got := strings.Join(Fixed(&old, &next), ","); got != want {
			t.Errorf("%s cannot change, want %s", got, want)
		}
	}
}
