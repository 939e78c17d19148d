package search

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// SweepKind marks the document of a sweep.
const SweepKind = "Sweep"

// MaxPoints bounds the points of a grid.
const MaxPoints = 2000

// A Sweep says how figures change with settings. Its JSON may get further fields.
type Sweep struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Variant    string `json:"variant,omitempty"`
	Target     string `json:"target"`
	// Costs says where the runs have from what requests, calls and sleeps take.
	Costs *result.Costs `json:"costs,omitempty"`
	// Command repeats the sweep.
	Command string   `json:"command,omitempty"`
	Seeds   []uint64 `json:"seeds"`
	// Confidence is that of each interval by itself, which are Student's over the
	// seeds.
	Confidence float64 `json:"confidence"`
	// Incomplete is set where not all points were played; Why says for what.
	Incomplete bool   `json:"incomplete"`
	Why        string `json:"incompleteBecause,omitempty"`

	Vary []Variation `json:"vary"`
	// Phase is what the figures are of; empty means the whole run.
	Phase   string            `json:"phase,omitempty"`
	Figures []experiment.Rank `json:"figures"`
	Points  []GridPoint       `json:"points"`
	Knees   []KneeAt          `json:"knees"`
}

// A GridPoint is what one combination of settings showed.
type GridPoint struct {
	// Settings are the values, in the order of Vary.
	Settings []string `json:"settings"`
	// Figures are in the order of the sweep's; null where there is no data. Their
	// values are in the order of the seeds, which are the same at all points, so that
	// differences can be taken seed by seed.
	Figures []*result.Figure `json:"figures"`
	// Held counts the runs in which all checks of the experiment held.
	Held int `json:"held"`
	Runs int `json:"runs"`
}

// A KneeAt is the knee of one figure along the first setting.
type KneeAt struct {
	Figure string `json:"figure"`
	// Settings are the values of the other settings.
	Settings []string `json:"settings,omitempty"`
	// Value is that of the first setting at the knee of the means.
	Value string `json:"value"`
	// Low and High are the least and the greatest of the knees of single seeds; Found
	// counts the seeds whose curves have one.
	Low   string `json:"low,omitempty"`
	High  string `json:"high,omitempty"`
	Found int    `json:"found"`
	// point is its index.
	point int
}

// Point is the index of the knee's point.
func (k *KneeAt) Point() int { return k.point }

// Encode writes the sweep as JSON.
func (s *Sweep) Encode(w io.Writer) error { return encode(w, s, "the sweep of "+s.Name) }

// A Grid says what a sweep plays.
type Grid struct {
	Vary    []Variation
	Seeds   int
	Phase   string
	Figures []experiment.Rank
	// Played is told of each point when it was played; it may be nil.
	Played func(done, all int)
}

// Points are the experiments of a grid with their settings; the last setting
// changes fastest. All mistakes are found before anything is played.
func (g *Grid) Points(e experiment.Experiment) (list []experiment.Experiment, settings [][]string, err error) {
	all := 1
	for _, v := range g.Vary {
		if all *= len(v.Values); all > MaxPoints {
			return nil, nil, fmt.Errorf("the grid has more than %d points: take fewer values", MaxPoints)
		}
	}
	for i := range all {
		point, values, rest := e, make([]string, len(g.Vary)), i
		for j := len(g.Vary) - 1; j >= 0; j-- {
			v := &g.Vary[j]
			values[j] = v.Values[rest%len(v.Values)]
			rest /= len(v.Values)
		}
		for j := range g.Vary {
			if point, err = Set(point, g.Vary[j].Path, values[j]); err != nil {
				return nil, nil, err
			}
		}
		point.Load = point.Load.WithDefaults()
		if err := point.Validate().Err(); err != nil {
			return nil, nil, fmt.Errorf("with %s: %w", g.where(values), err)
		}
		list, settings = append(list, point), append(settings, values)
	}
	return list, settings, nil
}

func (g *Grid) where(values []string) string {
	var parts []string
	for i, v := range g.Vary {
		parts = append(parts, v.Path+"="+values[i])
	}
	return joinNames(parts)
}

// Sweep plays all points. An error ends it early; the sweep then has the points
// that were played, and says that it is incomplete. The caller fills in Target and
// Command.
func (g *Grid) Sweep(e experiment.Experiment, play Player) (*Sweep, error) {
	s := &Sweep{
		APIVersion: result.ResultVersion, Kind: SweepKind, Name: e.Name, Variant: e.AppliedVariant,
		Confidence: result.Confidence, Vary: g.Vary, Phase: g.Phase, Figures: g.Figures, Points: []GridPoint{}, Knees: []KneeAt{},
	}
	for i := range g.Seeds {
		s.Seeds = append(s.Seeds, e.Seed+uint64(i))
	}
	list, settings, err := g.Points(e)
	if err != nil {
		return nil, err
	}
	for i, point := range list {
		runs, err := play(point, s.Seeds)
		if err != nil {
			s.Incomplete, s.Why = true, err.Error()
			s.knees()
			return s, err
		}
		s.Points = append(s.Points, g.point(settings[i], runs))
		if g.Played != nil {
			g.Played(i+1, len(list))
		}
	}
	s.knees()
	return s, nil
}

func (g *Grid) point(settings []string, runs []Run) GridPoint {
	p := GridPoint{Settings: settings, Runs: len(runs)}
	for _, f := range g.Figures {
		f.Phase = g.Phase
		p.Figures = append(p.Figures, figureOf(f, runs))
	}
	for _, r := range runs {
		if r.Result.Passed {
			p.Held++
		}
	}
	return p
}

// figureOf is the mean of a figure over runs; nil where one has no data.
func figureOf(f experiment.Rank, runs []Run) *result.Figure {
	c, err := f.Condition()
	if err != nil {
		return nil
	}
	var values []float64
	for _, r := range runs {
		v, why := r.Result.Value(experiment.Check{Service: f.Service, From: f.From, Phase: f.Phase}, c)
		// A value that is only known to be beyond a bound has no mean.
		if _, high := v.Bounds(); why != "" || math.IsNaN(v.Number) || math.IsInf(high, 1) {
			return nil
		}
		values = append(values, v.Number)
	}
	if len(values) == 0 {
		return nil
	}
	mean, interval := stats.MeanInterval(values, result.Confidence)
	figure := &result.Figure{Mean: mean, Values: values}
	if len(values) > 1 {
		low := max(interval.Low, 0) // no figure is below
		figure.Low, figure.High = &low, &interval.High
	}
	return figure
}

// knees looks for the knees of all figures along the first setting, for each
// combination of the others.
func (s *Sweep) knees() {
	first := s.Vary[0]
	if len(first.Numbers) != len(first.Values) || s.Incomplete {
		return
	}
	for c := range s.curves() {
		for f := range s.Figures {
			if k, ok := s.knee(c, f); ok {
				s.Knees = append(s.Knees, k)
			}
		}
	}
}

// curves is how many curves there are along the first setting.
func (s *Sweep) curves() int { return len(s.Points) / max(len(s.Vary[0].Values), 1) }

// Curve returns the points of a curve in the order of the first setting: their
// indexes and its values.
func (s *Sweep) Curve(c int) (points []int, x []float64) {
	each := s.curves()
	for i := range s.Vary[0].Values {
		points = append(points, i*each+c)
	}
	x = slices.Clone(s.Vary[0].Numbers)
	slices.SortFunc(points, func(a, b int) int {
		if x[a/each] < x[b/each] {
			return -1
		}
		return 1
	})
	slices.Sort(x)
	return points, x
}

// Curves is how many curves there are along the first setting, if it has numbers
// and all points were played.
func (s *Sweep) Curves() int {
	if len(s.Vary[0].Numbers) != len(s.Vary[0].Values) || s.Incomplete {
		return 0
	}
	return s.curves()
}

func (s *Sweep) knee(c, f int) (k KneeAt, ok bool) {
	points, x := s.Curve(c)
	var mean []float64
	noise := 0.0
	for _, p := range points {
		figure := s.Points[p].Figures[f]
		if figure == nil {
			return k, false
		}
		mean = append(mean, figure.Mean)
		if figure.High != nil {
			noise = max(noise, *figure.High-figure.Mean)
		}
	}
	at, ok := Knee(x, mean)
	// A curve that is flat but for chance has no knee.
	if !ok || slices.Max(mean)-slices.Min(mean) <= noise {
		return k, false
	}
	k = KneeAt{Figure: s.FigureName(f), Settings: s.Points[points[at]].Settings[1:], Value: s.Points[points[at]].Settings[0], point: points[at]}
	low, high := len(points), -1
	for seed := range s.Seeds {
		y := make([]float64, len(points))
		for i, p := range points {
			y[i] = s.Points[p].Figures[f].Values[seed]
		}
		if i, ok := Knee(x, y); ok {
			k.Found++
			low, high = min(low, i), max(high, i)
		}
	}
	if k.Found > 0 {
		k.Low, k.High = s.Points[points[low]].Settings[0], s.Points[points[high]].Settings[0]
	}
	return k, true
}

// FigureName names a figure with its subject.
func (s *Sweep) FigureName(f int) string {
	rank := s.Figures[f]
	if check := (experiment.Check{Service: rank.Service, From: rank.From}); rank.Service != "" {
		return string(rank.Metric) + " of " + check.Subject()
	}
	return string(rank.Metric)
}

// WriteCSV writes a row for each point: its settings, and of each figure the mean
// and the ends of its interval, in seconds, shares of 1 and per second. Unknown
// figures are empty.
func (s *Sweep) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	var head []string
	for _, v := range s.Vary {
		head = append(head, v.Path)
	}
	for f := range s.Figures {
		name := s.FigureName(f)
		head = append(head, name, name+"_low", name+"_high")
	}
	rows := [][]string{append(head, "runs", "held")}
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	for _, p := range s.Points {
		row := slices.Clone(p.Settings)
		for _, f := range p.Figures {
			if f == nil {
				row = append(row, "", "", "")
				continue
			}
			row = append(row, number(&f.Mean), number(f.Low), number(f.High))
		}
		rows = append(rows, append(row, strconv.Itoa(p.Runs), strconv.Itoa(p.Held)))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing the sweep of %q as CSV: %w", s.Name, err)
	}
	return nil
}

// ParseFigure reads a figure in the words of checks: "p99" of what clients see,
// "cart: p99" of a service, "web->cart: errors" of its calls.
func ParseFigure(text string) (experiment.Rank, error) {
	subject, metric, has := strings.Cut(text, ":")
	if !has {
		subject, metric = "", text
	}
	f := experiment.Rank{Metric: experiment.Metric(strings.ToLower(strings.TrimSpace(metric)))}
	if has {
		t, err := fault.ParseTarget(strings.TrimSpace(subject))
		if err != nil || t.Replica != 0 || t.Endpoint != "" {
			return f, fmt.Errorf("figure %q: %q is neither a service (cart: p99) nor a pair of caller and callee (web->cart: errors)", text, subject)
		}
		f.Service, f.From = t.Service, t.From
	}
	if _, err := f.Condition(); err != nil {
		return f, fmt.Errorf("figure %q: %w", text, err)
	}
	return f, nil
}
