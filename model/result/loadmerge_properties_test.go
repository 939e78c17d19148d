package result

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// randomStats are what a generator could have counted; at times nothing.
func randomStats(t *testing.T, random *rand.Rand, elapsed time.Duration) (s LoadStats) {
	t.Helper()
	s = LoadStats{Outcomes: map[outcome.Class]int64{}, Sending: elapsed.Seconds() / 2, Seconds: elapsed.Seconds()}
	defer s.SetRates()
	if random.IntN(4) == 0 {
		return s
	}
	var latencies stats.Recorder
	for range random.IntN(50) {
		s.Arrivals++
		if random.IntN(5) == 0 {
			s.Dropped++
			s.Outcomes[outcome.Dropped]++
			continue
		}
		s.Sent++
		s.Ended += random.Int64N(2)
		s.Good = min(s.Good+random.Int64N(2), s.Ended)
		s.Degraded += random.Int64N(2)
		s.Late += random.Int64N(2)
		latency := time.Duration(random.ExpFloat64() * 1e8)
		latencies.Record(latency)
		if random.IntN(5) == 0 {
			s.Outcomes[outcome.Timeout]++
			continue
		}
		status, class := 200, outcome.OK
		if random.IntN(3) == 0 {
			status, class = 500+random.IntN(5), outcome.HTTPError
		}
		if s.Statuses == nil {
			s.Statuses = map[string]int64{}
		}
		s.Statuses[strconv.Itoa(status)]++
		s.Outcomes[class]++
		s.Bytes += random.Int64N(1000)
	}
	setLatency(t, &s, &latencies)
	return s
}

// randomReports are those of shares of one load, which have the same phases and
// requests.
func randomReports(t *testing.T, random *rand.Rand) []*LoadReport {
	t.Helper()
	phases, requests := 1+random.IntN(3), random.IntN(3)
	reports := make([]*LoadReport, 3+random.IntN(3))
	for i := range reports {
		r := &LoadReport{
			Started: time.Unix(1000, random.Int64N(1e9)), Elapsed: time.Second + time.Duration(random.Int64N(10e9)), Incomplete: random.IntN(5) == 0,
		}
		r.Total = randomStats(t, random, r.Elapsed)
		for n := range phases {
			r.Phases = append(r.Phases, PhaseReport{"phase " + strconv.Itoa(n), randomStats(t, random, r.Elapsed)})
		}
		for n := range requests {
			r.Requests = append(r.Requests, RequestReport{"request " + strconv.Itoa(n), randomStats(t, random, r.Elapsed)})
		}
		reports[i] = r
	}
	return reports
}

func mustMerge(t *testing.T, reports ...*LoadReport) *LoadReport {
	t.Helper()
	whole, err := MergeLoads(reports...)
	if err != nil {
		t.Fatal(err)
	}
	return whole
}

// eachMerge calls check with many random lists of reports, which check must not
// change.
func eachMerge(t *testing.T, check func(t *testing.T, random *rand.Rand, reports []*LoadReport)) {
	t.Helper()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		reports := randomReports(t, random)
		before, _ := json.Marshal(reports) // plain data
		check(t, random, reports)
		if after, _ := json.Marshal(reports); string(before) != string(after) {
			t.Errorf("merging changed the reports that were merged:\n%s\n%s", before, after)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// sameLoad compares reports. Rates and means are sums of floating-point numbers,
// so that their order shows in the last digits.
func sameLoad(want, got *LoadReport) string {
	return cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 1e-12), cmpopts.EquateEmpty())
}

func TestMergeHeedsNoOrder(t *testing.T) {
	eachMerge(t, func(t *testing.T, random *rand.Rand, reports []*LoadReport) {
		shuffled := slices.Clone(reports)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := sameLoad(mustMerge(t, reports...), mustMerge(t, shuffled...)); diff != "" {
			t.Errorf("merged in one order (-) and in another (+):\n%s", diff)
		}
	})
}

func TestMergeHeedsNoGroups(t *testing.T) {
	eachMerge(t, func(t *testing.T, random *rand.Rand, reports []*LoadReport) {
		at := 1 + random.IntN(len(reports)-1)
		inGroups := mustMerge(t, mustMerge(t, reports[:at]...), mustMerge(t, reports[at:]...))
		if diff := sameLoad(mustMerge(t, reports...), inGroups); diff != "" {
			t.Errorf("merged at once (-) and in two groups (+):\n%s", diff)
		}
		if diff := sameLoad(reports[0], mustMerge(t, reports[0])); diff != "" {
			t.Errorf("one report (-) and merged with no other (+):\n%s", diff)
		}
	})
}

// Every count of the whole, in total, by phase and by request, is the sum of
// those of the shares.
func TestMergedCountsAreSums(t *testing.T) {
	counts := func(s *LoadStats) map[string]int64 {
		all := map[string]int64{"arrivals": s.Arrivals, "sent": s.Sent, "late": s.Late, "dropped": s.Dropped, "bytes": s.Bytes, "degraded": s.Degraded, "ended": s.Ended, "good": s.Good}
		for class, n := range s.Outcomes {
			all["outcome "+string(class)] = n
		}
		for status, n := range s.Statuses {
			all["status "+status] = n
		}
		return all
	}
	parts := func(r *LoadReport) map[string]*LoadStats {
		all := map[string]*LoadStats{"total": &r.Total}
		for i := range r.Phases {
			all[r.Phases[i].Name] = &r.Phases[i].Stats
		}
		for i := range r.Requests {
			all[r.Requests[i].Name] = &r.Requests[i].Stats
		}
		return all
	}
	eachMerge(t, func(t *testing.T, _ *rand.Rand, reports []*LoadReport) {
		want, got := map[string]map[string]int64{}, map[string]map[string]int64{}
		for name, s := range parts(mustMerge(t, reports...)) {
			got[name], want[name] = counts(s), map[string]int64{}
		}
		for _, r := range reports {
			for name, s := range parts(r) {
				for what, n := range counts(s) {
					want[name][what] += n
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sums of the shares (-) and counts of the whole (+):\n%s", diff)
		}
	})
}
