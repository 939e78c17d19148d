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

// IsTerminal reports whether a stream is a terminal that can move its cursor, and
// returns its file. TERM=dumb says that the terminal cannot.
func IsTerminal(w io.Writer) (*os.File, bool) {
	f, ok := fileOf(w)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Styled returns the style of text for a stream, and the writer that keeps its
// colours. On a terminal the style has its width and, unless NO_COLOR is set,
// colours.
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

// A Line is a line on a terminal that is painted again and again, such as a
// progress line. On other streams it is not shown.
type Line struct {
	raw  io.Writer // nil if the stream is not a terminal
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

// Shown reports whether the stream is a terminal, so that the line is shown.
func (l *Line) Shown() bool { return l.raw != nil }

// Show paints a text over the last one. It cuts the text to the width of the
// terminal, because a second line could not be painted over.
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

// Clear blanks the line.
func (l *Line) Clear() {
	if l.raw != nil && l.last > 0 {
		fmt.Fprintf(l.raw, "\r%s\r", strings.Repeat(" ", l.last))
		l.last = 0
	}
}

// newView returns the view of a run on a stream: repainted on a terminal, line by
// line otherwise.
func newView(w io.Writer) *report.View {
	f, ok := IsTerminal(w)
	if !ok {
		return report.NewView(w, nil, false)
	}
	return report.NewView(Raw(w), SizeOf(f), os.Getenv("NO_COLOR") == "")
}

// SizeOf returns a function that asks a terminal for its size in characters; 80 by
// 24 if the terminal does not tell.
func SizeOf(f *os.File) func() (width, height int) {
	return func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	}
}

// A RunScreen shows runs on a stream, one after another, and messages above them.
// Several goroutines may use it at once.
type RunScreen struct {
	out  io.Writer
	mu   sync.Mutex
	view *report.View // of the run under way
}

// NewRunScreen returns a screen on a stream that shows no run yet.
func NewRunScreen(out io.Writer) *RunScreen { return &RunScreen{out: out} }

// Begin begins the view of the next run.
func (s *RunScreen) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = newView(s.out)
}

// Observe shows an event of the run.
func (s *RunScreen) Observe(e runner.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Observe(e)
	}
}

// Write prints text above the view, which is painted anew below it.
func (s *RunScreen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Close()
	}
	return s.out.Write(text)
}

// Close ends the view of the run.
func (s *RunScreen) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != nil {
		s.view.Close()
		s.view = nil
	}
}
