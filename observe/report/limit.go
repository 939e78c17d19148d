package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/search"
)

// Height prints how high a load is, as people write it.
func Height(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// Limit prints the highest load that a system bears: the bracket, what fills up
// first, and all loads that were tried.
func Limit(w io.Writer, l *search.Limit, style Style) error {
	p := limitPrinter{l, style, strings.Builder{}}
	p.title()
	p.answer()
	p.resources()
	p.trigger()
	p.points("Loads that were tried", l.Points)
	if l.Trigger != nil {
		p.points("Loads that were tried with the trigger", l.Trigger.Points)
	}
	if _, err := io.WriteString(w, p.text.String()); err != nil {
		return fmt.Errorf("printing the limit: %w", err)
	}
	return nil
}

type limitPrinter struct {
	*search.Limit
	style Style
	text  strings.Builder
}

func (p *limitPrinter) line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

func (p *limitPrinter) section(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.line("\n%s", p.style.paint(bold, title))
	for _, l := range lines {
		p.line("%s", l)
	}
}

func (p *limitPrinter) title() {
	name := p.style.paint(bold, p.Name)
	if p.Variant != "" {
		name += " " + p.Variant
	}
	p.line("%s on %s, %s of load after %s of warm-up, seeds from %d", name, p.Target, seconds(p.Duration), seconds(p.WarmUp), p.Seed)
	if p.Incomplete {
		p.line("%s: %s", p.style.paint(notice, "INCOMPLETE"), strings.ReplaceAll(p.Why, "\n", "\n            "))
	}
	p.line("")
	for _, r := range p.Requirements {
		p.line("requires  %s", checkText(r))
	}
}

// rate is a load with its unit.
func (p *limitPrinter) rate(load float64) string {
	if p.Unit == "users" {
		return Height(load) + " users"
	}
	return Height(load) + "/s"
}

func (p *limitPrinter) answer() {
	p.line("holds     %s", p.end(p.Holds, good, "not shown at any load: %s is the lowest that was tried", lowest(&p.Answer)))
	p.line("breaks    %s", p.end(p.Breaks, bad, "not shown at any load: %s is the highest that may be tried (--max)", p.Most))
	if p.Holds != nil && p.Breaks == nil && !p.Incomplete {
		p.line("          so the limit was not found")
	}
	p.line("          (%s confidence, for all verdicts below together)", percentOf(p.Confidence))
	if p.Again != nil {
		p.line("%s: it holds again at %s, so more load does not always make it worse, as the search supposes", p.style.paint(notice, "note"), p.rate(*p.Again))
	}
	if p.Growing {
		p.line("%s: at %s requests still pile up in these runs, so longer ones may break; --duration lengthens them", p.style.paint(notice, "note"), p.rate(*p.Holds))
	}
	p.unclear(&p.Answer)
	p.few()
}

// end is one end of a bracket, or why it is missing.
func (p *limitPrinter) end(load *float64, t tone, missing string, bound float64) string {
	switch {
	case load == nil && p.Incomplete:
		return "not known yet"
	case load == nil:
		return fmt.Sprintf(missing, p.rate(bound))
	}
	return p.style.paint(t, p.rate(*load))
}

// lowest is the lowest load that was tried. It may be above the bound of the search:
// loads are tried with fewer digits than that may have.
func lowest(a *search.Answer) float64 {
	if len(a.Points) > 0 {
		return a.Points[0].Load
	}
	return a.Least
}

// unclear says what would tell more where no load was shown to hold because the runs
// do not tell.
func (p *limitPrinter) unclear(a *search.Answer) {
	is := func(at search.Point) bool { return at.Verdict == search.Unclear }
	if a.Holds == nil && !p.Incomplete && slices.ContainsFunc(a.Points, is) {
		p.line("%s: so few requests do not tell whether it holds: more --seeds, or a longer --duration, would", p.style.paint(notice, "note"))
	}
}

// few warns of quantiles of so few requests that they are about the slowest one.
func (p *limitPrinter) few() {
	for _, r := range p.Requirements {
		c, err := experiment.ParseCheck(r.Expr)
		if err != nil || r.Service != "" {
			continue
		}
		beyond := map[experiment.Metric]float64{experiment.P90: 0.1, experiment.P95: 0.05, experiment.P99: 0.01, experiment.P999: 0.001}[c.Metric]
		for i := range p.Points {
			at := &p.Points[i]
			if beyond > 0 && p.Holds != nil && at.Load == *p.Holds && at.Requests*beyond < 10 {
				p.line("%s: a run at %s has %.0f requests, so its %s is one of the slowest few: %s would be long enough",
					p.style.paint(notice, "note"), p.rate(at.Load), at.Requests, c.Metric, fmt.Sprintf("--duration %.0fs", math.Ceil(p.Duration*10/(at.Requests*beyond))))
			}
		}
	}
}

func (p *limitPrinter) resources() {
	const most = 8
	switch {
	case p.Breaks == nil:
	case p.First != nil:
		p.line("\nfirst to fill up: %s", p.style.paint(bold, p.First.Name()))
	default:
		p.line("\nNothing of what is measured is full where it breaks: workers, CPU and memory limits, queues, policies")
	}
	g := grid{left: 1}
	head := []string{"FILLED"}
	if p.Holds != nil {
		head = append(head, "AT "+p.rate(*p.Holds))
	}
	if p.Breaks != nil {
		head = append(head, "AT "+p.rate(*p.Breaks))
	}
	g.head(head...)
	for i := range p.Resources {
		r := &p.Resources[i]
		if i == most {
			break
		}
		row := []cell{{r.Name(), plain}}
		if p.Holds != nil {
			row = append(row, shareCell(r.AtHolds))
		}
		if p.Breaks != nil {
			row = append(row, shareCell(r.AtBreaks))
		}
		g.add(row...)
	}
	if len(p.Resources) > 0 && len(head) > 1 {
		p.line("")
		for _, l := range g.lines(p.style) {
			p.line("%s", l)
		}
	}
}

func shareCell(v *float64) cell {
	if v == nil {
		return cell{unknown, dim}
	}
	return cell{percentOf(*v), plain}
}

// percentOf prints a share with three digits.
func percentOf(v float64) string {
	return strconv.FormatFloat(roundDigits(100*v, 3), 'f', -1, 64) + "%"
}

func roundDigits(v float64, digits int) float64 {
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64) // its own output
	return rounded
}

func (p *limitPrinter) trigger() {
	t := p.Trigger
	if t == nil {
		return
	}
	var names []string
	for i := range t.Faults {
		f := &t.Faults[i]
		name := f.Label()
		if f.Duration > 0 {
			name += " for " + f.Duration.String()
		}
		names = append(names, name)
	}
	p.line("\n%s, with %s to recover", p.style.paint(bold, "After "+strings.Join(names, ", ")), seconds(t.Recovery))
	p.line("comes back  %s", p.end(t.Holds, good, "not shown at any load: %s is the lowest that was tried", lowest(&t.Answer)))
	none := "not shown at any load: %s is the highest that was tried"
	if t.Holds != nil && *t.Holds == t.Most {
		none = "not at any load that it bears, up to %s"
	}
	p.line("stays down  %s", p.end(t.Breaks, bad, none, t.Most))
	p.unclear(&t.Answer)
	if t.Growing {
		p.line("%s: at %s requests still pile up when it is judged", p.style.paint(notice, "note"), p.rate(*t.Holds))
	}
}

func (p *limitPrinter) points(title string, points []search.Point) {
	if len(points) == 0 {
		return
	}
	g := grid{left: 2}
	head := []string{"LOAD", "VERDICT", "RUNS"}
	for _, r := range p.Requirements {
		head = append(head, strings.ToUpper(figureName(r)))
	}
	if !judgesErrors(p.Requirements) {
		head = append(head, "ERRORS")
	}
	g.head(append(head, "GOOD/S")...)
	for i := range points {
		at := &points[i]
		tones := map[search.Verdict]tone{search.Holds: good, search.Breaks: bad, search.Unclear: notice}
		row := []cell{{p.rate(at.Load), bold}, {string(at.Verdict), tones[at.Verdict]}, {fmt.Sprint(at.Runs), plain}}
		for _, f := range at.Figures {
			row = append(row, figureCell(f))
		}
		if !judgesErrors(p.Requirements) {
			row = append(row, cell{percentOf(at.Errors), plain})
		}
		g.add(append(row, cell{rate(at.Goodput), plain})...)
	}
	p.section(title, g.lines(p.style))
}

// judgesErrors reports whether the errors that clients see have a column of their
// own.
func judgesErrors(requirements []experiment.Check) bool {
	for _, r := range requirements {
		if figureName(r) == string(experiment.Errors) {
			return true
		}
	}
	return false
}

// figureName is the figure of a check, with its subject.
func figureName(c experiment.Check) string {
	condition, err := experiment.ParseCheck(c.Expr)
	if err != nil {
		return c.Expr
	}
	if c.Service != "" {
		return string(condition.Metric) + " " + c.Subject()
	}
	return string(condition.Metric)
}

func figureCell(f search.Figure) cell {
	c, err := experiment.ParseCheck(f.Expr)
	if err != nil || f.Mean == nil {
		return cell{unknown, dim}
	}
	text := c.Format(*f.Mean)
	switch {
	case f.Low != nil && f.High != nil:
		text = c.Format(*f.Low) + ".." + c.Format(*f.High)
	case f.Low != nil:
		text = "over " + c.Format(*f.Low)
	}
	tones := map[search.Verdict]tone{search.Breaks: bad, search.Unclear: notice}
	return cell{text, tones[f.Verdict]}
}
