package federation

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// serviceAt is a replica whose page has one request counted.
func serviceAt(t *testing.T, service string, index int, page string) runner.Replica {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte(page))
	}))
	t.Cleanup(server.Close)
	return runner.Replica{Service: service, Index: index, URL: server.URL, State: runner.Ready}
}

const page = `# TYPE microsim_requests_total counter
microsim_requests_total{service="web",endpoint="/"} 3
`

func get(t *testing.T, d *Door, path string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9"+path, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func door(t *testing.T, replicas []runner.Replica, err error) *Door {
	t.Helper()
	d := New(Config{
		System: "shop", Hosts: []string{"127.0.0.1:9"}, Files: map[string][]byte{"/rules.yml": []byte("groups: []\n")},
		Replicas: func(context.Context) ([]runner.Replica, error) { return replicas, err },
		Faults: func(context.Context) ([]runner.Injection, error) {
			return []runner.Injection{{ID: "a", Fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{From: "web", Service: "cart"}}}}, nil
		},
	})
	t.Cleanup(d.Close)
	return d
}

func TestTheDoorLeadsToAllReplicas(t *testing.T) {
	down := serviceAt(t, "web", 2, page)
	down.State = runner.Down
	d := door(t, []runner.Replica{serviceAt(t, "web", 1, page), down, serviceAt(t, "cart", 1, "not metrics\n")}, nil)

	all := get(t, d, MetricsPath).Body.String()
	for _, line := range []string{
		`microsim_requests_total{endpoint="/",replica="1",service="web",system="shop"} 3`,
		`microsim_up{replica="1",service="web",system="shop"} 1`,
		`microsim_up{replica="2",service="web",system="shop"} 0`,
		`microsim_up{replica="1",service="cart",system="shop"} 0`,
	} {
		if !strings.Contains(all, line+"\n") {
			t.Errorf("the page lacks %s:\n%s", line, all)
		}
	}
	if n := strings.Count(all, "microsim_requests_total{"); n != 1 {
		t.Errorf("%d series of requests, but one replica has any", n)
	}

	var groups []targetGroup
	if err := json.Unmarshal(get(t, d, TargetsPath).Body.Bytes(), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 4 {
		t.Fatalf("targets %v, want three replicas and the faults", groups)
	}
	if l := groups[1].Labels; groups[1].Targets[0] != "127.0.0.1:9" || l["__metrics_path__"] != "/metrics/web/2" || l["system"] != "shop" || l["service"] != "web" || l["replica"] != "2" || l["instance"] != "web/2" {
		t.Errorf("the second target is %v", groups[1])
	}

	for path, want := range map[string]struct {
		code int
		text string
	}{
		"/metrics/web/1":  {200, page},
		"/metrics/web/2":  {503, "web/2 is down"},
		"/metrics/web/3":  {404, "has no replica web/3"},
		"/metrics/mail/1": {404, "has no replica mail/1"},
		"/rules.yml":      {200, "groups: []"},
		"/secret":         {404, ""},
		FaultsPath:        {200, `microsim_fault_acts{id="a",system="shop",target="web->cart",type="net-delay"} 1`},
	} {
		if w := get(t, d, path); w.Code != want.code || !strings.Contains(w.Body.String(), want.text) {
			t.Errorf("%s: %d %s, want %d with %q", path, w.Code, w.Body, want.code, want.text)
		}
	}
}

func TestTheDoorRefusesWebPages(t *testing.T) {
	d := door(t, nil, nil)
	for name, change := range map[string]func(*http.Request){
		"a page of another site":       func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a page by its origin":         func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
		"a name that was pointed here": func(r *http.Request) { r.Host = "evil.example:9" },
	} {
		for _, path := range []string{MetricsPath, TargetsPath, FaultsPath, "/rules.yml"} {
			if w := get(t, d, path, change); w.Code != http.StatusForbidden {
				t.Errorf("%s reads %s: %d", name, path, w.Code)
			}
		}
	}
	if w := get(t, d, MetricsPath, func(r *http.Request) { r.Method = http.MethodPost }); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestASystemThatIsGoneIsAFailedScrape(t *testing.T) {
	d := door(t, nil, errors.New("nobody is there"))
	for _, path := range []string{MetricsPath, "/metrics/web/1", TargetsPath} {
		if w := get(t, d, path); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "nobody is there") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A service that is called like a path has a page of its own.
func TestNamesOfServicesAreEscaped(t *testing.T) {
	d := door(t, []runner.Replica{serviceAt(t, "faults", 1, page)}, nil)
	if w := get(t, d, "/metrics/faults/1"); w.Code != 200 || w.Body.String() != page {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
