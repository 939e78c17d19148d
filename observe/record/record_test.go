package record

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

var update = flag.Bool("update", false, "write the golden files")

// small is a run of two seconds with one fault in the second.
func small() (events []runner.Event, end *result.Result) {
	began := time.Unix(1_700_000_000, 0).UTC()
	record := result.FaultRecord{
		ID: "latency-1", Label: "latency cart", Fault: fault.Fault{Name: "slow cart", Type: fault.Latency, Target: fault.Target{Service: "cart"}, Probability: 1},
		Replicas: []string{"cart/1"}, PlannedFrom: 1, PlannedTo: 2, AskedFrom: 1, OrderedAt: began.Add(time.Second), AppliedAt: began.Add(1001 * time.Millisecond), From: 1.001, Hits: 12,
	}
	cleared := record
	cleared.ClearOrderedAt, cleared.AskedTo = began.Add(2*time.Second), 2
	cleared.ClearedAt, cleared.To = began.Add(2*time.Second), 2
	sample := func(at time.Duration, slow int64) runner.ServiceSampled {
		s := measure.Sample{
			At: began.Add(at), Elapsed: time.Second, Counted: time.Second, Service: "cart", Requests: 20, Rate: 20, Errors: 1, Degraded: 4,
			InFlight: 2, QueueLength: 1, CPUSeconds: measure.Amount{Value: 0.25, Known: true}, BytesReceived: measure.Amount{Value: 2000, Known: true}, BytesSent: measure.Amount{Value: 6000, Known: true}, MemoryBytes: 1 << 20, Up: 1, Replicas: 2,
			Calls: []measure.CallSample{{Callee: "db", Calls: map[outcome.Class]int64{outcome.OK: 9, outcome.Timeout: 1}, Degraded: 3}},
		}
		s.Latency.Add(5*time.Millisecond, 20-slow)
		s.Latency.Add(500*time.Millisecond, slow)
		// The callee is timed in wide buckets only.
		s.Calls[0].Latency.AddRange(0, 10*time.Millisecond, 9)
		s.Calls[0].Latency.AddRange(100*time.Millisecond+1, time.Second, 1)
		s.Calls[0].Latency.AddSum(300 * time.Millisecond)
		return runner.ServiceSampled{At: at, Sample: s}
	}
	events = []runner.Event{
		runner.LoadBegun{At: began, Length: 2 * time.Second, Phases: []string{"steady, slow"}},
		sample(time.Second, 0),
		runner.FaultApplied{Record: record},
		runner.FaultCleared{Record: cleared},
		sample(2*time.Second, 20),
		runner.ServiceSampled{At: 2 * time.Second, Sample: measure.Sample{Elapsed: time.Second, Service: "db", Replicas: 1}},
	}
	second := func(at time.Duration, outcomes map[outcome.Class]int64, ended, degraded int64, l *result.Latency) result.ClientSecond {
		return result.ClientSecond{At: at, Seconds: 1, Outcomes: outcomes, Degraded: degraded, Ended: ended, Good: ended - degraded, Latency: l}
	}
	end = &result.Result{
		APIVersion: result.ResultVersion, Kind: result.ResultKind, Name: "small", Faults: []result.FaultRecord{cleared},
		Timeline: []result.ClientSecond{
			second(time.Second, map[outcome.Class]int64{outcome.OK: 20}, 19, 2, &result.Latency{Mean: 0.0011, P50: 0.001, P90: 0.002, P95: 0.003, P99: 0.004}),
			second(2*time.Second, map[outcome.Class]int64{outcome.Dropped: 3}, 1, 0, nil),
		},
	}
	return events, end
}

func recordSmall(t *testing.T, options Options) error {
	t.Helper()
	r, err := New(options)
	if err != nil {
		return err
	}
	events, result := small()
	for _, e := range events {
		r.Observe(e)
	}
	return r.Finish(result)
}

func TestRecord(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "out")
	if err := recordSmall(t, Options{Dir: dir, Inputs: map[string][]byte{"experiment.yaml": []byte("kind: Experiment\n")}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"edges.csv", "experiment.yaml", "faults.jsonl", "result.json", "timeline.csv"}
	if got := list(t, dir); !equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	if left := list(t, filepath.Dir(dir)); !equal(left, []string{"out"}) {
		t.Errorf("left beside it: %q", left)
	}
	for _, name := range []string{TimelineFile, EdgesFile, FaultsFile} {
		golden(t, filepath.Join(dir, name))
	}
	for _, name := range []string{TimelineFile, EdgesFile} {
		if _, err := csv.NewReader(strings.NewReader(read(t, filepath.Join(dir, name)))).ReadAll(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var result result.Result
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, ResultFile))), &result); err != nil || result.Name != "small" {
		t.Errorf("%v, %+v", err, result)
	}
}

// Faults that begin at one moment are told as each is done; every row names them in
// the order of the result.
func TestFaultsOfOneMomentHaveOneOrder(t *testing.T) {
	began := time.Unix(1_700_000_000, 0).UTC()
	var records []result.FaultRecord
	for i, name := range []string{"third-of-the-alphabet", "first", "second"} {
		records = append(records, result.FaultRecord{
			ID: fmt.Sprint(i), Place: i, Fault: fault.Fault{Name: name, Type: fault.Latency}, AppliedAt: began.Add(time.Second), From: 1,
		})
	}
	const want = "third-of-the-alphabet;first;second"
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		var s state
		for _, i := range order {
			s.observe(runner.FaultApplied{Record: records[i]})
		}
		cleared := records[order[0]]
		cleared.ClearedAt, cleared.To = began.Add(3*time.Second), 3
		s.observe(runner.FaultCleared{Record: cleared})
		if got := acting(s.faults, 2, 3); got != want {
			t.Errorf("rows of services name %q, want %q", got, want)
		}
	}
	if got := acting(records, 2, 3); got != want {
		t.Errorf("rows of clients name %q, want %q", got, want)
	}
}

// Rates of services are the counts of their row by its length, whenever each replica was
// asked, and what services did after the load's last answer is in the tail.
func TestRowsOfServicesAgreeWithThemselves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	r, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	r.Observe(runner.LoadBegun{At: time.Unix(1_700_000_000, 0).UTC(), Phases: []string{"one", "two"}})
	for i := range 4 {
		at := time.Duration(i+1) * 1250 * time.Millisecond
		r.Observe(runner.ServiceSampled{At: at, Phase: i, Sample: measure.Sample{
			Elapsed: 1250 * time.Millisecond, Counted: 1240 * time.Millisecond, Service: "cart", Requests: 25, Errors: 3, Degraded: 2, Rate: 20.3, Up: 2, Replicas: 2,
		}})
	}
	if err := r.Finish(&result.Result{Kind: result.ResultKind}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(read(t, filepath.Join(dir, TimelineFile)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, title := range rows[0] {
		column[title] = i
	}
	for i, phase := range []string{"one", "two", "tail", "tail"} {
		row := rows[i+1]
		if row[column["phase"]] != phase || row[column["interval_s"]] != "1.25" || row[column["rate_per_s"]] != "20" || row[column["goodput_per_s"]] != "16" {
			t.Errorf("row %d is %q", i+1, row)
		}
	}
}

func TestDirectoriesOfOthersAreKept(t *testing.T) {
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(notes, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := recordSmall(t, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "do not belong to a record of a run") {
		t.Fatal(err)
	}
	if got := list(t, dir); !equal(got, []string{"notes.txt"}) {
		t.Errorf("%q", got)
	}
	if err := recordSmall(t, Options{Dir: dir, Force: true}); err != nil {
		t.Fatal(err)
	}
	// Now it is a record, and may be overwritten without force.
	if err := os.WriteFile(filepath.Join(dir, TimelineFile), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := recordSmall(t, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if read(t, notes) != "mine" || strings.HasPrefix(read(t, filepath.Join(dir, TimelineFile)), "old") {
		t.Errorf("the record was not replaced, or more than the record was")
	}
	if got := list(t, dir); !equal(got, []string{"edges.csv", "faults.jsonl", "notes.txt", "result.json", "timeline.csv"}) {
		t.Errorf("files %q", got)
	}
}

func TestDirectoryThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []Options{{}, {Dir: file}, {Dir: filepath.Join(file, "x")}, {Dir: dir + "/new", Inputs: map[string][]byte{"../x": nil}}, {Dir: dir + "/new", Inputs: map[string][]byte{ResultFile: nil}}} {
		if _, err := New(options); err == nil || !strings.Contains(err.Error(), "recording into") {
			t.Errorf("%+v: %v", options, err)
		}
	}
	if got := list(t, dir); !equal(got, []string{"file"}) {
		t.Errorf("left: %q", got)
	}
}

// TestFullDisk puts the kernel's own full device in the place of each file.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	for _, full := range append(ownFiles(), "experiment.yaml") {
		dir := filepath.Join(t.TempDir(), "out")
		more := func() map[string]func(io.Writer) error {
			write := func(w io.Writer) error {
				_, err := io.WriteString(w, "x")
				return err
			}
			return map[string]func(io.Writer) error{TracesFile: write, ChromeFile: write, LogsFile: write}
		}
		r, err := newRecorder(Options{Dir: dir, Inputs: map[string][]byte{"experiment.yaml": []byte("x")}, More: more}, func(path string) (io.WriteCloser, error) {
			if filepath.Base(path) == full {
				return os.OpenFile("/dev/full", os.O_WRONLY, 0)
			}
			return os.Create(path)
		})
		if err == nil {
			events, result := small()
			for range 200 {
				for _, e := range events {
					r.Observe(e)
				}
			}
			err = r.Finish(result)
		}
		if err == nil || !strings.Contains(err.Error(), `out/`+full+`": no space left on device`) {
			t.Errorf("%s: %v", full, err)
		}
		if left := list(t, filepath.Dir(dir)); len(left) > 0 {
			t.Errorf("%s: left %q", full, left)
		}
	}
}

func TestDiscard(t *testing.T) {
	parent := t.TempDir()
	r, err := New(Options{Dir: filepath.Join(parent, "out")})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Discard(); err != nil {
		t.Fatal(err)
	}
	if left := list(t, parent); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func equal(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

// golden compares a file with the one of that name in testdata.
func golden(t *testing.T, path string) {
	t.Helper()
	got, want := []byte(read(t, path)), filepath.Join("testdata", filepath.Base(path))
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(want, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(want); err != nil || !bytes.Equal(text, got) {
		t.Errorf("%s is not as in %s (run with -update and look at the difference): %v\n%s", path, want, err, got)
	}
}

// Hedges that were overtaken were sent, so they are attempts.
func TestEdgesTellOfPolicies(t *testing.T) {
	dir := t.TempDir()
	r, err := New(Options{Dir: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	events, result := small()
	open := policy.Open
	for _, e := range events {
		if sampled, ok := e.(runner.ServiceSampled); ok && len(sampled.Sample.Calls) > 0 && sampled.At > time.Second {
			call := &sampled.Sample.Calls[0]
			call.Attempts, call.Fallbacks, call.Breaker = map[outcome.Class]int64{outcome.OK: 9, outcome.Timeout: 4, outcome.Cancelled: 2}, 1, &open
			call.Degraded = 2
		}
		r.Observe(e)
	}
	if err := r.Finish(result); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(filepath.Join(dir, "out", EdgesFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{
		{"attempts", "fallbacks", "breaker", "goodput_per_s", "degraded"}, {"0", "0", "", "6", "3"}, {"15", "1", "open", "7", "2"},
	} {
		if got := rows[i][len(rows[i])-5:]; !slices.Equal(got, want) {
			t.Errorf("row %d ends with %q, want %q", i, got, want)
		}
	}
}

// A spreadsheet must not take a name of somebody else's file for a formula.
func TestCellsAreNoFormulas(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	r, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	events, end := small()
	for _, e := range events {
		switch e := e.(type) {
		case runner.LoadBegun:
			e.Phases = []string{`=HYPERLINK("http://example.com")`}
			r.Observe(e)
		case runner.FaultApplied:
			e.Record.Fault.Name = "@SUM(1)"
			r.Observe(e)
		case runner.ServiceSampled:
			e.Sample.Service = "+1"
			r.Observe(e)
		}
	}
	if err := r.Finish(end); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{TimelineFile, EdgesFile} {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		rows, err := csv.NewReader(file).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows[1:] {
			for i, text := range row {
				if text != "" && strings.ContainsRune("=+-@", rune(text[0])) {
					t.Errorf("%s: cell %q of column %s is a formula", name, text, rows[0][i])
				}
			}
			if want := `'=HYPERLINK("http://example.com")`; row[3] != want {
				t.Errorf("%s: the phase is %q, want %q", name, row[3], want)
			}
		}
	}
}
