package access

import (
	"errors"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// permitting returns a cluster on which a user may do only what allowed says.
func permitting(allowed func(*authorizationv1.ResourceAttributes) bool, objects ...runtime.Object) *kubeapi.Client {
	client := fake.NewClientset(objects...)
	client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		review.Status.Allowed = allowed(review.Spec.ResourceAttributes)
		return true, review, nil
	})
	return &kubeapi.Client{Clientset: client}
}

func TestMissingRightsAreNamed(t *testing.T) {
	c := permitting(func(a *authorizationv1.ResourceAttributes) bool {
		return a.Namespace == "team" && a.Verb != "patch" && a.Subresource != "log"
	})
	c.Config.Namespace = "team"
	findings := map[string]Check{}
	for _, f := range checkRights(t.Context(), c) {
		findings[f.Name] = f
	}
	up := findings["may/up"]
	const want = "not allowed in namespace team: patch deployments.apps; get pods/log; patch services; patch configmaps; patch secrets"
	if up.Works || up.Why != want || up.Namespace != "team" || len(up.Missing) != 5 {
		t.Errorf("what up needs is %+v, want %q", up, want)
	}
	if f := findings["may/call"]; !f.Works || f.Why != "" || len(f.Missing) != 0 {
		t.Errorf("what call needs is %+v", f)
	}
	if f := findings["may/helpers"]; f.Works || f.Namespace != nodehelper.Namespace {
		t.Errorf("what helpers need is %+v", f)
	}
	if f := findings["may/helper-namespace"]; f.Works || f.Namespace != "" || !strings.Contains(f.Why, "in all namespaces") {
		t.Errorf("what their namespace needs is %+v", f)
	}
	// Without a namespace, all of them are meant.
	c.Config.Namespace = ""
	if f := checkRights(t.Context(), c)[0]; f.Works || !strings.Contains(f.Remedy, "-n") {
		t.Errorf("in all namespaces, what up needs is %+v", f)
	}
}

func TestOneWayToBreakNetworksIsEnough(t *testing.T) {
	f := judged("network/n", "faults", []control.Backend{{Name: "tc", Why: "no netem"}, {Name: "emulate", Works: true}})
	if !f.Works || f.What != "faults: by emulate (not by tc: no netem)" {
		t.Errorf("got %+v", f)
	}
	if f = judged("network/n", "faults", []control.Backend{{Name: "tc", Why: "no netem"}}); f.Works || f.Why != "tc: no netem" || f.Remedy == "" {
		t.Errorf("got %+v", f)
	}
}

func TestVersionsThatAreSupported(t *testing.T) {
	for minor, works := range map[string]bool{"29": false, "30": true, "34+": true, "x": false} {
		if f := supported("1", minor, "v1."+minor); f.Works != works || works == (f.Remedy != "") {
			t.Errorf("of 1.%s it is said: %+v", minor, f)
		}
	}
}

func TestNodesThatCanBeUsed(t *testing.T) {
	node := func(change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		n.Status.NodeInfo = corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64", KernelVersion: "6.1"}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		change(n)
		return n
	}
	hasAgent := func(arch string) error {
		if arch != "amd64" {
			return errors.New("there is none")
		}
		return nil
	}
	for name, tt := range map[string]struct {
		change func(*corev1.Node)
		remedy string
	}{
		"well":    {func(*corev1.Node) {}, ""},
		"windows": {func(n *corev1.Node) { n.Status.NodeInfo.OperatingSystem = "windows" }, "nothing"},
		"arm64":   {func(n *corev1.Node) { n.Status.NodeInfo.Architecture = "arm64" }, "--image"},
		"tainted": {func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}, {Key: "own", Effect: corev1.TaintEffectNoExecute}}
		}, "or kubectl taint nodes n dedicated=gpu:NoSchedule- own:NoExecute-"},
		"cordoned": {func(n *corev1.Node) { n.Spec.Unschedulable = true }, "kubectl uncordon n"},
		"unready":  {func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }, "kubectl describe node n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := usable(node(tt.change), hasAgent)
			if f.Works != (tt.remedy == "") || !strings.Contains(f.Remedy, tt.remedy) || !strings.Contains(f.What, "kernel 6.1") {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestWhereTheImageIs(t *testing.T) {
	c := &kubeapi.Client{}
	nodes := []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "with"}}, {ObjectMeta: metav1.ObjectMeta{Name: "without"}}}
	nodes[0].Status.Images = []corev1.ContainerImage{{Names: []string{"microsim.dev/agent:1"}}}
	if f := checkImage(c, nodes, false); f.Works || !strings.Contains(f.Remedy, "--push") {
		t.Errorf("without an image: %+v", f)
	}
	c.Config.Image = "microsim.dev/agent:1"
	for loads, want := range map[bool]string{true: "is brought to without when", false: "has to be pulled by without;"} {
		if f := checkImage(c, nodes, loads); !f.Works || !strings.Contains(f.What, want) {
			t.Errorf("on one of two nodes: %+v, want %q", f, want)
		}
	}
	if f := checkImage(c, nodes[:1], true); !f.Works || !strings.Contains(f.What, "on every node") {
		t.Errorf("on every node: %+v", f)
	}
}

func TestNamespacesThatKeepHelpersOut(t *testing.T) {
	const label = "pod-security.kubernetes.io/enforce"
	for level, works := range map[string]bool{"": true, "privileged": true, "baseline": false, "restricted": false} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "microsim-system", Labels: map[string]string{label: level}}}
		c := permitting(nil, ns)
		f := checkPodSecurity(t.Context(), c, ns.Name, "privileged", "helpers")
		if f.Works != works || !works && !strings.Contains(f.Remedy, label+"=privileged") {
			t.Errorf("with %q: %+v", level, f)
		}
	}
	if f := checkPodSecurity(t.Context(), permitting(nil), "microsim-system", "privileged", "helpers"); !f.Works || !strings.Contains(f.What, "is made when") {
		t.Errorf("without the namespace: %+v", f)
	}
}
