package account

import (
	"errors"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

const aSecond = unit.Duration(time.Second)

// epoch is the zero of elapsed times in all tests.
var epoch = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * 1e9)) }

// open is the account of 10 s of load on web and cart.
func open(t *testing.T, change func(*experiment.Experiment)) *Account {
	t.Helper()
	e := experiment.Experiment{
		Name: "small", Seed: 1,
		System: topology.System{Name: "small", Services: []topology.Service{topology.NewService("web", topology.CallTo("cart")), topology.NewService("cart")}},
		Load: load.Profile{
			Requests: []load.Request{{Service: "web"}},
			Phases:   []load.Phase{{Name: "one", Duration: 4 * aSecond, Rate: 10}, {Name: "two", Duration: 6 * aSecond, Rate: 10}},
		}.WithDefaults(),
	}
	if change != nil {
		change(&e)
	}
	if err := e.Validate().Err(); err != nil {
		t.Fatal(err)
	}
	a, err := New(e, Origin{Target: "virtual", Versions: map[string]string{"program": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	a.Start(at(-2))
	return a
}

func sampleOf(service string, seconds float64, inFlight int64) *measure.Sample {
	return &measure.Sample{At: at(seconds), Elapsed: time.Second, Service: service, Requests: 5, Up: 1, Replicas: 1, InFlight: inFlight}
}

func TestFinishBeforeTheLoad(t *testing.T) {
	a := open(t, nil)
	if _, _, counts := a.Sample(sampleOf("web", -1, 0)); counts {
		t.Error("a sample of before the load counts")
	}
	r := a.Finish(at(-1), errors.New("no room"))
	if !r.Incomplete || r.Why != "no room" || r.Passed || len(r.Segments) != 0 || !r.LoadStarted.IsZero() || !r.Started.Equal(at(-2)) || !r.Ended.Equal(at(-1)) {
		t.Errorf("result %+v", r)
	}
	if r.Target != "virtual" || r.Versions["program"] != "1" || r.Seed != 1 {
		t.Errorf("origin %q, %v", r.Target, r.Versions)
	}
}

func TestCutShort(t *testing.T) {
	a := open(t, nil)
	a.Begin(at(0))
	a.Outcome(measure.Outcome{Phase: 0, Intended: time.Second, Latency: time.Millisecond, Class: outcome.OK})
	r := a.Finish(at(3), errors.New("stopped by hand"))
	if whole := r.Segments[0]; whole.To != 3 || whole.Clients.Requests != 1 || len(r.Segments) != 2 {
		t.Errorf("segments %+v", r.Segments)
	}
}

func TestPhasesBeginOnce(t *testing.T) {
	a := open(t, nil)
	a.Begin(at(0))
	var begun []Phase
	for _, now := range []float64{0, 1, 4, 4.1, 9} {
		if p, ok := a.NextPhase(at(now)); ok {
			begun = append(begun, p)
		}
	}
	if len(begun) != 2 || begun[0] != (Phase{0, 0, "one"}) || begun[1] != (Phase{4 * time.Second, 1, "two"}) {
		t.Errorf("phases %+v", begun)
	}
	if s, _ := a.Second(at(9.5)); s.Phase != 1 || s.Seconds != 9.5 {
		t.Errorf("second %+v", s)
	}
}

func TestAbort(t *testing.T) {
	a := open(t, func(e *experiment.Experiment) {
		e.AbortOn, e.AbortWindow = []experiment.Check{{Expr: "errors > 50%"}}, 2*aSecond
	})
	a.Begin(at(0))
	class := map[bool]outcome.Class{false: outcome.OK, true: outcome.Timeout}
	for second := 1; ; second++ {
		for i := range 10 {
			a.Outcome(measure.Outcome{Intended: time.Duration(second-1) * time.Second, Latency: time.Millisecond, Class: class[second > 3 && i < 6]})
		}
		s, abort := a.Second(at(float64(second)))
		if s.Requests() != 10 {
			t.Fatalf("second %d: %+v", second, s)
		}
		if abort == nil {
			continue
		}
		if second != 5 || abort.At != 5 || abort.Value != 0.6 {
			t.Errorf("in second %d: %+v", second, abort)
		}
		a.Abort(abort)
		a.EndLoad(&result.LoadReport{Elapsed: 5 * time.Second, Incomplete: true})
		r := a.Finish(at(5), nil)
		if r.Aborted != abort || !r.Incomplete || r.Why != abort.Why || r.Passed || r.Segments[0].To != 5 {
			t.Errorf("result %+v", r)
		}
		return
	}
}

func TestTailUntilIdle(t *testing.T) {
	for name, test := range map[string]struct {
		// from and to are when cart has a request in flight.
		from, to float64
		want     result.Tail
	}{
		"at once":    {0, 0, result.Tail{Length: 1, Idle: true}},
		"later":      {0, 13, result.Tail{Length: 4, Idle: true}},
		"in between": {12, 12, result.Tail{Length: 3, Idle: true}},
		"never":      {0, 99, result.Tail{Length: 20}},
		"too late":   {0, 29, result.Tail{Length: 20}},
		"just then":  {0, 28, result.Tail{Length: 19, Idle: true}},
	} {
		a := open(t, func(e *experiment.Experiment) { e.Tail = 20 * aSecond })
		a.Begin(at(0))
		a.EndLoad(&result.LoadReport{Elapsed: 10 * time.Second})
		until := a.BeginTail()
		if !until.Equal(at(30)) {
			t.Errorf("%s: watching ends at %v", name, until)
		}
		now := 11.0
		for ; now <= 30 && !a.Idle(); now++ {
			busy := map[bool]int64{true: 1}[now >= test.from && now <= test.to]
			a.Sample(sampleOf("web", now, 0))
			if _, phase, _ := a.Sample(sampleOf("cart", now, busy)); phase != 2 {
				t.Errorf("%s: the sample at %v s is of phase %d, and not of the tail", name, now, phase)
			}
		}
		a.EndTail(at(now - 1))
		r := a.Finish(at(now), nil)
		if *r.Tail != test.want {
			t.Errorf("%s: tail %+v, want %+v", name, *r.Tail, test.want)
		}
		tail := r.Segments[len(r.Segments)-1]
		if tail.Kind != result.TailPart || tail.From != 10 || tail.To != 10+test.want.Length || tail.Services[0].Requests != int64(5*(now-11)) {
			t.Errorf("%s: tail segment from %v to %v: %+v", name, tail.From, tail.To, tail.Services)
		}
	}
}

func TestOutages(t *testing.T) {
	killed := func(e *experiment.Experiment) {
		e.Faults = []fault.Fault{{Type: fault.Kill, Target: fault.Target{Service: "cart"}, Start: 2 * aSecond, Probability: 1}}
	}
	cart := func(ready bool, restarts int, since float64) Replica {
		return Replica{Service: "cart", Index: 1, Ready: ready, Restarts: restarts, Since: at(since)}
	}
	seen := func(r Replica, detected float64) Replica {
		r.Detected = at(detected)
		return r
	}
	type look struct {
		at       float64
		replicas []Replica
	}
	for name, test := range map[string]struct {
		change func(*experiment.Experiment)
		// asked is when the kill was asked for; 0 for never.
		asked float64
		looks []look
		want  []result.Recovery
	}{
		"nobody noticed":       {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, []Replica{cart(false, 0, 2.5)}}, {5, []Replica{cart(true, 0, 4)}}}, []result.Recovery{{DownAt: at(2.5), ReadyAt: at(4), Took: 1.5}}},
		"noticed later":        {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, []Replica{cart(false, 0, 2.5)}}, {4, []Replica{seen(cart(false, 0, 2.5), 3.5)}}, {5, []Replica{cart(true, 0, 4.5)}}}, []result.Recovery{{DownAt: at(2.5), DetectedAt: at(3.5), ReadyAt: at(4.5), Detection: 1, Took: 2}}},
		"seen down":            {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, []Replica{seen(cart(false, 0, 2.5), 3)}}, {5, []Replica{cart(true, 1, 4)}}}, []result.Recovery{{DownAt: at(2.5), DetectedAt: at(3), ReadyAt: at(4), Detection: 0.5, Took: 1.5}}},
		"back between looks":   {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, []Replica{cart(true, 1, 2.5)}}}, []result.Recovery{{DownAt: at(3), DetectedAt: at(3), ReadyAt: at(3)}}},
		"missing":              {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, nil}, {5, []Replica{cart(true, 0, 4)}}}, []result.Recovery{{DownAt: at(3), DetectedAt: at(3), ReadyAt: at(4), Took: 1}}},
		"for good":             {nil, 0, []look{{1, []Replica{cart(true, 0, -1)}}, {3, nil}, {4, nil}}, []result.Recovery{{DownAt: at(3), DetectedAt: at(3)}}},
		"killed":               {killed, 2, []look{{1, []Replica{cart(true, 0, -1)}}, {3, []Replica{cart(true, 1, 2.5)}}}, []result.Recovery{{Fault: "kill-1", DownAt: at(2), DetectedAt: at(3), ReadyAt: at(2.5), Detection: 1, Took: 0.5}}},
		"killed, noticed late": {killed, 2, []look{{1, []Replica{cart(true, 0, -1)}}, {6.5, []Replica{cart(false, 0, 4)}}, {7, []Replica{cart(true, 1, 7)}}}, []result.Recovery{{Fault: "kill-1", DownAt: at(2), ReadyAt: at(7), Took: 5}}},
		// The cluster did not answer until then.
		"killed late": {killed, 2, []look{{1, []Replica{cart(true, 0, -1)}}, {9, []Replica{cart(false, 0, 8.5)}}, {9.5, []Replica{cart(true, 1, 9.5)}}}, []result.Recovery{{Fault: "kill-1", DownAt: at(8.5), ReadyAt: at(9.5), Took: 1}}},
		"starts late": {nil, 0, []look{{1, []Replica{cart(false, 0, -1)}}, {3, []Replica{cart(true, 0, 2)}}}, []result.Recovery{}},
	} {
		a := open(t, test.change)
		a.Begin(at(0))
		if test.asked > 0 {
			a.Faults().Asked(0, at(test.asked))
		}
		downs, ups := 0, 0
		for _, look := range test.looks {
			for _, o := range a.Replicas(at(look.at), look.replicas) {
				if o.Ended {
					ups++
				} else {
					downs++
				}
			}
		}
		got := a.Finish(at(10), nil).Recoveries
		if len(got) != len(test.want) || downs != len(got) {
			t.Errorf("%s: %d were told to go down, recoveries %+v, want %+v", name, downs, got, test.want)
			continue
		}
		for i, want := range test.want {
			want.Service, want.Replica = "cart", 1
			if got[i] != want || ups != map[bool]int{true: 0, false: 1}[want.ReadyAt.IsZero()] {
				t.Errorf("%s: got %+v, want %+v; %d were told to come back", name, got[i], want, ups)
			}
		}
	}
}

// setBack is a moment after the clock of the wall was set back: the other clock, by which
// spans are taken, goes on.
func setBack(at time.Time, by time.Duration) time.Time {
	type moment struct { // as time.Time has it, if it has both clocks
		wall uint64
		ext  int64
		loc  *time.Location
	}
	(*moment)(unsafe.Pointer(&at)).wall -= uint64(by/time.Second) << 30
	return at
}

// Times of a result agree with its spans, whatever is done to the clock of the wall.
func TestTimesAgreeWithSpansIfTheClockIsSet(t *testing.T) {
	zero := time.Now()
	if set := setBack(zero, time.Hour); set.Sub(zero) != 0 || set.Round(0).Sub(zero.Round(0)) != -time.Hour {
		t.Fatalf("%v was set back to %v", zero, set)
	}
	later := func(seconds int) time.Time {
		return setBack(zero.Add(time.Duration(seconds)*time.Second), time.Hour)
	}
	a := open(t, func(e *experiment.Experiment) {
		e.Faults = []fault.Fault{{Type: fault.Error, Target: fault.Target{Service: "cart"}, Start: aSecond, Duration: aSecond, Probability: 1}}
	})
	a.Begin(zero)
	log := a.Faults()
	log.Asked(0, later(1))
	log.Applied(0, later(1))
	log.ClearAsked(0, later(2))
	log.Cleared(0, later(2))
	up := Replica{Service: "cart", Index: 1, Ready: true}
	a.Replicas(later(3), []Replica{up})
	up.Ready, up.Since = false, later(4)
	a.Replicas(later(4), []Replica{up})
	up.Ready, up.Since = true, later(6)
	a.Replicas(later(6), []Replica{up})
	a.EndLoad(&result.LoadReport{Elapsed: 10 * time.Second})
	r := a.Finish(later(10), nil)
	since := func(t time.Time) float64 { return t.Round(0).Sub(r.LoadStarted.Round(0)).Seconds() }
	rec, fall := r.Faults[0], r.Recoveries[0]
	got := []float64{since(rec.OrderedAt), since(rec.AppliedAt), since(rec.ClearOrderedAt), since(rec.ClearedAt), since(fall.DownAt), since(fall.ReadyAt), since(r.Ended)}
	if want := []float64{1, 1, 2, 2, 4, 6, 10}; !slices.Equal(got, want) {
		t.Errorf("times are %v s after the load began, want %v", got, want)
	}
}

// windows are the parts of a run by name.
func windows(r *result.Result) map[string][2]float64 {
	parts := map[string][2]float64{}
	for _, s := range r.Segments {
		if s.Kind == result.FaultPart {
			parts[s.Name] = [2]float64{s.From, s.To}
		}
	}
	return parts
}

func TestPartsFollowWhatWasEffective(t *testing.T) {
	slow := func(start, duration float64) fault.Fault {
		return fault.Fault{Type: fault.Error, Target: fault.Target{Service: "cart"}, Start: unit.Duration(start * 1e9), Duration: unit.Duration(duration * 1e9), Probability: 1}
	}
	type times [4]float64 // asked, applied, asked to clear, cleared
	const never = 0
	for name, test := range map[string]struct {
		faults []fault.Fault
		told   []times
		want   map[string][2]float64
	}{
		"on time":        {[]fault.Fault{slow(2, 3)}, []times{{2, 2, 5, 5}}, map[string][2]float64{"before": {0, 2}, "during": {2, 5}, "after": {5, 10}}},
		"late":           {[]fault.Fault{slow(2, 3)}, []times{{2, 3.5, 5, 6}}, map[string][2]float64{"before": {0, 2}, "during": {3.5, 5}, "after": {6, 10}}},
		"later than end": {[]fault.Fault{slow(2, 3)}, []times{{2, 6, 6, 6.5}}, map[string][2]float64{"before": {0, 2}, "after": {6.5, 10}}},
		"two":            {[]fault.Fault{slow(2, 3), slow(3, 4)}, []times{{2, 4, 5, 5}, {3, 3.5, 7, 8}}, map[string][2]float64{"before": {0, 2}, "during": {3.5, 7}, "after": {8, 10}}},
		"one of two":     {[]fault.Fault{slow(2, 3), slow(3, 4)}, []times{{2, 2, 5, 5}, {never, never, never, never}}, map[string][2]float64{"before": {0, 2}, "during": {2, 10}}},
		"never acted":    {[]fault.Fault{slow(2, 3)}, []times{{2, never, never, never}}, map[string][2]float64{"before": {0, 2}}},
		"not cleared":    {[]fault.Fault{slow(2, 3)}, []times{{2, 2, 5, never}}, map[string][2]float64{"before": {0, 2}, "during": {2, 5}}},
		"never asked":    {[]fault.Fault{slow(2, 3)}, []times{{never, never, never, never}}, map[string][2]float64{}},
	} {
		a := open(t, func(e *experiment.Experiment) { e.Faults = test.faults })
		a.Begin(at(0))
		log := a.Faults()
		for i, told := range test.told {
			for step, tell := range []func(int, time.Time) result.FaultRecord{log.Asked, log.Applied, log.ClearAsked, log.Cleared} {
				if told[step] != never {
					tell(i, at(told[step]))
				}
			}
		}
		a.EndLoad(&result.LoadReport{Elapsed: 10 * time.Second})
		r := a.Finish(at(10), nil)
		got := windows(r)
		if len(got) != len(test.want) {
			t.Errorf("%s: parts %v, want %v", name, got, test.want)
		}
		for part, want := range test.want {
			if got[part] != want {
				t.Errorf("%s: %s is %v, want %v", name, part, got[part], want)
			}
		}
		if rec := r.Faults[0]; rec.PlannedFrom != 2 || rec.PlannedTo != 5 || rec.AskedFrom != test.told[0][0] || rec.From != test.told[0][1] || rec.AskedTo != test.told[0][2] || rec.To != test.told[0][3] {
			t.Errorf("%s: record %+v", name, rec)
		}
	}
}

// A second try to clear a fault does not move the moment from which nobody knew
// how much of it acts.
func TestClearIsAskedOnce(t *testing.T) {
	a := open(t, func(e *experiment.Experiment) {
		e.Faults = []fault.Fault{{Type: fault.Error, Target: fault.Target{Service: "cart"}, Start: aSecond, Duration: aSecond, Probability: 1}}
	})
	a.Begin(at(0))
	log := a.Faults()
	log.ClearAsked(0, at(0.5)) // of what never acted
	log.Asked(0, at(1))
	log.Applied(0, at(1))
	log.ClearAsked(0, at(2))
	log.Failed(0, errors.New("not now"))
	log.ClearAsked(0, at(4))
	if rec := log.Cleared(0, at(5)); rec.AskedTo != 2 || rec.To != 5 || rec.Error != "not now" {
		t.Errorf("record %+v", rec)
	}
}

// A fault that stopped between two looks, and acts again, has a gap; one that goes
// on, and one on a replica that came later, have none.
func TestFaultLogNotesGaps(t *testing.T) {
	log := NewFaultLog(&timeline.Plan{Windows: []timeline.Window{{ID: "delay-1", Fault: fault.Fault{Type: fault.NetDelay}}}})
	at := func(s int64) time.Time { return time.Unix(1_700_000_000+s, 0) }
	look := func(errors []string, since map[string]time.Time) []string {
		return log.Acting(0, []control.Injection{{ID: "delay-1", Errors: errors, ActsSince: since}}).Gaps
	}
	if gaps := look(nil, map[string]time.Time{"back/1": at(1), "back/2": at(1)}); len(gaps) > 0 {
		t.Errorf("at first there are the gaps %q", gaps)
	}
	if gaps := look(nil, map[string]time.Time{"back/1": at(1), "back/2": at(1), "back/3": at(4)}); len(gaps) > 0 {
		t.Errorf("with one more replica there are the gaps %q", gaps)
	}
	want := []string{"the helper of node n1 does not answer", "back/2: it stopped, and acted again since 2023-11-14T22:13:29Z"}
	if gaps := look(want[:1], map[string]time.Time{"back/1": at(1), "back/2": at(9)}); !slices.Equal(gaps, want) {
		t.Errorf("the gaps are %q, want %q", gaps, want)
	}
}
