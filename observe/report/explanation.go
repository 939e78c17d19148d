package report

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// explanation tells why requests went wrong, where that was recorded.
func (s *summary) explanation() {
	if x := s.result.Explanation; x != nil {
		s.section("Why", explanationLines(x, s.style))
	}
}

func explanationLines(x *result.Explanation, style Style) (lines []string) {
	if !x.Trouble {
		for _, l := range x.Lines {
			lines = append(lines, l.Text)
		}
		return lines
	}
	for i, l := range x.Lines {
		at := fmt.Sprintf("%7s  ", seconds(l.At))
		if i > 0 && seconds(x.Lines[i-1].At) == seconds(l.At) {
			at = strings.Repeat(" ", len(at))
		}
		for i, line := range wrap(l.Text, style.width()-len(at)) {
			if i > 0 {
				at = strings.Repeat(" ", len(at))
			}
			lines = append(lines, style.paint(dim, at)+line)
		}
	}
	return lines
}

// explanations are those of the first run of each variant.
func (p *comparison) explanations() {
	seen := map[string]bool{}
	for _, r := range p.Results {
		if r.Explanation == nil || seen[r.Variant] {
			continue
		}
		seen[r.Variant] = true
		p.section("Why, "+nameOf(r.Variant), explanationLines(r.Explanation, p.style))
	}
}
