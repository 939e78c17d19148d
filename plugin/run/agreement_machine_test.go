package run

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// mostOthers is the share of the processors that other programs may take while an
// agreement is measured.
const mostOthers = 0.15

// A machineUse is what the processors have done, in ticks of the kernel.
type machineUse struct{ all, busy, own int64 }

// useOfMachine reads that from /proc; it is false on systems without one.
func useOfMachine() (u machineUse, ok bool) {
	machine, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u, false
	}
	self, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return u, false
	}
	return readUse(string(machine), string(self))
}

// readUse reads both files (proc_stat(5), proc_pid_stat(5)).
func readUse(machine, self string) (u machineUse, ok bool) {
	line, _, _ := strings.Cut(machine, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return u, false
	}
	for i, text := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return u, false
		}
		if u.all += n; i != 3 && i != 4 {
			u.busy += n
		}
	}
	fields = strings.Fields(self[strings.LastIndex(self, ")")+1:]) // what follows the name of the program
	if len(fields) < 13 {
		return u, false
	}
	for _, text := range fields[11:13] { // utime stime
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return u, false
		}
		u.own += n
	}
	return u, true
}

// others is the share of the processors that other programs have had since an earlier
// moment.
func (u machineUse) others(since machineUse) float64 {
	return float64(u.busy-since.busy-(u.own-since.own)) / float64(max(u.all-since.all, 1))
}

// watchOthers begins to watch the machine. The returned function says why figures measured
// since then cannot be trusted, or returns "" if they can.
func watchOthers() func() string {
	before, ok := useOfMachine()
	return func() string {
		after, still := useOfMachine()
		if share := after.others(before); ok && still && share > mostOthers {
			return fmt.Sprintf("other programs took %.0f %% of the processors meanwhile, so the figures say little, and are not written: repeat it when the machine is quiet", 100*share)
		}
		return ""
	}
}

func TestOthersAreWhatIsNotOurs(t *testing.T) {
	before, ok := readUse("cpu  100 0 50 1000 10 0 0 5 0 0\ncpu0 1 2\n", "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 20 10 0 0 20 0")
	after, also := readUse("cpu  160 0 70 1100 20 0 0 15 0 0\ncpu0 1 2\n", "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 50 20 0 0 20 0")
	if !ok || !also {
		t.Fatalf("the files are not read: %+v, %+v", before, after)
	}
	// Of 200 ticks 90 were busy, 40 of them ours.
	if got := after.others(before); got != 0.25 {
		t.Errorf("others had %v of the processors, want 0.25", got)
	}
	if _, ok := readUse("intr 1 2 3", ""); ok {
		t.Error("what is no such file is read")
	}
}
