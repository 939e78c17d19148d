// Package spec reads files into the domain and prints the domain as files: the
// native kinds System, Experiment and Dataset, and the dialects of MicroSim, VECROsim,
// isotope and Chaos Mesh, told apart by their content. Reading is strict: every mistake is
// reported at once, with its place and with what to write instead.
package spec

import (
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/chaosmesh"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/isotope"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/microsim"
	"github.com/microsim-dev/kubectl-microsim/model/spec/dialect/vecrosim"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// describeSystem says what to write into a file without a description.
const describeSystem = "describe a system: apiVersion: " + document.APIVersion + ", kind: System"

// A reader reads the documents of a file.
type reader struct {
	*decode.File
	docs []*document.Draft
}

// add appends a document, unless it is nil.
func (f *reader) add(p *document.Draft) *document.Draft {
	if p != nil {
		f.docs = append(f.docs, p)
	}
	return p
}

// read decodes one document by the dialect that its content shows.
func (f *reader) read(n *decode.Node) {
	f.Enter(n)
	if n.Shape != decode.Object {
		f.Mistake(n, "", describeSystem, "expected a System, an Experiment or another description, got %s", n.Shape)
		return
	}
	apiVersion, kind := n.Text("apiVersion"), n.Text("kind")
	switch {
	case kind == "List" && n.Get("items") != nil:
		f.readList(n)
	case apiVersion == document.APIVersion:
		f.readNative(n)
	case strings.HasPrefix(apiVersion, microsim.Group+"/"):
		f.add(microsim.Read(f.File, n))
	case strings.HasPrefix(apiVersion, chaosmesh.Group+"/"):
		f.add(chaosmesh.Read(f.File, n))
	case n.Has("designation"):
		f.add(microsim.ReadRequest(f.File, n))
	case kind == isotope.Kind || !n.Has("kind", "apiVersion") && isotope.LooksLike(n):
		f.add(isotope.Read(f.File, n))
	case !n.Has("kind", "apiVersion") && vecrosim.LooksLike(n):
		f.add(vecrosim.Read(f.File, n))
	case !n.Has("kind", "apiVersion") && n.Has("faults"):
		f.add(vecrosim.ReadFaults(f.File, n))
	default:
		f.foreign(n, apiVersion, kind)
	}
}

// readList reads the items of a List, which kubectl get -o yaml prints.
func (f *reader) readList(n *decode.Node) {
	items := n.Get("items")
	if items.Shape != decode.List {
		f.Want(items, "items", decode.List, "")
		return
	}
	for _, item := range items.Items {
		f.read(item)
	}
}

// foreign reports a document that is of no kind known here.
func (f *reader) foreign(n *decode.Node, apiVersion, kind string) {
	native := slices.Contains(Kinds(), kind)
	switch {
	case apiVersion == "" && (native || kind == ""):
		f.Mistake(n, "apiVersion", "begin with apiVersion: "+document.APIVersion+" and kind: System, Experiment or Dataset", "apiVersion is missing")
	case native || strings.HasPrefix(apiVersion, "microsim.dev/"):
		f.Mistake(n.Get("apiVersion"), "apiVersion", "write "+document.APIVersion, "apiVersion %q is not known", apiVersion)
	default:
		f.Mistake(n.Get("kind").Or(n), "kind", "known are System, Experiment and Dataset of "+document.APIVersion+", Simulation and LoadGenerator of "+
			microsim.Group+", MockServiceGraph, systems and faults of VECROsim, NetworkChaos, StressChaos and PodChaos of "+chaosmesh.Group+", and MicroSim requests", "kind %q of apiVersion %q is not known", kind, apiVersion)
	}
}

func (f *reader) readNative(n *decode.Node) {
	kind := n.Get("kind")
	if kind == nil {
		f.Mistake(n, "kind", "write kind: System, kind: Experiment or kind: Dataset", "kind is missing")
		return
	}
	f.WantValues(n, "", mayHaveNoValue)
	f.wantPlainBodies(n, "")
	switch kind.Scalar {
	case document.KindSystem:
		p := f.add(document.NewDraft(f.File, n, document.Native, document.KindSystem))
		p.System = &topology.System{}
		n.Take("apiVersion", "kind")
		f.lowerSystem(n, "")
		f.Decode(n, "", reflect.ValueOf(p.System).Elem())
	case document.KindExperiment:
		p := f.add(document.NewDraft(f.File, n, document.Native, document.KindExperiment))
		e := defaults(reflect.TypeFor[experiment.Experiment]()).Interface().(experiment.Experiment)
		p.Experiment = &e
		n.Take("apiVersion", "kind")
		f.lowerExperiment(n)
		f.takeSystemName(n, p, "the experiment")
		f.Decode(n, "", reflect.ValueOf(p.Experiment).Elem())
		e.Load = e.Load.WithDefaults()
		finishVariants(&e)
		for i := range e.Faults {
			e.Faults[i] = e.Faults[i].WithDefaults()
		}
	case document.KindDataset:
		f.readDataset(n)
	default:
		f.Mistake(kind, "kind", problem.DidYouMean(kind.Scalar, Kinds(), "write System, Experiment or Dataset"), "kind %q is not known", kind.Scalar)
	}
}
