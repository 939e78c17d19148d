package load

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// described reads flags, and what the load is without them.
func flags(t *testing.T, args ...string) *described {
	t.Helper()
	d := &described{}
	cmd := &cobra.Command{}
	d.AddFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return d
}

// Flags that describe a load become that load.
func TestFlagsBecomeALoad(t *testing.T) {
	minute, second := unit.Duration(time.Minute), unit.Duration(time.Second)
	for name, tt := range map[string]struct {
		args  []string
		check func(p *load.Profile) bool
	}{
		"an open loop is even": {[]string{"--rate", "5", "--duration", "1min"}, func(p *load.Profile) bool {
			at := p.Phases[0]
			return at.Rate == 5 && at.RateTo == nil && at.Arrivals == load.Constant && at.Burst == 1 && at.Users == 0 && at.Duration == minute && !at.Each && len(p.Requests) == 0
		}},
		"a ramp, random, in bursts": {[]string{"--rate", "5", "--to", "0", "--poisson", "--burst", "3", "--duration", "1min", "--count", "9"}, func(p *load.Profile) bool {
			at := p.Phases[0]
			return at.RateTo != nil && *at.RateTo == 0 && at.Arrivals == load.Poisson && at.Burst == 3 && at.Count == 9
		}},
		"a closed loop": {[]string{"--users", "4", "--think", "1s"}, func(p *load.Profile) bool {
			at := p.Phases[0]
			return at.Users == 4 && at.Rate == 0 && at.Think.Fixed == second && at.Every == 0
		}},
		"VECROsim's loop": {[]string{"--delay", "1s"}, func(p *load.Profile) bool {
			return p.Phases[0].Users == 1 && p.Phases[0].Every == second && p.NoKeepAlive
		}},
		"VECROsim's loop with connections": {[]string{"--delay", "1s", "--users", "3", "--no-keep-alive=false"}, func(p *load.Profile) bool {
			return p.Phases[0].Users == 3 && p.Phases[0].Every == second && !p.NoKeepAlive
		}},
		"users of each URL": {[]string{"--users", "2", "--url", "http://a/x http://a/y"}, func(p *load.Profile) bool {
			return p.Phases[0].Users == 4 && p.Phases[0].Each && len(p.Requests) == 2 && p.Requests[0].URL == "http://a/x" && p.Requests[0].Name == "/x" && p.Requests[1].Name == "/y"
		}},
		"URLs of several servers": {[]string{"--rate", "2", "--url", "http://ann:secret@a/x http://b/x"}, func(p *load.Profile) bool {
			return p.Requests[0].Name == "http://ann:xxxxx@a/x" && p.Requests[1].Name == "http://b/x"
		}},
		"VECROsim's method": {[]string{"--delay", "1s", "--url", "http://a/"}, func(p *load.Profile) bool {
			return p.Requests[0].Method == http.MethodPost
		}},
		"another method than VECROsim's": {[]string{"--delay", "1s", "--url", "http://a/", "--method", "PUT"}, func(p *load.Profile) bool {
			return p.Requests[0].Method == http.MethodPut
		}},
		"a body, whose method the load chooses": {[]string{"--rate", "1", "--service", "web", "--endpoint", "/pay", "--body", "x"}, func(p *load.Profile) bool {
			r := p.Requests[0]
			return len(p.Requests) == 1 && r.Service == "web" && r.Endpoint == "/pay" && r.Body == "x" && r.Method == ""
		}},
		"a timeout": {[]string{"--rate", "1", "--timeout", "2s"}, func(p *load.Profile) bool { return p.Timeout == 2*second }},
		"none":      {[]string{"--rate", "1"}, func(p *load.Profile) bool { return p.Timeout == 15*second }},
	} {
		t.Run(name, func(t *testing.T) {
			d := flags(t, tt.args...)
			if err := d.validate(false); err != nil {
				t.Fatal(err)
			}
			p := d.profile()
			if err := p.Validate().Err(); err != nil || !tt.check(&p) {
				t.Errorf("%q: the load is %+v, %v", tt.args, p, err)
			}
		})
	}
}

// Flags that contradict each other, or have no effect, are refused with the way out.
func TestFlagsThatDescribeNoLoad(t *testing.T) {
	for want, args := range map[string]string{
		"--rate for an open loop, or --users for a closed one":                  "--duration 1s",
		"--rate is an open loop, and --users a closed one: keep one":            "--rate 1 --users 1",
		"--rate is an open loop, and --delay a closed one: keep one":            "--rate 1 --delay 1s",
		"--rate is an open loop, and --users and --delay a closed one":          "--rate 1 --users 1 --delay 1s",
		"--think and --every both say when a user sends again":                  "--users 1 --think 1s --every 1s",
		"--every and --delay both say when a user sends again":                  "--users 1 --every 1s --delay 1s",
		"--poisson are of an open loop":                                         "--users 1 --poisson",
		"--think are of a closed loop":                                          "--rate 1 --think 1s",
		"--to is reached at the end of the load: write --duration":              "--rate 1 --to 2",
		"--rate 0 sends nothing":                                                "--rate 0",
		`--burst "0" is not possible`:                                           "--rate 1 --burst 0",
		`--users "-1" is not possible`:                                          "--users=-1",
		`--count "0" is not possible`:                                           "--rate 1 --count 0",
		`--timeout "0s" is not possible`:                                        "--rate 1 --timeout 0s",
		"--service name a service of a system, and --url names what to send to": "--rate 1 --url http://a/ --service web",
		"--endpoint need a service: name one with --service":                    "--rate 1 --endpoint /x",
		"--method need a service":                                               "--rate 1 --method PUT",
		"--url names no URL":                                                    "--rate 1 --url=",
		"--url: ":                                                               "--rate 1 --url ftp://a/",
	} {
		var words []string
		if args != "" {
			words = strings.Fields(args)
		}
		if err := flags(t, words...).validate(false); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), " is of", " are of"), want) && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, want %q", args, err, want)
		}
	}
	if err := flags(t, "--rate", "1", "--url", "http://a/").validate(true); err == nil || !strings.Contains(err.Error(), "--url and --system are both given") {
		t.Errorf("a URL and a system: %v", err)
	}
}

// Beside a file, flags say how long its load lasts and how requests are sent; what the
// file describes is the file's.
func TestFlagsBesideAFile(t *testing.T) {
	for _, args := range []string{"--rate 1", "--users 1", "--to 2", "--burst 2", "--poisson", "--think 1s", "--every 1s", "--delay 1s", "--service web", "--endpoint /", "--method PUT", "--url http://a/", "--body x", "--duration 0s", "--count 0", "--timeout 0s"} {
		if err := flags(t, strings.Fields(args)...).validateBesideFile(); err == nil || !strings.Contains(err.Error(), strings.Fields(args)[0]) {
			t.Errorf("%s beside a file: %v", args, err)
		}
	}
	phase := load.Phase{Name: "only", Rate: 3, Duration: unit.Duration(time.Minute)}
	file := load.Profile{Requests: []load.Request{{URL: "http://a/x"}}, Phases: []load.Phase{phase}, NoKeepAlive: true, Timeout: unit.Duration(time.Second)}
	d := flags(t, "--duration", "6s", "--count", "7", "--timeout", "9s", "--no-keep-alive=false")
	if err := d.validateBesideFile(); err != nil {
		t.Fatal(err)
	}
	got, err := d.adjust(file)
	if err != nil {
		t.Fatal(err)
	}
	if at := got.Phases[0]; at.Duration.Seconds() != 6 || at.Count != 7 || at.Rate != 3 || got.Timeout.Seconds() != 9 || got.NoKeepAlive {
		t.Errorf("the load is %+v", got)
	}
	if at := file.Phases[0]; at.Duration != phase.Duration || at.Count != 0 {
		t.Errorf("the load of the file was changed: %+v", file.Phases[0])
	}
	if got, err := flags(t).adjust(file); err != nil || got.Timeout.Seconds() != 1 || !got.NoKeepAlive || got.Phases[0].Duration != phase.Duration {
		t.Errorf("without flags the load is %+v, %v", got, err)
	}
	file.Phases = []load.Phase{phase, phase}
	if _, err := d.adjust(file); err == nil || !strings.Contains(err.Error(), "--duration and --count changes the only phase of a load, but this one has 2") {
		t.Errorf("flags for two phases: %v", err)
	}
}

// Problems of a load are told of the flags that it comes from.
func TestFlagOf(t *testing.T) {
	for path, want := range map[string]string{
		"phases[0].rateTo": "--to", "phases[0].arrivals": "--poisson", "phases[0].rate": "--rate", "phases[0].think.fixed": "think.fixed", "requests[1].url": "--url",
		"requests[0].endpoint": "--endpoint", "tls.authority": "--insecure or --cacert", "timeout": "--timeout",
	} {
		if got := flagOf(path); got != want {
			t.Errorf("%q comes from %q, want %q", path, got, want)
		}
	}
}
