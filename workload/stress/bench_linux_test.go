package stress

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// BenchmarkShare tells how exactly a share of a processor is taken: the ratio of
// what was taken to what was asked for. Where others keep the machine busy, a
// share that is large cannot be met.
func BenchmarkShare(b *testing.B) {
	for _, tt := range []struct {
		cores unit.Cores
		load  float64
	}{{1, 0.1}, {1, 0.3}, {1, 0.5}, {0.5, 0.5}, {2, 0.25}} {
		b.Run(fmt.Sprintf("cores=%v/load=%v", tt.cores, tt.load), func(b *testing.B) {
			for b.Loop() {
				c := Config{Type: fault.CPUStress, Cores: tt.cores, Load: tt.load, Method: "all"}
				s, err := Prepare(c)
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
				used, begun := processTime(b), time.Now()
				if err := s.Run(ctx); err != nil {
					b.Fatal(err)
				}
				cancel()
				share := float64(processTime(b)-used) / float64(time.Since(begun))
				b.ReportMetric(share/(float64(tt.cores)*tt.load), "taken/asked")
			}
		})
	}
}

// BenchmarkWorks tells how long the parts of work take, between which the time
// is looked at.
func BenchmarkWorks(b *testing.B) {
	for _, w := range works() {
		b.Run(w.name, func(b *testing.B) {
			x := uint64(1)
			for b.Loop() {
				x = w.do(x)
			}
			runtime.KeepAlive(x)
		})
	}
}
