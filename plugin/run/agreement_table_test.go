package run

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

var updateDocs = flag.Bool("update-docs", false, "write the table of docs/virtual.md from a full run of the agreement")

// watched are the requests of the load, and how they ended.
type watched struct {
	// answers are all that came. served are those that say nothing about time: a 502,
	// 503 or 504 tells of a queue that was full, or of a call that took too long.
	answers, served measure.Answers
	mu              sync.Mutex
	ended           []measure.Outcome
}

func (w *watched) observe(o measure.Outcome) {
	w.answers.Observe(o)
	if o.Status < 502 || o.Status > 504 {
		o := o
		o.Degraded = false // so does a fallback
		w.served.Observe(o)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, o)
}

// slice is the stretch of time by which a recovery is told.
const slice = 250 * time.Millisecond

// recovery is how long after a moment the last slice began in which more than a tenth of
// the requests failed: 0 if there is none. It is false if the end of the load came
// before it had recovered.
func (w *watched) recovery(after time.Duration) (time.Duration, bool) {
	all, bad, last := map[time.Duration]int{}, map[time.Duration]int{}, time.Duration(0)
	for _, o := range w.ended {
		at := o.Intended / slice
		last = max(last, at)
		all[at]++
		if o.Class != outcome.OK {
			bad[at]++
		}
	}
	took := time.Duration(0)
	for at := range all {
		if end := (at+1)*slice - after; at*slice >= after && 10*bad[at] > all[at] && end > took {
			took = end
		}
	}
	return took, bad[last]*10 <= all[last]
}

// A figureRow is one figure of one system.
type figureRow struct {
	system, figure, real, virtual, error string
	// bound is what the error may be; empty where it is only shown. over says that it is
	// more.
	bound string
	over  bool
}

func (r *figureRow) beyond() bool { return r.over }

// knownCauses say why a figure is worse than its bound, by system and figure.
func knownCauses() map[string]string {
	const halfOpen = "connections that are half open wait for pauses of Linux which depend on round-trip times that it remembers ([a full accept queue](#a-full-accept-queue)): runs with other seeds differ as much"
	const waking = ": how long an idle processor takes to wake up changes from minute to minute"
	return map[string]string{
		"fallbacks p50": "1.81 to 2.28 ms in eight runs within two days" + waking, "shapes of load, chains p50": "5.47 to 5.73 ms in eight runs within two days" + waking,
		"social p50":                "calibrations a few minutes apart give 25 and 31 us for a call, and a request makes many",
		"queue at 130 % throughput": halfOpen, "queue at 130 % goodput": halfOpen, "queue at 130 % outcomes": halfOpen,
		"leaf p99": "the scheduler of the machine makes the tail", "shapes of load, chains p99": "100 requests: the p99 is the slowest of them, as the scheduler has it",
	}
}

func (r *figureRow) cause() string { return knownCauses()[r.system+" "+r.figure] }

// An agreement is the table.
type agreement struct{ rows []figureRow }

// The bounds, as shares; of the classes of outcomes, in points.
func boundOf(r regime, figure string) float64 {
	switch {
	case figure == "outcomes":
		return 0.03
	case r == overload && (figure == "goodput" || figure == "throughput"):
		return 0.10
	case r == overload && figure == "recovery":
		return 0.15
	case r == steady && (figure == "goodput" || figure == "throughput"):
		return 0.02
	case r == steady && figure == "p50":
		return 0.05
	case r == steady && figure == "p99":
		return 0.15
	}
	return 0
}

// add takes in a system that was played both ways.
func (t *agreement) add(a *agreeing, actual, played *result.Result, real, virtually *watched) {
	figures := result.Predict(actual, played).Figures
	rate := result.PredictedFigure{Name: "throughput", Dimension: experiment.PerSecond, Real: actual.Segments[0].Clients.Rate, Predicted: played.Segments[0].Clients.Rate}
	if rate.Real > 0 {
		e := rate.Predicted/rate.Real - 1
		rate.Error = &e
	}
	for _, f := range append([]result.PredictedFigure{rate}, figures...) {
		if f.Name != "errors" { // outcomes say it
			t.addFigure(a, &f)
		}
	}
	t.addOutcomes(a, &actual.Segments[0].Clients, &played.Segments[0].Clients)
	t.addRecovery(a, real, virtually)
	both, same := real.served.Alike(&virtually.served)
	t.rows = append(t.rows, figureRow{system: a.name, figure: "served alike", real: fmt.Sprint(both), virtual: fmt.Sprint(same)})
	if all, alike := real.answers.Alike(&virtually.answers); all != both || alike != same {
		t.rows = append(t.rows, figureRow{system: a.name, figure: "answered alike", real: fmt.Sprint(all), virtual: fmt.Sprint(alike)})
	}
}

func (t *agreement) addFigure(a *agreeing, f *result.PredictedFigure) {
	row := figureRow{system: a.name, figure: f.Name, real: f.Format(f.Real), virtual: f.Format(f.Predicted), error: f.ErrorText()}
	if bound := boundOf(a.regime, f.Name); bound > 0 {
		row.bound = fmt.Sprintf("%.0f %%", 100*bound)
		row.over = f.Error == nil && f.Real != f.Predicted || f.Error != nil && math.Abs(*f.Error) > bound
	}
	t.rows = append(t.rows, row)
}

// addOutcomes tells of the class of outcomes whose shares differ most.
func (t *agreement) addOutcomes(a *agreeing, actual, played *result.ClientStats) {
	share := func(s *result.ClientStats, c outcome.Class) float64 {
		return float64(s.Outcomes[c]) / float64(max(s.Requests, 1))
	}
	worst, off := outcome.OK, -1.0
	for _, c := range outcome.Classes() {
		if d := math.Abs(share(actual, c) - share(played, c)); d > off {
			worst, off = c, d
		}
	}
	f := result.PredictedFigure{Dimension: experiment.Share, Real: share(actual, worst), Predicted: share(played, worst)}
	e := f.Predicted - f.Real
	f.Error = &e
	bound := boundOf(a.regime, "outcomes")
	t.rows = append(t.rows, figureRow{
		system: a.name, figure: "outcomes", real: string(worst) + " " + f.Format(f.Real), virtual: f.Format(f.Predicted), error: f.ErrorText(),
		bound: fmt.Sprintf("%.0f points", 100*bound), over: off > bound,
	})
}

// addRecovery tells how long a trigger of a load is felt.
func (t *agreement) addRecovery(a *agreeing, real, virtually *watched) {
	i := slices.IndexFunc(a.Faults, func(f fault.Fault) bool { return f.Duration > 0 })
	if a.regime != overload || i < 0 || len(a.Load.Phases) == 0 || a.Load.Phases[0].Rate == 0 {
		return
	}
	after := (a.Faults[i].Start + a.Faults[i].Duration).Std()
	actual, back := real.recovery(after)
	played, also := virtually.recovery(after)
	row := figureRow{system: a.name, figure: "recovery", real: "none", virtual: "none", bound: "15 %", over: back != also}
	if back {
		row.real = actual.String()
	}
	if also {
		row.virtual = played.String()
	}
	if back && also {
		off := played.Seconds()/max(actual, slice).Seconds() - 1
		row.error = fmt.Sprintf("%+.1f %%", 100*off)
		// It is known to the slice.
		row.over = math.Abs(off) > boundOf(overload, "recovery") && (played-actual).Abs() > slice
	}
	t.rows = append(t.rows, row)
}

// text is the table for a terminal.
func (t *agreement) text() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYSTEM\tFIGURE\tREAL\tVIRTUAL\tERROR\tBOUND\t")
	for i := range t.rows {
		r := &t.rows[i]
		mark := ""
		if r.over {
			mark = "beyond"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.system, r.figure, r.real, r.virtual, r.error, r.bound, mark)
	}
	_ = w.Flush() // to memory
	return text.String()
}

// The place of the table in the documentation.
const (
	agreementPage  = "../../docs/virtual.md"
	agreementBegin = "<!-- agreement: generated by make agreement -->\n"
	agreementEnd   = "<!-- end of the agreement -->\n"
)

// write writes the table into the documentation.
func (t *agreement) write(test *testing.T, c *calibration.Calibration) {
	test.Helper()
	page, err := os.ReadFile(agreementPage)
	if err != nil {
		test.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), agreementBegin)
	_, after, ended := strings.Cut(rest, agreementEnd)
	if !found || !ended {
		test.Fatalf("%s has no place for the table: it needs the lines\n%s%s", agreementPage, agreementBegin, agreementEnd)
	}
	if err := os.WriteFile(agreementPage, []byte(before+agreementBegin+t.markdown(c)+agreementEnd+after), 0o644); err != nil { //nolint:gosec // documentation is for all
		test.Fatal(err)
	}
}

// markdown is the table for the documentation, with the causes of what is worse.
func (t *agreement) markdown(c *calibration.Calibration) string {
	bounded, beyond := 0, []string{}
	var text strings.Builder
	text.WriteString("| system | figure | real | virtual | error | bound |\n|---|---|---|---|---|---|\n")
	last := ""
	for i := range t.rows {
		r := &t.rows[i]
		name, off := r.system, r.error
		if name == last {
			name = ""
		}
		last = r.system
		if r.bound != "" {
			bounded++
		}
		if r.over {
			off = "**" + off + "**"
			cause := r.cause()
			if cause == "" {
				cause = "no cause is known"
			}
			beyond = append(beyond, fmt.Sprintf("- %s, %s: %s.\n", r.system, r.figure, cause))
		}
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s | %s |\n", name, r.figure, r.real, r.virtual, off, r.bound)
	}
	head := fmt.Sprintf("\nMeasured on %s with %s, %s, calibrated once at a load of %.0f %%. %d of %d figures with a bound are within it.\n\n",
		c.Date.Format("2006-01-02"), c.Where(), runtime.Version(), 100*c.Load, bounded-len(beyond), bounded)
	if len(beyond) > 0 {
		return head + text.String() + "\nBeyond their bounds:\n\n" + strings.Join(beyond, "") + "\n"
	}
	return head + text.String() + "\n"
}

// The documentation has a row of each system that is played.
func TestAgreementIsDocumented(t *testing.T) {
	page, err := os.ReadFile(agreementPage)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), agreementBegin)
	table, _, ended := strings.Cut(rest, agreementEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", agreementPage)
	}
	for _, a := range agreeings(t, time.Second) {
		if !strings.Contains(table, "\n| "+a.name+" |") {
			t.Errorf("%s has no row of %q; run: make agreement", agreementPage, a.name)
		}
	}
}

// A figure is beyond its bound where the bound of its regime says so.
func TestAgreementKnowsItsBounds(t *testing.T) {
	run := func(goodput, p50 float64, ok, timeouts int64) *result.Result {
		return &result.Result{Segments: []result.Segment{{Clients: result.ClientStats{
			Requests: ok + timeouts, Errors: timeouts, Rate: goodput, Goodput: goodput, Latency: &result.Latency{P50: p50, P99: 2 * p50},
			Outcomes: map[outcome.Class]int64{outcome.OK: ok, outcome.Timeout: timeouts},
		}}}}
	}
	for _, c := range []struct {
		regime  regime
		virtual *result.Result
		want    string
	}{
		{steady, run(100, 0.1, 100, 0), ""},
		{steady, run(101, 0.104, 98, 2), ""},
		{steady, run(97, 0.106, 96, 4), "throughput goodput p50 outcomes"},
		{steady, run(100, 0.116, 100, 0), "p50 p99"},
		{overload, run(91, 0.5, 98, 2), ""},
		{overload, run(89, 0.5, 96, 4), "throughput goodput outcomes"},
	} {
		var table agreement
		table.add(&agreeing{name: "a", regime: c.regime}, run(100, 0.1, 100, 0), c.virtual, &watched{}, &watched{})
		var got []string
		for i := range table.rows {
			if table.rows[i].beyond() {
				got = append(got, table.rows[i].figure)
			}
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%s: beyond are %q, want %q; the table:\n%s", c.regime, text, c.want, table.text())
		}
	}
}

func TestRecoveryIsTheLastBadSlice(t *testing.T) {
	failing := func(from, to int) *watched {
		w := &watched{}
		for tenth := range 100 {
			o := measure.Outcome{Intended: time.Duration(tenth) * 100 * time.Millisecond, Status: 200, Class: outcome.OK}
			if tenth >= from && tenth < to {
				o.Status, o.Class = 503, outcome.HTTPError
			}
			w.observe(o)
		}
		return w
	}
	for _, c := range []struct {
		from, to int
		want     time.Duration
		back     bool
	}{
		{0, 0, 0, true},
		{20, 30, 0, true},
		{20, 50, 2 * time.Second, true},
		{60, 64, 3*time.Second + 500*time.Millisecond, true},
		{60, 100, 7 * time.Second, false},
	} {
		if got, back := failing(c.from, c.to).recovery(3 * time.Second); got != c.want || back != c.back {
			t.Errorf("bad from %d to %d: recovery %s, %v, want %s, %v", c.from, c.to, got, back, c.want, c.back)
		}
	}
}
