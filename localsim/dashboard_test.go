package localsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

func TestDashboardShowsTheHealthOfServices(t *testing.T) {
	d := up(t, processes("agent", t.TempDir()), runnertest.System("held"))
	url := d.ControlURL()
	page := http.Header{"Sec-Fetch-Site": {"same-origin"}}
	awaitHealth := func(want string) {
		t.Helper()
		got := ""
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			status, body := request(t, "GET", url+"/health", "", page)
			if got = strings.TrimSpace(body); status == 200 && got == want {
				return
			}
		}
		t.Fatalf("the health is %s, want %s", got, want)
	}
	var lines, health []string
	for _, s := range d.System().Services {
		lines, health = append(lines, s.Name+": <span class=\"state\">healthy</span>"), append(health, fmt.Sprintf("%q:\"healthy\"", s.Name))
	}
	awaitHealth("{" + strings.Join(health, ",") + "}")
	status, body := request(t, "GET", url+"/", "", nil)
	if status != 200 || !strings.Contains(body, "<title>Dashboard</title>") {
		t.Errorf("got %d %s", status, body)
	}
	for _, line := range lines {
		if !strings.Contains(body, line) {
			t.Errorf("the page has no line %q:\n%s", line, body)
		}
	}
	first := d.System().Services[0].Name
	if err := d.Inject(t.Context(), "p", fault.Fault{Type: fault.Pause, Probability: 1, Target: fault.Target{Service: first}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	health[0] = strings.Replace(health[0], "healthy", "unhealthy", 1)
	awaitHealth("{" + strings.Join(health, ",") + "}")
	if status, body := request(t, "GET", url+"/", "", page); status != 200 || !strings.Contains(body, first+": <span class=\"state\">unhealthy") {
		t.Errorf("got %d %s", status, body)
	}
	for _, site := range []string{"cross-site", "same-site"} {
		if status, _ := request(t, "GET", url+"/health", "", http.Header{"Sec-Fetch-Site": {site}}); status != 403 {
			t.Errorf("a page of a %s got %d", site, status)
		}
	}
}

// TestABusyServiceTellsItsMetrics lets a service's only worker hang, and asks for
// what is the service's own.
func TestABusyServiceTellsItsMetrics(t *testing.T) {
	system := &topology.System{Name: "busy", Services: []topology.Service{topology.NewService("one")}}
	system.Services[0].Workers = 1
	for name, config := range map[string]func() *http.Response{
		"inprocess": func() *http.Response { return busyMetrics(t, system, false) },
		"process":   func() *http.Response { return busyMetrics(t, system, true) },
	} {
		t.Run(name, func(t *testing.T) {
			answer := config()
			defer answer.Body.Close()
			text, err := io.ReadAll(answer.Body)
			if err != nil || !strings.Contains(string(text), `microsim_inflight_requests{service="one"} 1`) {
				t.Errorf("got %s, %v", text, err)
			}
		})
	}
}

func busyMetrics(t *testing.T, system *topology.System, ownProcess bool) *http.Response {
	config := inProcess(t.TempDir())
	if ownProcess {
		config = processes("agent", t.TempDir())
	}
	d := up(t, config, system)
	if err := d.Inject(t.Context(), "h", fault.Fault{Type: fault.Hang, Probability: 1, Target: fault.Target{Service: "one"}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r := must(d.Replicas(t.Context()))[0]
	if r.ControlURL == "" || r.ControlURL == r.URL {
		t.Fatalf("its own is at %q", r.ControlURL)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		active := must(d.Active(t.Context()))
		if active[0].Hits == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the request has not arrived: %+v", active)
		}
	}
	answer, err := client.Get(r.ControlURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestUnreachableIsToldToCallers(t *testing.T) {
	system := &topology.System{Name: "edges", Services: []topology.Service{
		topology.NewService("a", topology.CallTo("c")), topology.NewService("b", topology.CallTo("c")), topology.NewService("c"),
	}}
	system.Services[0].Replicas = 2
	d := up(t, inProcess(t.TempDir()), system)
	url := map[string]string{}
	for _, r := range must(d.Replicas(t.Context())) {
		url[r.Service] = r.URL
	}
	statuses := func() string {
		a, _ := request(t, "GET", url["a"], "", nil)
		b, _ := request(t, "GET", url["b"], "", nil)
		c, _ := request(t, "GET", url["c"], "", nil)
		return fmt.Sprint(a, b, c)
	}
	f := fault.Fault{Type: fault.Unreachable, Probability: 1, Target: fault.Target{Service: "c"}}
	if err := d.Inject(t.Context(), "all", f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := statuses(); got != "502 502 200" {
		t.Errorf("all callers: %s", got)
	}
	active := must(d.Active(t.Context()))
	if text, _ := json.Marshal(active[0].Replicas); string(text) != `["a/1","a/2","b/1"]` || active[0].Hits != 2 {
		t.Errorf("it acts on %s, %d times", text, active[0].Hits)
	}
	if err := d.Clear(t.Context(), "all"); err != nil {
		t.Fatal(err)
	}
	f.Target.From = "b"
	if err := d.Inject(t.Context(), "one", f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := statuses(); got != "200 502 200" {
		t.Errorf("one caller: %s", got)
	}
}
