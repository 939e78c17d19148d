package plugin

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/observe/report"
)

// isTerminal reports whether a person reads what is written, on something that
// can move its cursor. TERM=dumb says that it can not.
func isTerminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// styleOf is how text for a stream looks: as wide as its terminal, and coloured
// where it is one, unless NO_COLOR is set.
func styleOf(w io.Writer) report.Style {
	f, ok := isTerminal(w)
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
	f, ok := isTerminal(w)
	if !ok {
		return report.NewView(w, nil, false)
	}
	size := func() (width, height int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80, 24
		}
		return width, height
	}
	return report.NewView(w, size, os.Getenv("NO_COLOR") == "")
}
