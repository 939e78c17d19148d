package load

import (
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A Beat says in which arrivals of an open phase with Each a request takes part,
// and how often it is sent in each of them. With beats, several sources of
// requests, each with its own rate, share one phase.
type Beat struct {
	// Every takes part in every n-th arrival of a phase, from the first; 0 means 1.
	Every int `json:"every,omitempty"`
	// Burst is how many equal requests are sent in such an arrival, for each of the
	// phase's Burst; 0 means 1.
	Burst int `json:"burst,omitempty"`
	// Count is the largest number of a phase's arrivals in which the request takes
	// part; 0 means no limit.
	Count int `json:"count,omitempty"`
}

// Copies returns how many requests are sent in the arrival of the given number,
// which counts from 0, for each of the phase's Burst.
func (b *Beat) Copies(arrival int) int {
	if b == nil {
		return 1
	}
	every := max(b.Every, 1)
	if arrival%every != 0 || b.Count > 0 && arrival/every >= b.Count {
		return 0
	}
	return max(b.Burst, 1)
}

func (b *Beat) validate() (problems problem.List) {
	checkCount(&problems, "every", b.Every, 0, MaxCount)
	checkCount(&problems, "burst", b.Burst, 0, MaxBurst)
	checkCount(&problems, "count", b.Count, 0, MaxCount)
	return problems
}

// checkBeats reports beats that some phase does not keep, and bursts that are
// too large together.
func (p *Profile) checkBeats(problems *problem.List) {
	for i := range p.Requests {
		beat := p.Requests[i].Beat
		if beat == nil {
			continue
		}
		path := problem.Index("requests", i) + ".beat"
		for j := range p.Phases {
			phase := &p.Phases[j]
			switch {
			case !phase.IsOpen() || !phase.Each:
				problems.AddHint(path, "remove it, or give the phase a rate and each: true",
					"phase %q does not send every request at each arrival, so it keeps no beat", phase.Name)
			case phase.Burst > MaxBurst/max(beat.Burst, 1):
				problems.Add(path+".burst", "a burst of %d in each of the %d of phase %q is more than the %d possible", beat.Burst, phase.Burst, phase.Name, MaxBurst)
			}
		}
	}
}

// ChainKey returns the key that decides the probabilities of a chain. If an arrival
// sends several requests, each request has its own key, which its copies share.
func (p *Phase) ChainKey(arrival dist.Key, request int) dist.Key {
	if request == 0 || !p.Each || !p.IsOpen() {
		return arrival
	}
	return arrival.With("chain").WithInt(request)
}
