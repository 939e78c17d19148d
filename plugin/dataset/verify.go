package dataset

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/export/judge"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// judge judges a data set that there is.
func (o *exportOptions) judge(dir string) error {
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	v, err := verify(dir, m.Name)
	if err != nil {
		return err
	}
	if o.output.Machine() {
		return o.output.Object(o.streams.Out, v)
	}
	tellVerification(o.streams, v)
	return nil
}

// verify judges a data set and writes the verdict into it.
func verify(dir, name string) (*judge.Verification, error) {
	v, err := judge.Judge(dir, name)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return v, replaceFile(filepath.Join(dir, judge.File), append(text, '\n'))
}

// tellVerification prints what a data set is worth; nothing for nil.
func tellVerification(streams cli.Streams, v *judge.Verification) {
	if v == nil {
		return
	}
	out := streams.Out
	fmt.Fprintf(out, "%s is %s: %s, %d with an effect on the clients, %d normal\n", cli.Clean(v.Name), v.Difficulty, unit.Count(v.Cases, "case"), v.Cases-len(v.WithoutEffect), v.Normal)
	if len(v.WithoutEffect) > 0 {
		fmt.Fprintf(out, "without an effect: %s\n", some(v.WithoutEffect))
	}
	if n := v.NormalRuns; n.Cases > 0 {
		fmt.Fprintf(out, "normal runs that do not look normal: %d of %d %s\n", len(n.Changed), n.Cases, some(n.Changed))
	}
	fmt.Fprintln(out)
	rows := [][]string{}
	for _, s := range v.EffectiveScores {
		rows = append(rows, []string{
			s.Rule, percent(s.Top1), percent(s.Top3), percent(s.Avg5), percent(s.ChanceAvg5), fmt.Sprintf("%.1f times", s.Lift),
		})
	}
	if len(rows) > 0 {
		_ = cli.PrintTable(out, []string{"SIMPLE RULE", "TOP@1", "TOP@3", "AVG@5", "AVG@5 BY CHANCE", "LIFT"}, rows) // the writer keeps errors
		fmt.Fprintln(out)
	}
	rows = rows[:0]
	for _, l := range v.Leaks {
		word := "no"
		if l.Leaks {
			word = "yes"
		}
		rows = append(rows, []string{l.Rule, percent(l.Top1), percent(l.Low) + " to " + percent(l.High), percent(l.Chance), word})
	}
	if len(rows) > 0 {
		_ = cli.PrintTable(out, []string{"GIVES CAUSES AWAY", "TOP@1", "INTERVAL", "BY CHANCE", "LEAKS"}, rows) // as above
		fmt.Fprintln(out)
	}
	tellEffects(streams, v)
	for _, note := range v.Notes {
		fmt.Fprintf(streams.Err, "note: %s\n", note)
	}
}

// tellEffects prints how far each type of fault moved each metric of its service.
func tellEffects(streams cli.Streams, v *judge.Verification) {
	var types, metrics []string
	delta := map[[2]string]string{}
	for _, e := range v.Effects {
		if !slices.Contains(types, e.Type) {
			types = append(types, e.Type)
		}
		if !slices.Contains(metrics, e.Metric) {
			metrics = append(metrics, e.Metric)
		}
		delta[[2]string{e.Type, e.Metric}] = fmt.Sprintf("%+.1f", e.Delta)
	}
	if len(types) == 0 {
		return
	}
	slices.Sort(metrics)
	header := []string{"DEVIATIONS BY"}
	for _, m := range metrics {
		header = append(header, strings.ToUpper(m))
	}
	var rows [][]string
	for _, t := range types {
		row := []string{t}
		for _, m := range metrics {
			text, ok := delta[[2]string{t, m}]
			if !ok {
				text = "-"
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	_ = cli.PrintTable(streams.Out, header, rows) // the writer keeps errors
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", share*100) }

// some lists the first of many.
func some(list []string) string {
	const most = 10
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
}
