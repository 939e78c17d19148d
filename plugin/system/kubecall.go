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
		c, err := o.target.Cluster(ctx, o.streams)
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
		return errors.New("sending the request: it names only URLs, which need no cluster: write --on local")
	}
	// Others may send requests at the same time.
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
	return o.through(ctx, tree, d)
}

// through sends the request through the API server to the system's service that
// it names first.
func (o *callOptions) through(ctx context.Context, tree *chain.Chain, d *cluster.Deployment) error {
	o.client, o.spans = throughAPIServer{d}, gatherFrom(d)
	return o.send(ctx, tree, insideAddresses(d.System()))
}

// throughAPIServer sends requests to services of a system through the API server.
type throughAPIServer struct{ system *cluster.Deployment }

// Do implements controlhttp.Doer.
func (t throughAPIServer) Do(req *http.Request) (*http.Response, error) {
	name := req.URL.Hostname()
	if t.system.System().Service(name) == nil {
		return nil, fmt.Errorf("system %q has no service %q, and only its services are reached through the API server", t.system.System().Name, req.URL.Host)
	}
	return t.system.Do(req, name)
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
