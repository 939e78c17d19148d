package export

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// The files of a data set beside its formats.
const (
	ManifestFile = "manifest.json"
	LabelsFile   = "labels.csv"
	LabelLines   = "labels.jsonl"
	GraphFile    = "graph.csv"
	casesDir     = "cases"
	partial      = ".partial-"
)

// ManifestKind marks manifest.json.
const ManifestKind = "DataSet"

// A Manifest says what a data set is, and in which units.
type Manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	// Planned is how many cases it is to have, Cases how many it has, of which Normal
	// are without a fault; Complete is set where it has all.
	Planned  int  `json:"planned"`
	Cases    int  `json:"cases"`
	Normal   int  `json:"normal"`
	Complete bool `json:"complete"`
	// Verdicts counts the labels by what their fault did to the clients.
	Verdicts map[Verdict]int `json:"verdicts"`
	// LeftOut are runs that are not cases, and why.
	LeftOut []LeftOut `json:"leftOut,omitempty"`
	Formats []Format  `json:"formats"`
	// StepSeconds is the distance of rows.
	StepSeconds float64 `json:"stepSeconds"`
	// Clock says what times mean.
	Clock string `json:"clock"`
	// Skew is the clock of a replica that is furthest from that of the tables, of all
	// cases; absent if none was compared, as on one machine.
	Skew *result.Clock `json:"skew,omitempty"`
	// Metrics are those that are known of a service at least.
	Metrics  []Metric `json:"metrics"`
	Services []string `json:"services"`
	Graph    []Edge   `json:"graph"`
	// Seed is that of the order of columns.
	Seed     uint64            `json:"seed"`
	Targets  []string          `json:"targets"`
	Systems  []string          `json:"systemHashes,omitempty"`
	Versions map[string]string `json:"versions"`
	Notes    []string          `json:"notes,omitempty"`
}

// LeftOut is a run that is not a case of a data set.
type LeftOut struct {
	Run string `json:"run"`
	Why string `json:"why"`
}

const clockText = "UTC. The time of a row is the beginning of its step, in seconds since 1970. Steps begin with the load, and all times of a case are moved back by the label's `moved` seconds, under one, so that they are full seconds. Times of labels are not moved; injectTime is."

// A Record is what a data set keeps of a finished case, in cases/CASE.json.
type Record struct {
	Case     string            `json:"case"`
	Run      string            `json:"run"`
	Labels   []Label           `json:"labels"`
	Metrics  []string          `json:"metrics"`
	Services []string          `json:"services"`
	Graph    []Edge            `json:"graph"`
	Target   string            `json:"target"`
	System   string            `json:"systemHash,omitempty"`
	Versions map[string]string `json:"versions"`
	// Clocks are those of replicas on other machines, if they were compared.
	Clocks []result.Clock `json:"clocks,omitempty"`
}

// A Set is a data set that is being written into a directory. Cases may be added by
// several goroutines at a time. A case is written beside and moved to its place as a
// whole; its record comes last, so that a case without one is not a case.
type Set struct {
	dir     string
	name    string
	formats []Format
	step    time.Duration
	seed    uint64

	mu      sync.Mutex
	records map[string]Record
}

// OpenSet begins a data set in a directory that exists, or goes on with one: what it
// has without a record is removed.
func OpenSet(dir, name string, formats []Format, step time.Duration, seed uint64) (*Set, error) {
	s := &Set{dir: dir, name: name, formats: formats, step: step, seed: seed, records: map[string]Record{}}
	if err := os.MkdirAll(filepath.Join(dir, casesDir), 0o755); err != nil {
		return nil, fmt.Errorf("writing the data set %q: %w", dir, plain(err))
	}
	records, err := ReadRecords(dir)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		s.records[r.Case] = r
	}
	if err := s.sweep(); err != nil {
		return nil, fmt.Errorf("removing what an interrupted export has left in %q: %w", dir, err)
	}
	return s, nil
}

// ReadRecords reads the records of the finished cases of a data set, in their order.
func ReadRecords(dir string) ([]Record, error) {
	entries, err := os.ReadDir(filepath.Join(dir, casesDir))
	if err != nil {
		return nil, fmt.Errorf("reading the data set %q: %w", dir, plain(err))
	}
	var records []Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || filepath.Ext(e.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, casesDir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the data set %q: %w", dir, err)
		}
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("reading %q: %w; remove it, and the case is made again", path, err)
		}
		if r.Case == "" || len(r.Labels) == 0 {
			return nil, fmt.Errorf("reading %q: it is not a record of a case; remove it, and the case is made again", path)
		}
		records = append(records, r)
	}
	return records, nil
}

// sweep removes what an interrupted export has left: hidden files, and cases without
// a record.
func (s *Set) sweep() error {
	var left []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		_, done := s.records[d.Name()]
		if !strings.HasPrefix(d.Name(), partial) && (!d.IsDir() || done || !isCaseName(d.Name())) {
			return nil
		}
		left = append(left, path)
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func isCaseName(name string) bool {
	digits, ok := strings.CutPrefix(name, "case-")
	return ok && len(digits) >= 4 && strings.Trim(digits, "0123456789") == ""
}

// Has reports whether a case is finished.
func (s *Set) Has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.records[name]
	return ok
}

// Done counts the finished cases.
func (s *Set) Done() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.records)
}

// Check says why a case does not fit a format; nil if it fits all.
func (s *Set) Check(c *Case) error {
	for _, f := range s.formats {
		if f.traces && c.Run.keptSpans == nil && c.Run.Traces == "" {
			return fmt.Errorf("exporting run %s as %s: %w", c.Run.Name, f.Name, errNoTraces)
		}
		if f.check == nil {
			continue
		}
		if err := f.check(c); err != nil {
			return fmt.Errorf("exporting run %s as %s: %w", c.Run.Name, f.Name, err)
		}
	}
	return nil
}

// Add writes a case in all formats.
func (s *Set) Add(c *Case) error {
	if err := s.Check(c); err != nil {
		return err
	}
	if err := s.add(c); err != nil {
		return fmt.Errorf("exporting run %s: %w", c.Run.Name, err)
	}
	return nil
}

func (s *Set) add(c *Case) (err error) {
	staged, err := os.MkdirTemp(s.dir, partial)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(staged)) }()
	for _, f := range s.formats {
		dir := filepath.Join(staged, f.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := f.write(c, dir); err != nil {
			if hidden := (*fs.PathError)(nil); errors.As(err, &hidden) && strings.HasPrefix(hidden.Path, dir) {
				hidden.Path = filepath.Base(hidden.Path) // nobody knows the directory
			}
			return fmt.Errorf("as %s: %w", f.Name, err)
		}
	}
	for _, f := range s.formats {
		to := filepath.Join(s.dir, f.Place(c))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(staged, f.Name), to); err != nil {
			return err
		}
	}
	r := Record{
		Case: c.Name, Run: c.Run.Name, Labels: c.Labels, Services: c.Run.Services(), Graph: c.Run.Graph(),
		Metrics: c.known(), Target: c.Run.Result.Target, System: c.Run.SystemHash, Versions: c.Run.Result.Versions,
	}
	if t := c.Run.Result.Traces; t != nil {
		r.Clocks = t.Clocks
	}
	if err := s.writeJSON(filepath.Join(casesDir, c.Name+".json"), r); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[c.Name] = r
	return nil
}

// known lists the metrics of which the run knows something.
func (c *Case) known() (names []string) {
	for _, m := range Metrics() {
		if slices.ContainsFunc(c.Run.services, func(r serviceRow) bool { return isKnown(m.of(&r)) }) {
			names = append(names, m.Name)
		}
	}
	return names
}

// put writes a file beside and moves it to its place.
func (s *Set) put(name string, write func(w *bufio.Writer)) error {
	to := filepath.Join(s.dir, name)
	beside := filepath.Join(filepath.Dir(to), partial+filepath.Base(to))
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(beside, write); err != nil {
		return errors.Join(err, os.RemoveAll(beside))
	}
	return os.Rename(beside, to)
}

func (s *Set) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return s.put(name, func(w *bufio.Writer) { _, _ = w.Write(append(text, '\n')) })
}

// Finish writes the labels, the graph and the manifest of all finished cases.
func (s *Set) Finish(planned int, leftOut []LeftOut) (*Manifest, error) {
	m, err := s.finish(planned, leftOut)
	if err != nil {
		return nil, fmt.Errorf("writing the data set %q: %w", s.dir, err)
	}
	return m, nil
}

func (s *Set) finish(planned int, leftOut []LeftOut) (*Manifest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.manifest(planned, leftOut)
	for _, f := range s.formats {
		if f.finish == nil {
			continue
		}
		if err := f.finish(s, f.Name); err != nil {
			return nil, fmt.Errorf("as %s: %w", f.Name, err)
		}
	}
	var labels []Label
	for _, r := range s.sorted() {
		labels = append(labels, r.Labels...)
	}
	var failed error
	err := s.put(LabelsFile, func(w *bufio.Writer) { failed = WriteLabels(w, labels) })
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	err = s.put(LabelLines, func(w *bufio.Writer) {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		for i := range labels {
			failed = errors.Join(failed, encoder.Encode(&labels[i]))
		}
	})
	if err = errors.Join(failed, err); err != nil {
		return nil, err
	}
	if err := s.put(GraphFile, func(w *bufio.Writer) { failed = writeGraph(w, m.Services, m.Graph) }); err != nil || failed != nil {
		return nil, errors.Join(failed, err)
	}
	return m, s.writeJSON(ManifestFile, m)
}

// sorted are the records in the order of their names.
func (s *Set) sorted() []Record {
	var list []Record
	for _, r := range s.records {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Record) int { return strings.Compare(a.Case, b.Case) })
	return list
}

func (s *Set) manifest(planned int, leftOut []LeftOut) *Manifest {
	m := &Manifest{
		APIVersion: result.ResultVersion, Kind: ManifestKind, Name: s.name, Planned: planned, Cases: len(s.records),
		Verdicts: map[Verdict]int{}, LeftOut: leftOut, Formats: s.formats, StepSeconds: s.step.Seconds(), Clock: clockText,
		Services: []string{}, Graph: []Edge{}, Seed: s.seed, Targets: []string{}, Versions: map[string]string{},
	}
	m.Complete = m.Cases+len(leftOut) >= planned
	known := map[string]bool{}
	for _, r := range s.sorted() {
		if r.Labels[0].Fault == nil {
			m.Normal++
		}
		for i := range r.Labels {
			if p := r.Labels[i].Impact; p != nil && r.Labels[i].Fault != nil {
				m.Verdicts[p.Verdict]++
			}
		}
		for _, name := range r.Metrics {
			known[name] = true
		}
		m.Services = union(m.Services, r.Services, strings.Compare)
		m.Graph = union(m.Graph, r.Graph, compareEdges)
		m.Targets = union(m.Targets, []string{r.Target}, strings.Compare)
		if r.System != "" {
			m.Systems = union(m.Systems, []string{r.System}, strings.Compare)
		}
		for name, version := range r.Versions {
			m.Versions[name] = version
		}
		for i := range r.Clocks {
			if c := &r.Clocks[i]; m.Skew == nil || math.Abs(c.Offset) > math.Abs(m.Skew.Offset) {
				m.Skew = c
			}
		}
	}
	for _, metric := range Metrics() {
		if known[metric.Name] {
			m.Metrics = append(m.Metrics, metric)
		} else {
			m.Notes = append(m.Notes, fmt.Sprintf("%s is not known of any service, so there are no columns of it", metric.Name))
		}
	}
	for _, name := range m.Services {
		if droppedByBARO(name) {
			m.Notes = append(m.Notes, fmt.Sprintf("BARO may leave out columns that begin as those of service %s do", name))
		}
	}
	return m
}

// droppedByBARO reports whether BARO's choice of useful columns (dk_select_useful)
// leaves out those of a service.
func droppedByBARO(service string) bool {
	for _, prefix := range []string{"main_", "PassthroughCluster_", "redis_", "rabbitmq", "queue", "session", "istio-proxy"} {
		if strings.HasPrefix(plainName(service)+"_", prefix) {
			return true
		}
	}
	return strings.Contains(service, "frontend-external")
}

func union[T any](a, b []T, compare func(T, T) int) []T {
	a = append(a, b...)
	slices.SortFunc(a, compare)
	return slices.CompactFunc(a, func(x, y T) bool { return compare(x, y) == 0 })
}

// writeGraph writes the graph as PetShop has it: a row for each caller, a column for
// each callee, 1 where there were calls.
func writeGraph(w *bufio.Writer, services []string, edges []Edge) error {
	out := csv.NewWriter(w)
	header := []string{""}
	for _, s := range services {
		header = append(header, plainName(s))
	}
	_ = out.Write(header) // Error tells
	for _, caller := range services {
		row := []string{plainName(caller)}
		for _, callee := range services {
			mark := "0"
			if slices.Contains(edges, Edge{caller, callee}) {
				mark = "1"
			}
			row = append(row, mark)
		}
		_ = out.Write(row) // Error tells
	}
	out.Flush()
	return out.Error()
}
