package page

import (
	"maps"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// Budgets of the page: points of a curve, and points of all services of all
// runs together.
const (
	maxCurve = 720
	budget   = 60_000
	minCurve = 60
	// fewestDrawn is of how many services of a run there are curves, however many
	// runs there are.
	fewestDrawn = 20
)

// pointsPerRun is how many points a curve may have so that the page stays small
// with many runs and services.
func pointsPerRun(runs []Run) int {
	tracks := 0
	for i := range runs {
		if s := runs[i].Series; s != nil {
			tracks += s.count()
		}
	}
	return pointsPerTrack(tracks)
}

// pointsPerTrack shares the budget among the services of all runs.
func pointsPerTrack(tracks int) int { return min(max(budget/max(tracks, 1), minCurve), maxCurve) }

// curves are what was seen of one subject: values beside the times of their
// middles. Curves without a value that is not 0 are left out of the named ones.
type curves struct {
	T []num `json:"t"`
	// Rate is what ended per second, Errors are those of requests that were to
	// start in that time. Offered, Good and Degraded are of clients only.
	Rate     []num `json:"rate"`
	Errors   []num `json:"errors"`
	Offered  []num `json:"offered,omitempty"`
	Good     []num `json:"good,omitempty"`
	Degraded []num `json:"degraded,omitempty"`
	P50      []num `json:"p50"`
	P90      []num `json:"p90"`
	P99      []num `json:"p99"`
	// Classes are outcomes per second: of the clients' requests, or of the calls
	// that a service made.
	Classes map[outcome.Class][]num `json:"classes"`
	// Codes are a service's own answers that went wrong, per second by status.
	Codes map[string][]num `json:"codes,omitempty"`
	// Held are the shares of calls that an open breaker did not let out, by
	// callee.
	Held     map[string][]num `json:"held,omitempty"`
	InFlight []num            `json:"inFlight,omitempty"`
	Queue    []num            `json:"queue,omitempty"`
	CPU      []num            `json:"cpu,omitempty"`
	Memory   []num            `json:"memory,omitempty"`
	// Lag are the messages that the consumers of a log had not consumed, LagAge is for how long the
	// oldest of them had been there; absent for what has none.
	Lag      []num `json:"lag,omitempty"`
	LagAge   []num `json:"lagAge,omitempty"`
	Up       []num `json:"up,omitempty"`
	Replicas []num `json:"replicas,omitempty"`
	// Merged is how many of the run's samples a point stands for at most.
	Merged int `json:"merged"`
}

func clientCurves(timeline []result.ClientSecond, limit int) curves {
	merged := (len(timeline) + limit - 1) / limit
	c := curves{Classes: map[outcome.Class][]num{}, Merged: max(1, merged)}
	for group := range slices.Chunk(timeline, max(1, merged)) {
		g := gather(group)
		c.T = append(c.T, num((g.from+g.to)/2))
		c.Rate, c.Offered, c.Good = append(c.Rate, g.rate(g.ended)), append(c.Offered, g.rate(g.offered)), append(c.Good, g.rate(g.good))
		c.Degraded = append(c.Degraded, g.rate(g.degraded))
		c.Errors = append(c.Errors, g.rate(errorsOf(g.outcomes)))
		c.P50, c.P90, c.P99 = append(c.P50, g.p50()), append(c.P90, g.p90()), append(c.P99, g.p99())
		for i, class := range outcome.Classes() {
			c.Classes[class] = append(c.Classes[class], g.rate(g.outcomes[i]))
		}
	}
	dropZero(c.Classes)
	if isZero(c.Degraded) {
		c.Degraded = nil
	}
	return c
}

// A gathering is some seconds of the clients taken together. Quantiles cannot
// be added up: theirs is the mean, by requests.
type gathering struct {
	from, to, seconds float64
	outcomes          [outcome.Count]int64
	// offered and degraded are by the intended start, ended and good by the end.
	offered, degraded, ended, good int64
	weight                         float64
	quantiles                      [3]float64
}

func gather(seconds []result.ClientSecond) (g gathering) {
	g.from = seconds[0].At.Seconds() - seconds[0].Seconds
	for i := range seconds {
		s := &seconds[i]
		g.to = s.At.Seconds()
		g.seconds += s.Seconds
		for j, class := range outcome.Classes() {
			g.outcomes[j] += s.Outcomes[class]
		}
		g.offered += s.Requests() + s.Outcomes[outcome.Cancelled]
		g.degraded, g.ended, g.good = g.degraded+s.Degraded, g.ended+s.Ended, g.good+s.Good
		if l := s.Latency; l != nil {
			w := float64(s.Requests() - s.Outcomes[outcome.Dropped])
			g.weight += w
			for j, q := range []float64{l.P50, l.P90, l.P99} {
				g.quantiles[j] += w * q
			}
		}
	}
	return g
}

func (g *gathering) rate(n int64) num { return num(float64(n) / g.seconds) }
func (g *gathering) p50() num         { return num(g.quantiles[0] / g.weight) }
func (g *gathering) p90() num         { return num(g.quantiles[1] / g.weight) }
func (g *gathering) p99() num         { return num(g.quantiles[2] / g.weight) }

// errorsOf counts the outcomes that are errors; those cut off are none.
func errorsOf(outcomes [outcome.Count]int64) (errors int64) {
	for i, class := range outcome.Classes() {
		if class != outcome.OK && class != outcome.Cancelled {
			errors += outcomes[i]
		}
	}
	return errors
}

func serviceCurves(series *Series, limit int) map[string]curves {
	all := map[string]curves{}
	if series == nil {
		return all
	}
	maps.Copy(all, series.curves)
	for name, t := range series.services {
		all[name] = t.curves(limit)
	}
	return all
}

// curves are those of a track, with at most so many points.
func (t *track) curves(limit int) curves {
	points := t.atMost(limit)
	c := pointCurves(points)
	c.Merged = t.per * ((len(t.points) + max(1, len(points)) - 1) / max(1, len(points)))
	return c
}

func pointCurves(points []point) curves {
	c := curves{Classes: map[outcome.Class][]num{}, Codes: map[string][]num{}, Held: map[string][]num{}}
	for i := range points {
		p := &points[i]
		c.T = append(c.T, num((p.from+p.to)/2))
		c.Up, c.Replicas = append(c.Up, num(p.up)), append(c.Replicas, num(p.replicas))
		known := func(v float64) num {
			if p.known <= 0 {
				return unknown()
			}
			return num(v)
		}
		perSecond := func(n int64) num { return known(float64(n) / p.known) }
		c.Rate, c.Errors = append(c.Rate, perSecond(p.requests)), append(c.Errors, perSecond(p.errors))
		c.InFlight, c.Queue = append(c.InFlight, known(float64(p.inFlight))), append(c.Queue, known(float64(p.queue)))
		cpu := unknown()
		if p.cpuSeconds.Known {
			cpu = known(p.cpuSeconds.Value / p.known)
		}
		c.CPU, c.Memory = append(c.CPU, cpu), append(c.Memory, known(float64(p.memory)))
		c.addLag(p)
		p50, p90, p99 := unknown(), unknown(), unknown()
		if q := p.latency(); q != nil {
			p50, p90, p99 = quantile(q, experiment.P50), quantile(q, experiment.P90), quantile(q, experiment.P99)
		}
		c.P50, c.P90, c.P99 = append(c.P50, p50), append(c.P90, p90), append(c.P99, p99)
		for j, class := range outcome.Classes() {
			c.Classes[class] = append(c.Classes[class], perSecond(int64(p.outcomes[j])))
		}
		for _, t := range p.codes {
			set(c.Codes, t.name, i, len(points), perSecond(int64(t.n)), points)
		}
		for _, t := range p.calls {
			set(c.Held, t.name, i, len(points), num(float64(t.held)/float64(t.n)), points)
		}
	}
	if !slices.ContainsFunc(points, func(p point) bool { return p.lag.Known }) {
		c.Lag, c.LagAge = nil, nil
	}
	dropZero(c.Classes)
	dropZero(c.Held)
	for _, gauge := range []*[]num{&c.CPU, &c.Memory} {
		if isZero(*gauge) {
			*gauge = nil // this target does not measure it
		}
	}
	return c
}

// addLag adds the lag of a point, where it was told.
func (c *curves) addLag(p *point) {
	messages, age := unknown(), unknown()
	if p.lag.Known {
		messages, age = num(p.lag.Messages), num(p.lag.Seconds)
	}
	c.Lag, c.LagAge = append(c.Lag, messages), append(c.LagAge, age)
}

// quantile is not known where only two bounds are.
func quantile(q *result.Quantiles, m experiment.Metric) num {
	v, between := q.Of(m)
	if between != nil {
		return unknown()
	}
	return num(v)
}

// set writes one value of a named curve, which is 0 where the service told
// something but nothing of that name.
func set(m map[string][]num, name string, i, n int, v num, points []point) {
	if m[name] == nil {
		m[name] = make([]num, n)
		for j := range points {
			if points[j].known <= 0 {
				m[name][j] = unknown()
			}
		}
	}
	m[name][i] = v
}

func dropZero[K comparable](m map[K][]num) {
	for key, values := range m {
		if isZero(values) {
			delete(m, key)
		}
	}
}

func isZero(values []num) bool {
	return !slices.ContainsFunc(values, func(v num) bool { return v > 0 })
}
