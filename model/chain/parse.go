package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Parse reads a chain from JSON. It is strict: unknown fields, wrong types
// and anything after the chain are errors, and so is a chain past one of the
// limits. Missing faults, routes, before and after are empty; a missing
// probability is 100. A fault of a type that is not known refuses the whole
// chain, so that nothing of it runs.
//
// Errors about the content of well-formed JSON are a problem.List's, one for
// each mistake, with paths such as routes[0].faults.before[1].args.delay.
func Parse(data []byte, limits Limits) (*Chain, error) {
	limits = limits.WithDefaults()
	if len(data) > int(limits.Body) {
		return nil, problem.List{{
			Message: fmt.Sprintf("the chain has %d bytes, more than the %d possible", len(data), int(limits.Body)),
			Hint:    "send a smaller one",
		}}.Err()
	}
	var wire *wireChain
	if err := decodeStrict(data, &wire); err != nil {
		return nil, fmt.Errorf("reading a chain: %w", err)
	}
	if wire == nil {
		return nil, errors.New("reading a chain: it is null; write an object with a designation")
	}
	p := parser{limits: limits}
	c := p.chain(wire, "", 1)
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Refusal returns what a client is told that sent a chain which Parse
// refused: a text for each mistake. A fault type that is not known is named in
// MicroSim's words alone, without its place.
func Refusal(err error) []string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var texts []string
	for _, part := range joined.Unwrap() {
		var p problem.Problem
		if errors.As(part, &p) && (p.Message == typeMissing || strings.HasSuffix(p.Message, typeUnknown)) {
			texts = append(texts, p.Message)
			continue
		}
		texts = append(texts, part.Error())
	}
	return texts
}

const (
	typeMissing = "fault type was not defined"
	typeUnknown = ", is not implemented"
)

func decodeStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("it is empty")
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is something after its end, at byte %d", dec.InputOffset())
	}
	return nil
}

// wireChain is a chain before its defaults and bounds.
type wireChain struct {
	Designation *string      `json:"designation"`
	Probability *float64     `json:"probability"`
	Faults      wireFaults   `json:"faults"`
	Routes      []*wireChain `json:"routes"`
}

type wireFaults struct {
	Before []wireFault `json:"before"`
	After  []wireFault `json:"after"`
}

type wireFault struct {
	Type *string         `json:"type"`
	Args json.RawMessage `json:"args"`
}

// wireArgs are the arguments of all types in MicroSim's units.
type wireArgs struct {
	Delay    *float64 `json:"delay"`
	Size     *float64 `json:"size"`
	Duration *float64 `json:"duration"`
	Cores    *float64 `json:"cores"`
	Status   *float64 `json:"status"`
	Rate     *float64 `json:"rate"`
}

// A parser gathers the mistakes of one chain.
type parser struct {
	limits   Limits
	problems problem.List
	nodes    int
}

// maxProblems bounds the answer to a chain in which everything is wrong.
const maxProblems = 20

func (p *parser) add(path, hint, format string, args ...any) {
	if len(p.problems) < maxProblems {
		p.problems.AddHint(path, hint, format, args...)
	}
}

func (p *parser) chain(w *wireChain, path string, depth int) *Chain {
	c := &Chain{Probability: 100, Routes: []*Chain{}}
	if depth > p.limits.Depth {
		p.add(path, "shorten the chain", "the chain is deeper than the %d services possible", p.limits.Depth)
		return c
	}
	if p.nodes++; p.nodes > p.limits.Nodes {
		if p.nodes == p.limits.Nodes+1 {
			p.add("", "send several smaller ones", "the chain has more than the %d services possible", p.limits.Nodes)
		}
		return c
	}
	if w.Designation == nil || *w.Designation == "" {
		p.add(problem.Join(path, "designation"), "name the service to call", "there is no designation")
	} else {
		c.Designation = *w.Designation
		if IsURL(c.Designation) && strings.ContainsFunc(c.Designation, isSpaceOrControl) {
			p.add(problem.Join(path, "designation"), "write %20 for a space", "a URL has no spaces or control characters")
		}
	}
	if w.Probability != nil {
		c.Probability = p.number(w.Probability, problem.Join(path, "probability"), 0, 100)
	}
	if n := len(w.Faults.Before) + len(w.Faults.After); n > p.limits.Faults {
		p.add(problem.Join(path, "faults"), "", "%d faults are more than the %d possible at one service", n, p.limits.Faults)
		return c
	}
	c.Faults.Before = p.faults(w.Faults.Before, path, "faults.before")
	c.Faults.After = p.faults(w.Faults.After, path, "faults.after")
	routes := problem.Join(path, "routes")
	if n := len(w.Routes); n > p.limits.FanOut {
		p.add(routes, "", "%d routes are more than the %d possible at one service", n, p.limits.FanOut)
		return c
	}
	for i, route := range w.Routes {
		at := problem.Index(routes, i)
		if route == nil {
			p.add(at, "write an object with a designation", "the route is null")
			continue
		}
		c.Routes = append(c.Routes, p.chain(route, at, depth+1))
	}
	return c
}

func (p *parser) faults(list []wireFault, path, name string) []Fault {
	faults := make([]Fault, 0, len(list))
	if len(list) > 0 {
		path = problem.Join(path, name)
	}
	for i := range list {
		faults = append(faults, p.fault(&list[i], problem.Index(path, i)))
	}
	return faults
}

func isSpaceOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// maxWord bounds how much of a sender's word an error repeats.
const maxWord = 64

func (p *parser) fault(w *wireFault, path string) Fault {
	if w.Type == nil || *w.Type == "" {
		p.add(problem.Join(path, "type"), "", typeMissing)
		return Fault{}
	}
	f := Fault{Type: fault.Type(*w.Type)}
	needs, may, ok := chainArgs(f.Type)
	if !ok {
		word := *w.Type
		if len(word) > maxWord {
			word = word[:maxWord] + "..."
		}
		p.add(problem.Join(path, "type"), "", "fault type %s"+typeUnknown, word)
		return f
	}
	path = problem.Join(path, "args")
	var args wireArgs
	if len(w.Args) > 0 && string(w.Args) != "null" {
		if err := decodeStrict(w.Args, &args); err != nil {
			p.add(path, "", "the arguments of %s are wrong: %v", f.Type, err)
			return f
		}
	}
	p.arguments(&f, args, needs, needs+may, path)
	return f
}

// chainArgs tells which arguments a type must have and which it may have, as
// words between spaces.
func chainArgs(t fault.Type) (needs, may string, ok bool) {
	switch t {
	case fault.Latency:
		return " delay ", "", true
	case fault.MemoryLeak:
		return " size duration ", "", true
	case fault.CPU:
		return " duration ", " cores ", true
	case fault.IO:
		return " size ", "", true
	case fault.Error:
		return "", " status rate ", true
	case fault.Abort, fault.Hang, fault.Corrupt, fault.Panic:
		return "", "", true
	default:
		return "", "", false
	}
}

// defaultOf is what an argument means that is left out, in MicroSim's units; 0 for
// those that have no default.
func defaultOf(t fault.Type, name string) float64 {
	switch {
	case t == fault.CPU && name == "cores":
		return 1
	case t == fault.Error && name == "status":
		return 500
	case t == fault.Error && name == "rate":
		return 100
	}
	return 0
}

// maxDelay is the longest a fault of a chain may take, in ms.
const maxDelay = float64(24 * time.Hour / time.Millisecond)

const mega = 1 << 20

func (p *parser) arguments(f *Fault, args wireArgs, needs, takes, path string) {
	maxSize := float64(p.limits.Leak) / mega
	if f.Type == fault.IO {
		maxSize = fault.MaxIO / mega
	}
	usual := func(name string) float64 { return defaultOf(f.Type, name) }
	f.Cores, f.Status, f.Rate = usual("cores"), int(usual("status")), usual("rate")/100
	for _, a := range []struct {
		name   string
		value  *float64
		lo, hi float64
		set    func(float64)
	}{
		{"delay", args.Delay, 0, maxDelay, func(v float64) { f.Delay = milliseconds(v) }},
		{"size", args.Size, 0, maxSize, func(v float64) { f.Size = int64(v * mega) }},
		{"duration", args.Duration, 0, maxDelay, func(v float64) { f.Duration = milliseconds(v) }},
		{"cores", args.Cores, 0, fault.MaxCores, func(v float64) { f.Cores = v }},
		{"status", args.Status, 400, 599, func(v float64) { f.Status = int(v) }},
		{"rate", args.Rate, 0, 100, func(v float64) { f.Rate = v / 100 }},
	} {
		word, at := " "+a.name+" ", problem.Join(path, a.name)
		switch {
		case a.value == nil && contains(needs, word):
			p.add(at, "", "fault type %s needs %s", f.Type, a.name)
		case a.value == nil:
		case !contains(takes, word):
			p.add(at, "", "fault type %s takes no %s", f.Type, a.name)
		case a.name == "status" && *a.value != math.Trunc(*a.value):
			p.add(at, "write a status such as 503", "%v is not a status", *a.value)
		case a.name == "size" && *a.value > a.hi:
			p.add(at, "", "%v MB are more than the %v possible", *a.value, unit.Size(a.hi*mega))
		default:
			a.set(p.number(a.value, at, a.lo, a.hi))
		}
	}
}

func contains(words, word string) bool { return strings.Contains(words, word) }

func (p *parser) number(v *float64, path string, lo, hi float64) float64 {
	if !(*v >= lo && *v <= hi) {
		p.add(path, fmt.Sprintf("the range is %.0f to %.0f", lo, hi), "%v is out of range", *v)
		return lo
	}
	return *v
}

func milliseconds(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }
