package stress

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func TestFromFault(t *testing.T) {
	for _, tt := range []struct {
		kind fault.Type
		args fault.Args
		want string // what it says, or a part of the error
		ok   bool
	}{
		{fault.CPUStress, fault.Args{}, "cpu 1 at 100 %, method all", true},
		{fault.CPUStress, fault.Args{Cores: 0.5, Load: 0.25, Method: "sqrt"}, "cpu 500m at 25 %, method sqrt", true},
		{fault.CPUStress, fault.Args{Method: "dance"}, `method "dance": want one of all, sqrt`, false},
		{fault.CPUStress, fault.Args{Load: 2}, "load 2", false},
		{fault.CPUStress, fault.Args{Cores: 1000}, "at most 256", false},
		{fault.IOStress, fault.Args{}, "sync of a file of 16Mi", true},
		{fault.IOStress, fault.Args{Method: "iomix", Size: 1 << 20}, "iomix of a file of 1Mi", true},
		{fault.IOStress, fault.Args{Method: "dd"}, "want one of sync, iomix", false},
		{fault.IOStress, fault.Args{Size: 1}, "want 64Ki to 4Gi", false},
		{fault.MemoryStress, fault.Args{Size: 1 << 20}, "1Mi of memory", true},
		{fault.MemoryStress, fault.Args{}, "want at most 4Gi", false},
		{fault.Pause, fault.Args{}, "not a stress", false},
	} {
		c, err := FromFault(fault.Fault{Type: tt.kind, Probability: 1, Args: tt.args})
		if tt.ok && (err != nil || c.String() != tt.want) || !tt.ok && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s %+v: %q, %v; want %q", tt.kind, tt.args, c, err, tt.want)
		}
	}
	if _, err := FromFault(fault.Fault{Type: fault.CPUStress, Probability: 0.5}); err == nil {
		t.Error("a probability is taken")
	}
}

func TestStressThatIsOverBeforeItBegins(t *testing.T) {
	s, err := Prepare(Config{Type: fault.CPUStress, Cores: 1, Load: 1, Method: "all"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestStressTellsWhyItEnded(t *testing.T) {
	s, err := Prepare(Config{Type: fault.IOStress, Method: "sync", Size: 1 << 20, Dir: "/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "/does/not/exist") && runtime.GOOS == "linux" {
		t.Errorf("it ends with %v", err)
	}
}

func TestPace(t *testing.T) {
	// At the end of each period the share has been taken, whatever came before.
	if got := pace(0.25, 400*time.Millisecond, 0); got != 100*time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := pace(1, 400*time.Millisecond, 390*time.Millisecond); got < 400*time.Millisecond {
		t.Errorf("a whole processor is given up after %v", got)
	}
}
