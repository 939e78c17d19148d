// Package access examines a cluster: which commands the user's rights allow, which
// nodes can run pods, and what breaks networks there.
package access

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/cluster/rights"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// oldestMinor is the oldest release, of Kubernetes 1, that is supported.
const oldestMinor = 30

// contactPatience bounds the wait for the first answer of a cluster.
const contactPatience = 10 * time.Second

// A Check tells whether one thing works on a cluster.
type Check struct {
	Name  string
	Works bool
	// What says what the check is good for, or what it found.
	What string
	// Why it does not work, and what helps; empty where it works.
	Why, Remedy string
	// Missing are the rights that the user would need, in Namespace; everywhere
	// where that is empty.
	Missing   []rbacv1.PolicyRule
	Namespace string
}

// An Examination says what to look for beside rights.
type Examination struct {
	// HasAgent says why there is no agent for an architecture on this machine.
	HasAgent func(arch string) error
	// Loads is set where images are brought to the nodes by us.
	Loads bool
	// Probe makes a helper on each node for the time of a question; without it,
	// nothing is changed.
	Probe bool
}

// Examine finds out what works on the cluster. Where the cluster cannot be
// reached, that is the one finding.
func Examine(ctx context.Context, c *kubeapi.Client, o Examination) []Check {
	first, cancel := context.WithTimeout(ctx, contactPatience)
	defer cancel()
	v, err := serverVersion(first, c.Clientset)
	if err != nil {
		return []Check{unknown("cluster", "systems on Kubernetes", err)}
	}
	findings := append([]Check{supported(v.Major, v.Minor, v.GitVersion)}, checkRights(ctx, c)...)
	if c.Config.Namespace != "" {
		findings = append(findings, checkPodSecurity(ctx, c, c.Config.Namespace, "restricted", "pods of systems"))
		findings = append(findings, checkQuotas(ctx, c, c.Config.Namespace)...)
	}
	findings = append(findings, checkPodSecurity(ctx, c, nodehelper.Namespace, "privileged", "helpers, which are privileged pods"), checkMonitoring(ctx, c))
	nodes, err := c.Clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return append(findings, unknown("nodes", "knowing the nodes", err))
	}
	for i := range nodes.Items {
		findings = append(findings, usable(&nodes.Items[i], o.HasAgent))
	}
	findings = append(findings, checkNetworks(ctx, c, nodes.Items, o.Probe)...)
	return append(findings, checkImage(c, nodes.Items, o.Loads))
}

// unknown is a finding that could not be made.
func unknown(name, what string, err error) Check {
	step := kubeapi.NextStep(err)
	f := Check{Name: name, What: what, Why: watch.OneLine(strings.TrimSuffix(err.Error(), "; "+step)), Remedy: watch.OneLine(step)}
	for _, r := range kubeapi.MissingRights(err) {
		f.Namespace, f.Remedy = r.Namespace, "ask for the rules below"
		f.Missing = append(f.Missing, rule(r.Group, r.Resource, r.Verb))
	}
	return f
}

// supported judges the version of the API server.
func supported(major, minor, text string) Check {
	f := Check{Name: "version", What: "Kubernetes " + text}
	number, err := strconv.Atoi(strings.TrimRight(minor, "+"))
	if f.Works = err == nil && major == "1" && number >= oldestMinor; !f.Works {
		f.Why, f.Remedy = fmt.Sprintf("the cluster is of version %s, and 1.%d is the oldest that is supported", text, oldestMinor), "upgrade it, or use a sandbox with --on kind"
	}
	return f
}

// checkRights tells, for each command, whether the user has the rights that it needs.
func checkRights(ctx context.Context, c *kubeapi.Client) []Check {
	needs := permissionsIn(c.Config.Namespace)
	may, err := review(ctx, c, needs)
	if err != nil {
		return []Check{unknown("may", "knowing what is allowed", kubeapi.Explain(err))}
	}
	var findings []Check
	for i := range needs {
		findings = append(findings, allowed(&needs[i], needs[i].lacking(may)))
	}
	return findings
}

// allowed tells whether a need is met.
func allowed(n *Permission, missing []rbacv1.PolicyRule) Check {
	f := Check{Name: "may/" + n.Name, What: n.What, Namespace: n.namespace, Works: len(missing) == 0}
	if f.Works {
		return f
	}
	where, advice := "in all namespaces", ", or choose one namespace with -n"
	if n.namespace != "" {
		where, advice = "in namespace "+n.namespace, ""
	}
	if n.Scope != rights.Systems {
		advice = "" // -n does not choose these
	}
	f.Missing, f.Why, f.Remedy = missing, fmt.Sprintf("not allowed %s: %s", where, describeRules(missing)), "ask for the rules below"+advice
	return f
}

// checkPodSecurity tells whether a namespace admits pods of a level.
func checkPodSecurity(ctx context.Context, c *kubeapi.Client, namespace, level, whose string) Check {
	const label = "pod-security.kubernetes.io/enforce"
	f := Check{Name: "pod-security/" + namespace, What: "namespace " + namespace + " admits " + whose, Works: true}
	ns, err := c.Clientset.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.What = "namespace " + namespace + " is made when it is needed, for " + whose
		return f
	case err != nil:
		return unknown(f.Name, f.What, kubeapi.Explain(err))
	}
	enforced := ns.Labels[label]
	if f.Works = level == "restricted" || enforced == level || enforced == ""; !f.Works {
		f.Why = fmt.Sprintf("it enforces %q, and they need %q", enforced, level)
		f.Remedy = fmt.Sprintf("kubectl label namespace %s %s=%s --overwrite", namespace, label, level)
	}
	return f
}

// checkMonitoring tells how Prometheus finds the pods.
func checkMonitoring(ctx context.Context, c *kubeapi.Client) Check {
	f := Check{Name: "podmonitors", What: "an operator of Prometheus finds systems by PodMonitors", Works: true}
	there, err := apply.HasPodMonitors(ctx, c)
	if err != nil {
		return unknown(f.Name, f.What, kubeapi.Explain(err))
	}
	if !there {
		f.What = "there is no operator of Prometheus, which needs nothing: pods carry annotations"
	}
	return f
}

// usable tells whether pods can run on a node.
func usable(node *corev1.Node, hasAgent func(arch string) error) Check {
	info := node.Status.NodeInfo
	f := Check{Name: "node/" + node.Name, What: fmt.Sprintf("%s/%s, %s, kernel %s, %s, kubelet %s",
		info.OperatingSystem, info.Architecture, info.OSImage, info.KernelVersion, info.ContainerRuntimeVersion, info.KubeletVersion)}
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	switch {
	case info.OperatingSystem != "linux":
		f.Why, f.Remedy = "it runs "+info.OperatingSystem+", and services run on Linux", "nothing, as long as there are others"
	case !ready:
		f.Why, f.Remedy = "it is not ready", "kubectl describe node "+node.Name
	case node.Spec.Unschedulable:
		f.Why, f.Remedy = "it takes no new pods", "kubectl uncordon "+node.Name
	case len(watch.RepellingTaints(node)) > 0:
		taints := watch.RepellingTaints(node)
		f.Why = "it takes no pods of systems, which do not tolerate its taints: " + strings.Join(taints, ", ")
		f.Remedy = fmt.Sprintf("nothing, as long as there are others; or kubectl taint nodes %s %s-", node.Name, strings.Join(taints, "- "))
	default:
		if hasAgent != nil {
			if err := hasAgent(info.Architecture); err != nil {
				f.Why, f.Remedy = watch.OneLine(err.Error()), "install the whole archive of a release, or name an image for this architecture with --image"
				return f
			}
		}
		f.Works = true
	}
	return f
}

// checkImage tells whether the nodes have the agent's image.
func checkImage(c *kubeapi.Client, nodes []corev1.Node, loads bool) Check {
	f := Check{Name: "image", What: "the agent's image"}
	if c.Config.Image == "" {
		f.Why, f.Remedy = "no image of the agent is named, and the nodes of this cluster cannot be reached from here", "push it to a registry that they can pull from with --push REFERENCE, or name one with --image"
		return f
	}
	without := nodesWithout(nodes, c.Config.Image)
	f.Works, f.What = true, c.Config.Image+" is on every node"
	switch {
	case len(without) > 0 && loads:
		f.What = c.Config.Image + " is brought to " + strings.Join(without, ", ") + " when it is needed"
	case len(without) > 0:
		f.What = c.Config.Image + " has to be pulled by " + strings.Join(without, ", ") + "; whether it can be is seen when it is"
	}
	return f
}
