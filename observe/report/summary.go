package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// maxServices is how many services a summary shows; of a larger system those
// that the faults changed most.
const maxServices = 20

// Summary prints what a run showed: the clients and services before, during and
// after the faults, the faults themselves, recoveries, and checks.
func Summary(w io.Writer, r *result.Result, style Style) error {
	s := summary{result: r, style: style}
	s.title()
	s.figures()
	s.processes()
	s.prediction()
	s.explanation()
	s.outcomes()
	s.section("Requests", requestLines(r.Load, style))
	s.section("Counts over time", windowLines(r, style))
	s.tail()
	s.faults()
	s.changes()
	s.recoveries()
	s.alerts()
	s.section("Not kept", keptLines(r))
	if r.OTLP != nil {
		s.section(sentTitle(r.OTLP), sentLines(r.OTLP))
	}
	if r.Fluent != nil {
		s.section(forwardedTitle(r.Fluent), forwardedLines(r.Fluent))
	}
	s.checks()
	if _, err := io.WriteString(w, s.text.String()); err != nil {
		return fmt.Errorf("printing the summary: %w", err)
	}
	return nil
}

type summary struct {
	result *result.Result
	style  Style
	text   strings.Builder
	// offered, degraded and runtimes say which columns there are.
	offered, degraded, runtimes bool
}

func (s *summary) line(text string) {
	s.text.WriteString(clip(strings.TrimRight(text, " "), s.style.width()) + "\n")
}

func (s *summary) section(title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	s.text.WriteString("\n")
	for _, l := range wrap(title, s.style.width()) { // what is cut off may be the point of it
		s.line(s.style.paint(bold, l))
	}
	for _, l := range lines {
		s.text.WriteString(l + "\n")
	}
}

func (s *summary) title() {
	r := s.result
	text := s.style.paint(bold, r.Name)
	if r.Target != "" {
		text += " on " + r.Target
	}
	if len(r.Segments) > 0 {
		text += fmt.Sprintf(", %s of load", seconds(r.Segments[0].To))
	}
	text += fmt.Sprintf(", seed %d", r.Seed)
	if c := r.Environment.Costs; c != nil && c.Of != result.UsualCosts {
		text += ", " + c.Text()
	}
	text += engines(r.Environment.Stores)
	for _, l := range wrap(text, s.style.width()) {
		s.line(l)
	}
	s.text.WriteString(lesson(r.Title, r.Doc, s.style))
	if text := r.StandstillText(); text != "" {
		for _, l := range wrap("Note: "+text+".", s.style.width()) {
			s.line(s.style.paint(notice, l))
		}
	}
	if r.Incomplete {
		s.text.WriteString(s.style.paint(notice, "INCOMPLETE") + ": " + strings.ReplaceAll(r.Why, "\n", "\n            ") + "\n")
	}
}

// engines says what answered the operations of data stores: ", stores embedded", or
// by name if they differ.
func engines(stores map[string]topology.Engine) string {
	var names []string
	var kinds []topology.Engine
	for _, name := range slices.Sorted(maps.Keys(stores)) {
		names = append(names, name+" "+string(stores[name]))
		if !slices.Contains(kinds, stores[name]) {
			kinds = append(kinds, stores[name])
		}
	}
	switch len(kinds) {
	case 0:
		return ""
	case 1:
		return ", stores " + string(kinds[0])
	}
	return ", stores: " + strings.Join(names, ", ")
}

// parts are the segments that rows are made of: those relative to the faults,
// or the whole run.
func (s *summary) parts() []*result.Segment {
	var parts []*result.Segment
	for i := range s.result.Segments {
		if segment := &s.result.Segments[i]; segment.Kind == result.FaultPart {
			parts = append(parts, segment)
		}
	}
	if len(parts) == 0 && len(s.result.Segments) > 0 {
		parts = append(parts, &s.result.Segments[0])
	}
	return parts
}

func (s *summary) figures() {
	parts := s.parts()
	if len(parts) == 0 {
		return
	}
	g := grid{left: 2, spare: []string{"REQUESTS", "OFFERED/S"}}
	s.runtimes = len(s.result.Environment.Runtimes) > 0
	s.offered = slices.ContainsFunc(parts, func(p *result.Segment) bool { return differs(p.Clients.OfferedRate, p.Clients.Rate) })
	s.degraded = slices.ContainsFunc(parts, anyDegraded)
	head := []string{"SERVICE"}
	if s.runtimes {
		g.left++
		head = append(head, "RUNTIME")
	}
	head = append(head, "WHEN", "REQUESTS")
	if s.offered {
		head = append(head, "OFFERED/S")
	}
	head = append(head, "RATE/S", "ERRORS")
	if s.degraded {
		head = append(head, "DEGRADED")
	}
	g.head(append(head, "P50", "P99", "UP")...)
	name := "clients"
	for _, p := range parts {
		c := &p.Clients
		s.row(&g, name, bold, p, &figures{c.Requests, c.Errors, c.Degraded, rate(c.OfferedRate), c.Rate, "", clientLatencies(c.Latency)}, cell{})
		name = ""
	}
	names, hidden := s.shown(parts)
	for _, service := range names {
		name := service
		for _, p := range parts {
			at := slices.IndexFunc(p.Services, func(x result.ServiceStats) bool { return x.Service == service })
			if at < 0 {
				continue
			}
			x := &p.Services[at]
			if x.Up == 0 && x.Seconds > 0 {
				g.add(append(s.begin(name, plain), cell{when(p), dim}, cell{"no answer", bad})...)
			} else {
				s.row(&g, name, plain, p, &figures{x.Requests, x.Errors, x.Degraded, "", x.Rate, seen(x), serviceLatencies(x.Latency)}, up(x))
			}
			name = ""
		}
	}
	lines := g.lines(s.style)
	if hidden > 0 {
		lines = append(lines, s.style.paint(dim, fmt.Sprintf("and %s that changed less; timeline.csv has all", unit.Count(hidden, "service"))))
	}
	s.section("", lines)
}

// when names a part with its length.
func when(p *result.Segment) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", p.Name, seconds(p.To-p.From)))
}

// differs reports whether a rate was not what was offered, by more than the
// requests that were under way at the ends of the segment explain.
func differs(offered, rate float64) bool {
	return offered > 0 && math.Abs(offered-rate) > 0.02*offered+0.5
}

func anyDegraded(p *result.Segment) bool {
	return p.Clients.Degraded > 0 || slices.ContainsFunc(p.Services, func(x result.ServiceStats) bool { return x.Degraded > 0 })
}

// figures are the figures of a row. Only clients have an offered rate.
type figures struct {
	requests, errors, degraded int64
	offered                    string
	rate                       float64
	// seen is of how much of the time they are, if of less than all.
	seen string
	latencies
}

// seen says of how much of the time the figures of a service are, if it could not be asked
// for long; a service that is down is known to do nothing.
func seen(x *result.ServiceStats) string {
	if x.Rate <= 0 {
		return ""
	}
	counted := float64(x.Requests) / x.Rate
	if counted > 0.9*x.Seconds || x.Seconds-counted < 2 {
		return ""
	}
	return fmt.Sprintf(", %s seen", seconds(counted))
}

func (s *summary) row(g *grid, name string, t tone, p *result.Segment, f *figures, up cell) {
	row := append(s.begin(name, t), cell{when(p) + f.seen, dim}, cell{count(f.requests), plain})
	if s.offered {
		row = append(row, cell{f.offered, plain})
	}
	row = append(row, cell{rate(f.rate), plain}, cell{share(f.errors, f.requests), errorTone(f.errors)})
	if s.degraded {
		row = append(row, cell{share(f.degraded, f.requests), errorTone(f.degraded)})
	}
	g.add(append(row, cell{f.p50, plain}, cell{f.p99, plain}, up)...)
}

// begin begins the row of a service, or of the clients, with what serves it. Where the
// name is not said again, neither is that.
func (s *summary) begin(name string, t tone) []cell {
	row := []cell{{name, t}}
	if s.runtimes {
		row = append(row, cell{string(s.result.Environment.Runtimes[name]), dim})
	}
	return row
}

// up is the share of the time in which the service could be reached.
func up(x *result.ServiceStats) cell {
	const steps = 10000 // hundredths of a percent
	share := share(int64(math.Round(x.Availability*steps)), steps)
	if share != "100%" {
		return cell{share, bad}
	}
	return cell{share, plain}
}

// shown picks the services that are shown, in the order of the file.
func (s *summary) shown(parts []*result.Segment) (names []string, hidden int) {
	change := map[string]float64{}
	for _, p := range parts {
		for i := range p.Services {
			x := &p.Services[i]
			if _, known := change[x.Service]; !known {
				names = append(names, x.Service)
			}
			score := 1 - x.Availability
			if x.Requests > 0 {
				score += float64(x.Errors) / float64(x.Requests)
			}
			if x.Latency != nil {
				score += slowness(x.Latency)
			}
			change[x.Service] = max(change[x.Service], score)
		}
	}
	if len(names) <= maxServices {
		return names, 0
	}
	ranked := slices.Clone(names)
	slices.SortStableFunc(ranked, func(a, b string) int { return cmp.Compare(change[b], change[a]) })
	ranked = ranked[:maxServices]
	kept := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(ranked, n) })
	return kept, len(names) - maxServices
}

// slowness compares latencies, as 1 for a p99 of 25 s.
func slowness(q *result.Quantiles) float64 {
	const verySlow = 25
	p99, between := q.Of(experiment.P99)
	if between != nil {
		p99 = between.Low
	}
	return p99 / verySlow
}

// tail tells how long the system was busy after its load, and what ended the
// load early.
func (s *summary) tail() {
	if a := s.result.Aborted; a != nil {
		s.section("Ended early", []string{s.style.paint(bad, a.Why)})
	}
	if t := s.result.Tail; t != nil {
		text := fmt.Sprintf("idle %s after the load", seconds(t.Length))
		if !t.Idle {
			text = fmt.Sprintf("still busy %s after the load, when the watching ended", seconds(t.Length))
		}
		s.section("Tail", []string{text})
	}
}

// outcomes lists the classes of errors, if there are any.
func (s *summary) outcomes() {
	if len(s.result.Segments) == 0 {
		return
	}
	g := grid{left: 1}
	c := s.result.Segments[0].Clients
	for _, class := range outcome.Classes() {
		if n := c.Outcomes[class]; n > 0 && class != outcome.OK {
			of := share(n, c.Requests)
			if class == outcome.Cancelled {
				of = "not counted, the run ended"
			}
			g.add(cell{strings.ReplaceAll(string(class), "_", " "), plain}, cell{count(n), plain}, cell{of, plain})
		}
	}
	s.section("What clients got beside answers", g.lines(s.style))
	if s.result.Load != nil {
		s.section("Why requests failed", loadFailures(s.result.Load, s.style))
	}
}

func (s *summary) faults() {
	g := grid{left: 5}
	for i := range s.result.Faults {
		f := &s.result.Faults[i]
		g.add(cell{f.Label, plain}, faultTime(f), cell{faultTarget(f), plain}, faultHits(f))
	}
	s.section("Faults", g.lines(s.style))
}

// changes lists what was changed by hand while the system ran, by which the run is not
// that of its file.
func (s *summary) changes() {
	g := grid{left: 2}
	for i := range s.result.Changes {
		c := &s.result.Changes[i]
		when := cell{"at " + seconds(c.Done), plain}
		if c.Error != "" {
			when = cell{"failed: " + c.Error, bad}
		}
		g.add(cell{c.Text(), plain}, when)
	}
	s.section("Changed by hand while it ran", g.lines(s.style))
}

func faultTime(f *result.FaultRecord) cell {
	switch {
	case f.Error != "" && f.Applied() && !f.ClearedAt.IsZero():
		return cell{seconds(f.From) + " to " + seconds(f.To) + ", cleared late: " + f.Error, bad}
	case f.Error != "" && f.Applied():
		return cell{seconds(f.From) + " on, not cleared: " + f.Error, bad}
	case f.Error != "":
		return cell{"failed: " + f.Error, bad}
	case !f.Applied():
		return cell{"did not act", notice}
	case isMoment(f):
		return cell{"at " + seconds(f.From), plain}
	case f.ClearedAt.IsZero():
		return cell{seconds(f.From) + " on", plain}
	}
	return cell{seconds(f.From) + " to " + seconds(f.To), plain}
}

// faultTarget lists the replicas that were hit, or counts them.
func faultTarget(f *result.FaultRecord) string {
	if len(f.Replicas) > 3 {
		return unit.Count(len(f.Replicas), "replica")
	}
	return strings.Join(f.Replicas, ", ")
}

func faultHits(f *result.FaultRecord) cell {
	if len(f.Gaps) > 0 {
		return cell{"not all the time: " + strings.Join(f.Gaps, "; "), notice}
	}
	if f.Hits < 0 || !f.Applied() {
		return cell{}
	}
	text := count(f.Hits) + " hits"
	if entry, _ := fault.Lookup(f.Fault.Type); entry.Layer != fault.OnProcess && f.Hits == 0 {
		return cell{"hit no request", notice}
	}
	return cell{text, plain}
}

func (s *summary) recoveries() {
	g := grid{left: 5}
	ended := map[fault.Type]int{}
	for i := range s.result.Faults {
		if f := &s.result.Faults[i]; f.Applied() && f.Victim != fault.Nobody {
			ended[f.Fault.Type]++
		}
	}
	longest := 0.0
	for i := range s.result.Recoveries {
		r := &s.result.Recoveries[i]
		ready := cell{"not ready again", bad}
		if !r.ReadyAt.IsZero() {
			ready = cell{"ready after " + experiment.FormatSeconds(r.Took), plain}
			longest = max(longest, r.Took)
		}
		seen := "not seen"
		if !r.DetectedAt.IsZero() {
			seen = "seen after " + experiment.FormatSeconds(r.Detection)
		}
		g.add(cell{fmt.Sprintf("%s/%d", r.Service, r.Replica), plain}, cell{"down at " + seconds(r.DownAt.Sub(s.result.LoadStarted).Seconds()), plain},
			cell{seen, plain}, ready, cell{cmp.Or(s.result.CauseOf(r), "by itself"), dim})
	}
	lines := g.lines(s.style)
	if len(lines) > 0 {
		total := unit.Count(len(lines), "outage")
		var causes []string
		for _, t := range []fault.Type{fault.Kill, fault.Restart} {
			if ended[t] > 0 {
				causes = append(causes, unit.Count(ended[t], string(t)))
			}
		}
		if len(causes) > 0 {
			total += " after " + strings.Join(causes, " and ")
		}
		if longest > 0 {
			total += ", longest recovery " + experiment.FormatSeconds(longest)
		}
		lines = append(lines, s.style.paint(dim, total))
	}
	s.section("Replica outages", lines)
}

func (s *summary) checks() {
	g := grid{left: 4}
	var whys []string
	passed := 0
	for _, c := range s.result.Checks {
		verdict := cell{"FAIL", bad}
		if c.Pass {
			verdict = cell{"PASS", good}
			passed++
		}
		subject := c.Subject()
		if c.Phase != "" {
			subject += ", " + c.Phase
		}
		g.add(verdict, cell{c.Expr, plain}, cell{subject, plain})
		whys = append(whys, c.Why)
	}
	lines := s.style.beside(g.lines(s.style), whys)
	if n := len(s.result.Checks); n > 0 {
		total, t := fmt.Sprintf("%d of %s passed", passed, unit.Count(n, "check")), good
		if passed < n {
			t = bad
		}
		lines = append(lines, s.style.paint(t, total))
	}
	s.section("Checks", lines)
}
