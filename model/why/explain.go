package why

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The limits above which a figure counts as trouble.
const (
	// someBad is the share of requests of a stretch from which on it is in trouble.
	someBad = 0.02
	// slowAtLeast is by how much the median must be longer than in good times, and
	// slowAlways from which on it is long, whatever it was.
	slowAtLeast = 100 * time.Millisecond
	slowAlways  = time.Second
	// manySlow is the share of all requests from which on it counts that it took long.
	manySlow = 0.02
	// busy is the share of workers, processors or limits from which on they are full.
	busy = 0.9
	// keeps is the share of the time of a full service from which on calls keep its workers.
	keeps = 0.1
	// retried is how often calls are tried from which on that is told.
	retried = 1.3
	// maxLines bounds what is told.
	maxLines = 8
)

// Explain tells the chain of causes of what clients saw, in the order of time.
func Explain(r *Record) *result.Explanation {
	x := &explainer{Record: r, seen: map[int]bool{}, patienceWith: map[int]time.Duration{}}
	if !x.findTrouble() {
		return &result.Explanation{Lines: []result.ExplanationLine{{Text: x.allWell()}}}
	}
	x.machine()
	for s := range r.Services {
		if r.Services[s].Entry {
			x.visit(s, 0)
		}
	}
	x.retries()
	x.persistence()
	if len(x.found) == 0 {
		x.add(finding{weight: weightOwn, at: x.time(x.from), text: "the record shows no cause in the services"})
	}
	return &result.Explanation{Trouble: true, Lines: x.lines()}
}

type explainer struct {
	*Record
	// from and to are the first stretch in trouble, and the one after the last.
	from, to int
	total    Clients
	baseline time.Duration
	// manySlow says that it took long for more than a few requests.
	manySlow bool
	seen     map[int]bool
	found    []finding
	// patienceWith is how long callers wait for a service whose calls ended in timeouts.
	patienceWith map[int]time.Duration
	// machineFull says that processors or the disk were busy, so all that needs them is
	// slow.
	machineFull bool
	// hot are the calls on the chain that were tried more than once.
	hot []hotCalls
	// lastFault is when the last fault on the chain ended.
	lastFault time.Duration
	full      []int
}

// A finding is one link of the chain.
type finding struct {
	weight, depth int
	at            time.Duration
	service, text string
}

// Weights of findings: those of the least are told first where not all can be.
const (
	weightCause = iota
	weightFull
	weightOwn
	weightRetries
	weightBreaker
	weightCalls
)

type hotCalls struct {
	from, to int
	tries    float64
	at       time.Duration
}

func (x *explainer) add(f finding) { x.found = append(x.found, f) }

// time is when a stretch begins; the one after the last begins with the end of the run.
func (x *explainer) time(i int) time.Duration {
	at := time.Duration(i) * x.Step
	if x.End > 0 {
		return min(at, x.End)
	}
	return at
}

// length is that of some stretches, of which the last may be shorter.
func (x *explainer) length(from, to int) time.Duration {
	return max(x.time(to)-x.time(from), time.Nanosecond)
}

// findTrouble finds the stretches in which clients got errors or waited long.
func (x *explainer) findTrouble() bool {
	var good []time.Duration
	for i := range x.Clients {
		c := &x.Clients[i]
		x.total = Clients{x.total.Ended + c.Ended, x.total.Failed + c.Failed, x.total.Degraded + c.Degraded, x.total.Dropped + c.Dropped, c.Waiting, max(x.total.P50, c.P50), x.total.CPU + c.CPU, x.total.Disk + c.Disk}
		if c.P50 > 0 {
			good = append(good, c.P50)
		}
	}
	if len(good) > 0 {
		slices.Sort(good)
		x.baseline = good[len(good)/10]
	}
	var slow int64
	for i := range x.Clients {
		if c := &x.Clients[i]; x.slow(c.P50) {
			slow += c.Ended
		}
	}
	x.from, x.manySlow = -1, float64(slow) > manySlow*float64(x.total.Ended)
	for i := range x.Clients {
		if x.inTrouble(i) {
			if x.from < 0 {
				x.from = i
				if x.Clients[i].Ended == 0 && i > 0 { // which began with the one before
					x.from = i - 1
				}
			}
			x.to = i + 1
		}
	}
	return x.from >= 0
}

func (c *Clients) bad() int64 { return c.Failed + c.Degraded + c.Dropped }

func (x *explainer) inTrouble(i int) bool {
	c := &x.Clients[i]
	switch {
	case float64(c.bad()) > someBad*float64(c.Ended+c.Dropped):
		return true
	case c.Ended == 0 && i > 0: // nobody got an answer in all of a stretch
		before := &x.Clients[i-1]
		return c.Waiting > 0 && before.Waiting > 0 && before.Ended == 0
	}
	return x.manySlow && x.slow(c.P50)
}

func (x *explainer) slow(p50 time.Duration) bool {
	return p50 > slowAlways || p50 > max(3*x.baseline, x.baseline+slowAtLeast)
}

// slowFor reports whether a service takes too long, also for callers that gave up.
func (x *explainer) slowFor(s int, took time.Duration) bool {
	patience := x.patienceWith[s]
	return x.slow(took) || patience > 0 && took > patience
}

func (x *explainer) allWell() string {
	t := &x.total
	switch {
	case t.Ended+t.Dropped == 0:
		return "nothing was asked of the system"
	case t.bad() == 0 && x.Cut:
		return "nothing had gone wrong when the run ended early: until then " + unit.Count(int(t.Ended), "request") + " ended well"
	case t.bad() == 0 && t.Ended == 1:
		return "nothing went wrong: the only request ended well"
	case t.bad() == 0:
		return fmt.Sprintf("nothing went wrong: all %d requests ended well", t.Ended)
	}
	return fmt.Sprintf("no outage: %d of %d requests did not end well, never more than %g%% of those of a stretch of %s", t.bad(), t.Ended+t.Dropped, 100*someBad, seconds(x.Step))
}

// A sum is what a service did in the time of trouble.
type sum struct {
	Stretch
	length time.Duration
	// working is the mean of those that were worked on.
	working float64
}

func (x *explainer) sum(s, from, to int) (all sum) {
	list := x.Services[s].Stretches
	to = min(to, len(list))
	for i := from; i < to; i++ {
		one := &list[i]
		all.Requests, all.Errors, all.Refused = all.Requests+one.Requests, all.Errors+one.Errors, all.Refused+one.Refused
		all.Time, all.CPU, all.Queue = all.Time+one.Time, all.CPU+one.CPU, max(all.Queue, one.Queue)
		all.working += float64(one.Working)
	}
	all.working /= float64(max(to-from, 1))
	all.length = x.length(from, to)
	return all
}

func (c *Calls) sum(from, to int) (all CallStretch) {
	for i := from; i < min(to, len(c.Stretches)); i++ {
		all = all.plus(c.Stretches[i])
	}
	return all
}

// visit looks for what was wrong with a service, and with those that it calls.
func (x *explainer) visit(s, depth int) {
	if x.seen[s] {
		return
	}
	x.seen[s] = true
	service := &x.Services[s]
	found := len(x.found)
	x.faults(service.Name, "", depth)
	x.falls(service.Name, depth)
	x.connections(s, depth, len(x.found) == found)
	if service.Absent {
		x.add(finding{weightCause, depth, x.time(x.from), service.Name, service.Name + " has no replicas"})
	}
	below := false
	for c := range service.Calls {
		if x.calls(s, c, depth) {
			below = true
		}
	}
	x.capacity(s, depth, below)
	sum := x.sum(s, x.from, x.to)
	if x.broken(service.Name) {
		return
	}
	if !below && len(x.found) == found && float64(sum.Errors) > someBad*float64(sum.Requests) {
		x.add(finding{weightOwn, depth, x.first(service, func(b *Stretch) bool { return b.Errors > 0 }), service.Name,
			fmt.Sprintf("%s answered %s of its requests with errors of its own, without a fault or a call that failed", service.Name, share(sum.Errors, sum.Requests))})
	}
	if !below && !x.machineFull && len(x.found) == found && sum.Requests > 0 && x.slowFor(s, sum.Time/time.Duration(sum.Requests)) {
		x.add(finding{weightOwn, depth, x.time(x.from), service.Name,
			fmt.Sprintf("%s took %s for each request, without a fault, a queue or a slow call", service.Name, each(sum.Time, sum.Requests))})
	}
}

// first is the beginning of the first stretch in trouble of which something is true.
func (x *explainer) first(s *Service, is func(*Stretch) bool) time.Duration {
	for i := x.from; i < min(x.to, len(s.Stretches)); i++ {
		if is(&s.Stretches[i]) {
			return x.time(i)
		}
	}
	return x.time(x.from)
}

// faults tells those at a service, or on the way to it, which acted until the end of
// the trouble.
func (x *explainer) faults(service, from string, depth int) {
	for i := range x.Faults {
		f := &x.Faults[i]
		told := slices.ContainsFunc(x.Falls, func(fall Fall) bool { return fall.By == f.Label && !fall.OverMemory })
		if told || f.Service != service || f.From != from || !x.acted(f) {
			continue
		}
		text := "fault " + f.Label
		if !strings.Contains(f.Label, service) {
			text += " at " + service
		}
		switch {
		case f.Moment:
			text += " acted"
		case f.End > 0 && f.End < x.time(len(x.Clients)-1):
			text += " acted until " + seconds(f.End)
			x.lastFault = max(x.lastFault, f.End)
		default:
			text += " acted from here on"
			x.lastFault = x.time(x.to)
		}
		if f.Hits > 0 {
			text += ", on " + unit.Count(int(f.Hits), "request")
		}
		x.add(finding{weightCause, depth, f.Begin, service, text})
	}
}

// acted reports whether a fault acted in the time of trouble, or just before it.
func (x *explainer) acted(f *Fault) bool {
	if f.Moment {
		return f.Begin < x.time(x.to) && f.Begin+10*time.Second >= x.time(x.from)
	}
	return f.Begin < x.time(x.to) && (f.End == 0 || f.End+x.Step >= x.time(x.from))
}

// broken reports whether a fault acted at a service, or on the way to it from any
// caller, so that its errors and its time need not be its own.
func (x *explainer) broken(service string) bool {
	return slices.ContainsFunc(x.Faults, func(f Fault) bool { return f.Service == service && x.acted(&f) })
}

// falls tells of the replicas that were down; several of a service in one line.
func (x *explainer) falls(service string, depth int) {
	var own []*Fall
	for i := range x.Falls {
		f := &x.Falls[i]
		if f.Service == service && f.Begin < x.time(x.to) && (f.End == 0 || f.End+x.Step >= x.time(x.from)) {
			own = append(own, f)
		}
	}
	if len(own) == 0 {
		return
	}
	f := own[0]
	text := fmt.Sprintf("%s/%d was down", service, f.Replica)
	switch {
	case f.OverMemory:
		text = fmt.Sprintf("%s/%d was killed, over its memory limit,", service, f.Replica)
	case f.By != "":
		text += fmt.Sprintf(" by fault %s", f.By)
	}
	if f.End > 0 {
		text += fmt.Sprintf(" until %s", seconds(f.End))
	} else {
		text += ", and did not come back"
	}
	for _, one := range own {
		if one.End == 0 {
			one = &Fall{End: x.time(x.to)}
		}
		x.lastFault = max(x.lastFault, one.End)
	}
	if n := len(own) - 1; n > 0 {
		text += fmt.Sprintf("; replicas of %s fell %s more", service, unit.Count(n, "time"))
	}
	x.add(finding{weightCause, depth, f.Begin, service, text})
}

// calls tells what was wrong with those of a service to another, and goes on there.
// It reports whether anything was.
func (x *explainer) calls(s, c, depth int) bool {
	service, calls := &x.Services[s], &x.Services[s].Calls[c]
	sum, own := calls.sum(x.from, x.to), x.sum(s, x.from, x.to)
	mean := time.Duration(0)
	if sum.Calls > 0 {
		mean = sum.Time / time.Duration(sum.Calls)
	}
	slow := x.slowFor(s, mean) && 2*sum.Time > own.Time
	failed := float64(sum.bad()) > someBad*float64(sum.Calls)
	stuck := sum.Calls == 0 && own.working > 0 && calls.To >= 0 && x.sum(calls.To, x.from, x.to).working > 0
	if !slow && !failed && !stuck {
		// Trouble further down shows in good answers that lack a part.
		if calls.To < 0 || float64(sum.Degraded) <= someBad*float64(sum.Calls) {
			return false
		}
		x.visit(calls.To, depth+1)
		return true
	}
	at := x.time(x.from)
	for i := x.from; i < min(x.to, len(calls.Stretches)); i++ {
		if b := &calls.Stretches[i]; failed && b.bad() > 0 || !failed && b.Calls > 0 && x.slow(b.Time/time.Duration(b.Calls)) {
			at = x.time(i)
			break
		}
	}
	x.faults(calls.Name, service.Name, depth+1)
	between := fmt.Sprintf("calls of %s to %s", service.Name, calls.Name)
	switch {
	case failed:
		x.add(finding{weightCalls, depth, at, service.Name, fmt.Sprintf("%s of the %s failed (%s)", share(sum.bad(), sum.Calls), between, calls.kinds(&sum))})
	case stuck:
		x.add(finding{weightCalls, depth, at, service.Name, fmt.Sprintf("%s were not answered, and %s waited (%s)", between, service.Name, calls.patience())})
	default:
		x.add(finding{weightCalls, depth, at, service.Name, fmt.Sprintf("%s took %s each, and %s waited (%s)", between, duration(mean), service.Name, calls.patience())})
	}
	if tried := sum.tried(); tried > 0 {
		if tries := float64(sum.Attempts) / float64(tried); tries >= retried {
			x.hot = append(x.hot, hotCalls{s, calls.To, tries, at})
		}
	}
	if sum.ByBreaker > 0 {
		x.add(finding{weightBreaker, depth, max(calls.FirstOpen, 0), service.Name,
			fmt.Sprintf("the breaker of %s to %s opened for the first time; it kept back %s of the calls", service.Name, calls.Name, share(sum.ByBreaker, sum.Calls))})
	}
	if calls.To >= 0 {
		if patience := x.patienceWith[s]; sum.mostlyTimeouts() {
			x.patienceWith[calls.To] = calls.Timeout
		} else if !failed && patience > 0 {
			x.patienceWith[calls.To] = patience
		}
		x.visit(calls.To, depth+1)
	}
	return true
}

// kinds lists how calls failed, the most frequent first.
func (calls *Calls) kinds(c *CallStretch) string {
	list := []struct {
		n    int64
		name string
	}{{c.Timeouts, "timeout"}, {c.Refused, "without a connection"}, {c.ByBreaker, "by the breaker"}, {c.Rejected, "turned away by the caller"}, {c.Failed, "error answer"}}
	slices.SortStableFunc(list, func(a, b struct {
		n    int64
		name string
	},
	) int {
		return cmp.Compare(b.n, a.n)
	})
	var texts []string
	for _, k := range list {
		if k.n == 0 {
			continue
		}
		if k.n > 1 && (k.name == "timeout" || k.name == "error answer") {
			k.name += "s"
		}
		texts = append(texts, fmt.Sprintf("%d %s", k.n, k.name))
	}
	text := strings.Join(texts, ", ")
	if calls.Timeout > 0 && c.mostlyTimeouts() {
		text += "; " + calls.patience()
	}
	return text
}

// patience says how long calls wait.
func (c *Calls) patience() string {
	if c.Timeout == 0 {
		return "these calls have no timeout"
	}
	return "their timeout is " + duration(c.Timeout)
}

// capacity tells of queues, workers and limits that were full, and why.
func (x *explainer) capacity(s, depth int, below bool) {
	service := &x.Services[s]
	sum := x.sum(s, x.from, x.to)
	if limit := service.CPULimit; limit > 0 && sum.CPU.Seconds() > busy*limit*sum.length.Seconds() {
		x.add(finding{weightFull, depth, x.first(service, func(b *Stretch) bool { return b.CPU.Seconds() > busy*limit*x.Step.Seconds() }), service.Name,
			fmt.Sprintf("%s used all of its CPU limit (%s)", service.Name, processors(limit))})
	}
	// A worker that comes free is taken again at once, so few are seen free.
	waiting := func(b *Stretch) bool { return b.Refused > 0 || b.Queue >= max(int64(service.Workers), 1) }
	full := 0
	for i := x.from; i < min(x.to, len(service.Stretches)); i++ {
		if waiting(&service.Stretches[i]) {
			full++
		}
	}
	if service.Workers == 0 || full == 0 || sum.Refused == 0 && 4*full < x.to-x.from {
		return
	}
	why, matters := x.because(s, &sum, below)
	if !matters {
		return
	}
	x.full = append(x.full, s)
	at := x.first(service, waiting)
	who := fmt.Sprintf("all %d workers of %s were", service.Workers, service.Name)
	if service.Workers == 1 {
		who = "the worker of " + service.Name + " was"
	}
	text := fmt.Sprintf("%s busy, with up to %d waiting", who, sum.Queue)
	if sum.Refused > 0 {
		if service.FirstRefused >= x.time(x.from) && service.FirstRefused < x.time(x.to) {
			at = service.FirstRefused
		}
		text = fmt.Sprintf("the queue of %s (%s, %s) was full: it turned %d away", service.Name, unit.Count(service.Workers, "worker"), unit.Count(service.Room, "place"), sum.Refused)
	}
	x.add(finding{weightFull, depth, at, service.Name, text + "; " + why})
	x.faultsBelow(s, &sum, depth)
}

// faultsBelow tells the faults at what a full service calls, whose calls are good and
// not slow enough to be told by themselves, but keep its workers.
func (x *explainer) faultsBelow(s int, own *sum, depth int) {
	service := &x.Services[s]
	for c := range service.Calls {
		calls := &service.Calls[c]
		if waited := calls.sum(x.from, x.to).Time; calls.To < 0 || x.seen[calls.To] || waited < time.Duration(keeps*float64(own.Time)) {
			continue
		}
		x.faults(calls.Name, service.Name, depth+1)
		x.faults(calls.Name, "", depth+1)
	}
}

// because says why the workers of a service are busy: they wait for a call, or have
// more to do than they can. Workers that are busy with something else than what was
// wrong below, and turned nobody away, do not matter.
func (x *explainer) because(s int, sum *sum, below bool) (text string, matters bool) {
	service := &x.Services[s]
	served := sum.Requests
	if service.Inside {
		served -= min(sum.Refused, served)
	}
	if served == 0 {
		return "none of its requests ended", true
	}
	text = fmt.Sprintf("a request took %s", each(sum.Time, sum.Requests))
	if below {
		var most *Calls
		var waited time.Duration
		for c := range service.Calls {
			if t := service.Calls[c].sum(x.from, x.to).Time; t > waited {
				most, waited = &service.Calls[c], t
			}
		}
		if most != nil && 2*waited > sum.Time {
			return text + fmt.Sprintf(", %s of it waiting for %s", share(int64(min(waited, sum.Time)), int64(sum.Time)), most.Name), true
		}
	}
	rate := float64(served) / sum.length.Seconds()
	if service.Inside {
		return fmt.Sprintf("it served %.3g/s", rate), sum.Refused > 0 || !below
	}
	return fmt.Sprintf("it served %.3g/s, each for %s", rate, each(sum.Time, sum.Requests)), sum.Refused > 0 || !below
}

// connections tells of those that a data store did not let in. A fault that refuses
// them is told by itself.
func (x *explainer) connections(s, depth int, own bool) {
	service := &x.Services[s]
	refused := x.sum(s, x.from, x.to).Refused
	if !own || service.Connections == 0 || refused == 0 {
		return
	}
	at := x.first(service, func(b *Stretch) bool { return b.Refused > 0 })
	if service.FirstRefused >= x.time(x.from) && service.FirstRefused < x.time(x.to) {
		at = service.FirstRefused
	}
	x.add(finding{weightFull, depth, at, service.Name, fmt.Sprintf("all %s of %s were taken: it turned %d away", unit.Count(service.Connections, "connection"), service.Name, refused)})
}

// machine tells whether the processors of the machine were busy, and with whom, and
// whether its disk was.
func (x *explainer) machine() {
	var all, disk, counted, most time.Duration
	var who string
	for s := range x.Services {
		used := x.sum(s, x.from, x.to).CPU
		if counted += used; used > most {
			most, who = used, x.Services[s].Name
		}
	}
	for i := x.from; i < x.to; i++ {
		all, disk = all+x.Clients[i].CPU, disk+x.Clients[i].Disk
	}
	length := x.length(x.from, x.to)
	if x.Cores > 0 && all.Seconds() > busy*x.Cores*length.Seconds() {
		text := fmt.Sprintf("all %s of the machine were busy", processors(x.Cores))
		if x.Cores == 1 {
			text = "the processor of the machine was busy"
		}
		x.add(finding{weightFull, 0, x.time(x.from), who, fmt.Sprintf("%s, %s of that with %s", text, share(int64(most), int64(counted)), who)})
		x.machineFull = true
	}
	if disk.Seconds() > busy*length.Seconds() {
		x.add(finding{weightFull, 0, x.time(x.from), "", fmt.Sprintf("the disk of the machine was busy %s of the time", share(int64(disk), int64(length)))})
		x.machineFull = true
	}
}

// processors is a number of them, which may be a part of one.
func processors(n float64) string {
	if n == 1 {
		return "1 processor"
	}
	return fmt.Sprintf("%.3g processors", n)
}

// retries tells how often calls on the chain were tried: of several in a row in one
// line, since they multiply.
func (x *explainer) retries() {
	if len(x.hot) == 0 {
		return
	}
	at, last := x.hot[0].at, x.hot[0]
	var names []string
	for _, h := range x.hot {
		at = min(at, h.at)
		if h.to >= 0 {
			last = h
		}
		names = append(names, fmt.Sprintf("%s to %s x%.1f", x.Services[h.from].Name, x.nameOf(h.to), h.tries))
	}
	text := "calls were tried again: " + strings.Join(names, ", ")
	if len(names) > 4 {
		text = fmt.Sprintf("calls were tried again at %d places: %s, ...", len(names), strings.Join(names[:4], ", "))
	}
	if asked := x.clients(x.from, x.to); asked > 0 && last.to >= 0 && len(x.hot) > 1 {
		got := x.sum(last.to, x.from, x.to).Requests
		text += fmt.Sprintf("; %s got %d requests for %d of the clients", x.nameOf(last.to), got, asked)
	}
	x.add(finding{weightRetries, 0, at, x.Services[last.from].Name, text})
}

func (x *explainer) clients(from, to int) (n int64) {
	for i := from; i < min(to, len(x.Clients)); i++ {
		n += x.Clients[i].Ended
	}
	return n
}

func (x *explainer) nameOf(s int) string {
	if s < 0 {
		return "outside"
	}
	return x.Services[s].Name
}

// persistence tells what went on when the faults of the chain were over.
func (x *explainer) persistence() {
	from := int((x.lastFault + x.Step) / x.Step)
	if x.lastFault == 0 || from+1 >= x.to {
		return
	}
	var still []string
	for _, h := range x.hot {
		service := &x.Services[h.from]
		for c := range service.Calls {
			after := service.Calls[c].sum(from, x.to)
			if tried := after.tried(); service.Calls[c].To == h.to && tried > 0 && float64(after.Attempts) >= retried*float64(tried) {
				still = append(still, fmt.Sprintf("calls of %s to %s were still tried %.1f times each", service.Name, service.Calls[c].Name, float64(after.Attempts)/float64(tried)))
			}
		}
	}
	for _, s := range x.full {
		if after := x.sum(s, from, x.to); after.Refused > 0 {
			still = append(still, fmt.Sprintf("%s still turned %d away", x.Services[s].Name, after.Refused))
		} else if after.Queue > int64(x.Services[s].Workers) {
			still = append(still, fmt.Sprintf("%s still had %d waiting", x.Services[s].Name, after.Queue))
		}
	}
	text := fmt.Sprintf("the last fault was over at %s, but the trouble went on until %s", seconds(x.lastFault), seconds(x.time(x.to)))
	if len(still) > 0 {
		text += ": " + strings.Join(still[:min(len(still), 3)], ", ")
	}
	x.add(finding{weightCause, -1, x.lastFault, "", text})
}

// lines are what is told: what clients saw, and the chain in the order of time, the
// deepest first of those at one moment.
func (x *explainer) lines() []result.ExplanationLine {
	list := x.found
	slices.SortStableFunc(list, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.at, b.at), cmp.Compare(b.depth, a.depth))
	})
	list = list[:min(len(list), maxLines-1)]
	slices.SortStableFunc(list, func(a, b finding) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.depth, a.depth)) })
	lines := []result.ExplanationLine{{At: x.time(x.from).Seconds(), Text: x.symptom()}}
	for _, f := range list {
		lines = append(lines, result.ExplanationLine{At: f.at.Seconds(), Service: f.service, Text: f.text})
	}
	return lines
}

// symptom is what clients saw.
func (x *explainer) symptom() string {
	var c Clients
	for i := x.from; i < x.to; i++ {
		one := &x.Clients[i]
		c.Ended, c.Failed, c.Degraded, c.Dropped, c.P50 = c.Ended+one.Ended, c.Failed+one.Failed, c.Degraded+one.Degraded, c.Dropped+one.Dropped, max(c.P50, one.P50)
	}
	text := fmt.Sprintf("until %s, of %s", seconds(x.time(x.to)), unit.Count(int(c.Ended+c.Dropped), "request"))
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{c.Failed, "failed"}, {c.Degraded, "were degraded"}, {c.Dropped, "could not be sent"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", share(p.n, c.Ended+c.Dropped), p.what))
		}
	}
	if x.slow(c.P50) {
		parts = append(parts, fmt.Sprintf("the median took up to %s", duration(c.P50)))
	}
	return text + " " + strings.Join(parts, ", ")
}

func share(n, of int64) string {
	if of <= 0 {
		return "0%"
	}
	percents := 100 * float64(n) / float64(of)
	if percents >= 10 {
		return fmt.Sprintf("%.0f%%", percents)
	}
	return fmt.Sprintf("%.2g%%", percents)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

func duration(d time.Duration) string { return experiment.FormatSeconds(d.Seconds()) }

func each(all time.Duration, n int64) string { return duration(all / time.Duration(max(n, 1))) }
