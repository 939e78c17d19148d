package nodehelper

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// readPolicies reads docs/admission-policy.yaml as the API server does that refuses
// unknown fields.
func readPolicies(t *testing.T) (policies map[string]admissionv1.ValidatingAdmissionPolicy, bindings []admissionv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	text, err := os.ReadFile("../../docs/admission-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policies = map[string]admissionv1.ValidatingAdmissionPolicy{}
	for part := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var p admissionv1.ValidatingAdmissionPolicy
		var b admissionv1.ValidatingAdmissionPolicyBinding
		switch {
		case bytes.Contains(part, []byte("\nkind: ValidatingAdmissionPolicyBinding\n")):
			err = yaml.UnmarshalStrict(part, &b)
			bindings = append(bindings, b)
		default:
			err = yaml.UnmarshalStrict(part, &p)
			policies[p.Name] = p
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return policies, bindings
}

// TestTheAdmissionPolicyIsValid parses the example, and compares the names in it with
// those of helpers. The tests on a cluster check its expressions.
func TestTheAdmissionPolicyIsValid(t *testing.T) {
	policies, bindings := readPolicies(t)
	if len(policies) != 2 || len(bindings) != 2 {
		t.Fatalf("there are %d policies and %d bindings", len(policies), len(bindings))
	}
	for _, b := range bindings {
		p, ok := policies[b.Spec.PolicyName]
		if !ok || !slices.Equal(b.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
			t.Errorf("the binding %s denies nothing of a policy: %+v", b.Name, b.Spec)
		}
		if got := p.Spec.MatchConstraints.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]; got != Namespace {
			t.Errorf("%s is about namespace %q", p.Name, got)
		}
		for _, v := range p.Spec.Validations {
			if v.Expression == "" || v.Message == "" {
				t.Errorf("%s has a validation without expression or message: %+v", p.Name, v)
			}
		}
	}
	var helpers strings.Builder
	for _, v := range policies["microsim-helpers"].Spec.Validations {
		helpers.WriteString(v.Expression)
	}
	pod := NewJob("n1", Options{Image: "agent:1", secret: "s"}).Spec.Template.Spec
	c := pod.Containers[0]
	for _, m := range c.VolumeMounts {
		if !strings.Contains(helpers.String(), "'"+m.MountPath+"'") {
			t.Errorf("a helper mounts %s, which the policy refuses", m.MountPath)
		}
	}
	for _, v := range pod.Volumes {
		if v.HostPath != nil && !strings.Contains(helpers.String(), "'"+v.HostPath.Path+"'") {
			t.Errorf("a helper has %s of its node, which the policy refuses", v.HostPath.Path)
		}
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || len(c.Command) != 0 || c.Args[0] != "node" || pod.HostNetwork || pod.HostIPC || *pod.AutomountServiceAccountToken || c.Lifecycle != nil {
		t.Errorf("the policy refuses this helper: %+v", pod)
	}
	// The policy takes the namespace from the key of an order.
	if got := order.FileName(order.SystemOwner("team", "shop")); got != "team_shop.json" {
		t.Errorf("the key of an order is %q", got)
	}
	if strings.HasPrefix(order.FileName(order.WorkloadsOwner("team")), "team_") {
		t.Error("an order on selected pods looks like one of a system")
	}
}
