package system

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// onKubernetes sends the request to a system on a cluster. Without a name, one
// is started for just this request.
func (o *callOptions) onKubernetes(ctx context.Context, tree *chain.Chain) (err error) {
	if o.system != "" {
		c, err := o.target.Kube.Cluster(ctx, o.target.On, o.streams, false)
		if err != nil {
			return err
		}
		d, err := c.Find(ctx, o.system)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		return o.through(ctx, tree, d)
	}
	system := systemOf(tree)
	if len(system.Services) == 0 {
		return errors.New("sending the request: it names URLs alone, which need no cluster: write --on local")
	}
	// Others may send requests at the same time.
	system.Name = "call-" + strings.ToLower(rand.Text()[:6])
	c, err := o.target.Kube.Cluster(ctx, o.target.On, o.streams, true)
	if err != nil {
		return err
	}
	cli.RecoverWith(ctx, o.target.Command("down", system.Name))
	d, err := c.Up(ctx, system, o.seed)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	defer func() { err = errors.Join(err, d.Close(context.WithoutCancel(ctx))) }()
	return o.through(ctx, tree, d)
}

// through sends the request through the API server to the system's service that
// it names first.
func (o *callOptions) through(ctx context.Context, tree *chain.Chain, d *cluster.Deployment) error {
	o.do = func(req *http.Request) (*http.Response, error) {
		name := req.URL.Hostname()
		if d.System().Service(name) == nil {
			return nil, fmt.Errorf("%q is no service of system %q, and only those are reached through the API server", req.URL.Host, d.System().Name)
		}
		return d.Do(req, name)
	}
	return o.send(ctx, tree, insideAddresses(d.System()))
}

// insideAddresses are the URLs by which services of a system on a cluster reach
// each other.
func insideAddresses(system *topology.System) map[string]string {
	urls := map[string]string{}
	for i := range system.Services {
		urls[system.Services[i].Name] = "http://" + system.Services[i].Name
	}
	return urls
}
