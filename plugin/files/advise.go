package files

import (
	"fmt"
	"io"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/advise"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// printAdvice prints advice on what a document describes, and on each variant what
// is not advised of all.
func printAdvice(w io.Writer, d document.Document) {
	var e experiment.Experiment
	switch {
	case d.Experiment != nil:
		e = *d.Experiment
		e.Load = e.Load.WithDefaults()
	case d.System != nil:
		e.System = *d.System
	default:
		fmt.Fprintln(w, "  nothing to advise: it describes no system")
		return
	}
	common := advise.Of(&e)
	found := len(common)
	for _, a := range common {
		printOne(w, "", a)
	}
	for _, v := range e.Variants {
		applied, problems := e.Apply(v)
		if problems.Err() != nil {
			continue // not reached: the file is valid
		}
		for _, a := range advise.Of(&applied) {
			if !slices.Contains(common, a) {
				found++
				printOne(w, "variant "+v.Name+": ", a)
			}
		}
	}
	if found == 0 {
		fmt.Fprintln(w, "  nothing to advise: none of the known patterns was found")
	}
}

func printOne(w io.Writer, where string, a advise.Advice) {
	fmt.Fprintf(w, "  %s  %s%s: %s\n", a.Rule, where, a.Where, a.What)
	fmt.Fprintf(w, "    %s; see: kubectl microsim run %s --on virtual\n", a.Instead, a.Rule.Lesson())
}
