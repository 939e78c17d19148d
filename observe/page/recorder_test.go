package page

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// record feeds a recorder one sample a second.
func record(seconds int, sample func(second int) measure.Sample) *Series {
	var r Recorder
	for second := range seconds {
		r.Observe(runner.ServiceSampled{At: time.Duration(second+1) * time.Second, Sample: sample(second)})
	}
	return r.Series()
}

func steady(second int) measure.Sample { return shop().sample(0, second, "web") }

func TestRecorderLosesNothing(t *testing.T) {
	for _, seconds := range []int{1, 59, MaxPoints, MaxPoints + 1, 3*MaxPoints + 7, 9 * MaxPoints} {
		track := record(seconds, steady).services["web"]
		if len(track.points) > MaxPoints || len(track.points) < min(seconds, MaxPoints/2) {
			t.Errorf("%d seconds are kept in %d points", seconds, len(track.points))
		}
		var want, got int64
		for second := range seconds {
			s := steady(second)
			want += s.Requests
		}
		known, last := 0.0, 0.0
		for _, p := range track.points {
			got += p.requests
			known += p.known
			if p.from != last || p.to <= p.from {
				t.Fatalf("a point from %g to %g follows one to %g", p.from, p.to, last)
			}
			last = p.to
		}
		if got != want || known != float64(seconds) {
			t.Errorf("of %d seconds with %d requests %g seconds with %d are kept", seconds, want, known, got)
		}
		for _, limit := range []int{1, 7, 720} {
			if n := len(track.atMost(limit)); n > limit {
				t.Errorf("%d points are drawn where %d fit", n, limit)
			}
		}
	}
}

func TestDrawingFewerPointsLeavesTheRecordAlone(t *testing.T) {
	series := record(500, steady)
	before := pointCurves(series.services["web"].points)
	series.services["web"].atMost(10)
	if after := pointCurves(series.services["web"].points); !reflect.DeepEqual(before, after) {
		t.Error("the points that were kept have changed")
	}
}

func TestMergedPointsAddUp(t *testing.T) {
	sample := func(n int64) *measure.Sample {
		s := &measure.Sample{
			Elapsed: time.Second, Counted: time.Second, Requests: 10 * n, Rate: float64(10 * n), Errors: n, Codes: map[string]int64{"200": 9 * n, "503": n},
			InFlight: n, QueueLength: 4 - n, CPUSeconds: measure.Amount{Value: 0.5, Known: true}, MemoryBytes: n, Up: int(n), Replicas: 2, Lag: measure.Lag{Messages: 5 * n, Seconds: float64(n), Known: true},
			Calls: []measure.CallSample{{Callee: "db", Calls: map[outcome.Class]int64{outcome.OK: n, outcome.BreakerOpen: 3 * n, outcome.Cancelled: 7}}},
		}
		s.Latency.Add(time.Duration(n)*time.Second, 10*n)
		return s
	}
	p, q := newPoint(1, sample(1)), newPoint(2, sample(2))
	p.merge(&q)
	c := pointCurves([]point{p})
	for name, pair := range map[string][2]num{
		"time": {c.T[0], 1}, "rate": {c.Rate[0], 15}, "errors": {c.Errors[0], 1.5}, "status 503": {c.Codes["503"][0], 1.5}, "in flight": {c.InFlight[0], 2}, "queue": {c.Queue[0], 3},
		"cores": {c.CPU[0], 0.5}, "memory": {c.Memory[0], 2}, "lag": {c.Lag[0], 10}, "age of the lag": {c.LagAge[0], 2}, "up": {c.Up[0], 1}, "held back": {c.Held["db"][0], 0.75}, "breaker open": {c.Classes["breaker_open"][0], 4.5},
	} {
		if pair[0]-pair[1] > 1e-9 || pair[1]-pair[0] > 1e-9 {
			t.Errorf("%s is %v, not %v", name, pair[0], pair[1])
		}
	}
	if p50 := float64(c.P50[0]); p50 < 1.99 || p50 > 2.01 {
		t.Errorf("p50 of 10 requests of 1 s and 20 of 2 s is %v s", p50)
	}
	store := measure.Sample{Elapsed: time.Second, Counted: time.Second, Requests: 3, Errors: 1, Codes: map[string]int64{"ok": 2, "error": 1}, Up: 1, Replicas: 1}
	if c := pointCurves([]point{newPoint(1, &store)}); len(c.Codes) != 1 || c.Codes["error"] == nil {
		t.Errorf("of a data store the answers that went wrong are %v", c.Codes)
	}
	none := measure.Sample{Elapsed: time.Second, Up: 1, Replicas: 1}
	if c := pointCurves([]point{newPoint(1, &none)}); c.Lag != nil || c.LagAge != nil {
		t.Errorf("a service without consumers has the lag %v, %v", c.Lag, c.LagAge)
	}
	if len(c.Classes["cancelled"]) > 0 {
		t.Error("calls that were cut off are drawn")
	}
}

func TestServiceThatIsDownIsUnknown(t *testing.T) {
	series := record(3, func(second int) measure.Sample {
		s := steady(second)
		if second == 1 {
			s.Up = 0
		}
		return s
	})
	c := serviceCurves(series, maxCurve)["web"]
	if text, _ := c.Rate[1].MarshalJSON(); string(text) != "null" || c.Up[1] != 0 || c.Rate[2] == 0 {
		t.Errorf("a service that is down has the rates %v, and answers %v", c.Rate, c.Up)
	}
}

func TestLastMomentIsNoFall(t *testing.T) {
	var r Recorder
	r.Observe(runner.ServiceSampled{At: time.Second, Sample: steady(0)})
	s := steady(1)
	s.Elapsed, s.Requests, s.Last = 100*time.Millisecond, 0, true
	r.Observe(runner.ServiceSampled{At: 1100 * time.Millisecond, Sample: s})
	points := r.Series().services["web"].points
	if len(points) != 1 || points[0].to != 1.1 || points[0].requests != steady(0).Requests {
		t.Errorf("the points are %+v", points)
	}
}

// A sample that took long, as where the watching was held up, does not change
// those after it.
func TestSlowSampleFlattensNothing(t *testing.T) {
	var r Recorder
	at := time.Duration(0)
	for second := range 111 {
		s := steady(second)
		if second == 10 {
			s.Elapsed = 2600 * time.Millisecond
		}
		at += s.Elapsed
		r.Observe(runner.ServiceSampled{At: at, Sample: s})
	}
	if n := len(r.Series().services["web"].points); n != 111 {
		t.Errorf("111 samples are kept in %d points", n)
	}
}

// bigSample is what one of many services did in a second.
func bigSample(service string, random *rand.Rand) measure.Sample {
	const n = 100
	s := measure.Sample{Service: service, Elapsed: time.Second, Counted: time.Second, Requests: n, Rate: n, Up: 1, Replicas: 1, Codes: map[string]int64{"200": n}}
	for range n {
		s.Latency.Add(time.Duration(math.Exp(random.NormFloat64())*float64(20*time.Millisecond)), 1)
	}
	for c := range 5 {
		s.Calls = append(s.Calls, measure.CallSample{Callee: "callee-" + strconv.Itoa(c), Calls: map[outcome.Class]int64{outcome.OK: n}})
	}
	return s
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// However long a run of a large system takes, recording it takes less than 100
// MB, and little when it has ended.
func TestRecorderOfAThousandServicesIsBounded(t *testing.T) {
	const services = 1000
	random := rand.New(rand.NewPCG(1, 1))
	before := heap()
	var r Recorder
	samples := make([]measure.Sample, 50)
	for i := range samples {
		samples[i] = bigSample("", random)
	}
	for second := range 4*fewest - 1 { // as many points as there are ever
		for i := range services {
			s := samples[random.IntN(len(samples))]
			s.Service = "service-" + strconv.Itoa(i)
			if i == services/2 {
				s.Errors = 50
			}
			r.Observe(runner.ServiceSampled{At: time.Duration(second+1) * time.Second, Sample: s})
		}
	}
	const mega = 1e6
	if used := heap() - before; used > 100*mega {
		t.Errorf("recording takes %d MB", used/mega)
	} else {
		t.Logf("recording takes %d MB", used/mega)
	}
	const runs = 20
	finished := r.Finish(runs)
	if used := heap() - before; used > 3*mega {
		t.Errorf("one of %d runs takes %d KB when it has ended", runs, used/1000)
	}
	if _, kept := finished.curves["service-500"]; !kept || finished.count() != budget/minCurve/runs || finished.count()+finished.left != services {
		t.Errorf("%d curves of %d services, that of the one with errors kept: %v", finished.count(), services, kept)
	}
	runtime.KeepAlive(&r)
}

// A finished run keeps the curves that would have been drawn of it.
func TestFinishKeepsTheCurves(t *testing.T) {
	want := serviceCurves(record(3000, steady), pointsPerTrack(3))["web"]
	var r Recorder
	for second := range 3000 {
		r.Observe(runner.ServiceSampled{At: time.Duration(second+1) * time.Second, Sample: steady(second)})
	}
	finished := r.Finish(3)
	got, err := json.Marshal(serviceCurves(finished, 7)["web"])
	if err != nil {
		t.Fatal(err)
	}
	if drawn, _ := json.Marshal(want); string(got) != string(drawn) {
		t.Errorf("kept are\n%s\nand not\n%s", got, drawn)
	}
	if len(r.Series().services) > 0 {
		t.Error("the recorder still holds the samples")
	}
}

func BenchmarkRecorderMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var r Recorder
		const services = 20
		for second := range 2 * MaxPoints {
			for i, name := range shop().services() {
				for copies := range services / 10 {
					s := shop().sample(i, second, name)
					s.Service += string(rune('a' + copies))
					r.Observe(runner.ServiceSampled{At: time.Duration(second+1) * time.Second, Sample: s})
				}
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		points := 0
		for _, t := range r.Series().services {
			points += cap(t.points)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(points), "B/point")
		runtime.KeepAlive(&r)
	}
}
