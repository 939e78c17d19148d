package cluster

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// A trouble is why a service is not ready.
type trouble struct {
	// key tells troubles apart; it does not change while one lasts.
	key string
	// text is for people.
	text string
	// patience is how long to wait for the trouble to go away by itself;
	// forever where only the general time limit counts.
	patience time.Duration
	// crashed names the pod whose last words tell more.
	crashed string
}

const forever = time.Duration(1<<63 - 1)

// diagnose says why a Deployment with these pods is not ready; nil where nothing
// is wrong yet. The first cause that has been found is told.
func diagnose(d *appsv1.Deployment, pods []*corev1.Pod) *trouble {
	for i := range pods {
		if t := diagnosePod(pods[i]); t != nil {
			return t
		}
	}
	if d == nil {
		return nil
	}
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return refusal(condition.Message)
		}
	}
	return nil
}

// refusal is that pods are not even made, with what to do about it.
func refusal(message string) *trouble {
	hint := ""
	switch {
	case strings.Contains(message, "exceeded quota"):
		hint = "; ask for a larger quota, or use another namespace with -n"
	case strings.Contains(message, "violates PodSecurity"):
		hint = "; use a namespace that admits them with -n"
	case strings.Contains(message, "failed quota"):
		hint = "; give every service resources with requests and limits in the System"
	}
	return &trouble{key: "refused", text: "its pods are refused: " + message + hint, patience: 3 * time.Second}
}

func diagnosePod(pod *corev1.Pod) *trouble {
	if pod.DeletionTimestamp != nil {
		return nil
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			// A node may still come up, or be added.
			return &trouble{key: "unschedulable", text: "no node takes it: " + c.Message + "; free or add nodes, or ask for less in the System's resources", patience: 20 * time.Second}
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return &trouble{key: "failed", text: fmt.Sprintf("pod %s has failed: %s %s", pod.Name, pod.Status.Reason, pod.Status.Message), patience: 10 * time.Second}
	}
	for i := range pod.Status.ContainerStatuses {
		if t := diagnoseContainer(pod, &pod.Status.ContainerStatuses[i]); t != nil {
			return t
		}
	}
	return nil
}

func diagnoseContainer(pod *corev1.Pod, c *corev1.ContainerStatus) *trouble {
	waiting := c.State.Waiting
	if waiting == nil {
		return nil
	}
	switch waiting.Reason {
	case "ErrImageNeverPull":
		return &trouble{key: "image", text: fmt.Sprintf("the image %s is not on the node; name one that the cluster can pull with --image", c.Image), patience: 5 * time.Second}
	case "InvalidImageName":
		return &trouble{key: "image", text: fmt.Sprintf("%q is no image: %s", c.Image, waiting.Message)}
	case "ErrImagePull", "ImagePullBackOff":
		return &trouble{key: "image", text: fmt.Sprintf("the image %s cannot be pulled: %s; name one that the cluster can pull with --image", c.Image, oneLine(waiting.Message)), patience: 10 * time.Second}
	case "CrashLoopBackOff":
		text := fmt.Sprintf("pod %s ends again and again", pod.Name)
		if last := c.LastTerminationState.Terminated; last != nil {
			text += fmt.Sprintf(", last with exit code %d (%s)", last.ExitCode, last.Reason)
		}
		return &trouble{key: "crash", text: text, crashed: pod.Name}
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return &trouble{key: "container", text: fmt.Sprintf("its container cannot be made: %s", oneLine(waiting.Message)), patience: 10 * time.Second}
	case "PodInitializing", "ContainerCreating", "":
		return nil
	}
	return &trouble{key: waiting.Reason, text: fmt.Sprintf("pod %s waits: %s %s", pod.Name, waiting.Reason, oneLine(waiting.Message)), patience: forever}
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
