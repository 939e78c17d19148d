package topology

import (
	"fmt"
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Shape names a way in which generated services call each other.
type Shape string

// The shapes of generated systems.
const (
	// Chain: each service calls the next.
	Chain Shape = "chain"
	// Tree: each service calls three others at once.
	Tree Shape = "tree"
	// Star: the first service calls all others at once.
	Star Shape = "star"
	// Random: randomly drawn calls go from earlier services to later ones.
	Random Shape = "random"
)

// Shapes lists all shapes.
func Shapes() []Shape { return []Shape{Chain, Tree, Star, Random} }

const (
	generatedWork     = 100 * time.Microsecond
	generatedResponse = 1 << 10
	branches          = 3
)

// Generate makes a system of the shape with as many services, which are named
// s0, s1 and so on; requests enter at s0, from where every service can be
// reached. The number of calls is only used for Random, whose calls have such
// probabilities that a request takes one way through the graph on average; the
// other shapes have services-1 calls. The same arguments give the same system.
func Generate(shape Shape, services, calls int, seed uint64) (*System, error) {
	if services < 1 || services > MaxServices {
		return nil, fmt.Errorf("generating a system of %d services: the range is 1 to %d", services, MaxServices)
	}
	s := &System{Name: string(shape), Entry: []string{"s0"}, Services: make([]Service, services)}
	for i := range s.Services {
		work := Work{CPU: dist.Fixed(generatedWork)}
		s.Services[i] = NewService(fmt.Sprint("s", i), Step{Work: &work})
		s.Services[i].Endpoints[0].Response.Size = unit.Size(generatedResponse)
	}
	switch shape {
	case Chain:
		for i := range services - 1 {
			s.callAtOnce(i, i+1, i+2)
		}
	case Tree:
		for i := range services {
			s.callAtOnce(i, i*branches+1, min((i+1)*branches+1, services))
		}
	case Star:
		for first := 1; first < services; first += MaxParallel {
			s.callAtOnce(0, first, min(first+MaxParallel, services))
		}
	case Random:
		if err := s.callAtRandom(calls, dist.Seed(seed).With("generate")); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("generating a system of shape %q: write chain, tree, star or random", shape)
	}
	return s, nil
}

// callAtOnce makes a service call the services from first up to, but without, last
// in parallel.
func (s *System) callAtOnce(from, first, last int) {
	var steps []Step
	for to := first; to < last; to++ {
		steps = append(steps, CallTo(s.Services[to].Name))
	}
	switch e := &s.Services[from].Endpoints[0]; len(steps) {
	case 0:
	case 1:
		e.Steps = append(e.Steps, steps[0])
	default:
		e.Steps = append(e.Steps, Step{Parallel: steps})
	}
}

// callAtRandom gives every service but the first one caller, and then draws
// pairs that do not call each other yet.
func (s *System) callAtRandom(calls int, key dist.Key) error {
	n := len(s.Services)
	if most := n * (n - 1) / 2; calls < n-1 || calls > most {
		return fmt.Errorf("generating %d calls between %d services: the range is %d to %d", calls, n, n-1, most)
	}
	callees := make([][]int, n)
	known := map[[2]int]bool{}
	add := func(from, to int) bool {
		if from >= to || known[[2]int{from, to}] {
			return false
		}
		known[[2]int{from, to}] = true
		callees[from] = append(callees[from], to)
		return true
	}
	for to := 1; to < n; to++ {
		add(key.With("caller").WithInt(to).IntN(to), to)
	}
	for draw := 0; len(known) < calls; draw++ {
		k := key.With("pair").WithInt(draw)
		a, b := k.With("a").IntN(n), k.With("b").IntN(n)
		// If a drawn pair has a call already, take the next pair, so that dense
		// graphs are filled, too.
		for !add(min(a, b), max(a, b)) {
			if b++; b == n {
				a, b = (a+1)%n, 0
			}
		}
	}
	for from, all := range callees {
		for _, to := range all {
			call := NewCall(s.Services[to].Name)
			call.Probability = unit.Share(math.Floor(1000/float64(len(all))) / 1000)
			e := &s.Services[from].Endpoints[0]
			e.Steps = append(e.Steps, Step{Call: &call})
		}
	}
	return nil
}
