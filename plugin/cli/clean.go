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

// Clean makes foreign text safe to print in one line of a terminal or one cell of a
// table. It escapes control characters, because they could move the cursor or forge
// rows, and characters that change the direction of text.
func Clean(text string) string {
	if !strings.ContainsFunc(text, isControl) && utf8.ValidString(text) {
		return text
	}
	return string(appendClean(nil, []byte(text), isControl, false))
}

// isControl reports whether a terminal obeys a character instead of showing it.
func isControl(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// A colour is an SGR sequence (ECMA-48, 8.3.117), which moves no cursor.
var colour = regexp.MustCompile(`^\x1b\[[0-9;]{0,16}m`)

// appendClean appends text with the characters escaped that escape selects. If
// colours is set, it keeps SGR sequences as they are.
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

// A CleanWriter cleans text as [Clean] does, but keeps newlines and tabs. Several
// goroutines may use it at once.
type CleanWriter struct {
	to   io.Writer
	lost func(error) // may be nil

	mu   sync.Mutex
	part []byte // the first bytes of a character that a write cut in two
	err  error
}

// NewCleanWriter returns a writer that passes clean text on to another.
func NewCleanWriter(to io.Writer) *CleanWriter { return &CleanWriter{to: to} }

// OnLost sets the function that is called with the first error of writing. Call
// OnLost before the first write.
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

// A rawWriter writes without cleaning. Its errors count as errors of the
// CleanWriter.
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

// colored returns the writer for text in which colours are allowed.
func colored(w io.Writer) io.Writer {
	if c, ok := w.(*CleanWriter); ok {
		return coloredWriter{c}
	}
	return w
}

// Raw returns a writer that does not clean. Use it only for text whose control
// characters all come from this program, such as the frames of a live view.
func Raw(w io.Writer) io.Writer {
	if c, ok := w.(*CleanWriter); ok {
		return rawWriter{c}
	}
	return w
}

// fileOf returns the file that a stream writes to, past any cleaning.
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
