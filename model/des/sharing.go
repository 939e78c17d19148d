package des

import (
	"math"
	"time"
)

// Processors are the processors of one machine, which groups of jobs share. At
// each moment every job runs at one rate, its share of one processor, and the
// sharing is exact: of all jobs none is faster than one processor, no group is
// faster than its quota, all together are not faster than the machine, and what
// is left over goes to the slowest first (max-min fairness, as a fair scheduler
// with quotas for control groups has it).
//
// A group keeps the virtual time that a job which is always there would have
// got; a job ends when that has grown by its work. So a job that comes or goes
// costs O(log n), whatever the number of those whose rates change with it
// (Zhang, Service Disciplines for Guaranteed Performance, 1995, on virtual time).
// While the machine itself is the bottleneck, each change costs a look at the
// groups that have jobs.
type Processors struct {
	capacity float64
	groups   []group
	// active are the groups that have jobs.
	active  []int32
	level   float64
	changed []int32
	seq     uint64
}

// A group is jobs under one quota.
type group struct {
	quota float64
	jobs  []job
	// n counts the jobs, v is the virtual time at moment at, rate its growth.
	n    int
	v    float64
	at   int64
	rate float64
	// phantom jobs never end.
	phantom float64
	used    float64
	place   int32 // in active, from 1
}

// A job ends when the virtual time of its group is end.
type job struct {
	end float64
	seq uint64
	id  int32
}

// NewProcessors returns the processors of a machine; 0 means without bound.
func NewProcessors(capacity float64) *Processors {
	if capacity <= 0 {
		capacity = math.Inf(1)
	}
	return &Processors{capacity: capacity, level: 1}
}

// Group makes a group, which may use quota processors at once; 0 means without
// bound. Groups count from 0.
func (p *Processors) Group(quota float64) int {
	if quota <= 0 {
		quota = math.Inf(1)
	}
	p.groups = append(p.groups, group{quota: quota})
	return len(p.groups) - 1
}

// Add starts a job that needs so much time of a processor.
func (p *Processors) Add(g int, now, work time.Duration, id int32) {
	gr := &p.groups[g]
	p.settle(gr, int64(now))
	p.seq++
	if gr.n == 0 && gr.phantom == 0 {
		gr.v = 0 // rebased while it is idle, so that it stays exact
	}
	gr.push(job{gr.v + float64(work), p.seq, id})
	gr.n++
	p.rebalance(g, int64(now))
}

// Next is when the first job of a group ends, or Never.
func (p *Processors) Next(g int) time.Duration {
	gr := &p.groups[g]
	if gr.n == 0 || gr.rate <= 0 {
		return Never
	}
	left := math.Ceil((gr.jobs[0].end - gr.v) / gr.rate)
	if left >= float64(math.MaxInt64/2) {
		return Never
	}
	return time.Duration(gr.at + max(int64(left), 0))
}

// Pop ends the first job of a group, which Next has said ends now.
func (p *Processors) Pop(g int, now time.Duration) (id int32) {
	gr := &p.groups[g]
	p.settle(gr, int64(now))
	first := gr.jobs[0]
	gr.v = max(gr.v, first.end) // what rounding to a nanosecond has left
	gr.remove(0)
	gr.n--
	p.rebalance(g, int64(now))
	return first.id
}

// Remove ends a job early, and returns how much of its work is left; false if it
// is not there.
func (p *Processors) Remove(g int, now time.Duration, id int32) (left time.Duration, ok bool) {
	gr := &p.groups[g]
	for i := range gr.jobs {
		if gr.jobs[i].id == id {
			p.settle(gr, int64(now))
			left = time.Duration(max(0, gr.jobs[i].end-gr.v))
			gr.remove(i)
			gr.n--
			p.rebalance(g, int64(now))
			return left, true
		}
	}
	return 0, false
}

// Burden puts jobs into a group that never end; n need not be whole.
func (p *Processors) Burden(g int, now time.Duration, n float64) {
	gr := &p.groups[g]
	p.settle(gr, int64(now))
	gr.phantom = max(n, 0)
	p.rebalance(g, int64(now))
}

// Burdened is what Burden has set.
func (p *Processors) Burdened(g int) float64 { return p.groups[g].phantom }

// Used is the processor time that the jobs of a group have got, phantoms left
// out.
func (p *Processors) Used(g int, now time.Duration) time.Duration {
	gr := &p.groups[g]
	p.settle(gr, int64(now))
	return time.Duration(gr.used)
}

// Quota is how many processors a group may use at once; infinite if without bound.
func (p *Processors) Quota(g int) float64 { return p.groups[g].quota }

// Changed are the groups whose Next has changed since it was last asked. The
// slice is the processors' own.
func (p *Processors) Changed() []int32 {
	c := p.changed
	p.changed = p.changed[:0]
	return c
}

// settle moves the virtual time of a group on.
func (p *Processors) settle(g *group, now int64) {
	if now > g.at {
		grown := float64(float64(now-g.at) * g.rate)
		g.v += grown
		g.used += float64(grown * float64(g.n))
	}
	g.at = now
}

// weight is how many jobs a group has, phantoms included.
func (g *group) weight() float64 { return float64(g.n) + g.phantom }

// want is the rate that a job of the group has if the machine is not a bottleneck.
func (g *group) want() float64 { return min(1, g.quota/max(g.weight(), 1e-12)) }

// rebalance follows a change of a group's jobs.
func (p *Processors) rebalance(i int, now int64) {
	g := &p.groups[i]
	switch {
	case g.weight() > 0 && g.place == 0:
		p.active = append(p.active, int32(i))
		g.place = int32(len(p.active))
	case g.weight() == 0 && g.place > 0:
		last := p.active[len(p.active)-1]
		p.active[g.place-1] = last
		p.groups[last].place = g.place
		p.active = p.active[:len(p.active)-1]
		g.place = 0
	}
	if len(p.active) <= 1 && p.level == 1 {
		g.rate = g.want()
		if w := g.weight(); w > 0 {
			g.rate = min(g.rate, p.capacity/w)
		}
		p.changed = append(p.changed, int32(i))
		return
	}
	p.spread(now)
	if !contains(p.changed, int32(i)) {
		p.changed = append(p.changed, int32(i))
	}
}

func contains(list []int32, x int32) bool {
	for _, v := range list {
		if v == x {
			return true
		}
	}
	return false
}

// spread finds the level at which the machine is full, and sets all rates.
func (p *Processors) spread(now int64) {
	demand := 0.0
	for _, i := range p.active {
		g := &p.groups[i]
		demand += float64(g.weight() * g.want())
	}
	level := 1.0
	if demand > p.capacity {
		level = p.fill()
	}
	for _, i := range p.active {
		g := &p.groups[i]
		rate := min(g.want(), level)
		if len(p.active) == 1 {
			rate = min(rate, p.capacity/g.weight())
		}
		if rate != g.rate {
			p.settle(g, now)
			g.rate = rate
			p.changed = append(p.changed, i)
		}
	}
	p.level = level
}

// fill finds the level: groups that want less get what they want, and the others
// share the rest evenly among their jobs.
func (p *Processors) fill() float64 {
	rest, open := p.capacity, 0.0
	for _, i := range p.active {
		open += p.groups[i].weight()
	}
	level := rest / open
	for range p.active {
		free, jobs := p.capacity, 0.0
		for _, i := range p.active {
			g := &p.groups[i]
			if g.want() <= level {
				free -= float64(g.weight() * g.want())
			} else {
				jobs += g.weight()
			}
		}
		if jobs == 0 {
			return 1
		}
		next := free / jobs
		if next <= level {
			break
		}
		level = next
	}
	return min(level, 1)
}

// Clone returns a copy that goes on by itself.
func (p *Processors) Clone() *Processors {
	c := *p
	c.groups = append([]group(nil), p.groups...)
	for i := range c.groups {
		c.groups[i].jobs = append([]job(nil), c.groups[i].jobs...)
	}
	c.active = append([]int32(nil), p.active...)
	c.changed = append([]int32(nil), p.changed...)
	return &c
}

func (a *job) before(b *job) bool { return a.end < b.end || a.end == b.end && a.seq < b.seq }

func (g *group) push(j job) {
	g.jobs = append(g.jobs, j)
	g.up(len(g.jobs)-1, j)
}

func (g *group) up(i int, j job) {
	for i > 0 {
		parent := (i - 1) / 2
		if !j.before(&g.jobs[parent]) {
			break
		}
		g.jobs[i] = g.jobs[parent]
		i = parent
	}
	g.jobs[i] = j
}

func (g *group) remove(i int) {
	last := len(g.jobs) - 1
	j := g.jobs[last]
	g.jobs = g.jobs[:last]
	if i == last {
		return
	}
	h := g.jobs
	for {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && h[c+1].before(&h[c]) {
			c++
		}
		if !h[c].before(&j) {
			break
		}
		h[i] = h[c]
		i = c
	}
	h[i] = j
	g.up(i, j)
}
