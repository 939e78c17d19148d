package document

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// shortestTick bounds how often a joined load asks whether a request is due.
const shortestTick = time.Millisecond

// Join makes one load of several that run at the same time. Each keeps its own
// rate, and its requests their names, so that reports tell them apart.
func (d Documents) Join() (*Load, error) {
	loads := d.Loads()
	switch len(loads) {
	case 0:
		return nil, fmt.Errorf("the files describe no load: name one with a LoadGenerator")
	case 1:
		return loads[0], nil
	}
	whole := &Load{Name: loads[0].Name, System: loads[0].System, Profile: loads[0].Profile}
	rounds := make([]rounds, len(loads))
	for i, l := range loads {
		if j := slices.IndexFunc(loads[:i], func(before *Load) bool { return before.Name == l.Name }); j >= 0 {
			return nil, fmt.Errorf("two loads are named %q, so reports could not tell them apart: rename one", l.Name)
		}
		if whole.System = cmp.Or(whole.System, l.System); l.System != "" && l.System != whole.System {
			return nil, fmt.Errorf("load %q is meant for system %q, and load %q for %q: choose the loads of one system with --only %s",
				loads[0].Name, whole.System, l.Name, l.System, strings.Join(namesFor(loads, whole.System), ","))
		}
		var err error
		if rounds[i], err = roundsOf(l); err != nil {
			return nil, err
		}
	}
	tick := tickOf(rounds)
	if tick < shortestTick {
		return nil, fmt.Errorf("the loads %s cannot run together: their intervals %s have no common divisor of at least %v; change one, or choose one load with --only NAME",
			strings.Join(namesFor(loads, whole.System), ", "), intervals(rounds), shortestTick)
	}
	whole.Profile.Phases = []load.Phase{joinedPhase(rounds, tick)}
	whole.Profile.Requests, whole.Profile.MaxInFlight = nil, 0
	for i, l := range loads {
		beat := rounds[i].beat(tick, &whole.Profile.Phases[0])
		for _, r := range l.Profile.Requests {
			r.Beat = beat
			whole.Profile.Requests = append(whole.Profile.Requests, r)
		}
		whole.Profile.MaxInFlight = min(whole.Profile.MaxInFlight+l.Profile.MaxInFlight, load.MaxFlight)
	}
	return whole, nil
}

// namesFor are the names of the loads that are meant for a system, or for any.
func namesFor(loads []*Load, system string) (names []string) {
	for _, l := range loads {
		if l.System == "" || l.System == system {
			names = append(names, l.Name)
		}
	}
	return names
}

// rounds are those of one load: its only phase sends every request in each.
type rounds struct {
	// interval is the time between two; 0 if there is only one.
	interval time.Duration
	burst    int
	// count is how many there are, 0 without end; until is the time after which none
	// begins, 0 if only the count ends them.
	count int
	until time.Duration
}

// roundsOf are the rounds of a load.
func roundsOf(l *Load) (rounds, error) {
	if len(l.Profile.Phases) != 1 || !l.Profile.Phases[0].Each || !l.Profile.Phases[0].IsOpen() {
		return rounds{}, fmt.Errorf("load %q does not send in rounds, so it cannot run beside others: choose one load with --only NAME", l.Name)
	}
	p := l.Profile.Phases[0]
	r := rounds{interval: time.Duration(math.Round(1e9 / p.Rate)), burst: p.Burst, count: p.Count, until: p.Duration.Std()}
	if r.count == 1 {
		r.interval = 0
	}
	if r.until > 0 && r.interval > 0 {
		fit := int((r.until + r.interval - 1) / r.interval)
		if r.count == 0 || fit < r.count {
			r.count = fit
		} else {
			r.until = 0 // the count ends it first
		}
	}
	if r.interval > 0 && r.count > int(load.MaxDuration/r.interval)+1 {
		return r, fmt.Errorf("load %q has %d rounds, %s apart, which is longer than the %s possible: lower its requestCount", l.Name, r.count, unit.Duration(r.interval), unit.Duration(load.MaxDuration))
	}
	return r, nil
}

// tickOf is the longest interval that divides those of all loads.
func tickOf(all []rounds) (tick time.Duration) {
	for _, r := range all {
		for a, b := tick, r.interval; ; a, b = b, a%b {
			if b == 0 {
				tick = a
				break
			}
		}
	}
	return cmp.Or(tick, time.Second) // each has only one round
}

// intervals lists those of the loads.
func intervals(all []rounds) string {
	var texts []string
	for _, r := range all {
		texts = append(texts, unit.Duration(r.interval).String())
	}
	return strings.Join(texts, ", ")
}

// joinedPhase is one that lasts as long as the longest of the loads.
func joinedPhase(all []rounds, tick time.Duration) load.Phase {
	p := load.Phase{Name: "ticks", Rate: 1 / tick.Seconds(), Arrivals: load.Constant, Burst: all[0].burst, Each: true}
	timed := false
	for _, r := range all {
		timed = timed || r.until > 0
		if r.burst != p.Burst {
			p.Burst = 1
		}
	}
	if slices.ContainsFunc(all, func(r rounds) bool { return r.count == 0 }) {
		return p
	}
	var end time.Duration
	for _, r := range all {
		last := time.Duration(r.count-1) * r.interval
		p.Count = max(p.Count, int(last/tick)+1)
		end = max(end, r.until, last+tick)
	}
	if timed {
		p.Count, p.Duration = 0, unit.Duration(end)
	}
	return p
}

// beat is that of the load's requests in the joined phase; nil if they take part
// in each tick as the phase says.
func (r rounds) beat(tick time.Duration, p *load.Phase) *load.Beat {
	b := load.Beat{Every: max(int(r.interval/tick), 1), Burst: r.burst / p.Burst, Count: r.count}
	if b.Count == p.Count && b.Every == 1 {
		b.Count = 0
	}
	if b.Every == 1 {
		b.Every = 0
	}
	if b.Burst == 1 {
		b.Burst = 0
	}
	if b == (load.Beat{}) {
		return nil
	}
	return &b
}
