// Package work really does the work of a request that a service's file describes:
// it keeps processors busy, for a time or for a number of VECROsim's units, writes
// to disk, and holds memory.
package work

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// ioUnit and ioBlock are the bytes written between syncs and at a time.
	ioUnit  = 512 << 10
	ioBlock = 1 << 10
	// burnChunk is how many roots are computed between two looks at the clock,
	// which takes about 10 us.
	burnChunk = 1024
)

// roots computes n square roots of random numbers.
func roots(n int, random *rand.PCG) float64 {
	sum := 0.0
	for range n {
		sum += math.Sqrt(float64(random.Uint64()>>11) / (1 << 53))
	}
	return sum
}

func newRandom() *rand.PCG { return rand.NewPCG(1, 2) }

// BurnCores keeps a number of processors busy for d on the clock. For a fraction of
// a core, a processor is busy for that fraction of every 10 ms.
func BurnCores(cores float64, d time.Duration, stopped func() bool) {
	end := time.Now().Add(d)
	var workers sync.WaitGroup
	for ; cores > 0; cores-- {
		share := min(cores, 1)
		workers.Go(func() { burnShare(share, end, stopped) })
	}
	workers.Wait()
}

const sharePeriod = 10 * time.Millisecond

func burnShare(share float64, end time.Time, stopped func() bool) {
	random := newRandom()
	sum := 0.0
	for now := time.Now(); now.Before(end) && !stopped(); now = time.Now() {
		busy := now.Add(time.Duration(share * float64(sharePeriod)))
		for time.Now().Before(busy) && time.Now().Before(end) {
			sum += roots(burnChunk, random)
		}
		if share < 1 {
			time.Sleep(min(time.Until(now.Add(sharePeriod)), time.Until(end)))
		}
	}
	runtime.KeepAlive(sum)
}

// WriteAndSync writes a temporary file in blocks of 1 KiB, syncs it every 512 KiB
// and at the end, and removes it. If the system allows it, the name of the file is
// removed at once, so that no file remains in any case.
func WriteAndSync(dir string, size int64, stopped func() bool) (err error) {
	file, err := os.CreateTemp(dir, "microsim-io-*")
	if err != nil {
		return fmt.Errorf("creating a file to write to: %w", err)
	}
	name := file.Name()
	removed := os.Remove(name) == nil
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = fmt.Errorf("closing %q: %w", name, e)
		}
		if removed {
			return
		}
		if e := os.Remove(name); err == nil && e != nil {
			err = fmt.Errorf("removing %q: %w", name, e)
		}
	}()
	var block [ioBlock]byte
	for written := int64(0); written < size && !stopped(); {
		n, err := file.Write(block[:min(size-written, ioBlock)])
		if err != nil {
			return fmt.Errorf("writing to %q: %w", name, err)
		}
		if written += int64(n); written%ioUnit == 0 || written == size {
			if err := file.Sync(); err != nil {
				return fmt.Errorf("syncing %q: %w", name, err)
			}
		}
	}
	return nil
}
