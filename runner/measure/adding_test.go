package measure

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A played run is what a random experiment was told, and what it made of that.
type played struct {
	outcomes []Outcome
	samples  []Sample
	schedule *Schedule
	// end is that of the load, until that of its last request, answered when no
	// request was under way any longer.
	end, until, answered time.Duration
	faults               FaultSpan
	segments             []result.Segment
	timeline             []result.ClientSecond
	windows              []result.Window
}

// playRandom tells the aggregators of a random run: of phases, faults, a tail,
// requests that are dropped, degraded or cut off, and samples of a service.
func playRandom(random *rand.Rand) *played {
	ms := func(most int) time.Duration { return time.Duration(1+random.IntN(most)) * time.Millisecond }
	var profile load.Profile
	p := &played{}
	for range 1 + random.IntN(3) {
		length := ms(5000)
		profile.Phases = append(profile.Phases, load.Phase{Name: fmt.Sprint("phase ", len(profile.Phases)), Duration: unit.Duration(length)})
		p.end += length
	}
	p.schedule = NewSchedule(profile)
	p.plan(random)
	p.faults = FaultSpan{Never, Never, Never, Never}
	if random.IntN(3) > 0 {
		// Half of the time, changes of faults take no time.
		late := func() time.Duration { return time.Duration(random.IntN(2)) * ms(500) }
		p.faults.Asked = time.Duration(random.Int64N(int64(p.end) + 1e9))
		p.faults.From = p.faults.Asked + late()
		p.faults.ClearAsked = p.faults.From + ms(3000)
		p.faults.To = p.faults.ClearAsked + late()
	}
	clients, services, windows := NewClients(p.schedule), NewServices(p.schedule), NewWindows([]time.Duration{0, time.Second, 777 * time.Millisecond}[random.IntN(3)])
	tell := func(now time.Duration) {
		known := func(at time.Duration) time.Duration {
			if at <= now {
				return at
			}
			return Never
		}
		p.schedule.SetFaults(FaultSpan{known(p.faults.Asked), known(p.faults.From), known(p.faults.ClearAsked), known(p.faults.To)})
	}
	next := 0
	for _, o := range p.outcomes {
		for ; next < len(p.samples) && p.samples[next].At.Sub(time.Unix(0, 0)) <= o.End(); next++ {
			s := &p.samples[next]
			at := s.At.Sub(time.Unix(0, 0))
			tell(at)
			services.Observe(at, s)
			windows.ObserveService(at-s.Elapsed/2, s)
		}
		tell(o.End())
		clients.Observe(o)
		windows.ObserveClient(o)
	}
	tail := random.IntN(2) == 0
	p.until = clients.Until(p.end)
	p.answered = p.until
	if n := len(p.outcomes); n > 0 {
		p.answered = max(p.until, p.outcomes[n-1].End())
	}
	last := p.answered
	var watched *result.Tail
	if tail {
		p.schedule.SetLastAnswer(p.answered)
		last += ms(2000)
		watched = &result.Tail{Length: (last - p.end).Seconds()}
	}
	tell(last)
	p.samples = slices.DeleteFunc(p.samples, func(s Sample) bool { return s.At.Sub(time.Unix(0, 0)) > last })
	for ; next < len(p.samples); next++ {
		s := &p.samples[next]
		at := s.At.Sub(time.Unix(0, 0))
		services.Observe(at, s)
		windows.ObserveService(at-s.Elapsed/2, s)
	}
	cut := &Segmenter{
		System: &topology.System{Services: []topology.Service{{Name: "web", Replicas: 1}}}, Schedule: p.schedule, Clients: clients, Services: services,
		LoadStarted: time.Unix(0, 0), Tail: watched,
	}
	p.segments, p.timeline, p.windows = cut.Segments(p.end), clients.Timeline(p.end), windows.List([]string{"web"}, last)
	return p
}

// plan draws the outcomes in the order of their ends, and a sample each second.
func (p *played) plan(random *rand.Rand) {
	classes := append(outcome.Classes(), outcome.OK, outcome.OK, outcome.OK, outcome.OK)
	for range random.IntN(400) {
		intended := time.Duration(random.Int64N(int64(p.end)))
		o := Outcome{Phase: p.schedule.Phase(intended), Intended: intended, Class: classes[random.IntN(len(classes))]}
		if o.Class != outcome.Dropped {
			o.Latency = time.Duration(random.ExpFloat64() * 1e9)
		}
		o.Degraded = o.Class == outcome.OK && random.IntN(3) == 0
		p.outcomes = append(p.outcomes, o)
	}
	slices.SortFunc(p.outcomes, func(a, b Outcome) int { return cmp.Compare(a.End(), b.End()) })
	at := time.Unix(0, 0)
	for range random.IntN(20) {
		elapsed := time.Second + time.Duration(random.IntN(100))*time.Millisecond
		at = at.Add(elapsed)
		n := random.Int64N(50)
		p.samples = append(p.samples, Sample{At: at, Elapsed: elapsed, Service: "web", Requests: n, Errors: n / 5, Degraded: n / 7, Up: 1, Replicas: 1})
	}
}

// sums are what has to be the same however a run is cut.
type sums struct {
	Requests, Errors, Degraded, Ended, Good int64
	Web                                     int64
}

func (s *sums) addSegment(seg *result.Segment) {
	c := &seg.Clients
	s.Requests, s.Errors, s.Degraded = s.Requests+c.Requests, s.Errors+c.Errors, s.Degraded+c.Degraded
	s.Ended, s.Good = s.Ended+c.Ended, s.Good+int64(math.Round(c.Goodput*(seg.To-seg.From)))
	for _, web := range seg.Services {
		s.Web += web.Requests
	}
}

func eachRun(t *testing.T, check func(t *testing.T, p *played)) {
	t.Helper()
	for seed := range uint64(300) {
		if check(t, playRandom(rand.New(rand.NewPCG(seed, 7)))); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// gapless reports whether every moment of the run belongs to a part: changes of
// faults took no time, and the last was gone while the load went on, or not at
// all.
func (p *played) gapless() bool {
	f := p.faults
	return f.Asked == f.From && f.ClearAsked == f.To && (f.To < p.end || f.To > p.answered)
}

func TestEveryCutAddsUp(t *testing.T) {
	eachRun(t, func(t *testing.T, p *played) {
		got := map[result.SegmentKind]*sums{}
		for i := range p.segments {
			s := &p.segments[i]
			if got[s.Kind] == nil {
				got[s.Kind] = &sums{}
			}
			got[s.Kind].addSegment(s)
		}
		whole := *got[result.WholeRun]
		for _, kind := range []result.SegmentKind{result.LoadPhase, result.FaultPart} {
			if s := got[kind]; s != nil && *s != whole && (kind != result.FaultPart || p.gapless()) {
				t.Errorf("the %ss add up to %+v, the run has %+v", kind, *s, whole)
			}
		}
		if s := got[result.TailPart]; s != nil && (s.Requests != 0 || s.Ended != 0) {
			t.Errorf("clients in the tail: %+v", *s)
		}
		var bySecond, byWindow sums
		for i := range p.timeline {
			s := &p.timeline[i]
			bySecond.Requests, bySecond.Errors, bySecond.Degraded = bySecond.Requests+s.Requests(), bySecond.Errors+s.Errors(), bySecond.Degraded+s.Degraded
			bySecond.Ended, bySecond.Good = bySecond.Ended+s.Ended, bySecond.Good+s.Good
		}
		bySecond.Web = whole.Web
		if bySecond != whole {
			t.Errorf("the seconds add up to %+v, the run has %+v", bySecond, whole)
		}
		if p.windows == nil {
			return
		}
		for i := range p.windows {
			c := &p.windows[i].Clients
			byWindow.Requests, byWindow.Degraded = byWindow.Requests+c.Requests, byWindow.Degraded+c.Degraded
			byWindow.Errors += c.Requests - c.Outcomes[outcome.OK]
			byWindow.Ended, byWindow.Good = byWindow.Ended+result.CountEnded(c.Outcomes), byWindow.Good+c.Outcomes[outcome.OK]-c.Degraded
		}
		byWindow.Web = whole.Web
		if byWindow != whole {
			t.Errorf("the windows add up to %+v, the run has %+v", byWindow, whole)
		}
	})
}

// Each figure of a segment is what its definition says, counted anew from what
// the run was told.
func TestFiguresAreTheirDefinitions(t *testing.T) {
	eachRun(t, func(t *testing.T, p *played) {
		for i := range p.segments {
			s := &p.segments[i]
			if s.Kind == result.TailPart {
				continue
			}
			var offered, ended, good int64
			for _, o := range p.outcomes {
				if within(o.Intended, s, p.end) {
					offered++
				}
				if o.Ended() && within(o.End(), s, p.until+1) {
					ended++
					if o.Good() {
						good++
					}
				}
			}
			length := s.To - s.From
			sending := min(s.To, p.end.Seconds()) - s.From
			c := &s.Clients
			if c.Ended != ended || !near(c.Rate*length, float64(ended)) || !near(c.Goodput*length, float64(good)) {
				t.Errorf("%s %q from %v to %v: ended %d, rate %v, goodput %v; want %d, of them good %d", s.Kind, s.Name, s.From, s.To, c.Ended, c.Rate, c.Goodput, ended, good)
			}
			// A request that the first fault finds under way moves to during.
			if s.Kind != result.FaultPart && !near(c.OfferedRate*sending, float64(offered)) {
				t.Errorf("%s %q from %v to %v: offered %v/s, want %d", s.Kind, s.Name, s.From, s.To, c.OfferedRate, offered)
			}
		}
	})
}

// A chain's answer that tells of a failed hop is an error that ended: it is in
// the rate, and not in the goodput.
func TestAFailedHopEndedAndIsNotGood(t *testing.T) {
	clock, windows := NewSchedule(twoPhases()), NewWindows(10*time.Second)
	clients := NewClients(clock)
	for i := range 10 {
		o := Outcome{Intended: time.Duration(i) * time.Second, Phase: min(i/2, 1), Latency: time.Millisecond, Class: outcome.OK}
		if i%2 == 0 {
			o.Class = outcome.FailedHop
		}
		clients.Observe(o)
		windows.ObserveClient(o)
	}
	cut := &Segmenter{System: &topology.System{}, Schedule: clock, Clients: clients, Services: NewServices(clock)}
	for _, s := range cut.Segments(10 * time.Second) {
		length := s.To - s.From
		if c := &s.Clients; !near(c.Rate, 1) || !near(c.Goodput, 0.5) || !near(float64(c.Errors), length/2) || c.Outcomes[outcome.FailedHop] != c.Errors || !near(float64(c.Ended), length) {
			t.Errorf("%s %q: %+v", s.Kind, s.Name, *c)
		}
	}
	for i, s := range clients.Timeline(10 * time.Second) {
		if s.Ended != 1 || s.Good != int64(i%2) || s.Errors() != int64(1-i%2) {
			t.Errorf("second %d: %+v", i, s)
		}
	}
	if w := windows.List(nil, 10*time.Second); len(w) != 1 || w[0].Clients.Outcomes[outcome.FailedHop] != 5 {
		t.Errorf("windows %+v", w)
	}
}

// within reports whether a moment belongs to a segment; the end of the last one
// belongs to it.
func within(at time.Duration, s *result.Segment, last time.Duration) bool {
	from, to := time.Duration(math.Round(s.From*1e9)), time.Duration(math.Round(s.To*1e9))
	return at >= from && (at < to || to+1 >= last)
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// A service's requests until the last answer are those of the run, whether the
// system is watched after it or not.
func TestTheTailTakesNothingFromTheRun(t *testing.T) {
	eachRun(t, func(t *testing.T, p *played) {
		var want, got int64
		for i := range p.samples {
			s := &p.samples[i]
			if s.At.Sub(time.Unix(0, 0))-s.Elapsed/2 < p.answered {
				want += s.Requests
			}
		}
		for _, web := range p.segments[0].Services {
			got += web.Requests
		}
		if got != want {
			t.Errorf("the run has %d requests of the service, want %d", got, want)
		}
	})
}

// A request that ends just after the load makes no second of its own: one in a
// millisecond would be a thousand in a second.
func TestNoRowIsShorterThanHalfASecond(t *testing.T) {
	eachRun(t, func(t *testing.T, p *played) {
		for i, s := range p.timeline {
			if s.Seconds < 0.5 && len(p.timeline) > 1 || s.Seconds > 1.5 {
				t.Errorf("row %d of %d lasts %v s", i, len(p.timeline), s.Seconds)
			}
			if i > 0 && math.Abs((s.At-p.timeline[i-1].At).Seconds()-s.Seconds) > 1e-6 {
				t.Errorf("row %d does not follow the one before", i)
			}
		}
	})
}
