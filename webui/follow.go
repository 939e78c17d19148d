package webui

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

func readText(name, text string) (document.Documents, error) {
	return spec.Read(name, textReader(text))
}

// Follow shows a system that runs by itself, until it ends or the page turns to
// something else.
func (s *Server) Follow(ctx context.Context, at Place) error { //nolint:contextcheck // watching goes on after the request that asked for it
	live, err := s.config.Worlds.Connect(ctx, at)
	if err != nil {
		return conflict("%w", err)
	}
	source, err := sourceOf(live.System, at.On)
	if err != nil {
		return err
	}
	graph := NewGraph(live.System)
	following, cancel := context.WithCancelCause(s.life)
	r := &run{
		kind: followed, drawn: graph, on: at.On, name: live.System.Name, system: live.System, graph: graph, series: NewSeries(graph, false),
		cancel: cancel, state: running, zero: time.Now(), injector: live.Injector, changer: live.Changer, log: live.Log, send: live.Send, description: live.Description,
	}
	if err := s.begin(r); err != nil {
		cancel(nil)
		return err
	}
	stop, err := live.Watch(following, func(sample measure.Sample) { //nolint:contextcheck // as above
		r.series.Service(serviceRow(sample.At.Sub(r.zero).Seconds(), &sample))
	})
	if err != nil {
		cancel(nil)
		r.finish(nil, err)
		return fmt.Errorf("watching system %q: %w", at.Name, err)
	}
	s.Show(source)
	s.work.Go(func() {
		defer cancel(nil)
		s.followToEnd(following, r)
		err := stop()
		if cause := context.Cause(following); s.life.Err() == nil && errors.Is(cause, errEnded) {
			err = cause // that the watching could not be ended either says no more
		}
		r.finish(nil, err)
		s.tell()
	})
	return nil
}

// sourceOf is the description of a running system as a text.
func sourceOf(system *topology.System, on string) (*Source, error) {
	text, err := spec.FormatSystem(system)
	return &Source{Kind: KindSystem, Name: "system " + system.Name, On: on, Text: string(text)}, err
}

// showChanged shows the text of what another program has made of the system that is watched.
func (s *Server) showChanged(r *run, now *topology.System) {
	source, err := sourceOf(now, r.on)
	if err != nil {
		r.progressed(err.Error())
		return
	}
	s.mu.Lock()
	if s.run == r {
		s.source = source
	}
	s.mu.Unlock()
	s.tell()
}

// alivePatience is how long a system may take to say that it is there.
const alivePatience = 3 * time.Second

// missedAtMost is how often in a row a system may not answer before the page says so.
const missedAtMost = 2

// followToEnd tells of each second until the system ends, or ctx does, and shows what
// other programs make of it. A system that cannot be reached may come back, such as after
// a laptop has slept.
func (s *Server) followToEnd(ctx context.Context, r *run) {
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watchFaults(watching) })
	defer watch.Wait()
	defer stop()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for missed, gone := 0, 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.tell()
		asked := time.Now()
		changed, err := r.look(ctx)
		if changed != nil {
			s.showChanged(r, changed)
		}
		if !errors.Is(err, ErrGone) {
			gone = 0
		} else if gone++; gone > missedAtMost {
			r.cancel(fmt.Errorf("%w: %w", errEnded, err))
			return
		}
		if err == nil {
			missed = 0
			r.answers(time.Now())
		} else if missed++; missed >= missedAtMost && ctx.Err() == nil {
			r.silent(asked, err)
		}
	}
}

// silent notes that a system cannot be reached, and why.
func (r *run) silent(now time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silentSince.IsZero() {
		r.silentSince = now
	}
	r.progress, r.unreachable = "", err.Error()
}

// answers notes that a system can be reached.
func (r *run) answers(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.silentSince.IsZero() {
		return
	}
	r.progress = fmt.Sprintf("it answers again, after %v without an answer; what happened meanwhile is not known", now.Sub(r.silentSince).Round(time.Second))
	r.silentSince, r.unreachable = time.Time{}, ""
}

// A Record is a run that was recorded, with its rows in the order of time.
type Record struct {
	Result   *result.Result
	System   *topology.System
	Text     string
	Clients  []ClientRow
	Services []ServiceRow
	// Requests is nil if no traces were kept, Log if no logs were.
	Requests Requests
	Log      Log
}

// graphOfRows is the graph of the services that rows tell of, and of their calls to each
// other: others than those of the file may have been added while it ran.
func graphOfRows(rows []ServiceRow) *Graph {
	g := &Graph{Nodes: []Node{{}}}
	index := map[string]int{}
	for i := range rows {
		at, known := index[rows[i].Service]
		if !known {
			at = len(g.Nodes)
			index[rows[i].Service] = at
			g.Nodes = append(g.Nodes, Node{Name: rows[i].Service})
		}
		if n := rows[i].Replicas; n > float64(g.Nodes[at].Replicas) { // of NaN, nothing is known
			g.Nodes[at].Replicas = int(n)
		}
	}
	known := map[Edge]bool{}
	for i := range rows {
		for j := range rows[i].Edges {
			to, told := index[rows[i].Edges[j].Callee]
			if e := (Edge{index[rows[i].Service], to}); told && !known[e] {
				known[e] = true
				g.Edges = append(g.Edges, e)
			}
		}
	}
	return g
}

// Replay shows a recorded run.
func (s *Server) Replay(dir string, rec *Record) error {
	described := NewGraph(rec.System)
	graph := described.with(graphOfRows(rec.Services)).with(described) // the file knows the kinds of services
	r := &run{
		kind: recorded, drawn: described, aside: asideOf(graph, described), on: rec.Result.Target, name: rec.Result.Name, seed: rec.Result.Seed, system: rec.System, graph: graph,
		series: NewSeries(graph, true), cancel: func(error) {}, state: done, result: rec.Result, changes: rec.Result.Changes, requests: rec.Requests, log: rec.Log, zero: rec.Result.LoadStarted,
	}
	for i := range rec.Result.Faults {
		r.noteFault(&rec.Result.Faults[i])
	}
	for i := range rec.Result.Segments {
		if segment := &rec.Result.Segments[i]; segment.Kind == result.WholeRun {
			r.length = segment.To
		} else if segment.Kind == result.LoadPhase {
			r.phases = append(r.phases, phaseView{segment.Name, segment.From})
		}
	}
	next := 0
	for i := range rec.Services {
		row := &rec.Services[i]
		for ; next < len(rec.Clients) && rec.Clients[next].At <= row.At+0.25; next++ {
			r.series.Client(rec.Clients[next])
		}
		r.series.Service(row)
	}
	r.series.End()
	if err := s.begin(r); err != nil {
		return err
	}
	s.remember(r)
	s.Show(&Source{Kind: KindRun, Name: dir, Text: rec.Text})
	return nil
}
