package service

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/exec"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service/metrics"
)

// served is one description of the service, prepared for decisions. It never changes: a
// request keeps the one with which it began. flights are the shared calls of these
// requests.
type served struct {
	service     topology.Service
	plan        *behave.Service
	replies     map[*behave.Endpoint]*reply
	replica     *exec.Replica
	fingerprint string
	// callees are the metrics of the calls in the plan, by their site.
	callees []*metrics.Callee
	flights flights
}

// serve makes requests that begin from now on follow a description. Its stores must be
// open.
func (s *Service) serve(d *served) {
	d.replies = map[*behave.Endpoint]*reply{}
	for _, e := range d.plan.Endpoints {
		d.replies[e] = newReply(e, s.metrics)
	}
	for _, call := range d.plan.Sites {
		d.callees = append(d.callees, s.metrics.Callee(call.To))
		if call.Policy.Fallback != nil {
			s.metrics.StartFallbacks(call.To)
		}
	}
	s.served.Store(d)
}

// Serving returns which description new requests follow.
func (s *Service) Serving() control.Serving {
	return control.Serving{Fingerprint: s.served.Load().fingerprint}
}

// Describe makes the running service follow another description of itself, which must be
// valid. Requests under way finish with the old one. Connections, faults, counters and
// leaks stay, and so do the states of policies that did not change. It returns an error,
// which is answered with 409, and changes nothing if only a new process can follow the
// description.
func (s *Service) Describe(d *control.Description) error {
	s.describing.Lock()
	defer s.describing.Unlock()
	now := s.served.Load()
	if d.Service.Name != now.service.Name {
		return fmt.Errorf("changing service %q: the description is of service %q", s.Name(), d.Service.Name)
	}
	if fixed := control.Fixed(&now.service, &d.Service); len(fixed) > 0 {
		return s.onlyAnother(fmt.Errorf("%s cannot change while it runs", strings.Join(fixed, ", ")))
	}
	if name := s.stores.changed(d.Stores); name != "" {
		return s.onlyAnother(fmt.Errorf("the settings of data store %q cannot change while it runs", name))
	}
	fingerprint, err := d.Fingerprint()
	if err != nil {
		return err
	}
	plan := behave.New(s.cfg.Seed, &d.Service)
	if err := s.openStores(plan, d.Stores); err != nil {
		return s.onlyAnother(err)
	}
	// Set the peers first, so that new calls find their callees from the first
	// request on.
	if d.Peers != nil {
		if err := s.SetPeers(d.Peers); err != nil {
			return err
		}
	}
	if fingerprint == now.fingerprint {
		return nil
	}
	next := &served{service: d.Service, plan: plan, replica: now.replica.Next(plan, &d.Service), fingerprint: fingerprint}
	s.serve(next)
	s.log.Info("description changed", "fingerprint", fingerprint)
	return nil
}

// onlyAnother is the error of a description that only a new process can follow.
func (s *Service) onlyAnother(why error) error {
	return statusError{http.StatusConflict, fmt.Errorf("changing service %q in place: %w; replace its process", s.Name(), why)}
}
