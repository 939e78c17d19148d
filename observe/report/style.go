// Package report shows people what a run does and what it showed: a live view
// for terminals and logs, and a summary.
package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Style says how text may look.
type Style struct {
	// Color allows colours; leave it false where NO_COLOR is set or the output is
	// no terminal.
	Color bool
	// Width is that of the output in columns. 0 means that it is not known, as of a
	// pipe: then text is laid out for 80 and nothing is cut off.
	Width int
}

func (s Style) width() int {
	if s.Width <= 0 {
		return 80
	}
	return s.Width
}

// A tone is what a text stands for; the terminal's own palette gives the colour.
type tone string

const (
	plain  tone = ""
	bold   tone = "1"
	dim    tone = "2"
	bad    tone = "31"
	good   tone = "32"
	notice tone = "33"
)

func (s Style) paint(t tone, text string) string {
	if !s.Color || t == plain || text == "" {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// A cell is a text of a grid.
type cell struct {
	text string
	tone tone
}

// A grid is a table whose first columns, as many as left says, are aligned left
// and the others right.
type grid struct {
	left int
	// least is the width below which no column on the right falls, so that a
	// table which is painted again does not tremble.
	least int
	// spare are titles of columns that go first where the screen is too narrow.
	spare []string
	rows  [][]cell
}

func (g *grid) add(cells ...cell) { g.rows = append(g.rows, cells) }

func (g *grid) head(titles ...string) {
	row := make([]cell, len(titles))
	for i, t := range titles {
		row[i] = cell{t, dim}
	}
	g.add(row...)
}

// column is the place of a title; -1 if there is none.
func (g *grid) column(title string) int {
	return slices.IndexFunc(g.rows[0], func(c cell) bool { return c.text == title })
}

// isUnknown reports whether a column has nothing but unknown figures.
func (g *grid) isUnknown(title string) bool {
	at := g.column(title)
	return at >= 0 && !slices.ContainsFunc(g.rows[1:], func(row []cell) bool { return row[at].text != unknown })
}

// fit drops a column if the grid is too wide.
func (g *grid) fit(s Style, title string) {
	at := g.column(title)
	if at < 0 || g.width() <= s.width() {
		return
	}
	for i := range g.rows {
		g.rows[i] = slices.Delete(g.rows[i], at, at+1)
	}
}

// width is how many columns of the screen the grid needs.
func (g *grid) width() int {
	width := 0
	for _, w := range g.widths() {
		width += w + 2
	}
	return width - 2
}

// widths are those of the columns.
func (g *grid) widths() (widths []int) {
	for _, row := range g.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
				if i >= g.left {
					widths[i] = g.least
				}
			}
			widths[i] = max(widths[i], unit.Columns(c.text))
		}
	}
	return widths
}

// narrowed is the grid with as many of its columns on the right as the screen has
// room for, and how many it lacks. A figure is shown whole or not at all: a part of
// one would be another figure.
func (g *grid) narrowed(s Style) (narrow *grid, lacks int) {
	if s.Width <= 0 || len(g.rows) == 0 {
		return g, 0
	}
	narrow = &grid{left: g.left, least: g.least, rows: slices.Clone(g.rows)}
	titles := len(g.rows[0])
	spare := slices.Clone(g.spare)
	for titles-lacks > g.left+1 && narrow.width()-narrow.shrinks() > s.width()-mark(lacks) {
		at := titles - lacks - 1
		if len(spare) > 0 {
			at, spare = narrow.column(spare[0]), spare[1:]
		}
		if at < g.left {
			continue
		}
		for i, row := range narrow.rows {
			// A row that ends early, such as with "no answer", keeps what it ends with.
			if len(row) == titles-lacks {
				narrow.rows[i] = slices.Delete(slices.Clone(row), at, at+1)
			}
		}
		lacks++
	}
	return narrow, lacks
}

// mark is the room for the sign that some columns are missing.
func mark(lacks int) int {
	if lacks > 0 {
		return len(" _")
	}
	return 0
}

// shrinks is by how many columns of the screen the first column may be clipped.
func (g *grid) shrinks() int {
	const least = 8
	return max(0, g.widths()[0]-least)
}

// lines lays the grid out; where it is too wide for the screen, the first column is
// clipped, then columns on the right are left out, which the head tells.
func (g *grid) lines(s Style) []string {
	g, lacks := g.narrowed(s)
	widths := g.widths()
	if over := g.width() - s.width() + mark(lacks); over > 0 && len(widths) > 0 && s.Width > 0 {
		widths[0] = min(widths[0], max(8, widths[0]-over))
	}
	lines := make([]string, len(g.rows))
	for i, row := range g.rows {
		lines[i] = g.line(s, row, widths)
		if i == 0 && lacks > 0 && columns(lines[i])+mark(lacks) <= s.width() {
			lines[i] += s.paint(dim, " …")
		}
		if s.Width > 0 {
			lines[i] = clip(lines[i], s.Width)
		}
	}
	return lines
}

// beside puts a text beside each line, in a column if that fits, or below the line
// where there is no place at all, so that none is cut off.
func (s Style) beside(lines, texts []string) []string {
	var all []string
	widest := 0
	for _, line := range lines {
		widest = max(widest, columns(line))
	}
	for i, line := range lines {
		text := s.paint(dim, texts[i])
		switch {
		case text == "":
			all = append(all, line)
		case widest+2+columns(text) <= s.width():
			all = append(all, line+strings.Repeat(" ", widest-columns(line)+2)+text)
		case columns(line)+2+columns(text) <= s.width():
			all = append(all, line+"  "+text)
		default:
			all = append(all, line, "      "+text)
		}
	}
	return all
}

func (g *grid) line(s Style, row []cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		text := unit.Cut(c.text, widths[i])
		space := strings.Repeat(" ", widths[i]-unit.Columns(text))
		if i > 0 {
			b.WriteString("  ")
		}
		switch {
		case i >= g.left:
			b.WriteString(space + s.paint(c.tone, text))
		case i == len(row)-1:
			b.WriteString(s.paint(c.tone, text))
		default:
			b.WriteString(s.paint(c.tone, text) + space)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// clip cuts a line to a number of columns, not counting colours.
func clip(line string, width int) string {
	columns, escape := 0, false
	for i, r := range line {
		switch {
		case escape:
			escape = r != 'm'
		case r == '\x1b':
			escape = true
		default:
			if columns += unit.Columns(string(r)); columns <= width {
				continue
			}
			if strings.Contains(line, "\x1b") {
				return line[:i] + "\x1b[0m"
			}
			return line[:i]
		}
	}
	return line
}

// columns counts the columns of a line, without its colours.
func columns(line string) (n int) {
	escape := false
	for _, r := range line {
		switch {
		case escape:
			escape = r != 'm'
		case r == '\x1b':
			escape = true
		default:
			n += unit.Columns(string(r))
		}
	}
	return n
}

const unknown = "-"

// rate prints a number per second with about three digits.
func rate(v float64) string {
	switch {
	case v >= 99950:
		return strconv.FormatFloat(v/1000, 'f', 0, 64) + "k"
	case v >= 9995:
		return strconv.FormatFloat(v/1000, 'f', 1, 64) + "k"
	case v >= 999.5:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

// count prints a number with its thousands apart.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

// share prints the part of a whole in percents; a little is never shown as
// nothing, nor nearly all as all.
func share(part, whole int64) string {
	switch {
	case whole <= 0:
		return unknown
	case part == 0:
		return "0%"
	case part == whole:
		return "100%"
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case p < 0.01:
		return "<0.01%"
	case p > 99.99:
		return ">99.99%"
	case p < 10 || p > 99:
		return strconv.FormatFloat(p, 'f', 2, 64) + "%"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + "%"
}

// errorTone marks errors that are there.
func errorTone(errors int64) tone {
	if errors > 0 {
		return bad
	}
	return plain
}

// seconds prints a moment of the run: 3.0s, 75.0s.
func seconds(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "s" }

// latencies are the two that tables show.
type latencies struct{ p50, p99 string }

func serviceLatencies(q *result.Quantiles) latencies {
	if q == nil {
		return latencies{unknown, unknown}
	}
	return latencies{quantile(q, experiment.P50), quantile(q, experiment.P99)}
}

// quantile prints a quantile as far as it is known: 241ms, 250-500ms, >25s.
func quantile(q *result.Quantiles, m experiment.Metric) string {
	v, between := q.Of(m)
	if between == nil {
		return experiment.FormatSeconds(v)
	}
	if between.High == nil {
		return ">" + experiment.FormatSeconds(between.Low)
	}
	low, high := experiment.FormatSeconds(between.Low), experiment.FormatSeconds(*between.High)
	// A unit that both have is written once.
	number := strings.TrimRight(low, "µnmsh")
	if low[len(number):] == strings.TrimLeft(high, "0123456789.") {
		low = number
	}
	return low + "-" + high
}

func clientLatencies(l *result.Latency) latencies {
	if l == nil {
		return latencies{unknown, unknown}
	}
	return latencies{experiment.FormatSeconds(l.P50), experiment.FormatSeconds(l.P99)}
}

// isMoment reports whether the fault is over as soon as it has acted.
func isMoment(r *result.FaultRecord) bool {
	return r.Fault.Type == fault.Kill || r.Fault.Type == fault.Restart
}

// classText counts the outcomes of a class: 1 timeout, 12 http errors.
func classText(n int64, class outcome.Class) string {
	name := strings.ReplaceAll(string(class), "_", " ")
	switch class {
	case outcome.HTTPError, outcome.StoreError, outcome.FailedHop, outcome.ConnectionError, outcome.Timeout:
		return unit.Count(int(n), name)
	default:
		return fmt.Sprintf("%d %s", n, name)
	}
}

func plural64(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// lesson prints the title and the text of an experiment, wrapped.
func lesson(title, doc string, style Style) string {
	var text strings.Builder
	for _, line := range wrap(title, style.width()) {
		text.WriteString(style.paint(bold, line) + "\n")
	}
	for _, line := range wrap(doc, style.width()) {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// maxLine is how wide text is printed that is read rather than looked up.
const maxLine = 100

// wrap breaks a text into lines. Lines that follow each other are one paragraph;
// an empty or an indented one stays as it is.
func wrap(text string, width int) (lines []string) {
	width = min(width, maxLine)
	open := false
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " ")
		if line == "" || line[0] == ' ' {
			if line != "" || len(lines) > 0 {
				lines = append(lines, line)
			}
			open = false
			continue
		}
		for _, word := range strings.Fields(line) {
			if last := len(lines) - 1; open && columns(lines[last])+1+columns(word) <= width {
				lines[last] += " " + word
			} else {
				lines = append(lines, word)
			}
			open = true
		}
	}
	return lines
}
