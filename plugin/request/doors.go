package request

import (
	"context"
	"fmt"
	"net/http"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	local "github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// ToClient returns a Door to a system that another program runs on this machine.
func ToClient(ctx context.Context, client controlhttp.Doer, system *local.Client) (*Door, error) {
	urls, err := addresses(ctx, system)
	return &Door{client, urls, system.SpansOf}, err
}

// Local is a system that this program itself runs.
type Local interface {
	teller
	spanSource
}

// ToLocal returns a Door to a system that this program itself runs.
func ToLocal(ctx context.Context, client controlhttp.Doer, system Local) (*Door, error) {
	urls, err := addresses(ctx, system)
	return &Door{client, urls, gatherFrom(system)}, err
}

// ToCluster returns a Door that leads through the API server to a system on a
// cluster.
func ToCluster(d *cluster.Deployment) *Door {
	return &Door{throughAPIServer{d}, insideAddresses(d.System()), gatherFrom(d)}
}

// A teller tells the addresses of the replicas of a system.
type teller interface {
	Status(ctx context.Context) (*local.Status, error)
}

// addresses returns the URL of the first replica of each service.
func addresses(ctx context.Context, system teller) (map[string]string, error) {
	status, err := system.Status(ctx)
	if err != nil {
		return nil, err
	}
	urls := map[string]string{}
	for _, s := range status.Services {
		urls[s.Name] = s.Endpoint
	}
	return urls, nil
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

// insideAddresses returns the URLs by which services of a system on a cluster reach
// each other.
func insideAddresses(system *topology.System) map[string]string {
	urls := map[string]string{}
	for i := range system.Services {
		urls[system.Services[i].Name] = manifest.BaseURL(&system.Services[i])
	}
	return urls
}
