package measure_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// The report of a load and the segments of its run are made of the same
// outcomes by two programs, one of which may run in a pod. They say the same.
func TestReportAndSegmentsAddUp(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 3))
		var profile load.Profile
		var end time.Duration
		var spans []time.Duration
		for range 1 + random.IntN(3) {
			spans = append(spans, time.Duration(1+random.IntN(3000))*time.Millisecond)
			profile.Phases = append(profile.Phases, load.Phase{Duration: unit.Duration(spans[len(spans)-1])})
			end += spans[len(spans)-1]
		}
		profile.Requests = []load.Request{{Service: "web"}}
		schedule := measure.NewSchedule(profile)
		clients := measure.NewClients(schedule)
		r := measure.NewLoad(len(spans), 1)
		var begin time.Duration
		for i, span := range spans {
			r.Begin(begin, span)
			begin += span
			r.End(i, begin)
		}
		for _, o := range randomOutcomes(random, schedule, end) {
			clients.Observe(o)
			r.Add(&o, o.Ended())
		}
		report, err := r.Report(&profile, time.Now(), end+time.Hour, spans)
		if err != nil {
			t.Fatal(err)
		}
		cut := &measure.Segmenter{System: &topology.System{}, Schedule: schedule, Clients: clients, Services: measure.NewServices(schedule)}
		for i, s := range cut.Segments(end) {
			got := &report.Total
			if i > 0 {
				got = &report.Phases[i-1].Stats
			}
			want := &s.Clients
			if got.OfferedRate != want.OfferedRate || got.Rate != want.Rate || got.Goodput != want.Goodput || got.Degraded != want.Degraded || got.Ended != want.Ended {
				t.Fatalf("seed %d, %s %q from %v to %v: the segment says %+v, the report %+v", seed, s.Kind, s.Name, s.From, s.To, *want, *got)
			}
		}
	}
}

// randomOutcomes are those of a load up to an end, in the order of their ends.
func randomOutcomes(random *rand.Rand, schedule *measure.Schedule, end time.Duration) (all []measure.Outcome) {
	for range random.IntN(300) {
		at := time.Duration(random.Int64N(int64(end)))
		o := measure.Outcome{Phase: schedule.Phase(at), Intended: at, Class: outcome.Classes()[random.IntN(len(outcome.Classes()))]}
		if o.Class != outcome.Dropped {
			o.Latency = time.Duration(random.ExpFloat64() * 1e9)
		}
		o.Degraded = o.Class == outcome.OK && random.IntN(2) == 0
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b measure.Outcome) int { return int(a.End() - b.End()) })
	return all
}
