package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/controlhttp"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A Client uses the control plane of a system that another program holds.
type Client struct {
	name  string
	url   string
	admin *AdminClient
	// reg is the registry in which the system was found; nil if no registry was
	// searched.
	reg *registry.Registry
}

var _ runner.Injector = (*Client)(nil)

// Connect finds the system in the state directory. An empty name means the only
// system that runs. If none is found, the error is a registry.NotFoundError.
func Connect(stateDir, name string) (*Client, error) {
	reg, err := registry.Open(stateDir)
	if err != nil {
		return nil, err
	}
	if name == "" {
		if name, err = onlySystem(reg); err != nil {
			return nil, err
		}
	}
	s, err := reg.Find(name)
	switch {
	case err != nil:
		return nil, err
	case !s.Alive:
		return nil, fmt.Errorf("connecting to system %q: the program that held it has ended; `kubectl microsim down %s --on local` removes what it left", name, name)
	case s.ControlURL == "":
		return nil, fmt.Errorf("connecting to system %q: it is still starting; try again in a moment", name)
	}
	c := NewClient(s.Record)
	c.reg = reg
	return c, nil
}

// Reaches reports whether a client reaches the same control plane as another. If the
// system was started anew between them, it does not.
func (c *Client) Reaches(other *Client) bool { return c.url == other.url }

func onlySystem(reg *registry.Registry) (string, error) {
	systems, err := reg.List()
	if err != nil {
		return "", err
	}
	var names []string
	for _, s := range systems {
		names = append(names, s.Name)
	}
	switch len(names) {
	case 0:
		return "", errors.New("no system runs on this machine; `kubectl microsim up -f FILE --on local --detach` starts one")
	case 1:
		return names[0], nil
	}
	return "", fmt.Errorf("several systems run on this machine; name one of %s", strings.Join(names, ", "))
}

// NewClient returns a client of the system of a record.
func NewClient(r registry.Record) *Client {
	c := &Client{name: r.Name, url: r.ControlURL, admin: NewAdminClient(r.Token)}
	// A chain may take long, and so may a change of the system.
	c.admin.http.Timeout = topology.DefaultTimeout.Std() + AdminTimeout
	return c
}

// Name returns the name of the system.
func (c *Client) Name() string { return c.name }

// URL returns the address at which the control plane listens.
func (c *Client) URL() string { return c.url }

// Status describes the system.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.send(ctx, http.MethodGet, control.StatusPath, nil, &s); err != nil {
		return nil, fmt.Errorf("asking system %q for its status: %w", c.name, err)
	}
	return &s, nil
}

// System returns the description of the system as it runs now.
func (c *Client) System(ctx context.Context) (*topology.System, error) {
	var s topology.System
	if err := c.send(ctx, http.MethodGet, control.SystemPath, nil, &s); err != nil {
		return nil, fmt.Errorf("asking system %q for its description: %w", c.name, err)
	}
	return &s, nil
}

// Replicas lists the replicas in the order of the file.
func (c *Client) Replicas(ctx context.Context) ([]runner.Replica, error) {
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	var replicas []runner.Replica
	for _, service := range s.Services {
		replicas = append(replicas, service.Replicas...)
	}
	return replicas, nil
}

// Update changes the running system; see System.Update.
func (c *Client) Update(ctx context.Context, next *topology.System) error {
	if err := c.send(ctx, http.MethodPut, control.SystemPath, next, nil); err != nil {
		return fmt.Errorf("changing system %q: %w", c.name, err)
	}
	return nil
}

// CanInject asks the system, and returns an error if a fault is not possible.
func (c *Client) CanInject(f *fault.Fault) error {
	ctx, cancel := context.WithTimeout(context.Background(), AdminTimeout)
	defer cancel()
	return c.send(ctx, http.MethodPost, control.FaultsPath, control.FaultRequest{Fault: *f}, nil)
}

// Inject makes a fault act; see runner.Injector.
func (c *Client) Inject(ctx context.Context, id string, f fault.Fault, deadline time.Time) error {
	err := c.send(ctx, http.MethodPut, control.FaultPath(id), control.FaultRequest{Fault: f, Deadline: deadline}, nil)
	if err != nil && !errors.Is(err, ErrClosed) && c.takenDown(ctx, err) {
		return fmt.Errorf("injecting fault %q: %w", f.Label(), ErrClosed)
	}
	return err
}

// Clear ends a fault. It returns nil if the system has been taken down, which ended
// its faults.
func (c *Client) Clear(ctx context.Context, id string) error {
	err := c.send(ctx, http.MethodDelete, control.FaultPath(id), nil, nil)
	if err != nil && c.takenDown(ctx, err) {
		return nil
	}
	return err
}

// goingPatience is how long a system may take from the end of its control plane to the
// removal of its record.
const goingPatience = 5 * time.Second

// isNetwork reports whether a request failed before it was answered.
func isNetwork(err error) bool {
	network := (*net.OpError)(nil)
	return errors.As(err, &network) || errors.Is(err, io.EOF)
}

// takenDown reports whether a request failed because the system has been taken down, or
// because another system has its name now. It returns false if the program was killed,
// which leaves the system's record.
func (c *Client) takenDown(ctx context.Context, failed error) bool {
	if errors.Is(failed, ErrClosed) {
		return true
	}
	if c.reg == nil || !isNetwork(failed) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, goingPatience)
	defer cancel()
	for {
		s, err := c.reg.Find(c.name)
		switch missing := (*registry.NotFoundError)(nil); {
		case errors.As(err, &missing):
			return true
		case err != nil || !s.Alive:
			return false
		case s.ControlURL != "" && s.ControlURL != c.url:
			return true
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// ClearAll ends every fault.
func (c *Client) ClearAll(ctx context.Context) error {
	return c.send(ctx, http.MethodDelete, control.FaultsPath, nil, nil)
}

// Active lists the faults that act now.
func (c *Client) Active(ctx context.Context) ([]runner.Injection, error) {
	var active []runner.Injection
	if err := c.send(ctx, http.MethodGet, control.FaultsPath, nil, &active); err != nil {
		return nil, fmt.Errorf("asking system %q for its faults: %w", c.name, err)
	}
	return active, nil
}

// Order kills, pauses, resumes or restarts one replica.
func (c *Client) Order(ctx context.Context, service string, index int, order string) error {
	return c.send(ctx, http.MethodPost, control.ReplicaPath(service, index, order), nil, nil)
}

// SpansOf returns the spans of a trace that the replicas have.
func (c *Client) SpansOf(ctx context.Context, id span.TraceID) ([]span.Span, error) {
	var spans control.Spans
	if err := c.send(ctx, http.MethodPost, control.SpansPath, control.SpanQuery{From: -1, Traces: []span.TraceID{id}}, &spans); err != nil {
		return nil, fmt.Errorf("asking system %q for spans: %w", c.name, err)
	}
	return spans.Spans, nil
}

// Shutdown asks the system to end. It does not wait for the end; localsim.Down does.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.send(ctx, http.MethodPost, control.ShutdownPath, nil, nil)
}

// Call sends a chain, as JSON. A seed that is not nil makes the random
// decisions repeatable. Any response of a service, whatever its status, is an
// Answer and not an error.
func (c *Client) Call(ctx context.Context, chain []byte, seed *uint64) (*controlhttp.Answer, error) {
	call := controlhttp.Call{URL: c.url + control.CallPath, Chain: chain}
	if seed != nil {
		call.URL += "?" + control.SeedParameter + "=" + strconv.FormatUint(*seed, 10)
	}
	answer, err := call.Send(ctx, c.admin.http)
	if err != nil {
		return nil, fmt.Errorf("calling system %q: %w", c.name, err)
	}
	return answer, nil
}

// send sends a request to the control plane. If the response has an error text, it
// returns that text as it is, because it says all that a user needs.
func (c *Client) send(ctx context.Context, method, path string, body, answer any) error {
	err := c.admin.send(ctx, method, c.url+path, body, answer)
	var status *controlhttp.StatusError
	if !errors.As(err, &status) {
		return err
	}
	var refusal control.Refusal
	if json.Unmarshal(status.Body, &refusal) == nil && refusal.Error != "" {
		if before, closed := strings.CutSuffix(refusal.Error, ErrClosed.Error()); closed {
			return fmt.Errorf("%s%w", before, ErrClosed)
		}
		return errors.New(refusal.Error)
	}
	return err
}
