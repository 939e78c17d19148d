package localsim_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A payServer is a server that is not of this project, and remembers what it was asked.
type payServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func startPay(t *testing.T) *payServer {
	p := &payServer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, r.Method+" "+r.URL.Path+" of "+r.Header.Get("X-Request-ID"))
		if r.URL.Path == "/v1/broken" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *payServer) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// withPay is a system in which web calls pay, a server at a URL.
func withPay(url string) *topology.System {
	call := topology.CallTo("pay")
	call.Call.Endpoint, call.Call.Timeout = "/charge", unit.Duration(500*ms)
	s := &topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web", call), topology.NewService("pay")}}
	s.Services[1].URL = url
	return s
}

// askWeb sends a request to web and returns the status of its answer.
func askWeb(t *testing.T, d *localsim.Deployment, id string) int {
	t.Helper()
	replicas, err := d.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, replicas[0].URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Request-ID", id)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestAServerAtAURLIsCalledAndCutOff(t *testing.T) {
	for name, config := range map[string]localsim.Config{"inprocess": inProcess(""), "process": processes("agent", "")} {
		t.Run(name, func(t *testing.T) {
			pay := startPay(t)
			open := &openGates{}
			d := up(t, open.applyGates(config), withPay(pay.URL+"/v1"))
			if status := askWeb(t, d, "first"); status != http.StatusOK {
				t.Fatalf("web answered %d, want 200", status)
			}
			if got := pay.requests(); len(got) != 1 || got[0] != "GET /v1/charge of first" {
				t.Errorf("pay was asked %q, want GET /v1/charge of first", got)
			}
			cut := fault.Fault{Type: fault.Refuse, Probability: 1, Target: fault.Target{Service: "pay", From: "web"}}
			if err := d.Inject(t.Context(), "cut", cut, time.Time{}); err != nil {
				t.Fatal(err)
			}
			// A connection that was kept is closed, and others are refused.
			if status := askWeb(t, d, "second"); status != http.StatusBadGateway && status != http.StatusServiceUnavailable {
				t.Errorf("web answered %d while pay was cut off, want 502 or 503", status)
			}
			if err := d.Clear(t.Context(), "cut"); err != nil {
				t.Fatal(err)
			}
			if status := askWeb(t, d, "third"); status != http.StatusOK {
				t.Errorf("web answered %d after the fault, want 200", status)
			}
			if got := pay.requests(); len(got) != 2 {
				t.Errorf("pay was asked %q, want two requests", got)
			}
			if err := d.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			response, err := http.Get(pay.URL)
			if err != nil {
				t.Fatalf("pay does not answer any more: %v", err)
			}
			response.Body.Close()
			if n := open.n.Load(); n != 0 {
				t.Errorf("%d gates are left", n)
			}
		})
	}
}

func TestAServerAtAURLIsShownAsItIs(t *testing.T) {
	pay := startPay(t)
	d := up(t, inProcess(""), withPay(pay.URL))
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := status.Services[1]
	if s.URL != pay.URL || s.Endpoint != pay.URL || len(s.Replicas) != 1 || s.Replicas[0].State != runner.Ready || !s.Replicas[0].Silent || s.Replicas[0].PID != 0 {
		t.Errorf("pay is shown as %+v", s)
	}
	for _, f := range []fault.Type{fault.Latency, fault.Kill, fault.Restart, fault.Pause, fault.Panic} {
		err := d.CanInject(&fault.Fault{Type: f, Probability: 1, Args: fault.Args{}, Target: fault.Target{Service: "pay"}})
		if err == nil {
			t.Errorf("fault %s is taken", f)
		}
	}
	if err := d.Order(t.Context(), "pay", 1, "kill"); err == nil || !strings.Contains(err.Error(), "not ours to stop") {
		t.Errorf("an order to kill it: %v", err)
	}
}

func TestAServerThatIsNotThereIsAnError(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := inProcess("")
	c.ReadyTimeout = 1000 * ms
	_, err = newDeployer(t, c).Up(t.Context(), withPay("http://"+ln.Addr().String()), 1)
	if err == nil || !strings.Contains(err.Error(), `service pay/1: its URL http://`) || !strings.Contains(err.Error(), "connection refused") || !strings.Contains(err.Error(), "start its server, or correct url") {
		t.Errorf("Up: %v", err)
	}
	unhealthy := withPay(startPay(t).URL)
	unhealthy.Services[1].Readiness = &topology.Probe{Path: "/v1/broken"}
	if _, err := newDeployer(t, c).Up(t.Context(), unhealthy, 1); err == nil || !strings.Contains(err.Error(), "418") {
		t.Errorf("Up with a health check that fails: %v", err)
	}
}

func TestAServerAtAURLComesAndGoesWithUpdates(t *testing.T) {
	pay := startPay(t)
	d := up(t, inProcess(""), withPay(pay.URL))
	next := withPay(startPay(t).URL)
	if err := d.Update(t.Context(), next); err == nil || !strings.Contains(err.Error(), `the address of service "pay" cannot change`) {
		t.Errorf("another URL: %v", err)
	}
	more := withPay(pay.URL)
	ship := topology.NewService("ship")
	ship.URL = startPay(t).URL
	more.Services = append(more.Services, ship)
	more.Services[0].Endpoints[0].Steps = append(more.Services[0].Endpoints[0].Steps, topology.CallTo("ship"))
	if err := d.Update(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if status := askWeb(t, d, "more"); status != http.StatusOK {
		t.Errorf("web answered %d with another server, want 200", status)
	}
	if err := d.Update(t.Context(), withPay(pay.URL)); err != nil {
		t.Fatal(err)
	}
	if replicas, err := d.Replicas(t.Context()); err != nil || len(replicas) != 2 {
		t.Errorf("replicas are %v, %v", replicas, err)
	}
}

func TestProgramsThatThisMachineCannotStartAreRefused(t *testing.T) {
	image := withPay("")
	image.Services[1].Image, image.Services[1].Port = "acme/pay:1", 3000
	_, err := newDeployer(t, inProcess("")).Up(t.Context(), image, 1)
	if want := "image acme/pay:1 runs on clusters only; start it on this machine yourself and write its url, such as http://127.0.0.1:3000"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("an image: %v, want %q", err, want)
	}
}

func TestAttachedInstancesEndWhenTold(t *testing.T) {
	in := supervise.Attach("127.0.0.1:1")
	select {
	case <-in.Done():
		t.Fatal("it ended by itself")
	default:
	}
	in.Terminate()
	in.Terminate()
	<-in.Done()
	if err := fmt.Sprint(in.Kill(), in.Pause(), in.Resume()); strings.Contains(err, "<nil>") {
		t.Errorf("orders that it cannot obey: %s", err)
	}
}
