package nodeagent

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault"
)

func TestRules(t *testing.T) {
	for _, tt := range []struct {
		Name  string
		fault order.Fault
		want  string // the description, or a part of the error
		fails bool
	}{
		{"delay", order.Fault{Fault: fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(300 * time.Millisecond), Jitter: unit.Duration(50 * time.Millisecond)}},
			Peers: []string{"10.0.0.1", "10.0.0.2", "10.96.0.0/16"}, Exempt: []string{"172.18.0.2", "tcp:*;local=8081"}}, "delay 300ms ±50ms, egress eth0, 3 peers", false},
		{"loss", order.Fault{Fault: fault.Fault{Type: fault.NetLoss, Target: fault.Target{Direction: fault.Both}, Args: fault.Args{Percent: 12.5}}}, "loss 12.5 %, both eth0", false},
		{"rate", order.Fault{Fault: fault.Fault{Type: fault.NetRate, Target: fault.Target{Direction: fault.ToTarget}, Args: fault.Args{Rate: 125000}}}, "rate 125000 B/s, ingress eth0", false},
		{"partition", order.Fault{Fault: fault.Fault{Type: fault.NetPartition}, Only: true, Peers: []string{"fd00::1"}}, "partition, both eth0, 1 peer", false},
		{"no peers", order.Fault{Fault: fault.Fault{Type: fault.NetPartition}, Only: true}, "", false},
		{"bad peer", order.Fault{Fault: fault.Fault{Type: fault.NetPartition}, Peers: []string{"db"}}, "host names are not resolved", true},
		{"bad exemption", order.Fault{Fault: fault.Fault{Type: fault.NetPartition}, Exempt: []string{"tcp:*;port=1"}}, "unknown part", true},
		{"bad distribution", order.Fault{Fault: fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Delay{}}}}, "does not know the delay", true},
	} {
		t.Run(tt.Name, func(t *testing.T) {
			tt.fault.Fault.Probability = 1
			r, err := ruleOf(&tt.fault, "eth0", "a")
			if tt.fails {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || (r == nil) != (tt.want == "") {
				t.Fatalf("%+v, %v", r, err)
			}
			if r == nil {
				return
			}
			state := netfault.State{Owner: "o", Rules: []netfault.Rule{*r}}
			if err := state.Validate(); err != nil {
				t.Error(err)
			}
			links, err := netfault.Compile(state)
			if err != nil {
				t.Fatal(err)
			}
			if got := describeRule(r, netfault.Effective{Links: links}); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestSharedPacketsAreTold(t *testing.T) {
	rule := netfault.Rule{ID: "a", Interface: "eth0", Direction: netfault.Egress, Impairment: netfault.Impairment{Delay: time.Second}}
	e := netfault.Effective{Links: []netfault.Link{{Classes: []netfault.Class{{Rules: []string{"a", "b"}, Impairment: netfault.Impairment{Delay: 2 * time.Second}}}}}}
	if got, want := describeRule(&rule, e), "delay 1s, egress eth0, with others: delay 2s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
