package access

import (
	"context"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	corev1 "k8s.io/api/core/v1"
)

// checkNetworks tells what breaks networks on each node. The helpers that run are
// asked; with probe, a node without one gets one for the question.
func checkNetworks(ctx context.Context, c *kubeapi.Client, nodes []corev1.Node, probe bool) []Check {
	findings := make([]Check, len(nodes))
	// Each finding has its own error.
	_ = kubeapi.Each(len(nodes), func(i int) error {
		findings[i] = checkNetworkOf(ctx, c, nodes[i].Name, probe)
		return nil
	})
	return findings
}

func checkNetworkOf(ctx context.Context, c *kubeapi.Client, node string, probe bool) Check {
	name, what := "network/"+node, "faults on the networks of pods there"
	var backends []control.Backend
	var err error
	if probe {
		err = nodehelper.ProbeHelper(ctx, c, node, &backends)
	} else {
		err = nodehelper.AskHelper(ctx, c, node, control.NodeBackendsPath, &backends)
	}
	if err != nil {
		if !probe {
			// A missing right to list helpers, and a node without one, are not failure.
			return Check{Name: name, Works: true, What: what + "; --probe tells by what"}
		}
		return unknown(name, what, kubeapi.Explain(err))
	}
	return judged(name, what, backends)
}

// judged says which backends work; one that does is enough.
func judged(name, what string, backends []control.Backend) Check {
	f := Check{Name: name, What: what}
	var works, whys []string
	for _, b := range backends {
		if b.Works {
			works = append(works, b.Name)
		} else {
			whys = append(whys, b.Name+": "+b.Why)
		}
	}
	if f.Works = len(works) > 0; f.Works {
		f.What += ": by " + strings.Join(works, ", ")
		if len(whys) > 0 {
			f.What += " (not by " + strings.Join(whys, "; ") + ")"
		}
		return f
	}
	f.Why, f.Remedy = strings.Join(whys, "; "), "load the modules sch_netem, or nfnetlink_queue and nf_tables, on the node"
	return f
}
