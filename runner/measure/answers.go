package measure

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Answers are those that the clients got, by when the requests were to start and
// which of the mix they are, so that those of two runs can be compared. Its zero
// value is empty; many goroutines may tell it at once.
type Answers struct {
	mu  sync.Mutex
	got map[sentAs][]answer
}

// sentAs tells requests apart but for those of one burst.
type sentAs struct {
	intended time.Duration
	request  int
}

type answer struct {
	status   int
	degraded bool
}

// Observe takes in how a request ended.
func (a *Answers) Observe(o Outcome) {
	if o.Status == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.got == nil {
		a.got = map[sentAs][]answer{}
	}
	key := sentAs{o.Intended, o.Request}
	// Only good answers can be degraded.
	a.got[key] = append(a.got[key], answer{o.Status, o.Degraded && o.Class == outcome.OK})
}

// Alike counts the requests that have an answer in both runs, and those of them that
// have the same. Of bursts that were not answered completely in both, nothing can be
// said, so they are left out.
func (a *Answers) Alike(other *Answers) (both, same int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	for key, list := range a.got {
		others := other.got[key]
		if len(others) != len(list) {
			continue
		}
		slices.SortFunc(list, answer.compare)
		slices.SortFunc(others, answer.compare)
		for i := range list {
			both++
			if list[i] == others[i] {
				same++
			}
		}
	}
	return both, same
}

func (a answer) compare(b answer) int {
	if d := cmp.Compare(a.status, b.status); d != 0 || a.degraded == b.degraded {
		return d
	}
	if a.degraded {
		return 1
	}
	return -1
}
