// Package page shows runs of an experiment on one HTML page that needs nothing
// but a browser: the system drawn with the state of its parts, what happened
// second by second, variants beside each other, and how to repeat it.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A Page is what is written as one HTML file.
type Page struct {
	// Title is the name of the experiment.
	Title string
	// Runs are shown in this order. Those of one variant are taken together
	// where variants are compared, as its repetitions with several seeds.
	Runs []Run
	// Inputs is the text of the experiment's file, shown as it is.
	Inputs string
	// Experiment has the texts that are shown; Comparison the ranking and the
	// differences of the variants. Both may be missing.
	Experiment *experiment.Experiment
	Comparison *result.Comparison
}

// A Run is one experiment that was run to its end, or as far as it came.
type Run struct {
	// Variant names what differs from the other runs; empty if there is only
	// one way.
	Variant string
	Seed    uint64
	Result  *result.Result
	// Series are the run's samples, from a Recorder; without them the page has
	// the curves of the clients only.
	Series *Series
	// System is what was run. Without it the drawing has the services and calls
	// that were seen.
	System *topology.System
}

//go:embed assets
var assets embed.FS

// Write writes the page. The same page gives the same bytes. The file asks
// nothing of any other: style, program and data are inside, and its own policy
// forbids the browser to load anything or to run another program.
func Write(w io.Writer, p Page) error {
	if len(p.Runs) == 0 {
		return fmt.Errorf("writing the page of %q: there is no run to show", p.Title)
	}
	for i := range p.Runs {
		if p.Runs[i].Result == nil {
			return fmt.Errorf("writing the page of %q: run %d has no result", p.Title, i+1)
		}
	}
	document, err := newDocument(p)
	if err != nil {
		return fmt.Errorf("writing the page of %q: %w", p.Title, err)
	}
	// Marshal writes <, > and & as \u003c and so on: no text of the document can
	// end the element that it stands in.
	data, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("writing the page of %q: %w", p.Title, err)
	}
	shell, err := newShell(p.Title, data)
	if err != nil {
		return err
	}
	if err := shell.write(w); err != nil {
		return fmt.Errorf("writing the page of %q: %w", p.Title, err)
	}
	return nil
}

// A shell is what the template is filled with.
type shell struct {
	Title, Policy string
	Style         template.CSS
	Program, Data template.JS
}

func newShell(title string, data []byte) (*shell, error) {
	style, err := joined("page.css")
	if err != nil {
		return nil, err
	}
	program, err := joined("dom.js", "chart.js", "drawing.js", "compare.js", "story.js", "page.js")
	if err != nil {
		return nil, err
	}
	return &shell{
		Title:  title,
		Policy: fmt.Sprintf("default-src 'none'; base-uri 'none'; form-action 'none'; style-src '%s'; script-src '%s'", digest(style), digest(program)),
		Style:  template.CSS(style), Program: template.JS(program), Data: template.JS(data),
	}, nil
}

func (s *shell) write(w io.Writer) error {
	t, err := template.ParseFS(assets, "assets/page.html")
	if err != nil {
		return err
	}
	return t.Execute(w, s)
}

// joined is the text of files of assets, one after another.
func joined(names ...string) (string, error) {
	var b strings.Builder
	for _, name := range names {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			return "", err
		}
		b.Write(text)
	}
	if strings.Contains(b.String(), "</") {
		return "", errors.New("a file of the page's program or style has a closing tag in it")
	}
	return b.String(), nil
}

// digest names a text in a content security policy.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
