package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The formats of --output that take a template.
const (
	jsonPath   = "jsonpath"
	goTemplate = "go-template"
)

// Output holds the flags that say how a command prints its data: as a table for
// people, or in a format for programs.
type Output struct {
	// Format is empty for the table, or one of the formats of AddFlags, with its
	// template if it takes one: jsonpath={.items[*].name}.
	Format string
	// NoHeaders leaves out the titles of the table.
	NoHeaders bool
	formats   []string
	flags     *pflag.FlagSet
}

// Templates lists the formats of objects: json and yaml print them whole, the
// others print parts of them by a template.
func Templates() []string { return []string{"json", "yaml", jsonPath, goTemplate} }

// AddFlags adds --output, which takes these formats.
func (o *Output) AddFlags(cmd *cobra.Command, formats ...string) {
	o.formats, o.flags = formats, cmd.Flags()
	var words, completions []string
	for _, f := range formats {
		if f == jsonPath || f == goTemplate {
			words, completions = append(words, f+"=TEMPLATE"), append(completions, f+"=")
			continue
		}
		words, completions = append(words, f), append(completions, f)
	}
	cmd.Flags().StringVarP(&o.Format, "output", "o", "", "output format: "+strings.Join(words, ", "))
	CompleteFlag(cmd, "output", completions...)
}

// AddNoHeaders adds --no-headers, for commands that print tables.
func (o *Output) AddNoHeaders(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.NoHeaders, "no-headers", false, "print tables without titles")
}

// Validate refuses formats that the command does not have, and templates that do
// not parse.
func (o *Output) Validate() error {
	if o.flags == nil || !o.flags.Changed("output") {
		return nil
	}
	format, text, hasText := strings.Cut(o.Format, "=")
	takesText := format == jsonPath || format == goTemplate
	if !slices.Contains(o.formats, format) || hasText && !takesText {
		return OneOf("output", o.Format, o.formats...)
	}
	if takesText && text == "" {
		return fmt.Errorf("--output %q has no template: write %s", o.Format, map[string]string{
			jsonPath: "one such as jsonpath={.items[*].name}", goTemplate: "one such as go-template={{.name}}",
		}[format])
	}
	if o.NoHeaders && o.Machine() {
		return fmt.Errorf("--no-headers is about tables, and --output %s prints none: keep one", format)
	}
	_, err := o.template()
	return err
}

// Machine reports whether the format is one for programs.
func (o *Output) Machine() bool { return o.Format != "" && o.Format != "wide" }

// Wide reports whether the table gets all its columns.
func (o *Output) Wide() bool { return o.Format == "wide" }

// Names reports whether only the names of objects are printed.
func (o *Output) Names() bool { return o.Format == "name" }

// Table prints rows under titles, without the titles if --no-headers is given.
func (o *Output) Table(w io.Writer, titles []string, rows [][]string) error {
	if o.NoHeaders {
		titles = nil
	}
	return PrintTable(w, titles, rows)
}

// Object prints a value in the format of --output, which must be one for programs.
func (o *Output) Object(w io.Writer, v any) error {
	execute, err := o.template()
	if err != nil {
		return err
	}
	if execute == nil {
		return PrintObject(w, o.Format, v)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return fmt.Errorf("reading JSON: %w", err)
	}
	if err := execute(w, plain); err != nil {
		return fmt.Errorf("filling in --output %q: %w", o.Format, err)
	}
	return nil
}

// template returns the function that fills in the template of --output, or nil if
// the format takes none.
func (o *Output) template() (func(io.Writer, any) error, error) {
	format, text, _ := strings.Cut(o.Format, "=")
	switch format {
	case jsonPath:
		path := jsonpath.New("output")
		if err := path.Parse(text); err != nil {
			return nil, fmt.Errorf("reading --output %q: %w", o.Format, err)
		}
		return path.Execute, nil
	case goTemplate:
		t, err := template.New("output").Parse(text)
		if err != nil {
			return nil, fmt.Errorf("reading --output %q: %w", o.Format, err)
		}
		return t.Execute, nil
	}
	return nil, nil
}

// PrintTable prints rows under titles as kubectl does: columns three spaces apart,
// empty cells as <none>. If titles is nil, it prints only the rows.
func PrintTable(w io.Writer, titles []string, rows [][]string) error {
	var all [][]string
	if titles != nil {
		all = append(all, titles)
	}
	for _, row := range rows {
		cells := make([]string, len(row))
		for i := range row {
			if cells[i] = Clean(row[i]); cells[i] == "" {
				cells[i] = "<none>"
			}
		}
		all = append(all, cells)
	}
	_, err := io.WriteString(w, layOut(all))
	return err
}

// layOut puts cells into columns, three spaces apart; a row's last cell needs no room.
func layOut(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row[:max(0, len(row)-1)] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], unit.Columns(cell))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			text.WriteString(cell)
			if i < len(row)-1 {
				text.WriteString(strings.Repeat(" ", widths[i]-unit.Columns(cell)+3))
			}
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// PrintNames prints the names of objects as kubectl does: kind/name.
func PrintNames(w io.Writer, kind string, names []string) error {
	var failed error
	for _, name := range names {
		_, err := fmt.Fprintf(w, "%s/%s\n", kind, Clean(name))
		failed = errors.Join(failed, err)
	}
	return failed
}

// PrintObject prints a value as yaml if format says so, and as json otherwise.
func PrintObject(w io.Writer, format string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	if format == "yaml" {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
	} else {
		data = append(data, '\n')
	}
	_, err = w.Write(data)
	return err
}

// Age prints a length of time as kubectl prints ages: 5s, 3m20s, 2h, 4d.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 10*time.Minute:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// list is a list of objects as kubectl prints it in JSON and YAML.
type list struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Items      any    `json:"items"`
}

// AsList wraps items, a slice, as kubectl does in JSON and YAML.
func AsList(items any) list {
	return list{APIVersion: "v1", Kind: "List", Items: items}
}
