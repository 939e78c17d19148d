package files

import (
	"fmt"
	"io"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/advise"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// advised is a piece of advice on a document.
type advised struct {
	Rule advise.Rule `json:"rule"`
	// Variant names the variant that the advice is about; empty means the whole
	// experiment.
	Variant string `json:"variant,omitempty"`
	Where   string `json:"where"`
	What    string `json:"what"`
	Instead string `json:"instead"`
	Lesson  string `json:"lesson"`
}

// adviceOn returns advice on a document, and advice on each variant that differs
// from that. It never returns nil.
func adviceOn(d document.Document) []advised {
	list := []advised{}
	var e experiment.Experiment
	switch {
	case d.Experiment != nil:
		e = *d.Experiment
		e.Load = e.Load.WithDefaults()
	case d.System != nil:
		e.System = *d.System
	default:
		return list
	}
	add := func(variant string, a advise.Advice) {
		list = append(list, advised{a.Rule, variant, a.Where, a.What, a.Instead, a.Rule.Lesson()})
	}
	common := advise.Of(&e)
	for _, a := range common {
		add("", a)
	}
	for _, v := range e.Variants {
		applied, problems := e.Apply(v)
		if problems.Err() != nil {
			continue // not reached: the file is valid
		}
		for _, a := range advise.Of(&applied) {
			if !slices.Contains(common, a) {
				add(v.Name, a)
			}
		}
	}
	return list
}

// printAdvice prints advice. If there is none and asked is set, it says so.
func printAdvice(w io.Writer, list []advised, asked bool) {
	if asked && len(list) == 0 {
		fmt.Fprintln(w, "  nothing to advise: none of the known patterns was found")
	}
	for _, a := range list {
		where := a.Where
		if a.Variant != "" {
			where = "variant " + a.Variant + ": " + where
		}
		fmt.Fprintf(w, "  %s  %s: %s\n", a.Rule, cli.Clean(where), cli.Clean(a.What))
		fmt.Fprintf(w, "    %s; see: kubectl microsim run %s --on virtual\n", cli.Clean(a.Instead), a.Lesson)
	}
}
