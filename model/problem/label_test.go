package problem

import (
	"strings"
	"testing"
)

func TestCheckFileName(t *testing.T) {
	for _, name := range []string{"", "failures", "流量 5 %", "a.b", "a..b", "=2+3", "-rf"} {
		var l List
		if l.CheckFileName("name", name); len(l) != 0 {
			t.Errorf("%q is refused: %v", name, l)
		}
	}
	for _, name := range []string{"..", ".", "../x", "a/b", `a\b`, "/etc", ".hidden", "C:x", "a\nb", strings.Repeat("x", 201)} {
		var l List
		if l.CheckFileName("name", name); len(l) != 1 {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestCheckLabel(t *testing.T) {
	for _, name := range []string{"", "slow db", "Überlast", "=2+3", "流量", "5 %"} {
		var l List
		if l.CheckLabel("name", name); len(l) != 0 {
			t.Errorf("%q is refused: %v", name, l)
		}
	}
	for _, name := range []string{"\x1b[2Jx", "a\nb", "a\tb", "a\rb", "\u202eabc", "\u2028", "\x7f", "\u0085", strings.Repeat("x", 201)} {
		var l List
		if l.CheckLabel("name", name); len(l) != 1 {
			t.Errorf("%q is accepted", name)
		}
	}
}
