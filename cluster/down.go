package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/cluster/apply"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// Close deletes all that was made for the system, and waits until it is gone. A
// namespace that was made for it goes, too, unless somebody else uses it. The
// end of ctx bounds the waiting, not the deleting.
func (d *Deployment) Close(ctx context.Context) error {
	released := d.Release()
	err := apply.TakeDown(ctx, d.Client, d.System().Name, d.Namespace())
	if err != nil {
		return errors.Join(released, &runner.CleanupError{
			Left: []string{fmt.Sprintf("objects of system %q in namespace %q", d.System().Name, d.Namespace())}, Err: kubeapi.Explain(err),
			Remedy: "run " + d.Client.Command("down", d.System().Name, "-n", d.Namespace()),
		})
	}
	return released
}

// Down deletes a system, whole or in parts, wherever Config allows to look.
func (c *Cluster) Down(ctx context.Context, name string) error {
	namespaces, err := apply.FindNamespaces(ctx, c.Client, name)
	if err != nil {
		return fmt.Errorf("taking down system %q: %w", name, kubeapi.Explain(err))
	}
	switch {
	case len(namespaces) == 0:
		return &NotFoundError{name, c.Config.Namespace, c.Client}
	case len(namespaces) > 1:
		return fmt.Errorf("taking down system %q: there is one in each of the namespaces %s; name one with -n", name, strings.Join(namespaces, ", "))
	}
	if err := apply.TakeDown(ctx, c.Client, name, namespaces[0]); err != nil {
		return &runner.CleanupError{
			Left: []string{fmt.Sprintf("objects of system %q in namespace %q", name, namespaces[0])}, Err: kubeapi.Explain(err), Remedy: "run the command again",
		}
	}
	return nil
}
