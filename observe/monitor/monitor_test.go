package monitor

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/policy"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

var usual = Options{Interval: time.Second, Objective: DefaultObjective, Burn: ShortBurn}

// shop has a service of each sort that rules tell apart.
func shop() *topology.System {
	call := topology.NewCall("cart")
	call.Breaker = &policy.Breaker{Failures: 3}
	web := topology.NewService("web", topology.Step{Call: &call})
	cart := topology.NewService("cart")
	shed, full, line := topology.NewService("shed"), topology.NewService("full"), topology.NewService("line")
	shed.Workers, shed.Shed = 4, &topology.Shed{Queue: 10}
	full.Workers, full.Shed = 4, &topology.Shed{}
	line.Workers = 3
	return &topology.System{Name: "shop", Services: []topology.Service{web, cart, shed, full, line}}
}

// find returns the rules of an alert.
func find(r *Rules, alert string) (found []Rule) {
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			if rule.Alert == alert {
				found = append(found, rule)
			}
		}
	}
	return found
}

// The thresholds and windows of the workbook, and the same shrunk to a minute.
func TestBurnsAreThoseOfTheWorkbook(t *testing.T) {
	for _, tt := range []struct {
		burn                                time.Duration
		fastLong, fastShort, slowLong, slow string
	}{
		{time.Hour, "[1h]", "[5m]", "[6h]", "[30m]"},
		{time.Minute, "[1m]", "[5s]", "[6m]", "[30s]"},
	} {
		o := usual
		o.Burn = tt.burn
		rules := RulesOf(shop(), o)
		for alert, want := range map[string][]string{"ErrorBudgetBurnFast": {tt.fastLong, tt.fastShort, "> 0.0144)"}, "ErrorBudgetBurnSlow": {tt.slowLong, tt.slow, "> 0.006)"}} {
			found := find(rules, alert)
			if len(found) != 1 {
				t.Fatalf("%d rules %s", len(found), alert)
			}
			for _, part := range want {
				if n := strings.Count(found[0].Expr, part); n != 2 {
					t.Errorf("%s with %v has %q %d times, want 2:\n%s", alert, tt.burn, part, n, found[0].Expr)
				}
			}
		}
	}
}

func TestRulesFollowTheBoundsOfServices(t *testing.T) {
	rules := RulesOf(shop(), usual)
	var busy, queued []string
	for _, r := range find(rules, WorkersSaturated) {
		busy = append(busy, r.Labels["service"]+r.Expr[strings.LastIndex(r.Expr, ")")+1:])
	}
	for _, r := range find(rules, QueueSaturated) {
		queued = append(queued, r.Labels["service"]+r.Expr[strings.LastIndex(r.Expr, ")")+1:])
	}
	if got := strings.Join(busy, ", "); got != "shed >= 4, full >= 4, line >= 3" {
		t.Errorf("alerts on workers: %s", got)
	}
	if got := strings.Join(queued, ", "); got != "shed >= 8, line >= 3" {
		t.Errorf("alerts on queues: %s", got)
	}
	if n := len(find(rules, ServiceDown)); n != 5 {
		t.Errorf("%d alerts on services that are away, want 5", n)
	}
	calm := shop()
	calm.Services = calm.Services[1:2]
	if len(find(RulesOf(calm, usual), BreakerOpen)) > 0 {
		t.Error("a system without breakers has an alert on them")
	}
}

// Every alert has labels of its own, since rules with equal names and labels overwrite
// each other.
func TestAlertsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range RulesOf(shop(), usual).Groups[0].Rules {
		key := r.Alert + " " + r.Labels["service"]
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("%s has no severity or no summary", key)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"usual", func(*Options) {}, ""},
		{"workbook", func(o *Options) { o.Burn, o.Interval = time.Hour, 15*time.Second }, ""},
		{"no time", func(o *Options) { o.Interval = time.Millisecond }, "too short"},
		{"too few samples", func(o *Options) { o.Interval = 5 * time.Second }, "write a window of 4m0s or more"},
		{"all", func(o *Options) { o.Objective = 1 }, "no error budget"},
		{"none", func(o *Options) { o.Objective = 0 }, "no error budget"},
		{"never", func(o *Options) { o.Objective = 0.9 }, "write an objective above 93.1%"},
	} {
		o := usual
		tt.change(&o)
		if err := o.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Names that are not quoted would end a selector.
func TestNamesAreQuoted(t *testing.T) {
	if got := (query{`a"b\`}).of("up"); got != `up{system="a\"b\\"}` {
		t.Errorf("%s", got)
	}
}

func TestFilesAreWellFormed(t *testing.T) {
	rules, err := RulesOf(shop(), usual).YAML()
	if err != nil {
		t.Fatal(err)
	}
	var read Rules
	if err := yaml.Unmarshal(rules, &read); err != nil || len(read.Groups) != 1 || len(read.Groups[0].Rules) != len(RulesOf(shop(), usual).Groups[0].Rules) {
		t.Errorf("%v: %s", err, rules)
	}
	config, err := Config(&url.URL{Scheme: "http", Host: "127.0.0.1:9", Path: "/sd"}, []string{"rules.yml"}, usual)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"scrape_interval: 1s", "honor_labels: true", "url: http://127.0.0.1:9/sd", "- rules.yml"} {
		if !strings.Contains(string(config), line) {
			t.Errorf("the configuration lacks %q:\n%s", line, config)
		}
	}
}

// Every panel names its queries, and no query has a metric that services do not have.
func TestDashboardsAskForWhatThereIs(t *testing.T) {
	known := []string{
		control.RequestsTotal, control.RequestDurationSeconds + "_bucket", control.CallsTotal, control.CallAttemptsTotal, control.CallDurationSeconds + "_bucket",
		control.RequestsDegradedTotal, control.FallbacksTotal, control.FaultActive, control.InflightRequests, control.QueueLength, control.HeldMemoryBytes,
		control.BreakerState, FaultActs,
	}
	metric := regexp.MustCompile(`microsim_[a-z_]+`)
	uids := map[string]bool{}
	for _, d := range Dashboards(shop(), usual) {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			UID    string `json:"uid"`
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
			Annotations struct {
				List []struct {
					Expr string `json:"expr"`
				} `json:"list"`
			} `json:"annotations"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			t.Fatal(err)
		}
		if uids[page.UID] || len(page.UID) > 40 || page.UID == "" {
			t.Errorf("%s has the uid %q", d.Name, page.UID)
		}
		uids[page.UID] = true
		n := len(page.Annotations.List)
		for _, p := range page.Panels {
			n += len(p.Targets)
			if p.Title == "" || len(p.Targets) == 0 {
				t.Errorf("%s has an empty panel %q", d.Name, p.Title)
			}
		}
		queries := d.Queries("10s", "web")
		if n != len(queries) || n == 0 {
			t.Errorf("%s has %d queries on its page, %d are told", d.Name, n, len(queries))
		}
		for _, q := range queries {
			for _, name := range metric.FindAllString(q, -1) {
				if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+name+" ") {
					t.Errorf("%s asks for %s, which nobody has", d.Name, name)
				}
			}
			if strings.Contains(q, "$") {
				t.Errorf("%s leaves a variable in %s", d.Name, q)
			}
		}
	}
}
