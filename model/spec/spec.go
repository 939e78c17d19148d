// Package spec reads files into the domain and prints the domain as files: the
// native kinds System and Experiment, and the dialects of MicroSim, VECROsim,
// isotope and Chaos Mesh, told apart by their content. Reading is strict: every mistake is
// reported at once, with its place and with what to write instead.
package spec

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// APIVersion stands at the top of every native document.
const APIVersion = "microsim.dev/v1alpha1"

// The native kinds.
const (
	KindSystem     = "System"
	KindExperiment = "Experiment"
)

// DefaultSeed is the seed of an experiment that names none.
const DefaultSeed = 1

// A Dialect is a format that files come in.
type Dialect string

// The dialects.
const (
	Native    Dialect = "native"
	MicroSim  Dialect = "microsim"
	VECROsim  Dialect = "vecrosim"
	Isotope   Dialect = "isotope"
	ChaosMesh Dialect = "chaosmesh"
)

// Origin says where a document came from.
type Origin struct {
	File    string
	Line    int
	Dialect Dialect
	// Kind is the document's own word for what it is.
	Kind string
	// Notes say what of a dialect was read, but has no meaning here.
	Notes []Mistake
}

// A Document is one description out of a file. Exactly one of its pointers is
// set.
type Document struct {
	Origin     Origin
	System     *topology.System
	Experiment *experiment.Experiment
	Chain      *behave.Chain
	Load       *Load
	Faults     *Faults
}

// A Load is a load that stands alone, as a LoadGenerator of MicroSim does.
type Load struct {
	Name string
	// System names the system that the load is meant for; it may be empty.
	System  string
	Profile load.Profile
}

// Documents are what was read, in the order of the files.
type Documents []Document

// Systems lists the systems among the documents.
func (d Documents) Systems() (systems []*topology.System) {
	for i := range d {
		if d[i].System != nil {
			systems = append(systems, d[i].System)
		}
	}
	return systems
}

// Experiments lists the experiments among the documents.
func (d Documents) Experiments() (experiments []*experiment.Experiment) {
	for i := range d {
		if d[i].Experiment != nil {
			experiments = append(experiments, d[i].Experiment)
		}
	}
	return experiments
}

// Chains lists the MicroSim requests among the documents.
func (d Documents) Chains() (chains []*behave.Chain) {
	for i := range d {
		if d[i].Chain != nil {
			chains = append(chains, d[i].Chain)
		}
	}
	return chains
}

// Loads lists the loads that stand alone among the documents.
func (d Documents) Loads() (loads []*Load) {
	for i := range d {
		if d[i].Load != nil {
			loads = append(loads, d[i].Load)
		}
	}
	return loads
}

// Faults lists the faults that stand alone among the documents.
func (d Documents) Faults() (faults []*Faults) {
	for i := range d {
		if d[i].Faults != nil {
			faults = append(faults, d[i].Faults)
		}
	}
	return faults
}

// A file is one file while it is read.
type file struct {
	name     string
	mistakes Mistakes
	docs     []*pending
}

// pending is a document that is decoded, but not yet checked.
type pending struct {
	Document
	file *file
	root *node
	// moved leads from paths of the domain to paths of the document, where a
	// dialect's differ.
	moved map[string]string
	// system is the name of a system described elsewhere, where there is one.
	system *node
}

// maxMistakes bounds the mistakes that are kept of one file.
const maxMistakes = 1000

// mistakeAt reports a problem at the place of a node.
func (f *file) mistakeAt(n *node, p problem.Problem) {
	if len(f.mistakes) < maxMistakes {
		f.mistakes = append(f.mistakes, Mistake{File: f.name, Line: n.line, Column: n.col, Problem: p})
	}
}

func (f *file) mistake(n *node, path, hint, format string, args ...any) {
	f.mistakeAt(n, problem.Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// whole reports a mistake of the file as a whole.
func (f *file) whole(message, hint string) {
	f.mistakeAt(&node{}, problem.Problem{Message: message, Hint: hint})
}

// note records what a dialect says and this program leaves out.
func (p *pending) note(n *node, path, format string, args ...any) {
	p.Origin.Notes = append(p.Origin.Notes, Mistake{File: p.file.name, Line: n.line, Column: n.col,
		Problem: problem.Problem{Path: path, Message: fmt.Sprintf(format, args...)}})
}

// add appends a document that begins at a node.
func (f *file) add(n *node, dialect Dialect, kind string) *pending {
	p := &pending{file: f, root: n, moved: map[string]string{}}
	p.Origin = Origin{File: f.name, Line: n.line, Dialect: dialect, Kind: kind}
	f.docs = append(f.docs, p)
	return p
}

// read decodes one document by the dialect that its content shows.
func (f *file) read(n *node) {
	if n.shape != object {
		f.mistake(n, "", "describe a system: apiVersion: "+APIVersion+", kind: System", "%s is found where a description is needed", n.shape)
		return
	}
	apiVersion, kind := n.text("apiVersion"), n.text("kind")
	switch {
	case apiVersion == APIVersion:
		f.readNative(n)
	case strings.HasPrefix(apiVersion, microsimGroup+"/"):
		f.readMicroSim(n)
	case strings.HasPrefix(apiVersion, chaosMeshGroup+"/"):
		f.readChaosMesh(n)
	case n.has("designation"):
		f.readChain(n)
	case kind == kindGraph || !n.has("kind", "apiVersion") && looksLikeIsotope(n):
		f.readIsotope(n)
	case !n.has("kind", "apiVersion") && looksLikeVECRO(n):
		f.readVECRO(n)
	case !n.has("kind", "apiVersion") && n.has("faults"):
		f.readVECROFaults(n)
	default:
		f.foreign(n, apiVersion, kind)
	}
}

// foreign reports a document that is of no kind known here.
func (f *file) foreign(n *node, apiVersion, kind string) {
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

func (f *file) readNative(n *node) {
	kind := n.get("kind")
	if kind == nil {
		f.mistake(n, "kind", "write kind: System or kind: Experiment", "kind is missing")
		return
	}
	switch kind.scalar {
	case KindSystem:
		p := f.add(n, Native, KindSystem)
		p.System = &topology.System{}
		n.take("apiVersion", "kind")
		f.lowerSystem(n, "")
		f.decode(n, "", reflect.ValueOf(p.System).Elem())
	case KindExperiment:
		p := f.add(n, Native, KindExperiment)
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

// nameFromFile makes a system's name of a file's, for dialects without names.
func nameFromFile(path string) string {
	base := filepath.Base(path)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, base), "-")
	if name == "" {
		return "system"
	}
	return name[:min(len(name), 63)]
}
