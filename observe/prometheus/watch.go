package prometheus

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

const (
	// askTimeout bounds one request to Prometheus.
	askTimeout = 10 * time.Second
	// askPause is the time between two looks at its rules.
	askPause = 500 * time.Millisecond
	// before is how far before the load firings are looked for.
	before = 2 * time.Minute
)

// A Watch looks at the alerts of a Prometheus while a run lasts.
type Watch struct {
	// System is the name of the system of the run.
	System string
	// All says that all alerts of the Prometheus are about the run. Otherwise those are
	// that have the label system, or that checks name.
	All bool
	// Named are the alerts that checks name.
	Named []string

	url     string
	version string
	api     v1.API
	// offset is how far the clock of the Prometheus is ahead, within uncertain.
	offset, uncertain time.Duration

	stop context.CancelFunc
	done chan struct{}

	mu sync.Mutex
	// intervals and evaluated are, by alert, the time between evaluations, and those that
	// were seen.
	intervals map[string]time.Duration
	evaluated map[string][]time.Time
	trouble   error
}

// Connect finds out whether there is a Prometheus at a URL, and what its clock says.
func Connect(ctx context.Context, url string) (*Watch, error) {
	client, err := api.NewClient(api.Config{Address: url, Client: &http.Client{
		Timeout:       askTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		return nil, fmt.Errorf("reading the address of Prometheus %q: %w", url, err)
	}
	w := &Watch{url: url, api: v1.NewAPI(client), intervals: map[string]time.Duration{}, evaluated: map[string][]time.Time{}}
	build, err := w.api.Buildinfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking Prometheus at %s for its version: %w; name the address of a Prometheus %d.%d or newer", url, err, oldestMajor, oldestMinor)
	}
	parts := strings.SplitN(build.Version, ".", 3)
	if len(parts) < 2 {
		return nil, fmt.Errorf("asking Prometheus at %s for its version: it says %q", url, build.Version)
	}
	if w.version, err = checkVersion(build.Version, parts[0], parts[1]); err != nil {
		return nil, err
	}
	return w, w.compareClocks(ctx)
}

// compareClocks asks for the time of the Prometheus. The answer was made between the
// question and its arrival.
func (w *Watch) compareClocks(ctx context.Context) error {
	asked := time.Now()
	value, _, err := w.api.Query(ctx, "time()", time.Time{})
	answered := time.Now()
	if err != nil {
		return fmt.Errorf("asking Prometheus at %s for its time: %w", w.url, err)
	}
	scalar, ok := value.(*model.Scalar)
	if !ok {
		return fmt.Errorf("asking Prometheus at %s for its time: it answers a %s", w.url, value.Type())
	}
	half := answered.Sub(asked) / 2
	theirs := time.UnixMilli(int64(float64(scalar.Value) * 1000))
	offset := theirs.Sub(asked.Add(half))
	// A clock that may be the same is the same: it is that of this machine.
	if offset.Abs() > half+10*time.Millisecond {
		w.offset, w.uncertain = offset, half+time.Millisecond
	}
	return nil
}

// AwaitReplicas waits until the Prometheus has read as many replicas of the system.
func (w *Watch) AwaitReplicas(ctx context.Context, replicas int, within time.Duration) error {
	expr := fmt.Sprintf("count(up{system=%s, service!=\"\"} == 1)", strconv.Quote(w.System))
	end := time.Now().Add(within)
	for {
		value, _, err := w.api.Query(ctx, expr, time.Time{})
		if err != nil {
			return fmt.Errorf("asking Prometheus at %s for the replicas that it reads: %w", w.url, err)
		}
		seen := 0
		if vector, ok := value.(model.Vector); ok && len(vector) == 1 {
			seen = int(vector[0].Value)
		}
		if seen >= replicas {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("waiting for Prometheus at %s: it has read %d of %d replicas of system %q after %v; it has to find them, with the label system: 'kubectl microsim monitor' says how", w.url, seen, replicas, w.System, within)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Start looks at the rules, and again and again until Stop. An alert that is named and
// not there is an error, as is one that the Prometheus cannot evaluate.
func (w *Watch) Start(ctx context.Context) error {
	if err := w.look(ctx); err != nil {
		return err
	}
	for _, name := range w.Named {
		if _, known := w.intervals[name]; !known {
			names := slices.Sorted(maps.Keys(w.intervals))
			return fmt.Errorf("there is no alert %q in Prometheus at %s; it has %s", name, w.url, strings.Join(names, ", "))
		}
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	w.done = make(chan struct{})
	go w.follow(ctx)
	return nil
}

// settle waits until each alert was evaluated on what was read by now, so that none fires
// in the run because there was nothing to read before it. A Prometheus of somebody else
// may evaluate seldom, and has read the system for a while.
func (w *Watch) settle(ctx context.Context) error {
	if !w.All {
		return nil
	}
	from := time.Now()
	for {
		if err := w.look(ctx); err != nil {
			return err
		}
		settled := true
		for name := range w.intervals {
			seen := w.evaluated[name]
			settled = settled && len(seen) > 0 && seen[len(seen)-1].After(from)
		}
		if settled {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// follow looks at the rules until ctx ends, or the Prometheus does not answer.
func (w *Watch) follow(ctx context.Context) {
	defer close(w.done)
	ticker := time.NewTicker(askPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.mu.Lock()
			w.trouble = err
			w.mu.Unlock()
			return
		}
	}
}

// look notes when each alert was evaluated last.
func (w *Watch) look(ctx context.Context) error {
	rules, err := w.api.Rules(ctx)
	if err != nil {
		return fmt.Errorf("asking Prometheus at %s for its rules: %w", w.url, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alert, ok := rule.(v1.AlertingRule)
			if !ok {
				continue
			}
			if alert.Health == v1.RuleHealthBad {
				return fmt.Errorf("evaluating the alert %q in Prometheus at %s: %s", alert.Name, w.url, alert.LastError)
			}
			w.intervals[alert.Name] = time.Duration(group.Interval * float64(time.Second))
			seen := w.evaluated[alert.Name]
			if !alert.LastEvaluation.IsZero() && (len(seen) == 0 || alert.LastEvaluation.After(seen[len(seen)-1])) {
				w.evaluated[alert.Name] = append(seen, alert.LastEvaluation)
			}
		}
	}
	return nil
}

// Stop ends the looking, and returns what fired since the zero or shortly before.
func (w *Watch) Stop(ctx context.Context, zero time.Time) *result.Alerts {
	if w.stop != nil {
		w.stop()
		<-w.done
		w.stop = nil
	}
	w.mu.Lock()
	trouble := w.trouble
	w.mu.Unlock()
	seen := &result.Alerts{Prometheus: w.url, Version: w.version, Names: []string{}, Fired: []result.AlertFiring{}, UntilAt: time.Now(), Uncertain: w.uncertain.Seconds()}
	if zero.IsZero() {
		return seen // there was no load
	}
	if trouble == nil {
		trouble = w.look(ctx)
	}
	seen.Names = append(seen.Names, slices.Sorted(maps.Keys(w.intervals))...)
	if trouble == nil {
		seen.Fired, trouble = w.fired(ctx, zero.Add(-before))
	}
	if trouble != nil {
		seen.Trouble = trouble.Error()
	}
	return seen
}

// fired reads the firings from the samples of ALERTS, which the Prometheus writes at each
// evaluation at which an instance of an alert fires.
func (w *Watch) fired(ctx context.Context, since time.Time) ([]result.AlertFiring, error) {
	now := time.Now().Add(w.offset)
	span := now.Sub(since.Add(w.offset)).Round(time.Second) + time.Second
	value, _, err := w.api.Query(ctx, fmt.Sprintf(`ALERTS{alertstate="firing"}[%s]`, model.Duration(span)), now)
	if err != nil {
		return nil, fmt.Errorf("asking Prometheus at %s which alerts fired: %w", w.url, err)
	}
	matrix, ok := value.(model.Matrix)
	if !ok {
		return nil, fmt.Errorf("asking Prometheus at %s which alerts fired: it answers a %s", w.url, value.Type())
	}
	list := []result.AlertFiring{}
	for _, series := range matrix {
		if w.isOurs(series.Metric) {
			list = append(list, w.firings(series)...)
		}
	}
	slices.SortFunc(list, func(a, b result.AlertFiring) int {
		if c := a.FiredAt.Compare(b.FiredAt); c != 0 {
			return c
		}
		return strings.Compare(a.Alert+fmt.Sprint(a.Labels), b.Alert+fmt.Sprint(b.Labels))
	})
	return list, nil
}

// isOurs reports whether an instance of an alert is about the run.
func (w *Watch) isOurs(m model.Metric) bool {
	return w.All || string(m["system"]) == w.System || slices.Contains(w.Named, string(m[model.AlertNameLabel]))
}

// firings takes the samples of one instance apart: it did not fire where an evaluation
// has no sample.
func (w *Watch) firings(series *model.SampleStream) (list []result.AlertFiring) {
	name := string(series.Metric[model.AlertNameLabel])
	labels := map[string]string{}
	for key, value := range series.Metric {
		if key != model.MetricNameLabel && key != model.AlertNameLabel && key != "alertstate" {
			labels[string(key)] = string(value)
		}
	}
	interval := w.intervals[name]
	for _, sample := range series.Values {
		at := sample.Timestamp.Time().Add(-w.offset).UTC()
		if n := len(list); n > 0 {
			next := w.evaluatedAfter(name, list[n-1].LastAt, interval)
			if !at.After(list[n-1].LastAt.Add(interval*3/2)) || next.IsZero() || next.After(at) {
				list[n-1].LastAt = at
				continue
			}
			list[n-1].ResolvedAt = next
		}
		list = append(list, result.AlertFiring{Alert: name, Labels: labels, FiredAt: at, LastAt: at})
	}
	if n := len(list); n > 0 {
		list[n-1].ResolvedAt = w.evaluatedAfter(name, list[n-1].LastAt, interval)
	}
	return list
}

// evaluatedAfter is the first evaluation of an alert that was seen and that is later than
// the one with a sample at a time; the zero time if there is none. Samples have the time
// at which the evaluation was due, which is less than an interval before it took place.
func (w *Watch) evaluatedAfter(alert string, sample time.Time, interval time.Duration) time.Time {
	for _, at := range w.evaluated[alert] {
		if at = at.Add(-w.offset).UTC(); at.Sub(sample) >= interval {
			return at
		}
	}
	return time.Time{}
}
