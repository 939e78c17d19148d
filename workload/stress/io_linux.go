package stress

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// touchEvery is how long held memory is left alone.
const touchEvery = 10 * time.Second

// openFile makes a file that no name leads to, so that it goes when the process
// ends, however that comes.
func openFile(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	// This file system does not know such files, overlays of old kernels for one.
	if f, err = os.CreateTemp(dir, ".microsim-stress-"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// forget has the kernel read from the disk again what it has in memory.
func forget(f *os.File) error {
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// holdMemory takes memory and keeps it in use.
func (c Config) holdMemory(stop <-chan struct{}) error {
	memory, err := unix.Mmap(-1, 0, int(c.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("taking %s of memory: %w", c.Size, err)
	}
	defer func() { _ = unix.Munmap(memory) }() // it goes with the process as well
	page := os.Getpagesize()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for round := byte(1); !stopped(stop); round++ {
		for at := 0; at < len(memory) && !stopped(stop); at += page {
			memory[at] = round
		}
		// Again and again, so that it is not swapped out for good.
		pause(stop, timer, touchEvery)
	}
	return nil
}
