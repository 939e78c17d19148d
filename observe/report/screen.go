package report

import (
	"fmt"
	"io"
	"strings"
)

// A Screen is a terminal on which frames repaint themselves.
type Screen struct {
	out   io.Writer
	color bool
	size  func() (width, height int)
	// painted is the height of the frame on the screen.
	painted int
}

// NewScreen returns a screen on out. size asks the terminal for its size, which
// may change.
func NewScreen(out io.Writer, size func() (width, height int), color bool) *Screen {
	return &Screen{out: out, size: size, color: color}
}

// Paint puts a frame in the place of the one before. It is drawn no wider than
// the style allows and no higher than height lines. Trouble of the terminal is
// not told.
func (s *Screen) Paint(frame func(style Style, height int) []string) {
	width, height := s.size()
	if width < 2 || height < 2 {
		width, height = 80, 24 // it is not known
	}
	// The last column and line stay free, for many terminals wrap or scroll there.
	lines := frame(Style{Color: s.color, Width: width - 1}, height-1)
	s.painted = min(s.painted, height)
	var b strings.Builder
	b.WriteString(s.rewind())
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	s.painted = len(lines)
	fmt.Fprint(s.out, b.String())
}

// Clear takes the frame off the screen, so that what follows begins on a clean
// line.
func (s *Screen) Clear() {
	fmt.Fprint(s.out, s.rewind())
	s.painted = 0
}

// Leave lets the frame stand, and what follows goes below it.
func (s *Screen) Leave() { s.painted = 0 }

// rewind goes back to the first line of the frame and clears from there on.
func (s *Screen) rewind() string {
	if s.painted == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", s.painted)
}
