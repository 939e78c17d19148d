package webui

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// keptRuns is how many runs that have ended can be compared.
const keptRuns = 8

// A pastRun is a run that has ended, with what comparing it needs.
type pastRun struct {
	ID      int    `json:"id"`
	Name    string `json:"name"`
	On      string `json:"on"`
	Variant string `json:"variant,omitempty"`
	Seed    uint64 `json:"seed"`
	Passed  bool   `json:"passed"`
	Checks  int    `json:"checks"`
	// Cut says that it stopped early.
	Cut    bool `json:"cut,omitempty"`
	result *result.Result
	curves clientCurves
}

// clientCurves are what the clients saw second by second; null is what is not known.
type clientCurves struct {
	At     []float64  `json:"at"`
	Rate   []*float64 `json:"rate"`
	Errors []*float64 `json:"errors"`
	P99    []*float64 `json:"p99"`
}

// remember keeps a run that has ended, and forgets the oldest.
func (s *Server) remember(r *run) {
	r.mu.Lock()
	res := r.result
	r.mu.Unlock()
	if res == nil {
		return
	}
	p := pastRun{ID: r.id, Name: r.name, On: r.on, Variant: res.Variant, Seed: r.seed, Passed: res.Passed, Checks: len(res.Checks), Cut: res.Incomplete, result: res, curves: r.series.clientCurves()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past = append(s.past, p)
	s.past = s.past[max(0, len(s.past)-keptRuns):]
}

// clientCurves are those of all frames that are kept.
func (s *Series) clientCurves() (c clientCurves) {
	s.mu.Lock()
	frames := s.frames
	s.mu.Unlock()
	known := func(v float32) *float64 {
		if math.IsNaN(float64(v)) {
			return nil
		}
		wide := float64(v)
		return &wide
	}
	for _, f := range frames {
		c.At = append(c.At, float64(f[0]))
		c.Rate, c.Errors, c.P99 = append(c.Rate, known(f[2])), append(c.Errors, known(f[4])), append(c.P99, known(f[6]))
	}
	return c
}

func (s *Server) getRuns(*http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]pastRun{}, s.past...), nil
}

// A pair is what two runs have of one figure; null is what is not known.
type pair [2]*float64

// A comparedService is a service as two runs saw it.
type comparedService struct {
	Service string `json:"service"`
	Rate    pair   `json:"rate"`
	Errors  pair   `json:"errors"`
	P99     pair   `json:"p99"`
}

// A comparison shows two runs beside each other.
type comparison struct {
	Runs      [2]pastRun               `json:"runs"`
	Summaries [2]result.VariantSummary `json:"summaries"`
	// Errors are the shares of requests that failed.
	Errors pair            `json:"errors"`
	Curves [2]clientCurves `json:"curves"`
	// Services are those whose errors or latencies differ most; Others counts the
	// rest.
	Services []comparedService `json:"services"`
	Others   int               `json:"others"`
}

// mostCompared is how many services a comparison lists.
const mostCompared = 20

// getCompare puts two runs beside each other.
func (s *Server) getCompare(r *http.Request) (any, error) {
	var c comparison
	for i, name := range []string{"a", "b"} {
		id, err := strconv.Atoi(r.URL.Query().Get(name))
		if err != nil {
			return nil, badRequest("two runs are compared: write their numbers as a and b")
		}
		s.mu.Lock()
		at := slices.IndexFunc(s.past, func(p pastRun) bool { return p.ID == id })
		if at >= 0 {
			c.Runs[i] = s.past[at]
		}
		s.mu.Unlock()
		if at < 0 {
			return nil, &refusal{http.StatusGone, errors.New("that run is not kept any more: the last 8 are")}
		}
		c.Summaries[i], c.Curves[i] = summaryOf(c.Runs[i].result), c.Runs[i].curves
		if whole := wholeRun(c.Runs[i].result); whole != nil {
			c.Errors[i] = known(share(whole.Clients.Errors, whole.Clients.Requests))
		}
	}
	c.services()
	return c, nil
}

// summaryOf is what a comparison of variants says of one result. A run that was cut
// short is compared by what it has.
func summaryOf(r *result.Result) result.VariantSummary {
	whole := *r
	whole.Variant, whole.Incomplete = "", false
	e := &experiment.Experiment{Rank: experiment.Rank{Metric: experiment.NoRank}}
	return result.Compare(e, []experiment.Variant{{}}, []uint64{r.Seed}, []*result.Result{&whole}, nil).Variants[0]
}

func wholeRun(r *result.Result) *result.Segment {
	for i := range r.Segments {
		if r.Segments[i].Kind == result.WholeRun {
			return &r.Segments[i]
		}
	}
	return nil
}

func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// services compares those that either run has, the most different first.
func (c *comparison) services() {
	index := map[string]int{}
	for i := range c.Runs {
		whole := wholeRun(c.Runs[i].result)
		if whole == nil {
			continue
		}
		for j := range whole.Services {
			v := &whole.Services[j]
			at, seen := index[v.Service]
			if !seen {
				at = len(c.Services)
				index[v.Service] = at
				c.Services = append(c.Services, comparedService{Service: v.Service})
			}
			row := &c.Services[at]
			row.Rate[i], row.Errors[i] = known(v.Rate), known(share(v.Errors, v.Requests))
			if v.Latency != nil {
				if p99, between := v.Latency.Of(experiment.P99); between == nil {
					row.P99[i] = known(p99)
				}
			}
		}
	}
	slices.SortStableFunc(c.Services, func(a, b comparedService) int { return cmp.Compare(b.differs(), a.differs()) })
	c.Others = max(0, len(c.Services)-mostCompared)
	c.Services = c.Services[:len(c.Services)-c.Others]
}

// differs is by how much: the difference of the shares of errors, and the factor
// between the latencies on a scale on which tenfold counts as all errors.
func (s *comparedService) differs() (d float64) {
	if a, b := s.Errors[0], s.Errors[1]; a != nil && b != nil {
		d = math.Abs(*a - *b)
	}
	if a, b := s.P99[0], s.P99[1]; a != nil && b != nil && *a > 0 && *b > 0 {
		d = max(d, math.Abs(math.Log10(*a / *b)))
	}
	return d
}
