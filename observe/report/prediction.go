package report

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// prediction shows what virtual time said of a real run, beside what was seen.
func (s *summary) prediction() {
	p := s.result.Prediction
	if p == nil {
		return
	}
	g := grid{left: 1}
	g.head("CLIENTS", "REAL", "PREDICTED", "ERROR")
	for i := range p.Figures {
		f := &p.Figures[i]
		g.add(cell{f.Name, plain}, cell{f.Format(f.Real), plain}, cell{f.Format(f.Predicted), plain}, cell{f.ErrorText(), plain})
	}
	lines := append(g.lines(s.style), s.style.paint(dim, alike(p)))
	s.section("Predicted in virtual time, "+p.Costs.Text(), lines)
}

// alike says how many requests had the answer that was predicted.
func alike(p *result.Prediction) string {
	return fmt.Sprintf("%s of %s were answered as predicted", count(int64(p.Alike)), unit.Count(p.Both, "request"))
}

// predictions show the same of the variants of a comparison, by the means of their
// runs.
func (p *comparison) predictions() {
	g := grid{left: 2}
	g.head("VARIANT", "CLIENTS", "REAL", "PREDICTED", "ERROR", "ANSWERED ALIKE")
	var costs *result.Costs
	for _, v := range p.Variants {
		mean := result.MeanPrediction(p.Results, v.Name)
		if mean == nil {
			continue
		}
		costs = mean.Costs
		name, same := nameOf(v.Name), fmt.Sprintf("%s of %s", count(int64(mean.Alike)), count(int64(mean.Both)))
		for i := range mean.Figures {
			f := &mean.Figures[i]
			g.add(cell{name, bold}, cell{f.Name, plain}, cell{f.Format(f.Real), plain}, cell{f.Format(f.Predicted), plain}, cell{f.ErrorText(), plain}, cell{same, dim})
			name, same = "", ""
		}
	}
	if costs != nil {
		p.section("Predicted in virtual time, "+costs.Text(), g.lines(p.style))
	}
}
