// Package collect watches a running system: it scrapes the metrics of its services
// each second, and makes samples of them.
package collect

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// Options say how to scrape. The zero value has good defaults.
type Options struct {
	// Interval is the time between two scrapes; 0 means a second.
	Interval time.Duration
	// Timeout bounds one scrape; a replica that has not answered by then counts as
	// down for this round. 0 means the interval. A round that takes longer than the
	// interval delays the next one; Sample.Elapsed says so.
	Timeout time.Duration
	// Concurrency bounds the scrapes under way at once; 0 means 32.
	Concurrency int
	// Dial opens the connections to replicas; nil means a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxPage bounds, in bytes, the answer of a replica.
const maxPage = 16 << 20

// A Scraper is the experiment's Collector. It watches one system at a time.
type Scraper struct {
	options Options
	client  *http.Client
	buffers sync.Pool

	cancel context.CancelFunc
	stop   chan struct{}
	done   chan struct{}

	replicas func(context.Context) ([]runner.Replica, error)
	observe  func(measure.Sample)
	watched  map[replicaKey]*watched
	services map[string][]*watched
	// order has the services as they were first listed.
	order []string
	// told is the time until which the counts of each service have been reported.
	told map[string]time.Time
	// begun is when the first scrape was done, last when the latest began.
	begun, last time.Time
}

var _ runner.Collector = (*Scraper)(nil)

// A replicaKey names what counts as one: a pod, since another pod may become the replica of
// a number, or else a replica.
type replicaKey struct {
	service string
	index   int
	pod     string
}

func keyOf(r *runner.Replica) replicaKey {
	if r.Pod != "" {
		return replicaKey{service: r.Service, pod: r.Pod}
	}
	return replicaKey{service: r.Service, index: r.Index}
}

// watched is the state of one replica.
type watched struct {
	replica runner.Replica
	// listed and up belong to the present round: the replica is listed, and has
	// answered.
	listed, up bool
	now, prev  *figures
	// at is when now was read, or when the replica was known to be idle; since is
	// the time until which its earlier counts have been reported.
	at, since time.Time
	idle      bool
	// counts is set if prev has the counts of the process before this round. It is
	// not set for a process that ran before it was first reached, because its first
	// scrape says nothing about the time between two rounds.
	counts bool
}

// New returns a scraper that does nothing yet.
func New(options Options) *Scraper {
	if options.Interval <= 0 {
		options.Interval = time.Second
	}
	if options.Timeout <= 0 {
		options.Timeout = options.Interval
	}
	if options.Concurrency <= 0 {
		options.Concurrency = 32
	}
	if options.Dial == nil {
		options.Dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	return &Scraper{options: options, buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
}

// Start takes a first scrape, from which all samples count, and goes on in the
// background until Stop is called or ctx ends. A replica that does not answer is
// not an error, because a fault may be the reason.
func (s *Scraper) Start(ctx context.Context, replicas func(context.Context) ([]runner.Replica, error), observe func(measure.Sample)) error {
	if s.cancel != nil {
		return errors.New("starting to scrape: a system is being watched already; stop that first")
	}
	s.client = newClient(s.options.Dial)
	s.replicas, s.observe = replicas, observe
	ctx, s.cancel = context.WithCancel(ctx)
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	if err := s.begin(ctx); err != nil {
		s.cancel()
		s.cancel = nil
		return err
	}
	go s.loop(ctx)
	return nil
}

// begin takes the first scrape.
func (s *Scraper) begin(ctx context.Context) error {
	s.watched, s.services, s.order = map[replicaKey]*watched{}, map[string][]*watched{}, nil
	s.told = map[string]time.Time{}
	s.begun, s.last = time.Time{}, time.Now()
	if err := s.round(ctx); err != nil {
		return err
	}
	s.settle()
	s.begun = time.Now()
	return nil
}

// Sample scrapes all replicas twice, an interval apart, and returns what each
// service did in between.
func Sample(ctx context.Context, options Options, replicas func(context.Context) ([]runner.Replica, error)) ([]measure.Sample, error) {
	s := New(options)
	s.client, s.replicas = newClient(s.options.Dial), replicas
	defer s.client.CloseIdleConnections()
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Until(s.last.Add(s.options.Interval))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var samples []measure.Sample
	s.observe = func(sample measure.Sample) { samples = append(samples, sample) }
	return samples, s.next(ctx, true)
}

// next takes another scrape and reports the counts since the one before. If the
// replicas cannot be listed, it scrapes those known before.
func (s *Scraper) next(ctx context.Context, last bool) error {
	at := time.Now()
	elapsed := at.Sub(s.last)
	s.last = at
	err := s.round(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, name := range s.order {
		sample := s.sample(name, at, elapsed)
		sample.Last = last
		s.observe(sample)
	}
	s.settle()
	return err
}

// newClient returns a client without a proxy, and without compression, which would
// cost services and scraper more than it saves on loopback.
func newClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Client {
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// Stop takes a last scrape, reports it, and ends the watching. It does nothing if
// the scraper does not watch.
func (s *Scraper) Stop() error {
	if s.cancel == nil {
		return nil
	}
	close(s.stop)
	<-s.done
	s.cancel()
	s.cancel = nil
	s.client.CloseIdleConnections()
	return nil
}

func (s *Scraper) loop(ctx context.Context) {
	defer close(s.done)
	ticker := time.NewTicker(s.options.Interval)
	defer ticker.Stop()
	for {
		stopping := false
		select {
		case <-ctx.Done():
			return
		case <-s.stop:
			stopping = true
		case <-ticker.C:
		}
		_ = s.next(ctx, stopping)
		if ctx.Err() != nil {
			return
		}
		if stopping {
			return
		}
	}
}

// round scrapes all replicas once.
func (s *Scraper) round(ctx context.Context) error {
	err := s.listAll(ctx)
	slots := make(chan struct{}, s.options.Concurrency)
	var scrapes sync.WaitGroup
	for _, w := range s.watched {
		w.up, w.idle = false, false
		if !w.listed {
			continue
		}
		if w.replica.State == runner.Down || w.replica.State == runner.Paused {
			w.idle, w.at = true, s.last
			continue // a scrape of a replica that is down would delay the others
		}
		slots <- struct{}{}
		scrapes.Go(func() {
			defer func() { <-slots }()
			// The state of a replica says why it did not answer.
			w.up = s.scrape(ctx, w) == nil
		})
	}
	scrapes.Wait()
	if err != nil {
		return fmt.Errorf("listing the replicas to scrape: %w", err)
	}
	return nil
}

func (s *Scraper) listAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	replicas, err := s.replicas(ctx)
	if err == nil {
		s.list(replicas)
	}
	return err
}

// list notes which replicas there are now. A restarted replica counts from zero.
func (s *Scraper) list(replicas []runner.Replica) {
	for _, w := range s.watched {
		w.listed = false
	}
	for _, r := range replicas {
		if r.Silent {
			continue // its program gives no figures, and a count of zero would be wrong
		}
		key := keyOf(&r)
		w := s.watched[key]
		if w == nil {
			w = &watched{replica: r, now: newFigures(), prev: newFigures()}
			w.counts = !s.begun.IsZero() && r.Since.After(s.begun)
			w.since = r.Since
			s.watched[key] = w
			if !slices.Contains(s.order, r.Service) {
				s.order = append(s.order, r.Service)
			}
			s.services[r.Service] = append(s.services[r.Service], w)
		}
		// Restarts are those of the replica, which a pod of another number becomes.
		if r.PID != w.replica.PID || r.Index == w.replica.Index && r.Restarts != w.replica.Restarts {
			w.prev.reset()
			w.counts = true
		}
		w.replica, w.listed = r, true
	}
	s.forgetPods()
}

// forgetPods forgets pods that are gone: none of that name comes again.
func (s *Scraper) forgetPods() {
	for key, w := range s.watched {
		if key.pod == "" || w.listed {
			continue
		}
		delete(s.watched, key)
		s.services[key.service] = slices.DeleteFunc(s.services[key.service], func(o *watched) bool { return o == w })
	}
}

// settle makes the scrapes of this round the ones that the next counts from.
func (s *Scraper) settle() {
	for _, w := range s.watched {
		if w.up {
			w.now, w.prev, w.counts = w.prev, w.now, true
		}
		if w.up || w.idle {
			w.since = w.at
			if service := w.replica.Service; w.at.After(s.told[service]) {
				s.told[service] = w.at
			}
		}
	}
}

func (s *Scraper) scrape(ctx context.Context, w *watched) error {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	base := cmp.Or(w.replica.ControlURL, w.replica.URL)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+control.MetricsPath+"?"+control.FineQuery, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	buffer := s.buffers.Get().(*bytes.Buffer)
	defer s.buffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(response.Body, maxPage)); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	w.at = time.Now()
	if err := w.now.parse(buffer.Bytes()); err != nil {
		return fmt.Errorf("reading %s: %w", request.URL, err)
	}
	return nil
}
