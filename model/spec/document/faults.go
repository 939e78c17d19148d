package document

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// KindFaults stands for a file of faults alone, which has no kind of its own.
const KindFaults = "Faults"

// Faults are faults that stand alone: what they act on is known when they are
// put on a system.
type Faults struct {
	Name string
	// System names the system that is meant; it may be empty.
	System string
	// Namespace is where labels that name no service select pods, unless their
	// Selection says where; it may be empty.
	Namespace string
	// Paused says that the file keeps the faults from acting.
	Paused bool
	Parts  []Part
}

// A Part is one fault of a file, before it has its targets.
type Part struct {
	// Fault has all but a service, and its Name.
	Fault fault.Fault
	// Path is where the file describes it.
	Path string
	On   Selection
	// Peers is the other end of a fault on the network; nil means everybody.
	Peers *Selection
	// Towards says which packets a fault on the network hits, as Chaos Mesh does:
	// those that go to the peers, those that come from them, or both.
	Towards fault.Direction
}

// A Selection says which replicas are meant.
type Selection struct {
	// Services are the ones meant; nil means all, unless there are Labels.
	Services []string
	// Labels are labels of pods, with values that may name a service, as
	// app: cart does.
	Labels map[string]string
	// Namespaces are those of a cluster whose pods are meant; none stands for that of
	// the system.
	Namespaces []string
	// Container is set where a name may also be that of a container or an object
	// of VECROsim.
	Container bool
	// Mode and value say how many of the replicas are taken.
	Mode  PickMode
	Value int
}

// PickMode is one of Chaos Mesh's words for how many are taken.
type PickMode string

const (
	PickAll       PickMode = "all"
	PickOne       PickMode = "one"
	PickFixed     PickMode = "fixed"
	PickPercent   PickMode = "fixed-percent"
	PickAtMostPer PickMode = "random-max-percent"
)

// Names lists the faults as the file calls them.
func (f *Faults) Names() []string {
	var names []string
	for i := range f.Parts {
		names = append(names, f.Parts[i].Fault.Name)
	}
	return names
}

// For puts the faults on a system. Where a file leaves open which replicas are
// meant, the seed decides; with Chaos Mesh's mode random-max-percent this may be
// none, and then the fault is left out. A fault that acts on several targets becomes several,
// with the target at the end of their names.
func (f *Faults) For(system *topology.System, seed uint64) ([]fault.Fault, error) {
	if f.Paused {
		return nil, nil
	}
	var all []fault.Fault
	var failed []error
	if f.System != "" && f.System != system.Name {
		return nil, fmt.Errorf("the faults %q are meant for system %q, not %q", f.Name, f.System, system.Name)
	}
	for i := range f.Parts {
		p := &f.Parts[i]
		targets, err := p.targets(system, dist.Seed(seed).With("targets").With(f.Name))
		if err != nil {
			failed = append(failed, fmt.Errorf("fault %q: %w", p.Fault.Name, err))
			continue
		}
		for _, t := range targets {
			one := p.Fault
			one.Target = t
			if len(targets) > 1 {
				one.Name += "-" + targetSuffix(t)
			}
			all = append(all, one)
		}
	}
	return all, errors.Join(failed...)
}

// targetSuffix writes a target in letters that names may have.
func targetSuffix(t fault.Target) string {
	text := strings.ReplaceAll(t.String(), "->", "-")
	return strings.ReplaceAll(text, "/", "-")
}

// targets lists what the fault acts on.
func (p *Part) targets(system *topology.System, key dist.Key) ([]fault.Target, error) {
	chosen, err := p.On.replicas(system, key)
	if err != nil {
		return nil, err
	}
	entry, _ := fault.Lookup(p.Fault.Type)
	switch {
	case entry.Layer != fault.OnNetwork:
		return chosen, nil
	case p.Peers == nil:
		// Packets to everybody are those that the target sends.
		for i := range chosen {
			chosen[i].Direction = turned(p.Towards)
		}
		return chosen, nil
	}
	peers, err := p.Peers.replicas(system, key.With("peers"))
	if err != nil {
		return nil, err
	}
	return edgesBetween(system, chosen, peers, p.Towards)
}

// turned is a direction as seen from the other end.
func turned(d fault.Direction) fault.Direction {
	switch d {
	case fault.ToTarget:
		return fault.FromTarget
	case fault.FromTarget:
		return fault.ToTarget
	default:
		return d
	}
}

// edgesBetween lists the calls that packets between the chosen and their peers
// belong to, one way and the other.
func edgesBetween(system *topology.System, chosen, peers []fault.Target, towards fault.Direction) ([]fault.Target, error) {
	var edges []fault.Target
	seen := map[fault.Target]bool{}
	add := func(t fault.Target) {
		if !seen[t] {
			seen[t] = true
			edges = append(edges, t)
		}
	}
	calls := map[[2]string]bool{}
	for _, e := range system.Edges() {
		calls[[2]string{e.From.Service, e.To.Service}] = true
	}
	for _, c := range chosen {
		for _, p := range peers {
			if calls[[2]string{c.Service, p.Service}] {
				if c.Replica != 0 {
					return nil, fmt.Errorf("it is about calls of only some replicas of %q, which is not possible here; choose all with mode: all", c.Service)
				}
				add(fault.Target{Service: p.Service, Replica: p.Replica, From: c.Service, Direction: towards})
			}
			if calls[[2]string{p.Service, c.Service}] {
				if p.Replica != 0 {
					return nil, fmt.Errorf("it is about calls of only some replicas of %q, which is not possible here; choose all with mode: all", p.Service)
				}
				add(fault.Target{Service: c.Service, Replica: c.Replica, From: p.Service, Direction: turned(towards)})
			}
		}
	}
	if len(edges) == 0 {
		return nil, errors.New("those that it is between do not call each other")
	}
	return edges, nil
}

// replicas draws the replicas that are meant. Where all of a service are, its
// target has no replica.
func (s *Selection) replicas(system *topology.System, key dist.Key) ([]fault.Target, error) {
	services, err := s.find(system)
	if err != nil {
		return nil, err
	}
	type seat struct {
		target fault.Target
		draw   uint64
	}
	var seats []seat
	for _, service := range services {
		for i := range service.Replicas {
			seats = append(seats, seat{fault.Target{Service: service.Name, Replica: i + 1}, key.With(service.Name).WithInt(i).Uint64()})
		}
	}
	n := s.count(len(seats), key)
	if n == 0 && s.Mode != PickAtMostPer {
		return nil, fmt.Errorf("of %d replicas that are selected, it would take none", len(seats))
	}
	byDraw := slices.Clone(seats)
	slices.SortStableFunc(byDraw, func(a, b seat) int {
		if a.draw < b.draw {
			return -1
		}
		return 1
	})
	taken := map[fault.Target]bool{}
	for _, seat := range byDraw[:n] {
		taken[seat.target] = true
	}
	var targets []fault.Target
	for _, service := range services {
		var some []fault.Target
		for i := range service.Replicas {
			if t := (fault.Target{Service: service.Name, Replica: i + 1}); taken[t] {
				some = append(some, t)
			}
		}
		if len(some) == service.Replicas {
			some = []fault.Target{{Service: service.Name}}
		}
		targets = append(targets, some...)
	}
	return targets, nil
}

// count is how many of so many replicas are taken.
func (s *Selection) count(all int, key dist.Key) int {
	switch s.Mode {
	case PickOne:
		return min(1, all)
	case PickFixed:
		return min(s.Value, all)
	case PickPercent:
		return all * s.Value / 100
	case PickAtMostPer:
		return all * key.With("percent").IntN(s.Value+1) / 100
	default:
		return all
	}
}

// find returns the services that are meant, in the order of the system.
func (s *Selection) find(system *topology.System) ([]*topology.Service, error) {
	if s.Labels != nil {
		return s.labelled(system)
	}
	wanted := map[string]bool{}
	var failed []error
	for _, name := range s.Services {
		found := s.lookUp(system, name)
		if found == nil {
			var names []string
			for i := range system.Services {
				names = append(names, system.Services[i].Name)
			}
			hint := problem.DidYouMean(name, names, "its services are "+strings.Join(names[:min(len(names), 30)], ", "))
			failed = append(failed, fmt.Errorf("there is no service %q in system %q (%s)", name, system.Name, hint))
			continue
		}
		wanted[found.Name] = true
	}
	var services []*topology.Service
	for i := range system.Services {
		if service := &system.Services[i]; s.Services == nil || wanted[service.Name] {
			services = append(services, service)
		}
	}
	return services, errors.Join(failed...)
}

// labelled returns the service that the labels name.
func (s *Selection) labelled(system *topology.System) (services []*topology.Service, err error) {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(s.Labels)) {
		pairs = append(pairs, key+"="+s.Labels[key])
		found := system.Service(s.Labels[key])
		if found != nil && !slices.Contains(services, found) {
			services = append(services, found)
		}
	}
	selector := strings.Join(pairs, ",")
	switch len(services) {
	case 1:
		return services, nil
	case 0:
		return nil, &LabelsError{Selector: selector, System: system.Name}
	}
	return nil, fmt.Errorf("the labels %s name several services of system %q: keep one, such as app.kubernetes.io/name: %s", selector, system.Name, services[0].Name)
}

// A LabelsError says that labels name no service of a system. They may select
// other pods of a cluster.
type LabelsError struct {
	// Selector is what kubectl takes after -l.
	Selector string
	System   string
}

func (e *LabelsError) Error() string {
	return fmt.Sprintf("no value of the labels %s is a service of system %q: choose one with app.kubernetes.io/name: SERVICE; "+
		"other pods of a cluster are broken by kubectl microsim fault apply, or fault add TYPE --selector %s", e.Selector, e.System, e.Selector)
}

// A PodFault is a fault on the pods of a cluster that labels select.
type PodFault struct {
	Fault fault.Fault
	// Selector is what kubectl takes after -l; it stands as the fault's target.
	Selector string
	// Namespace is that of the pods; empty if the file does not say.
	Namespace string
}

// Split parts the faults whose labels name no service of a system, and so select
// pods of a cluster, from the others. Without a system, all labels do.
func (f *Faults) Split(system *topology.System) (ours Faults, pods []PodFault, err error) {
	ours = *f
	ours.Parts = nil
	if f.Paused {
		return *f, nil, nil
	}
	if system == nil {
		system = &topology.System{}
	}
	var failed []error
	for i := range f.Parts {
		p := &f.Parts[i]
		_, unknown := p.On.find(system)
		labels := (*LabelsError)(nil)
		if !errors.As(unknown, &labels) {
			ours.Parts = append(ours.Parts, *p)
			continue
		}
		one, err := p.onPods(labels.Selector)
		if err != nil {
			failed = append(failed, fmt.Errorf("fault %q, on the pods with labels %s: %w", p.Fault.Name, labels.Selector, err))
			continue
		}
		pods = append(pods, PodFault{one, labels.Selector, cmp.Or(append(slices.Clone(p.On.Namespaces), f.Namespace)...)})
	}
	return ours, pods, errors.Join(failed...)
}

// CheckNamespace refuses faults on services whose file means pods of other namespaces
// than that of the system.
func (f *Faults) CheckNamespace(system, namespace string) error {
	var failed []error
	for i := range f.Parts {
		p := &f.Parts[i]
		meant := slices.Clone(p.On.Namespaces)
		if p.Peers != nil {
			meant = append(meant, p.Peers.Namespaces...)
		}
		if other := slices.IndexFunc(meant, func(n string) bool { return n != namespace }); other >= 0 {
			failed = append(failed, fmt.Errorf("fault %q is meant for pods of namespace %q, and system %q is in %q: write that in its selector, or leave namespaces out", p.Fault.Name, meant[other], system, namespace))
		}
	}
	return errors.Join(failed...)
}

// onPods is the fault as it acts on pods that a selector chooses.
func (p *Part) onPods(selector string) (fault.Fault, error) {
	switch {
	case len(p.On.Namespaces) > 1:
		return fault.Fault{}, fmt.Errorf("the selector names the namespaces %s, and a fault acts in one: write an object for each", strings.Join(p.On.Namespaces, ", "))
	case p.On.Mode != PickAll:
		return fault.Fault{}, fmt.Errorf("mode %s takes some of them, and only services of a system are counted; write mode: all with labels that fewer pods have", p.On.Mode)
	case p.Peers != nil:
		return fault.Fault{}, errors.New("a target limits it to packets of other pods, which are not looked up; remove it, or use fault add with --selector and --to")
	}
	one := p.Fault
	one.Target = fault.Target{Service: selector}
	if entry, _ := fault.Lookup(one.Type); entry.Layer == fault.OnNetwork {
		one.Target.Direction = turned(p.Towards)
	}
	return one, nil
}

// lookUp finds a service by its name. VECROsim's containers are named after the
// service, those of databases with an ending, its objects with the system's name
// before that.
func (s *Selection) lookUp(system *topology.System, name string) *topology.Service {
	names := []string{name}
	if s.Container {
		short := strings.TrimPrefix(name, system.Name+"-")
		for _, n := range []string{name, short} {
			names = append(names, n, strings.TrimSuffix(n, "-agent"), strings.TrimSuffix(n, "-mongodb"))
		}
	}
	for _, n := range names {
		if service := system.Service(n); service != nil {
			return service
		}
	}
	return nil
}

// Validate names what is wrong with the faults as far as they do not depend on a
// system. Paths are those of the file.
func (f *Faults) Validate() (problems problem.List) {
	for i := range f.Parts {
		p := &f.Parts[i]
		one := p.Fault
		one.Target.Service = "any" // whether it is there, For says
		problems.Under(p.Path, one.Validate())
		for _, before := range f.Parts[:i] {
			if before.Fault.Name == one.Name {
				problems.AddHint(problem.Join(p.Path, "name"), "give each fault its own name", "there is a fault %q already", one.Name)
			}
		}
	}
	return problems
}
