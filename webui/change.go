package webui

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Changer makes a running system another one: it adds, changes and removes services,
// and those that stay the same go on. On an error the system is what it was, or the error
// says what is not.
type Changer interface {
	Update(ctx context.Context, next *topology.System) error
}

// changeTimeout bounds the making of a system another one: pods of a cluster take turns,
// and some have an image to fetch.
const changeTimeout = 10 * time.Minute

// postSystem makes the running system what the text describes, and answers when it is.
func (s *Server) postSystem(req *http.Request) (any, error) {
	body, err := readJSON[struct {
		Text string `json:"text"`
	}](req)
	if err != nil {
		return nil, err
	}
	r := s.current()
	if r == nil {
		return nil, conflict("no system runs: play the experiment on local, or open a running system")
	}
	e, err := toPlay(s.name(), body.Text, r.variant, plainLoad{})
	if err != nil {
		return nil, err
	}
	// The system is changed even if the page goes meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), changeTimeout)
	defer cancel()
	if err := r.change(ctx, &e.System, body.Text, s.tell); err != nil {
		return nil, err
	}
	if r.kind == followed {
		s.Show(&Source{Kind: KindSystem, Name: "system " + r.name, On: r.on, Text: body.Text})
	}
	s.tell()
	return r.view(), nil
}

// A changeView is a change of the system that was asked for and is not in force yet.
type changeView struct {
	// Asked is when it was asked for, in seconds since the load began.
	Asked float64  `json:"asked"`
	What  []string `json:"what"`
	// Replicas are how many replicas services are to have, of those that shall have
	// another number: 0 says that the service goes.
	Replicas map[string]int `json:"replicas"`
}

// wantedReplicas are the numbers of replicas that differ from those of before.
func wantedReplicas(old, next *topology.System) map[string]int {
	wanted := map[string]int{}
	for i := range next.Services {
		now := &next.Services[i]
		if was := old.Service(now.Name); was == nil || was.Replicas != now.Replicas {
			wanted[now.Name] = now.Replicas
		}
	}
	for i := range old.Services {
		if name := old.Services[i].Name; next.Service(name) == nil {
			wanted[name] = 0
		}
	}
	return wanted
}

// change makes the system of a run that of a text, and notes it in the ground truth. It
// tells at once what was asked for, because new replicas take seconds to become ready.
func (r *run) change(ctx context.Context, next *topology.System, text string, tell func()) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	r.mu.Lock()
	changer, state, old := r.changer, r.state, r.system
	r.mu.Unlock()
	switch {
	case r.on == OnVirtual:
		return conflict("nothing is changed by hand in virtual time: change the file, and play it again")
	case state != running:
		return conflict("the system does not run now: play the experiment on local, or open a running system")
	case changer == nil:
		return conflict("changing system %q: it cannot be changed while it runs", r.name)
	}
	what := differences(old, next)
	if len(what) == 0 {
		return conflict("the text describes the system as it runs already")
	}
	asked := time.Now()
	r.mu.Lock()
	r.underWay = &changeView{asked.Sub(r.zero).Seconds(), what, wantedReplicas(old, next)}
	r.mu.Unlock()
	tell()
	err := changer.Update(ctx, next)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay = nil
	r.noteChange(result.SystemChange{AskedAt: asked, What: what}, err)
	if err != nil {
		return &refusal{http.StatusUnprocessableEntity, err}
	}
	r.becomes(next, text)
	return nil
}

// becomes notes what the system is now, and the text of it if there is one: what another
// program has made of a run is drawn beside the text of the run, which stays. It needs mu.
func (r *run) becomes(next *topology.System, text string) {
	now := NewGraph(next)
	if text != "" || r.kind == followed {
		r.drawn = now
	}
	r.system, r.text, r.graph, r.aside = next, text, r.graph.with(now), asideOf(now, r.drawn)
	r.series.Grow(r.graph, namesOf(next))
}

// look asks what the system is now. It returns it, and notes it in the ground truth, if
// another program has changed it since.
func (r *run) look(ctx context.Context) (*topology.System, error) {
	r.mu.Lock()
	description, old, changes := r.description, r.system, len(r.changes)
	r.mu.Unlock()
	if description.Now == nil {
		return nil, nil
	}
	asking, cancel := context.WithTimeout(ctx, alivePatience)
	defer cancel()
	now, err := description.Now(asking)
	if err != nil || reflect.DeepEqual(old, now) {
		return nil, err
	}
	what := differences(old, now)
	if !r.changing.TryLock() {
		return nil, nil // the page itself is changing it
	}
	defer r.changing.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.state != running || len(r.changes) != changes:
		return nil, nil // what was asked for is not of now any more
	case len(what) == 0:
		r.system = now // the same in other words, which need not be compared again
		return nil, nil
	}
	if description.Adopt != nil {
		description.Adopt(now)
	}
	r.noteChange(result.SystemChange{AskedAt: time.Now(), What: what, Elsewhere: true}, nil)
	r.becomes(now, "")
	return now, nil
}

// watchChanges looks each second what the system is, until ctx ends, and tells of changes.
func (r *run) watchChanges(ctx context.Context, tell func()) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// What is not known now may be known in a second.
		if changed, err := r.look(ctx); err == nil && changed != nil {
			tell()
		}
	}
}

// noteChange notes in the ground truth a change that was asked for, and that it is made
// now or why not. It needs mu.
func (r *run) noteChange(c result.SystemChange, err error) {
	c.Asked = c.AskedAt.Sub(r.zero).Seconds()
	if err != nil {
		c.Error = err.Error()
	} else {
		c.DoneAt = time.Now()
		c.Done = c.DoneAt.Sub(r.zero).Seconds()
	}
	r.changes = append(r.changes, c)
}

func namesOf(system *topology.System) (names []string) {
	for i := range system.Services {
		names = append(names, system.Services[i].Name)
	}
	return names
}

// with returns the graph with what another has beside it. What is there keeps its place.
func (g *Graph) with(other *Graph) *Graph {
	all := &Graph{Nodes: slices.Clone(g.Nodes), Edges: slices.Clone(g.Edges)}
	index := map[string]int{}
	for i, n := range all.Nodes {
		index[n.Name] = i
	}
	for _, n := range other.Nodes {
		if i, known := index[n.Name]; known {
			all.Nodes[i] = n
			continue
		}
		index[n.Name] = len(all.Nodes)
		all.Nodes = append(all.Nodes, n)
	}
	known := map[Edge]bool{}
	for _, e := range all.Edges {
		known[e] = true
	}
	for _, e := range other.Edges {
		e = Edge{index[other.Nodes[e.From].Name], index[other.Nodes[e.To].Name]}
		if !known[e] {
			all.Edges = append(all.Edges, e)
		}
	}
	return all
}
