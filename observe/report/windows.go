package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// A windowColumn is one column of the table of windows.
type windowColumn struct {
	title string
	value func(*result.Window) int64
}

// windowLines lays out the counts of a run's windows: the clients' requests and,
// for each service that a fault was aimed at, the requests that it dealt with and
// what its callers met. Without such a service it shows all called services. It
// leaves out counts that are 0 in all windows, except the clients' requests and the
// requests that services dealt with.
func windowLines(r *result.Result, style Style) []string {
	if len(r.Windows) == 0 {
		return nil
	}
	columns := []windowColumn{{"REQUESTS", func(w *result.Window) int64 { return w.Clients.Requests }}}
	for _, class := range failures() {
		columns = appendUsed(columns, r, windowColumn{classTitle(class), func(w *result.Window) int64 { return w.Clients.Outcomes[class] }})
	}
	for _, name := range targetsOf(r) {
		columns = append(columns, windowColumn{strings.ToUpper(name), func(w *result.Window) int64 { return handled(w, name) }})
		for _, class := range failures() {
			columns = appendUsed(columns, r, windowColumn{classTitle(class), func(w *result.Window) int64 { return met(w, name, class) }})
		}
	}
	g := grid{left: 1}
	titles := []string{"FROM"}
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	g.head(titles...)
	for i := range r.Windows {
		w := &r.Windows[i]
		row := []cell{{fmt.Sprintf("%.0fs", w.From), dim}}
		for _, c := range columns {
			row = append(row, cell{count(c.value(w)), plain})
		}
		g.add(row...)
	}
	return g.lines(style)
}

func failures() []outcome.Class {
	return slices.DeleteFunc(outcome.Classes(), func(c outcome.Class) bool { return c == outcome.OK })
}

func classTitle(class outcome.Class) string {
	return strings.ToUpper(strings.ReplaceAll(string(class), "_", " "))
}

func appendUsed(columns []windowColumn, r *result.Result, c windowColumn) []windowColumn {
	for i := range r.Windows {
		if c.value(&r.Windows[i]) > 0 {
			return append(columns, c)
		}
	}
	return columns
}

// targetsOf lists the services that faults act on or, without faults, those that
// others call.
func targetsOf(r *result.Result) (names []string) {
	add := func(name string) {
		if name != "" && name != fault.Nobody && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i := range r.Faults {
		add(r.Faults[i].Fault.Target.Service)
	}
	if len(names) == 0 {
		for _, w := range r.Windows {
			for _, e := range w.Edges {
				add(e.Callee)
			}
		}
	}
	return names
}

func handled(w *result.Window, service string) int64 {
	for _, s := range w.Services {
		if s.Service == service {
			return s.Requests
		}
	}
	return 0
}

// met counts what callers of a service met.
func met(w *result.Window, service string, class outcome.Class) (n int64) {
	for _, e := range w.Edges {
		if e.Callee == service {
			n += e.Outcomes[class]
		}
	}
	return n
}
