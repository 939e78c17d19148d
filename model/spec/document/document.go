// Package document holds what the files of all dialects are read into: systems,
// experiments, requests, loads and faults, with where each came from, and how
// several documents make one experiment.
package document

import (
	"path/filepath"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// APIVersion stands at the top of every native document.
const APIVersion = "microsim.dev/v1alpha1"

// The native kinds.
const (
	KindSystem     = "System"
	KindExperiment = "Experiment"
	KindDataset    = "Dataset"
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
	Notes []decode.Mistake
	// OffCluster are notes that do not hold if the faults of the document are applied
	// on a cluster.
	OffCluster []decode.Mistake
}

// A Document is one description out of a file. Exactly one of its pointers is
// set.
type Document struct {
	Origin     Origin
	System     *topology.System
	Experiment *experiment.Experiment
	Dataset    *dataset.Dataset
	Chain      *chain.Chain
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

// Datasets lists the data sets among the documents.
func (d Documents) Datasets() (sets []*dataset.Dataset) {
	for i := range d {
		if d[i].Dataset != nil {
			sets = append(sets, d[i].Dataset)
		}
	}
	return sets
}

// Chains lists the MicroSim requests among the documents.
func (d Documents) Chains() (chains []*chain.Chain) {
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

// NameFromFile makes a system's name of a file's, for dialects without names.
func NameFromFile(path string) string {
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
