package collect

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// The pages are read by a parser of our own because expfmt, the library's, takes
// 17 times as long and makes 6000 objects for a page (BenchmarkParse against
// BenchmarkExpfmt): with a thousand services it could not keep up with a scrape
// each second.

// figures has the counts of one replica since its start, summed over its endpoints.
// It is reused for later scrapes, so that scraping a thousand services each second
// makes no garbage.
type figures struct {
	codes    map[string]float64
	degraded float64
	duration durations
	calls    map[string]*callFigures

	inFlight, queue float64
	cpu             float64
	resident, held  float64
	received, sent  float64
	missed, stale   float64
	lag, lagSeconds float64 // of the group furthest behind
	// Some services share these with others, or do not give them.
	hasCPU, hasResident, hasTraffic, hasMissed, hasStale, hasLag bool
}

type callFigures struct {
	outcomes, attempts map[string]float64
	fallbacks          float64
	degraded           float64
	// breaker is the state of the breaker; hasBreaker says whether there is one.
	breaker    float64
	hasBreaker bool
	duration   durations
}

func newFigures() *figures {
	return &figures{codes: map[string]float64{}, calls: map[string]*callFigures{}}
}

func (f *figures) reset() {
	zero(f.codes)
	f.degraded = 0
	f.duration.reset()
	for _, call := range f.calls {
		zero(call.outcomes)
		zero(call.attempts)
		call.fallbacks, call.degraded, call.breaker, call.hasBreaker = 0, 0, 0, false
		call.duration.reset()
	}
	f.inFlight, f.queue, f.cpu, f.resident, f.held, f.received, f.sent = 0, 0, 0, 0, 0, 0, 0
	f.hasCPU, f.hasResident, f.hasTraffic = false, false, false
	f.missed, f.stale, f.hasMissed, f.hasStale = 0, 0, false, false
	f.lag, f.lagSeconds, f.hasLag = 0, 0, false
}

func zero(m map[string]float64) {
	for k := range m {
		m[k] = 0
	}
}

func (f *figures) call(callee []byte) *callFigures {
	call := f.calls[string(callee)]
	if call == nil {
		call = &callFigures{outcomes: map[string]float64{}, attempts: map[string]float64{}}
		f.calls[string(callee)] = call
	}
	return call
}

// parse parses a page in Prometheus's text format, version 0.0.4. It takes the
// families that services of this project have, and skips others.
func (f *figures) parse(page []byte) error {
	f.reset()
	for number := 1; len(page) > 0; number++ {
		line := page
		if end := bytes.IndexByte(page, '\n'); end >= 0 {
			line, page = page[:end], page[end+1:]
		} else {
			page = nil
		}
		if !bytes.HasPrefix(line, []byte(control.MetricPrefix)) && !bytes.HasPrefix(line, []byte("process_")) {
			continue
		}
		if err := f.parseLine(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	f.duration.settle()
	for _, call := range f.calls {
		call.duration.settle()
	}
	return nil
}

// labels has the labels of the families that parse takes.
type labels struct{ code, callee, outcome, le []byte }

func (f *figures) parseLine(line []byte) error {
	end := 0
	for end < len(line) && line[end] != '{' && line[end] != ' ' && line[end] != '\t' {
		end++
	}
	if end == len(line) {
		return fmt.Errorf("%q has no value", clip(line))
	}
	name, rest := line[:end], line[end:]
	var l labels
	if rest[0] == '{' {
		var err error
		if rest, err = l.parse(rest[1:]); err != nil {
			return fmt.Errorf("%q: %w", clip(line), err)
		}
	}
	var err error
	switch string(name) {
	case control.RequestDurationFine:
		err = f.duration.takeFine(rest)
	case control.CallDurationFine:
		err = f.call(l.callee).duration.takeFine(rest)
	default:
		var v float64
		if v, err = value(rest); err == nil {
			err = f.take(name, &l, v)
		}
	}
	if err != nil {
		return fmt.Errorf("%q: %w", clip(line), err)
	}
	return nil
}

func (f *figures) take(name []byte, l *labels, v float64) error {
	switch string(name) {
	case control.RequestsTotal:
		f.codes[string(l.code)] += v
	case control.RequestDurationSeconds + "_bucket":
		return f.duration.classic.take(l.le, v)
	case control.RequestDurationSeconds + "_sum":
		f.duration.classic.sum += v
	case control.CallsTotal:
		f.call(l.callee).outcomes[string(l.outcome)] += v
	case control.CallAttemptsTotal:
		f.call(l.callee).attempts[string(l.outcome)] += v
	case control.FallbacksTotal:
		f.call(l.callee).fallbacks += v
	case control.RequestsDegradedTotal:
		f.degraded += v
	case control.CallsDegradedTotal:
		f.call(l.callee).degraded += v
	case control.BreakerState:
		call := f.call(l.callee)
		call.breaker, call.hasBreaker = max(call.breaker, v), true
	case control.CallDurationSeconds + "_bucket":
		return f.call(l.callee).duration.classic.take(l.le, v)
	case control.CallDurationSeconds + "_sum":
		f.call(l.callee).duration.classic.sum += v
	case control.InflightRequests:
		f.inFlight += v
	case control.QueueLength:
		f.queue += v
	case control.HeldMemoryBytes:
		f.held += v
	case control.StoreMissedTotal:
		f.missed, f.hasMissed = f.missed+v, true
	case control.StoreStaleTotal:
		f.stale, f.hasStale = f.stale+v, true
	case control.StoreLagMessages:
		f.lag, f.hasLag = max(f.lag, v), true
	case control.StoreLagSeconds:
		f.lagSeconds = max(f.lagSeconds, v)
	case "process_cpu_seconds_total":
		f.cpu, f.hasCPU = f.cpu+v, true
	case control.NetworkReceiveBytes:
		f.received, f.hasTraffic = f.received+v, true
	case control.NetworkTransmitBytes:
		f.sent, f.hasTraffic = f.sent+v, true
	case "process_resident_memory_bytes":
		f.resident, f.hasResident = f.resident+v, true
	}
	return nil
}

// parse reads labels up to the closing brace and returns what follows it.
func (l *labels) parse(text []byte) ([]byte, error) {
	for {
		for len(text) > 0 && (text[0] == ',' || text[0] == ' ' || text[0] == '\t') {
			text = text[1:]
		}
		if len(text) > 0 && text[0] == '}' {
			return text[1:], nil
		}
		equals := bytes.IndexByte(text, '=')
		if equals < 0 {
			return nil, fmt.Errorf("a label has no value")
		}
		name := bytes.TrimSpace(text[:equals])
		text = bytes.TrimSpace(text[equals+1:])
		if len(text) == 0 || text[0] != '"' {
			return nil, fmt.Errorf("the value of label %q is not quoted", clip(name))
		}
		content, rest, err := quoted(text[1:])
		if err != nil {
			return nil, fmt.Errorf("label %q: %w", clip(name), err)
		}
		switch text = rest; string(name) {
		case "code":
			l.code = content
		case "callee":
			l.callee = content
		case "outcome":
			l.outcome = content
		case "le":
			l.le = content
		}
	}
}

// quoted parses up to the closing quote. It copies only a value with escapes.
func quoted(text []byte) (content, rest []byte, err error) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return text[:i], text[i+1:], nil
		case '\\':
			return unescape(text)
		}
	}
	return nil, nil, fmt.Errorf("the closing quote is missing")
}

func unescape(text []byte) (content, rest []byte, err error) {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return content, text[i+1:], nil
		case text[i] != '\\':
			content = append(content, text[i])
		case i+1 < len(text):
			i++
			if text[i] == 'n' {
				content = append(content, '\n')
			} else {
				content = append(content, text[i])
			}
		}
	}
	return nil, nil, fmt.Errorf("the closing quote is missing")
}

// value parses a sample's value, and skips a timestamp after it.
func value(text []byte) (float64, error) {
	text = bytes.TrimSpace(text)
	if end := bytes.IndexByte(text, ' '); end >= 0 {
		text = text[:end]
	}
	v, err := number(text)
	if err != nil {
		return 0, fmt.Errorf("invalid number %q", clip(text))
	}
	return v, nil
}

// number parses a number. It parses whole numbers, the most frequent, without
// making a string.
func number(text []byte) (float64, error) {
	var n uint64
	for i, c := range text {
		if c < '0' || c > '9' || i > 15 {
			return strconv.ParseFloat(string(text), 64)
		}
		n = n*10 + uint64(c-'0')
	}
	if len(text) == 0 {
		return 0, strconv.ErrSyntax
	}
	return float64(n), nil
}

// clip keeps error messages short.
func clip(text []byte) []byte { return text[:min(len(text), 80)] }
