package export

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
)

// A Case is a run as it goes into a data set.
type Case struct {
	// Name names it in all formats: case-0001.
	Name   string
	Run    *Run
	Grid   Grid
	Labels []Label
	// Set is the name of the data set, Seed that of the order of columns.
	Set  string
	Seed uint64
}

// NewCase makes a case of a run.
func NewCase(r *Run, name, set string, step time.Duration, seed uint64) (*Case, error) {
	c := &Case{Name: name, Run: r, Set: plainName(set), Seed: seed}
	err := whole(r.Result)
	if err == nil {
		err = c.checkNames()
	}
	if err == nil {
		c.Grid, err = NewGrid(r, step)
	}
	if err == nil {
		c.Labels, err = NewLabels(r, name, c.Grid)
	}
	if err != nil {
		return nil, fmt.Errorf("exporting run %s: %w", r.Name, err)
	}
	return c, nil
}

// CaseName is the name of the n-th case, counted from 1.
func CaseName(n int) string { return fmt.Sprintf("case-%04d", n) }

// checkNames refuses services whose columns would have one name.
func (c *Case) checkNames() error {
	seen := map[string]string{}
	for _, s := range c.Run.Services() {
		if before, ok := seen[plainName(s)]; ok {
			return fmt.Errorf("services %q and %q would both be %q, because columns have no underscore in names: rename one", before, s, plainName(s))
		}
		seen[plainName(s)] = s
	}
	return nil
}

// Normal reports whether nothing was broken.
func (c *Case) Normal() bool { return c.Labels[0].Fault == nil }

// cause is the label of a case with one cause, for formats that know only those.
func (c *Case) cause() (*Label, error) {
	first := &c.Labels[0]
	for i := range c.Labels {
		if l := &c.Labels[i]; l.Service != first.Service || l.Type != first.Type || l.Edge != first.Edge {
			return nil, fmt.Errorf("it has several causes, %s of %s and %s of %s, and a case of this format has one: use --format csv, or runs with one fault", first.Type, first.Service, l.Type, l.Service)
		}
	}
	return first, nil
}

// metrics lists the figures with these names, in the order of Metrics.
func metrics(names ...string) []Metric {
	return slices.DeleteFunc(Metrics(), func(m Metric) bool { return !slices.Contains(names, m.Name) })
}

// shuffled returns the columns in an order drawn for the case, so that no order
// gives the cause away.
func (c *Case) shuffled(columns []Column) []Column {
	list := slices.Clone(columns)
	key := dist.Seed(c.Seed).With("columns").With(c.Name)
	for i := len(list) - 1; i > 0; i-- {
		j := key.WithInt(i).IntN(i + 1)
		list[i], list[j] = list[j], list[i]
	}
	return list
}

// A Format is a form of data sets.
type Format struct {
	Name string `json:"name"`
	// Layout says where what is, Doc who reads it, and how.
	Layout string `json:"layout"`
	Doc    string `json:"doc"`

	// traces says that the format has the traces of runs.
	traces bool
	// check says why a case does not fit; nil takes all.
	check func(*Case) error
	// place is the directory of a case, write fills it.
	place func(*Case) string
	write func(c *Case, dir string) error
	// finish writes what all cases share into the directory of the format, anew each
	// time; it may be nil.
	finish func(s *Set, dir string) error
}

// Formats lists the formats in the order of the documentation.
func Formats() []Format {
	return []Format{rcaevalFormat(), vecrosimFormat(), csvFormat(), parquetFormat(), openrca2Format(), petshopFormat(), otlpFormat()}
}

// FormatNames lists their names.
func FormatNames() (names []string) {
	for _, f := range Formats() {
		names = append(names, f.Name)
	}
	return names
}

// NeedTraces reports whether one of the formats has the traces of runs.
func NeedTraces(formats []Format) bool {
	return slices.ContainsFunc(formats, func(f Format) bool { return f.traces })
}

// FindFormats returns the formats with these names.
func FindFormats(names ...string) ([]Format, error) {
	var list []Format
	for _, name := range names {
		i := slices.IndexFunc(Formats(), func(f Format) bool { return f.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("format %q is not known: write %s", name, strings.Join(FormatNames(), ", "))
		}
		if slices.ContainsFunc(list, func(f Format) bool { return f.Name == name }) {
			return nil, fmt.Errorf("format %q is named twice: write it once", name)
		}
		list = append(list, Formats()[i])
	}
	return list, nil
}

// Place is the directory of a case in a data set, with the separators of this system.
func (f Format) Place(c *Case) string { return filepath.Join(f.Name, filepath.FromSlash(f.place(c))) }

// WithoutEffect says why no effect of the case's faults on the clients is shown;
// nothing where one is, and of normal cases.
func (c *Case) WithoutEffect() string {
	if c.Normal() {
		return ""
	}
	why := ""
	for i := range c.Labels {
		switch p := c.Labels[i].Impact; {
		case p == nil || p.Verdict == Effective:
			return ""
		case p.Verdict == Unknown:
			why = "the effect on the clients is not known: " + p.Why
		default:
			why = "no effect on the clients was seen"
		}
	}
	return why
}
