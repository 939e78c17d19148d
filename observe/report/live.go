package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Live is the state of a run while it goes on. It takes events and draws frames
// of text; it knows no terminal and no clock.
type Live struct {
	system, target string
	stage          string
	length         time.Duration
	now            time.Duration
	// began is the zero of elapsed times; the zero time before the load.
	began  time.Time
	phases []string
	phase  int
	second result.ClientSecond
	// rates and slow are the clients' last rates and p99s, for the trend.
	rates, slow []float64
	errors      []bool
	order       []string
	services    map[string]*measure.Sample
	faults      []result.FaultRecord
	outages     int
	down        map[string]bool
	pairing     pairing
	// shows counts the changes of what clients and services did.
	shows int
}

// when is how long after the begin of the load a time is.
func (l *Live) when(t time.Time) time.Duration {
	if l.began.IsZero() || t.IsZero() {
		return l.now
	}
	return max(0, t.Sub(l.began))
}

// trend is how many seconds the trends reach back.
const trend = 60

// Observe takes an event in.
func (l *Live) Observe(e runner.Event) {
	switch e := e.(type) {
	case runner.Deploying:
		l.system, l.target, l.stage = e.System, e.Target, "starting"
		l.services, l.down = map[string]*measure.Sample{}, map[string]bool{}
	case runner.Deployed:
		l.deployed(e.Replicas)
	case runner.LoadBegun:
		l.began, l.length, l.phases, l.stage = e.At, e.Length, e.Phases, ""
	case runner.PhaseBegun:
		l.now, l.phase = max(l.now, e.At), e.Index
	case runner.FaultApplied:
		if !isMoment(&e.Record) || e.Record.Error != "" {
			l.faults = result.InsertFault(l.faults, e.Record)
		}
	case runner.FaultCleared:
		if !e.Record.ClearedAt.IsZero() {
			l.faults = slices.DeleteFunc(l.faults, func(f result.FaultRecord) bool { return f.ID == e.Record.ID })
		}
	case runner.ReplicaDown:
		l.outages++
		l.down[replicaName(e.Recovery)] = true
	case runner.ReplicaReady:
		delete(l.down, replicaName(e.Recovery))
	case runner.ClientSampled:
		l.clientSampled(e.Second)
	case runner.ServiceSampled:
		l.serviceSampled(e)
	case runner.LoadEnded:
		l.show()
		l.stage = "collecting"
	case runner.TailBegun:
		l.stage = "waiting until idle"
	case runner.CleaningUp:
		l.stage = "taking down"
	}
}

func replicaName(r result.Recovery) string { return fmt.Sprintf("%s/%d", r.Service, r.Replica) }

func (l *Live) deployed(replicas []runner.Replica) {
	l.stage = "ready"
	for _, r := range replicas {
		s := l.services[r.Service]
		if s == nil {
			s = &measure.Sample{Service: r.Service}
			l.services[r.Service] = s
			l.order = append(l.order, r.Service)
		}
		s.Replicas++
		if r.State == runner.Ready {
			s.Up++
		}
	}
}

func (l *Live) clients(second result.ClientSecond) {
	l.second, l.phase = second, max(0, second.Phase)
	p99 := 0.0
	if second.Latency != nil {
		p99 = second.Latency.P99
	}
	l.rates = lastOf(append(l.rates, second.Rate()))
	l.slow = lastOf(append(l.slow, p99))
	l.errors = lastOf(append(l.errors, second.Errors() > 0))
}

func lastOf[T any](values []T) []T { return values[max(0, len(values)-trend):] }

// Frame draws what is known, no wider than the style allows and no higher than
// height lines; services that do not fit are counted.
func (l *Live) Frame(style Style, height int) []string {
	lines := []string{l.headline(style), ""}
	if len(l.rates) > 0 {
		lines = append(append(lines, l.clientLines(style)...), "")
	}
	faults := l.faultLines(style)
	room := height - len(lines) - len(faults) - 1
	lines = append(lines, l.serviceLines(style, room)...)
	lines = append(lines, faults...)
	for i := range lines {
		lines[i] = clip(lines[i], style.width())
	}
	return lines[:min(len(lines), max(1, height))]
}

func (l *Live) headline(style Style) string {
	text := style.paint(bold, l.system)
	if l.target != "" {
		text += " on " + l.target
	}
	if l.length > 0 {
		text += fmt.Sprintf("  %s of %s  ", clock(l.now), clock(l.length)) + style.bar(l.now.Seconds()/l.length.Seconds(), 20)
	}
	switch {
	case l.stage != "":
		text += "  " + style.paint(notice, l.stage)
	case l.phase < len(l.phases):
		text += "  " + l.phases[l.phase]
	}
	return text
}

// clock prints whole seconds as people say them: 45s, 2m, 2m5s.
func clock(d time.Duration) string { return unit.Duration(d.Round(time.Second)).String() }

func (s Style) bar(part float64, width int) string {
	full := max(0, min(width, int(part*float64(width)+0.5)))
	return s.paint(good, strings.Repeat("━", full)) + s.paint(dim, strings.Repeat("─", width-full))
}

func (l *Live) clientLines(style Style) []string {
	width := min(trend, style.width()-22)
	return []string{
		l.clientLine(style),
		style.paint(dim, "  rate  ") + style.spark(l.rates, nil, width) + style.paint(dim, "  max "+rate(maxOf(l.rates))+"/s"),
		style.paint(dim, "  p99   ") + style.spark(l.slow, l.errors, width) + style.paint(dim, "  max "+experiment.FormatSeconds(maxOf(l.slow))),
	}
}

func (l *Live) clientLine(style Style) string {
	second := &l.second
	ms := clientLatencies(second.Latency)
	perSecond := 0.0
	if second.Seconds > 0 {
		perSecond = second.Rate()
	}
	text := style.paint(bold, "clients") + fmt.Sprintf("  %6s/s  %6s errors  p50 %6s  p99 %6s", rate(perSecond), share(second.Errors(), second.Requests()), ms.p50, ms.p99)
	if class, n := worst(second.Outcomes); n > 0 {
		// Cut off, it would be a number of nothing.
		if most := classText(n, class); columns(text)+2+columns(most) <= style.width() {
			text += "  " + style.paint(bad, most)
		}
	}
	return text
}

// worst is the most frequent class of errors.
func worst(outcomes map[outcome.Class]int64) (worst outcome.Class, most int64) {
	for _, class := range outcome.Classes() {
		if n := outcomes[class]; class != outcome.OK && class != outcome.Cancelled && n > most {
			worst, most = class, n
		}
	}
	return worst, most
}

func maxOf(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Max(values)
}

// spark draws values as bars of a row, the latest at the right end of what
// there is; those marked are drawn as bad.
func (s Style) spark(values []float64, marked []bool, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	skip := max(0, len(values)-max(1, width))
	most := maxOf(values)
	var b strings.Builder
	for i := skip; i < len(values); i++ {
		level := 0
		if most > 0 {
			level = min(len(levels)-1, int(values[i]/most*float64(len(levels))))
		}
		t := plain
		if i < len(marked) && marked[i] {
			t = bad
		}
		b.WriteString(s.paint(t, string(levels[level])))
	}
	return b.String()
}

func (l *Live) serviceLines(style Style, room int) []string {
	if len(l.order) == 0 {
		return nil
	}
	names, hidden := l.shown(room - 1)
	g := grid{left: 1, least: 6}
	rows := [][]cell{{{"SERVICE", dim}, {"RATE/S", dim}, {"ERRORS", dim}, {"P50", dim}, {"P99", dim}, {"INFLIGHT", dim}, {"QUEUE", dim}, {"UP", dim}}}
	for _, name := range names {
		rows = append(rows, l.serviceRow(l.services[name]))
	}
	for _, row := range rows {
		if style.width() < 70 {
			row = slices.Delete(row, 5, 7) // in-flight and queue are the ones to spare
		}
		g.add(row...)
	}
	lines := g.lines(style)
	if hidden > 0 {
		lines = append(lines, style.paint(dim, fmt.Sprintf("and %d more", hidden)))
	}
	return lines
}

func (l *Live) serviceRow(s *measure.Sample) []cell {
	name, up := cell{s.Service, plain}, cell{fmt.Sprintf("%d/%d", s.Up, s.Replicas), plain}
	if l.isTarget(s.Service) {
		name.tone = notice
	}
	if s.Up < s.Replicas || s.Replicas == 0 {
		up.tone = bad
	}
	if s.Up == 0 {
		return []cell{name, {"no answer", bad}, {unknown, dim}, {unknown, dim}, {unknown, dim}, {unknown, dim}, {unknown, dim}, up}
	}
	if s.Elapsed <= 0 {
		return []cell{name, {unknown, dim}, {unknown, dim}, {unknown, dim}, {unknown, dim}, {unknown, dim}, {unknown, dim}, up}
	}
	ms := serviceLatencies(result.NewQuantiles(&s.Latency))
	return []cell{
		name, {rate(s.Rate), plain}, {share(s.Errors, s.Requests), errorTone(s.Errors)},
		{ms.p50, plain}, {ms.p99, plain}, {count(s.InFlight), plain}, {count(s.QueueLength), plain}, up,
	}
}

// isTarget reports whether a fault acts on the service.
func (l *Live) isTarget(service string) bool {
	return slices.ContainsFunc(l.faults, func(f result.FaultRecord) bool { return f.Fault.Target.Service == service && f.Error == "" })
}

// shown picks the services that fit, in the order of the file; where they do
// not all fit, those in trouble come first.
func (l *Live) shown(room int) (names []string, hidden int) {
	if len(l.order) <= room {
		return l.order, 0
	}
	room = max(1, room-1)
	names = slices.Clone(l.order)
	trouble := func(name string) int64 {
		s := l.services[name]
		score := s.Errors
		if l.isTarget(name) {
			score += 1 << 40
		}
		if s.Up < s.Replicas {
			score += 1 << 50
		}
		return score
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(trouble(b), trouble(a)) })
	return names[:min(room, len(names))], len(names) - min(room, len(names))
}

func (l *Live) faultLines(style Style) []string {
	var lines []string
	for i := range l.faults {
		f := &l.faults[i]
		switch {
		case f.Error != "":
			lines = append(lines, style.paint(bad, "✗ "+f.Label+": "+f.Error))
		case f.Victim == fault.Nobody:
			lines = append(lines, style.paint(dim, "● "+f.Label))
		default:
			lines = append(lines, style.paint(notice, "● "+f.Label)+fmt.Sprintf("  since %s, ends in %s", clock(max(0, l.now-secondsOf(f.From))), clock(max(0, secondsOf(f.PlannedTo)-l.now))))
		}
	}
	if l.outages > 0 {
		text := unit.Count(l.outages, "outage") + " so far"
		if n := len(l.down); n > 0 {
			text += style.paint(bad, fmt.Sprintf(", %s down now", unit.Count(n, "replica")))
		}
		lines = append(lines, text)
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines[:min(len(lines), 6)]...)
	}
	return lines
}

func secondsOf(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
