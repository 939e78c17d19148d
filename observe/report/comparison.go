package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// Comparison prints how the variants of an experiment did: a line for each with
// intervals where there are several seeds, the counts per window of the first
// run of each, the checks that did not hold everywhere, and the ranking.
func Comparison(w io.Writer, c *result.Comparison, style Style) error {
	p := comparison{c, style, strings.Builder{}}
	p.title()
	p.figures()
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
	text += fmt.Sprintf(", %s, %s", plural(len(p.Variants), "variant"), plural(len(p.Seeds), "seed"))
	p.text.WriteString(clip(text, p.style.width()) + "\n")
	if p.Incomplete {
		p.text.WriteString(p.style.paint(notice, "INCOMPLETE") + ": " + strings.ReplaceAll(p.Why, "\n", "\n            ") + "\n")
	}
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
	head := []string{"VARIANT", "RUNS", "REQUESTS", "GOOD/S", "ERRORS", "P50", "P99"}
	if tails {
		head = append(head, "TAIL")
	}
	g.head(append(head, "CHECKS")...)
	for i := range p.Variants {
		v := &p.Variants[i]
		runs := cell{fmt.Sprint(v.Finished), plain}
		if v.Finished < v.Planned {
			runs = cell{fmt.Sprintf("%d of %d", v.Finished, v.Planned), notice}
		}
		row := []cell{
			{nameOf(v.Name), bold}, runs, mean(v.Requests, func(x float64) string { return count(int64(x + 0.5)) }), figure(v.Goodput, rate),
			errorsOf(v), mean(v.P50, experiment.FormatSeconds), figure(v.P99, experiment.FormatSeconds),
		}
		if tails {
			row = append(row, mean(v.Tail, experiment.FormatSeconds))
		}
		g.add(append(row, verdict(v))...)
	}
	p.section("", g.lines(p.style))
}

// figure prints a mean and, with several seeds, half the width of its interval.
func figure(f *result.Figure, format func(float64) string) cell {
	if f == nil {
		return cell{unknown, dim}
	}
	text := format(f.Mean)
	if f.High != nil {
		text += "±" + format(*f.High-f.Mean)
	}
	return cell{text, plain}
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
	const whole = 1e6
	errors := int64(sum*whole + 0.5)
	return cell{share(errors, whole), errorTone(errors)}
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

func (p *comparison) checks() {
	g := grid{left: 4}
	for i := range p.Variants {
		v := &p.Variants[i]
		for _, c := range v.Checks {
			if c.Held < c.Runs {
				g.add(cell{nameOf(v.Name), bold}, cell{fmt.Sprintf("held in %d of %d", c.Held, c.Runs), bad}, cell{checkText(c.Check), plain}, cell{c.Why, dim})
			}
		}
	}
	p.section("Checks that did not hold", g.lines(p.style))
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
	title := "Ranking by " + string(p.RankBy.Metric)
	if check := (experiment.Check{Service: p.RankBy.Service, From: p.RankBy.From}); check.Service != "" {
		title += " of " + check.Subject()
	}
	if p.RankBy.Phase != "" {
		title += " in " + p.RankBy.Phase
	}
	g := grid{left: 2}
	for _, r := range p.Ranking {
		g.add(cell{fmt.Sprintf("%d.", r.Place), dim}, cell{nameOf(r.Variant), bold}, figure(r.Value, p.RankBy.Format))
	}
	p.section(title, g.lines(p.style))
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
