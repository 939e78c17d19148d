package page

import (
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// A segmentComparison compares the variants in one segment.
type segmentComparison struct {
	Key  string       `json:"key"`
	Rows []variantRow `json:"rows"`
}

// A variantRow is one variant's figures, each over its runs.
type variantRow struct {
	Variant string `json:"variant"`
	Runs    int    `json:"runs"`
	// Incomplete counts the runs that ended before their end.
	Incomplete int `json:"incomplete"`
	// Passed and Checks count the checks of all runs.
	Passed int `json:"passed"`
	Checks int `json:"checks"`
	// Figures are by name: offered rate, rate and goodput per second, shares of
	// errors and degraded answers, p50 and p99 in seconds; and how many outcomes each class had, for those that are errors
	// and occurred.
	Figures map[string]figure `json:"figures"`
}

// A figure is a mean over runs, with its interval if there are several.
type figure struct {
	Mean   num   `json:"mean"`
	Low    num   `json:"low"`
	High   num   `json:"high"`
	Values []num `json:"values"`
}

// variants groups runs by variant, in the order of their first runs.
func variants(runs []Run) (names []string, groups map[string][]*Run) {
	groups = map[string][]*Run{}
	for i := range runs {
		v := runs[i].Variant
		if groups[v] == nil {
			names = append(names, v)
		}
		groups[v] = append(groups[v], &runs[i])
	}
	return names, groups
}

// compare has a comparison for each segment that any run has.
func compare(runs []Run) []segmentComparison {
	names, groups := variants(runs)
	all := []segmentComparison{}
	for _, key := range segmentKeys(runs) {
		c := segmentComparison{Key: key}
		classes := failures(runs, key)
		for _, name := range names {
			row := variantRow{Variant: name, Figures: map[string]figure{}}
			values := map[string][]float64{}
			for _, run := range groups[name] {
				row.count(run.Result)
				if s := segment(run.Result, key); s != nil {
					for name, v := range figuresOf(&s.Clients) {
						values[name] = append(values[name], v)
					}
					for _, class := range classes {
						values[string(class)] = append(values[string(class)], float64(s.Clients.Outcomes[class]))
					}
				}
			}
			for name, v := range values {
				row.Figures[name] = newFigure(v, dimensionOf(name))
			}
			c.Rows = append(c.Rows, row)
		}
		all = append(all, c)
	}
	return all
}

// failures are the classes of errors that occurred in a segment of any run.
func failures(runs []Run, key string) (classes []outcome.Class) {
	for _, class := range outcome.Classes() {
		if class != outcome.OK && class != outcome.Cancelled && slices.ContainsFunc(runs, func(run Run) bool {
			s := segment(run.Result, key)
			return s != nil && s.Clients.Outcomes[class] > 0
		}) {
			classes = append(classes, class)
		}
	}
	return classes
}

func (v *variantRow) count(r *result.Result) {
	v.Runs++
	if r.Incomplete {
		v.Incomplete++
	}
	for i := range r.Checks {
		v.Checks++
		if r.Checks[i].Pass {
			v.Passed++
		}
	}
}

func segmentKeys(runs []Run) (keys []string) {
	for i := range runs {
		for j := range runs[i].Result.Segments {
			if key := segmentKey(&runs[i].Result.Segments[j]); !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func segment(r *result.Result, key string) *result.Segment {
	for i := range r.Segments {
		if segmentKey(&r.Segments[i]) == key {
			return &r.Segments[i]
		}
	}
	return nil
}

// figuresOf are what variants are compared by. A figure that is not known in a
// run is left out.
func figuresOf(c *result.ClientStats) map[string]float64 {
	figures := map[string]float64{"offered": c.OfferedRate, "rate": c.Rate, "good": c.Goodput}
	if c.Requests > 0 {
		figures["share"] = float64(c.Errors) / float64(c.Requests)
		figures["degraded"] = float64(c.Degraded) / float64(c.Requests)
	}
	if c.Latency != nil {
		figures["p50"], figures["p99"] = c.Latency.P50, c.Latency.P99
	}
	return figures
}

func dimensionOf(name string) experiment.Dimension {
	switch name {
	case "share", "degraded":
		return experiment.Share
	case "p50", "p99":
		return experiment.Seconds
	case "offered", "rate", "good":
		return experiment.PerSecond
	}
	return experiment.Count
}

func newFigure(values []float64, d experiment.Dimension) figure {
	known := result.NewFigure(values, d)
	f := figure{Mean: num(known.Mean), Low: unknown(), High: unknown()}
	if known.Low != nil {
		f.Low, f.High = num(*known.Low), num(*known.High)
	}
	for _, v := range values {
		f.Values = append(f.Values, num(v))
	}
	return f
}

// An overlay is what the clients of one variant saw, second by second: the mean
// of its runs, and the least and the most of them.
type overlay struct {
	Variant string          `json:"variant"`
	T       []num           `json:"t"`
	Curves  map[string]band `json:"curves"`
	Faults  []faultDocument `json:"faults"`
}

// A band is a mean with the extremes that it comes from.
type band struct {
	Mean []num `json:"mean"`
	Low  []num `json:"low"`
	High []num `json:"high"`
}

// newOverlays has one for each variant; none where there is one run.
func newOverlays(runs []Run, points int) []overlay {
	all := []overlay{}
	if len(runs) < 2 {
		return all
	}
	longest := 0
	for i := range runs {
		longest = max(longest, len(runs[i].Result.Timeline))
	}
	names, groups := variants(runs)
	for _, name := range names {
		o := overlay{Variant: name, T: []num{}, Curves: map[string]band{}, Faults: []faultDocument{}}
		for _, f := range groups[name][0].Result.Faults {
			o.Faults = append(o.Faults, newFaultDocument(&f, length(groups[name][0].Result)))
		}
		every := max(1, (longest+points-1)/points)
		for from := 0; from < longest; from += every {
			o.add(groups[name], from, from+every)
		}
		all = append(all, o)
	}
	return all
}

// add appends the seconds from one to before another.
func (o *overlay) add(runs []*Run, from, to int) {
	values := map[string][]float64{}
	middle := float64(from+to) / 2
	for _, run := range runs {
		timeline := run.Result.Timeline
		if from >= len(timeline) {
			continue
		}
		g := gather(timeline[from:min(to, len(timeline))])
		middle = (g.from + g.to) / 2
		values["offered"] = append(values["offered"], float64(g.rate(g.offered)))
		values["good"] = append(values["good"], float64(g.rate(g.good)))
		values["errors"] = append(values["errors"], float64(g.rate(errorsOf(g.outcomes))))
		values["degraded"] = append(values["degraded"], float64(g.rate(g.degraded)))
		if g.weight > 0 {
			values["p50"] = append(values["p50"], float64(g.p50()))
			values["p99"] = append(values["p99"], float64(g.p99()))
		}
	}
	if len(values) == 0 {
		return
	}
	o.T = append(o.T, num(middle))
	for _, name := range []string{"good", "offered", "errors", "degraded", "p50", "p99"} {
		b := o.Curves[name]
		b.add(values[name])
		o.Curves[name] = b
	}
}

func (b *band) add(values []float64) {
	if len(values) == 0 {
		b.Mean, b.Low, b.High = append(b.Mean, unknown()), append(b.Low, unknown()), append(b.High, unknown())
		return
	}
	mean, _ := stats.MeanInterval(values, result.Confidence)
	b.Mean = append(b.Mean, num(mean))
	b.Low, b.High = append(b.Low, num(slices.Min(values))), append(b.High, num(slices.Max(values)))
}
