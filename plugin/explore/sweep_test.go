package explore

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/observe/chart"
)

func sweepMM1(t *testing.T) *search.Sweep {
	t.Helper()
	e := readExperiment(t, mm1)
	e.Load.Phases[0].Duration = 200e9
	v, err := search.ParseVariation("load.rate=10..90/10")
	if err != nil {
		t.Fatal(err)
	}
	g := search.Grid{Vary: []search.Variation{v}, Seeds: 6, Figures: []experiment.Rank{{Metric: experiment.Mean}, {Metric: experiment.Errors}}}
	s, err := g.Sweep(e, newTestPlayer(t.Context()).play)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The mean time in an M/M/1 system is 1/(mu-lambda) (Kleinrock, Queueing Systems I,
// 3.2). Intervals of 95 % may miss it at one of nine loads, and the system begins
// empty.
func TestSweepOfMM1(t *testing.T) {
	s := sweepMM1(t)
	missed := 0
	for i, p := range s.Points {
		want := 1 / (100 - s.Vary[0].Numbers[i])
		f := p.Figures[0]
		if *f.Low > want || *f.High < want {
			missed++
			t.Logf("at %s/s: [%v, %v], want %v", p.Settings[0], *f.Low, *f.High, want)
		}
		if f.Mean < want*0.8 || f.Mean > want*1.2 {
			t.Errorf("at %s/s: %v, want about %v", p.Settings[0], f.Mean, want)
		}
	}
	if missed > 2 {
		t.Errorf("%d of %d intervals miss the mean", missed, len(s.Points))
	}
	// 1/(1-rho) on 0.1 to 0.9 is farthest below its chord at 1-sqrt(0.09) = 0.7.
	if len(s.Knees) != 1 || s.Knees[0].Value != "70" && s.Knees[0].Value != "80" || s.Knees[0].Found == 0 {
		t.Errorf("knees are %+v, want one of the mean at 70", s.Knees)
	}
	checkFiles(t, s)
}

// The written files have a row and a mark for each point.
func checkFiles(t *testing.T, s *search.Sweep) {
	t.Helper()
	var table, page bytes.Buffer
	if err := errors.Join(s.WriteCSV(&table), chart.Sweep(&page, s)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 10 || rows[0][0] != "load.rate" || rows[9][0] != "90" || len(rows[9]) != 9 {
		t.Errorf("the CSV has the rows %v, %v", rows, err)
	}
	if n := strings.Count(page.String(), "<circle"); n != 18 {
		t.Errorf("the page has %d marks, want 18", n)
	}
	if !strings.Contains(page.String(), "<title>knee, 70: ") && !strings.Contains(page.String(), "<title>knee, 80: ") {
		t.Error("the page does not mark the knee")
	}
	for _, svg := range strings.Split(page.String(), "<svg")[1:] {
		svg, _, _ = strings.Cut("<svg"+svg, "</svg>")
		d := xml.NewDecoder(strings.NewReader(svg + "</svg>"))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the picture is no XML: %v", err)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Error("the picture has marks without a place")
		}
	}
}

// Every point is played with the same seeds, so the arrivals and the work of a
// request are the same at all points.
func TestSweepHasCommonRandomNumbers(t *testing.T) {
	e := readExperiment(t, mm1)
	v, err := search.ParseVariation("api.backlog=50000,60000")
	if err != nil {
		t.Fatal(err)
	}
	g := search.Grid{Vary: []search.Variation{v}, Seeds: 3, Figures: []experiment.Rank{{Metric: experiment.P99}}}
	s, err := g.Sweep(e, newTestPlayer(t.Context()).play)
	if err != nil {
		t.Fatal(err)
	}
	// The load does not fill the backlog, so the figures may not differ.
	for i, value := range s.Points[0].Figures[0].Values {
		if value != s.Points[1].Figures[0].Values[i] {
			t.Errorf("seed %d: %v and %v", i, value, s.Points[1].Figures[0].Values[i])
		}
	}
}
