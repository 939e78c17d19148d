package experiment

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Bounds of an experiment's settings.
const (
	// MinWindow is the shortest Window, because clients are counted once in that
	// time. MaxTail is the longest Tail.
	MinWindow = unit.Duration(1e9)
	MaxTail   = unit.Duration(3600e9)
	// MaxVariants bounds the variants of an experiment, MaxSeeds the
	// repetitions of each.
	MaxVariants = 100
	MaxSeeds    = 1000
	// MaxTitle and MaxDoc bound the bytes of texts that reports print.
	MaxTitle = 200
	MaxDoc   = 16 << 10
)

// checkTexts checks the texts that reports print.
func (v *validator) checkTexts() {
	e := v.experiment
	if strings.ContainsFunc(e.Title, unicode.IsControl) || len(e.Title) > MaxTitle {
		v.problems.AddHint("title", fmt.Sprintf("write up to %d letters, and the rest into doc", MaxTitle), "a title is one line")
	}
	v.checkDoc("doc", e.Doc)
	for i := range e.Variants {
		v.checkDoc(problem.Index("variants", i)+".doc", e.Variants[i].Doc)
	}
}

func (v *validator) checkDoc(path, text string) {
	if len(text) > MaxDoc {
		v.problems.AddHint(path, fmt.Sprintf("write up to %d", MaxDoc), "a text of %d bytes is too long to be printed", len(text))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		v.problems.AddHint(path, "leave them out", "the text has control characters")
	}
}

// checkSpans checks the tail, the windows and the rank.
func (v *validator) checkSpans() {
	e := v.experiment
	if e.Tail < 0 || e.Tail > MaxTail {
		v.problems.AddHint("tail", "write a time up to "+MaxTail.String(), "a tail of %q is not possible", e.Tail)
	}
	if e.Window != 0 && e.Window < MinWindow {
		v.problems.AddHint("window", "write a second or more", "windows of %q are too short: clients are counted each second", e.Window)
	}
	if e.AbortWindow != 0 && e.AbortWindow < MinWindow {
		v.problems.AddHint("abortWindow", "write a second or more", "a window of %q is too short: clients are counted each second", e.AbortWindow)
	}
	if e.Rank != (Rank{}) {
		v.checkRank()
	}
}

// checkRank refuses a rank whose figure no check of the same subject could have.
func (v *validator) checkRank() {
	rank := v.experiment.Rank
	if rank.Better != "" && rank.Better != Higher && rank.Better != Lower {
		v.problems.AddHint("rank.better", "write higher or lower", "%q says nothing about values", rank.Better)
	}
	if rank.Metric == NoRank {
		if rank != (Rank{Metric: NoRank}) {
			v.problems.AddHint("rank.metric", "leave the other fields out, or name a figure", "nothing is ranked")
		}
		return
	}
	condition, err := rank.Condition()
	if err != nil {
		var names []string
		for _, m := range Metrics() {
			names = append(names, string(m))
		}
		v.problems.AddHint("rank.metric", problem.DidYouMean(string(rank.Metric), names, "known are "+metricNames()), "%q is not a figure", rank.Metric)
		return
	}
	check := Check{Expr: string(rank.Metric), Service: rank.Service, From: rank.From, Phase: rank.Phase}
	if hint := check.misfit(condition); hint != "" {
		v.problems.AddHint("rank.metric", hint, "%s cannot be ranked for %s", rank.Metric, check.Subject())
	}
	v.checkSubject("rank", check)
	v.checkPhase("rank", rank.Phase)
}

// checkAborts checks the conditions that are judged during the run.
func (v *validator) checkAborts() {
	v.checkChecks("abortOn", v.experiment.AbortOn)
	for i, c := range v.experiment.AbortOn {
		path := problem.Index("abortOn", i)
		switch condition, err := ParseCheck(c.Expr); {
		case err != nil:
		case condition.Metric.IsAboutAlerts():
			v.problems.AddHint(path+".check", "use a figure of requests, such as errors > 50%", "what alerts did is known at the end of the run only")
		case condition.Metric.isSpan():
			v.problems.AddHint(path+".check", "use a figure of requests, such as errors > 50%", "%s is known at the end of the run only", condition.Metric)
		case condition.Metric == Offered:
			v.problems.AddHint(path+".check", "use rate, or make it a check", "a request is counted when it ends, so what was offered is known at the end of the run only")
		}
		if c.Phase != "" {
			v.problems.AddHint(path+".phase", "leave it out: the condition is judged all the time", "a condition that ends the run has no phase")
		}
	}
}

// validateVariants returns every mistake in the variants.
func (e *Experiment) validateVariants() (problems problem.List) {
	if len(e.Variants) > MaxVariants {
		problems.AddHint("variants", "leave some out", "%d variants are more than the %d possible", len(e.Variants), MaxVariants)
		return problems
	}
	first := map[string]int{}
	for i := range e.Variants {
		v := &e.Variants[i]
		path := problem.Index("variants", i)
		if !isVariantName(v.Name) {
			problems.AddHint(path+".name", "use up to 63 letters, digits, dots, plus signs, underscores and hyphens", "%q cannot name a variant", v.Name)
		}
		if ending := recordEnding(v.Name); ending != "" {
			problems.AddHint(path+".name", "leave "+ending+" out", "variant %q is named like a file, but names a directory of results", v.Name)
		}
		// Some file systems ignore the case of letters.
		key := strings.ToLower(v.Name)
		if j, dup := first[key]; dup {
			problems.AddHint(path+".name", "give each variant a name of its own; upper and lower case do not differ", "variant %q is already described at variants[%d]", v.Name, j)
			continue
		}
		first[key] = i
		applied, mistakes := e.Apply(*v)
		for j, p := range v.Set {
			if p.Timeout != nil {
				checkTimeout(&mistakes, problem.Index("set", j)+".timeout", *p.Timeout, &applied)
			}
		}
		if len(mistakes) == 0 {
			mistakes = ofVariant(e, v, applied.Validate())
		}
		problems.Under(path, mistakes)
	}
	return problems
}

// ofVariant moves the problems of an applied variant to the place that causes them:
// to the variant's own load and checks or, for problems of the patched system, to
// the patches as a whole.
func ofVariant(e *Experiment, v *Variant, found problem.List) (problems problem.List) {
	for _, p := range found {
		switch place, index := splitIndex(p.Path); {
		case v.Load != nil && (p.Path == "load" || strings.HasPrefix(p.Path, "load")):
		case place == "alerts" && v.Alerts != nil: // its own
		case place == "checks" && index >= len(e.Checks):
			rest := p.Path[strings.Index(p.Path, "]")+1:]
			p.Path = problem.Index("checks", index-len(e.Checks)) + rest
		case len(v.Set) > 0 && strings.HasPrefix(p.Path, "system"):
			p.Message, p.Path = p.Path+": "+p.Message, "set"
		default:
			p.Message, p.Path = p.Path+": "+p.Message, ""
		}
		problems = append(problems, p)
	}
	return problems
}

// splitIndex splits checks[12].phase into checks and 12; the index is -1 if there
// is none.
func splitIndex(path string) (name string, index int) {
	name, rest, ok := strings.Cut(path, "[")
	if !ok {
		return path, -1
	}
	for _, digit := range rest {
		if digit < '0' || digit > '9' {
			break
		}
		index = 10*index + int(digit-'0')
	}
	return name, index
}

// recordEnding returns the ending of a name if files in a directory of results have
// it. No variant's name may have such an ending, so that its directory never has
// the name of such a file.
func recordEnding(name string) string {
	endings := []string{".json", ".jsonl", ".csv", ".yaml", ".yml", ".html"}
	for _, ending := range endings {
		if strings.HasSuffix(strings.ToLower(name), ending) {
			return ending
		}
	}
	return ""
}

// isVariantName reports whether a name is safe as the name of a directory.
func isVariantName(name string) bool {
	if name == "" || len(name) > 63 || name[0] == '.' || name[0] == '-' {
		return false
	}
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if digit := r >= '0' && r <= '9'; !letter && !digit && !strings.ContainsRune("+-_.", r) {
			return false
		}
	}
	return true
}

// checkTimeouts refuses timeouts of calls that the run cannot reach.
func (v *validator) checkTimeouts() {
	e := v.experiment
	for i := range e.System.Services {
		for j := range e.System.Services[i].Endpoints {
			path := problem.Index("system.services", i) + "." + problem.Index("endpoints", j)
			v.checkStepTimeouts(path+".steps", e.System.Services[i].Endpoints[j].Steps)
		}
	}
}

func (v *validator) checkStepTimeouts(path string, steps []topology.Step) {
	for i := range steps {
		if c := steps[i].Call; c != nil {
			checkTimeout(&v.problems, problem.Index(path, i)+".call.timeout", c.Timeout, v.experiment)
		}
		v.checkStepTimeouts(problem.Index(path, i)+".parallel", steps[i].Parallel)
	}
}

// checkTimeout refuses a timeout that is longer than the run.
func checkTimeout(problems *problem.List, path string, timeout unit.Duration, e *Experiment) {
	if _, bounded := Length(e.Load); !bounded || timeout.Std() <= e.Longest() {
		return
	}
	problems.AddHint(path, "shorten it, or lengthen the load or the tail", "a timeout of %q is never reached: the run takes %s at most", timeout, unit.Duration(e.Longest()))
}

// Longest returns the longest time that a run may take by its plan: load and tail.
func (e *Experiment) Longest() time.Duration {
	length, _ := Length(e.Load)
	return length + e.Tail.Std()
}
