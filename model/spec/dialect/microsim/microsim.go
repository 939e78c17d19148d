// Package microsim reads MicroSim's objects, Simulation and LoadGenerator, and
// its requests.
package microsim

import (
	"reflect"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const (
	Group             = "microsim.isala.me"
	kindSimulation    = "Simulation"
	kindLoadGenerator = "LoadGenerator"
	kindRequest       = "Request"
)

type simulationFile struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Metadata   document.ObjectMeta `json:"metadata"`
	Spec       simulationSpec      `json:"spec"`
	Status     decode.Ignored      `json:"status"`
}

type simulationSpec struct {
	// Name stands in MicroSim's own sample, without a value.
	Name     string                       `json:"name"`
	Services map[string]simulationService `json:"services"`
}

type simulationService struct {
	Language  string `json:"language"`
	Framework string `json:"framework"`
}

type loadGeneratorFile struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Metadata   document.ObjectMeta `json:"metadata"`
	Spec       loadGeneratorSpec   `json:"spec"`
	Status     decode.Ignored      `json:"status"`
}

type loadGeneratorSpec struct {
	Requests      []string      `json:"requests"`
	Replicas      *int          `json:"replicas"`
	SimulationRef simulationRef `json:"simulationRef"`
	RequestCount  int           `json:"requestCount"`
	Timeout       unit.Duration `json:"timeout"`
	BetweenDelay  unit.Duration `json:"betweenDelay"`
}

type simulationRef struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

func Read(f *decode.File, n *decode.Node) *document.Draft {
	switch kind := n.Text("kind"); kind {
	case kindSimulation:
		return readSimulation(f, n)
	case kindLoadGenerator:
		return readLoadGenerator(f, n)
	default:
		f.Mistake(n.Get("kind").Or(n), "kind", "write Simulation or LoadGenerator", "kind %q of %s is not known", kind, Group)
		return nil
	}
}

// readSimulation makes of each service one that answers at "/". The requests, not
// the services, say which service calls which.
func readSimulation(f *decode.File, n *decode.Node) *document.Draft {
	p := document.NewDraft(f, n, document.MicroSim, kindSimulation)
	var in simulationFile
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	p.System = &topology.System{Name: chain.ServiceName(in.Metadata.Name), Namespace: in.Metadata.Namespace}
	p.Moved["name"], p.Moved["namespace"] = "metadata.name", "metadata.namespace"
	p.Moved["services"] = "spec.services"
	services := n.Get("spec").Get("services")
	if services == nil || services.Shape != decode.Object {
		return p
	}
	for i, field := range services.Fields {
		s := topology.NewService(chain.ServiceName(field.Key))
		s.Language, s.Framework = in.Spec.Services[field.Key].Language, in.Spec.Services[field.Key].Framework
		for _, key := range []string{"language", "framework"} {
			if field.Value.Get(key) == nil {
				f.Mistake(field.Value, "spec.services."+field.Key+"."+key, "write it beside the other", "%s of service %q is missing", key, field.Key)
			}
		}
		p.System.Services = append(p.System.Services, s)
		p.System.Entry = append(p.System.Entry, s.Name)
		p.Moved[problem.Index("services", i)] = "spec.services." + field.Key
	}
	return p
}

// Endless is the duration of a load that goes on until it is stopped.
const Endless = unit.Duration(0)

// readLoadGenerator makes an open loop of the ticks: each tick sends every
// request as many times as there are replicas.
func readLoadGenerator(f *decode.File, n *decode.Node) *document.Draft {
	p := document.NewDraft(f, n, document.MicroSim, kindLoadGenerator)
	var in loadGeneratorFile
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	phase := load.Phase{Name: "ticks", Duration: Endless, Arrivals: load.Constant, Burst: 1, Each: true, Count: in.Spec.RequestCount, Rate: 1}
	if in.Spec.Replicas != nil {
		if phase.Burst = *in.Spec.Replicas; phase.Burst < 1 {
			f.Mistake(n.Get("spec").Get("replicas"), "spec.replicas", "write how often each request is sent in a round, 1 or more", "%d replicas send nothing", phase.Burst)
		}
	}
	if k := len(in.Spec.Requests); k > 0 {
		// MicroSim counts each request of a tick; a phase counts ticks.
		phase.Count = (phase.Count + k - 1) / k
	}
	switch between := in.Spec.BetweenDelay; {
	case n.Get("spec").Get("betweenDelay") == nil:
		f.Mistake(n.Get("spec").Or(n), "spec.betweenDelay", "write the time between rounds, such as 1s", "betweenDelay is missing")
	case between < 0:
		f.Mistake(n.Get("spec").Get("betweenDelay"), "spec.betweenDelay", "write a duration from 0 up", "betweenDelay %q is negative", between)
	case between == 0:
		phase.Count = 1 // one round, and no more
	default:
		phase.Rate = 1 / between.Seconds()
	}
	if in.Spec.Timeout > 0 {
		phase.Duration = in.Spec.Timeout
	}
	p.Moved["phases[0].burst"], p.Moved["phases[0].rate"] = "spec.replicas", "spec.betweenDelay"
	p.Moved["phases[0].count"], p.Moved["phases[0].duration"] = "spec.requestCount", "spec.timeout"
	profile := load.Profile{Phases: []load.Phase{phase}}
	for i := range in.Spec.Requests {
		at := problem.Index("spec.requests", i)
		text := ChainText(f, n.Get("spec").Get("requests").Items[i], at)
		name := ""
		if len(in.Spec.Requests) > 1 {
			name = problem.Index(in.Metadata.Name, i)
		} else {
			name = in.Metadata.Name
		}
		profile.Requests = append(profile.Requests, load.Request{Name: name, Chain: text, Weight: 1})
		p.Moved[problem.Index("requests", i)] = at
	}
	if len(in.Spec.Requests) == 0 {
		f.Mistake(n.Get("spec").Or(n), "spec.requests", "give at least one", "there are no requests")
	}
	p.Load = &document.Load{Name: chain.ServiceName(in.Metadata.Name), System: chain.ServiceName(in.Spec.SimulationRef.Name), Profile: profile.WithDefaults()}
	return p
}
