package mock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A chain is a request that carries its own route and faults, as MicroSim's.
type chain struct {
	designation   string
	before, after []chainFault
	routes        []chain
	// document is what is sent on: the node without what is null.
	document any
}

// A chainFault is a fault of a chain. The rate is 0 to 1.
type chainFault struct {
	kind            string
	delay, duration time.Duration
	size            int64
	cores, rate     float64
	status          int
}

// limits bound chains. Zero fields of a spec mean those of defaultLimits.
type limits struct {
	Depth  int  `json:"depth"`
	Nodes  int  `json:"nodes"`
	FanOut int  `json:"fanOut"`
	Faults int  `json:"faults"`
	Body   size `json:"body"`
	Leak   size `json:"leak"`
}

func (l *limits) fill() {
	or := func(n *int, most int) {
		if *n == 0 {
			*n = most
		}
	}
	or(&l.Depth, 64)
	or(&l.Nodes, 10000)
	or(&l.FanOut, 1000)
	or(&l.Faults, 100)
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	if l.Leak == 0 {
		l.Leak = maxMemory
	}
}

// chainArgs are the arguments of each type of fault: those that it needs, then
// those that it may have.
func chainArgs(kind string) (needs, may []string, known bool) {
	switch kind {
	case "latency":
		return []string{"delay"}, nil, true
	case "memory-leak":
		return []string{"size", "duration"}, nil, true
	case "cpu":
		return []string{"duration"}, []string{"cores"}, true
	case "io":
		return []string{"size"}, nil, true
	case "error":
		return nil, []string{"status", "rate"}, true
	case "abort", "hang", "corrupt", "panic":
		return nil, nil, true
	}
	return nil, nil, false
}

// A chainRefusedError says why a chain is not run, with a text for each mistake.
type chainRefusedError struct {
	status int
	texts  []string
}

func (e *chainRefusedError) Error() string { return strings.Join(e.texts, "; ") }

// parseChain reads a chain. It refuses a chain with a mistake as a whole.
func parseChain(body []byte, l *limits) (*chain, error) {
	if len(body) > int(l.Body) {
		return nil, &chainRefusedError{413, []string{fmt.Sprintf("the chain has more than the %d bytes possible", l.Body)}}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var document any
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	} else if err == nil {
		if _, more := decoder.Token(); more != io.EOF {
			err = errors.New("something follows it")
		}
	}
	if err != nil {
		return nil, &chainRefusedError{400, []string{"reading a chain: " + err.Error()}}
	}
	p := &parser{limits: l}
	c := p.chain(document, "", 1)
	if len(p.problems) > 0 {
		return nil, &chainRefusedError{400, p.problems}
	}
	return &c, nil
}

const maxProblems = 20

type parser struct {
	limits   *limits
	nodes    int
	problems []string
}

func (p *parser) add(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if path != "" {
		text = path + ": " + text
	}
	if len(p.problems) < maxProblems {
		p.problems = append(p.problems, text)
	}
}

// object returns v if it is an object; fields that it may not have are mistakes.
func (p *parser) object(v any, path string, fields ...string) map[string]any {
	o, ok := v.(map[string]any)
	if !ok {
		p.add(path, "write an object")
		return nil
	}
	for name := range o {
		if !slices.Contains(fields, name) {
			p.add(joinPath(path, name), "unknown field %q", name)
		}
	}
	return o
}

func (p *parser) list(v any, path string) []any {
	list, ok := v.([]any)
	if !ok && v != nil {
		p.add(path, "write a list")
	}
	return list
}

func (p *parser) chain(v any, path string, depth int) (c chain) {
	if depth > p.limits.Depth {
		p.add(path, "the chain is deeper than the %d services possible", p.limits.Depth)
		return c
	}
	if p.nodes++; p.nodes > p.limits.Nodes {
		if p.nodes == p.limits.Nodes+1 {
			p.add("", "the chain has more than the %d services possible", p.limits.Nodes)
		}
		return c
	}
	o := p.object(v, path, "designation", "probability", "faults", "routes")
	if o == nil {
		return c
	}
	c.designation, _ = o["designation"].(string)
	switch {
	case c.designation == "":
		p.add(joinPath(path, "designation"), "there is no designation")
	case strings.HasPrefix(c.designation, "http") && strings.ContainsFunc(c.designation, func(r rune) bool { return r <= ' ' || r == 127 }):
		p.add(joinPath(path, "designation"), "a URL has no spaces or control characters")
	}
	if probability := o["probability"]; probability != nil {
		p.number(probability, joinPath(path, "probability"), 0, 100)
	}
	if faults := o["faults"]; faults != nil {
		p.faults(faults, joinPath(path, "faults"), &c)
	}
	at := joinPath(path, "routes")
	routes := p.list(o["routes"], at)
	if len(routes) > p.limits.FanOut {
		p.add(at, "%d routes are more than the %d possible at one service", len(routes), p.limits.FanOut)
		return c
	}
	for i, route := range routes {
		c.routes = append(c.routes, p.chain(route, fmt.Sprintf("%s[%d]", at, i), depth+1))
	}
	c.document = compact(v)
	return c
}

func (p *parser) faults(v any, path string, c *chain) {
	o := p.object(v, path, "before", "after")
	before, after := p.list(o["before"], joinPath(path, "before")), p.list(o["after"], joinPath(path, "after"))
	if n := len(before) + len(after); n > p.limits.Faults {
		p.add(path, "%d faults are more than the %d possible at one service", n, p.limits.Faults)
		return
	}
	for i, f := range before {
		c.before = append(c.before, p.fault(f, fmt.Sprintf("%s.before[%d]", path, i)))
	}
	for i, f := range after {
		c.after = append(c.after, p.fault(f, fmt.Sprintf("%s.after[%d]", path, i)))
	}
}

func (p *parser) fault(v any, path string) chainFault {
	f := chainFault{cores: 1, status: 500, rate: 1}
	o := p.object(v, path, "type", "args")
	if o == nil {
		return f
	}
	f.kind, _ = o["type"].(string)
	needs, may, known := chainArgs(f.kind)
	switch {
	case f.kind == "":
		p.add("", "fault type was not defined")
		return f
	case !known:
		p.add("", "fault type %.64s, is not implemented", f.kind)
		return f
	}
	args := map[string]any{}
	if given := o["args"]; given != nil {
		if args = p.object(given, path+".args", "delay", "size", "duration", "cores", "status", "rate"); args == nil {
			return f
		}
	}
	for _, name := range needs {
		if args[name] == nil {
			p.add(joinPath(path+".args", name), "fault type %s needs %s", f.kind, name)
		}
	}
	for name, value := range args {
		at := joinPath(path+".args", name)
		switch {
		case value == nil:
		case !slices.Contains(needs, name) && !slices.Contains(may, name):
			p.add(at, "fault type %s takes no %s", f.kind, name)
		default:
			p.arg(&f, name, value, at)
		}
	}
	return f
}

const (
	mega  = 1 << 20
	dayMS = 24 * 3600e3
)

func (p *parser) arg(f *chainFault, name string, value any, at string) {
	switch name {
	case "delay":
		f.delay = time.Duration(p.number(value, at, 0, dayMS) * 1e6)
	case "duration":
		f.duration = time.Duration(p.number(value, at, 0, dayMS) * 1e6)
	case "cores":
		f.cores = p.number(value, at, 0, 1024)
	case "rate":
		f.rate = p.number(value, at, 0, 100) / 100
	case "status":
		status := p.number(value, at, 400, 599)
		if f.status = int(status); float64(f.status) != status {
			p.add(at, "%v is no status", value)
		}
	case "size":
		most := float64(p.limits.Leak) / mega
		if f.kind == "io" {
			most = 1024
		}
		if n, err := asFloat(value); err == nil && n > most {
			p.add(at, "%v MB are more than the %v MB possible", value, most)
			return
		}
		f.size = int64(p.number(value, at, 0, most) * mega)
	}
}

func (p *parser) number(v any, path string, lo, hi float64) float64 {
	n, err := asFloat(v)
	if err != nil || !(n >= lo && n <= hi) {
		text, _ := json.Marshal(v)
		p.add(path, "%s is out of range: the range is %v to %v", text, lo, hi)
		return lo
	}
	return n
}

func asFloat(v any) (float64, error) {
	number, ok := v.(json.Number)
	if !ok {
		return math.NaN(), errors.New("no number")
	}
	return number.Float64()
}

// compact leaves out what is null.
func compact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			if value != nil {
				out[name] = compact(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = compact(v[i])
		}
		return out
	}
	return v
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
