package watch

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
)

// A Diagnosis is why a service is not ready.
type Diagnosis struct {
	// Key tells diagnoses apart; it does not change while one lasts.
	Key string
	// Text is for people.
	Text string
	// Patience is how long to wait until the cause goes away by itself; forever if
	// only the general time limit counts.
	Patience time.Duration
	// Crashed names the pod whose last words tell more, Container the one in it.
	Crashed, Container string
}

// unschedulable is the Key of pods that no node takes, untolerated the scheduler's words for
// taints, which it does not name.
const (
	unschedulable = "unschedulable"
	untolerated   = "untolerated taint"
)

const forever = time.Duration(1<<63 - 1)

// Diagnose says why a Deployment with these pods is not ready; nil if nothing is
// wrong yet. Of several causes it returns the first.
func Diagnose(d *appsv1.Deployment, pods []*corev1.Pod) *Diagnosis {
	for i := range pods {
		if replaced(pods[i], pods) {
			continue
		}
		if t := DiagnosePod(pods[i]); t != nil {
			return t
		}
	}
	if d == nil {
		return nil
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return refusal(condition.Message, "give every service resources with requests and limits in the System")
		}
	}
	return nil
}

// replaced reports whether a pod has ended, and a later one has taken its place.
func replaced(p *corev1.Pod, pods []*corev1.Pod) bool {
	return Ended(p) && slices.ContainsFunc(pods, func(o *corev1.Pod) bool { return p.CreationTimestamp.Before(&o.CreationTimestamp) })
}

// refusal is that pods are not even made, with what to do about it. Resources says how
// they get those that a quota asks for.
func refusal(message, resources string) *Diagnosis {
	hint := ""
	switch {
	case strings.Contains(message, "exceeded quota"):
		hint = "; ask for a larger quota, or use another namespace with -n"
	case kubeapi.ViolatesPodSecurity(message):
		hint = "; use a namespace that admits them with -n"
	case kubeapi.BeyondLimits(message):
		hint = "; give services resources within the LimitRange in the System, or use another namespace with -n"
	case strings.Contains(message, "failed quota"):
		hint = "; " + resources
	}
	return &Diagnosis{Key: "refused", Text: "its pods are refused: " + message + hint, Patience: 3 * time.Second}
}

// DiagnoseJob asks the events of a Job why it makes no pods; nil if they do not say.
func DiagnoseJob(ctx context.Context, c *kubeapi.Client, namespace, job string) *Diagnosis {
	events, err := c.Clientset.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Job,involvedObject.name=" + job + ",reason=FailedCreate",
	})
	if err != nil || len(events.Items) == 0 {
		return nil // the general time limit counts
	}
	return refusal(events.Items[len(events.Items)-1].Message, "ask for a LimitRange with defaults in this namespace, or use another one with -n")
}

// DiagnosePod says why a pod is not ready; nil if nothing is wrong yet.
func DiagnosePod(pod *corev1.Pod) *Diagnosis {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			// A node may still come up, or be added.
			return &Diagnosis{Key: unschedulable, Text: "no node takes it: " + reasons(c.Message) + "; " + roomStep(c.Message), Patience: 20 * time.Second}
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return &Diagnosis{Key: "failed", Text: fmt.Sprintf("pod %s has failed: %s %s", pod.Name, pod.Status.Reason, pod.Status.Message), Patience: 10 * time.Second}
	}
	for i := range pod.Status.ContainerStatuses {
		if t := diagnoseContainer(pod, &pod.Status.ContainerStatuses[i]); t != nil {
			return t
		}
	}
	return nil
}

// reasons are the scheduler's words for why no node takes a pod, without what it says of
// preemption: pods of systems have no priority.
func reasons(message string) string {
	for _, rest := range []string{" no new claims to deallocate", " preemption:"} {
		message, _, _ = strings.Cut(message, rest)
	}
	return strings.TrimRight(message, ".,")
}

// roomStep says what helps if no node takes a pod, by the scheduler's words for each reason.
func roomStep(message string) string {
	var steps []string
	for _, reason := range []struct {
		words []string
		step  string
	}{
		{[]string{"were unschedulable"}, "'kubectl uncordon NODE' has a node take pods again"},
		{[]string{"node affinity/selector"}, "add a node of the architecture for which the image of its runtime was made, or leave runtime out"},
		{[]string{"Insufficient ", "Too many pods"}, "free or add nodes, or ask for less in the System's resources"},
		{[]string{untolerated}, "pods of systems tolerate no taints, so add a node without"}, // NameTaints goes on
	} {
		if slices.ContainsFunc(reason.words, func(w string) bool { return strings.Contains(message, w) }) {
			steps = append(steps, reason.step)
		}
	}
	if len(steps) == 0 {
		return "free or add nodes, or ask for less in the System's resources"
	}
	return strings.Join(steps, "; ")
}

func diagnoseContainer(pod *corev1.Pod, c *corev1.ContainerStatus) *Diagnosis {
	waiting := c.State.Waiting
	if waiting == nil {
		return nil
	}
	named := "pod " + pod.Name + ": "
	switch waiting.Reason {
	case "ErrImageNeverPull":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("%sthe image %s is not on the node; %s", named, c.Image, otherImage(pod, c)), Patience: 5 * time.Second}
	case "InvalidImageName":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("%s%q is not an image: %s", named, c.Image, waiting.Message)}
	case "ErrImagePull", "ImagePullBackOff":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("%sthe image %s cannot be pulled: %s; %s", named, c.Image, pullError(waiting.Message), pullable(waiting.Message, pod, c)), Patience: 10 * time.Second}
	case "CrashLoopBackOff":
		return &Diagnosis{Key: "crash", Text: crash(pod, c), Crashed: pod.Name, Container: c.Name}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return &Diagnosis{Key: "container", Text: fmt.Sprintf("%sits container cannot be made: %s", named, OneLine(waiting.Message)), Patience: 10 * time.Second}
	case "PodInitializing", "ContainerCreating", "":
		return nil
	}
	return &Diagnosis{Key: waiting.Reason, Text: fmt.Sprintf("pod %s waits: %s %s", pod.Name, waiting.Reason, OneLine(waiting.Message)), Patience: forever}
}

// crash says how a container ends again and again.
func crash(pod *corev1.Pod, c *corev1.ContainerStatus) string {
	text := fmt.Sprintf("pod %s ends again and again", pod.Name)
	if c.Name == manifest.ServerName {
		text = fmt.Sprintf("the server %s of pod %s ends again and again", c.Image, pod.Name)
	}
	last := c.LastTerminationState.Terminated
	if last == nil {
		return text
	}
	text += fmt.Sprintf(", last with exit code %d (%s)", last.ExitCode, last.Reason)
	if last.Message != "" {
		text += ": " + OneLine(last.Message)
	}
	if last.Reason == "OOMKilled" {
		text += "; give it more by resources.memoryLimit in the file"
	}
	return text
}

// naming are the beginnings with which runtimes of containers repeat the name of the image.
var naming = regexp.MustCompile(`(Back-off pulling image|ErrImagePull: |rpc error: code = \w+ desc = |failed to (pull and unpack image|resolve (reference|image))) ?("[^"]*")?:? ?`) //nolint:gochecknoglobals // a constant

// pullError is the reason why an image cannot be pulled, without the name of the image.
func pullError(message string) string {
	text := OneLine(message)
	if reason := naming.ReplaceAllString(text, ""); reason != "" {
		return reason
	}
	return text
}

// pullable says what helps against an error of a registry, as containerd and CRI-O word it.
func pullable(message string, pod *corev1.Pod, c *corev1.ContainerStatus) string {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(strings.ToLower(message), word) })
	}
	switch {
	case has("no match for platform", "no matching manifest", "no image found in manifest list"):
		return fmt.Sprintf("it has no program for the architecture of node %q; %s", pod.Spec.NodeName, otherImage(pod, c))
	case has("401 unauthorized", "403 forbidden", "unauthorized:", "authorization failed", "authentication required", "no basic auth credentials", "access denied", "denied:"):
		return "name a Secret with credentials for its registry with --image-pull-secret, or " + otherImage(pod, c)
	case has("http response to https client"):
		return "have the nodes reach its registry by plain HTTP, or give that TLS"
	case has("certificate signed by unknown authority", "failed to verify certificate"):
		return "have the nodes trust the certificate authority of its registry"
	}
	return otherImage(pod, c)
}

// otherImage says how a user names the image of a container.
func otherImage(pod *corev1.Pod, c *corev1.ContainerStatus) string {
	switch {
	case c.Name == manifest.ExperimentContainer:
		return "name one that the cluster can pull with --runner-image"
	case c.Name == manifest.ServerName:
		return "name one that the cluster can pull by store.image in the file"
	case pod.Labels[manifest.ServiceLabel] != "" && pod.Annotations[manifest.SpecAnnotation] == "":
		return "name one that the cluster can pull by image in the file" // a program of the user
	}
	return "name one that the cluster can pull with --image"
}

// OneLine is a text with its white space as single spaces.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
