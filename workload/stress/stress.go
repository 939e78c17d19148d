// Package stress takes processor time, disk time or memory away, as much as it
// is told, until it is told to stop.
package stress

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// Config says what to take away.
type Config struct {
	// Type is one of cpu-stress, io-stress and memory-stress.
	Type fault.Type
	// Cores is how many processors are kept busy, and Load the share, 0 to 1,
	// of the time of each.
	Cores unit.Cores
	Load  float64
	// Method is the work of the processors, by default all of them in turn, or
	// the pattern of input and output: sync or iomix.
	Method string
	// Size is the memory held, or the length of the file written to.
	Size unit.Size
	// Dir is where the file is made, which no name leads to and which goes when
	// the process ends.
	Dir string
}

// DefaultFile is the length of the file of an io-stress.
const DefaultFile unit.Size = 16 << 20

// FromFault returns what a fault on resources takes away.
func FromFault(f fault.Fault) (Config, error) {
	f = f.WithDefaults()
	c := Config{Type: f.Type, Cores: f.Args.Cores, Load: float64(f.Args.Load), Method: f.Args.Method, Size: f.Args.Size}
	if c.Type == fault.IOStress && c.Size == 0 {
		c.Size = DefaultFile
	}
	if c.Type == fault.CPUStress && c.Method == "" {
		c.Method = fault.AllMethods
	}
	if f.Probability < 1 {
		return c, fmt.Errorf("a %s takes from all or none: leave the probability out", c.Type)
	}
	return c, c.Validate()
}

// Validate says what is wrong.
func (c Config) Validate() error {
	methods := fault.Methods(c.Type)
	switch c.Type {
	case fault.CPUStress:
		if !(c.Cores > 0 && c.Cores <= fault.MaxCores) {
			return fmt.Errorf("cores %q: want more than 0 and at most %d", c.Cores, fault.MaxCores)
		}
		if !(c.Load > 0 && c.Load <= 1) {
			return fmt.Errorf("load %v: want a share between 0 and 1, such as 0.5", c.Load)
		}
	case fault.IOStress:
		if c.Size < blockSize || c.Size > fault.MaxLeak {
			return fmt.Errorf("size %q: want %s to %s", c.Size, unit.Size(blockSize), unit.Size(fault.MaxLeak))
		}
	case fault.MemoryStress:
		if c.Size <= 0 || c.Size > fault.MaxLeak {
			return fmt.Errorf("size %q: want at most %s", c.Size, unit.Size(fault.MaxLeak))
		}
	default:
		return fmt.Errorf("%q is not a stress: want %s, %s or %s", c.Type, fault.CPUStress, fault.IOStress, fault.MemoryStress)
	}
	if len(methods) > 0 && !slices.Contains(methods, c.Method) {
		return fmt.Errorf("method %q: want one of %s", c.Method, strings.Join(methods, ", "))
	}
	return nil
}

// String tells what is taken, for people.
func (c Config) String() string {
	switch c.Type {
	case fault.CPUStress:
		return fmt.Sprintf("cpu %s at %.4g %%, method %s", c.Cores, 100*c.Load, c.Method)
	case fault.IOStress:
		return fmt.Sprintf("%s of a file of %s", c.Method, c.Size)
	default:
		return c.Size.String() + " of memory"
	}
}

// A Stress is ready to begin. All its threads are there already, so that a
// limit on their number no longer matters.
type Stress struct {
	config Config
	begin  chan struct{}
	stop   chan struct{}
	ended  chan error
	count  int
}

// Prepare makes a stress ready; Run must follow.
func Prepare(c Config) (*Stress, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("preparing a stress: %w", err)
	}
	s := &Stress{config: c, begin: make(chan struct{}), stop: make(chan struct{})}
	var workers []func(stop <-chan struct{}) error
	switch c.Type {
	case fault.CPUStress:
		for share := float64(c.Cores); share > 0; share-- {
			workers = append(workers, c.keepBusy(min(share, 1)*c.Load, len(workers)))
		}
	case fault.IOStress:
		workers = append(workers, c.writeAndRead)
	default:
		workers = append(workers, c.holdMemory)
	}
	s.count = len(workers)
	s.ended = make(chan error, s.count)
	ready := make(chan struct{})
	for _, w := range workers {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- struct{}{}
			<-s.begin
			s.ended <- w(s.stop)
		}()
	}
	for range s.count {
		<-ready
	}
	return s, nil
}

// Run stresses until ctx ends or something fails.
func (s *Stress) Run(ctx context.Context) error {
	stop := sync.OnceFunc(func() { close(s.stop) })
	if ctx.Err() != nil {
		stop()
	}
	close(s.begin)
	var err error
	left := s.count
	select {
	case <-ctx.Done():
	case err = <-s.ended:
		left--
	}
	stop()
	for range left {
		if failed := <-s.ended; err == nil {
			err = failed
		}
	}
	if err != nil {
		return fmt.Errorf("stressing (%s): %w", s.config, err)
	}
	return nil
}

// stopped tells whether a channel is closed.
func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
