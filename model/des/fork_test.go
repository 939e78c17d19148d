package des

import (
	"slices"
	"testing"
	"time"
)

// A plant is a model with a part of each kind: jobs come, share processors, wait for one
// of two servers, and are written to a disk. Its random draws are part of its state.
type plant struct {
	k       *Kernel[what]
	cpu     *Processors
	servers *Servers[int32]
	disk    Line
	lane    Lane
	timer   Timer
	random  uint64
	jobs    int32
}

func newPlant() *plant {
	p := &plant{k: New[what](), cpu: NewProcessors(2), servers: NewServers[int32](2, 5), random: 1}
	p.cpu.Group(1.5)
	p.lane = p.k.Lane(7 * time.Millisecond)
	p.k.After(0, what{kind: 0})
	return p
}

// fork copies all that the future depends on.
func (p *plant) fork() *plant {
	c := *p
	c.k, c.cpu, c.servers = p.k.Clone(), p.cpu.Clone(), p.servers.Clone()
	return &c
}

func (p *plant) draw(most time.Duration) time.Duration {
	p.random = p.random*6364136223846793005 + 1442695040888963407
	return time.Duration(p.random>>33) % most
}

// A happening is an event, and what was left to come after it.
type happening struct {
	at   time.Duration
	what what
	left int
	used time.Duration
}

// step handles one event.
func (p *plant) step() happening {
	e, _ := p.k.Next(Never)
	switch e.kind {
	case 0: // a job comes, and gets a time limit
		p.jobs++
		p.cpu.Add(0, p.k.Now(), time.Millisecond+p.draw(2*time.Millisecond), p.jobs)
		if limit := p.k.In(p.lane, what{kind: 4, customer: p.jobs}); p.jobs%3 == 0 {
			p.k.Cancel(limit)
		}
		p.k.After(p.draw(3*time.Millisecond), what{kind: 0})
	case 1: // it has had its processor time
		if job := p.cpu.Pop(0, p.k.Now()); job > 0 {
			if served, _ := p.servers.Enter(job); served {
				p.k.After(p.draw(3*time.Millisecond), what{kind: 2, customer: job})
			}
		}
	case 2: // and its server
		if next, ok := p.servers.Leave(); ok {
			p.k.After(p.draw(3*time.Millisecond), what{kind: 2, customer: next})
		}
		p.k.At(p.disk.Take(p.k.Now(), p.draw(time.Millisecond)), what{kind: 3, customer: e.customer})
	default: // it is written, or its time is over
		p.cpu.Remove(0, p.k.Now(), e.customer)
	}
	for range p.cpu.Changed() {
		p.k.Cancel(p.timer)
		p.timer = p.k.At(p.cpu.Next(0), what{kind: 1})
	}
	return happening{p.k.Now(), e, p.k.Len(), p.cpu.Used(0, p.k.Now())}
}

func (p *plant) course(steps int) (list []happening) {
	for range steps {
		list = append(list, p.step())
	}
	return list
}

// A model that is forked at any moment has two futures: the same one, as long as nothing
// is changed; and what is changed in one, as a burst of jobs, is not felt in the other.
func TestForksAreWhole(t *testing.T) {
	const after = 400
	for moment := 1; moment < 2000; moment += 37 {
		p := newPlant()
		p.course(moment)
		same, disturbed := p.fork(), p.fork()
		for range 20 {
			disturbed.k.After(0, what{kind: 0})
		}
		burst := disturbed.course(after)
		want := newPlant()
		want.course(moment)
		expected := want.course(after)
		if got := same.course(after); !slices.Equal(got, expected) {
			t.Fatalf("a fork after %d events has another future", moment)
		}
		if got := p.course(after); !slices.Equal(got, expected) {
			t.Fatalf("what was forked after %d events has another future", moment)
		}
		if slices.Equal(burst, expected) {
			t.Fatalf("after %d events, a burst changes nothing", moment)
		}
	}
}
