package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Faults prints which small faults break a system, and which do not.
func Faults(w io.Writer, s *search.FaultSearch, style Style) error {
	p := faultsPrinter{s, style, strings.Builder{}}
	p.title()
	p.findings()
	p.strongest()
	if _, err := io.WriteString(w, p.text.String()); err != nil {
		return fmt.Errorf("printing the findings: %w", err)
	}
	return nil
}

type faultsPrinter struct {
	*search.FaultSearch
	style Style
	text  strings.Builder
}

func (p *faultsPrinter) line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

func (p *faultsPrinter) title() {
	name := p.style.paint(bold, p.Name)
	if p.Variant != "" {
		name += " " + p.Variant
	}
	p.line("%s on %s, load %s, %d of %d runs of the budget, seeds from %d", name, p.Target, Height(p.Load), p.Runs, p.Budget, p.Seed)
	if p.Incomplete {
		p.line("%s: %s", p.style.paint(notice, "INCOMPLETE"), strings.ReplaceAll(p.Why, "\n", "\n            "))
	}
	for _, r := range p.Requirements {
		p.line("requires  %s", checkText(r))
	}
	tried := fmt.Sprintf("tried     %d candidates, %s", p.Candidates, unit.Count(p.PairsTried, "pair"))
	if p.Tried < p.Candidates {
		tried = fmt.Sprintf("tried     %d of %d candidates, %s: a larger --budget tries all", p.Tried, p.Candidates, unit.Count(p.PairsTried, "pair"))
	} else if p.Spent {
		tried += "; the budget was spent before all was tried"
	}
	p.line("%s", tried)
}

func (p *faultsPrinter) findings() {
	if len(p.Findings) == 0 {
		p.line("\nNothing that was tried was found to break it, and confirmed")
		return
	}
	p.line("\n%s", p.style.paint(bold, "What breaks it, the weakest first"))
	for i := range p.Findings {
		f := &p.Findings[i]
		p.line("%d. %s", i+1, p.style.paint(bold, strings.Join(f.Words, " + ")))
		var levels []string
		for j := range f.Levels {
			levels = append(levels, fmt.Sprintf("%d of %d", f.Levels[j], f.Of[j]))
		}
		note := "strength " + strings.Join(levels, " and ")
		switch {
		case len(f.Words) > 1:
			note += ", of which neither was seen to break it alone"
		case f.Levels[0] > 1:
			note += ", the weakest that was seen to"
		}
		p.line("   %s; broken in %d of %d fresh runs (%s to %s)", note, f.Broke, f.Runs, percentOf(f.Low), percentOf(f.High))
		var figures []string
		for _, v := range f.Figures {
			figures = append(figures, figureName(v.Check)+" "+figureCell(v).text)
		}
		p.line("   %s", strings.Join(figures, ", "))
		if f.File != "" {
			p.line("   kubectl microsim run -f %s --on local", f.File)
		}
	}
}

func (p *faultsPrinter) strongest() {
	const most = 10
	if len(p.Strong) == 0 {
		return
	}
	p.line("\n%s", p.style.paint(bold, "Candidates at their strongest, by the worst figure as a multiple of its bound"))
	g := grid{left: 1}
	for i, c := range p.Strong {
		if i == most {
			break
		}
		t := good
		if c.Score >= 1 {
			t = bad
		}
		g.add(cell{c.Fault, plain}, cell{strconv.FormatFloat(roundDigits(c.Score, 3), 'f', -1, 64), t}, cell{unit.Count(c.Runs, "run"), dim})
	}
	for _, l := range g.lines(p.style) {
		p.line("%s", strings.TrimRight(l, " "))
	}
	if n := len(p.Strong) - most; n > 0 {
		p.line("and %d others", n)
	}
}
