package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Comparison prints how the variants of an experiment did: a line for each with
// intervals where there are several seeds, what the processes of services in other
// runtimes took, the counts per window of the first
// run of each, the checks that did not hold everywhere, and the ranking.
func Comparison(w io.Writer, c *result.Comparison, style Style) error {
	p := comparison{c, style, strings.Builder{}}
	p.title()
	p.variants()
	p.figures()
	p.processes()
	p.predictions()
	p.explanations()
	p.differences()
	p.windows()
	p.checks()
	p.ranking()
	if _, err := io.WriteString(w, p.text.String()); err != nil {
		return fmt.Errorf("printing the comparison: %w", err)
	}
	return nil
}

type comparison struct {
	*result.Comparison
	style Style
	text  strings.Builder
}

func (p *comparison) section(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	p.text.WriteString("\n")
	if title != "" {
		p.text.WriteString(p.style.paint(bold, title) + "\n")
	}
	for _, l := range lines {
		p.text.WriteString(l + "\n")
	}
}

func (p *comparison) title() {
	text := p.style.paint(bold, p.Name)
	if p.Target != "" {
		text += " on " + p.Target
	}
	text += fmt.Sprintf(", %s, %s", unit.Count(len(p.Variants), "variant"), unit.Count(len(p.Seeds), "seed"))
	p.text.WriteString(clip(text, p.style.width()) + "\n" + lesson(p.Title, p.Doc, p.style))
	if p.Incomplete {
		p.text.WriteString(p.style.paint(notice, "INCOMPLETE") + ": " + strings.ReplaceAll(p.Why, "\n", "\n            ") + "\n")
	}
}

// variants prints what the file says about each.
func (p *comparison) variants() {
	var lines []string
	for i := range p.Variants {
		v := &p.Variants[i]
		for j, line := range wrap(v.Doc, p.style.width()-2) {
			if j == 0 {
				lines = append(lines, p.style.paint(bold, nameOf(v.Name)))
			}
			lines = append(lines, "  "+line)
		}
	}
	p.section("", lines)
}

// nameOf is a variant's name; an experiment without variants is one.
func nameOf(variant string) string {
	if variant == "" {
		return "(as it is)"
	}
	return variant
}

func (p *comparison) figures() {
	g := grid{left: 1}
	tails := slices.ContainsFunc(p.Variants, func(v result.VariantSummary) bool { return v.Tail != nil })
	degraded := slices.ContainsFunc(p.Variants, func(v result.VariantSummary) bool { return v.Degraded != nil && v.Degraded.Mean > 0 })
	offered := slices.ContainsFunc(p.Variants, func(v result.VariantSummary) bool {
		return v.Offered != nil && v.Rate != nil && differs(v.Offered.Mean, v.Rate.Mean)
	})
	runs := slices.ContainsFunc(p.Variants, func(v result.VariantSummary) bool { return v.Finished < v.Planned })
	head := []string{"VARIANT"}
	if runs {
		head = append(head, "RUNS")
	}
	// The offered rate says as much as the number of requests.
	if offered {
		head = append(head, "OFFERED/S")
	} else {
		head = append(head, "REQUESTS")
	}
	head = append(head, "GOOD/S", "ERRORS")
	if degraded {
		head = append(head, "DEGRADED")
	}
	head = append(head, "P50", "P99")
	if tails {
		head = append(head, "TAIL")
	}
	g.head(append(head, "CHECKS")...)
	for i := range p.Variants {
		v := &p.Variants[i]
		row := []cell{{nameOf(v.Name), bold}}
		if runs {
			row = append(row, runsOf(v))
		}
		if offered {
			row = append(row, mean(v.Offered, rate))
		} else {
			row = append(row, mean(v.Requests, func(x float64) string { return count(int64(x + 0.5)) }))
		}
		good := len(row)
		row = append(row, mean(v.Goodput, rate), errorsOf(v))
		if degraded {
			row = append(row, degradedOf(v))
		}
		row = append(row, mean(v.P50, experiment.FormatSeconds), mean(v.P99, experiment.FormatSeconds))
		below := make([]cell, len(row))
		below[good] = cell{interval(v.Goodput, rate), dim}
		below[len(below)-1] = cell{interval(v.P99, experiment.FormatSeconds), dim}
		if tails {
			row = append(row, mean(v.Tail, experiment.FormatSeconds))
		}
		g.add(append(row, verdict(v))...)
		if slices.ContainsFunc(below, func(c cell) bool { return c.text != "" }) {
			g.add(below...)
		}
	}
	p.section("", g.lines(p.style))
}

func runsOf(v *result.VariantSummary) cell {
	if v.Finished < v.Planned {
		return cell{fmt.Sprintf("%d of %d", v.Finished, v.Planned), notice}
	}
	return cell{fmt.Sprint(v.Finished), plain}
}

// interval prints the interval of a figure, if several seeds gave one.
func interval(f *result.Figure, format func(float64) string) string {
	if f == nil || f.High == nil {
		return ""
	}
	switch low, high := format(*f.Low), format(*f.High); {
	case *f.High > result.Vague**f.Low && *f.Low > 0:
		return "too few seeds"
	case low != high:
		return low + "-" + high
	}
	return ""
}

// figure prints a mean and, with several seeds, its interval.
func figure(f *result.Figure, format func(float64) string) cell {
	c := mean(f, format)
	if text := interval(f, format); text != "" {
		c.text += " (" + text + ")"
	}
	return c
}

// mean prints a figure without its interval, where room is short.
func mean(f *result.Figure, format func(float64) string) cell {
	if f == nil {
		return cell{unknown, dim}
	}
	return cell{format(f.Mean), plain}
}

// errorsOf is the share of requests that went wrong.
func errorsOf(v *result.VariantSummary) cell {
	if v.Requests == nil {
		return cell{unknown, dim}
	}
	sum := 0.0
	for class, f := range v.Outcomes {
		if class != outcome.OK && class != outcome.Cancelled {
			sum += f.Mean
		}
	}
	return shareOf(sum)
}

// degradedOf is the share of requests that ended well, but with parts that are not
// what they should be.
func degradedOf(v *result.VariantSummary) cell {
	if v.Degraded == nil {
		return cell{unknown, dim}
	}
	return shareOf(v.Degraded.Mean)
}

func shareOf(of float64) cell {
	const whole = 1e6
	n := int64(of*whole + 0.5)
	return cell{share(n, whole), errorTone(n)}
}

func verdict(v *result.VariantSummary) cell {
	switch held, all := heldIn(v); {
	case v.Aborted > 0:
		return cell{"aborted", bad}
	case all == 0:
		return cell{unknown, dim}
	case held < all:
		return cell{fmt.Sprintf("%d of %d", held, all), bad}
	default:
		return cell{fmt.Sprintf("%d held", held), good}
	}
}

func heldIn(v *result.VariantSummary) (held, all int) {
	for _, c := range v.Checks {
		if c.Held == c.Runs {
			held++
		}
	}
	return held, len(v.Checks)
}

// differences says how the variants differ from the first, in what can be told
// from chance and what not.
func (p *comparison) differences() {
	if len(p.Differences) == 0 {
		if len(p.Variants) > 1 && len(p.Seeds) == 1 {
			p.section("", []string{p.style.paint(dim, "One seed does not show what is chance: differences are told with --seeds 3 or more.")})
		}
		return
	}
	g := grid{left: 3}
	last := ""
	for _, v := range p.Variants {
		for i := range p.Differences {
			d := &p.Differences[i]
			if d.Variant != v.Name || d.Low == 0 && d.High == 0 {
				continue
			}
			name := ""
			if d.Variant != last {
				name, last = nameOf(d.Variant), d.Variant
			}
			t := plain
			if !d.Seen {
				t = dim
			}
			g.add(cell{name, bold}, cell{d.Figure(), plain}, cell{d.Text, t})
		}
	}
	p.section(fmt.Sprintf("Against %s, seed by seed (%.0f %% intervals)", nameOf(p.Differences[0].Against), 100*p.Confidence), g.lines(p.style))
}

// checks lists every check of every variant: whether it held, and what was found.
func (p *comparison) checks() {
	g := grid{left: 4}
	var all []string
	for i := range p.Variants {
		v := &p.Variants[i]
		for _, c := range v.Checks {
			word, found := cell{"PASS", good}, c.Why
			if c.Held < c.Runs {
				word = cell{"FAIL", bad}
			} else if condition, err := experiment.ParseCheck(c.Expr); err == nil && c.Mean != nil {
				found = condition.Format(c.Mean.Mean)
			}
			held := cell{}
			if c.Runs > 1 {
				held = cell{fmt.Sprintf("held in %d of %d", c.Held, c.Runs), word.tone}
			}
			g.add(word, cell{nameOf(v.Name), bold}, cell{checkText(c.Check), plain}, held)
			all = append(all, found)
		}
	}
	p.section("Checks", p.style.beside(g.lines(p.style), all))
}

func checkText(c experiment.Check) string {
	text := c.Expr
	if c.Service != "" {
		text += " of " + c.Subject()
	}
	if c.Phase != "" {
		text += " " + c.Phase
	}
	return text
}

func (p *comparison) ranking() {
	if len(p.Ranking) < 2 {
		return
	}
	g := grid{left: 2}
	for _, r := range p.Ranking {
		row := []cell{{fmt.Sprintf("%d.", r.Place), dim}, {nameOf(r.Variant), bold}, figure(r.Value, p.RankBy.Format)}
		if p.RankBy.Metric.IsRate() && r.P99 != nil {
			row = append(row, cell{"p99 " + experiment.FormatSeconds(r.P99.Mean), dim})
		}
		g.add(row...)
	}
	p.section("Ranking by "+p.RankBy.Text(), g.lines(p.style))
}

// windows prints, for the first run of each variant that counted windows, what
// happened in each of them around the services that faults were aimed at.
func (p *comparison) windows() {
	seen := map[string]bool{}
	for _, r := range p.Results {
		if seen[r.Variant] || len(r.Windows) == 0 {
			continue
		}
		seen[r.Variant] = true
		lines := windowLines(r, p.style)
		title := nameOf(r.Variant)
		if r.Tail != nil {
			title += ", " + tailText(r.Tail)
		}
		p.section(title, lines)
	}
}

func tailText(t *result.Tail) string {
	if !t.Idle {
		return fmt.Sprintf("not idle after a tail of %.0f s", t.Length)
	}
	return fmt.Sprintf("tail %.0f s", t.Length)
}
