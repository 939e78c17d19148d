package mock

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	unitRoots = 32768
	chunk     = 1024
)

func roots(n int) (sum float64) {
	for range n {
		sum += math.Sqrt(rand.Float64())
	}
	return sum
}

// burnUnits takes so many units of 32 768 square roots of random numbers.
func burnUnits(units float64) { roots(int(units * unitRoots)) }

// burnTime spends so much processor time on a thread.
func burnTime(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for start := threadTime(); threadTime()-start < d; {
		roots(chunk)
	}
}

// burnCores keeps a number of processors busy for so long.
func burnCores(cores float64, d time.Duration) {
	const period = 10 * time.Millisecond
	var wait sync.WaitGroup
	for end := time.Now().Add(d); cores > 0; cores-- {
		busy := time.Duration(min(cores, 1) * float64(period))
		wait.Go(func() {
			for began := time.Now(); began.Before(end); began = time.Now() {
				for time.Since(began) < busy {
					roots(chunk)
				}
				time.Sleep(period - busy)
			}
		})
	}
	wait.Wait()
}

const (
	ioBlock   = 1024
	syncEvery = 512 * 1024
)

// writeAndSync writes a temporary file, syncs it every 512 KiB and at the end, and
// removes it.
func writeAndSync(bytes int64) error {
	file, err := os.CreateTemp("", "microsim-io-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, ioBlock)
	for written := int64(0); written < bytes; {
		n, err := file.Write(block[:min(ioBlock, bytes-written)])
		if err != nil {
			return err
		}
		if written += int64(n); written%syncEvery == 0 || written == bytes {
			if err := file.Sync(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sleep waits, unless the service ends before.
func sleep(stopping context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stopping.Done():
	}
}

// maxMemory bounds what is held.
const maxMemory = 4 << 30

// memory is what is held for requests and leaks.
type memory struct {
	mu   sync.Mutex
	held int64
}

// take takes memory and makes it real. free gives it back.
func (m *memory) take(bytes int64) (free func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held+bytes > maxMemory {
		return nil, fmt.Errorf("%d bytes beside the %d held are more than the %d possible", bytes, m.held, int64(maxMemory))
	}
	m.held += bytes
	block := make([]byte, bytes)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	return sync.OnceFunc(func() {
		runtime.KeepAlive(block)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.held -= bytes
	}), nil
}

func (m *memory) now() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return float64(m.held)
}
