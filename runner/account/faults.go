package account

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/fault/timeline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// A FaultLog keeps the ground truth of a timeline of faults: when each was planned,
// asked for, and effective. Its methods name a fault by the index of its window in
// the plan, and return a copy of its record. Several goroutines may call them at
// once.
type FaultLog struct {
	plan *timeline.Plan
	// schedule is told in which part of the run faults act; it may be nil.
	schedule *measure.Schedule

	mu      sync.Mutex
	zero    time.Time
	records []result.FaultRecord
	// since holds, for each window, the last Injection.ActsSince of each place, to
	// notice gaps.
	since []map[string]time.Time
}

// NewFaultLog returns a log that has a record for each window of the plan.
func NewFaultLog(plan *timeline.Plan) *FaultLog {
	l := &FaultLog{plan: plan, records: []result.FaultRecord{}}
	for i := range plan.Windows {
		rec := newFaultRecord(&plan.Windows[i])
		rec.Place = i
		l.records = append(l.records, rec)
		l.since = append(l.since, map[string]time.Time{})
	}
	return l
}

func newFaultRecord(w *timeline.Window) result.FaultRecord {
	rec := result.FaultRecord{
		ID: w.ID, Label: w.Fault.Label(), Fault: w.Fault, Replicas: []string{}, PlannedFrom: w.From.Seconds(), PlannedTo: w.To.Seconds(), Hits: -1,
	}
	if w.Victim != "" {
		rec.Round, rec.Victim = w.Round+1, w.Victim
		rec.Label = fmt.Sprintf("%s %s (round %d)", w.Fault.Type, w.Victim, rec.Round)
	}
	return rec
}

// Plan returns the timeline of the log.
func (l *FaultLog) Plan() *timeline.Plan { return l.plan }

// Begin sets the zero of the timeline, from which the times of records count.
func (l *FaultLog) Begin(zero time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.zero = zero
}

// Asked notes that a window is about to be applied.
func (l *FaultLog) Asked(i int, at time.Time) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) { rec.OrderedAt, rec.AskedFrom = along(l.zero, at), l.sinceZero(at) })
}

// Applied notes that the fault of a window is known to act.
func (l *FaultLog) Applied(i int, at time.Time) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) { rec.AppliedAt, rec.From = along(l.zero, at), l.sinceZero(at) })
}

// ClearAsked notes that a window is about to be cleared. Of several attempts the
// first counts, because from then on it is not known how much of the fault still
// acts.
func (l *FaultLog) ClearAsked(i int, at time.Time) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) {
		if rec.Applied() && rec.ClearOrderedAt.IsZero() {
			rec.ClearOrderedAt, rec.AskedTo = along(l.zero, at), l.sinceZero(at)
		}
	})
}

// Cleared notes that the fault of a window is known to be gone. A fault that was
// never applied gets no end.
func (l *FaultLog) Cleared(i int, at time.Time) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) {
		if rec.Applied() {
			rec.ClearedAt, rec.To = along(l.zero, at), l.sinceZero(at)
		}
	})
}

// Failed notes why a fault could not be applied or cleared.
func (l *FaultLog) Failed(i int, err error) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) { rec.Error = err.Error() })
}

// Acting notes, from a list of the faults that act now, on which replicas a
// window's fault acts and how often it has acted.
func (l *FaultLog) Acting(i int, active []control.Injection) result.FaultRecord {
	return l.update(i, func(rec *result.FaultRecord) {
		for _, injection := range active {
			if injection.ID != rec.ID {
				continue
			}
			rec.Hits = injection.Hits
			rec.Gaps = append(rec.Gaps, l.gaps(i, &injection)...)
			for _, replica := range injection.Replicas {
				if !slices.Contains(rec.Replicas, replica) {
					rec.Replicas = append(rec.Replicas, replica)
				}
			}
		}
	})
}

// gaps lists the places where a fault did not act all the time since the last call.
func (l *FaultLog) gaps(i int, news *control.Injection) []string {
	gaps := slices.Clone(news.Errors)
	for _, where := range slices.Sorted(maps.Keys(news.ActsSince)) {
		since := news.ActsSince[where]
		if before, known := l.since[i][where]; known && !before.Equal(since) {
			gaps = append(gaps, fmt.Sprintf("%s: it stopped, and acted again since %s", where, since.UTC().Format(time.RFC3339)))
		}
		l.since[i][where] = since
	}
	return gaps
}

// update changes a record and returns a copy of it.
func (l *FaultLog) update(i int, change func(*result.FaultRecord)) result.FaultRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.records[i])
	if l.schedule != nil {
		l.schedule.SetFaults(l.span())
	}
	return copyOf(&l.records[i])
}

func (l *FaultLog) sinceZero(at time.Time) float64 { return at.Sub(l.zero).Seconds() }

func copyOf(rec *result.FaultRecord) result.FaultRecord {
	c := *rec
	c.Replicas, c.Gaps = slices.Clone(rec.Replicas), slices.Clone(rec.Gaps)
	return c
}

// Records returns a record for each window of the plan, in its order.
func (l *FaultLog) Records() []result.FaultRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := make([]result.FaultRecord, len(l.records))
	for i := range l.records {
		records[i] = copyOf(&l.records[i])
	}
	return records
}

// Record returns the record of one window.
func (l *FaultLog) Record(i int) result.FaultRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return copyOf(&l.records[i])
}

// span returns the part of the run in which faults act, as far as it is known yet.
// The caller holds mu.
func (l *FaultLog) span() measure.FaultSpan {
	s := measure.FaultSpan{Asked: measure.Never, From: measure.Never}
	acting, open := false, false
	for i := range l.records {
		rec := &l.records[i]
		if !l.plan.Windows[i].Acts() {
			continue
		}
		acting = acting || rec.ClearOrderedAt.IsZero()
		open = open || rec.ClearedAt.IsZero()
		if !rec.OrderedAt.IsZero() {
			s.Asked = min(s.Asked, elapsed(rec.AskedFrom))
		}
		if rec.Applied() {
			s.From = min(s.From, elapsed(effectiveFrom(rec)))
			s.ClearAsked = max(s.ClearAsked, elapsed(rec.AskedTo))
			s.To = max(s.To, elapsed(rec.To))
		}
	}
	if acting {
		s.ClearAsked = measure.Never
	}
	if open {
		s.To = measure.Never
	}
	return s
}

func elapsed(seconds float64) time.Duration { return time.Duration(math.Round(seconds * 1e9)) }

// effectiveFrom is when a fault began to do harm, in seconds. A kill or restart has
// done all its harm by the time it is known to have acted, so its harm begins when
// it is asked for.
func effectiveFrom(rec *result.FaultRecord) float64 {
	if timeline.ActsOnce(&rec.Fault) {
		return rec.AskedFrom
	}
	return rec.From
}

// culprit returns the fault to blame for an outage: the last one on the replica's
// process that was asked for before a moment. ok is false if there is none.
func (l *FaultLog) culprit(replica *Replica, before time.Time) (rec result.FaultRecord, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.records {
		r := &l.records[i]
		t := r.Fault.Target
		entry, _ := fault.Lookup(r.Fault.Type)
		if entry.Layer != fault.OnProcess || t.Service != replica.Service || t.Replica != 0 && t.Replica != replica.Index {
			continue
		}
		if !r.OrderedAt.IsZero() && !r.OrderedAt.After(before) && !r.OrderedAt.Before(rec.OrderedAt) {
			rec, ok = *r, true
		}
	}
	return rec, ok
}
