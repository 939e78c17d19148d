package explore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// searchOptions are those of `search`.
type searchOptions struct {
	common
	slo      requirements
	phase    string
	load     height
	budget   int
	types    []string
	targets  []string
	lasts    unit.Duration
	warmUp   unit.Duration
	duration unit.Duration
	state    string
	out      string
	force    bool
	// made says that out was not there before.
	made bool
}

// NewSearch is the command `search`.
func NewSearch(streams cli.Streams) *cobra.Command {
	o := &searchOptions{
		common: common{streams: streams},
		lasts:  unit.Duration(8 * time.Second), warmUp: unit.Duration(5 * time.Second), duration: unit.Duration(20 * time.Second),
	}
	var types []string
	for _, t := range search.SearchedTypes() {
		types = append(types, string(t))
	}
	cmd := &cobra.Command{
		Use:   "search (EXPERIMENT | -f FILE)",
		Short: "Find the smallest faults, and pairs of them, that break a system, in virtual time",
		Long: `Find the smallest faults that break the requirements of --slo, by many runs in virtual time.

Each type of fault is tried at each service, or at each pair of caller and callee, in up to four strengths.
The load is steady, as high as the highest phase of the file. The fault begins after the warm-up and acts for
--lasts; --duration from its beginning on is judged.

Half of the budget goes to the strongest faults: all are played, the better half is given up, and so on
(successive halving: Karnin, Koren, Somekh 2013). Of the worst, the weakest strength is found that breaks the
requirements; then pairs are played of faults that break nothing alone. Whatever breaks is played again with seeds
that had no part in finding it, and is a finding only if it breaks there, too.

With --out, each finding is written as an experiment, which 'run' plays for real. With --state, what was
played is kept in a file, with which the same search goes on.`,
		Example: `  kubectl microsim search shop --slo 'errors < 1%' --slo 'p99 < 500ms' --budget 200
  kubectl microsim search -f experiment.yaml --slo 'errors < 5%' --types latency,net-loss --targets cart,db
  kubectl microsim search shop --slo 'errors < 1%' --budget 1000 --state search.json --out findings/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.validate(args); err != nil {
				return cli.Usage(cmd, err)
			}
			return o.run(cmd, args)
		},
	}
	o.addFlags(cmd)
	o.slo.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.phase, "phase", "", "the phase whose load is put on the system (default the highest)")
	flags.Var(&o.load, "load", "how high the load is, in place of the file's: requests per second, or users")
	flags.IntVar(&o.budget, "budget", 200, "how many runs are made at most")
	flags.StringSliceVar(&o.types, "types", types, "the types of faults that are tried")
	flags.StringSliceVar(&o.targets, "targets", nil, "the services that are broken, or called over a broken network (default all)")
	flags.Var(length{&o.lasts, unit.Duration(8 * time.Millisecond)}, "lasts", "how long a fault acts; those whose strength is their length, at most")
	flags.Var(length{&o.warmUp, 0}, "warm-up", "how long the load lasts before the fault begins")
	flags.Var(length{&o.duration, unit.Duration(2 * time.Second)}, "duration", "how long is judged, from the beginning of the fault")
	flags.StringVar(&o.state, "state", "", "keep what was played in this file, and go on from it")
	flags.StringVar(&o.out, "out", "", "directory for the findings: an experiment each, and findings.json")
	flags.BoolVar(&o.force, "force", false, "overwrite findings that are in --out already")
	return cmd
}

func (o *searchOptions) validate(args []string) error {
	if err := errors.Join(o.common.validate(args), o.slo.validate()); err != nil {
		return err
	}
	switch {
	case o.budget < search.MinBudget || o.budget > 1_000_000:
		return fmt.Errorf("--budget %d is not possible: write %d, with which something can be found and confirmed, to 1000000", o.budget, search.MinBudget)
	case o.lasts > o.duration:
		return fmt.Errorf("--lasts %s is longer than --duration %s, which is judged from the beginning of the fault: lengthen --duration", o.lasts, o.duration)
	case o.force && o.out == "":
		return errors.New("--force overwrites the findings of --out: write --out, or leave it out")
	case len(o.types) == 0:
		return errors.New("--types is empty: name one, such as latency")
	}
	var known []string
	for _, t := range search.SearchedTypes() {
		known = append(known, string(t))
	}
	for i, t := range o.types {
		if !slices.Contains(known, t) {
			return fmt.Errorf("--types: %q cannot be searched (%s)", t, problem.DidYouMean(t, known, "known are "+strings.Join(known, ", ")))
		}
		if slices.Contains(o.types[:i], t) {
			return fmt.Errorf("--types: %s is named twice", t)
		}
	}
	return o.checkOut()
}

// checkOut says, before anything is played, whether the findings can be written, and makes
// their directory.
func (o *searchOptions) checkOut() error {
	if o.out == "" {
		return nil
	}
	entries, err := os.ReadDir(o.out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.made = true
	case err != nil:
		return fmt.Errorf("--out %q cannot be read: %w", o.out, err)
	case len(entries) > 0 && !o.force:
		return fmt.Errorf("--out %q is not empty: name a new directory, or use --force", o.out)
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return fmt.Errorf("--out %q cannot be made: %w", o.out, err)
	}
	return nil
}

func (o *searchOptions) run(cmd *cobra.Command, args []string) error {
	if o.made {
		defer func() { _ = os.Remove(o.out) }() // it stays if there is something in it
	}
	e, err := o.read(cmd, args)
	if err != nil {
		return err
	}
	hunt, err := o.hunt(&e)
	if err != nil {
		return err
	}
	progress := newLine(o.streams.Err)
	player, err := o.newPlayer(cmd.Context(), progress)
	if err != nil {
		return err
	}
	if hunt.Known, err = o.remember(hunt, &e, player.costs); err != nil {
		return err
	}
	hunt.Learnt = func() error { return o.keep(hunt.Known) }
	hunt.Said = progress.say
	found, err := hunt.Find(e, player.playAll)
	progress.close()
	found.Target, found.Costs, found.Command = virtual.Target, player.costs, o.command(cmd, e.Seed, args)
	var broken *search.BrokenError
	if errors.As(err, &broken) || err != nil && found.Runs == 0 {
		return fmt.Errorf("searching experiment %q: %w", e.Name, err)
	}
	err = errors.Join(err, o.write(found))
	return errors.Join(err, o.print(found, func() error {
		out, style := cli.Styled(o.streams.Out)
		return report.Faults(out, found, style)
	}))
}

// hunt is the search that the flags ask for.
func (o *searchOptions) hunt(e *experiment.Experiment) (*search.Hunt, error) {
	required, err := o.slo.of(&o.common, e)
	if err != nil {
		return nil, err
	}
	phase, err := search.Template(e.Load, o.phase)
	if err != nil {
		return nil, err
	}
	if o.phase == "" && len(e.Load.Phases) > 1 {
		o.note("the load is that of phase %q; --phase names another", phase.Name)
	}
	if len(e.Faults) > 0 {
		o.note("the faults of the experiment do not act")
	}
	h := &search.Hunt{
		Requirements: required, Budget: o.budget, Load: search.Height(phase),
		Steady: search.Steady{Phase: phase, WarmUp: o.warmUp.Std(), Duration: o.duration.Std()},
	}
	if o.load > 0 {
		h.Load = float64(o.load)
	}
	played := h.Steady.Experiment(*e, h.Load, nil)
	if err := played.Validate().Err(); err != nil {
		return nil, fmt.Errorf("experiment %q cannot be played under a steady load: %w", e.Name, err)
	}
	if err := o.checkTargets(e); err != nil {
		return nil, err
	}
	var types []fault.Type
	for _, t := range o.types {
		types = append(types, fault.Type(t))
	}
	h.Arms = search.Arms(e, types, o.targets, o.lasts.Std(), func(f *fault.Fault) bool { return virtual.CanInject(e, f) == nil })
	if len(h.Arms) == 0 {
		return nil, fmt.Errorf("experiment %q has nothing at which %s could act: take other --types or --targets", e.Name, strings.Join(o.types, ", "))
	}
	return h, nil
}

func (o *searchOptions) checkTargets(e *experiment.Experiment) error {
	var names []string
	for i := range e.System.Services {
		names = append(names, e.System.Services[i].Name)
	}
	for _, t := range o.targets {
		if !slices.Contains(names, t) {
			return fmt.Errorf("--targets: %q is not a service of the system (%s)", t, problem.DidYouMean(t, names, "known are "+strings.Join(names, ", ")))
		}
	}
	return nil
}

// of names what runs of a search depend on, so that those of another are not taken
// for them.
func of(h *search.Hunt, e *experiment.Experiment, costs *result.Costs) (string, error) {
	played := h.Steady.Experiment(*e, h.Load, nil)
	text, err := spec.FormatExperiment(&played)
	if err != nil {
		return "", err
	}
	var slo []string
	for _, r := range h.Requirements {
		slo = append(slo, r.Text())
	}
	if costs != nil && costs.Of != result.UsualCosts {
		slo = append(slo, costs.Of)
	}
	sum := sha256.Sum256([]byte(string(text) + strings.Join(slo, "\n")))
	return hex.EncodeToString(sum[:8]), nil
}

// remember reads what was played before.
func (o *searchOptions) remember(h *search.Hunt, e *experiment.Experiment, costs *result.Costs) (*search.Known, error) {
	id, err := of(h, e, costs)
	if err != nil {
		return nil, err
	}
	fresh := &search.Known{Of: id, Runs: map[string][]search.Reading{}}
	if o.state == "" {
		return fresh, nil
	}
	data, err := os.ReadFile(o.state)
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, checkFile("--state", o.state, false)
	}
	if err != nil {
		return nil, fmt.Errorf("reading --state: %w", err)
	}
	known := &search.Known{}
	if err := json.Unmarshal(data, known); err != nil || known.Runs == nil {
		return nil, fmt.Errorf("--state %q was not written by a search: name another file", o.state)
	}
	if known.Of != id {
		return nil, fmt.Errorf("--state %q is of another search: the experiment, its load, its lengths, the requirements or the calibration were others; name another file", o.state)
	}
	for key, readings := range known.Runs {
		if len(readings) != len(h.Requirements) {
			return nil, fmt.Errorf("--state %q is damaged at %q: remove it", o.state, key)
		}
	}
	o.note("%d runs are known from %s", len(known.Runs), o.state)
	return known, nil
}

func (o *searchOptions) keep(known *search.Known) error {
	if o.state == "" {
		return nil
	}
	return writeFile(o.state, func(w io.Writer) error { return json.NewEncoder(w).Encode(known) })
}

// write writes each finding as an experiment, and the document beside them.
func (o *searchOptions) write(found *search.FaultSearch) error {
	if o.out == "" {
		return nil
	}
	for i, e := range found.Experiments() {
		f := &found.Findings[i]
		e.Name = fmt.Sprintf("%s-finding-%d", e.Name, i+1)
		text, err := spec.FormatExperiment(&e)
		if err != nil {
			return err
		}
		f.File = filepath.Join(o.out, fmt.Sprintf("finding-%d.yaml", i+1))
		head := fmt.Sprintf("# %s breaks %s\n", strings.Join(f.Words, " and "), requirementTexts(found))
		if err := writeFile(f.File, func(w io.Writer) error { _, err := io.WriteString(w, head+string(text)); return err }); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(o.out, "findings.json"), found.Encode); err != nil {
		return err
	}
	fmt.Fprintf(o.streams.Err, "The findings are in %s\n", o.out)
	return nil
}

func requirementTexts(found *search.FaultSearch) string {
	var texts []string
	for _, r := range found.Requirements {
		texts = append(texts, search.Requirement{Check: r}.Text())
	}
	return strings.Join(texts, ", ")
}
