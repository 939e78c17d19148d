package edit

import (
	"fmt"
	"strings"
	"testing"
)

// large describes a system of n services in a chain, with lines of comment for each.
func large(n, comments int) []byte {
	var b strings.Builder
	b.WriteString("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: large\nservices:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - name: s%d # a service\n    replicas: 2\n    work: {cpu: 2ms}\n", i)
		if i+1 < n {
			fmt.Fprintf(&b, "    calls: [s%d, {to: s%d, timeout: 1s}]\n", i+1, min(i+2, n-1))
		}
		b.WriteString(strings.Repeat("    # "+strings.Repeat("padding ", 9)+"\n", comments))
	}
	return []byte(b.String())
}

func benchmark(b *testing.B, n, comments int) {
	f, err := Open("large.yaml", large(n, comments))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(f.Text())))
	op := SetService{Service: fmt.Sprint("s", n/2), Field: "replicas", Value: []byte("3")}
	for b.Loop() {
		if _, _, err := f.Apply(op); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThousandServices(b *testing.B) { benchmark(b, 1000, 0) }

func BenchmarkTenMegabytes(b *testing.B) { benchmark(b, 2500, 50) }

func BenchmarkTwentyThousandServices(b *testing.B) { benchmark(b, 20000, 0) }
