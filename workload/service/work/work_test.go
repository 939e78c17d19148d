package work

import (
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestWorkIsReal(t *testing.T) {
	never := func() bool { return false }
	t.Run("cpu time", func(t *testing.T) {
		const requests, each = 8, 10 * time.Millisecond
		p := NewProcessors()
		p.Join()
		defer p.Leave()
		used := processTime(t)
		var wait sync.WaitGroup
		for range requests {
			wait.Go(func() { p.Burn(each, nil, nil) })
		}
		wait.Wait()
		// Other work of the process is counted, too, but is little.
		if used = processTime(t) - used; used < requests*each || used > 3*requests*each {
			t.Errorf("%d times %v took %v of processor time", requests, each, used)
		}
	})
	t.Run("cores", func(t *testing.T) {
		wall := time.Now()
		BurnCores(2.5, 30*time.Millisecond, never)
		if took := time.Since(wall); took < 30*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("units", func(t *testing.T) {
		wall := time.Now()
		NewUnits().Burn(1, never)
		if took := time.Since(wall); took <= 0 || took > time.Second {
			t.Errorf("a unit takes %v", took)
		}
	})
	t.Run("io", func(t *testing.T) {
		dir := t.TempDir()
		for _, size := range []int64{0, 1, ioUnit, ioUnit + 1500} {
			if err := WriteAndSync(dir, size, never); err != nil {
				t.Error(err)
			}
		}
		if err := WriteAndSync(dir+"/nowhere", 1, never); err == nil {
			t.Error("writing to a directory that is not there went well")
		}
	})
}

// processTime is the processor time that this process has used.
func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
