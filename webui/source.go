package webui

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Kind says what a page was opened on.
type Kind string

// The kinds of sources. The page shows its doors where there is none.
const (
	KindFile    Kind = "file"
	KindExample Kind = "example"
	KindText    Kind = "text"
	KindSystem  Kind = "system"
	KindRun     Kind = "run"
)

// A Source is the text that the page shows, and where it came from.
type Source struct {
	Kind Kind `json:"kind,omitempty"`
	// On is where the system of a KindSystem runs.
	On string `json:"on,omitempty"`
	// Name stands in messages, as on the command line.
	Name string `json:"name"`
	Text string `json:"text"`
	// Base names the content of the file that Text was read from; empty if there
	// was no file yet.
	Base string `json:"base"`
	// Savable says that Text can be saved where it came from.
	Savable bool `json:"savable"`
	// path is where it is saved.
	path string
}

// OpenFile reads a file, which need not be there yet.
func OpenFile(path string) (*Source, error) {
	s := &Source{Kind: KindFile, Name: path, Savable: true, path: path}
	data, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Text = emptyText
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("opening %q: %w", path, err)
	}
	s.Text, s.Base = string(data), digest(data)
	return s, nil
}

// OpenFile shows a file as it is on the disk.
func (s *Server) OpenFile(path string) error {
	source, err := OpenFile(path)
	if err != nil {
		return err
	}
	return s.turn(source)
}

// emptyText is what an empty canvas begins with.
const emptyText = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: mine
system:
  name: mine
  services:
  - name: web
    work: {sleep: 5ms}
load:
  rate: 20
  duration: 30s
`

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file: name one file, which can be saved")
	}
	return decode.ReadAll(f)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// A staleError says that a file is not what it was when it was read.
type staleError struct {
	// Disk is what the file holds now, Base its name; both are empty if it is gone.
	Disk, Base string
}

func (e *staleError) Error() string {
	return "the file on disk has changed since it was opened: compare, then keep yours or take that of the disk"
}

// save writes the text if the file still is what base names. What was there before
// is replaced only by the whole text.
func (s *Source) save(text, base string) (string, error) {
	path := s.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	mode := fs.FileMode(0o644)
	disk, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && base != "":
		return "", &staleError{}
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fmt.Errorf("saving %q: %w", s.Name, err)
	case digest(disk) != base:
		return "", &staleError{string(disk), digest(disk)}
	default:
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
	}
	write := func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
	if err := partial.WriteFile(path, mode, write); err != nil {
		return "", fmt.Errorf("saving %q: %w", s.Name, err)
	}
	return digest([]byte(text)), nil
}

// A checked text is what the page learns of it: everything that is wrong, or else
// what it describes.
type checked struct {
	Mistakes []mistake `json:"mistakes"`
	Notes    []string  `json:"notes,omitempty"`
	Graph    *Graph    `json:"graph,omitempty"`
	// System has the fields of the services, in the words of files.
	System     *topology.System `json:"system,omitempty"`
	Experiment *summary         `json:"experiment,omitempty"`
	// Unplayable says why the text cannot be played though it has no mistakes.
	Unplayable string `json:"unplayable,omitempty"`
}

// A mistake is one of the validator, with the line that the command line prints.
type mistake struct {
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Text   string `json:"text"`
	// Full is the text with its place in front.
	Full string `json:"full"`
}

// A summary is what the page says of an experiment.
type summary struct {
	Name     string             `json:"name"`
	Title    string             `json:"title,omitempty"`
	Doc      string             `json:"doc,omitempty"`
	Seed     uint64             `json:"seed"`
	Variants []variant          `json:"variants"`
	Checks   []experiment.Check `json:"checks"`
	Faults   []plannedFault     `json:"faults"`
	// HasLoad is false for a system alone: the page asks for a rate.
	HasLoad bool `json:"hasLoad"`
	// Load is that of the file, and Document the number of the document that has the
	// experiment.
	Load     *load.Profile `json:"load,omitempty"`
	Document int           `json:"document,omitempty"`
	// Longest is how long a run takes at most, in seconds.
	Longest float64 `json:"longest"`
}

type variant struct {
	Name string `json:"name"`
	Doc  string `json:"doc,omitempty"`
	// Checks are all that this variant is judged by.
	Checks []experiment.Check `json:"checks"`
}

// A plannedFault is one of the file. To is 0 if it has no end.
type plannedFault struct {
	// Index is its place among the faults of the document.
	Index   int     `json:"index"`
	Label   string  `json:"label"`
	Type    string  `json:"type"`
	Target  string  `json:"target"`
	Service string  `json:"service"`
	Caller  string  `json:"caller,omitempty"`
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	// Rounds says that its victims are drawn, round by round.
	Rounds bool `json:"rounds,omitempty"`
	// Fault has its fields, in the words of files.
	Fault *fault.Fault `json:"fault"`
}

// check reads a text as the commands read files.
func check(name, text string) checked {
	docs, err := spec.Read(name, strings.NewReader(text))
	if err != nil {
		return checked{Mistakes: mistakesOf(err)}
	}
	return checkedOf(docs)
}

// checkedOf is what the page learns of a text without mistakes.
func checkedOf(docs document.Documents) checked {
	c := checked{Mistakes: []mistake{}}
	for i := range docs {
		for _, n := range slices.Concat(docs[i].Origin.Notes, docs[i].Origin.OffCluster) {
			c.Notes = append(c.Notes, n.Error())
		}
	}
	e, hasLoad, err := experimentOf(docs, plainLoad{})
	if err != nil {
		c.Unplayable = err.Error()
		if systems := docs.Systems(); len(systems) > 0 {
			c.System, c.Graph = systems[0], NewGraph(systems[0])
		}
		return c
	}
	c.System, c.Graph = &e.System, NewGraph(&e.System)
	c.Experiment = summarize(e, hasLoad)
	if hasLoad {
		c.Experiment.Load = &e.Load
	}
	c.Experiment.Document = max(0, slices.IndexFunc(docs, func(d document.Document) bool { return d.Experiment != nil }))
	return c
}

func mistakesOf(err error) []mistake {
	var list decode.Mistakes
	if !errors.As(err, &list) {
		return []mistake{{Text: err.Error(), Full: err.Error()}}
	}
	const most = 200
	out := []mistake{}
	for i := range list[:min(len(list), most)] {
		m := &list[i]
		out = append(out, mistake{m.Line, m.Column, m.Problem.Error(), m.Error()})
	}
	return out
}

// A plainLoad is what the page puts on a system whose file has no load.
type plainLoad struct {
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
}

// experimentOf returns what is played: the experiment of the documents, or a system
// alone under a plain load.
func experimentOf(docs document.Documents, p plainLoad) (e *experiment.Experiment, hasLoad bool, err error) {
	e, err = docs.Experiment()
	if err != nil || !docs.Plain() {
		return e, !docs.Plain(), err
	}
	if p.Rate == 0 {
		p = plainLoad{document.PlainRate, document.PlainFor.Std().Seconds()}
	}
	e.Load = load.Profile{Phases: []load.Phase{{Rate: p.Rate, Duration: unit.Duration(p.Seconds * 1e9)}}}.WithDefaults()
	return e, false, e.Validate().Err()
}

func summarize(e *experiment.Experiment, hasLoad bool) *summary {
	s := &summary{
		Name: e.Name, Title: e.Title, Doc: e.Doc, Seed: e.Seed, Variants: []variant{}, Checks: e.Checks, Faults: []plannedFault{},
		HasLoad: hasLoad, Longest: e.Longest().Seconds(),
	}
	if s.Checks == nil {
		s.Checks = []experiment.Check{}
	}
	for i := range e.Variants {
		v := &e.Variants[i]
		s.Variants = append(s.Variants, variant{v.Name, v.Doc, append([]experiment.Check{}, e.ChecksOf(*v)...)})
	}
	for i := range e.Faults {
		f := &e.Faults[i]
		p := plannedFault{Index: i, Fault: f, Rounds: f.Rounds != nil, Label: f.Label(), Type: string(f.Type), Target: f.Target.String(), Service: f.Target.Service, Caller: f.Target.From, From: f.Start.Std().Seconds()}
		if f.Duration > 0 {
			p.To = f.End().Seconds()
		}
		s.Faults = append(s.Faults, p)
	}
	return s
}
