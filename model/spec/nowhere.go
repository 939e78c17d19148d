package spec

import (
	"net/url"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// noteNowhere notes the designations of a document's chains that lead nowhere.
// Such a chain can be sent, since MicroSim sends it, too: the caller of the hop
// reports an error.
func noteNowhere(p *document.Draft, named map[string]*document.Draft) {
	var system *topology.System
	var requests []load.Request
	switch {
	case p.Experiment != nil:
		system, requests = &p.Experiment.System, p.Experiment.Load.Requests
	case p.Load != nil:
		system, requests = systemOf(p.Load.System, named), p.Load.Profile.Requests
	case p.Chain != nil:
		if system = systemOf("", named); system != nil {
			noteChain(p, p.Chain, system, "")
		}
		return
	}
	if system == nil {
		return // it is described elsewhere
	}
	for i := range requests {
		if requests[i].Chain == "" {
			continue
		}
		tree, err := chain.Parse([]byte(requests[i].Chain), chain.Limits{})
		if err == nil { // else it is a mistake, told already
			noteChain(p, tree, system, p.Written(problem.Index("requests", i)))
		}
	}
}

// systemOf is the system of a name, or the only one.
func systemOf(name string, named map[string]*document.Draft) *topology.System {
	if d := named[name]; d != nil {
		return d.System
	}
	if name == "" && len(named) == 1 {
		for _, d := range named {
			return d.System
		}
	}
	return nil
}

func noteChain(p *document.Draft, tree *chain.Chain, system *topology.System, path string) {
	var names []string
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
	}
	place, _ := p.Root.Follow(path)
	for _, d := range tree.Designations() {
		switch {
		case slices.Contains(names, d), slices.Contains(names, chain.ServiceName(d)):
		case !chain.IsURL(d):
			hint := problem.DidYouMean(chain.ServiceName(d), names, "name one of "+strings.Join(names, ", "))
			p.Note(place, path, "designation %q leads nowhere: system %q has no service of that name, so the request fails at this hop; %s", problem.CleanURL(d), system.Name, hint)
		case d != tree.Designation && !mayLead(d, names, system.AllowHosts):
			p.Note(place, path, "designation %q leads nowhere: it is outside system %q, which does not permit its host, so the request fails at this hop; add the host to allowHosts", problem.CleanURL(d), system.Name)
		}
	}
}

// mayLead reports whether services of a system may be able to call a URL. The
// addresses of services are known only when they run: a host that begins with the
// name of a service, as on a cluster, and a loopback address may be theirs.
func mayLead(text string, names, hosts []string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := u.Hostname()
	first, _, _ := strings.Cut(host, ".")
	return slices.Contains(hosts, u.Host) || slices.Contains(hosts, host) || slices.Contains(names, first) ||
		host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}
