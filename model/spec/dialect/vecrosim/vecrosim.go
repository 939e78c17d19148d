// Package vecrosim reads the systems and the faults of VECROsim.
package vecrosim

import (
	"reflect"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// This file reads the system definitions of VECROsim, which have no kind.

type vecroFile struct {
	Name      string         `json:"name"`
	Replicas  *int           `json:"replicas"`
	Namespace string         `json:"namespace"`
	Services  []vecroService `json:"services"`
}

type vecroService struct {
	Name     string        `json:"name"`
	Type     topology.Kind `json:"type"`
	Workload vecroWorkload `json:"workload"`
	Calls    []string      `json:"calls"`
	Node     string        `json:"node"`
}

// vecroWorkload counts in units of its own, see vecroStep.
type vecroWorkload struct {
	CPU    float64     `json:"cpu"`
	IO     int         `json:"io"`
	Net    int         `json:"net"`
	Memory int         `json:"memory"`
	Mem    int         `json:"mem"`
	Delay  *vecroDelay `json:"delay"`
	Read   int         `json:"read"`
	Write  int         `json:"write"`
}

// vecroDelay is in milliseconds.
type vecroDelay struct {
	Duration float64  `json:"duration"`
	Jitter   *float64 `json:"jitter"`
}

const (
	vecroIOUnit     = 64 << 10 // bytes written for one unit of io
	vecroMemoryUnit = 1 << 20  // bytes held for one unit of memory
	vecroEnvelope   = 15       // bytes of {"payload":""} and a line feed
)

// LooksLike tells a system of VECROsim by the fields of its services.
func LooksLike(n *decode.Node) bool {
	services := n.Get("services")
	if services == nil || services.Shape != decode.List {
		return false
	}
	for _, s := range services.Items {
		if s.Has("workload", "type", "node") {
			return true
		}
	}
	return false
}

// A vecro is a document that a file of VECROsim is read into.
type vecro struct{ *document.Draft }

func Read(f *decode.File, n *decode.Node) *document.Draft {
	p := vecro{document.NewDraft(f, n, document.VECROsim, document.KindSystem)}
	var in vecroFile
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	p.System = &topology.System{Name: in.Name, Namespace: in.Namespace}
	for i := range in.Services {
		path := problem.Index("services", i)
		s := p.vecroService(&in, &in.Services[i], path)
		if in.Replicas != nil {
			s.Replicas = *in.Replicas
		}
		if s.Kind.IsStore() && s.Replicas > 1 {
			s.Replicas = 1
			p.Note(n.At("replicas"), "replicas", "the data store %q has one replica, since it has one address", s.Name)
		}
		p.Moved[path+".replicas"] = "replicas"
		if in.Services[i].Node != "" {
			p.Note(n.At(path+".node"), path+".node", "node has no meaning here")
		}
		p.System.Services = append(p.System.Services, s)
	}
	return p.Draft
}

// vecroService makes a service that does its work and then calls the others one
// after another, in the order of VECROsim: delay, cpu, io, calls, payload.
func (p vecro) vecroService(in *vecroFile, s *vecroService, path string) topology.Service {
	out := topology.NewService(s.Name)
	w := &s.Workload
	if s.Type != "" {
		out.Kind = s.Type
	}
	p.Moved[path+".kind"] = path + ".type"
	out.Memory = unit.Size(w.Memory+w.Mem) * vecroMemoryUnit
	p.Moved[path+".memory"] = path + ".workload.memory"
	if w.Memory < 0 || w.Mem < 0 || w.Memory > 1<<40 || w.Mem > 1<<40 {
		out.Memory = -1
	}
	if w.Read != 0 || w.Write != 0 || out.Kind.IsStore() {
		out.Store = &topology.Store{Reads: w.Read, Writes: w.Write}
		p.Moved[path+".store.reads"], p.Moved[path+".store.writes"] = path+".workload.read", path+".workload.write"
		p.Moved[path+".store"] = path + ".workload"
	}
	e := &out.Endpoints[0]
	steps := path + ".endpoints[0].steps"
	if work := p.vecroWork(w, path); !reflect.ValueOf(work).IsZero() {
		at := problem.Index(steps, 0) + ".work"
		p.Moved[at], p.Moved[at+".cpuUnits"], p.Moved[at+".sleep"] = path+".workload", path+".workload.cpu", path+".workload.delay"
		e.Steps = append(e.Steps, topology.Step{Work: &work})
	}
	p.Moved[path+".endpoints[0].response.size"] = path + ".workload.net"
	if !out.Kind.IsStore() {
		e.Response.Size = unit.Size(w.Net/2 + vecroEnvelope)
	}
	for i, callee := range s.Calls {
		p.Moved[problem.Index(steps, len(e.Steps))+".call"] = problem.Index(path+".calls", i)
		e.Steps = append(e.Steps, topology.CallTo(vecroCallee(in, callee)))
	}
	return out
}

// vecroWork converts the units: cpu counts 32 768 square roots, io 64 KiB, and
// a delay without a jitter has a tenth of its duration as jitter.
func (p vecro) vecroWork(w *vecroWorkload, path string) topology.Work {
	work := topology.Work{CPUUnits: w.CPU}
	if w.IO > topology.MaxIO/vecroIOUnit || w.IO < 0 {
		p.File.Mistake(p.Root.At(path+".workload.io"), path+".workload.io", "the range is 0 to 16384 units of 64 KiB", "%d is out of range", w.IO)
	} else {
		work.IO = unit.Size(w.IO) * vecroIOUnit
	}
	d := w.Delay
	if d == nil {
		return work
	}
	jitter := d.Duration / 10
	if d.Jitter != nil {
		jitter = *d.Jitter
	}
	limit := float64(dist.Max / time.Millisecond)
	if !(d.Duration >= 0 && d.Duration <= limit && jitter >= 0 && jitter <= limit) {
		p.File.Mistake(p.Root.At(path+".workload.delay"), path+".workload.delay", "write milliseconds from 0 to 86400000", "a delay of %v ms with a jitter of %v ms is out of range", d.Duration, jitter)
		return work
	}
	milliseconds := float64(time.Millisecond)
	work.Sleep = dist.Jittered(time.Duration(d.Duration*milliseconds), time.Duration(jitter*milliseconds))
	return work
}

// vecroCallee returns a callee's name; VECROsim's objects are named after system
// and service, and such a name is understood, too.
func vecroCallee(in *vecroFile, callee string) string {
	short, prefixed := strings.CutPrefix(callee, in.Name+"-")
	for i := range in.Services {
		if in.Services[i].Name == callee {
			return callee
		}
	}
	if prefixed {
		return short
	}
	return callee
}
