package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain ünï ✓":                "plain ünï ✓",
		"\x1b]0;title\a\x1b[2J":      `\x1b]0;title\a\x1b[2J`,
		"slow\nforged latency db":    `slow\nforged latency db`,
		"a\tb\r":                     `a\tb\r`,
		"\u009b2J":                   `\u009b2J`, // the one-character form of ESC [
		"abc\u202edcb":               `abc\u202edcb`,
		"broken \xff\x9b":            `broken \xff\x9b`,
		"a zero width joiner \u200d": "a zero width joiner \u200d",
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

// However text is cut into writes, the same comes out, and nothing that acts on
// a terminal.
func FuzzCleanWriter(f *testing.F) {
	f.Add("ü\x1b[2J\n\tx\u009b\xff\u202e€", 3)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		cut = min(max(cut, 0), len(text))
		var whole, parts bytes.Buffer
		a, b := NewCleanWriter(&whole), NewCleanWriter(&parts)
		for w, pieces := range map[*CleanWriter][]string{a: {text + "\n"}, b: {text[:cut], text[cut:] + "\n"}} {
			for _, piece := range pieces {
				if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
					t.Fatalf("wrote %d of %d bytes: %v", n, len(piece), err)
				}
			}
		}
		if whole.String() != parts.String() {
			t.Errorf("%q becomes %q, and in two parts %q", text, whole.String(), parts.String())
		}
		for _, r := range whole.String() {
			if r != '\n' && r != '\t' && unicode.IsControl(r) {
				t.Fatalf("%q becomes %q", text, whole.String())
			}
		}
	})
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestCleanWriterKeepsErrors(t *testing.T) {
	for name, write := range map[string]func(*CleanWriter) error{
		"clean": func(w *CleanWriter) error { _, err := w.Write([]byte("x")); return err },
		"raw":   func(w *CleanWriter) error { _, err := Raw(w).Write([]byte("x")); return err },
	} {
		w := NewCleanWriter(fullDisk{})
		if write(w) == nil || w.Err() == nil || !strings.Contains(w.Err().Error(), "no space") {
			t.Errorf("%s: the error is lost", name)
		}
	}
}
