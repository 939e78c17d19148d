package localsim

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// checks are the health checks of the replicas of a service. In this process only
// a path can fail: the server answers at its control port as long as the program
// runs.
func (d *Deployment) checks(service string) (checks []supervise.HealthCheck) {
	s := d.service(service)
	if s.URL != "" {
		return []supervise.HealthCheck{{Probe: s.ReadinessProbe()}}
	}
	own := d.config.Isolation.ownProcesses()
	if p := s.ReadinessProbe(); own || p.Path != "" {
		checks = append(checks, supervise.HealthCheck{Probe: p})
	}
	if p := s.LivenessProbe(); own || p.Path != "" {
		checks = append(checks, supervise.HealthCheck{Probe: p, Liveness: true})
	}
	return checks
}

// check makes one health check, as the kubelet would: any status from 200 to 399
// is good.
func check(ctx context.Context, in supervise.Instance, c supervise.HealthCheck) error {
	url := in.Control().Base + control.ReadyPath
	switch {
	case c.Path == "" && in.Control().Base == "":
		return connect(ctx, in.Addr())
	case c.Path != "":
		url = "http://" + in.Addr() + c.Path
	case c.Liveness:
		url = in.Control().Base + control.HealthPath
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A kept connection would hide that new ones are refused.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode >= 400 {
		return fmt.Errorf("GET %s: %s", request.URL.Path, response.Status)
	}
	return nil
}

// connect is the health check of a server that obeys no contract: it takes connections.
func connect(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// isUnready reports whether a health check has found that a replica, which runs,
// does not answer.
func isUnready(r *runner.Replica) bool {
	return r.State == runner.Unready || r.State == runner.Paused && !r.Detected.IsZero()
}

// followReadiness keeps calls away from replicas whose readiness check fails,
// until the deployment ends.
func (d *Deployment) followReadiness() {
	defer close(d.following)
	unready := map[slot]bool{}
	d.changes.follow(d.life, nil, func(changed runner.Replica) {
		s := slot{changed.Service, changed.Index}
		if unready[s] == isUnready(&changed) {
			return
		}
		unready[s] = isUnready(&changed)
		d.mu.Lock()
		d.peersChangedLocked()
		d.mu.Unlock()
		// An unready replica gets its peers when it answers again.
		healthy := slices.DeleteFunc(d.list(), func(r *replica) bool {
			now := r.Snapshot()
			return isUnready(&now)
		})
		ctx, cancel := context.WithTimeout(d.life, undoTime)
		defer cancel()
		if err := d.syncAll(ctx, healthy); err != nil && d.life.Err() == nil {
			d.config.Logger.Warn("telling callers which replicas are ready", "error", err)
		}
	})
}

var _ runner.Watcher = (*Deployment)(nil)

// Watch implements runner.Watcher.
func (d *Deployment) Watch(ctx context.Context, changed func(runner.Replica)) {
	d.changes.follow(ctx, d.list, changed)
}

// A feed passes changes of replicas to all who follow it. Its zero value is ready.
type feed struct {
	mu        sync.Mutex
	followers map[*follower]bool // guarded by mu
}

// A follower has a queue of its own, so that a slow one does not delay the others.
type follower struct {
	mu    sync.Mutex
	queue []runner.Replica // guarded by mu
	wake  chan struct{}
}

func (f *feed) publish(changed runner.Replica) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.followers {
		one.add(changed)
	}
}

func (f *follower) add(changed runner.Replica) {
	f.mu.Lock()
	f.queue = append(f.queue, changed)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) take() []runner.Replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	taken := f.queue
	f.queue = nil
	return taken
}

// follow calls changed with the replicas of first, which may be nil, and then
// with each change until ctx ends.
func (f *feed) follow(ctx context.Context, first func() []*replica, changed func(runner.Replica)) {
	me := &follower{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	if f.followers == nil {
		f.followers = map[*follower]bool{}
	}
	f.followers[me] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.followers, me)
		f.mu.Unlock()
	}()
	if first != nil {
		for _, r := range first() {
			changed(r.Snapshot())
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-me.wake:
			for _, change := range me.take() {
				changed(change)
			}
		}
	}
}
