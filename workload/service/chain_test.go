package service

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// bigAnswers serves a service with an endpoint whose answers have a size, and a
// front that may call it; it returns a chain of as many routes to it.
func bigAnswers(t *testing.T, size int64, routes int, limits chain.Limits) (front *Service, url, text string) {
	t.Helper()
	db := topology.NewService("db")
	db.Endpoints[0].Path, db.Endpoints[0].Response.Size = "/big", unit.Size(size)
	_, dbURL := start(t, Config{Service: db})
	peers := map[string][]string{"db": {dbURL}}
	front, url = start(t, Config{Service: topology.NewService("front"), Peers: peers, Limits: limits})
	route := fmt.Sprintf(`{"designation":%q}`, dbURL+"/big")
	return front, url, `{"designation":"front","routes":[` + strings.Join(strings.Split(strings.Repeat(route+" ", routes), " ")[:routes], ",") + `]}`
}

// The answers of all routes share one budget; what finds no room is null, with
// the reason.
func TestAnswersOfAChainAreBounded(t *testing.T) {
	front, url, text := bigAnswers(t, 6<<20, 5, chain.Limits{})
	r := post(t, url+"/", text)
	answer := r.response(t)
	if r.status != 200 || len(answer.Response) != 5 || len(answer.Errors) != 3 {
		t.Fatalf("status %d with %d answers and the errors %q", r.status, len(answer.Response), answer.Errors)
	}
	for i, route := range answer.Response {
		if (route != nil) != (i < 2) {
			t.Errorf("answer %d is %v", i, route)
		}
	}
	if !strings.Contains(answer.Errors[0], "all answers of a chain") || len(r.body) > maxAnswers+1<<10 {
		t.Errorf("%d bytes, and %q", len(r.body), answer.Errors[0])
	}
	if n := front.served.Load().replica.Memory.Reserved(); n != 0 {
		t.Errorf("%d bytes are reserved afterwards", n)
	}
}

// They are part of what the service may hold at all.
func TestAnswersOfAChainNeedMemory(t *testing.T) {
	_, url, text := bigAnswers(t, 1<<20, 3, chain.Limits{Leak: 2<<20 + 1})
	answer := post(t, url+"/", text).response(t)
	if len(answer.Errors) != 1 || answer.Response[1] == nil || answer.Response[2] != nil || !strings.Contains(answer.Errors[0], "may hold") {
		t.Errorf("got the errors %q", answer.Errors)
	}
}

// A hop that fails is a part that is missing from the answers of all services
// above it, which tell so.
func TestFailedHopsDegradeTheServicesAbove(t *testing.T) {
	for status, want := range map[int]string{200: "", 503: "1"} {
		back := callee(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "{}")
		})
		middle, middleURL := start(t, Config{Service: topology.NewService("middle"), Peers: map[string][]string{"back": {back}}})
		front, url := start(t, Config{Service: topology.NewService("front"), Peers: map[string][]string{"middle": {middleURL}}})
		r := post(t, url+"/", `{"designation":"front","routes":[{"designation":"middle","routes":[{"designation":"back"}]}]}`)
		if got := r.header.Get(control.DegradedHeader); r.status != 200 || got != want {
			t.Errorf("status %d of the last hop: got %d with %q, want 200 with %q\n%s", status, r.status, got, want, r.body)
		}
		n := cmp.Or(want, "0")
		for what, got := range map[string]string{
			"requests of the middle": metric(t, middle, `microsim_requests_degraded_total{endpoint="chain",service="middle"}`),
			"requests of the front":  metric(t, front, `microsim_requests_degraded_total{endpoint="chain",service="front"}`),
			"calls of the front":     metric(t, front, `microsim_calls_degraded_total{callee="middle",service="front"}`),
		} {
			if got != n {
				t.Errorf("status %d of the last hop: degraded %s: %s, want %s", status, what, got, n)
			}
		}
		// The call that failed is an error, and not degraded.
		if got := metric(t, middle, `microsim_calls_degraded_total{callee="back",service="middle"}`); got != "0" {
			t.Errorf("%s calls of the middle were degraded", got)
		}
	}
}

// An answer that leads elsewhere is no chain's answer, and says what it is.
func TestRedirectsOfRoutesAreNamed(t *testing.T) {
	back := callee(t, func(_ int64, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) })
	_, url := start(t, Config{Service: topology.NewService("front"), Peers: map[string][]string{"back": {back}}})
	answer := post(t, url+"/", `{"designation":"front","routes":[{"designation":"back"}]}`).response(t)
	if want := "calling back: the answer is malformed: 302 Found leads elsewhere, where no chain is sent"; len(answer.Errors) != 1 || answer.Errors[0] != want {
		t.Errorf("got the errors %q, want %q", answer.Errors, want)
	}
}
