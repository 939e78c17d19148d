package calibrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// sample is a calibration that could be measured.
func sample() *calibration.Calibration {
	c := &calibration.Calibration{
		APIVersion: calibration.Version, Kind: calibration.Kind, Program: "v1", Date: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
		Machine: calibration.Machine{OS: "linux", Arch: "amd64", CPUs: 4, Go: "go1.26"}, Load: 0.3,
	}
	c.Costs.CPUUnit, c.Costs.Start = 0.001, 0.05
	rising := func(low, high float64) (list []float64) {
		for i := range 101 {
			list = append(list, low+(high-low)*float64(i)/100)
		}
		return list
	}
	requests(&c.Costs, rising(0.0002, 0.0004), rising(0.0005, 0.0007), rising(0.0054, 0.0064), 0.00005)
	connection(&c.Costs, rising(0.0005, 0.0007), 1)
	disk(&c.Costs, rising(0.0013, 0.0013), rising(0.0063, 0.0063))
	return c
}

// The measured system, played in virtual time on the calibrated machine, takes as long
// as it did in the measurement.
func TestVirtualRequestsTakeWhatWasMeasured(t *testing.T) {
	c := sample()
	p50 := func(service string, fresh bool) float64 {
		e := experiment.Experiment{Name: "measured", Seed: 1, System: measured(), Load: load.Profile{
			NoKeepAlive: fresh, Requests: []load.Request{{Service: service}}, Phases: []load.Phase{{Rate: 40, Duration: unit.Duration(20 * time.Second)}},
		}}
		r, err := virtual.Run(context.Background(), e, virtual.Options{Machine: virtual.Calibrated(c), Costs: virtual.CostsOf(c)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Environment.Costs; got == nil || got.Of != c.ID() || !got.Measured.Equal(c.Date) {
			t.Errorf("the result says that its costs are of %+v, want calibration %s", got, c.ID())
		}
		return r.Segments[0].Clients.Latency.P50
	}
	for _, want := range []struct {
		service string
		fresh   bool
		seconds float64
	}{
		{"leaf", false, 0.0003}, {"front", false, 0.0006}, {"sleeper", false, 0.0059}, {"leaf", true, 0.0006}, {"few", false, 0.0013}, {"many", false, 0.0063},
	} {
		if got := p50(want.service, want.fresh); math.Abs(got/want.seconds-1) > 0.02 {
			t.Errorf("a request to %s takes %.6f s, want %.6f s as measured", want.service, got, want.seconds)
		}
	}
}

// On a machine that is asked once in a while, requests, calls and writes take what was
// measured, too.
func TestIdleMachinesTakeWhatWasMeasured(t *testing.T) {
	c := sample()
	const unitOfCPU = 0.001
	idle(&c.Costs, []float64{0.0005}, []float64{0.0025}, []float64{0.0005 + unitOfCPU}, []float64{0.0005 + unitOfCPU + chained*(unitOfCPU+0.0004)})
	for service, want := range map[string]float64{"leaf": 0.0005, "few": 0.0025, "link0": 0.0015, fmt.Sprint("link", chained): 0.0015 + chained*0.0014} {
		e := experiment.Experiment{Name: "idle", Seed: 1, System: measured(), Load: load.Profile{
			Requests: []load.Request{{Service: service}}, Phases: []load.Phase{{Rate: idleRate, Duration: unit.Duration(20 * time.Second)}},
		}}
		r, err := virtual.Run(context.Background(), e, virtual.Options{Machine: virtual.Calibrated(c)})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Segments[0].Clients.Latency.P50; math.Abs(got/want-1) > 0.02 {
			t.Errorf("a request to %s takes %.6f s, want %.6f s as measured", service, got, want)
		}
	}
}

// A machine whose calls are faster than nothing, or whose disk takes less for more, has
// costs that make sense all the same.
func TestCostsMakeSenseWhateverWasMeasured(t *testing.T) {
	for name, measured := range map[string][3][]float64{
		"a call takes no time":        {{0.0003}, {0.0002}, {0.006}},
		"a sleep ends before its end": {{0.0003}, {0.0006}, {0.004}},
		"all wait for processors":     {{0.2}, {0.5}, {0.3}},
		"a request takes little":      {{0.0000001}, {0.0000002}, {0.006}},
	} {
		c := sample()
		requests(&c.Costs, measured[0], measured[1], measured[2], 0.00005)
		connection(&c.Costs, []float64{0}, -1)
		disk(&c.Costs, []float64{0.002}, []float64{0.001})
		idle(&c.Costs, measured[0], []float64{0.001}, measured[0], measured[0])
		if problems := c.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems.Err())
		}
		if c.Costs.Processor > 0.00005 {
			t.Errorf("%s: a request takes %v s of a processor, more than it had", name, c.Costs.Processor)
		}
	}
}

func TestReadIsStrict(t *testing.T) {
	var text bytes.Buffer
	if err := sample().Encode(&text); err != nil {
		t.Fatal(err)
	}
	whole := text.String()
	back, err := read("file", strings.NewReader(whole))
	if err != nil || back.ID() != sample().ID() {
		t.Fatalf("what was written is read as %+v: %v", back, err)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown field":     {`"callWaitSeconds"`, `"calWaitSeconds"`, `calWaitSeconds`},
		"no value":          {`"packetSeconds": `, `"packetSeconds": null, "x": `, `packetSeconds`},
		"another kind":      {`"Calibration"`, `"Experiment"`, `kind "Experiment" is not a calibration`},
		"another version":   {`v1alpha1`, `v9`, `version "microsim.dev/v9" is not known`},
		"a negative time":   {`"cpuUnitSeconds": `, `"cpuUnitSeconds": -`, `-0.001 seconds are not possible`},
		"too long":          {`"startSeconds": `, `"startSeconds": 1000`, `seconds are not possible`},
		"processors":        {`"cpus": 4`, `"cpus": 0`, `0 processors`},
		"text":              {`"cpus": 4`, `"cpus": "4x"`, `cpus`},
		"shares that fall":  {`"share": 0.25`, `"share": 0.75`, `it does not rise`},
		"no tail":           {`"share": 1,`, `"share": 0.9999,`, `do not reach from 0 to 1`},
		"twice":             {`"cpus": 4`, `"cpus": 4, "cpus": 5`, `cpus`},
		"two documents":     {whole, whole + "\n---\n" + whole, ``},
		"nothing":           {whole, ``, `file`},
		"not a calibration": {whole, `[1]`, `file`},
	} {
		if !strings.Contains(whole, c.from) {
			t.Fatalf("%s: the file has no %q", name, c.from)
		}
		got, err := read("file", strings.NewReader(strings.Replace(whole, c.from, c.to, 1)))
		if err == nil {
			t.Errorf("%s: it was read as %+v", name, got)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestWriteOverwritesCalibrationsOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.json")
	for range 2 {
		if err := write(path, sample()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{path, dir, filepath.Join(dir, "none", "c.json")} {
		if err := write(foreign, sample()); err == nil {
			t.Errorf("%s was written", foreign)
		}
	}
	if text, _ := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("a file of others is %q now", text)
	}
}

// The flag, and the files that exist, decide which costs a run has.
func TestFlagChoosesTheCosts(t *testing.T) {
	state := t.TempDir()
	t.Setenv("MICROSIM_STATE_DIR", state)
	load := func(flag string) string {
		f := Flag{path: flag}
		machine, costs, err := f.Load()
		if err != nil {
			return err.Error()
		}
		if (costs.Of == result.UsualCosts) != (machine.Cores == 0) {
			t.Errorf("--calibration %q: %v processors, said to be of %q", flag, machine.Cores, costs.Of)
		}
		return costs.Of
	}
	own := filepath.Join(state, fileName)
	if got := load(""); got != result.UsualCosts {
		t.Errorf("without a calibration, the costs are %q", got)
	}
	if err := write(own, sample()); err != nil {
		t.Fatal(err)
	}
	if got := load(""); got != sample().ID() {
		t.Errorf("with a calibration of this machine, the costs are %q", got)
	}
	if got := load(None); got != result.UsualCosts {
		t.Errorf("with none, the costs are %q", got)
	}
	other := sample()
	other.Costs.Start = 2
	path := filepath.Join(t.TempDir(), "other.json")
	if err := write(path, other); err != nil {
		t.Fatal(err)
	}
	if got := load(path); got != other.ID() || got == sample().ID() {
		t.Errorf("with a file, the costs are %q", got)
	}
	if err := os.WriteFile(own, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(""); !strings.Contains(got, "--calibration none") {
		t.Errorf("a calibration that cannot be read: %q", got)
	}
	f := Flag{path: filepath.Join(state, "missing.json")}
	if _, _, err := f.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
