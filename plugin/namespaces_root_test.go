//go:build root && linux

package plugin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

func namespaceDeployer(t *testing.T) *localsim.Deployer {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("making network namespaces needs root; run it by `make test-root`")
	}
	d, err := (&local.Flags{Isolation: string(localsim.Namespace), Verbose: true}).DeployerIn(t.TempDir(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestNamespacesConform(t *testing.T) {
	before := ourLinks(t)
	runnertest.Deployer(t, func(t *testing.T) runner.Deployer { return namespaceDeployer(t) })
	if after := ourLinks(t); after != before {
		t.Errorf("there were the links %q, and now %q", before, after)
	}
}

// ourLinks lists the links of networks on this machine.
func ourLinks(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range all {
		if strings.HasPrefix(l.Name, "msim-") {
			names = append(names, l.Name)
		}
	}
	return strings.Join(names, " ")
}

// A measured is a system in namespaces in which web and api call db.
type measured struct {
	*localsim.Deployment
	replicas map[string]runner.Replica
}

func measureNamespaces(t *testing.T) *measured {
	t.Helper()
	step := topology.CallTo("db")
	step.Call.Timeout = unit.Duration(10 * time.Second)
	system := &topology.System{Name: "measured", Services: []topology.Service{
		topology.NewService("web", step), topology.NewService("api", step), topology.NewService("db"),
	}}
	system.Services[2].Endpoints[0].Response.Size = 200 << 10
	d, err := namespaceDeployer(t).Up(t.Context(), system, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	m := &measured{d, map[string]runner.Replica{}}
	all, err := d.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		m.replicas[r.Service] = r
	}
	return m
}

// took asks a service n times and returns the median and the longest time.
func (m *measured) took(t *testing.T, service string, n int) (median, most time.Duration) {
	t.Helper()
	var all []time.Duration
	for range n {
		began := time.Now()
		resp, err := http.Get(m.replicas[service].URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("GET %s answers %d, %v", service, resp.StatusCode, err)
		}
		all = append(all, time.Since(began))
	}
	slices.Sort(all)
	return all[n/2], all[n-1]
}

// counter reads a counter of the kernel in the namespace of a service.
func (m *measured) counter(t *testing.T, service, name string) int {
	t.Helper()
	for _, file := range []string{"snmp", "netstat"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", m.replicas[service].PID, file))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			titles, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			if at := slices.Index(titles, name); at >= 0 {
				n, err := strconv.Atoi(values[at])
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
		}
	}
	t.Fatalf("the kernel has no counter %q", name)
	return 0
}

// Every fault on the network is measured on the edge that it is for, beside one
// that it spares, and after it.
func TestNetworkFaultsInNamespaces(t *testing.T) {
	const ms = time.Millisecond
	m := measureNamespaces(t)
	for _, test := range []struct {
		fault fault.Fault
		// least and most bound the median of the times through web.
		least, most time.Duration
		// counter grows in the namespace of service by at least one in 20
		// requests.
		service, counter string
	}{
		{fault: fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, least: 50 * ms, most: 100 * ms},
		{fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{Direction: fault.ToTarget}, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, least: 50 * ms, most: 200 * ms},
		{fault: fault.Fault{Type: fault.NetDelay, Target: fault.Target{Direction: fault.Both}, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, least: 100 * ms, most: 300 * ms},
		{fault: fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: 1 << 20}}, least: 180 * ms, most: 400 * ms},
		{fault: fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 20}}, service: "db", counter: "RetransSegs", most: 5 * time.Second},
		{fault: fault.Fault{Type: fault.NetCorrupt, Args: fault.Args{Percent: 20}}, service: "db", counter: "RetransSegs", most: 5 * time.Second},
		{fault: fault.Fault{Type: fault.NetDuplicate, Args: fault.Args{Percent: 50}}, service: "web", counter: "TCPDSACKOldSent", most: 100 * ms},
		{fault: fault.Fault{Type: fault.NetReorder, Args: fault.Args{Percent: 30, Delay: dist.Fixed(5 * ms)}}, service: "web", counter: "TCPOFOQueue", most: time.Second},
	} {
		f := test.fault
		t.Run(string(f.Type)+"-"+string(f.EffectiveDirection()), func(t *testing.T) {
			f.Probability, f.Target.Service, f.Target.From = 1, "db", "web"
			before, _ := m.took(t, "web", 5)
			counted := 0
			if test.counter != "" {
				counted = m.counter(t, test.service, test.counter)
			}
			if err := m.Inject(t.Context(), "x", f, time.Time{}); err != nil {
				t.Fatal(err)
			}
			during, longest := m.took(t, "web", 20)
			other, _ := m.took(t, "api", 5)
			if test.counter != "" {
				counted = m.counter(t, test.service, test.counter) - counted
			}
			active, err := m.Active(t.Context())
			if err != nil || len(active) != 1 || active[0].By == "" || active[0].Hits < 20 && (active[0].Hits != -1 || active[0].By != "tc") {
				t.Errorf("after 20 requests what acts is %+v, %v", active, err)
			}
			if err := m.Clear(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			after, _ := m.took(t, "web", 5)
			t.Logf("%d hits by %s; median before %v, during %v (longest %v, other caller %v), after %v; %s +%d", active[0].Hits, active[0].By, before, during, longest, other, after, test.counter, counted)
			if during < test.least || during > test.most || test.counter != "" && counted == 0 {
				t.Errorf("want %v to %v during the fault", test.least, test.most)
			}
			if limit := 40 * ms; before > limit || after > limit || other > limit {
				t.Errorf("want at most %v before, after and for others", limit)
			}
		})
	}
}

// Faults of one edge act together though different backends may have to carry
// them out, and meet callers that appear later.
func TestStackedFaultsInNamespaces(t *testing.T) {
	const ms = time.Millisecond
	m := measureNamespaces(t)
	target := fault.Target{Service: "db", From: "web"}
	rate := fault.Fault{Type: fault.NetRate, Probability: 1, Target: target, Args: fault.Args{Rate: 2 << 20}}
	slow := fault.Fault{Type: fault.NetDelay, Probability: 1, Target: target, Args: fault.Args{Delay: dist.Fixed(60 * ms)}}
	within := func(what, service string, least, most time.Duration) {
		t.Helper()
		if took, _ := m.took(t, service, 5); took < least || took > most {
			t.Errorf("%s %s takes %v, want %v to %v", what, service, took, least, most)
		}
	}
	// 200 KiB at 2 MiB/s take about 100 ms. With a delay they take several round
	// trips while a connection finds out how much may be on the way.
	for _, step := range []struct {
		what        string
		do          func() error
		least, most time.Duration
	}{
		{"with a rate", func() error { return m.Inject(t.Context(), "rate", rate, time.Time{}) }, 85 * ms, 180 * ms},
		{"with a delay beside it", func() error { return m.Inject(t.Context(), "slow", slow, time.Time{}) }, 145 * ms, 2 * time.Second},
		{"with the delay alone", func() error { return m.Clear(t.Context(), "rate") }, 60 * ms, 2 * time.Second},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		within(step.what, "web", step.least, step.most)
	}
	next := *m.System()
	next.Services = slices.Clone(next.Services)
	next.Services[0].Replicas = 2
	if err := m.Update(t.Context(), &next); err != nil {
		t.Fatal(err)
	}
	all, err := m.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Service == "web" && r.Index == 2 {
			m.replicas["web"] = r
		}
	}
	within("from a new replica", "web", 60*ms, 2*time.Second)
	within("from others", "api", 0, 40*ms)
	if err := m.Clear(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	within("afterwards", "web", 0, 40*ms)
}

// A partition of a service hits all its callers, also those outside, and not
// what steers the service.
func TestPartitionInNamespaces(t *testing.T) {
	m := measureNamespaces(t)
	f := fault.Fault{Type: fault.NetPartition, Probability: 1, Target: fault.Target{Service: "db"}}
	if err := m.Inject(t.Context(), "x", f, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: 500 * time.Millisecond}
	for service, r := range m.replicas {
		resp, err := client.Get(r.URL + "/")
		if err == nil {
			resp.Body.Close()
			t.Errorf("during the partition of db, %s answers %d", service, resp.StatusCode)
		}
	}
	slow := fault.Fault{Type: fault.Latency, Probability: 1, Target: fault.Target{Service: "db"}, Args: fault.Args{Delay: dist.Fixed(time.Millisecond)}}
	if err := m.Inject(t.Context(), "y", slow, time.Time{}); err != nil {
		t.Errorf("during the partition db cannot be told anything: %v", err)
	}
	for _, id := range []string{"x", "y"} {
		if err := m.Clear(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	m.took(t, "web", 3)
	for want, f := range map[string]fault.Fault{
		"needs a gate":              {Type: fault.Refuse, Probability: 1},
		"leave out the probability": {Type: fault.NetPartition, Probability: 0.5},
	} {
		f.Target.Service = "db"
		if err := m.CanInject(&f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", f.Type, err, want)
		}
	}
}

// After a kill -9 of the program that holds a system, and down, no namespace, no
// link and no process is left.
func TestKillLeavesNoNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("making network namespaces needs root; run it by `make test-root`")
	}
	links, spaces := ourLinks(t), namespaces(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "two.yaml")
	text := "{apiVersion: microsim.dev/v1alpha1, kind: System, name: two, services: [{name: web, calls: [db]}, db]}"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	microsim := func(args ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "MICROSIM_STATE_DIR="+dir, beProgram+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}
	holder := microsim("up", "-f", file, "--on", "local", "--isolation", "netns", "-o", "json")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(out, first); err != nil {
		t.Fatalf("waiting for the system: %v", err)
	}
	if text, err := microsim("fault", "add", "net-rate", "--target", "db", "--rate", "1M", "--on", "local").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if namespaces(t) <= spaces || ourLinks(t) == links {
		t.Error("the system has made no namespace or no link")
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // it was killed
	if text, err := microsim("down", "two", "--on", "local").CombinedOutput(); err != nil || !bytes.Contains(text, []byte("system/two deleted")) {
		t.Errorf("%v: %s", err, text)
	}
	for end := time.Now().Add(30 * time.Second); namespaces(t) > spaces || ourLinks(t) != links; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d namespaces are left where %d were, and the links %q where %q were", namespaces(t), spaces, ourLinks(t), links)
		}
	}
}

// namespaces counts the network namespaces that processes are in.
func namespaces(t *testing.T) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, path := range paths {
		if to, err := os.Readlink(path); err == nil {
			seen[to] = true
		}
	}
	return len(seen)
}
