package faults

import (
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// rolesOf are the rules that doctor asks for, for purposes by their names.
func rolesOf(names ...string) map[string][]rbacv1.PolicyRule {
	namespaces := map[rights.Scope]string{rights.Systems: "shop", rights.Helpers: nodehelper.Namespace, rights.Cluster: ""}
	rules := map[string][]rbacv1.PolicyRule{}
	for _, p := range rights.Purposes() {
		if slices.Contains(names, p.Name) {
			rules[namespaces[p.Scope]] = append(rules[namespaces[p.Scope]], p.Rules()...)
		}
	}
	return rules
}

// TestRightsSuffice injects, lists and clears each kind of fault with nothing but the
// rights that doctor asks a user for, and those that a detached experiment has.
func TestRightsSuffice(t *testing.T) {
	kill := fault.Fault{Type: fault.Kill, Target: fault.Target{Service: "back", Replica: 2}, Probability: 1}
	experiment := manifest.Rights{System: "shop", Pods: true}
	for name, tt := range map[string]struct {
		rules map[string][]rbacv1.PolicyRule
		fault fault.Fault
	}{
		"a user's, in services":           {rolesOf("faults"), slow("back", 0)},
		"a user's, on pods":               {rolesOf("faults", "pod-faults"), kill},
		"a user's, on networks":           {rolesOf("faults", "helpers", "helper-namespace"), netDelay()},
		"an experiment's, in services":    {map[string][]rbacv1.PolicyRule{"shop": experiment.Rules()}, slow("back", 0)},
		"an experiment's, on pods":        {map[string][]rbacv1.PolicyRule{"shop": experiment.Rules()}, kill},
		"an experiment's, on networks":    {map[string][]rbacv1.PolicyRule{"shop": experiment.Rules(), nodehelper.Namespace: experiment.HelperRules()}, netDelay()},
		"a user's, on networks, prepared": {rolesOf("up", "faults", "helpers", "helper-namespace"), netDelay()},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAPIStage(t)
			s.server.Allow(tt.rules)
			if strings.HasSuffix(name, "prepared") {
				if err := s.inst.Prepare(t.Context(), []fault.Fault{tt.fault}); err != nil {
					t.Fatal(err)
				}
			}
			deadline := in(time.Minute)
			if Momentary(tt.fault.Type) {
				deadline = time.Time{}
			}
			if err := s.inst.Inject(t.Context(), "one", tt.fault, deadline); err != nil {
				t.Fatal(err)
			}
			if active, err := s.inst.Active(t.Context()); err != nil || len(active) != 1 || len(active[0].Errors) != 0 {
				t.Errorf("active are %+v, %v", active, err)
			}
			if err := s.inst.Clear(t.Context(), "one"); err != nil {
				t.Error(err)
			}
			if err := nodehelper.RemoveOwner(t.Context(), s.inst.Client, nodehelper.SystemOwner("shop", "shop")); kubeapi.IgnoreForbidden(err) != nil {
				t.Error(err)
			}
			if left := s.has("jobs"); len(left) != 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

// TestAMissingRightIsNamed fails if the server of the tests lets everything pass.
func TestAMissingRightIsNamed(t *testing.T) {
	s := newAPIStage(t)
	s.server.Allow(map[string][]rbacv1.PolicyRule{"shop": manifest.Rights{System: "shop"}.Rules()})
	err := s.inst.Inject(t.Context(), "one", netDelay(), in(time.Minute))
	if err == nil || !strings.Contains(err.Error(), `cannot list resource "configmaps"`) || !strings.Contains(err.Error(), "-n "+nodehelper.Namespace) {
		t.Errorf("got %v, want the right that is missing", err)
	}
}
