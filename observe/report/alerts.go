package report

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// alertLines bounds the firings that are printed; result.json has all.
const alertLines = 20

// alerts lists what a Prometheus saw fire, with the fault that came first.
func (s *summary) alerts() {
	seen := s.result.Alerts
	if seen == nil {
		return
	}
	g := grid{left: 3}
	for i := range seen.Fired[:min(len(seen.Fired), alertLines)] {
		f := &seen.Fired[i]
		when := cell{fmt.Sprintf("%s to %s", seconds(f.From), seconds(f.Last)), plain}
		if f.ResolvedAt.IsZero() {
			when = cell{seconds(f.From) + " on", notice}
		}
		g.add(cell{f.Alert, plain}, cell{f.Labels["service"], plain}, when, cell{s.detected(f), dim})
	}
	lines := g.lines(s.style)
	switch left := len(seen.Fired) - alertLines; {
	case left > 0:
		lines = append(lines, s.style.paint(dim, fmt.Sprintf("and %s more", unit.Count(left, "firing"))))
	case len(seen.Fired) == 0 && seen.Trouble == "":
		lines = append(lines, s.style.paint(dim, fmt.Sprintf("none of %s fired", unit.Count(len(seen.Names), "alert"))))
	}
	if seen.Trouble != "" {
		lines = append(lines, s.style.paint(bad, "not known: "+seen.Trouble))
	}
	s.section("Alerts", lines)
}

// detected says how long after a fault an alert fired, if it is the first of its name to
// fire while the fault acted.
func (s *summary) detected(firing *result.AlertFiring) string {
	if f, after, ok := s.result.Detected(firing); ok {
		return fmt.Sprintf("%s after %s", experiment.FormatSeconds(after), f.Label)
	}
	return ""
}
