package tail

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLog(t *testing.T) {
	var l Log
	if lines := l.Lines(); len(lines) > 0 {
		t.Errorf("nothing was written, and it has %q", lines)
	}
	fmt.Fprint(&l, "one\r\n  two\n")
	fmt.Fprint(&l, "three\n\n")
	if got, want := l.Lines(), []string{"one", "two", "three"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i := range 1000 {
		fmt.Fprintf(&l, "line %d\n", i)
	}
	fmt.Fprint(&l, strings.Repeat("x", limit-10)+"\nlast")
	if got := l.Lines(); got[len(got)-1] != "last" || len(strings.Join(got, "\n")) > limit {
		t.Errorf("%d bytes are kept, up to %q", len(strings.Join(got, "\n")), got[len(got)-1])
	}
}
