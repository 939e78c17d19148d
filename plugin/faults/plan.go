package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/cluster/faults"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// plan prints what the fault would do. If it would break foreign pods, plan asks
// whether to go on.
func (o *addOptions) plan(ctx context.Context, at injector, id string, f fault.Fault) error {
	p, plans := at.(planner)
	if !plans {
		return errors.New("--dry-run is for faults on clusters: leave it out with --on local")
	}
	effects, err := p.Plan(ctx, id, f, o.until())
	if err != nil {
		return err
	}
	out := o.streams.Err
	if o.dryRun {
		out = o.streams.Out
	}
	if err := printEffects(out, effects); err != nil || o.dryRun || o.yes {
		return err
	}
	return goOn(o.streams)
}

// printEffects prints exactly which pods the fault hits, and how.
func printEffects(w io.Writer, effects []faults.Effect) error {
	if len(effects) == 0 {
		fmt.Fprintln(w, "No pod would be hit.")
		return nil
	}
	var rows [][]string
	for i := range effects {
		e := &effects[i]
		node := e.Node
		if e.Waits {
			node += " (does not run)"
		}
		rows = append(rows, []string{e.Namespace + "/" + e.Pod, strings.TrimSpace(node), describeRule(e)})
	}
	return cli.PrintTable(w, []string{"POD", "NODE", "RULE"}, rows)
}

// describeRule says what happens to a pod: the type with its parameters, and which
// packets it affects.
func describeRule(e *faults.Effect) string {
	f := &e.Fault
	text := string(f.Fault.Type) + describeArgs(&f.Fault)
	if entry, _ := fault.Lookup(f.Fault.Type); entry.Layer != fault.OnNetwork {
		return text
	}
	switch f.Fault.EffectiveDirection() {
	case fault.ToTarget:
		text += ", arriving packets"
	case fault.FromTarget:
		text += ", leaving packets"
	default:
		text += ", packets both ways"
	}
	switch {
	case len(f.Peers) > 0:
		text += ", peers " + strings.Join(f.Peers, " ")
	case f.Only:
		text += ", no peers at the moment"
	default:
		text += ", all peers"
	}
	if len(f.Exempt) > 0 {
		text += ", except " + strings.Join(f.Exempt, " ")
	}
	return text
}

// describeArgs lists the parameters of a fault as its flags.
func describeArgs(f *fault.Fault) string {
	a := &f.Args
	var text strings.Builder
	for _, arg := range []struct {
		name string
		is   bool
		v    any
	}{
		{"delay", !a.Delay.IsZero(), a.Delay}, {"jitter", a.Jitter != 0, a.Jitter}, {"percent", a.Percent != 0, a.Percent}, {"correlation", a.Correlation != 0, a.Correlation},
		{"rate", a.Rate != 0, a.Rate}, {"size", a.Size != 0, a.Size}, {"cores", a.Cores != 0, a.Cores}, {"load", a.Load != 0, a.Load}, {"method", a.Method != "", a.Method},
		{"status", a.Status != 0, a.Status}, {"hold", a.Hold != 0, a.Hold}, {"pattern", a.Pattern != "", strconv.Quote(a.Pattern)}, {"with", a.With != "", strconv.Quote(a.With)},
	} {
		if arg.is {
			fmt.Fprintf(&text, " %s=%v", arg.name, arg.v)
		}
	}
	return text.String()
}

// goOn asks the user whether to go on. Without a terminal it returns an error,
// because no user can answer.
func goOn(streams cli.Streams) error {
	in, ok := streams.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return errors.New("nobody can be asked whether to go on, as there is no terminal; write --yes to break these pods, or --dry-run to only see them")
	}
	fmt.Fprint(streams.Err, "Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return errors.New("nothing was changed, as the answer was not yes")
	}
	return nil
}
