package kubeapi

import (
	"context"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// TailOf returns the last lines that a container of a pod has printed or, with previous,
// that container before it was restarted; "" if they cannot be read. A pod of one container
// needs no name of it.
func (c *Client) TailOf(ctx context.Context, namespace, pod, container string, lines int64, previous bool) string {
	if pod == "" {
		return ""
	}
	stream, err := c.Clientset.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &lines}).Stream(ctx)
	if err != nil {
		return ""
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, 4<<10))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// LastWords are the end of an error: what a pod has said last.
func LastWords(tail string) string {
	if tail == "" {
		return ""
	}
	words := "; its last words were:\n" + tail
	if strings.Contains(tail, "exec format error") {
		words += "\nThe program of its image is for another architecture than that of the node; name an image for this one."
	}
	return words
}
