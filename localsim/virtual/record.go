package virtual

import (
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/why"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A record keeps the figures that explain why requests failed: the samples of
// services for each second, and exact moments of some events.
type record struct {
	why.Record
	// overMemory are the kills of replicas over their memory limit.
	overMemory []overMemory
	// used is the processor time, until the last sample, of each service with a limit
	// and of all services.
	used    []time.Duration
	usedAll time.Duration
	// diskUsed is how long the disk had been busy by then.
	diskUsed time.Duration
}

// maxKeptMoments bounds the moments that are kept.
const maxKeptMoments = 1000

type overMemory struct {
	replica int32
	at      time.Duration
}

func newRecord(w *world, entries []string) *record {
	rec := &record{Record: why.Record{Step: time.Second, Cores: w.machine.Cores}, used: make([]time.Duration, len(w.services))}
	for _, s := range w.services {
		service := why.Service{Name: s.name, Entry: slices.Contains(entries, s.name), Absent: len(s.replicas) == 0, FirstRefused: why.Never}
		if s.topology.Kind.IsStore() {
			service.Connections = s.topology.StoreSettings().MaxConnections
		}
		for _, i := range s.replicas {
			r := w.replicas[i]
			workers := r.machine.Workers
			service.Workers += workers.Count
			service.Inside = workers.Inside
			switch {
			case workers.Inside:
				service.Room += workers.Shed.Queue
			case workers.AtAccept() > 0:
				service.Room += workers.AcceptQueue(w.machine.AcceptQueue).Queue
			}
			if res := s.topology.Resources; res != nil {
				service.CPULimit += float64(res.CPULimit)
			}
		}
		for _, c := range s.callees {
			if c.service < 0 {
				continue
			}
			calls := why.Calls{To: int(c.service), Name: c.name, FirstOpen: why.Never}
			for i, site := range s.plan.Sites {
				if s.calls[i] == c {
					calls.Timeout = max(calls.Timeout, site.Policy.Timeout.Std())
				}
			}
			service.Calls = append(service.Calls, calls)
		}
		slices.SortFunc(service.Calls, func(a, b why.Calls) int { return a.To - b.To })
		for i := range service.Calls {
			s.callees[int32(service.Calls[i].To)].recorded = i + 1
		}
		rec.Services = append(rec.Services, service)
	}
	return rec
}

// noteOverMemory notes that a replica exceeds its memory limit.
func (rec *record) noteOverMemory(replica int32, now time.Duration) {
	if len(rec.overMemory) < maxKeptMoments {
		rec.overMemory = append(rec.overMemory, overMemory{replica, now})
	}
}

// add adds the sample of a service.
func (rec *record) add(w *world, s *service, sample *measure.Sample) {
	service := &rec.Services[s.index]
	at := rec.At(w.now())
	to := &service.Stretches[at]
	to.Requests += sample.Requests
	to.Errors += sample.Errors
	to.Refused += s.counts.refused
	to.Time += sample.Latency.Sum()
	to.CPU += rec.cpuOf(w, s, sample)
	to.Working, to.Queue = max(to.Working, sample.InFlight), max(to.Queue, sample.QueueLength)
	s.counts.refused = 0
	for i := range sample.Calls {
		c := &sample.Calls[i]
		index := w.index(c.Callee)
		if index < 0 || s.callees[index] == nil || s.callees[index].recorded == 0 {
			continue
		}
		calls := &service.Calls[s.callees[index].recorded-1]
		calls.FirstOpen = s.callees[index].firstOpen()
		stretch := &calls.Stretches[at]
		for _, class := range outcome.Classes() {
			stretch.Count(class, c.Calls[class])
			if class != outcome.Rejected { // the pool rejected it, so nothing was sent
				stretch.Attempts += c.Attempts[class]
			}
		}
		stretch.Degraded += c.Degraded
		stretch.Time += c.Latency.Sum()
	}
}

// cpuOf returns the processor time of a service since its last sample. It is exact for
// a service with a limit; for others it counts only work that has ended.
func (rec *record) cpuOf(w *world, s *service, sample *measure.Sample) time.Duration {
	if rec.Services[s.index].CPULimit == 0 {
		return time.Duration(sample.CPUSeconds.Value * 1e9)
	}
	var used time.Duration
	for _, i := range s.replicas {
		used += w.cpu.Used(int(w.replicas[i].group), w.now())
	}
	before := rec.used[s.index]
	rec.used[s.index] = used
	return used - before
}

// addMachine adds what the processors and the disk of the machine did.
func (rec *record) addMachine(w *world) {
	var used time.Duration
	for g := range w.groups {
		used += w.cpu.Used(g, w.now())
	}
	to := &rec.Clients[rec.At(w.now())]
	to.CPU += used - rec.usedAll
	rec.usedAll = used
	disk := w.disk.Used(w.now())
	to.Disk += disk - rec.diskUsed
	rec.diskUsed = disk
}

// addClients adds what clients saw in a second.
func (rec *record) addClients(w *world, second *result.ClientSecond) {
	to := &rec.Clients[rec.At(w.now())]
	to.Ended += second.Ended
	for class, n := range second.Outcomes {
		switch class {
		case outcome.OK, outcome.Cancelled:
		case outcome.Dropped:
			to.Dropped += n
		default:
			to.Failed += n
		}
	}
	to.Degraded += second.Degraded
	to.Waiting = int64(w.clients.inFlight)
	if second.Latency != nil {
		to.P50 = max(to.P50, time.Duration(second.Latency.P50*1e9))
	}
}

// refuse notes that a service turns away a request or a connection.
func (w *world) refuse(s *service) {
	s.counts.refused++
	if w.record != nil && w.record.Services[s.index].FirstRefused == why.Never {
		w.record.Services[s.index].FirstRefused = w.now()
	}
}

// explain returns the explanation of why requests of a run failed.
func (rec *record) explain(w *world, r *result.Result) *result.Explanation {
	labels := map[string]string{}
	for i := range r.Faults {
		f := &r.Faults[i]
		if !f.Applied() {
			continue
		}
		labels[f.ID] = f.Label
		one := why.Fault{Label: f.Label, Service: f.Fault.Target.Service, From: f.Fault.Target.From, Hits: f.Hits, Begin: moment(f.From)}
		if f.Victim != "" {
			one.Service = f.Victim
		}
		if one.Moment = f.Fault.Type == fault.Kill || f.Fault.Type == fault.Restart; !f.ClearedAt.IsZero() {
			one.End = moment(f.To)
		}
		rec.Faults = append(rec.Faults, one)
	}
	for i := range r.Recoveries {
		f := &r.Recoveries[i]
		fall := why.Fall{Service: f.Service, Replica: f.Replica, By: labels[f.Fault], Begin: f.DownAt.Sub(Epoch)}
		if !f.ReadyAt.IsZero() {
			fall.End = f.ReadyAt.Sub(Epoch)
		}
		fall.OverMemory = slices.ContainsFunc(rec.overMemory, func(k overMemory) bool {
			x := w.replicas[k.replica]
			return k.at == fall.Begin && x.number == f.Replica && w.services[x.service].name == f.Service
		})
		rec.Falls = append(rec.Falls, fall)
	}
	rec.Cut, rec.End = r.Incomplete, w.now()
	return why.Explain(&rec.Record)
}

func moment(seconds float64) time.Duration { return time.Duration(float64(seconds*1e9) + 0.5) }
