package measure

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Answers holds the answers that the clients got, by intended start and place in
// the mix, to compare those of two runs. The zero value is empty. Many goroutines
// may call Observe at once.
type Answers struct {
	mu  sync.Mutex
	got map[sentAs][]answer
}

// sentAs identifies a request. Only requests of one burst have it in common.
type sentAs struct {
	intended time.Duration
	request  int
}

type answer struct {
	status   int
	degraded bool
}

// Observe notes the answer of a request.
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

// Alike returns how many requests have an answer in both runs, and for how many of
// these the answer is the same. It leaves out bursts that are not answered
// completely in both runs, because nothing tells which of their requests belong
// together.
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
