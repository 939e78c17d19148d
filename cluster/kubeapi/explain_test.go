package kubeapi

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// refused is what the API server answers to a user without a right.
func refused(user, verb, resource, group, where string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Reason:  metav1.StatusReasonForbidden,
		Message: fmt.Sprintf("%s is forbidden: User %q cannot %s resource %q in API group %q %s", resource, user, verb, resource, group, where),
	}}
}

func TestForbiddenNamesTheRuleToAdd(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want []string
	}{
		"in a namespace": {refused("ann", "create", "deployments", "apps", `in the namespace "shop"`), []string{
			`kubectl create role microsim-deployments-apps-create --verb=create --resource=deployments.apps -n shop`,
			`kubectl create rolebinding microsim-deployments-apps-create --role=microsim-deployments-apps-create --user="ann" -n shop`,
		}},
		"everywhere": {refused("system:serviceaccount:ci:bot", "list", "configmaps", "", "at the cluster scope"), []string{
			`kubectl create clusterrole microsim-configmaps-list --verb=list --resource=configmaps`, `--serviceaccount=ci:bot`,
		}},
		"a part of a resource": {refused("ann", "get", "pods/proxy", "", `in the namespace "shop"`), []string{"--verb=get --resource=pods/proxy -n shop"}},
		"several": {fmt.Errorf("applying: %w", errors.Join(
			refused("ann", "list", "services", "", `in the namespace "shop"`), fmt.Errorf("again: %w", refused("ann", "patch", "services", "", `in the namespace "shop"`)),
			refused("ann", "list", "secrets", "", `in the namespace "shop"`),
		)), []string{"--verb=list,patch --resource=services", "--verb=list --resource=secrets"}},
		"of unknown form": {&apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: "no"}}, []string{"does not admit it", "doctor"}},
		"quota":           {&apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: "exceeded quota: few"}}, []string{"larger quota"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Explain(tt.err)
			for _, want := range tt.want {
				if !strings.Contains(got.Error(), want) {
					t.Errorf("there is no %q in\n%v", want, got)
				}
			}
			if !errors.Is(got, tt.err) || Explain(fmt.Errorf("outside: %w", got)).Error() != "outside: "+got.Error() {
				t.Error("explained twice, or cut off from its cause")
			}
		})
	}
}

// TestAdviceIsSafe gives no role to everybody, and does not advise to leave a
// namespace that is fixed.
func TestAdviceIsSafe(t *testing.T) {
	anonymous := Explain(refused("system:anonymous", "list", "configmaps", "", "at the cluster scope")).Error()
	if strings.Contains(anonymous, "kubectl create") || !strings.Contains(anonymous, "log in") {
		t.Errorf("without credentials: %s", anonymous)
	}
	helpers := Explain(refused("ann", "patch", "jobs", "batch", `in the namespace "microsim-system"`)).Error()
	if strings.Contains(helpers, "another namespace") || !strings.Contains(helpers, "kubectl create role microsim-jobs-batch-patch") {
		t.Errorf("in the namespace of the helpers: %s", helpers)
	}
	if got := Explain(refused("ann", "list", "pods", "", `in the namespace "shop"`)).Error(); !strings.Contains(got, "-n names another namespace") || !strings.Contains(got, "try again") {
		t.Errorf("in a namespace of a system: %s", got)
	}
	for _, user := range []string{"kubernetes-admin", "system:admin", "minikube-user", "system:node:n1", "system:kube-scheduler"} {
		got := Explain(refused(user, "create", "deployments", "apps", `in the namespace "shop"`)).Error()
		if strings.Contains(got, "kubectl create") || !strings.Contains(got, "try again") {
			t.Errorf("to %s: %s", user, got)
		}
	}
	step := WithNextStep(errors.New(`pods "helper" is forbidden: violates PodSecurity "baseline"`), "label it")
	if got := Explain(fmt.Errorf("starting: %w", step)).Error(); got != `starting: pods "helper" is forbidden: violates PodSecurity "baseline"; label it` {
		t.Errorf("a second step was added: %s", got)
	}
}

func TestNextStepWhenAPodIsNotAdmitted(t *testing.T) {
	for message, want := range map[string]string{
		`pods "cart" is forbidden: violates PodSecurity "restricted:latest": privileged`:                                                                      "a namespace that admits such pods",
		`pods "cart" is forbidden: exceeded quota: few`:                                                                                                       "a larger quota",
		`configmaps "microsim-shop" is forbidden: unable to create new content in namespace shop because it is being terminated`:                              "wait until the namespace is gone",
		`pods "cart" is forbidden: failed quota: few: must specify limits.cpu for: agent`:                                                                     "resources with requests and limits",
		`pods "cart" is forbidden: [minimum memory usage per Container is 64Mi, but request is 32Mi, maximum cpu usage per Pod is 1, but limit is 2]`:         "a LimitRange of the namespace refuses it",
		`pods "cart" is forbidden: memory max limit to request ratio per Container is 1, but provided ratio is 2.000000`:                                      "a LimitRange of the namespace refuses it",
		`admission webhook "validate.kyverno.svc-fail" denied the request: policy Deployment/team/cart for resource violation: require-labels`:                "no Role changes that",
		`deployments.apps "cart" is forbidden: ValidatingAdmissionPolicy 'owners' with binding 'owners' denied request: failed expression: has(object.owner)`: "no Role changes that",
	} {
		err := &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonForbidden, Message: message}}
		if got := NextStep(err); !strings.Contains(got, want) {
			t.Errorf("for %q the next step is %q, want one with %q", message, got, want)
		}
	}
}
