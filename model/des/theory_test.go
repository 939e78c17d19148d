package des

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

// The kernel and its resources are held to what queueing theory knows exactly: of
// 100 runs with fixed seeds, the 95 % interval of each must cover the exact value
// 90 to 99 times. Without MICROSIM_THEORY=full, which `make theory` sets, only the
// lowest load is tried: near saturation runs have to be long. Formulas: Kleinrock, Queueing Systems I and II (1975,
// 1976).

// A model is a network of stations. Times are in mean services, which are one
// second here.
type model struct {
	name string
	// rate is that of arrivals from outside, or 0 for a closed network.
	rate float64
	// customers and think are those of a closed network.
	customers int
	think     float64
	stations  []station
	// next is the station after one, by a random number; -1 means out.
	next func(at int, u float64) int
	// exact is the mean time from arrival to departure; of a loss system it is
	// the share that is lost.
	exact float64
	loss  bool
}

// A station serves first come first served, or all at once where shared.
type station struct {
	servers, room int
	shared        bool
	service       func(r *rand.Rand) float64
}

func exponentially(mean float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return mean * r.ExpFloat64() }
}

func always(mean float64) func(*rand.Rand) float64 { return func(*rand.Rand) float64 { return mean } }

// hyper has a squared coefficient of variation of 4: balanced means.
func hyper(mean float64) func(*rand.Rand) float64 {
	const c2 = 4
	p := (1 + math.Sqrt((c2-1)/(c2+1.0))) / 2
	return func(r *rand.Rand) float64 {
		share := p
		if r.Float64() >= p {
			share = 1 - p
		}
		return mean / (2 * share) * r.ExpFloat64()
	}
}

func models(load float64) []model {
	const c = 4
	out := func(int, float64) int { return -1 }
	fifo := func(servers, room int, service func(*rand.Rand) float64) []station {
		return []station{{servers: servers, room: room, service: service}}
	}
	pk := func(c2 float64) float64 { return 1 + load*(1+c2)/(2*(1-load)) }
	list := []model{
		{name: "M/M/1", rate: load, stations: fifo(1, -1, exponentially(1)), next: out, exact: 1 / (1 - load)},
		{name: "M/M/4", rate: load * c, stations: fifo(c, -1, exponentially(1)), next: out, exact: 1 + erlangC(c, load*c)/(c-load*c)},
		{name: "M/D/1", rate: load, stations: fifo(1, -1, always(1)), next: out, exact: pk(0)},
		{name: "M/G/1", rate: load, stations: fifo(1, -1, hyper(1)), next: out, exact: pk(4)},
		{name: "M/M/2/3", rate: load * 2, stations: fifo(2, 1, exponentially(1)), next: out, exact: lost(2, 3, load*2), loss: true},
		{name: "tandem", rate: load, stations: append(fifo(1, -1, exponentially(1)), fifo(1, -1, exponentially(0.8))...),
			next: func(at int, _ float64) int { return [...]int{1, -1}[at] }, exact: 1/(1-load) + 1/(1/0.8-load)},
		jackson(load), repairman(load),
	}
	for name, service := range map[string]func(*rand.Rand) float64{"deterministic": always(1), "exponential": exponentially(1), "hyperexponential": hyper(1)} {
		list = append(list, model{name: "M/G/1-PS, " + name, rate: load, stations: []station{{shared: true, service: service}}, next: out, exact: 1 / (1 - load)})
	}
	slices.SortFunc(list, func(a, b model) int { return compareText(a.name, b.name) })
	return list
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// erlangC is the probability that all of c servers are busy, for a load of a.
func erlangC(c int, a float64) float64 {
	b := 1.0 // Erlang B by recursion
	for i := 1; i <= c; i++ {
		b = a * b / (float64(i) + a*b)
	}
	rho := a / float64(c)
	return b / (1 - rho + rho*b)
}

// lost is the share that finds an M/M/c/k full.
func lost(c, k int, a float64) float64 {
	p, sum := 1.0, 1.0
	for n := 1; n <= k; n++ {
		p *= a / float64(min(n, c))
		sum += p
	}
	return p / sum
}

// jackson is an open network of three stations with feedback: from 0 to 1 or 2,
// and from each of those back to 0 or out.
func jackson(load float64) model {
	const toOne, back = 0.6, 0.25
	rate := load * (1 - back) // then station 0 has the load
	visits := [...]float64{1 / (1 - back), toOne / (1 - back), (1 - toOne) / (1 - back)}
	means := [...]float64{1, 1.2, 1.5}
	exact := 0.0
	m := model{name: "Jackson network", rate: rate}
	for i, mean := range means {
		rho := rate * visits[i] * mean
		exact += rho / (1 - rho) / rate
		m.stations = append(m.stations, station{servers: 1, room: -1, service: exponentially(mean)})
	}
	m.exact = exact
	m.next = func(at int, u float64) int {
		switch {
		case at == 0 && u < toOne:
			return 1
		case at == 0:
			return 2
		case u < back:
			return 0
		}
		return -1
	}
	return m
}

// repairman is a closed system of ten customers who think and are then served,
// whose server is as busy as load says. Exact by mean value analysis (Reiser,
// Lavenberg 1980).
func repairman(load float64) model {
	const customers = 10
	response := func(think float64) (r, busy float64) {
		q := 0.0
		for n := 1; n <= customers; n++ {
			r = 1 + q
			q = float64(n) * r / (r + think)
		}
		return r, customers / (r + think)
	}
	low, high := 0.0, 1e4
	for range 200 {
		think := (low + high) / 2
		if _, busy := response(think); busy > load {
			low = think
		} else {
			high = think
		}
	}
	r, _ := response(low)
	return model{name: "machine repairman", customers: customers, think: low, exact: r,
		stations: []station{{servers: 1, room: -1, service: exponentially(1)}}, next: func(int, float64) int { return -1 }}
}

// what is the event of a model.
type what struct {
	kind     uint8 // arrival, end of service, end of sharing, end of thinking
	at       int16
	customer int32
}

// run plays a model and returns what each of so many customers met (of more, if
// more are served in the same time): the time in
// the network, or 1 for one who was lost and 0 for others.
func (m *model) run(seed uint64, count int) []float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	k := New[what]()
	queues, shares := make([]*Servers[int32], len(m.stations)), NewProcessors(0)
	for i, s := range m.stations {
		queues[i] = NewServers[int32](s.servers, s.room)
		shares.Group(1)
	}
	var timer Timer
	var born []time.Duration
	var free []int32
	seen := make([]float64, 0, count)
	seconds := func(s float64) time.Duration { return time.Duration(s * 1e9) }
	enter := func(at int, customer int32) {
		s := &m.stations[at]
		if s.shared {
			shares.Add(at, k.Now(), seconds(s.service(r)), customer)
			return
		}
		served, refused := queues[at].Enter(customer)
		switch {
		case served:
			k.After(seconds(s.service(r)), what{1, int16(at), customer})
		case refused:
			seen = append(seen, 1)
			free = append(free, customer)
		}
	}
	leave := func(at int, customer int32) {
		if to := m.next(at, r.Float64()); to >= 0 {
			enter(to, customer)
			return
		}
		if m.loss {
			seen = append(seen, 0)
		} else {
			seen = append(seen, (k.Now() - born[customer]).Seconds())
		}
		if m.customers > 0 {
			k.After(seconds(m.think*r.ExpFloat64()), what{3, 0, customer})
		} else {
			free = append(free, customer)
		}
	}
	for i := range int32(m.customers) {
		born = append(born, 0)
		k.After(seconds(m.think*r.ExpFloat64()), what{3, 0, i})
	}
	if m.rate > 0 {
		k.After(seconds(r.ExpFloat64()/m.rate), what{})
	}
	for count *= max(1, m.stations[0].servers/2); len(seen) < count; {
		e, _ := k.Next(Never)
		switch e.kind {
		case 0:
			k.After(seconds(r.ExpFloat64()/m.rate), what{})
			var customer int32
			if n := len(free); n > 0 {
				customer, free = free[n-1], free[:n-1]
			} else {
				customer, born = int32(len(born)), append(born, 0)
			}
			born[customer] = k.Now()
			enter(0, customer)
		case 1:
			if next, ok := queues[e.at].Leave(); ok {
				k.After(seconds(m.stations[e.at].service(r)), what{1, e.at, next})
			}
			leave(int(e.at), e.customer)
		case 2:
			leave(int(e.at), shares.Pop(int(e.at), k.Now()))
		default:
			born[e.customer] = k.Now()
			enter(0, e.customer)
		}
		for _, g := range shares.Changed() {
			k.Cancel(timer)
			timer = k.At(shares.Next(int(g)), what{2, int16(g), 0})
		}
	}
	return seen
}

// interval is the 95 % interval of a mean by the means of 10 batches, the first
// of 11 being left out as warm-up.
func interval(seen []float64) (low, high float64) {
	const batches, t9 = 10, 2.262 // Student's t for 9 degrees of freedom
	size := len(seen) / (batches + 1)
	var means [batches]float64
	sum := 0.0
	for b := range means {
		for _, v := range seen[(b+1)*size : (b+2)*size] {
			means[b] += v / float64(size)
		}
		sum += means[b]
	}
	mean, squares := sum/batches, 0.0
	for _, m := range means {
		squares += (m - mean) * (m - mean)
	}
	half := t9 * math.Sqrt(squares/(batches-1)/batches)
	return mean - half, mean + half
}

func TestTheory(t *testing.T) {
	loads := map[float64]int{0.3: 8_000}
	if os.Getenv("MICROSIM_THEORY") == "full" {
		loads = map[float64]int{0.3: 8_000, 0.7: 24_000, 0.9: 600_000}
	}
	for load, count := range loads {
		for _, m := range models(load) {
			t.Run(fmt.Sprintf("%s at %v", m.name, load), func(t *testing.T) {
				t.Parallel()
				covered, mean := 0, 0.0
				for seed := range uint64(100) {
					low, high := interval(m.run(seed, count))
					if low <= m.exact && m.exact <= high {
						covered++
					}
					mean += (low + high) / 200
				}
				if covered < 90 || covered > 99 {
					t.Errorf("%d of 100 intervals cover %.4f; the mean of all runs is %.4f", covered, m.exact, mean)
				} else {
					t.Logf("%d of 100 intervals cover %.4f; the mean of all runs is %.4f", covered, m.exact, mean)
				}
			})
		}
	}
}
