package fault

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

const second = unit.Duration(time.Second)

func TestEveryTypeHasAValidExample(t *testing.T) {
	all := Args{
		Delay: dist.Fixed(time.Second), Jitter: second / 10, Status: 503, Size: 1 << 20, Hold: second,
		Cores: 1, Rate: 1000, Percent: 10, Correlation: 0.25, Load: 0.5, Pattern: "a(b)", With: "$1",
	}
	for _, e := range Vocabulary() {
		f := Fault{Type: e.Type, Target: Target{Service: "cart"}, Probability: 1}
		for _, arg := range append(slices.Clone(e.Needs), e.May...) {
			f.Args = f.Args.with(arg, all)
		}
		if methods := Methods(e.Type); slices.Contains(e.May, ArgMethod) {
			f.Args.Method = methods[len(methods)-1]
		}
		if problems := f.Validate(); len(problems) > 0 {
			t.Errorf("%s: %v", e.Type, problems.Err())
		}
		for _, need := range e.Needs {
			less := f
			less.Args = less.Args.with(need, Args{})
			if need == ArgDelay {
				less.Args.Jitter = 0
			}
			if text := fmt.Sprint(less.Validate().Err()); !strings.Contains(text, "needs "+string(need)) {
				t.Errorf("%s without %s: %q", e.Type, need, text)
			}
		}
	}
}

// with returns a with one parameter taken from b.
func (a Args) with(arg Arg, b Args) Args {
	switch arg {
	case ArgDelay:
		a.Delay = b.Delay
	case ArgJitter:
		a.Jitter = b.Jitter
	case ArgStatus:
		a.Status = b.Status
	case ArgSize:
		a.Size = b.Size
	case ArgHold:
		a.Hold = b.Hold
	case ArgCores:
		a.Cores = b.Cores
	case ArgRate:
		a.Rate = b.Rate
	case ArgPercent:
		a.Percent = b.Percent
	case ArgCorrelation:
		a.Correlation = b.Correlation
	case ArgMethod:
		a.Method = b.Method
	case ArgLoad:
		a.Load = b.Load
	case ArgPattern:
		a.Pattern = b.Pattern
	case ArgWith:
		a.With = b.With
	}
	return a
}

// TestWithoutGateNamesATypeThatNeedsNone for each fault on an edge.
func TestWithoutGateNamesATypeThatNeedsNone(t *testing.T) {
	for _, e := range Vocabulary() {
		text := WithoutGate(e.Type)
		if e.Layer != OnEdge {
			if text != "" {
				t.Errorf("%s, which needs no gate, has %q", e.Type, text)
			}
			continue
		}
		name, differs, _ := strings.Cut(text, " ")
		other, known := Lookup(Type(strings.TrimSuffix(name, ",")))
		if !known || other.Layer == OnEdge || differs == "" {
			t.Errorf("%s has %q, want a type that needs no gate, and how it differs", e.Type, text)
		}
	}
}

func TestValidateNamesMistakes(t *testing.T) {
	latency := Fault{Type: Latency, Target: Target{Service: "cart"}, Probability: 1, Args: Args{Delay: dist.Fixed(time.Second)}}
	for want, spoil := range map[string]func(*Fault){
		`fault type "lag" is not known`:              func(f *Fault) { f.Type = "lag" },
		`does not take status (it takes delay, jit`:  func(f *Fault) { f.Args.Status = 500 },
		`jitter "2s" does not fit delay "1s"`:        func(f *Fault) { f.Args.Jitter = 2 * second },
		`probability: 1.3 is not between 0 and 1`:    func(f *Fault) { f.Probability = 1.3 },
		`a fault with probability 0 never acts`:      func(f *Fault) { f.Probability = 0 },
		`acts on no packets, so it has no direction`: func(f *Fault) { f.Target.Direction = Both },
		`not on one endpoint, such as "/x"`: func(f *Fault) {
			*f = Fault{Type: Kill, Probability: 1, Target: Target{Service: "cart", Endpoint: "/x"}}
		},
		`not on the requests of "web"`: func(f *Fault) {
			*f = Fault{Type: Pause, Probability: 1, Target: Target{Service: "cart", From: "web"}}
		},
		`not on a share of its requests`: func(f *Fault) {
			*f = Fault{Type: Restart, Probability: 0.5, Target: f.Target}
		},
		`load is the share of a processor`: func(f *Fault) {
			*f = Fault{Type: CPUStress, Probability: 0.5, Target: f.Target, Args: Args{Load: 1}}
		},
		`start "-1s" is negative`:                     func(f *Fault) { f.Start = -second },
		`duration "-1s" is negative`:                  func(f *Fault) { f.Duration = -second },
		`start: the fault would begin at 87624h`:      func(f *Fault) { f.Start = unit.Duration(MaxEnd + 24*time.Hour) },
		`duration: the fault would end after 87600h`:  func(f *Fault) { f.Start, f.Duration = second, unit.Duration(MaxEnd) },
		`duration: the fault would end after 87600h,`: func(f *Fault) { f.Start, f.Duration = 3*second, math.MaxInt64 },
		`start: the fault would begin at `:            func(f *Fault) { f.Start, f.Duration = math.MaxInt64, math.MaxInt64 },
		`rounds.interval: the last round would begin after 87600h`: func(f *Fault) {
			*f = Fault{Type: Kill, Probability: 1, Rounds: &Rounds{Count: MaxRounds, Interval: math.MaxInt64, Victims: []string{"a"}}}
		},
		`duration: the fault would end after`: func(f *Fault) {
			*f = Fault{Type: Pause, Probability: 1, Duration: unit.Duration(MaxEnd), Rounds: &Rounds{Count: 2, Interval: second, Victims: []string{"a"}}}
		},
		`the fault has no target`:           func(f *Fault) { f.Target.Service = "" },
		`size "8Gi" is out of range`:        func(f *Fault) { *f = Fault{Type: MemoryLeak, Target: f.Target, Args: Args{Size: 8 << 30}} },
		`status 200 is not an error status`: func(f *Fault) { *f = Fault{Type: Error, Target: f.Target, Args: Args{Status: 200}} },
		`pattern "(": error parsing`: func(f *Fault) {
			*f = Fault{Type: Substitute, Target: f.Target, Args: Args{Pattern: "("}}
		},
		`does not know of endpoints, such as "/x"`: func(f *Fault) {
			*f = Fault{Type: Refuse, Target: Target{Service: "cart", Endpoint: "/x"}}
		},
		`fault type "latency" has no rounds`: func(f *Fault) {
			f.Rounds = &Rounds{Count: 1, Interval: second, Victims: []string{"a"}}
			f.Target.Service = ""
		},
	} {
		f := latency
		spoil(&f)
		if text := fmt.Sprint(f.Validate().Err()); !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
}
