package page

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A story is what the experiment is about and how it ended, before any figure.
type story struct {
	// Heading and Doc are the experiment's title and text.
	Heading  string         `json:"heading"`
	Doc      string         `json:"doc"`
	Variants []variantStory `json:"variants"`
	Verdict  verdict        `json:"verdict"`
	// Ranking is absent if nothing is ranked.
	Ranking *ranking `json:"ranking"`
	// Against names the variant that the others are compared with, in
	// Differences; Seeds is the number of seeds.
	Against     string           `json:"against"`
	Differences []differenceText `json:"differences"`
	Seeds       int              `json:"seeds"`
}

type variantStory struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

// A verdict is that of all runs of the page.
type verdict struct {
	// State is pass, fail, incomplete or none.
	State string `json:"state"`
	Text  string `json:"text"`
}

type ranking struct {
	By string `json:"by"`
	// Curve is the curve of the clients that shows what is ranked; see curveOf.
	Curve string      `json:"curve"`
	Rows  []rankedRow `json:"rows"`
}

type rankedRow struct {
	Place   int    `json:"place"`
	Variant string `json:"variant"`
	// Value, its interval and P99 are written as people do; "" is not known.
	Value    string `json:"value"`
	Interval string `json:"interval"`
	P99      string `json:"p99"`
}

type differenceText struct {
	Variant string `json:"variant"`
	Figure  string `json:"figure"`
	Text    string `json:"text"`
	Seen    bool   `json:"seen"`
}

func newStory(p *Page) story {
	s := story{Heading: p.Title, Variants: []variantStory{}, Differences: []differenceText{}, Verdict: verdictOf(p.Runs)}
	if e := p.Experiment; e != nil {
		s.Heading, s.Doc = cmp.Or(e.Title, p.Title), e.Doc
		names, _ := variants(p.Runs)
		for i := range e.Variants {
			if v := &e.Variants[i]; slices.Contains(names, v.Name) {
				s.Variants = append(s.Variants, variantStory{v.Name, v.Doc})
			}
		}
	}
	c := p.Comparison
	if c == nil {
		return s
	}
	s.Seeds = len(c.Seeds)
	for i := range c.Differences {
		d := &c.Differences[i]
		s.Against = d.Against
		if d.Low != 0 || d.High != 0 {
			s.Differences = append(s.Differences, differenceText{d.Variant, d.Figure(), d.Text, d.Seen})
		}
	}
	if len(c.Ranking) > 1 {
		s.Ranking = newRanking(c)
	}
	return s
}

func newRanking(c *result.Comparison) *ranking {
	r := &ranking{By: c.RankBy.Text(), Curve: curveOf(c.RankBy)}
	for i := range c.Ranking {
		ranked := &c.Ranking[i]
		row := rankedRow{Place: ranked.Place, Variant: ranked.Variant}
		if f := ranked.Value; f != nil {
			row.Value = c.RankBy.Format(f.Mean)
			if f.Low != nil && f.High != nil {
				row.Interval = fmt.Sprintf("%s to %s", c.RankBy.Format(*f.Low), c.RankBy.Format(*f.High))
			}
		}
		if ranked.P99 != nil {
			row.P99 = experiment.FormatSeconds(ranked.P99.Mean)
		}
		r.Rows = append(r.Rows, row)
	}
	return r
}

// curveOf is the key of the curve by which variants are compared first. It is
// empty if no curve of the clients shows the figure.
func curveOf(r experiment.Rank) string {
	switch {
	case r.Service != "":
		return ""
	case r.Metric == experiment.Goodput:
		return "good"
	case r.Metric == experiment.P50, r.Metric == experiment.Mean, r.Metric == experiment.Min:
		return "p50"
	case r.Metric.IsLatency():
		return "p99"
	case r.Metric == experiment.Errors, r.Metric == experiment.Availability:
		return "errors"
	case r.Metric == experiment.Degraded:
		return "degraded"
	}
	return ""
}

// verdictOf is the verdict of all runs, never of one: it passes only if each run
// was whole and each check held.
func verdictOf(runs []Run) verdict {
	var checks, failed, failedRuns, incomplete, aborted int
	for i := range runs {
		r := runs[i].Result
		checks += len(r.Checks)
		missed := 0
		for j := range r.Checks {
			if !r.Checks[j].Pass {
				missed++
			}
		}
		failed += missed
		switch {
		case r.Aborted != nil:
			aborted++
		case r.Incomplete:
			incomplete++
		case missed > 0:
			failedRuns++
		}
	}
	of := func(n int, one string) string {
		if len(runs) == 1 {
			return ""
		}
		return fmt.Sprintf(" %s %d of %d runs", one, n, len(runs))
	}
	switch {
	case incomplete > 0:
		return verdict{"incomplete", "INCOMPLETE: stopped early" + of(incomplete, "in")}
	case aborted > 0:
		return verdict{"fail", "ABORTED by its own condition" + of(aborted, "in")}
	case failed > 0:
		return verdict{"fail", fmt.Sprintf("FAILED: %d of %s", failed, unit.Count(checks, "check")) + of(failedRuns, "in")}
	case checks == 0:
		return verdict{"none", "no checks: nothing was judged"}
	case len(runs) == 1:
		return verdict{"pass", "PASSED: " + unit.Count(checks, "check")}
	}
	return verdict{"pass", fmt.Sprintf("PASSED: %s in %d runs", unit.Count(checks, "check"), len(runs))}
}

// maxWindowServices is how many services the table of windows has: those that
// most was asked of.
const maxWindowServices = 6

// A windowTable has what was counted in the run's equal stretches.
type windowTable struct {
	Classes  []outcome.Class `json:"classes"`
	Services []string        `json:"services"`
	Rows     []windowRow     `json:"rows"`
}

type windowRow struct {
	From     num     `json:"from"`
	To       num     `json:"to"`
	Requests int64   `json:"requests"`
	Degraded int64   `json:"degraded"`
	Classes  []int64 `json:"classes"`
	// Services are the requests that each service dealt with.
	Services []int64 `json:"services"`
}

// newWindowTable lays out the windows of a run; nil if there are none.
func newWindowTable(r *result.Result) *windowTable {
	if len(r.Windows) == 0 {
		return nil
	}
	t := &windowTable{Classes: []outcome.Class{}, Services: []string{}}
	total := map[string]int64{}
	for i := range r.Windows {
		for _, s := range r.Windows[i].Services {
			if _, known := total[s.Service]; !known {
				t.Services = append(t.Services, s.Service)
			}
			total[s.Service] += s.Requests
		}
	}
	slices.SortStableFunc(t.Services, func(a, b string) int { return cmp.Compare(total[b], total[a]) })
	t.Services = t.Services[:min(len(t.Services), maxWindowServices)]
	for _, class := range outcome.Classes() {
		if slices.ContainsFunc(r.Windows, func(w result.Window) bool { return w.Clients.Outcomes[class] > 0 }) {
			t.Classes = append(t.Classes, class)
		}
	}
	for i := range r.Windows {
		t.Rows = append(t.Rows, t.row(&r.Windows[i]))
	}
	return t
}

func (t *windowTable) row(w *result.Window) windowRow {
	row := windowRow{From: num(w.From), To: num(w.To), Requests: w.Clients.Requests, Degraded: w.Clients.Degraded, Classes: []int64{}, Services: []int64{}}
	for _, class := range t.Classes {
		row.Classes = append(row.Classes, w.Clients.Outcomes[class])
	}
	for _, name := range t.Services {
		at := slices.IndexFunc(w.Services, func(s result.WindowService) bool { return s.Service == name })
		n := int64(0)
		if at >= 0 {
			n = w.Services[at].Requests
		}
		row.Services = append(row.Services, n)
	}
	return row
}

// A tailDocument says how long the system was busy after the load.
type tailDocument struct {
	Length num  `json:"length"`
	Idle   bool `json:"idle"`
}
