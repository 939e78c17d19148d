package preview

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

const file = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: shop
seed: 5
system:
  name: shop
  services:
  - {name: web, replicas: 2, calls: [cart, {to: db}]}
  - {name: cart, calls: [db]}
  - {name: db}
load:
  phases:
  - {name: warm, rate: 10, duration: 1500ms}
  - {name: steady, users: 3, duration: 2min}
faults:
- {name: slow, type: latency, target: db, delay: 100ms, start: 2s, duration: 10s}
- {name: gone, type: kill, target: cart, start: 5s}
variants:
- {name: usual}
- {name: patient, doc: it waits, set: {service: web, call: db, timeout: 3s}}
`

// A dry run says what would be started, when the load and the faults change, and how
// often it is all done.
func TestExperiment(t *testing.T) {
	docs, err := spec.Read("shop.yaml", strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Experiment(&out, docs.Experiments()[0], 3, func(w io.Writer) { fmt.Fprintln(w, "and the settings") }); err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, line := range []string{
		`NAME +REPLICAS +KIND +CALLS`, `web +2 +base +cart,db`, `cart +1 +base +db`, `db +1 +base +<none>`,
		`AT +FOR +PHASE +LOAD`, `0s +1\.5s +warm +10/s constant`, `1\.5s +2m +steady +3 users`,
		`AT +CHANGE +FAULT +TARGET`, `2s +apply +slow +db`, `5s +apply +gone +cart`, `12s +clear +slow +db`, `2m1\.5s +clear +gone +cart`,
		`variant usual`, `variant patient  it waits`, `6 runs, with seeds 5 to 7`, `and the settings`, `experiment/shop run \(dry run\)`,
	} {
		found := regexp.MustCompile(`(?m)^` + line + ` *$`).FindStringIndex(out.String()[at:])
		if found == nil {
			t.Fatalf("there is no line %q after byte %d of\n%s", line, at, out.String())
		}
		at += found[1]
	}
}

// Flags are shown as they were given, zero and false included.
func TestSettings(t *testing.T) {
	for args, want := range map[string]string{
		"":                             "",
		"--verbose --wait 0s --port 5": "\nwith --verbose --wait 0s --port 5\n",
		"--verbose=false --wait 90s":   "\nwith --verbose=false --wait 1m30s\n",
		"--other x":                    "",
	} {
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		var wait unit.Duration
		flags.Bool("verbose", true, "")
		flags.Int("port", 5, "")
		flags.String("other", "", "")
		flags.Var(cli.NewDuration(&wait), "wait", "")
		if err := flags.Parse(strings.Fields(args)); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if Settings(&out, flags, "verbose", "wait", "port", "absent"); out.String() != want {
			t.Errorf("%q: %q, want %q", args, out.String(), want)
		}
	}
}

func TestPhase(t *testing.T) {
	ten, twenty := 10, 20.0
	for want, p := range map[string]load.Phase{
		"3 users":            {Users: 3},
		"3 to 10 users":      {Users: 3, UsersTo: &ten},
		"0 to 10 users":      {UsersTo: &ten},
		"5/s":                {Rate: 5},
		"0.5 to 20/s":        {Rate: 0.5, RateTo: &twenty},
		"5/s of 4":           {Rate: 5, Burst: 4},
		"5/s of 4 poisson":   {Rate: 5, Burst: 4, Arrivals: load.Poisson},
		"0 to 20/s constant": {RateTo: &twenty, Burst: 1, Arrivals: load.Constant},
	} {
		if got := Phase(&p); got != want {
			t.Errorf("%+v is %q, want %q", p, got, want)
		}
	}
}

// Requests are listed if arrivals send more than one, with their beats.
func TestRequests(t *testing.T) {
	beats := []load.Request{{Name: "often"}, {Name: "rarely", Beat: &load.Beat{Every: 5, Burst: 2, Count: 9}}}
	for name, tt := range map[string]struct {
		profile load.Profile
		want    string
	}{
		"one":             {load.Profile{Requests: beats[:1], Phases: []load.Phase{{Rate: 1, Each: true}}}, ""},
		"one of several":  {load.Profile{Requests: beats, Phases: []load.Phase{{Rate: 1}}}, ""},
		"users":           {load.Profile{Requests: beats, Phases: []load.Phase{{Users: 1, Each: true}}}, ""},
		"each of several": {load.Profile{Requests: beats, Phases: []load.Phase{{Rate: 1}, {Rate: 1, Each: true}}}, "REQUEST ARRIVALS BURST ENDS AFTER often each 1 <none> rarely every 5 2 9 times"},
	} {
		var out strings.Builder
		if err := requests(&out, &tt.profile); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(strings.Fields(out.String()), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
