package stress_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/workload/stress"
)

// A stress reads from its command line what the helper wrote there.
func TestArgsAreReadBack(t *testing.T) {
	for name, want := range map[string]stress.Config{
		"cpu":    {Type: fault.CPUStress, Cores: 2.5, Load: 0.4, Method: "crc32", Dir: "/tmp"},
		"io":     {Type: fault.IOStress, Cores: 1, Load: 1, Method: "iomix", Size: 64 << 20, Dir: "/proc/self/fd/3"},
		"memory": {Type: fault.MemoryStress, Cores: 1, Load: 1, Size: 100 << 20, Dir: "/tmp"},
	} {
		t.Run(name, func(t *testing.T) {
			args := stress.Args(want, 90*time.Second)
			if args[0] != "stress" {
				t.Fatalf("the command is %q", args[0])
			}
			var got stress.Options
			if err := stress.Flags(&got).Parse(args[1:]); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, stress.Options{Config: want, Lasting: 90 * time.Second, Wait: true}) {
				t.Errorf("%q is read as %+v", args, got)
			}
		})
	}
}
