package watch

import (
	"context"
	"fmt"
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
	// Crashed names the pod whose last words tell more.
	Crashed string
}

const forever = time.Duration(1<<63 - 1)

// Diagnose says why a Deployment with these pods is not ready; nil if nothing is
// wrong yet. Of several causes it returns the first.
func Diagnose(d *appsv1.Deployment, pods []*corev1.Pod) *Diagnosis {
	for i := range pods {
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
			return &Diagnosis{Key: "unschedulable", Text: "no node takes it: " + c.Message + "; free or add nodes, or ask for less in the System's resources", Patience: 20 * time.Second}
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

func diagnoseContainer(pod *corev1.Pod, c *corev1.ContainerStatus) *Diagnosis {
	waiting := c.State.Waiting
	if waiting == nil {
		return nil
	}
	switch waiting.Reason {
	case "ErrImageNeverPull":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("the image %s is not on the node; %s", c.Image, otherImage(pod, c)), Patience: 5 * time.Second}
	case "InvalidImageName":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("%q is not an image: %s", c.Image, waiting.Message)}
	case "ErrImagePull", "ImagePullBackOff":
		return &Diagnosis{Key: "image", Text: fmt.Sprintf("the image %s cannot be pulled: %s; %s", c.Image, OneLine(waiting.Message), otherImage(pod, c)), Patience: 10 * time.Second}
	case "CrashLoopBackOff":
		text := fmt.Sprintf("pod %s ends again and again", pod.Name)
		if last := c.LastTerminationState.Terminated; last != nil {
			text += fmt.Sprintf(", last with exit code %d (%s)", last.ExitCode, last.Reason)
		}
		return &Diagnosis{Key: "crash", Text: text, Crashed: pod.Name}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return &Diagnosis{Key: "container", Text: fmt.Sprintf("its container cannot be made: %s", OneLine(waiting.Message)), Patience: 10 * time.Second}
	case "PodInitializing", "ContainerCreating", "":
		return nil
	}
	return &Diagnosis{Key: waiting.Reason, Text: fmt.Sprintf("pod %s waits: %s %s", pod.Name, waiting.Reason, OneLine(waiting.Message)), Patience: forever}
}

// otherImage says how a user names the image of a container.
func otherImage(pod *corev1.Pod, c *corev1.ContainerStatus) string {
	switch {
	case c.Name == manifest.ServerName:
		return "name one that the cluster can pull by store.image in the file"
	case pod.Labels[manifest.ServiceLabel] != "" && pod.Annotations[manifest.SpecAnnotation] == "":
		return "name one that the cluster can pull by image in the file" // a program of the user
	}
	return "name one that the cluster can pull with --image"
}

// OneLine is a text with its white space as single spaces.
func OneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
