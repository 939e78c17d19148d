package watch

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

func waitingPod(reason, message string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "cart-1"},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			Image: "agent:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2, Reason: "Error"}},
		}}},
	}
}

func unschedulablePod(message string) *corev1.Pod {
	return &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message,
	}}}}
}

func refusedDeployment(message string) *appsv1.Deployment {
	return &appsv1.Deployment{Status: appsv1.DeploymentStatus{Conditions: []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: message,
	}}}}
}

func TestDiagnose(t *testing.T) {
	leaving := waitingPod("ImagePullBackOff", "")
	leaving.DeletionTimestamp = &metav1.Time{}
	server := waitingPod("ErrImagePull", "no such host")
	server.Status.ContainerStatuses[0].Name = manifest.ServerName
	runner := waitingPod("ErrImagePull", "no such host")
	runner.Status.ContainerStatuses[0].Name = manifest.ExperimentContainer
	program := waitingPod("ErrImagePull", "no such host")
	program.Labels = map[string]string{manifest.ServiceLabel: "cart"}
	ours := waitingPod("ErrImagePull", "no such host")
	ours.Labels, ours.Annotations = program.Labels, map[string]string{manifest.SpecAnnotation: "sum"}
	full := waitingPod("CrashLoopBackOff", "back-off")
	full.Status.ContainerStatuses[0].Name = manifest.ServerName
	full.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	absent := waitingPod("CrashLoopBackOff", "back-off")
	absent.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec: \"redis-server\":\n  not found"}
	for name, tt := range map[string]struct {
		deployment *appsv1.Deployment
		pod        *corev1.Pod
		want       string
	}{
		"nothing":              {nil, nil, ""},
		"starting":             {nil, waitingPod("ContainerCreating", ""), ""},
		"its start":            {nil, absent, `last with exit code 128 (StartError): exec: "redis-server": not found`},
		"its memory":           {nil, full, "the server agent:1 of pod cart-1 ends again and again, last with exit code 137 (OOMKilled); give it more by resources.memoryLimit"},
		"pull":                 {nil, waitingPod("ErrImagePull", "no such host"), "pod cart-1: the image agent:1 cannot be pulled: no such host"},
		"its server":           {nil, server, "can pull by store.image in the file"},
		"its runner":           {nil, runner, "can pull with --runner-image"},
		"its program":          {nil, program, "can pull by image in the file"},
		"its agent":            {nil, ours, "can pull with --image"},
		"short":                {nil, waitingPod("ImagePullBackOff", `Back-off pulling image "r/a:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image "r/a:1": failed to resolve reference "r/a:1": r/a:1: not found`), "cannot be pulled: r/a:1: not found;"},
		"platform":             {nil, waitingPod("ErrImagePull", `no match for platform in manifest: not found`), `it has no program for the architecture of node "`},
		"no login":             {nil, waitingPod("ErrImagePull", `failed to authorize: unexpected status: 401 Unauthorized`), "with --image-pull-secret, or name one"},
		"no rights":            {nil, waitingPod("ImagePullBackOff", `Back-off pulling image "a": pull access denied, repository does not exist or may require authorization`), "--image-pull-secret"},
		"plain HTTP":           {nil, waitingPod("ErrImagePull", `http: server gave HTTP response to HTTPS client`), "reach its registry by plain HTTP"},
		"own CA":               {nil, waitingPod("ErrImagePull", `tls: failed to verify certificate: x509: certificate signed by unknown authority`), "trust the certificate authority of its registry"},
		"back-off":             {nil, waitingPod("ImagePullBackOff", "Back-off pulling"), "--image"},
		"never pull":           {nil, waitingPod("ErrImageNeverPull", ""), "is not on the node"},
		"bad name":             {nil, waitingPod("InvalidImageName", "invalid reference"), `"agent:1" is not an image`},
		"crash":                {nil, waitingPod("CrashLoopBackOff", "back-off"), "exit code 2"},
		"secret":               {nil, waitingPod("CreateContainerConfigError", "secret not found"), "secret not found"},
		"leaving":              {nil, leaving, ""},
		"no room":              {nil, unschedulablePod("0/1 nodes are available: 1 Insufficient cpu."), "1 Insufficient cpu; free or add nodes"},
		"cordoned":             {nil, unschedulablePod("0/2 nodes are available: 2 node(s) were unschedulable. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."), "2 node(s) were unschedulable; 'kubectl uncordon NODE'"},
		"tainted":              {nil, unschedulablePod("0/1 nodes are available: 1 node(s) had untolerated taint(s)."), "tolerate no taints"},
		"other CPU":            {nil, unschedulablePod("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."), "of the architecture"},
		"no room, and a taint": {nil, unschedulablePod("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s)."), "ask for less in the System's resources; pods of systems tolerate no taints"},
		"quota":                {refusedDeployment("pods \"cart\" is forbidden: exceeded quota: few"), nil, "ask for a larger quota"},
		"quota wants":          {refusedDeployment("failed quota: q: must specify limits.cpu"), nil, "requests and limits in the System"},
		"policy":               {refusedDeployment("violates PodSecurity \"restricted:latest\""), nil, "a namespace that admits them"},
	} {
		t.Run(name, func(t *testing.T) {
			var pods []*corev1.Pod
			if tt.pod != nil {
				pods = append(pods, tt.pod)
			}
			got := Diagnose(tt.deployment, pods)
			if tt.want == "" {
				if got != nil {
					t.Errorf("got %q where nothing is wrong", got.Text)
				}
				return
			}
			if got == nil || !strings.Contains(got.Text, tt.want) {
				t.Errorf("got %+v, want a text with %q", got, tt.want)
			}
		})
	}
}

// TestWhatWasReplacedIsNoTrouble: an evicted pod stays, and said for ever why its service was
// not ready.
func TestWhatWasReplacedIsNoTrouble(t *testing.T) {
	evicted := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "cart-1", CreationTimestamp: metav1.Unix(1, 0)}, Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "low on memory"}}
	next := waitingPod("ContainerCreating", "")
	next.CreationTimestamp = metav1.Unix(2, 0)
	if d := Diagnose(nil, []*corev1.Pod{evicted, next}); d != nil {
		t.Errorf("beside its successor: %q", d.Text)
	}
	if d := Diagnose(nil, []*corev1.Pod{evicted}); d == nil || !strings.Contains(d.Text, "Evicted low on memory") {
		t.Errorf("without one: %+v", d)
	}
}

// TestTaintsAreNamed: the scheduler counts the nodes whose taints a pod does not tolerate, and
// names neither.
func TestTaintsAreNamed(t *testing.T) {
	node := func(name string, taints ...corev1.Taint) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
	}
	gpu := corev1.Taint{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}
	lost := corev1.Taint{Key: "node.kubernetes.io/unreachable", Effect: corev1.TaintEffectNoSchedule}
	role := corev1.Taint{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}
	mild := corev1.Taint{Key: "mild", Effect: corev1.TaintEffectPreferNoSchedule}
	tainted := "0/1 nodes are available: 1 node(s) had untolerated taint(s)."
	for name, tt := range map[string]struct {
		nodes     []runtime.Object
		message   string
		want, not string
	}{
		"one":      {[]runtime.Object{node("a", mild, gpu), node("b", mild)}, tainted, `node "a" has dedicated=gpu:NoSchedule; 'kubectl taint nodes a dedicated=gpu:NoSchedule-' takes`, `"b"`},
		"a role":   {[]runtime.Object{node("a", role), node("b", gpu)}, tainted, "'kubectl taint nodes b dedicated=gpu:NoSchedule-'", "kubectl taint nodes a"},
		"its own":  {[]runtime.Object{node("a", lost)}, tainted, `node "a" has node.kubernetes.io/unreachable:NoSchedule`, "kubectl taint"},
		"many":     {[]runtime.Object{node("a", gpu), node("b", gpu), node("c", gpu), node("d", gpu), node("e", gpu)}, tainted, "; 2 more have taints", `"d"`},
		"other":    {[]runtime.Object{node("a", gpu)}, "0/1 nodes are available: 1 Insufficient cpu.", "Insufficient cpu", "dedicated"},
		"not seen": {nil, tainted, "tolerate no taints", "kubectl taint"},
	} {
		d := DiagnosePod(unschedulablePod(tt.message))
		d.NameTaints(t.Context(), &kubeapi.Client{Clientset: fake.NewClientset(tt.nodes...)})
		if !strings.Contains(d.Text, tt.want) || strings.Contains(d.Text, tt.not) {
			t.Errorf("%s: it says %q, want %q and not %q", name, d.Text, tt.want, tt.not)
		}
	}
}
