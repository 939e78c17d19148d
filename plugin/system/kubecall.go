package system

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
)

// onKubernetes sends the request to a system on a cluster. Without a name it starts
// one for just this request.
func (o *callOptions) onKubernetes(ctx context.Context, tree *chain.Chain) (err error) {
	if o.system != "" {
		c, err := o.target.Cluster(ctx, o.streams)
		if err != nil {
			return err
		}
		d, err := c.Find(ctx, o.system)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		return o.send(ctx, tree, request.ToCluster(d))
	}
	system := systemOf(tree)
	if len(system.Services) == 0 {
		return errors.New("sending the request: it names only URLs, which need no cluster: write --on local")
	}
	// The name is random, because other users may send requests at the same time.
	system.Name = "call-" + strings.ToLower(rand.Text()[:6])
	c, err := o.target.ClusterForPods(ctx, o.streams)
	if err != nil {
		return err
	}
	cleaned := cli.RecoverWith(ctx, o.target.Command("down", system.Name))
	defer cleaned()
	d, err := c.Up(ctx, system, o.seed)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer func() { err = errors.Join(err, d.Close(context.WithoutCancel(ctx))) }()
	return o.send(ctx, tree, request.ToCluster(d))
}
