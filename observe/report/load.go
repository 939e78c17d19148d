package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// Load prints what a load got back: counts by outcome, percentiles, and a
// histogram of the latencies from the intended start.
func Load(w io.Writer, r *result.LoadReport, style Style) error {
	var lines []string
	lines = append(lines, loadTitle(r, style))
	lines = append(lines, loadTable(r, style)...)
	lines = append(lines, "", outcomeLine(&r.Total))
	if late := &r.Total; late.Late > 0 || late.Dropped > 0 {
		lines = append(lines, fmt.Sprintf("starts   %s late (more than 1 ms), %s dropped", count(late.Late), count(late.Dropped)))
	}
	if why := loadFailures(r, style); len(why) > 0 {
		lines = append(append(lines, "", "why requests failed"), why...)
	}
	bars, err := loadHistogram(&r.Total, style)
	if err != nil {
		return err
	}
	if len(bars) > 0 {
		lines = append(append(lines, ""), bars...)
	}
	if _, err := io.WriteString(w, strings.Join(lines, "\n")+"\n"); err != nil {
		return fmt.Errorf("printing the report of the load: %w", err)
	}
	return nil
}

func loadTitle(r *result.LoadReport, style Style) string {
	text := style.paint(bold, plural64(result.CountRequests(r.Total.Outcomes), "request")) + " in " + seconds(r.Elapsed.Seconds())
	if r.Incomplete {
		text += style.paint(notice, ", stopped before its end")
	}
	return text + "\n"
}

// requestLines is a table with a row for each request of the mix, if there are
// several.
func requestLines(r *result.LoadReport, style Style) []string {
	if r == nil || len(r.Requests) < 2 {
		return nil
	}
	alone := *r
	alone.Phases = nil
	return loadTable(&alone, style)
}

// loadTable has a row for each phase and for each request of the mix, where
// there are several.
func loadTable(r *result.LoadReport, style Style) []string {
	g := grid{left: 1}
	all := append(slices.Clone(r.Phases), result.PhaseReport{Stats: r.Total})
	offered := slices.ContainsFunc(all, func(p result.PhaseReport) bool { return differs(p.Stats.OfferedRate, p.Stats.Rate) })
	head := []string{"", "requests"}
	if offered {
		head = append(head, "offered/s")
	}
	head = append(head, "rate/s", "errors")
	if r.Total.Degraded > 0 {
		head = append(head, "degraded")
	}
	g.head(append(head, "p50", "p90", "p99", "p99.9", "max")...)
	add := func(name string, s *result.LoadStats) {
		requests := result.CountRequests(s.Outcomes)
		row := []cell{{text: name}, {text: count(requests)}}
		if offered {
			row = append(row, cell{text: rate(s.OfferedRate)})
		}
		errors := requests - s.Outcomes[outcome.OK]
		row = append(row, cell{text: rate(s.Rate)}, cell{share(errors, requests), errorTone(errors)})
		if r.Total.Degraded > 0 {
			row = append(row, cell{share(s.Degraded, requests), errorTone(s.Degraded)})
		}
		l := s.Latency
		for _, v := range []float64{l.P50, l.P90, l.P99, l.P999, l.Max} {
			row = append(row, cell{text: milliseconds(v)})
		}
		g.add(row...)
	}
	if len(r.Phases) > 1 {
		for i := range r.Phases {
			add("phase "+r.Phases[i].Name, &r.Phases[i].Stats)
		}
	}
	if len(r.Requests) > 1 {
		for i := range r.Requests {
			add(r.Requests[i].Name, &r.Requests[i].Stats)
		}
	}
	add("all", &r.Total)
	return g.lines(style)
}

func outcomeLine(s *result.LoadStats) string {
	var parts []string
	for _, class := range outcome.Classes() {
		if n := s.Outcomes[class]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(n), strings.ReplaceAll(string(class), "_", " ")))
		}
	}
	if len(parts) == 0 {
		parts = []string{"none"}
	}
	return "outcomes " + strings.Join(parts, ", ")
}

// maxReasons is how many reasons of failures a terminal shows; JSON has more.
const maxReasons = 10

// loadFailures says why requests did not end well, with an example of each.
func loadFailures(r *result.LoadReport, style Style) []string {
	further := r.FurtherFailures
	g := grid{left: 1}
	for i := range r.Failures {
		f := &r.Failures[i]
		if i >= maxReasons {
			further += f.Count
			continue
		}
		g.add(cell{f.Reason.Text(), bad}, cell{text: count(f.Count)})
	}
	var lines []string
	for i, line := range g.lines(style) {
		lines = append(lines, beside(line+"  ", exampleText(&r.Failures[i]), style)...)
	}
	if further > 0 {
		lines = append(lines, fmt.Sprintf("%s failed in further ways; the JSON of the report names up to %d", count(further), result.MaxFailures))
	}
	return lines
}

// beside sets a message to the right of a beginning, in as many lines as it needs; in a
// pipe, where lines are searched, in one.
func beside(beginning, text string, style Style) (lines []string) {
	if style.Width <= 0 {
		return []string{beginning + strings.Join(strings.Fields(text), " ")}
	}
	room := columns(beginning)
	for i, part := range wrap(text, max(style.width()-room, 30)) {
		if i > 0 {
			beginning = strings.Repeat(" ", room)
		}
		lines = append(lines, beginning+part)
	}
	if lines == nil {
		return []string{beginning}
	}
	return lines
}

func exampleText(f *result.Failure) string {
	text := f.Example.Text
	if f.Hop != "" {
		text = f.Hop + ": " + text
	}
	return text
}

// milliseconds prints seconds as milliseconds.
func milliseconds(v float64) string {
	if v == 0 {
		return unknown
	}
	return experiment.FormatSeconds(v)
}

// barsPerDecade is how many bars of a histogram share a power of ten.
const barsPerDecade = 5

// loadHistogram draws the latencies in bars of equal ratio, from the smallest to
// the largest.
func loadHistogram(s *result.LoadStats, style Style) ([]string, error) {
	if s.Histogram == "" {
		return nil, nil
	}
	h, err := hdrhistogram.Decode([]byte(s.Histogram))
	if err != nil {
		return nil, fmt.Errorf("reading the histogram of the load: %w", err)
	}
	if h.TotalCount() == 0 {
		return nil, nil
	}
	slot := func(us int64) int { return int(math.Floor(barsPerDecade * math.Log10(float64(max(us, 1))))) }
	first, last := slot(h.Min()), slot(h.Max())
	counts := make([]int64, last-first+1)
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			counts[min(max(slot(bar.To)-first, 0), len(counts)-1)] += bar.Count
		}
	}
	most := int64(0)
	for _, n := range counts {
		most = max(most, n)
	}
	g := grid{left: 0}
	for i, n := range counts {
		upper := math.Pow(10, float64(first+i+1)/barsPerDecade) / 1e6
		g.add(cell{"< " + experiment.FormatSeconds(upper), dim}, cell{text: count(n)}, cell{text: share(n, h.TotalCount())})
	}
	lines := g.lines(style)
	room := max(10, style.width()-columns(lines[0])-4)
	for i, n := range counts {
		lines[i] += "  " + strings.Repeat("█", int(math.Round(float64(n)/float64(most)*float64(room))))
	}
	return lines, nil
}
