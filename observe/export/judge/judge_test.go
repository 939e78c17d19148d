package judge

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/observe/export"
)

// A made set has services s0 to s4 in a chain, and in each case one of them fails.
// lead puts columns first that give the cause away.
func madeSet(t *testing.T, cases int, size float64, lead bool) string {
	t.Helper()
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range cases {
		cause := random.IntN(5)
		name := export.CaseName(n + 1)
		label := export.Label{
			Case: name, Fault: &fault.Fault{Type: fault.Latency}, Type: fault.Latency, Service: fmt.Sprintf("s%d", cause), InjectTime: 1050,
			Impact: &export.Impact{Verdict: export.Effective},
		}
		record := export.Record{Case: name, Labels: []export.Label{label}}
		for i := range 4 {
			record.Graph = append(record.Graph, export.Edge{Caller: fmt.Sprintf("s%d", i), Callee: fmt.Sprintf("s%d", i+1)})
		}
		text, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "cases", name+".json"), string(text))
		write(t, filepath.Join(dir, "csv", name, "metrics.csv"), madeTable(random, cause, size, lead))
	}
	return dir
}

func madeTable(random *rand.Rand, cause int, size float64, lead bool) string {
	order := random.Perm(5)
	if lead {
		at := slices.Index(order, cause)
		order[0], order[at] = order[at], order[0]
	}
	var b strings.Builder
	b.WriteString("time")
	for _, s := range order {
		fmt.Fprintf(&b, ",s%d_latency-90", s)
	}
	for i := range 100 {
		fmt.Fprintf(&b, "\n%d", 1000+i)
		for _, s := range order {
			v := 1 + random.NormFloat64()/10
			if i >= 50 && s <= cause {
				v += size // callers wait for the one that they call
			}
			fmt.Fprintf(&b, ",%g", v)
		}
	}
	return b.String() + "\n"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestJudge(t *testing.T) {
	v, err := Judge(madeSet(t, 60, 3, false), "made")
	if err != nil {
		t.Fatal(err)
	}
	if v.Difficulty != "easy" || v.Cases != 60 || len(v.WithoutEffect) != 0 {
		t.Errorf("%+v", v)
	}
	deepest := v.EffectiveScores[2]
	if deepest.Top1 != 1 || deepest.Avg5 != 1 || math.Abs(deepest.ChanceTop1-0.2) > 1e-9 || math.Abs(deepest.ChanceTop3-0.6) > 1e-9 || math.Abs(deepest.ChanceAvg5-0.6) > 1e-9 {
		t.Errorf("the deepest of a chain is the cause, and it is not found: %+v", deepest)
	}
	if s := v.EffectiveScores[0]; s.Top1 > 0.9 {
		t.Errorf("who only looks for the largest change finds the cause in %v of the cases", s.Top1)
	}
	for _, l := range v.Leaks {
		if l.Leaks {
			t.Errorf("an order that was drawn gives causes away: %+v", l)
		}
	}
	if e := v.Effects[0]; e.Type != "latency" || e.Metric != "latency-90" || math.Abs(e.Delta-30) > 3 {
		t.Errorf("the latency rises by thirty deviations, and not by %+v", e)
	}
}

func TestASetThatNothingSolvesIsNotEasy(t *testing.T) {
	v, err := Judge(madeSet(t, 60, 0, false), "made")
	if err != nil {
		t.Fatal(err)
	}
	if v.Difficulty != "not easy" {
		t.Errorf("nothing happens in the set, and it is %s: %+v", v.Difficulty, v.EffectiveScores)
	}
}

func TestAnOrderThatGivesCausesAway(t *testing.T) {
	v, err := Judge(madeSet(t, 60, 0, true), "made")
	if err != nil {
		t.Fatal(err)
	}
	if l := v.Leaks[0]; l.Rule != firstColumn || l.Top1 != 1 || !l.Leaks {
		t.Errorf("the first column is the cause's in all cases, and that is not told: %+v", l)
	}
}

// The scores are those of scikit-learn's scalers, by hand: of 1, 2, 3, 4 the median is
// 2.5, the quartiles 1.75 and 3.25, the mean 2.5 and the deviation the root of 1.25.
func TestScores(t *testing.T) {
	a, b := []float64{1, 2, 3, 4}, []float64{0, 10, 5}
	median, distance := quartiles(a)
	if got := highest(b, median, distance); got != 5 {
		t.Errorf("the robust score is %v, not 5", got)
	}
	mean, deviation := moments(a)
	if got, want := highest(b, mean, deviation), 7.5/math.Sqrt(1.25); math.Abs(got-want) > 1e-12 {
		t.Errorf("the score is %v, not %v", got, want)
	}
	if _, one := quartiles([]float64{1, 1, 1, 1, 9}); one != 1 {
		t.Errorf("a distance of 0 becomes %v", one)
	}
}

func TestTablesThatAreBroken(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "header": "a,b\n", "short": "time,a_b\n1,2\n", "cells": "time,a_b\n1,2\n2,3,4\n3,4\n4,5\n", "words": "time,a_b\n1,2\n2,x\n3,4\n4,5\n",
	} {
		path := filepath.Join(t.TempDir(), name)
		write(t, path, text)
		if _, err := readFrame(path); err == nil {
			t.Errorf("a table is read that is broken: %s", name)
		}
	}
	path := filepath.Join(t.TempDir(), "gaps")
	write(t, path, "time,a_b,c_d\n1,,7\n2,3,\n3,,8\n4,5,\n")
	f, err := readFrame(path)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.values[0], []float64{0, 3, 3, 5}) || !slices.Equal(f.values[1], []float64{7, 7, 8, 8}) {
		t.Errorf("empty cells are filled in to %v", f.values)
	}
}
