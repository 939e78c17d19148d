package localsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

// request sends one request to the control plane and returns status and body.
func request(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestControlKeepsStrangersOut(t *testing.T) {
	dir := t.TempDir()
	d := up(t, inProcess(dir), runnertest.System("held"))
	record, err := os.ReadFile(filepath.Join(dir, "held", "system.json"))
	if err != nil {
		t.Fatal(err)
	}
	var known struct{ Token string }
	if err := json.Unmarshal(record, &known); err != nil || len(known.Token) < 20 {
		t.Fatalf("the token is %q, %v", known.Token, err)
	}
	bearer := http.Header{"Authorization": {"Bearer " + known.Token}}
	with := func(name, value string) http.Header {
		h := bearer.Clone()
		h[name] = []string{value}
		return h
	}
	url := d.ControlURL()
	for _, test := range []struct {
		name, method, path string
		header             http.Header
		want               int
	}{
		{"the token opens", "GET", "/admin/status", bearer, 200},
		{"localhost is a name, too", "GET", "/admin/status", with("Host", strings.Replace(url, "http://127.0.0.1", "localhost", 1)), 200},
		{"typed into a browser", "GET", "/admin/status", with("Sec-Fetch-Site", "none"), 200},
		{"no token", "GET", "/admin/status", nil, 401},
		{"no token", "POST", "/admin/shutdown", nil, 401},
		{"no token", "PUT", "/admin/faults/x", nil, 401},
		{"a wrong token", "GET", "/admin/status", http.Header{"Authorization": {"Bearer wrong"}}, 401},
		{"a web page", "POST", "/", http.Header{"Origin": {"http://example.com"}}, 403},
		{"a web page with the token", "GET", "/admin/status", with("Origin", "null"), 403},
		{"another site", "POST", "/", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a name that was pointed here", "GET", "/admin/status", with("Host", "evil.example.com"), 403},
		{"another method", "DELETE", "/admin/status", bearer, 405},
		{"another path", "GET", "/admin/nothing", bearer, 404},
	} {
		if got, body := request(t, test.method, url+test.path, "{}", test.header); got != test.want {
			t.Errorf("%s: %s %s = %d %s, want %d", test.name, test.method, test.path, got, body, test.want)
		}
	}
	select {
	case <-d.ShutdownRequested():
		t.Error("a stranger has asked for the end")
	default:
	}
	for _, path := range []string{dir + "/held/system.json", dir + "/held"} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v; others must not read the token", path, info.Mode(), err)
		}
	}
}

func TestControlAnswersChains(t *testing.T) {
	dir := t.TempDir()
	up(t, inProcess(dir), runnertest.System("held"))
	c := must(control.Connect(dir, "held"))
	answer, err := c.Call(t.Context(), []byte(`{"designation":"front","probability":100,"routes":[
		{"designation":"back","probability":100,"routes":[{"designation":"aside","probability":100}]},
		{"designation":"aside","probability":0}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got chain.Response
	if err := json.Unmarshal(answer.Body, &got); err != nil {
		t.Fatalf("%s: %v", answer.Body, err)
	}
	if answer.Code != 200 || got.Service != "front" || len(got.Errors) != 0 || len(got.Response) != 1 ||
		got.Response[0].Service != "back" || got.Response[0].Response[0].Service != "aside" {
		t.Errorf("the answer is %d %s", answer.Code, answer.Body)
	}
	if len(answer.RequestID) != 36 || answer.RequestID[14] != '4' {
		t.Errorf("the request's id %q is no UUID of version 4", answer.RequestID)
	}
}

func TestControlRefusesChains(t *testing.T) {
	dir := t.TempDir()
	d := up(t, inProcess(dir), runnertest.System("held"))
	for _, test := range []struct {
		name, body string
		status     int
		word       string
	}{
		{"no JSON", `{"designation":`, 400, ""},
		{"unknown field", `{"designation":"front","x":1}`, 400, `x`},
		{"unknown fault", `{"designation":"front","faults":{"before":[{"type":"meteor","args":{}}]}}`, 400, "fault type meteor, is not implemented"},
		{"unknown service", `{"designation":"nobody"}`, 404, `"nobody"`},
		{"a stranger's URL", `{"designation":"http://example.com/"}`, 404, "example.com"},
		{"never", `{"designation":"front","probability":0}`, 200, "probability"},
		{"too large", `{"designation":"` + strings.Repeat("a", chain.DefaultBody) + `"}`, 413, "bytes"},
	} {
		status, body := request(t, "POST", d.ControlURL()+"/", test.body, nil)
		var got chain.Response
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.Response == nil {
			t.Errorf("%s: %q is not a response document: %v", test.name, body, err)
		}
		if status != test.status || len(got.Errors) != 1 || !strings.Contains(got.Errors[0], test.word) {
			t.Errorf("%s: %d %q, want %d and an error with %q", test.name, status, body, test.status, test.word)
		}
	}
	if status, _ := request(t, "POST", d.ControlURL()+"/?seed=x", `{"designation":"front"}`, nil); status != 400 {
		t.Errorf("a seed that is not a number gives %d", status)
	}
}

func TestASeedRepeatsTheDraw(t *testing.T) {
	dir := t.TempDir()
	up(t, inProcess(dir), runnertest.System("held"))
	c := must(control.Connect(dir, "held"))
	text := `{"designation":"front","probability":100,"routes":[` + strings.TrimSuffix(strings.Repeat(`{"designation":"back","probability":50},`, 20), ",") + `]}`
	called := func(seed uint64) (int, string) {
		var got chain.Response
		answer := must(c.Call(t.Context(), []byte(text), &seed))
		if err := json.Unmarshal(answer.Body, &got); err != nil {
			t.Fatal(err)
		}
		return len(got.Response), answer.RequestID
	}
	counts := map[int]bool{}
	for seed := range uint64(10) {
		one, id := called(seed)
		two, again := called(seed)
		if one != two || id != again {
			t.Errorf("seed %d calls %d as %s and then %d as %s", seed, one, id, two, again)
		}
		counts[one] = true
	}
	if len(counts) < 2 {
		t.Errorf("all seeds call %v", counts)
	}
}

// A fault of a system that was taken down is gone, so to clear it leaves nothing behind.
func TestFaultsGoWithTheirSystem(t *testing.T) {
	dir := t.TempDir()
	d := up(t, inProcess(dir), runnertest.System("held"))
	c := must(control.Connect(dir, "held"))
	f := fault.Fault{Type: fault.Hang, Probability: 1, Target: fault.Target{Service: "front"}}
	if err := c.Inject(t.Context(), "hung", f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Clear(t.Context(), "hung"); err != nil {
		t.Errorf("clearing the fault of a system that was taken down: %v", err)
	}
	if err := c.Inject(t.Context(), "again", f, time.Time{}); !errors.Is(err, control.ErrClosed) {
		t.Errorf("a fault in a system that was taken down: %v", err)
	}
	up(t, inProcess(dir), runnertest.System("held"))
	if err := c.Clear(t.Context(), "hung"); err != nil {
		t.Errorf("clearing it while another system has the name: %v", err)
	}
}

func TestAClientOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	system := runnertest.System("held")
	system.Services[0].Language, system.Services[0].Framework = "go", "gorilla"
	d := up(t, processes("agent", dir), system)
	c := must(control.Connect(dir, ""))
	s := must(c.Status(t.Context()))
	if s.Name != "held" || s.Isolation != control.Isolation(localsim.Process) || s.PID != os.Getpid() || len(s.Services) != 3 {
		t.Errorf("the status is %+v", s)
	}
	front := s.Services[0]
	if front.Name != "front" || front.Kind != topology.Base || front.Language != "go" || front.Framework != "gorilla" ||
		!slices.Equal(front.Calls, []string{"back"}) || front.Endpoint == "" || front.Endpoint != s.URLs()["front"][0] {
		t.Errorf("the status of front is %+v", front)
	}
	if got := must(c.System(t.Context())); got.Describe() != system.Describe() || got.Services[1].Replicas != 2 {
		t.Errorf("the system is %+v", got)
	}
	broken := fault.Fault{Type: fault.Error, Probability: 1, Target: fault.Target{Service: "aside"}, Args: fault.Args{Status: 503}}
	if err := c.Inject(t.Context(), "a/b c", broken, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if active := must(c.Active(t.Context())); len(active) != 1 || active[0].ID != "a/b c" {
		t.Errorf("active are %+v", active)
	}
	if err := c.Clear(t.Context(), "a/b c"); err != nil {
		t.Fatal(err)
	}
	if err := c.Inject(t.Context(), "x", fault.Fault{Type: fault.NetLoss, Probability: 1, Target: broken.Target, Args: fault.Args{Percent: 10}}, time.Time{}); err == nil || !strings.Contains(err.Error(), "net-loss") || strings.Contains(err.Error(), "422") {
		t.Errorf("a network fault gives %v, want why it is not possible and no more", err)
	}
	if err := c.CanInject(&broken); err != nil {
		t.Error(err)
	}
	if err := c.Order(t.Context(), "aside", 1, "pause"); err != nil {
		t.Error(err)
	}
	if r := must(c.Replicas(t.Context()))[3]; r.State != runner.Paused {
		t.Errorf("after a pause the replica is %s", r.State)
	}
	for _, wrong := range []func() error{
		func() error { return c.Order(t.Context(), "aside", 2, "kill") },
		func() error { return c.Order(t.Context(), "aside", 1, "explode") },
		func() error { return c.Order(t.Context(), "nobody", 1, "kill") },
	} {
		if err := wrong(); err == nil {
			t.Error("a wrong order was accepted")
		}
	}
	if err := c.ClearAll(t.Context()); err != nil {
		t.Error(err)
	}
	if r := must(c.Replicas(t.Context()))[3]; r.State != runner.Ready {
		t.Errorf("after clearing all the replica is %s", r.State)
	}
	if err := c.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-d.ShutdownRequested():
	case <-time.After(patience):
		t.Error("nobody was told to end")
	}
}

// get returns what a service says at its first endpoint.
func get(t *testing.T, url string) int {
	t.Helper()
	status, _ := request(t, "GET", url+"/", "", nil)
	return status
}

func TestUpdateChangesARunningSystem(t *testing.T) {
	for name, config := range map[string]localsim.Config{"inprocess": inProcess(t.TempDir()), "process": processes("agent", t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			expectNoLeaks(t)
			d := up(t, config, runnertest.System("held"))
			c := must(control.Connect(config.StateDir, "held"))
			fault503 := fault.Fault{Type: fault.Error, Probability: 1, Target: fault.Target{Service: "back"}, Args: fault.Args{Status: 503}}
			if err := d.Inject(t.Context(), "kept", fault503, time.Time{}); err != nil {
				t.Fatal(err)
			}
			before := must(d.Replicas(t.Context()))
			next := runnertest.System("held")
			// front calls the new service first, and ignores that back is broken;
			// aside goes; back gets a replica.
			next.Services[0] = topology.NewService("front", topology.CallTo("added"), topology.CallTo("back"))
			next.Services[0].Endpoints[0].Steps[1].Call.OnError = topology.Ignore
			next.Services[0].Endpoints[0].Response.Status = 201
			next.Services[1].Replicas = 3
			next.Services[2] = topology.NewService("added")
			if err := c.Update(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			after := must(d.Replicas(t.Context()))
			var names []string
			for _, r := range after {
				names = append(names, fmt.Sprintf("%s/%d %s %d", r.Service, r.Index, r.State, r.Restarts))
			}
			if want := []string{"front/1 ready 0", "back/1 ready 0", "back/2 ready 0", "back/3 ready 0", "added/1 ready 0"}; !slices.Equal(names, want) {
				t.Errorf("replicas are %q, want %q", names, want)
			}
			// front changes in place.
			for i := range 3 {
				if before[i] != after[i] {
					t.Errorf("a replica that goes on was %+v and is %+v", before[i], after[i])
				}
			}
			if got := get(t, after[0].URL); got != 201 {
				t.Errorf("the changed service answers %d, want 201", got)
			}
			if got := get(t, after[3].URL); got != 503 {
				t.Errorf("the new replica of a broken service answers %d, want 503", got)
			}
			if resp, err := http.Get(before[3].URL + "/"); err == nil {
				resp.Body.Close()
				t.Error("the removed service still answers")
			}
			if got := len(d.Outages()); got != 0 {
				t.Errorf("an update counts as %d failures", got)
			}
		})
	}
}

// TestAReplicaThatStartsLaterFollowsTheNewDescription changes a service in place, and kills
// its process: the next one begins with the description that the last one followed.
func TestAReplicaThatStartsLaterFollowsTheNewDescription(t *testing.T) {
	config := processes("agent", t.TempDir())
	d := up(t, config, runnertest.System("held"))
	c := must(control.Connect(config.StateDir, "held"))
	next := runnertest.System("held")
	next.Services[0].Endpoints[0].Response.Status = 201
	if err := c.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	url := must(d.Replicas(t.Context()))[0].URL
	if got := get(t, url); got != 201 {
		t.Fatalf("the changed service answers %d, want 201", got)
	}
	if err := c.Order(t.Context(), "front", 1, "kill"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if r := must(d.Replicas(t.Context()))[0]; r.Restarts == 1 && r.State == runner.Ready {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the replica is %+v", r)
		}
	}
	if got := get(t, url); got != 201 {
		t.Errorf("its next process answers %d, want 201", got)
	}
	// A change that no running process can follow replaces the process.
	next = runnertest.System("held")
	next.Services[0].Workers = 2
	before := must(d.Replicas(t.Context()))
	if err := c.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if after := must(d.Replicas(t.Context())); before[0] == after[0] || before[1] != after[1] || get(t, url) != 200 {
		t.Errorf("the replicas were %+v and are %+v", before[:2], after[:2])
	}
}

// TestAPausedReplicaFollowsItsDescriptionWhenItGoesOn changes a service whose process is
// frozen.
func TestAPausedReplicaFollowsItsDescriptionWhenItGoesOn(t *testing.T) {
	config := processes("agent", t.TempDir())
	d := up(t, config, runnertest.System("held"))
	frozen := fault.Fault{Type: fault.Pause, Probability: 1, Target: fault.Target{Service: "front"}}
	if err := d.Inject(t.Context(), "frozen", frozen, time.Time{}); err != nil {
		t.Fatal(err)
	}
	next := runnertest.System("held")
	next.Services[0].Endpoints[0].Response.Status = 201
	if err := d.Update(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if err := d.Clear(t.Context(), "frozen"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, must(d.Replicas(t.Context()))[0].URL); got != 201 {
		t.Errorf("the service answers %d when it goes on, want 201", got)
	}
}

func TestUpdateThatFailsChangesNothing(t *testing.T) {
	config := inProcess("")
	config.NewServer = func(s localsim.Spec) (supervise.Server, error) {
		if s.Service.Endpoints[0].Response.Status == 299 {
			return nil, fmt.Errorf("status 299 is not served here")
		}
		return newServer(s)
	}
	d := up(t, config, runnertest.System("held"))
	before := must(d.Replicas(t.Context()))
	for name, change := range map[string]func(*topology.System){
		"a new service that does not start": func(s *topology.System) {
			s.Services = append(s.Services, topology.NewService("added"))
			s.Services[3].Endpoints[0].Response.Status = 299
		},
		"a changed service that does not start": func(s *topology.System) {
			s.Services[1].Endpoints[0].Response.Status = 299
			s.Services[1].Workers = 1
			s.Services[2].Replicas = 2
		},
		"a change in place beside a service that does not start": func(s *topology.System) {
			s.Services[0].Endpoints[0].Response.Status = 203
			s.Services[1].Endpoints[0].Response.Status = 299
			s.Services[1].Workers = 1
		},
		"another name": func(s *topology.System) { s.Name = "other" },
		"a mistake":    func(s *topology.System) { s.Services[0].Endpoints[0].Steps[0].Call.To = "nobody" },
	} {
		next := runnertest.System("held")
		change(next)
		if err := d.Update(t.Context(), next); err == nil {
			t.Errorf("%s: Update says nothing", name)
		}
		after := must(d.Replicas(t.Context()))
		if len(after) != len(before) {
			t.Errorf("%s: replicas were %+v and are %+v", name, before, after)
			continue
		}
		for i := range after {
			if after[i].URL != before[i].URL || after[i].State != runner.Ready {
				t.Errorf("%s: the replica was %+v and is %+v", name, before[i], after[i])
			}
			if got := get(t, after[i].URL); got != 200 {
				t.Errorf("%s: %s answers %d", name, after[i].Service, got)
			}
		}
	}
}

func TestConnectNeedsANameAmongSeveral(t *testing.T) {
	dir := t.TempDir()
	if _, err := control.Connect(dir, ""); err == nil || !strings.Contains(err.Error(), "microsim up") {
		t.Errorf("with no system, Connect says %v", err)
	}
	up(t, inProcess(dir), runnertest.System("one"))
	up(t, inProcess(dir), runnertest.System("two"))
	if _, err := control.Connect(dir, ""); err == nil || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("with two systems, Connect says %v", err)
	}
	if _, err := control.Connect(dir, "three"); err == nil || !strings.Contains(err.Error(), "one, two") {
		t.Errorf("for an unknown name, Connect says %v", err)
	}
	if c := must(control.Connect(dir, "two")); must(c.Status(context.Background())).Name != "two" {
		t.Error("Connect found another system")
	}
}

func TestAFaultWithoutProbabilityActsAlways(t *testing.T) {
	dir := t.TempDir()
	d := up(t, inProcess(dir), runnertest.System("held"))
	record := must(os.ReadFile(filepath.Join(dir, "held", "system.json")))
	var known struct{ Token string }
	if err := json.Unmarshal(record, &known); err != nil {
		t.Fatal(err)
	}
	bearer := http.Header{"Authorization": {"Bearer " + known.Token}, "Content-Type": {"application/json"}}
	status, body := request(t, "PUT", d.ControlURL()+"/admin/faults/x", `{"fault": {"type": "error", "target": {"service": "aside"}, "args": {"status": 503}}}`, bearer)
	active := must(d.Active(t.Context()))
	if status != 200 || len(active) != 1 || active[0].Fault.Probability != 1 {
		t.Errorf("got %d %s; active are %+v", status, body, active)
	}
}
