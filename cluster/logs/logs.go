// Package logs reads what the services of a system print.
package logs

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
)

// Options say what to read of what services print.
type Options struct {
	// Services are those whose lines are wanted; none means all.
	Services []string
	// Follow goes on until the context ends, with the pods that come later, too.
	Follow bool
	// Previous reads the containers that ended before those that run.
	Previous bool
	// Since leaves out what is older; 0 leaves out nothing.
	Since time.Duration
	// Tail is how many lines of each container to begin with; below 0 means all.
	Tail int64
}

// A Line is one line that a replica has printed.
type Line struct {
	Service string
	// Replica counts from 1.
	Replica int
	// At is when it was printed, by the clock of the node; zero if that is not known.
	At   time.Time
	Text string
}

// Read hands over the lines that the pods of services have printed, one at a
// time: in the order of their times, or as they come where they are followed.
func Read(ctx context.Context, inst *faults.Instance, o Options, line func(Line)) error {
	for _, name := range o.Services {
		if inst.System().Service(name) == nil {
			return fmt.Errorf("reading logs: there is no service %q in system %q; %s lists the services", name, inst.System().Name, inst.Client.Command("status", inst.System().Name))
		}
	}
	if o.Follow {
		return followLogs(ctx, inst, o, line)
	}
	sources, err := logSources(ctx, inst, &o)
	if err != nil {
		return err
	}
	all := make([][]Line, len(sources))
	err = kubeapi.Each(len(sources), func(i int) error {
		return readLog(ctx, inst, sources[i], &o, func(l Line) { all[i] = append(all[i], l) })
	})
	if err != nil {
		return kubeapi.Summarize(err)
	}
	lines := slices.Concat(all...)
	slices.SortStableFunc(lines, func(a, b Line) int { return a.At.Compare(b.At) })
	for _, l := range lines {
		line(l)
	}
	return nil
}

// A logSource is a container that prints lines.
type logSource struct {
	pod, service string
	replica      int
	// key changes with the pod and with its container.
	key string
	// running is unset where the container has ended.
	running bool
}

// logSources lists the containers that have printed, or may have.
func logSources(ctx context.Context, inst *faults.Instance, o *Options) ([]logSource, error) {
	pods, err := inst.Pods(ctx)
	if err != nil {
		return nil, err
	}
	var sources []logSource
	services := inst.System().Services
	for i := range services {
		name := services[i].Name
		if len(o.Services) > 0 && !slices.Contains(o.Services, name) {
			continue
		}
		for place, p := range pods[name] {
			for _, c := range p.Status.ContainerStatuses {
				prints := c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil
				if o.Previous {
					prints = c.LastTerminationState.Terminated != nil
				}
				if faults.Present(p) && prints {
					sources = append(sources, logSource{p.Name, name, place + 1, faults.ContainerKey(p), c.State.Running != nil})
				}
			}
		}
	}
	if o.Previous && len(sources) == 0 {
		return nil, errors.New("reading logs: no container has ended and been started again; leave -p out for those that run")
	}
	return sources, nil
}

// readLog reads the lines of one container to its end.
func readLog(ctx context.Context, inst *faults.Instance, s logSource, o *Options, line func(Line)) error {
	options := &corev1.PodLogOptions{Container: manifest.ContainerName, Follow: o.Follow, Previous: o.Previous, Timestamps: true}
	if o.Tail >= 0 {
		options.TailLines = &o.Tail
	}
	if o.Since > 0 {
		// Seconds are counted by the node, whose clock may be another.
		seconds := max(1, int64((o.Since+time.Second-1)/time.Second))
		options.SinceSeconds = &seconds
	}
	stream, err := inst.Client.Clientset.CoreV1().Pods(inst.Namespace()).GetLogs(s.pod, options).Stream(ctx)
	if apierrors.IsNotFound(err) {
		return nil // it has been deleted since
	}
	if err != nil {
		return fmt.Errorf("reading the log of pod %q: %w", s.pod, kubeapi.Explain(err))
	}
	defer stream.Close()
	reader := bufio.NewReader(stream)
	for {
		text, err := reader.ReadString('\n')
		if text != "" {
			line(parseLine(s, strings.TrimRight(text, "\r\n")))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the log of pod %q: %w", s.pod, err)
		}
	}
}

// parseLine takes the time off a line that the API server has put there.
func parseLine(s logSource, text string) Line {
	l := Line{Service: s.service, Replica: s.replica, Text: text}
	stamp, rest, found := strings.Cut(text, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
		l.At, l.Text = at, ""
		if found {
			l.Text = rest
		}
	}
	return l
}

// A logFollower reads the logs of all containers that there are, and that come.
type logFollower struct {
	inst *faults.Instance
	o    Options
	// lines has what the readers have read, for the one that hands it on.
	lines   chan Line
	watcher *watch.Watcher

	// numbers are the replicas that pods are in these logs.
	numbers numbers

	mu sync.Mutex
	// last is when the last line of a container was printed, by logSource.key; a
	// container is in it from the time its log is read on.
	last map[string]time.Time
	// reading are the containers whose log is being read.
	reading map[string]bool
	failed  error
	readers sync.WaitGroup
}

// followLogs reads until the context ends, which is not an error. A log that breaks
// off is taken up again where it was left.
func followLogs(ctx context.Context, inst *faults.Instance, o Options, line func(Line)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watch.Begin(ctx)
	w.Tell = inst.Client.Once
	defer w.Close()
	watch.Follow(w, watch.PodsOf(inst.Client.Clientset, inst.Namespace(), manifest.Selector(inst.System().Name)), &corev1.Pod{})
	f := &logFollower{inst: inst, o: o, lines: make(chan Line), watcher: w, numbers: numbers{}, last: map[string]time.Time{}, reading: map[string]bool{}}
	ended := make(chan error, 1)
	go func() {
		err := f.follow(ctx)
		cancel()
		f.readers.Wait()
		close(f.lines)
		ended <- err
	}()
	// No lock is held while a line is handed on: its reader may be slow, or read logs
	// itself.
	for l := range f.lines {
		line(l)
	}
	return <-ended
}

// follow starts a reader for each log until the context ends, which is not an error.
func (f *logFollower) follow(ctx context.Context) error {
	first := true
	err := f.watcher.Until(ctx, watch.Condition{
		Waiting: "following logs",
		Holds: func(ctx context.Context) (bool, error) {
			err := f.readNew(ctx, first)
			first = false
			return false, err
		},
	})
	return unlessOver(ctx, err)
}

// unlessOver is nil where an error comes from the end of the context.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// readNew begins to read the logs that are not being read. Those that are there
// at the start are read as the options say, and those that come from their start.
func (f *logFollower) readNew(ctx context.Context, first bool) error {
	f.mu.Lock()
	failed := f.failed
	f.mu.Unlock()
	if failed != nil {
		return failed
	}
	sources, err := logSources(ctx, f.inst, &f.o)
	if err != nil {
		return err
	}
	f.numbers.assign(sources)
	there := map[string]bool{}
	for _, s := range sources {
		there[s.key] = true
		f.mu.Lock()
		last, known := f.last[s.key]
		begins := !f.reading[s.key] && (!known || s.running)
		if begins {
			f.reading[s.key] = true
			f.last[s.key] = last
		}
		f.mu.Unlock()
		if begins {
			o := f.o
			if !first {
				o.Tail, o.Since = -1, 0
			}
			if !last.IsZero() {
				o.Since = time.Since(last) + time.Second
			}
			f.readers.Go(func() { f.read(ctx, s, o) })
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.last {
		if !there[key] && !f.reading[key] {
			delete(f.last, key)
		}
	}
	return nil
}

// numbers are the replicas that pods were called when their lines came first, by
// service and pod.
type numbers map[string]map[string]int

// assign gives each pod the replica that it had before. A new pod takes its own place
// or, if a pod that is there has it, the first that is free: while a rollout replaces
// one pod after the other, each new one would have the last place.
func (n numbers) assign(sources []logSource) {
	for service, pods := range n {
		for pod := range pods {
			if !slices.ContainsFunc(sources, func(s logSource) bool { return s.service == service && s.pod == pod }) {
				delete(pods, pod)
			}
		}
	}
	for i := range sources {
		s := &sources[i]
		pods := n[s.service]
		if pods == nil {
			pods = map[string]int{}
			n[s.service] = pods
		}
		if pods[s.pod] == 0 {
			pods[s.pod] = free(pods, s.replica)
		}
		s.replica = pods[s.pod]
	}
}

// free returns a number that no pod has: the one that is asked for, or the first.
func free(pods map[string]int, wanted int) int {
	taken := map[int]bool{}
	for _, number := range pods {
		taken[number] = true
	}
	if !taken[wanted] {
		return wanted
	}
	first := 1
	for taken[first] {
		first++
	}
	return first
}

// read reads one log to its end. Lines that were read before are left out.
func (f *logFollower) read(ctx context.Context, s logSource, o Options) {
	f.mu.Lock()
	before := f.last[s.key]
	f.mu.Unlock()
	err := readLog(ctx, f.inst, s, &o, func(l Line) {
		if !before.IsZero() && !l.At.After(before) {
			return
		}
		select {
		case f.lines <- l:
		case <-ctx.Done():
			return
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.last[s.key] = l.At
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.reading, s.key)
	// A log that broke off is taken up again, though no pod has changed.
	f.watcher.WakeAfter(watch.Tick)
	if err != nil && ctx.Err() == nil && len(kubeapi.MissingRights(err)) > 0 {
		f.failed = err // trying again is of no use
		f.watcher.Wake()
	}
	f.last[s.key] = cmp.Or(f.last[s.key], before)
}
