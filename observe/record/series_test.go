package record

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

func inputsOf(variant string, _ uint64) (map[string][]byte, error) {
	return map[string][]byte{"experiment.yaml": []byte("name: " + variant + "\n")}, nil
}

// observeRun hands a series the events of one run.
func observeRun(s *Series, variant string, seed uint64, result *result.Result) {
	s.Observe(runner.RunBegun{Variant: variant, Seed: seed})
	s.Observe(runner.LoadBegun{})
	s.Observe(runner.RunEnded{Result: result})
}

func TestSeriesKeepsEachRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	for range 2 { // the second overwrites the first
		s, err := NewSeries(Options{Dir: dir, Inputs: map[string][]byte{"experiment.yaml": []byte("all\n")}}, inputsOf)
		if err != nil {
			t.Fatal(err)
		}
		one := &result.Result{Kind: result.ResultKind, Name: "lab"}
		observeRun(s, "none", 1, one)
		observeRun(s, "none", 2, one)
		observeRun(s, "", 3, one)
		observeRun(s, "refused", 1, nil)
		if err := s.Finish(&result.Comparison{Kind: result.ComparisonKind, Name: "lab"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"comparison.json", "experiment.yaml", "none/seed-1/result.json", "none/seed-2/timeline.csv", "seed-3/experiment.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(file))); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "refused", "seed-1")); err == nil {
		t.Error("a run that was not started left a record")
	}
	var c result.Comparison
	text, err := os.ReadFile(filepath.Join(dir, ComparisonFile))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.Name != "lab" {
		t.Errorf("%v: %+v", err, c)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", ".*partial*"))
	if more, _ := filepath.Glob(filepath.Join(dir, ".*partial*")); len(left)+len(more) > 0 {
		t.Errorf("left behind: %v %v", left, more)
	}
}

func TestSeriesKeepsWhatIsFinishedWithoutAnEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	s, err := NewSeries(Options{Dir: dir}, inputsOf)
	if err != nil {
		t.Fatal(err)
	}
	observeRun(s, "one", 1, &result.Result{Kind: result.ResultKind})
	s.Observe(runner.RunBegun{Variant: "two", Seed: 1})
	if err := s.Finish(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "one", "seed-1", "result.json")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "two", "*")); len(left) > 0 {
		t.Errorf("half a record was left: %v", left)
	}
}

// TestSeriesOfNothingLeavesNothing: a series that was refused before its first run can
// be tried again with the same directory.
func TestSeriesOfNothingLeavesNothing(t *testing.T) {
	for _, there := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "out")
		if there {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s, err := NewSeries(Options{Dir: dir, Inputs: map[string][]byte{"experiment.yaml": []byte("all\n")}}, inputsOf)
		if err == nil {
			err = s.Finish(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if len(entries) > 0 || there != (err == nil) {
			t.Errorf("a directory that was there: %v; left are %v, %v", there, entries, err)
		}
	}
}

func TestSeriesRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewSeries(Options{Dir: dir}, inputsOf); err == nil || !strings.Contains(err.Error(), "do not belong to a record of a comparison") {
		t.Errorf("a directory of others: %v", err)
	}
	if _, err := NewSeries(Options{Dir: dir, Force: true}, inputsOf); err != nil {
		t.Errorf("forced: %v", err)
	}
	// Something stands where the second run's directory is to be.
	s, err := NewSeries(Options{Dir: dir, Force: true}, inputsOf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if observeRun(s, "x", 1, &result.Result{}); s.Err() == nil || s.Finish(nil) == nil {
		t.Error("a run that cannot be recorded is not an error")
	}
}

// A comparison that cannot be written is an error that Err keeps.
func TestSeriesTellsOfALostComparison(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	s, err := NewSeries(Options{Dir: dir}, inputsOf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ComparisonFile, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	err = s.Finish(&result.Comparison{Kind: result.ComparisonKind})
	if err == nil || s.Err() == nil || !strings.Contains(err.Error(), ComparisonFile) {
		t.Errorf("Finish says %v, Err %v", err, s.Err())
	}
}
