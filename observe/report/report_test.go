package report

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("not as in %s (run with -update and look at the difference): %v\n%s", path, err, got)
	}
}

// story tells a run of the shop of 20 s second by second: the catalog is slow
// from 6 s to 12 s and killed at 15 s.
func story(services []string, each func(runner.Event)) {
	began := time.Unix(1_700_000_000, 0).UTC()
	var replicas []runner.Replica
	for _, s := range services {
		replicas = append(replicas, runner.Replica{Service: s, Index: 1, State: runner.Ready})
	}
	slow := result.FaultRecord{
		ID: "latency-1", Label: "latency catalog", Fault: fault.Fault{Type: fault.Latency, Target: fault.Target{Service: "catalog"}},
		PlannedFrom: 6, PlannedTo: 12, From: 6.001, AppliedAt: began.Add(6001 * time.Millisecond),
	}
	fall := result.Recovery{Service: "catalog", Replica: 1, Fault: "kill-2", DownAt: began.Add(15 * time.Second), Detection: 0.04}
	each(runner.Deploying{System: "shop", Target: "local"})
	each(runner.Deployed{Replicas: replicas, Took: 412 * time.Millisecond})
	each(runner.LoadBegun{At: began, Length: 20 * time.Second, Phases: []string{"warm-up", "steady"}})
	each(runner.PhaseBegun{Index: 0, Name: "warm-up"})
	for second := 1; second <= 20; second++ {
		at := time.Duration(second) * time.Second
		isSlow, isDown := second > 6 && second <= 12, second > 15 && second <= 17
		outcomes := map[outcome.Class]int64{outcome.OK: int64(95 + second%7)}
		l := result.Latency{P50: 0.0042, P99: 0.0113 + float64(second%5)/1000}
		switch {
		case isSlow:
			outcomes[outcome.Timeout], l.P50, l.P99 = 12, 0.312, 0.5
		case isDown:
			outcomes[outcome.HTTPError], outcomes[outcome.OK] = 60, 40
		}
		each(runner.ClientSampled{Second: result.ClientSecond{At: at, Seconds: 1, Phase: min(second/4, 1), Outcomes: outcomes, Ended: result.CountEnded(outcomes), Good: outcomes[outcome.OK], Latency: &l}})
		for i, name := range services {
			n := int64(120 - 7*i)
			s := measure.Sample{Service: name, Elapsed: time.Second, Counted: time.Second, Requests: n, Rate: float64(n), Up: 1, Replicas: 1}
			if name == "catalog" && isSlow {
				s.Latency.Add(350*time.Millisecond, n)
				s.InFlight, s.QueueLength = 32, 7
			} else {
				s.Latency.Add(3*time.Millisecond, n-2)
				s.Latency.Add(12*time.Millisecond, 2)
			}
			if name == "catalog" && isDown {
				s = measure.Sample{Service: name, Elapsed: time.Second, Replicas: 1}
			}
			if i == 0 && (isSlow || isDown) {
				s.Errors = 12
			}
			each(runner.ServiceSampled{At: at, Sample: s})
		}
		switch second {
		case 4:
			each(runner.PhaseBegun{At: at, Index: 1, Name: "steady"})
		case 6:
			each(runner.FaultApplied{Record: slow})
		case 12:
			slow.To, slow.ClearedAt = 12.002, began.Add(12*time.Second)
			each(runner.FaultCleared{Record: slow})
		case 15:
			each(runner.ReplicaDown{Recovery: fall})
		case 17:
			fall.Took = 1.87
			each(runner.ReplicaReady{Recovery: fall})
		}
	}
	each(runner.LoadEnded{At: 20 * time.Second})
	each(runner.CleaningUp{System: "shop"})
}

func shop() []string {
	return []string{"web", "catalog", "cart", "checkout", "payment", "shipping", "stock", "recommendations", "users", "mail"}
}

func TestFrames(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}, {60, 14}} {
		var live Live
		var got strings.Builder
		story(shop(), func(e runner.Event) {
			before := live.shows
			live.Observe(e)
			if _, ok := e.(runner.Deployed); !ok && (live.shows == before || live.second.At != 10*time.Second && live.second.At != 16*time.Second) {
				return
			}
			lines := live.Frame(Style{Width: size[0]}, size[1])
			if len(lines) > size[1] {
				t.Errorf("%v: %d lines", size, len(lines))
			}
			for _, l := range lines {
				if n := utf8.RuneCountInString(l); n > size[0] {
					t.Errorf("%v: a line of %d columns: %q", size, n, l)
				}
			}
			got.WriteString(strings.Join(lines, "\n") + "\n====\n")
		})
		golden(t, fmt.Sprintf("frames-%dx%d.txt", size[0], size[1]), got.String())
	}
}

// A frame has the clients and all services of one second, whichever comes first
// and however many frames are drawn meanwhile.
// A terminal may be very small: what does not fit is cut off, or the next frame would not
// be painted over it.
func TestFramesOfSmallTerminals(t *testing.T) {
	var live Live
	story(shop(), func(e runner.Event) {
		live.Observe(e)
		for _, size := range [][2]int{{1, 1}, {7, 3}, {15, 11}, {19, 4}, {29, 23}} {
			lines := live.Frame(Style{Width: size[0], Color: true}, size[1])
			if len(lines) > size[1] {
				t.Fatalf("%v: %d lines", size, len(lines))
			}
			for _, l := range lines {
				if columns(l) > size[0] {
					t.Fatalf("%v: a line of %d columns: %q", size, columns(l), l)
				}
			}
		}
	})
	var out strings.Builder
	NewScreen(&out, func() (int, int) { return 16, 12 }, false).Paint(live.Frame)
	for _, l := range strings.Split(out.String(), "\n") {
		if columns(l) > 15 {
			t.Errorf("painted is a line of %d columns: %q", columns(l), l)
		}
	}
}

func TestFrameIsOfOneSecond(t *testing.T) {
	services := []string{"a", "b"}
	for name, servicesFirst := range map[string]bool{"clients first": false, "services first": true} {
		var live Live
		live.Observe(runner.Deploying{})
		live.Observe(runner.Deployed{Replicas: []runner.Replica{{Service: "a"}, {Service: "b"}}})
		live.Observe(runner.LoadBegun{Length: time.Minute})
		expect := func(want int) {
			t.Helper()
			for _, s := range services {
				if got := live.services[s].Requests; got != int64(want) || live.second.Requests() != int64(want) {
					t.Errorf("%s: %d requests at %s beside %d of the clients, want %d", name, got, s, live.second.Requests(), want)
				}
			}
		}
		for second := 1; second <= 4; second++ {
			at := time.Duration(second) * time.Second
			clients := runner.ClientSampled{Second: result.ClientSecond{At: at, Seconds: 1, Outcomes: map[outcome.Class]int64{outcome.OK: int64(second)}}}
			if !servicesFirst {
				live.Observe(clients)
				expect(second - 1)
			}
			for _, s := range services {
				expect(second - 1)
				live.Observe(runner.ServiceSampled{At: at - 20*time.Millisecond, Sample: measure.Sample{Service: s, Elapsed: time.Second, Requests: int64(second), Up: 1}})
			}
			if servicesFirst {
				expect(second - 1)
				live.Observe(clients)
			}
			expect(second)
		}
		// Clients are shown even if services are more than a second late.
		for second := 5; second <= 6; second++ {
			live.Observe(runner.ClientSampled{Second: result.ClientSecond{At: time.Duration(second) * time.Second, Seconds: 1, Outcomes: map[outcome.Class]int64{outcome.OK: int64(second)}}})
		}
		if got := live.second.Requests(); got != 5 {
			t.Errorf("%s: after 6 s, %d requests are shown", name, got)
		}
	}
}

// TestColorsAreOnlyColors: without escapes a coloured frame is the plain one.
func TestColorsAreOnlyColors(t *testing.T) {
	var live Live
	story(shop(), func(e runner.Event) {
		live.Observe(e)
		colored, uncolored := live.Frame(Style{Color: true, Width: 80}, 24), live.Frame(Style{Width: 80}, 24)
		for i := range colored {
			if got := strip(colored[i]); got != uncolored[i] {
				t.Fatalf("line %d: %q, without colours %q", i, got, uncolored[i])
			}
		}
	})
}

func strip(line string) string {
	var b strings.Builder
	for line != "" {
		before, after, escape := strings.Cut(line, "\x1b[")
		b.WriteString(before)
		if line = after; escape {
			_, line, _ = strings.Cut(line, "m")
		}
	}
	return b.String()
}

func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	view := NewView(&out, nil, true)
	story(shop(), view.Observe)
	view.Observe(runner.FaultApplied{Record: result.FaultRecord{Label: "kill web", PlannedFrom: 3, Error: "no such process"}})
	view.Observe(runner.Done{})
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there are escapes in plain output")
	}
	golden(t, "plain.txt", out.String())
}

func TestTerminalIsRepaintedAndLeftClean(t *testing.T) {
	var out bytes.Buffer
	view := NewView(&out, func() (int, int) { return 80, 24 }, false)
	story(shop(), view.Observe)
	view.Observe(runner.Done{})
	view.Close()
	s := screen{}
	s.write(out.String())
	if left := strings.TrimSpace(strings.Join(s.lines, "\n")); left != "" {
		t.Errorf("left on the screen: %q", left)
	}
	if s.highest > 24 {
		t.Errorf("the screen grew to %d lines", s.highest)
	}
}

// screen is a terminal that knows line feeds, going up, and clearing below.
type screen struct {
	lines        []string
	row, highest int
}

func (s *screen) write(text string) {
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			var up int
			_, _ = fmt.Sscanf(rest, "%dA", &up)
			s.row -= up
			_, text, _ = strings.Cut(rest, "\x1b[J")
			s.lines = s.lines[:s.row]
			continue
		}
		line, rest, _ := strings.Cut(text, "\n")
		s.lines = append(s.lines[:s.row], line)
		s.row++
		s.highest = max(s.highest, s.row)
		text = rest
	}
}

// shopResult is of a run of the shop with two faults.
func shopResult() *result.Result {
	began := time.Unix(1_700_000_000, 0).UTC()
	at := func(s float64) time.Time { return began.Add(secondsOf(s)) }
	r := &result.Result{
		Name: "shop", Target: "local", Seed: 7, LoadStarted: began,
		Faults: []result.FaultRecord{
			{ID: "latency-1", Label: "latency catalog", Fault: fault.Fault{Type: fault.Latency}, Replicas: []string{"catalog/1"}, AppliedAt: at(6.001), ClearedAt: at(12), From: 6.001, To: 12, Hits: 1204},
			{ID: "kill-2", Label: "kill catalog (round 1)", Victim: "catalog", Fault: fault.Fault{Type: fault.Kill}, Replicas: []string{"catalog/1"}, AppliedAt: at(15), ClearedAt: at(20), From: 15, To: 20, Hits: -1},
			{ID: "error-3", Label: "error mail", Fault: fault.Fault{Type: fault.Error}, Replicas: []string{"mail/1"}, AppliedAt: at(15), ClearedAt: at(16), From: 15, To: 16},
		},
		Recoveries: []result.Recovery{
			{Service: "catalog", Replica: 1, Fault: "kill-2", DownAt: at(15), DetectedAt: at(15.04), ReadyAt: at(16.87), Detection: 0.04, Took: 1.87},
			{Service: "web", Replica: 1, DownAt: at(19), DetectedAt: at(19.04), Detection: 0.04},
		},
		Checks: []result.CheckResult{
			{Check: experiment.Check{Expr: "p99 < 300ms", Phase: "before"}, Pass: true, Why: "p99 12.1ms"},
			{Check: experiment.Check{Expr: "errors < 1%", From: "web", Service: "catalog"}, Why: "errors 8.2%"},
			{Check: experiment.Check{Expr: "rate >= 50", Service: "mail", Phase: "after"}, Why: `no data: service "mail" had no requests in "after"`},
		},
	}
	segment := func(kind result.SegmentKind, name string, from, to float64, errors int64) {
		s := result.Segment{Kind: kind, Name: name, From: from, To: to}
		s.Clients = result.ClientStats{
			Requests: int64(100 * (to - from)), Errors: errors, Rate: 100, Outcomes: map[outcome.Class]int64{outcome.Timeout: errors},
			Latency: &result.Latency{P50: 0.0042, P99: 0.0113 + float64(errors)/1000},
		}
		for i, service := range shop() {
			x := result.ServiceStats{
				Service: service, Requests: int64(float64(100-9*i) * (to - from)), Rate: float64(100 - 9*i), Seconds: to - from, Availability: 1, Up: 1,
				Latency: &result.Quantiles{P50: 0.0021, P99: 0.0093},
			}
			if service == "catalog" && errors > 0 {
				x.Errors, x.Latency = errors, &result.Quantiles{P50: 0.3, Between: map[experiment.Metric]result.Range{experiment.P99: {Low: 25}}}
			}
			if service == "mail" && name == experiment.After {
				x = result.ServiceStats{Service: service, Seconds: to - from}
			}
			s.Services = append(s.Services, x)
		}
		r.Segments = append(r.Segments, s)
	}
	segment(result.WholeRun, "", 0, 20, 72)
	segment(result.FaultPart, experiment.Before, 0, 6, 0)
	segment(result.FaultPart, experiment.During, 6, 16, 72)
	segment(result.FaultPart, experiment.After, 16, 20, 0)
	return r
}

func TestSummary(t *testing.T) {
	for _, width := range []int{60, 80, 120} {
		var out strings.Builder
		if err := Summary(&out, shopResult(), Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		golden(t, fmt.Sprintf("summary-%d.txt", width), out.String())
	}
}

func TestSummaryOfLittle(t *testing.T) {
	r := &result.Result{Name: "shop", Target: "local", Incomplete: true, Why: "deploying system \"shop\": context canceled\nsecond line"}
	var out strings.Builder
	if err := Summary(&out, r, Style{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary-incomplete.txt", out.String())
}

func TestSummaryOfALargeSystem(t *testing.T) {
	r := shopResult()
	for i := range r.Segments {
		for j := range 990 {
			x := result.ServiceStats{Service: fmt.Sprintf("s%03d", j), Seconds: 1, Availability: 1, Up: 1}
			if j == 500 {
				x.Availability, x.Up = 0, 0
			}
			r.Segments[i].Services = append(r.Segments[i].Services, x)
		}
	}
	var out strings.Builder
	if err := Summary(&out, r, Style{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"and 980 services that changed less", "s500", "catalog"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestSummaryReportsTheWriter(t *testing.T) {
	if err := Summary(broken{}, shopResult(), Style{}); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
}

// Names in letters of two columns, or of none, neither move the columns beside them nor
// make lines too long.
func TestWideNamesKeepTheColumns(t *testing.T) {
	g := grid{left: 1}
	g.head("NAME", "RATE/S")
	for _, name := range []string{"流量過大", "e\u0301te\u0301", "plain"} {
		g.add(cell{name, plain}, cell{"1.0", plain})
	}
	for _, width := range []int{0, 16, 20, 80} {
		lines := g.lines(Style{Width: width})
		for i, line := range lines {
			if width > 0 && columns(line) > width {
				t.Errorf("%d columns: %q has %d", width, line, columns(line))
			}
			if columns(line) != columns(lines[0]) {
				t.Errorf("%d columns: line %d of\n%s", width, i, strings.Join(lines, "\n"))
			}
		}
	}
	if got := clip("流量過大", 3); got != "流" {
		t.Errorf("clipped to %q", got)
	}
}

// A fault that was cleared at the second try has acted, and is gone.
func TestFaultsThatAreClearedLate(t *testing.T) {
	began := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	rec := result.FaultRecord{ID: "slow-1", Label: "slow", AppliedAt: began, From: 3, To: 12, PlannedTo: 6, Error: "no answer"}
	if got, want := faultTime(&rec).text, "3.0s on, not cleared: no answer"; got != want {
		t.Errorf("a fault that stays is %q, want %q", got, want)
	}
	var out strings.Builder
	view := NewView(&out, nil, false)
	view.Observe(runner.FaultCleared{Record: rec})
	rec.ClearedAt = began.Add(12 * time.Second)
	view.Observe(runner.FaultCleared{Record: rec})
	if got, want := faultTime(&rec).text, "3.0s to 12.0s, cleared late: no answer"; got != want {
		t.Errorf("a fault that is gone is %q, want %q", got, want)
	}
	if got, want := out.String(), "   6.0s  fault slow could not be cleared: no answer\n  12.0s  fault cleared: slow\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFigures(t *testing.T) {
	for got, want := range map[string]string{
		rate(0): "0.0", rate(52.14): "52.1", rate(1234.5): "1234", rate(12345): "12.3k", rate(123456): "123k",
		share(0, 0): "-", share(0, 5): "0%", share(5, 5): "100%", share(1, 1e6): "<0.01%", share(999999, 1000000): ">99.99%", share(82, 1000): "8.20%", share(1, 3): "33.3%",
		count(1234567): "1 234 567", count(12): "12", count(123): "123",
		clip("\x1b[31mabcdef\x1b[0m", 3): "\x1b[31mabc\x1b[0m", clip("abcdef", 3): "abc", unit.Cut("abcdef", 4): "abc…",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A run that was changed by hand is not that of its file, which the summary says.
func TestSummaryTellsOfChanges(t *testing.T) {
	r := shopResult()
	r.Changes = []result.SystemChange{
		{What: []string{"load × 1 to × 3"}, Asked: 6.3, Done: 6.4, Load: &result.LoadChange{From: 1, To: 3}},
		{What: []string{"db: replicas 1 to 3", "cart is added"}, Asked: 8, Error: "cart does not start"},
	}
	var out strings.Builder
	if err := Summary(&out, r, Style{Width: 120}); err != nil {
		t.Fatal(err)
	}
	_, told, _ := strings.Cut(out.String(), "Changed by hand while it ran")
	for _, want := range []string{"load × 1 to × 3", "at 6.4s", "db: replicas 1 to 3; cart is added", "failed: cart does not start"} {
		if !strings.Contains(told, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out.String())
		}
	}
}

// TestTitlesAreWhole has titles that are longer than a line.
func TestTitlesAreWhole(t *testing.T) {
	costs := &result.Costs{Of: "abc", Measured: time.Date(2026, 11, 28, 2, 25, 0, 0, time.UTC), Machine: "linux/amd64, 2 processors"}
	r := &result.Result{Name: "shop", Target: "virtual", Environment: result.Environment{Costs: costs}, Prediction: &result.Prediction{Costs: costs}}
	var text strings.Builder
	if err := Summary(&text, r, Style{Width: 60}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.ReplaceAll(text.String(), "\n", " "), "on linux/amd64, 2 processors"); n != 2 {
		t.Errorf("the costs are told in %d titles, want 2:\n%s", n, text.String())
	}
}
