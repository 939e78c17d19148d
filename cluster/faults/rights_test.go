package faults

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
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
			if err := nodehelper.RemoveOwner(t.Context(), s.inst.Client, order.SystemOwner("shop", "shop")); kubeapi.IgnoreForbidden(err) != nil {
				t.Error(err)
			}
			if left := s.has("jobs"); len(left) != 0 {
				t.Errorf("%q is left", left)
			}
		})
	}
}

// TestADetachedExperimentUsesHelpersThatWereMadeForIt has a user make the helpers, and
// an experiment break a network by them, which may neither make nor end any.
func TestADetachedExperimentUsesHelpersThatWereMadeForIt(t *testing.T) {
	s := newAPIStage(t)
	owner := order.SystemOwner("shop", "shop")
	s.server.Allow(rolesOf("helpers", "helper-namespace"))
	helpers, err := nodehelper.ReserveAll(t.Context(), s.inst.Client, owner, in(time.Hour))
	if err != nil || len(helpers.Orders) != 1 || len(helpers.Tokens) != 1 {
		t.Fatalf("there are %+v, %v", helpers, err)
	}
	experiment := manifest.Rights{System: "shop", HelperOrders: helpers.Orders, HelperTokens: helpers.Tokens}
	s.server.Allow(map[string][]rbacv1.PolicyRule{"shop": experiment.Rules(), nodehelper.Namespace: experiment.HelperRules()})
	if err := s.inst.Prepare(t.Context(), []fault.Fault{netDelay()}); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Inject(t.Context(), "one", netDelay(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got := s.helper.Faults(); len(got) != 2 {
		t.Errorf("the helper carries out %q", got)
	}
	if active, err := s.inst.Active(t.Context()); err != nil || len(active) != 1 || active[0].By != "tc" {
		t.Errorf("active are %+v, %v", active, err)
	}
	// Its system is taken down with a fault that acts, and brought up for the next run.
	if err := nodehelper.RemoveOwner(t.Context(), s.inst.Client, owner); kubeapi.IgnoreForbidden(err) != nil {
		t.Fatal(err)
	}
	if got := s.helper.Faults(); len(got) != 0 || len(s.has("jobs")) != 1 {
		t.Fatalf("Jobs %q carry out %q after the system is gone; want a helper for the next run", s.has("jobs"), got)
	}
	if err := s.inst.Clear(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Inject(t.Context(), "two", netDelay(), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Clear(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	// After the last run nothing holds the helper.
	if err := nodehelper.Unreserve(t.Context(), s.inst.Client, owner); err != nil {
		t.Fatal(err)
	}
	if o := s.helper.Order(owner); len(o.Pods) > 0 || !o.Reserved.IsZero() {
		t.Errorf("the helper is held by %+v", o)
	}
	// It may not make another: that would be root on the node.
	if err := apitest.Outside(t, s.inst.Client).BatchV1().Jobs(nodehelper.Namespace).Delete(t.Context(), nodehelper.Name("n1"), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.inst.Inject(t.Context(), "three", netDelay(), in(time.Minute)); !apierrors.IsForbidden(err) {
		t.Errorf("without a helper: %v, want that it may make none", err)
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

// TestWaitingForFaultsTellsWhoMayNotWatch: pods that come later would get their faults late,
// without a word.
func TestWaitingForFaultsTellsWhoMayNotWatch(t *testing.T) {
	s := newAPIStage(t)
	roles := rolesOf("faults")
	for i, r := range roles["shop"] {
		if r.Resources[0] == "pods" {
			roles["shop"][i].Verbs = []string{"get", "list"}
		}
	}
	s.server.Allow(roles)
	if err := s.inst.Inject(t.Context(), "slow", slow("back", 0), in(time.Minute)); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	followed := make(chan struct{})
	go func() { s.inst.Follow(ctx); close(followed) }()
	deadline := time.Now().Add(30 * time.Second)
	for !strings.Contains(s.server.Progress(), `cannot watch resource "pods"`) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	end()
	<-followed
	if told := s.server.Progress(); strings.Count(told, `cannot watch resource "pods"`) != 1 || !strings.Contains(told, "microsim-pods-watch") {
		t.Errorf("it is told %q, want once which right is missing", told)
	}
}
