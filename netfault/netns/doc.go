// Package netns finds the network namespace of a process, a name, a path or a
// Kubernetes pod, and works inside it. It asks no container runtime: the
// cgroups of processes tell which pod they belong to.
//
// It never hands out the host's own namespace.
package netns
