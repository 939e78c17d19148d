package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/helper"
)

// A networkBackend is one way to break networks, as the helper of a node tells of
// it.
type networkBackend struct {
	Name  string `json:"name"`
	Works bool   `json:"works"`
	Why   string `json:"why,omitempty"`
}

// networks tells what breaks networks on each node. The helpers that run are
// asked; with probe, a node without one gets one for the question.
func (c *Cluster) networks(ctx context.Context, nodes []corev1.Node, probe bool) []Finding {
	findings := make([]Finding, len(nodes))
	// Each finding has its own error.
	_ = each(len(nodes), func(i int) error {
		findings[i] = c.networkOf(ctx, nodes[i].Name, probe)
		return nil
	})
	return findings
}

func (c *Cluster) networkOf(ctx context.Context, node string, probe bool) Finding {
	name, what := "network/"+node, "faults on the networks of pods there"
	var backends []networkBackend
	var err error
	if probe {
		err = c.probe(ctx, node, &backends)
	} else {
		err = c.askHelper(ctx, node, "/backends", &backends)
	}
	if err != nil {
		if !probe {
			// Who may not look for helpers, and a node without one, are no trouble.
			return Finding{Name: name, Works: true, What: what + "; --probe tells by what"}
		}
		return unknown(name, what, explain(err))
	}
	return judged(name, what, backends)
}

// judged says which backends work; one that does is enough.
func judged(name, what string, backends []networkBackend) Finding {
	f := Finding{Name: name, What: what}
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

// probe asks the helper of a node, which is made for it where there is none and
// ended again.
func (c *Cluster) probe(ctx context.Context, node string, backends *[]networkBackend) (err error) {
	if err := c.helperNamespace(ctx); err != nil {
		return err
	}
	configs := c.client.CoreV1().ConfigMaps(helper.Namespace)
	_, err = configs.Create(ctx, helper.NewOrders(node), metav1.CreateOptions{FieldManager: FieldManager})
	made := err == nil
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a helper for node %q: %w", node, err)
	}
	if made {
		defer func() { err = errors.Join(err, c.endProbe(context.WithoutCancel(ctx), node)) }()
	}
	v := &visit{c: c, node: node, agent: c.findAgent}
	return v.order(ctx, http.MethodGet, "/backends", nil, backends)
}

// endProbe takes back what probe has made, unless somebody has given the helper
// orders since.
func (c *Cluster) endProbe(ctx context.Context, node string) error {
	ctx, cancel := context.WithTimeout(ctx, undoTimeout)
	defer cancel()
	configs := c.client.CoreV1().ConfigMaps(helper.Namespace)
	config, err := configs.Get(ctx, helper.Name(node), metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && len(config.Data) > 0 {
		return nil
	}
	if err == nil {
		err = configs.Delete(ctx, config.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &config.UID, ResourceVersion: &config.ResourceVersion}})
	}
	switch {
	case apierrors.IsConflict(err):
		return nil
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("ending the helper of node %q: %w", node, err)
	}
	if err := c.endHelper(ctx, node); err != nil {
		return fmt.Errorf("ending the helper of node %q: %w", node, err)
	}
	return c.tidyHelpers(ctx, everySystem)
}

// findAgent runs helpers with the image that is found for them.
func (c *Cluster) findAgent(ctx context.Context) (helper.Options, error) {
	image, policy, err := c.config.FindImage(ctx)
	return helper.Options{Image: image, PullPolicy: policy, Priority: helper.PriorityClass}, err
}
