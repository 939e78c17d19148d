package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Sweep prints how figures change with settings, a line for each point, and the
// knees of the curves.
func Sweep(w io.Writer, s *search.Sweep, style Style) error {
	var b strings.Builder
	name := style.paint(bold, s.Name)
	if s.Variant != "" {
		name += " " + s.Variant
	}
	of := ""
	if s.Phase != "" {
		of = " in " + s.Phase
	}
	fmt.Fprintf(&b, "%s on %s, %s, %s%s\n", name, s.Target, unit.Count(len(s.Points), "point"), unit.Count(len(s.Seeds), "seed"), of)
	if s.Incomplete {
		fmt.Fprintf(&b, "%s: %s\n", style.paint(notice, "INCOMPLETE"), strings.ReplaceAll(s.Why, "\n", "\n            "))
	}
	b.WriteString("\n")
	for _, l := range sweepPoints(s).lines(style) {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	b.WriteString("\n")
	for i := range s.Knees {
		b.WriteString(KneeText(s, i) + "\n")
	}
	if _, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n"); err != nil {
		return fmt.Errorf("printing the sweep: %w", err)
	}
	return nil
}

// sweepPoints returns the table of a sweep: a row for each point.
func sweepPoints(s *search.Sweep) *grid {
	g := &grid{left: len(s.Vary)}
	var head []string
	for _, v := range s.Vary {
		head = append(head, strings.ToUpper(v.Path))
	}
	for f := range s.Figures {
		head = append(head, strings.ToUpper(s.FigureName(f)))
	}
	checks := false
	for _, p := range s.Points {
		checks = checks || p.Held < p.Runs
	}
	if checks {
		head = append(head, "CHECKS HELD")
	}
	knees := map[int]bool{}
	for i := range s.Knees {
		knees[s.Knees[i].Point()] = true
	}
	if len(knees) > 0 {
		head = append(head, "")
	}
	g.head(head...)
	for i := range s.Points {
		p := &s.Points[i]
		var row []cell
		for _, v := range p.Settings {
			row = append(row, cell{v, bold})
		}
		for f, value := range p.Figures {
			row = append(row, plusMinus(value, s.Figures[f].Format))
		}
		if checks {
			t := good
			if p.Held < p.Runs {
				t = bad
			}
			row = append(row, cell{fmt.Sprintf("%d of %d", p.Held, p.Runs), t})
		}
		if knees[i] {
			row = append(row, cell{"knee", notice})
		}
		g.add(row...)
	}
	return g
}

// plusMinus prints a mean and half the width of its interval, or the ends of an interval
// of which the mean is not the middle: times are compared as ratios. An interval whose
// ends look alike is none, because no figure is known that well.
func plusMinus(f *result.Figure, format func(float64) string) cell {
	if f == nil || f.High == nil || format(*f.Low) == format(*f.High) {
		return mean(f, format)
	}
	half := format(*f.High - f.Mean)
	if half != format(f.Mean-*f.Low) {
		return figure(f, format)
	}
	return cell{format(f.Mean) + "±" + half, plain}
}

// KneeText says where a knee is, and how sure that is.
func KneeText(s *search.Sweep, i int) string {
	k := &s.Knees[i]
	text := fmt.Sprintf("the knee of %s is at %s %s", k.Figure, s.Vary[0].Path, k.Value)
	var where []string
	for j, v := range k.Settings {
		where = append(where, s.Vary[j+1].Path+" "+v)
	}
	if len(where) > 0 {
		text += " with " + strings.Join(where, ", ")
	}
	switch {
	case len(s.Seeds) == 1:
	case k.Found == 0:
		text += ", though no single seed's curve has one"
	case k.Low == k.High:
		text += fmt.Sprintf(", as in %d of %d seeds", k.Found, len(s.Seeds))
	default:
		text += fmt.Sprintf("; by single seeds from %s to %s, in %d of %d", k.Low, k.High, k.Found, len(s.Seeds))
	}
	return text + " (Kneedle)"
}
