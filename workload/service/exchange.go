package service

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
)

// An exchange is one request being answered. It executes in real time what
// model/behave has decided.
type exchange struct {
	service *Service
	w       http.ResponseWriter
	r       *http.Request
	start   time.Time
	// deadline is when the request's time is over; zero means never.
	deadline time.Time
	request  behave.Request
	faults   *faultSnapshot
	ops      []behave.Op
	// owned says that ops was made for this request; else all requests of an
	// endpoint share it.
	owned   bool
	buffer  []behave.Op
	metrics *endpointMetrics
	// status is what was answered; 0 means nothing.
	status int
	// drained is set when the body was read already; body has it where it is
	// used.
	drained bool
	body    []byte
	// values are what calls and the answer use of the request.
	values behave.Values
	// answers are those of calls that the answer tells; guarded by mu.
	answers behave.Values
	// worker is the number of the worker that does the request, where a policy
	// has a state for each.
	worker int
	// admitted says that the worker was given by the service's admission.
	admitted bool
	// times are those of a chain's routes, for TimesHeader.
	times []string
	// closing is set where the client is to see a closed connection.
	closing bool
	// left ends work that nobody waits for any longer. Where the service
	// finishes abandoned work it is nil, which waits for ever.
	left <-chan struct{}

	// mu guards what parallel branches share.
	mu      sync.Mutex
	corrupt bool
	blocks  []*block
}

// reset makes the exchange ready for another request, and keeps its buffers.
func (x *exchange) reset() {
	buffer := x.buffer
	if x.owned {
		buffer = x.ops[:0]
	}
	*x = exchange{service: x.service, buffer: buffer}
}

// A verdict is how an operation, or a program, ended: kind 0 means that the
// request goes on; text is then an error that does not end it.
type verdict struct {
	kind   behave.OpKind
	status int
	text   string
	// body is answered in place of one that has the text.
	body string
}

var (
	goOn      = verdict{}                     //nolint:gochecknoglobals // a constant in all but name
	abandoned = verdict{kind: behave.OpAbort} //nolint:gochecknoglobals // a constant in all but name
)

func timeIsOver() verdict {
	return verdict{kind: behave.OpFail, status: behave.StatusTimeout, text: "the time of the request is over"}
}

// identify finds out who asks, and gives the request an id where it has none.
func (x *exchange) identify() {
	h := x.r.Header
	id := value(h, headerRequestID, maxID)
	if id == "" {
		id = newRequestID()
	}
	x.request = behave.Request{ID: id, Hop: value(h, headerHop, maxHop), From: value(h, headerFrom, maxID)}
	x.w.Header()[headerRequestID] = []string{id}
}

func (x *exchange) faultSet() *behave.FaultSet {
	if x.faults == nil {
		return nil
	}
	return x.faults.set
}

func (x *exchange) logStart() {
	log := x.service.log
	if !log.Enabled(x.r.Context(), slog.LevelDebug) {
		return
	}
	log.Debug("request", "service", x.service.Name(), "request", x.request.ID, "hop", x.request.Hop, "from", x.request.From,
		"remote", x.r.RemoteAddr, "method", x.r.Method, "path", x.r.URL.Path)
}

// run does a program up to the operation that ends it.
func (x *exchange) run(ops []behave.Op) verdict {
	for i := range ops {
		v := x.do(&ops[i])
		if v.kind == 0 && v.text != "" && ops[i].Fault == 0 {
			return verdict{kind: behave.OpFail, status: http.StatusInternalServerError, text: v.text}
		}
		if v.kind != 0 {
			return v
		}
	}
	return goOn
}

// do does one operation.
func (x *exchange) do(op *behave.Op) verdict {
	s := x.service
	var hit *runningFault
	if op.Fault > 0 {
		hit = x.faults.running[op.Fault-1]
		hit.hits.Add(1)
	}
	switch op.Kind {
	case behave.OpSleep:
		return x.sleep(op.For)
	case behave.OpCPU:
		if op.Cores == 1 {
			burnTime(op.For, s.slots, s.stop, x.left)
		} else {
			burnCores(op.Cores, op.For, x.stopped)
		}
	case behave.OpUnits:
		burnUnits(op.Units, x.stopped)
	case behave.OpIO:
		if err := writeAndSync(s.cfg.TempDir, op.Bytes, x.stopped); err != nil {
			return verdict{text: "io: " + err.Error()}
		}
	case behave.OpAllocate:
		b, err := s.memory.hold(op.Bytes)
		if err != nil {
			return verdict{kind: behave.OpFail, status: http.StatusServiceUnavailable, text: "memory: " + err.Error()}
		}
		x.mu.Lock()
		x.blocks = append(x.blocks, b)
		x.mu.Unlock()
	case behave.OpLeak:
		if err := s.leak(op.Bytes, op.For); err != nil {
			return verdict{text: "memory-leak: " + err.Error()}
		}
		return goOn
	case behave.OpCall:
		return x.call(op)
	case behave.OpParallel:
		return x.parallel(op.Branches)
	case behave.OpFail:
		text := fmt.Sprintf("%d by the service's error rate", op.Status)
		if hit != nil {
			text = fmt.Sprintf("%d by fault %s", op.Status, hit.id)
		} else if x.metrics == s.metrics.chain {
			text = fmt.Sprintf("%d by the chain's fault", op.Status)
		}
		return verdict{kind: behave.OpFail, status: op.Status, text: text}
	case behave.OpHang:
		return x.hang(hit)
	case behave.OpCorrupt:
		x.mu.Lock()
		x.corrupt = true
		x.mu.Unlock()
		return goOn
	case behave.OpPanic:
		panic("panic by fault")
	default: // OpAbort, OpRespond
		return verdict{kind: op.Kind, status: op.Status}
	}
	return x.goesOn()
}

// stopped reports whether work is to be broken off.
func (x *exchange) stopped() bool {
	select {
	case <-x.service.stop:
		return true
	case <-x.left:
		return true
	default:
		return false
	}
}

// goesOn ends the request where its time is over or the service stops.
func (x *exchange) goesOn() verdict {
	switch {
	case x.stopped():
		return abandoned
	case !x.deadline.IsZero() && !time.Now().Before(x.deadline):
		return timeIsOver()
	}
	return goOn
}

func (x *exchange) sleep(d time.Duration) verdict {
	cut := false
	if !x.deadline.IsZero() {
		if left := time.Until(x.deadline); left < d {
			d, cut = left, true
		}
	}
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-x.service.stop:
			return abandoned
		case <-x.left:
			return abandoned
		}
	}
	if cut {
		return timeIsOver()
	}
	return goOn
}

// hang waits until the client leaves, or the fault is cleared and the request
// goes on.
func (x *exchange) hang(fault *runningFault) verdict {
	var cleared chan struct{}
	if fault != nil {
		cleared = fault.cleared
	}
	select {
	case <-cleared:
		return x.goesOn()
	case <-x.r.Context().Done():
	case <-x.service.stop:
	}
	return abandoned
}

// parallel does the branches at once and waits for all. The first that failed,
// in order, decides.
func (x *exchange) parallel(branches [][]behave.Op) verdict {
	verdicts := make([]verdict, len(branches))
	broken := make([]any, len(branches))
	var wait sync.WaitGroup
	branch := func(i int) {
		defer func() { broken[i] = recover() }()
		verdicts[i] = x.run(branches[i])
	}
	for i := 1; i < len(branches); i++ {
		wait.Go(func() { branch(i) })
	}
	// The first branch is done here, which saves a goroutine.
	branch(0)
	wait.Wait()
	for i, v := range verdicts {
		if broken[i] != nil {
			panic(broken[i])
		}
		if v.kind != 0 {
			return v
		}
	}
	return goOn
}

// leak holds memory beside the request for d.
func (s *Service) leak(size int64, d time.Duration) error {
	if !s.enter() {
		return errStopping
	}
	b, err := s.memory.reserve(size)
	if err != nil {
		s.leave()
		return err
	}
	go func() {
		defer s.leave()
		defer b.free()
		if err := b.take(); err != nil {
			s.log.Warn("memory-leak", "service", s.Name(), "error", err)
			return
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.stop:
		}
	}()
	return nil
}
