package cli

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// IsTerminal reports whether a person reads what is written, on something that
// can move its cursor. TERM=dumb says that it can not.
func IsTerminal(w io.Writer) (*os.File, bool) {
	f, ok := fileOf(w)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// StyleOf is how text for a stream looks: as wide as its terminal, and coloured
// where it is one, unless NO_COLOR is set.
func StyleOf(w io.Writer) report.Style {
	f, ok := IsTerminal(w)
	if !ok {
		return report.Style{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return report.Style{Width: width, Color: os.Getenv("NO_COLOR") == ""}
}

// newView shows a run on a stream: repainted on a terminal, line by line
// elsewhere.
func newView(w io.Writer) *report.View {
	f, ok := IsTerminal(w)
	if !ok {
		return report.NewView(w, nil, false)
	}
	return report.NewView(Raw(w), SizeOf(f), os.Getenv("NO_COLOR") == "")
}

// SizeOf asks a terminal for its size.
func SizeOf(f *os.File) func() (width, height int) {
	return func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	}
}

// A screen shows runs on a stream, one after another, and what is said beside
// them. It may be used by several goroutines at once.
type RunScreen struct {
	out  io.Writer
	mu   sync.Mutex
	view *report.View // of the run under way
}

// NewRunScreen shows runs on a stream.
func NewRunScreen(out io.Writer) *RunScreen { return &RunScreen{out: out} }

// Begin shows a run.
func (s *RunScreen) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = newView(s.out)
}

// Observe shows what happens in the run.
func (s *RunScreen) Observe(e runner.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Observe(e)
	}
}

// Write puts text above what is repainted.
func (s *RunScreen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Close()
	}
	return s.out.Write(text)
}

// Close takes the run off the screen.
func (s *RunScreen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Close()
		s.view = nil
	}
}
