package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// IsTerminal reports whether a person reads what is written, on something that
// can move its cursor. TERM=dumb says that it can not.
func IsTerminal(w io.Writer) (*os.File, bool) {
	f, ok := fileOf(w)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Styled returns how text for a stream looks, and the writer that keeps its colours:
// as wide as its terminal, and coloured where it is one, unless NO_COLOR is set.
func Styled(w io.Writer) (io.Writer, report.Style) {
	f, ok := IsTerminal(w)
	if !ok {
		return w, report.Style{}
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		width = 0
	}
	return colored(w), report.Style{Width: width, Color: os.Getenv("NO_COLOR") == ""}
}

// A Line is painted again and again on a terminal, such as how far something is. On
// other streams it is not shown.
type Line struct {
	raw  io.Writer // nil where no terminal is
	size func() (width, height int)
	last int
}

// NewLine returns the line of a stream.
func NewLine(w io.Writer) *Line {
	f, ok := IsTerminal(w)
	if !ok {
		return &Line{}
	}
	return &Line{raw: Raw(w), size: SizeOf(f)}
}

// Shown reports whether the line is seen.
func (l *Line) Shown() bool { return l.raw != nil }

// Show paints a text in place of the last one. What does not fit into one line of the
// terminal is left out, because it could not be painted over.
func (l *Line) Show(text string) {
	if l.raw == nil {
		return
	}
	text = Clean(text)
	if width, _ := l.size(); width > 2 {
		text = unit.Cut(text, width-1)
	}
	columns := unit.Columns(text)
	fmt.Fprintf(l.raw, "\r%s%s", text, strings.Repeat(" ", max(0, l.last-columns)))
	l.last = columns
}

// Clear takes the line away.
func (l *Line) Clear() {
	if l.raw != nil && l.last > 0 {
		fmt.Fprintf(l.raw, "\r%s\r", strings.Repeat(" ", l.last))
		l.last = 0
	}
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
