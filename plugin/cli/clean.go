package cli

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Clean makes text of others fit for one line of a terminal or a cell of a table:
// control characters, which could move the cursor or forge rows, and characters
// that change the direction of text are shown by their escapes.
func Clean(text string) string {
	if !strings.ContainsFunc(text, isControl) && utf8.ValidString(text) {
		return text
	}
	return string(appendClean(nil, []byte(text), isControl, false))
}

// isControl reports whether a character acts on the terminal in place of being
// shown.
func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// A colour is an SGR sequence (ECMA-48, 8.3.117), which moves no cursor.
var colour = regexp.MustCompile(`^\x1b\[[0-9;]{0,16}m`)

// appendClean appends text in which the characters of a kind are escaped, those
// of colours only if these are not kept.
func appendClean(to, text []byte, escape func(rune) bool, colours bool) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == '\x1b' && colours {
			if sgr := colour.Find(text); sgr != nil {
				to, text = append(to, sgr...), text[len(sgr):]
				continue
			}
		}
		switch {
		case r == utf8.RuneError && size == 1:
			to = append(to, `\x`...)
			to = append(to, "0123456789abcdef"[text[0]>>4], "0123456789abcdef"[text[0]&15])
		case escape(r):
			quoted := strconv.QuoteRuneToASCII(r)
			to = append(to, quoted[1:len(quoted)-1]...)
		default:
			to = append(to, text[:size]...)
		}
		text = text[size:]
	}
	return to
}

// A CleanWriter passes text on as [Clean] does, but for the ends of lines and
// tabs. It may be used by several goroutines at once.
type CleanWriter struct {
	to   io.Writer
	lost func(error) // nil if nobody wants to know

	mu   sync.Mutex
	part []byte // of a character whose end has not come yet
	err  error
}

// NewCleanWriter returns a writer that passes clean text on.
func NewCleanWriter(to io.Writer) *CleanWriter { return &CleanWriter{to: to} }

// OnLost sets what is called with the first error of writing. It must be set
// before the first write.
func (w *CleanWriter) OnLost(lost func(error)) { w.lost = lost }

// Write implements io.Writer.
func (w *CleanWriter) Write(text []byte) (int, error) { return w.write(text, false) }

func (w *CleanWriter) write(text []byte, colours bool) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(w.part, text...)
	whole := len(all)
	for i := max(0, whole-utf8.UTFMax+1); i < whole; i++ {
		if utf8.RuneStart(all[i]) && !utf8.FullRune(all[i:]) {
			whole = i
		}
	}
	clean := appendClean(nil, all[:whole], func(r rune) bool { return r != '\n' && r != '\t' && isControl(r) }, colours)
	w.part = bytes.Clone(all[whole:])
	_, err := w.to.Write(clean)
	w.note(err)
	if err != nil {
		return 0, err
	}
	return len(text), nil
}

// Err returns the first error of writing.
func (w *CleanWriter) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *CleanWriter) note(err error) {
	if w.err != nil || err == nil {
		return
	}
	w.err = err
	if w.lost != nil {
		w.lost(err)
	}
}

// A rawWriter writes past the cleaning, and tells of errors as if it did not.
type rawWriter struct{ *CleanWriter }

func (w rawWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.to.Write(text)
	w.note(err)
	return n, err
}

// A coloredWriter keeps colours, and cleans everything else.
type coloredWriter struct{ *CleanWriter }

func (w coloredWriter) Write(text []byte) (int, error) { return w.write(text, true) }

// colored returns the writer for text that may have colours.
func colored(w io.Writer) io.Writer {
	if c, ok := w.(*CleanWriter); ok {
		return coloredWriter{c}
	}
	return w
}

// Raw returns the writer for text whose control characters are all ours, such as
// the frames of a live view.
func Raw(w io.Writer) io.Writer {
	if c, ok := w.(*CleanWriter); ok {
		return rawWriter{c}
	}
	return w
}

// fileOf returns the file that a stream leads to.
func fileOf(w io.Writer) (*os.File, bool) {
	switch c := w.(type) {
	case *CleanWriter:
		return fileOf(c.to)
	case rawWriter:
		return fileOf(c.to)
	case coloredWriter:
		return fileOf(c.to)
	}
	f, ok := w.(*os.File)
	return f, ok
}
