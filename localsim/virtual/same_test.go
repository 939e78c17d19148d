package virtual

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/runner"
)

// TestSameSeedSameBytes plays runs twice, and series on one and on several
// processors: results and events are the same to the byte.
func TestSameSeedSameBytes(t *testing.T) {
	for _, name := range []string{"shop", "chaos-kill", "outage-lab", "lesson-13-metastable"} {
		var first []byte
		for _, processors := range []int{1, 2, 4} {
			before := runtime.GOMAXPROCS(processors)
			var out bytes.Buffer
			c, err := RunAll(context.Background(), example(t, name), nil, []uint64{1, 2, 3}, Options{Observer: func(e runner.Event) {
				if _, last := e.(runner.RunEnded); !last {
					fmt.Fprintf(&out, "%T", e)
					if err := json.NewEncoder(&out).Encode(e); err != nil {
						fmt.Fprintf(&out, "%v", err)
					}
				}
			}})
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(text)
			if first == nil {
				first = out.Bytes()
			}
			if !bytes.Equal(first, out.Bytes()) {
				t.Errorf("%s: another course on %d processors: %s", name, processors, difference(first, out.Bytes()))
			}
		}
		if len(first) < 10000 {
			t.Errorf("%s: only %d bytes were compared", name, len(first))
		}
	}
}

// difference is what two texts are like where they part.
func difference(a, b []byte) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	around := func(text []byte) string { return string(text[max(0, i-100):min(len(text), i+100)]) }
	return fmt.Sprintf("\n%s\n%s", around(a), around(b))
}
