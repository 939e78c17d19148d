// Package spec reads files into the domain and prints the domain as files: the
// native kinds System and Experiment, and the dialects of MicroSim, VECROsim,
// isotope and Chaos Mesh, told apart by their content. Reading is strict: every mistake is
// reported at once, with its place and with what to write instead.
package spec

import (
	"reflect"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// describeSystem says what to write where there is nothing to read.
const describeSystem = "describe a system: apiVersion: " + APIVersion + ", kind: System"

// A reader reads the documents of a file.
type reader struct {
	*file
	docs []*pending
}

// add takes a document in; nil is none.
func (f *reader) add(p *pending) *pending {
	if p != nil {
		f.docs = append(f.docs, p)
	}
	return p
}

// read decodes one document by the dialect that its content shows.
func (f *reader) read(n *node) {
	if n.shape != object {
		f.mistake(n, "", describeSystem, "%s is found where a description is needed", n.shape)
		return
	}
	apiVersion, kind := n.text("apiVersion"), n.text("kind")
	switch {
	case apiVersion == APIVersion:
		f.readNative(n)
	case strings.HasPrefix(apiVersion, microsimGroup+"/"):
		f.add(readMicroSim(f.file, n))
	case strings.HasPrefix(apiVersion, chaosMeshGroup+"/"):
		f.add(readChaosMesh(f.file, n))
	case n.has("designation"):
		f.add(readChain(f.file, n))
	case kind == kindGraph || !n.has("kind", "apiVersion") && looksLikeIsotope(n):
		f.add(readIsotope(f.file, n))
	case !n.has("kind", "apiVersion") && looksLikeVECRO(n):
		f.add(readVECRO(f.file, n))
	case !n.has("kind", "apiVersion") && n.has("faults"):
		f.add(readVECROFaults(f.file, n))
	default:
		f.foreign(n, apiVersion, kind)
	}
}

// foreign reports a document that is of no kind known here.
func (f *reader) foreign(n *node, apiVersion, kind string) {
	native := kind == KindSystem || kind == KindExperiment
	switch {
	case apiVersion == "" && (native || kind == ""):
		f.mistake(n, "apiVersion", "begin with apiVersion: "+APIVersion+" and kind: System or Experiment", "apiVersion is missing")
	case native || strings.HasPrefix(apiVersion, "microsim.dev/"):
		f.mistake(n.get("apiVersion"), "apiVersion", "write "+APIVersion, "apiVersion %q is not known", apiVersion)
	default:
		f.mistake(n.get("kind").or(n), "kind", "known are System and Experiment of "+APIVersion+", Simulation and LoadGenerator of "+
			microsimGroup+", MockServiceGraph, systems and faults of VECROsim, NetworkChaos, StressChaos and PodChaos of "+chaosMeshGroup+", and MicroSim requests", "kind %q of apiVersion %q is not known", kind, apiVersion)
	}
}

func (f *reader) readNative(n *node) {
	kind := n.get("kind")
	if kind == nil {
		f.mistake(n, "kind", "write kind: System or kind: Experiment", "kind is missing")
		return
	}
	switch kind.scalar {
	case KindSystem:
		p := f.add(newPending(f.file, n, Native, KindSystem))
		p.System = &topology.System{}
		n.take("apiVersion", "kind")
		f.lowerSystem(n, "")
		f.decode(n, "", reflect.ValueOf(p.System).Elem())
	case KindExperiment:
		p := f.add(newPending(f.file, n, Native, KindExperiment))
		e := defaults(reflect.TypeFor[experiment.Experiment]()).Interface().(experiment.Experiment)
		p.Experiment = &e
		n.take("apiVersion", "kind")
		f.lowerExperiment(n)
		if system := n.get("system"); system.isScalar() {
			p.system = system
			n.take("system")
		} else if system == nil {
			f.mistake(n, "system", "describe it under system, or name one: system: social", "the experiment has no system")
		}
		f.decode(n, "", reflect.ValueOf(p.Experiment).Elem())
		e.Load = e.Load.WithDefaults()
		finishVariants(&e)
		for i := range e.Faults {
			e.Faults[i] = e.Faults[i].WithDefaults()
		}
	default:
		f.mistake(kind, "kind", problem.DidYouMean(kind.scalar, Kinds(), "write System or Experiment"), "kind %q is not known", kind.scalar)
	}
}
