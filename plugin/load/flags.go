package load

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// described has the flags that describe a load. A flag counts as given if it is on
// the command line, whatever its value is.
type described struct {
	flags       *pflag.FlagSet
	service     string
	endpoint    string
	method      string
	urls        string
	body        string
	rate, to    float64
	poisson     bool
	burst       int
	users       int
	think       unit.Duration
	every       unit.Duration
	delay       unit.Duration
	duration    unit.Duration
	count       int
	timeout     unit.Duration
	noKeepAlive bool
	tls         cli.TLSFlags
	// certificates are the settings of the TLS flags; set by validate.
	certificates *load.TLS
}

// The flags of open loops, of closed loops, and of requests.
func openFlags() []string    { return []string{"to", "poisson", "burst"} }
func closedFlags() []string  { return []string{"think", "every", "delay"} }
func requestFlags() []string { return []string{"service", "endpoint", "method", "url", "body"} }

// AddFlags adds the flags to a command.
func (d *described) AddFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	d.flags = flags
	flags.StringVar(&d.service, "service", "", "the service to send to; without one each entry of the system alike")
	flags.StringVar(&d.endpoint, "endpoint", "", "the path to send to; without one the service's first")
	flags.StringVar(&d.method, "method", "", "HTTP method (default GET, or POST with --body)")
	flags.StringVar(&d.urls, "url", "", "URLs to send to instead of a system, separated by spaces, as seen from where the load is generated")
	flags.StringVar(&d.body, "body", "", "body of each request")
	flags.Float64Var(&d.rate, "rate", 0, "open loop: requests per second")
	flags.Float64Var(&d.to, "to", 0, "open loop: rate to reach at the end")
	flags.BoolVar(&d.poisson, "poisson", false, "open loop: random arrivals instead of even ones")
	flags.IntVar(&d.burst, "burst", 1, "open loop: requests that each arrival sends at once")
	flags.IntVar(&d.users, "users", 0, "closed loop: users; with --url as many for each URL")
	flags.Var(cli.NewDuration(&d.think), "think", "closed loop: how long a user waits after an answer")
	flags.Var(cli.NewDuration(&d.every), "every", "closed loop: beat of each user; one that finds the user waiting is skipped")
	flags.Var(cli.NewDuration(&d.delay), "delay", "closed loop, as VECROsim's: --every, with POST, a connection for each request, and one user unless --users is given")
	flags.Var(cli.NewDuration(&d.duration), "duration", "how long; without it until Ctrl-C")
	flags.IntVar(&d.count, "count", 0, "stop after as many arrivals")
	flags.Var(cli.NewDuration(&d.timeout), "timeout", "how long to wait for an answer (default 15s)")
	flags.BoolVar(&d.noKeepAlive, "no-keep-alive", false, "open a connection for each request")
	d.tls.AddFlags(cmd)
	cli.CompleteFlag(cmd, "method", http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions)
}

// validate refuses flags that describe no load, or of which one has no effect
// beside the others.
func (d *described) validate(hasSystem bool) error {
	changed := d.flags.Changed
	open, closed := changed("rate"), changed("users") || changed("delay")
	switch {
	case open && closed:
		return fmt.Errorf("--rate is an open loop, and %s a closed one: keep one", strings.Join(cli.Given(d.flags, "users", "delay"), " and "))
	case !open && !closed:
		return errors.New("the load is not described: write --rate for an open loop, or --users for a closed one")
	case changed("url") && hasSystem:
		return errors.New("--url and --system are both given: keep one")
	}
	checks := []error{d.checkLoop(open), d.checkValues()}
	if changed("url") {
		checks = append(checks, cli.Refuse(d.flags, "name a service of a system, and --url names what to send to: keep one", "service", "endpoint"), d.checkURLs())
	} else if !changed("service") {
		checks = append(checks, cli.Refuse(d.flags, "need a service: name one with --service, or a server with --url", "endpoint", "method", "body"))
	}
	for _, err := range checks {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkLoop refuses flags of the other kind of loop.
func (d *described) checkLoop(open bool) error {
	changed := d.flags.Changed
	if !open {
		if changed("every") && changed("delay") || changed("think") && (changed("every") || changed("delay")) {
			given := cli.Given(d.flags, closedFlags()...)
			return fmt.Errorf("%s both say when a user sends again: keep one", strings.Join(given, " and "))
		}
		return cli.Refuse(d.flags, "are of an open loop: write --rate in place of --users, or leave them out", openFlags()...)
	}
	if changed("to") && !changed("duration") {
		return errors.New("--to is reached at the end of the load: write --duration")
	}
	if d.rate == 0 && !changed("to") {
		return errors.New("--rate 0 sends nothing: write one above 0, or the rate to reach with --to")
	}
	return cli.Refuse(d.flags, "are of a closed loop: write --users in place of --rate, or leave them out", closedFlags()...)
}

// checkValues refuses zeros, which would be taken for flags that are not given.
func (d *described) checkValues() error {
	for name, value := range map[string]float64{
		"burst": float64(d.burst), "users": float64(d.users), "count": float64(d.count), "duration": d.duration.Seconds(),
		"timeout": d.timeout.Seconds(), "every": d.every.Seconds(), "delay": d.delay.Seconds(),
	} {
		if d.flags.Changed(name) && value <= 0 {
			return fmt.Errorf("--%s %q is not possible: write a value above 0, or leave it out", name, d.flags.Lookup(name).Value)
		}
	}
	return nil
}

// checkURLs refuses URLs to which no request can be sent.
func (d *described) checkURLs() error {
	urls := strings.Fields(d.urls)
	if len(urls) == 0 {
		return errors.New("--url names no URL: write one such as http://127.0.0.1:8080/")
	}
	for _, text := range urls {
		if err := load.CheckURL(text); err != nil {
			return fmt.Errorf("--url: %w", err)
		}
	}
	return nil
}

// validateBesideFile refuses the flags that describe what the file already
// describes.
func (d *described) validateBesideFile() error {
	given := slices.Concat([]string{"rate", "users"}, openFlags(), closedFlags(), requestFlags())
	if err := cli.Refuse(d.flags, "and a file both describe the load: change the file, or describe all of the load by flags", given...); err != nil {
		return err
	}
	return d.checkValues()
}

// adjust applies, to the load of a file, the flags that are allowed beside one.
func (d *described) adjust(p load.Profile) (load.Profile, error) {
	changed := d.flags.Changed
	p.NoKeepAlive = p.NoKeepAlive || d.noKeepAlive
	if changed("no-keep-alive") && !d.noKeepAlive {
		p.NoKeepAlive = false
	}
	if changed("timeout") {
		p.Timeout = d.timeout
	}
	if d.certificates != nil {
		p.TLS = d.certificates
	}
	if ends := cli.Given(d.flags, "duration", "count"); len(ends) > 0 {
		if len(p.Phases) != 1 {
			return p, fmt.Errorf("%s changes the only phase of a load, but this one has %d: change the file", strings.Join(ends, " and "), len(p.Phases))
		}
		p.Phases = slices.Clone(p.Phases)
		if changed("duration") {
			p.Phases[0].Duration = d.duration
		}
		if changed("count") {
			p.Phases[0].Count = d.count
		}
	}
	p = p.WithDefaults()
	nameByPath(p.Requests)
	if err := p.Validate().Err(); err != nil {
		return p, fmt.Errorf("changing the load of the file as the flags say: %w", err)
	}
	return p, nil
}

// profile returns the load that the flags describe.
func (d *described) profile() load.Profile {
	changed := d.flags.Changed
	p := load.Profile{Timeout: d.timeout, NoKeepAlive: d.noKeepAlive, TLS: d.certificates}
	phase := load.Phase{Name: "load", Duration: d.duration, Count: d.count}
	if changed("rate") {
		phase.Rate, phase.Burst, phase.Arrivals = d.rate, d.burst, load.Constant
		if changed("to") {
			phase.RateTo = &d.to
		}
		if d.poisson {
			phase.Arrivals = load.Poisson
		}
	} else {
		phase.Users, phase.Think, phase.Every = d.users, dist.Fixed(d.think.Std()), d.every
	}
	request := load.Request{Service: d.service, Endpoint: d.endpoint, Method: d.method, Body: d.body, Weight: 1}
	if changed("delay") {
		// VECROsim's load generator always does so.
		phase.Every, p.NoKeepAlive = d.delay, !changed("no-keep-alive") || d.noKeepAlive
		if !changed("method") {
			request.Method = http.MethodPost
		}
		if !changed("users") {
			phase.Users = 1
		}
	}
	urls := strings.Fields(d.urls)
	for _, url := range urls {
		request.URL = url
		p.Requests = append(p.Requests, request)
	}
	if len(urls) > 0 {
		phase.Users *= len(urls)
		phase.Each = true
	} else if d.service != "" {
		p.Requests = []load.Request{request}
	}
	p.Phases = []load.Phase{phase}
	p = p.WithDefaults()
	nameByPath(p.Requests)
	return p
}

// nameByPath gives requests to URLs that have no name one by which they differ:
// their paths if all go to one server.
func nameByPath(requests []load.Request) {
	server := func(u *url.URL) string { return u.Scheme + "://" + u.Host }
	var parsed []*url.URL
	servers := map[string]bool{}
	for i := range requests {
		u, err := url.Parse(requests[i].URL)
		if requests[i].URL == "" || err != nil {
			u = nil
		} else {
			servers[server(u)] = true
		}
		parsed = append(parsed, u)
	}
	for i, u := range parsed {
		if u == nil || requests[i].Name != problem.CleanURL(requests[i].URL) {
			continue
		}
		if len(servers) == 1 {
			requests[i].Name = u.RequestURI()
		}
	}
}

// flagOf returns the flag from which a part of the load comes.
func flagOf(path string) string {
	path = strings.TrimPrefix(path, "phases[0].")
	if strings.HasPrefix(path, "tls") {
		return "--insecure or --cacert"
	}
	switch name := path[strings.LastIndex(path, ".")+1:]; name {
	case "rateTo":
		return "--to"
	case "arrivals":
		return "--poisson"
	case "rate", "burst", "users", "think", "every", "duration", "count", "timeout", "endpoint", "method", "body", "url", "service":
		return "--" + name
	}
	return path
}
