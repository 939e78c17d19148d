// Package calibration is what a machine takes for what files do not describe: a
// request, a call, a new connection, a sync of the disk, and by how much a sleep is
// late. `kubectl microsim calibrate` measures it, and runs in virtual time read it.
package calibration

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// Version and Kind mark the file.
const (
	Version = "microsim.dev/v1alpha1"
	Kind    = "Calibration"
)

// A Calibration is what was measured on a machine. Its JSON is the file.
type Calibration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Program is the version of the program that has measured, Date when it did.
	Program string    `json:"program"`
	Date    time.Time `json:"date"`
	Machine Machine   `json:"machine"`
	// Load is how busy the measuring kept the processors, as a share.
	Load  float64 `json:"load"`
	Costs Costs   `json:"costs"`
	// Runtimes are the costs in runtimes that were measured, too.
	Runtimes []RuntimeCosts `json:"runtimes,omitempty"`
}

// RuntimeCosts are what a service takes that another program than the agent serves.
// Times are in seconds.
type RuntimeCosts struct {
	Name string `json:"name"`
	// Processor is the processor time of a request and its answer, beside the work of
	// the service, at both of its ends. Call is that of a call at its caller, beside
	// Costs.Processor, which the callee counts.
	Processor float64 `json:"processorSeconds"`
	Call      float64 `json:"callSeconds"`
	// Start is how long a process takes from its start until it is ready.
	Start float64 `json:"startSeconds"`
}

// A Machine is the one that was measured.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
}

// Costs are what things take. Times are in seconds.
type Costs struct {
	// Processor is the processor time of a request, or call, and its answer, beside
	// the work of its service, at both of its ends; Connection is what a new connection
	// adds.
	Processor  float64 `json:"processorSeconds"`
	Connection float64 `json:"connectionSeconds"`
	// Alone is the processor time that a request takes beyond Processor if it comes
	// while the program sleeps, since threads have to be woken up for it.
	Alone float64 `json:"aloneSeconds,omitempty"`
	// Turn is the processor time by which a turn of work exceeds the work.
	Turn float64 `json:"turnSeconds,omitempty"`
	// Packet is how long one is on its way. RequestWait is how much longer than that it
	// takes until the load goes on with an answer, and CallWait that of a service.
	Packet      float64 `json:"packetSeconds"`
	RequestWait float64 `json:"requestWaitSeconds"`
	CallWait    float64 `json:"callWaitSeconds"`
	// IdleWait is how much longer than RequestWait it takes if nothing has happened
	// for a while before the request, so that idle processors have to wake up;
	// IdleCallWait is that of each call which such a request leads to.
	IdleWait     float64 `json:"idleWaitSeconds,omitempty"`
	IdleCallWait float64 `json:"idleCallWaitSeconds,omitempty"`
	// CPUUnit is the processor time of a unit of CPU (cpuUnits).
	CPUUnit float64 `json:"cpuUnitSeconds"`
	// DiskSync is a sync of a disk that is in use, DiskIdle how much longer the first
	// takes after a pause. DiskRate are the bytes per second that are written.
	DiskSync float64 `json:"diskSyncSeconds"`
	DiskIdle float64 `json:"diskIdleSeconds,omitempty"`
	DiskRate float64 `json:"diskBytesPerSecond"`
	// Start is how long a process takes from its start until it is ready.
	Start float64 `json:"startSeconds"`
	// Lateness is how much longer than asked a sleep of a service is, as seen by its
	// client: quantiles in rising order, the first of share 0, the last of share 1.
	// Between them, it is taken to rise evenly.
	Lateness []Quantile `json:"lateness"`
	// Sleeps says how sleeps end where programs are woken up in units of time; absent
	// where they are woken up at once, and where nobody has measured it.
	Sleeps *Sleeps `json:"sleeps,omitempty"`
}

// Sleeps are those of a program that asks to be woken up after whole units of time, as
// those of Go do on Linux. Another event of the program may let it notice earlier that a
// sleep is over.
type Sleeps struct {
	// Tick is the unit, in seconds.
	Tick float64 `json:"tickSeconds"`
	// Wake is by how much the program is woken up later than it asked for, while it does
	// nothing else: quantiles as those of the lateness.
	Wake []Quantile `json:"wake"`
}

// A Quantile says that a share of all values is at most as large.
type Quantile struct {
	Share   float64 `json:"share"`
	Seconds float64 `json:"seconds"`
}

// Shares are those of the quantiles that are written: closer to each other where the
// tail is, which decides high quantiles of requests.
func Shares() []float64 {
	return []float64{0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999, 1}
}

// longest is the longest time that makes sense for any of the costs.
const longest = 60.0

// Validate names all that makes no sense, by the path in the file.
func (c *Calibration) Validate() (problems problem.List) {
	if c.APIVersion != Version {
		problems.AddHint("apiVersion", fmt.Sprintf("write %q", Version), "version %q is not known", c.APIVersion)
	}
	if c.Kind != Kind {
		problems.AddHint("kind", fmt.Sprintf("name a file that 'kubectl microsim calibrate' has written, of kind %q", Kind), "kind %q is not a calibration", c.Kind)
	}
	if c.Date.IsZero() {
		problems.AddHint("date", "write when it was measured, such as 2026-01-31T12:00:00Z", "the date is missing")
	}
	if c.Machine.CPUs < 1 || c.Machine.CPUs > 1<<16 {
		problems.AddHint("machine.cpus", "write how many processors the machine has", "%d processors are not possible", c.Machine.CPUs)
	}
	if !(c.Load >= 0 && c.Load <= 1) {
		problems.AddHint("load", "write a share from 0 to 1", "a load of %v is not possible", c.Load)
	}
	costs := &c.Costs
	for _, t := range []struct {
		name    string
		seconds float64
		zero    bool // it may be nothing
	}{
		{"processorSeconds", costs.Processor, false}, {"connectionSeconds", costs.Connection, true}, {"aloneSeconds", costs.Alone, true}, {"turnSeconds", costs.Turn, true},
		{"packetSeconds", costs.Packet, false},
		{"requestWaitSeconds", costs.RequestWait, true}, {"callWaitSeconds", costs.CallWait, true}, {"idleWaitSeconds", costs.IdleWait, true},
		{"idleCallWaitSeconds", costs.IdleCallWait, true}, {"cpuUnitSeconds", costs.CPUUnit, false}, {"diskSyncSeconds", costs.DiskSync, true},
		{"diskIdleSeconds", costs.DiskIdle, true}, {"startSeconds", costs.Start, false},
	} {
		switch path := "costs." + t.name; {
		case t.zero && t.seconds == 0:
		case !(t.seconds >= 1e-9) || t.seconds > longest:
			problems.AddHint(path, "write seconds, from 1e-9 to 60", "%v seconds are not possible", t.seconds)
		}
	}
	if !(costs.DiskRate >= 1) || math.IsInf(costs.DiskRate, 0) {
		problems.AddHint("costs.diskBytesPerSecond", "write bytes per second, at least 1", "a rate of %v is not possible", costs.DiskRate)
	}
	validateQuantiles(&problems, "costs.lateness", costs.Lateness)
	costs.validateSleeps(&problems)
	c.validateRuntimes(&problems)
	return problems
}

func (c *Calibration) validateRuntimes(problems *problem.List) {
	seen := map[string]bool{}
	for i, r := range c.Runtimes {
		path := problem.Index("runtimes", i)
		if r.Name == "" || seen[r.Name] {
			problems.AddHint(path+".name", "name each runtime once", "the name %q is empty, or there twice", r.Name)
		}
		seen[r.Name] = true
		for _, t := range []struct {
			name    string
			seconds float64
		}{{"processorSeconds", r.Processor}, {"startSeconds", r.Start}} {
			if !(t.seconds >= 1e-9) || t.seconds > longest {
				problems.AddHint(path+"."+t.name, "write seconds, from 1e-9 to 60", "%v seconds are not possible", t.seconds)
			}
		}
		if !(r.Call >= 0) || r.Call > longest {
			problems.AddHint(path+".callSeconds", "write seconds, from 0 to 60", "%v seconds are not possible", r.Call)
		}
	}
}

func (c *Costs) validateSleeps(problems *problem.List) {
	s := c.Sleeps
	if s == nil {
		return
	}
	if !(s.Tick >= 1e-6) || s.Tick > 0.1 {
		problems.AddHint("costs.sleeps.tickSeconds", "write seconds, from 1e-6 to 0.1, or leave sleeps out", "a unit of %v seconds is not possible", s.Tick)
	}
	validateQuantiles(problems, "costs.sleeps.wake", s.Wake)
}

func validateQuantiles(problems *problem.List, where string, list []Quantile) {
	n := len(list)
	if n < 2 || list[0].Share != 0 || list[n-1].Share != 1 {
		problems.AddHint(where, "begin with share 0, and end with share 1", "the quantiles do not reach from 0 to 1")
		return
	}
	for i, q := range list {
		path := problem.Index(where, i)
		if !(q.Seconds >= 0) || q.Seconds > longest {
			problems.AddHint(path+".seconds", "write seconds, from 0 to 60", "%v seconds are not possible", q.Seconds)
		}
		if i > 0 && !(q.Share > list[i-1].Share && q.Seconds >= list[i-1].Seconds) {
			problems.AddHint(path, "order them by their shares", "it does not rise from the one before")
		}
	}
}

// Late is the quantile of the lateness of a share that the table has, or the next.
func (c *Costs) Late(share float64) float64 { return QuantileOf(c.Lateness, share) }

// QuantileOf is that of a share that a table has, or the next.
func QuantileOf(list []Quantile, share float64) float64 {
	for _, q := range list {
		if q.Share >= share {
			return q.Seconds
		}
	}
	return 0
}

// ID tells calibrations apart by all that they say.
func (c *Calibration) ID() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // a value that JSON does not know, which Validate refuses
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// Where says what machine it was measured on.
func (c *Calibration) Where() string {
	return fmt.Sprintf("%s/%s, %d processors", cmp.Or(c.Machine.OS, "unknown"), cmp.Or(c.Machine.Arch, "unknown"), c.Machine.CPUs)
}

// Encode writes the file.
func (c *Calibration) Encode(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c); err != nil {
		return fmt.Errorf("writing the calibration: %w", err)
	}
	return nil
}
