package stress

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func TestStressEnds(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []fault.Fault{
		{Type: fault.CPUStress, Args: fault.Args{Cores: 1.5, Load: 0.1}},
		{Type: fault.IOStress, Args: fault.Args{Method: "sync", Size: 1 << 20}},
		{Type: fault.IOStress, Args: fault.Args{Method: "iomix", Size: 1 << 20}},
		{Type: fault.MemoryStress, Args: fault.Args{Size: 1 << 20}},
	} {
		f.Probability = 1
		c, err := FromFault(f)
		if err != nil {
			t.Fatal(err)
		}
		c.Dir = dir
		s, err := Prepare(c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Run(ctx); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		if ctx.Err() == nil {
			t.Errorf("%s ended by itself", c)
		}
		cancel()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}
