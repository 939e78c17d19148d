package mock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A faultBoard has the faults that control has let act. Requests see one set of
// them from beginning to end.
type faultBoard struct {
	service string
	replica int

	mu      sync.Mutex
	running []*activeFault
	set     atomic.Pointer[faultSet]
}

func newFaultBoard(service string, replica int) *faultBoard {
	b := &faultBoard{service: service, replica: replica}
	b.set.Store(newFaultSet(replica, nil))
	return b
}

const maxFaults = 200

// add lets a fault act, in place of one with the same id.
func (b *faultBoard) add(id string, body []byte) error {
	if id == "" || len(id) > 128 {
		return errors.New("the id of a fault has 1 to 128 characters")
	}
	var request struct {
		Fault    json.RawMessage `json:"fault"`
		Deadline string          `json:"deadline"`
	}
	if err := decodeStrictly(body, &request); err != nil {
		return err
	}
	f, err := b.read(id, request.Fault)
	if err != nil {
		return err
	}
	var left time.Duration
	if request.Deadline != "" && !strings.HasPrefix(request.Deadline, "0001-") {
		deadline, err := time.Parse(time.RFC3339Nano, request.Deadline)
		if err != nil {
			return err
		}
		if left = time.Until(deadline); left <= 0 {
			return fmt.Errorf("its deadline %q is over", request.Deadline)
		}
		f.deadline = request.Deadline
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked(func(other *activeFault) bool { return other.id == id })
	if len(b.running) >= maxFaults {
		return fmt.Errorf("%d faults act already, the most possible", maxFaults)
	}
	if f.deadline != "" {
		f.timer = time.AfterFunc(left, func() { b.end(func(other *activeFault) bool { return other == f }) })
	}
	b.publish(append(slices.Clone(b.running), f))
	return nil
}

func (b *faultBoard) clear(id string) { b.end(func(f *activeFault) bool { return f.id == id }) }

func (b *faultBoard) clearAll() { b.end(func(*activeFault) bool { return true }) }

func (b *faultBoard) end(which func(*activeFault) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endLocked(which)
}

func (b *faultBoard) endLocked(which func(*activeFault) bool) {
	var left []*activeFault
	for _, f := range b.running {
		if !which(f) {
			left = append(left, f)
			continue
		}
		if f.timer != nil {
			f.timer.Stop()
		}
		defer f.clear()
	}
	b.publish(left)
}

func (b *faultBoard) publish(running []*activeFault) {
	b.running = running
	b.set.Store(newFaultSet(b.replica, running))
}

// told are the faults as control lists them.
func (b *faultBoard) told() []map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := []map[string]any{}
	for _, f := range b.running {
		entry := map[string]any{"id": f.id, "fault": f.told, "since": f.since.Format(time.RFC3339Nano), "replicas": []string{fmt.Sprintf("%s/%d", b.service, b.replica)}, "hits": f.hits.Load()}
		if f.deadline != "" {
			entry["deadline"] = f.deadline
		}
		list = append(list, entry)
	}
	return list
}

// count counts the faults of a type that act.
func (b *faultBoard) count(kind string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.running {
		if f.kind == kind {
			n++
		}
	}
	return n
}

// faultArgs are the arguments of each type: those that it needs, then those that
// it may have.
func faultArgs(kind string) (needs, may []string) {
	switch kind {
	case "latency":
		return []string{"delay"}, []string{"jitter"}
	case "error":
		return nil, []string{"status"}
	case "memory-leak":
		return []string{"size"}, []string{"hold"}
	case "cpu":
		return []string{"hold"}, []string{"cores"}
	case "io":
		return []string{"size"}, nil
	}
	return nil, nil
}

const (
	maxIO       = 1 << 30
	defaultHold = duration(10 * time.Second)
)

func (b *faultBoard) read(id string, body []byte) (*activeFault, error) {
	var from struct {
		Name, Start, Duration, Rounds json.RawMessage

		Type        string                     `json:"type"`
		Target      *target                    `json:"target"`
		Probability *float64                   `json:"probability"`
		Args        map[string]json.RawMessage `json:"args"`
	}
	if len(body) == 0 {
		return nil, errors.New("the request has no fault")
	}
	if err := decodeStrictly(body, &from); err != nil {
		return nil, err
	}
	if !slices.Contains(faultTypes(), from.Type) {
		return nil, fmt.Errorf("fault type %q does not act in a service: use one of %s", from.Type, strings.Join(faultTypes(), ", "))
	}
	f := &activeFault{id: id, kind: from.Type, probability: 1, since: time.Now(), cores: 1, status: 500}
	if from.Target != nil {
		f.target = *from.Target
	}
	own := &f.target.Service
	if f.kind == unreachable {
		own = &f.target.From
	}
	if *own != "" && *own != b.service {
		return nil, fmt.Errorf("its target is %q, this is service %q", *own, b.service)
	}
	if f.kind != unreachable {
		*own = b.service
	}
	if p := from.Probability; p != nil {
		if f.probability = *p; !(*p >= 0 && *p <= 1) {
			return nil, fmt.Errorf("probability %v is not between 0 and 1", *p)
		}
	}
	if err := f.readArgs(from.Args); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &f.told); err != nil {
		return nil, err
	}
	f.told["target"], f.told["probability"] = f.target, f.probability
	f.cleared, f.clear = context.WithCancel(context.Background())
	return f, nil
}

func (f *activeFault) readArgs(args map[string]json.RawMessage) error {
	needs, may := faultArgs(f.kind)
	for _, name := range needs {
		if args[name] == nil {
			return fmt.Errorf("fault type %s needs %s", f.kind, name)
		}
	}
	hold, jitter := defaultHold, duration(0)
	for name, value := range args {
		if !slices.Contains(needs, name) && !slices.Contains(may, name) {
			return fmt.Errorf("the arguments of %s have an unknown field %q", f.kind, name)
		}
		var err error
		switch name {
		case "delay":
			err = json.Unmarshal(value, &f.delay)
		case "jitter":
			err = json.Unmarshal(value, &jitter)
		case "hold":
			err = json.Unmarshal(value, &hold)
		case "status":
			err = json.Unmarshal(value, &f.status)
		case "size":
			err = json.Unmarshal(value, (*size)(&f.size))
		case "cores":
			f.cores, err = parseCores(strings.Trim(string(value), `"`))
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", name, f.kind, err)
		}
	}
	most := int64(maxMemory)
	if f.kind == "io" {
		most = maxIO
	}
	switch {
	case f.size > most:
		return fmt.Errorf("size %d is out of range", f.size)
	case f.status < 400 || f.status > 599:
		return fmt.Errorf("status %d is not an error status", f.status)
	}
	f.hold = time.Duration(hold)
	if jitter != 0 {
		f.delay = jittered(f.delay.fixed, jitter)
	}
	return nil
}

var coresPattern = regexp.MustCompile(`^\d+(\.\d+)?m?$`)

// parseCores reads a number of processors such as 2, 0.5 or 500m.
func parseCores(text string) (float64, error) {
	if !coresPattern.MatchString(text) {
		return 0, fmt.Errorf("%q is no number of processors: write one such as 2 or 500m", text)
	}
	n, err := strconv.ParseFloat(strings.TrimSuffix(text, "m"), 64)
	if strings.HasSuffix(text, "m") {
		n /= 1000
	}
	return n, err
}

// decodeStrictly reads JSON. Fields that are not known are errors.
func decodeStrictly(data []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(to)
}
