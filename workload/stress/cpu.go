package stress

import (
	"hash/crc32"
	"math"
	"math/bits"
	"runtime"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// A work is a way to keep a processor busy. A call takes some ten microseconds,
// and returns what keeps the compiler from leaving it out. It allocates nothing:
// the process runs with its collector off, so that its load is the asked one.
type work struct {
	name string
	do   func(x uint64) uint64
}

// works lists all ways, named as stress-ng names them, for one worker.
func works() []work {
	// The checksum's block would escape from each call.
	block := make([]byte, 4096)
	return []work{
		{"sqrt", workSqrt},
		{"int64", workInt},
		{"matrixprod", workMatrix},
		{"crc32", func(x uint64) uint64 { return workCRC(x, block) }},
		{"bitops", workBits},
	}
}

func workSqrt(x uint64) uint64 {
	f := float64(x&0xffff) + 1
	for range 2000 {
		f = math.Sqrt(f + 2)
	}
	return math.Float64bits(f)
}

func workInt(x uint64) uint64 {
	for range 8000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		x += 0x9e3779b97f4a7c15
	}
	return x
}

func workMatrix(x uint64) uint64 {
	const n = 20
	var a, b [n][n]float64
	for i := range n {
		for j := range n {
			a[i][j], b[i][j] = float64(x%7+uint64(i)), float64(j)
		}
	}
	sum := 0.0
	for i := range n {
		for j := range n {
			for k := range n {
				sum += a[i][k] * b[k][j]
			}
		}
	}
	return math.Float64bits(sum)
}

func workCRC(x uint64, block []byte) uint64 {
	for i := range block {
		block[i] = byte(x) + byte(i)
	}
	sum := uint32(0)
	for range 8 {
		sum = crc32.Update(sum, crc32.IEEETable, block)
	}
	return uint64(sum)
}

func workBits(x uint64) uint64 {
	for range 8000 {
		x = bits.Reverse64(x) ^ bits.RotateLeft64(x, bits.OnesCount64(x)+1) + 1
	}
	return x
}

// Times of the alternation between work and sleep.
const (
	// period is how long a piece of work and the sleep after it take together.
	period = 100 * time.Millisecond
	// workFor is how long one of several ways of working lasts.
	workFor = time.Second
	// owing bounds how much work that a busy machine did not let happen is made
	// up for.
	owing = 2 * period
)

// keepBusy returns a worker that takes a share of one processor. It is told by
// the time that its thread was on a processor, not by the clock, so that the
// share is met also where others want the processor.
func (c Config) keepBusy(share float64, number int) func(<-chan struct{}) error {
	all := works()
	if c.Method != fault.AllMethods {
		for _, w := range all {
			if w.name == c.Method {
				all = []work{w}
				break
			}
		}
	}
	return func(stop <-chan struct{}) error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		begun, used := time.Now(), threadTime()
		x := uint64(number) + 1
		for !stopped(stop) {
			w := all[int(time.Since(begun)/workFor)%len(all)]
			end := time.Since(begun) + period
			goal := pace(share, end, threadTime()-used)
			for time.Since(begun) < end && threadTime()-used < goal && !stopped(stop) {
				x = w.do(x)
			}
			// Give up load that was missed by far.
			if late := time.Duration(share*float64(time.Since(begun))) - (threadTime() - used); late > owing {
				used -= late - owing
			}
			pause(stop, timer, end-time.Since(begun))
		}
		runtime.KeepAlive(x)
		return nil
	}
}

// pace returns how much time on a processor shall have been used at the end of a
// period.
func pace(share float64, end, used time.Duration) time.Duration {
	if share >= 1 {
		return used + end // for all of the period
	}
	return time.Duration(share * float64(end))
}

// pause sleeps by a timer, or less if stop is closed.
func pause(stop <-chan struct{}, timer *time.Timer, d time.Duration) {
	if d <= 0 {
		return
	}
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-stop:
	}
}
