package stress

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// consumed is what this process has taken from the machine.
type consumed struct {
	cpu time.Duration
	// waited is how long its threads were ready to run, and others ran instead.
	waited time.Duration
	// resident is the memory that is real, in bytes; allocated all of Go's so far.
	resident, allocated int64
	// read and written are bytes, whether or not they came to the disk.
	read, written int64
}

func consumedNow(t *testing.T) consumed {
	t.Helper()
	c := consumed{cpu: processTime(t), waited: waitedForProcessors(t)}
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	c.allocated = int64(heap.TotalAlloc)
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d", &c.read, &c.written); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile("/proc/self/statm"); err != nil {
		t.Fatal(err)
	}
	var size int64
	if _, err := fmt.Sscan(string(text), &size, &c.resident); err != nil {
		t.Fatal(err)
	}
	c.resident *= int64(os.Getpagesize())
	return c
}

// waitedForProcessors sums what the kernel tells of each thread
// (https://docs.kernel.org/scheduler/sched-stats.html); 0 if it does not tell.
func waitedForProcessors(t *testing.T) (sum time.Duration) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*/schedstat")
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		var ran, waited time.Duration
		if text, err := os.ReadFile(thread); err == nil { // else it has ended
			if _, err := fmt.Sscan(string(text), &ran, &waited); err != nil {
				t.Fatal(err)
			}
			sum += waited
		}
	}
	return sum
}

// stressFor runs a stress for a while and returns what it took. It looks at
// memory and files in between.
func stressFor(t *testing.T, c Config, d time.Duration, look func(consumed)) (took consumed, elapsed time.Duration) {
	t.Helper()
	s, err := Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	before, begun := consumedNow(t), time.Now()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		select {
		case <-time.After(d * 3 / 4):
			now := consumedNow(t)
			now.resident -= before.resident
			look(now)
		case <-ctx.Done():
		}
	}()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	elapsed = time.Since(begun)
	after := consumedNow(t)
	<-looked
	return consumed{
		after.cpu - before.cpu, after.waited - before.waited, after.resident - before.resident, after.allocated - before.allocated, after.read - before.read, after.written - before.written,
	}, elapsed
}

// slack is what the test itself may allocate, read and write.
const slack = 1 << 20

func methods() []string {
	names := []string{fault.AllMethods}
	for _, w := range works() {
		names = append(names, w.name)
	}
	return names
}

// Each way of working takes the share that it is asked for, and nothing else. On a busy
// machine it takes less, by no more than it waited for a processor.
func TestLoadOfEachMethod(t *testing.T) {
	for _, method := range methods() {
		t.Run(method, func(t *testing.T) {
			lasting := time.Second
			if method == fault.AllMethods {
				lasting = time.Duration(len(works())) * workFor
			}
			const load = 0.4
			var took consumed
			var share, waited float64
			right := false
			// A thread that ends takes what it waited with it.
			for try := 0; try < 3 && !right; try++ {
				var elapsed time.Duration
				took, elapsed = stressFor(t, Config{Type: fault.CPUStress, Cores: 1, Load: load, Method: method}, lasting, func(consumed) {})
				share, waited = float64(took.cpu)/float64(elapsed), float64(took.waited)/float64(elapsed)
				right = share <= 1.1*load && share+waited >= 0.9*load
			}
			if !right {
				t.Errorf("it takes %.3f of a processor and waits for one %.3f of the time, want %v within 10 %%", share, waited, load)
			}
			if took.allocated > slack || took.resident > 4*slack {
				t.Errorf("it allocates %d bytes, and holds %d more; the memory must stay flat", took.allocated, took.resident)
			}
			if took.read > slack || took.written > slack {
				t.Errorf("it reads %d bytes and writes %d", took.read, took.written)
			}
		})
	}
}

func TestWorksAllocateNothing(t *testing.T) {
	for _, w := range works() {
		x := uint64(1)
		if n := testing.AllocsPerRun(20, func() { x = w.do(x) }); n != 0 {
			t.Errorf("%s allocates %v times a call", w.name, n)
		}
	}
}

// fileSizes are those of the files without a name that this process has open in
// a directory.
func fileSizes(t *testing.T, dir string) (sizes []int64) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir) {
			if info, err := os.Stat(link); err == nil {
				sizes = append(sizes, info.Size())
			}
		}
	}
	return sizes
}

// Both patterns write; iomix reads, too. The file has its size, the memory stays.
func TestInputAndOutputOfEachMethod(t *testing.T) {
	for method, reads := range map[string]bool{"sync": false, "iomix": true} {
		t.Run(method, func(t *testing.T) {
			dir := t.TempDir()
			const size = 1 << 20
			var sizes []int64
			took, _ := stressFor(t, Config{Type: fault.IOStress, Method: method, Size: size, Dir: dir}, time.Second, func(consumed) { sizes = fileSizes(t, dir) })
			if took.written < 2*size || reads != (took.read > slack) {
				t.Errorf("it reads %d bytes and writes %d", took.read, took.written)
			}
			if len(sizes) != 1 || sizes[0] > size || sizes[0] < size/2 {
				t.Errorf("its files have %v bytes, want one of up to %d", sizes, size)
			}
			if took.allocated > slack || took.resident > 4*slack {
				t.Errorf("it allocates %d bytes, and holds %d more", took.allocated, took.resident)
			}
		})
	}
}

// Held memory is real while the stress lasts, and gone afterwards.
func TestMemoryIsHeldAndFreed(t *testing.T) {
	const size = 64 << 20
	var during consumed
	took, elapsed := stressFor(t, Config{Type: fault.MemoryStress, Size: size}, 2*time.Second, func(now consumed) { during = now })
	if math.Abs(float64(during.resident)/size-1) > 0.1 {
		t.Errorf("it holds %d bytes, want %d within 10 %%", during.resident, size)
	}
	if took.resident > size/10 || took.allocated > slack || took.written > slack {
		t.Errorf("afterwards %+v", took)
	}
	if took.cpu > elapsed/2 {
		t.Errorf("it takes %v of processor time in %v", took.cpu, elapsed)
	}
}
