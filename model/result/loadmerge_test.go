package result

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// ended is what became of one request.
type ended struct {
	Class   outcome.Class
	Status  int
	Bytes   int64
	Latency time.Duration
}

// reportOf counts outcomes as a generator does: all in phase 0, request 0.
func reportOf(t *testing.T, elapsed time.Duration, outcomes []ended) *LoadReport {
	t.Helper()
	s := LoadStats{Outcomes: map[outcome.Class]int64{}}
	var latencies stats.Recorder
	for _, o := range outcomes {
		s.Arrivals++
		s.Outcomes[o.Class]++
		if o.Class == outcome.Dropped {
			s.Dropped++
			continue
		}
		s.Sent++
		s.Ended++
		if o.Class == outcome.OK {
			s.Good++
		}
		s.Bytes += o.Bytes
		if o.Status != 0 {
			if s.Statuses == nil {
				s.Statuses = map[string]int64{}
			}
			s.Statuses[strconv.Itoa(o.Status)]++
		}
		latencies.Record(o.Latency)
	}
	s.Sending, s.Seconds = elapsed.Seconds(), elapsed.Seconds()
	s.SetRates()
	setLatency(t, &s, &latencies)
	return &LoadReport{
		Elapsed: elapsed, Total: s, Phases: []PhaseReport{{Name: "steady", Stats: s}}, Requests: []RequestReport{{Name: "front", Stats: s}},
	}
}

func setLatency(t *testing.T, s *LoadStats, latencies *stats.Recorder) {
	t.Helper()
	least, most, ok := latencies.Extremes()
	if !ok {
		return
	}
	var h stats.Histogram
	latencies.AddTo(&h)
	if err := s.SetLatency(&h, least, most); err != nil {
		t.Fatal(err)
	}
}

func TestMergedSharesAreTheWhole(t *testing.T) {
	classes := []ended{{Class: outcome.OK, Status: 200, Bytes: 100}, {Class: outcome.HTTPError, Status: 503, Bytes: 10}, {Class: outcome.Timeout}, {Class: outcome.Dropped}}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		shares := make([][]ended, 1+random.IntN(5))
		var all []ended
		for range random.IntN(3000) {
			o := classes[random.IntN(len(classes))]
			o.Latency = time.Duration(random.ExpFloat64() * 1e8)
			all = append(all, o)
			i := random.IntN(len(shares))
			shares[i] = append(shares[i], o)
		}
		whole := reportOf(t, 10*time.Second, all)
		var reports []*LoadReport
		for _, share := range shares {
			reports = append(reports, reportOf(t, 10*time.Second, share))
		}
		merged, err := MergeLoads(reports...)
		if err != nil {
			t.Fatal(err)
		}
		// Means are sums of floating-point numbers in another order.
		if diff := cmp.Diff(whole, merged, cmpopts.EquateApprox(1e-9, 0), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("seed %d, %d shares: the whole (-) and the merged shares (+) differ:\n%s", seed, len(shares), diff)
		}
	}
}

func TestMergeKeepsTheExtentOfTheShares(t *testing.T) {
	at := time.Unix(1000, 0)
	long := reportOf(t, 8*time.Second, []ended{{Class: outcome.OK, Status: 200, Latency: time.Millisecond}})
	short := reportOf(t, 3*time.Second, nil)
	long.Started, short.Started, short.Incomplete = at.Add(time.Second), at, true
	merged, err := MergeLoads(long, short)
	if err != nil {
		t.Fatal(err)
	}
	if merged.Elapsed != 8*time.Second || !merged.Started.Equal(at) || !merged.Incomplete {
		t.Errorf("the merged load began at %v, took %v, incomplete %v", merged.Started, merged.Elapsed, merged.Incomplete)
	}
	if got := merged.Total.Rate; math.Abs(got-0.125) > 1e-9 {
		t.Errorf("one answer in 8 s is a rate of %v", got)
	}
}

func TestMergeRefusesWhatDoesNotFit(t *testing.T) {
	one := reportOf(t, time.Second, []ended{{Class: outcome.OK, Status: 200, Latency: time.Millisecond}})
	other := *one
	other.Phases = nil
	broken := *one
	broken.Total.Histogram = "no histogram"
	for name, reports := range map[string][]*LoadReport{"nothing": nil, "other phases": {one, &other}, "a broken histogram": {one, &broken}} {
		if merged, err := MergeLoads(reports...); err == nil {
			t.Errorf("%s was merged to %+v", name, merged)
		}
	}
}
