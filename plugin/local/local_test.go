package local

import (
	"encoding/json"
	"io"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// flagsOf are the flags of a command line.
func flagsOf(t *testing.T, args ...string) *Flags {
	t.Helper()
	l := &Flags{}
	cmd := &cobra.Command{}
	l.AddFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestIsolations(t *testing.T) {
	for args, want := range map[string]struct {
		err     string
		repeats []string // the arguments that ask for the same again
	}{
		"":                                    {"", nil},
		"--isolation inprocess":               {"", []string{"--isolation", "inprocess"}},
		"--isolation netns --port-base 65535": {"", []string{"--isolation", "netns"}},
		"--isolation vm":                      {"vm", nil},
		"--port-base 65536":                   {"--port-base 65536 is not a port", nil},
		"--isolation process --port-base=-1":  {"--port-base -1 is not a port", nil},
	} {
		l := flagsOf(t, strings.Fields(args)...)
		err := l.Validate()
		if (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%q: %v, want %q", args, err, want.err)
		}
		if err == nil && !slices.Equal(l.IsolationArgs(), want.repeats) {
			t.Errorf("%q: another command line would get %q", args, l.IsolationArgs())
		}
	}
}

// A replica's process is this program as an agent, which gets its part of the system, with
// the token, by the environment: arguments are seen by everybody on the machine.
func TestCommandOfAReplica(t *testing.T) {
	spec := localsim.Spec{
		System: "shop", Service: topology.NewService("web", topology.CallTo("db")), Replica: 2, Seed: 7, Token: "secret", Addr: "127.0.0.2:8080",
		Peers:  map[string][]string{"db": {"http://127.0.0.3:8080"}},
		Stores: []topology.Service{{Name: "db", Kind: topology.Redis, Replicas: 1}},
	}
	for name, tt := range map[string]struct {
		flags Flags
		args  string
		owns  bool
	}{
		"usual":      {Flags{Isolation: "process"}, "agent serve --watch-stdin --addr 127.0.0.2:8080 --control-addr 127.0.0.2:0", false},
		"verbose":    {Flags{Isolation: "process", Verbose: true, LogFormat: "json"}, "agent serve --watch-stdin --addr 127.0.0.2:8080 --control-addr 127.0.0.2:0 --verbose --log-format json", false},
		"namespaces": {Flags{Isolation: "netns", TraceSample: 0.5}, "agent serve --watch-stdin --addr 127.0.0.2:8080 --control-addr 127.0.0.2:0", true},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, err := commands{&tt.flags, "/state"}.of(spec)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(cmd.Args[1:], " "); got != tt.args {
				t.Errorf("the arguments are %q, want %q", got, tt.args)
			}
			if got := slices.Contains(cmd.Env, "MICROSIM_OWN_NETWORK=1"); got != tt.owns {
				t.Errorf("the process has a network of its own: %v, want %v", got, tt.owns)
			}
			i := slices.IndexFunc(cmd.Env, func(s string) bool { return strings.HasPrefix(s, "MICROSIM_SERVICE=") })
			if i < 0 || !slices.Contains(cmd.Env, "SERVICE_NAME=web") {
				t.Fatalf("the environment is %q", cmd.Env)
			}
			got, err := service.ParseSpec([]byte(strings.TrimPrefix(cmd.Env[i], "MICROSIM_SERVICE=")))
			if err != nil {
				t.Fatal(err)
			}
			want := service.Spec{System: "shop", Service: spec.Service, Replica: 2, Seed: 7, Token: "secret", Peers: spec.Peers, Stores: spec.Stores, TraceSample: tt.flags.TraceSample}
			if text(t, got) != text(t, &want) {
				t.Errorf("the process is told %s, want %s", text(t, got), text(t, &want))
			}
		})
	}
	if _, err := (commands{&Flags{}, ""}).of(localsim.Spec{Addr: "nowhere"}); err == nil {
		t.Error("a replica without a port has a command")
	}
	// A store calls nobody, so it is not told of the others.
	spec.Service = spec.Stores[0]
	cmd, err := commands{&Flags{Isolation: "process"}, "/state"}.of(spec)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(cmd.Args[1:], " "), "agent store --data /state --watch-stdin --addr 127.0.0.2:8080 --control-addr 127.0.0.2:0"; got != want {
		t.Errorf("the arguments of a store are %q, want %q", got, want)
	}
	if slices.ContainsFunc(cmd.Env, func(s string) bool { return strings.Contains(s, `"stores"`) }) {
		t.Errorf("a store is told of stores: %q", cmd.Env)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Faults on the network whose callers are not named concern clients outside the system.
func TestEntrancesOf(t *testing.T) {
	got := EntrancesOf([]fault.Fault{
		{Type: fault.NetDelay, Target: fault.Target{Service: "web"}},
		{Type: fault.NetDelay, Target: fault.Target{From: "web", Service: "cart"}},
		{Type: fault.NetLoss, Target: fault.Target{Service: "web"}},
		{Type: fault.Error, Target: fault.Target{Service: "db"}},
		{Type: fault.NetPartition, Target: fault.Target{Service: "api"}},
	})
	if !slices.Equal(got, []string{"web", "api"}) {
		t.Errorf("the entrances are %q", got)
	}
}

// Rules mean the requests that a replica takes, and their answers: its port, and the
// callers that the fault names.
func TestRulesOf(t *testing.T) {
	partition := fault.Fault{Type: fault.NetPartition, Probability: 1, Target: fault.Target{Service: "db"}}
	rules, err := rulesOf([]localsim.PathFault{
		{ID: "all", Fault: partition, Port: 80},
		{ID: "two", Fault: partition, Port: 80, Callers: []string{"10.0.0.1", "fd00::1"}},
		{ID: "nobody", Fault: partition, Port: 80, Callers: []string{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ports := []netfault.PortRange{{First: 80, Last: 80}}
	want := [][]netfault.Peer{
		{{LocalPorts: ports, Protocol: netfault.TCP}},
		{
			{LocalPorts: ports, Protocol: netfault.TCP, CIDR: netip.MustParsePrefix("10.0.0.1/32")},
			{LocalPorts: ports, Protocol: netfault.TCP, CIDR: netip.MustParsePrefix("fd00::1/128")},
		},
	}
	if len(rules) != 2 {
		t.Fatalf("the rules are %+v; want none for a fault that concerns nobody", rules)
	}
	for i, r := range rules {
		if r.ID != "n"+[]string{"all", "two"}[i] || !reflect.DeepEqual(r.Peers, want[i]) || !r.Impairment.Partition {
			t.Errorf("rule %d is %+v, want the peers %+v", i, r, want[i])
		}
	}
	if _, err := rulesOf([]localsim.PathFault{{ID: "bad", Fault: partition, Callers: []string{"web"}}}); err == nil || !strings.Contains(err.Error(), `caller "web"`) {
		t.Errorf("a caller without an address: %v", err)
	}
	if _, err := rulesOf([]localsim.PathFault{{ID: "none", Fault: fault.Fault{Type: fault.Error}}}); err == nil {
		t.Error("a fault that is not the network's has a rule")
	}
}

// Names of rules are plain, and differ if those of faults do.
func TestRuleID(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"", "a", "n", "na", "xa", "a b", "a/b", strings.Repeat("a", 62), strings.Repeat("a", 63), strings.Repeat("a", 64), "ä"} {
		rule := ruleID(id)
		if other, ok := seen[rule]; ok {
			t.Errorf("%q and %q are both %q", id, other, rule)
		}
		seen[rule] = id
		if len(rule) > 63 || strings.Trim(rule, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("%q is %q, which is not the name of a rule", id, rule)
		}
	}
	if got := ruleID("net-delay-1"); got != "nnet-delay-1" {
		t.Errorf("a plain name is %q", got)
	}
}

// Faults that need no netem are possible wherever namespaces are.
func TestCanImpair(t *testing.T) {
	if err := canImpair(&fault.Fault{Type: fault.NetPartition, Probability: 1}); err != nil {
		t.Errorf("a partition: %v", err)
	}
	if err := canImpair(&fault.Fault{Type: fault.Error}); err == nil {
		t.Error("the network can answer errors")
	}
}

func TestStress(t *testing.T) {
	cpu := fault.Fault{Type: fault.CPUStress, Probability: 1, Args: fault.Args{Load: 0.5}}.WithDefaults()
	if err := canStress(&cpu); err != nil {
		t.Error(err)
	}
	if err := canStress(&fault.Fault{Type: fault.Latency}); err == nil {
		t.Error("a latency is stress of a process")
	}
	memory := fault.Fault{Type: fault.MemoryStress, Probability: 1, Args: fault.Args{Size: unit.Size(1 << 20)}}.WithDefaults()
	if err := canStress(&memory); (err == nil) != (runtime.GOOS == "linux") {
		t.Errorf("stress of memory on %s: %v", runtime.GOOS, err)
	}
	cmd, err := stressCommand(cpu, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(cmd.Args[1:], " "); !strings.HasPrefix(args, "agent stress ") || !strings.Contains(args, "3s") {
		t.Errorf("the arguments are %q", args)
	}
	if _, err := stressCommand(fault.Fault{Type: fault.Latency}, time.Second); err == nil {
		t.Error("a latency has a process that stresses")
	}
}

// The flags decide what a system logs; an unknown log format is refused.
func TestDeployerLogs(t *testing.T) {
	system := &topology.System{Name: "quiet", Services: []topology.Service{topology.NewService("web")}}
	for name, tt := range map[string]struct {
		flags Flags
		want  bool // the fault is told
	}{
		"usual": {Flags{Isolation: "inprocess"}, false},
		"told":  {Flags{Isolation: "inprocess", Tell: true}, true},
		"json":  {Flags{Isolation: "inprocess", Verbose: true, LogFormat: "json"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			deployer, err := tt.flags.DeployerIn("", &log)
			if err != nil {
				t.Fatal(err)
			}
			deployment, err := deployer.Up(t.Context(), system, 1)
			if err != nil {
				t.Fatal(err)
			}
			inject := deployment.Inject(t.Context(), "f", fault.Fault{Type: fault.Error, Probability: 1, Target: fault.Target{Service: "web"}}, time.Now().Add(time.Minute))
			if err := deployment.Close(t.Context()); err != nil || inject != nil {
				t.Fatal(err, inject)
			}
			if got := strings.Contains(log.String(), "fault applied"); got != tt.want || strings.Contains(log.String(), `{"`) != (tt.flags.LogFormat == "json") {
				t.Errorf("the log is\n%s", log.String())
			}
		})
	}
	if _, err := (&Flags{LogFormat: "xml"}).DeployerIn("", io.Discard); err == nil || !strings.Contains(err.Error(), "xml") {
		t.Errorf("an unknown format: %v", err)
	}
}

// A system that does not run is not found, with what to do.
func TestFind(t *testing.T) {
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	if _, err := Find("shop"); err == nil || !strings.Contains(err.Error(), "shop") {
		t.Errorf("finding a system that does not run: %v", err)
	}
	if systems, err := Systems(); err != nil || len(systems) > 0 {
		t.Errorf("the systems are %v, %v", systems, err)
	}
}
