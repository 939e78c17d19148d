package report

import (
	"strings"
	"testing"
)

// TestFiguresAreWholeOrLeftOut draws a table at every width: a figure that a narrow
// screen has no room for is missing with its whole column, which the head tells.
func TestFiguresAreWholeOrLeftOut(t *testing.T) {
	g := grid{left: 2, spare: []string{"REQUESTS"}}
	g.head("SERVICE", "WHEN", "REQUESTS", "RATE/S", "P99", "UP")
	known := map[string]bool{"…": true}
	for _, row := range [][]string{{"recommendations", "before", "1 000", "100.0", "25.8ms", "100%"}, {"", "after", "40", "9.5", "1.35s", "99.5%"}, {"db", "later", "no answer"}} {
		var cells []cell
		for _, text := range row {
			cells = append(cells, cell{text, good})
		}
		g.add(cells...)
	}
	for _, row := range g.rows {
		for _, c := range row[1:] {
			for word := range strings.FieldsSeq(c.text) {
				known[word] = true
			}
		}
	}
	for _, color := range []bool{false, true} {
		for width := 30; width <= 80; width++ {
			lines := g.lines(Style{Width: width, Color: color})
			for _, line := range lines {
				if n := columns(line); n > width {
					t.Errorf("at %d columns, a line has %d: %q", width, n, line)
				}
			}
			if color {
				continue
			}
			for _, line := range lines {
				words := strings.Fields(line)
				if !strings.HasPrefix(line, " ") {
					words = words[1:] // a name, which may be clipped
				}
				for _, word := range words {
					if !known[word] {
						t.Errorf("at %d columns, %q is a part of a figure in %q", width, word, line)
					}
				}
			}
			if all, told := strings.Contains(lines[0], "REQUESTS"), strings.Contains(lines[0], " …"); all == told && width >= 30 {
				t.Errorf("at %d columns, the head is %q", width, lines[0])
			}
		}
	}
	if last := g.lines(Style{Width: 80}); len(strings.Fields(last[1])) != 7 || len(g.rows[1]) != 6 {
		t.Errorf("with room for all, a row is %q", last[1])
	}
}
