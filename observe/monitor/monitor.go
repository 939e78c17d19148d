// Package monitor makes, from a system, what Prometheus and Grafana need to watch it:
// alert rules, the configuration of a scraper, and dashboards. It is all data; nothing
// here connects to anything.
package monitor

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The labels that every series of a monitored system has, beside those of the service
// contract.
const (
	LabelSystem  = "system"
	LabelService = "service"
	LabelReplica = "replica"
)

// FaultActs is a series for each fault that acts on a system on this machine, whatever
// its type, with the labels system, id, type and target; its value is 1. Services know
// only of the faults inside them.
const FaultActs = "microsim_fault_acts"

// Options say how a system is watched.
type Options struct {
	// Interval is the time between two scrapes, and between two evaluations of the
	// rules.
	Interval time.Duration
	// Objective is the share of a service's requests that is to end well.
	Objective unit.Share
	// Burn is the long window of the fast alert on the error budget. All other times of
	// the rules follow from it, in the proportions of the workbook: see burns.
	Burn time.Duration
}

// The defaults of Options.
const (
	DefaultObjective = unit.Share(0.999)
	// DefaultBurn is the workbook's, whose budget lasts 30 days. ShortBurn has a sixtieth
	// of it, for systems that run for minutes: their budget lasts 12 hours.
	DefaultBurn = time.Hour
	ShortBurn   = time.Minute
)

// samplesInShortest is how many scrapes the shortest window has to hold: with fewer, a
// single late scrape leaves a rate without the two samples that it is made of.
const samplesInShortest = 4

// Validate says why a system cannot be watched like this.
func (o Options) Validate() error {
	switch {
	case o.Interval < 100*time.Millisecond:
		return fmt.Errorf("an interval of %v is too short: write 100ms or more", o.Interval)
	case o.Objective <= 0 || o.Objective >= 1:
		return fmt.Errorf("an objective of %s leaves no error budget that could be used up: write more than 0%% and less than 100%%", o.Objective)
	case o.short() < samplesInShortest*o.Interval:
		return fmt.Errorf("a burn window of %v with an interval of %v leaves windows of %v, which hold too few samples for a rate: write a window of %v or more, or a shorter interval",
			o.Burn, o.Interval, o.short(), 12*samplesInShortest*o.Interval)
	case o.highest() > 1:
		return fmt.Errorf("with an objective of %s, not even a service that answers nothing well uses up its error budget %g times as fast as allowed: write an objective above %.1f%%",
			o.Objective, fastBurn, 100*(1-1/fastBurn))
	}
	return nil
}

// The burn rates of the workbook's alerts that page somebody.
const (
	fastBurn = 14.4
	slowBurn = 6
)

// budget is the share of requests that may go wrong.
func (o Options) budget() float64 { return 1 - float64(o.Objective) }

// highest is the largest share of errors that a rule compares with.
func (o Options) highest() float64 { return fastBurn * o.budget() }

// short is the short window of the fast alert, and for how long other conditions have
// to last until they alert.
func (o Options) short() time.Duration { return o.Burn / 12 }

// A burn is an alert on the error budget: it fires while more than rate times the
// allowed share of requests has gone wrong in both windows. The long one keeps a short
// trouble from alerting, the short one ends the alert soon after the trouble.
type burn struct {
	name, severity string
	rate           float64
	long, short    time.Duration
}

// burns are the first two multiwindow, multi-burn-rate alerts of Google's SRE workbook
// (chapter 5, "Alerting on SLOs", table 5-8): 14.4 times over 1 h and 5 min, and 6 times
// over 6 h and 30 min, which are 2 % and 5 % of the budget of 30 days. With another Burn,
// the windows and the days shrink alike.
func (o Options) burns() []burn {
	return []burn{
		{"ErrorBudgetBurnFast", "page", fastBurn, o.Burn, o.short()},
		{"ErrorBudgetBurnSlow", "ticket", slowBurn, 6 * o.Burn, 6 * o.short()},
	}
}

// Span writes a time as PromQL has it.
func Span(d time.Duration) string { return model.Duration(d.Round(time.Millisecond)).String() }
