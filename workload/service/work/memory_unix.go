//go:build unix

package work

import "syscall"

// mapMemory takes memory from the system itself, past the garbage collector, so
// that it is given back the moment it is freed.
func mapMemory(size int64) ([]byte, error) {
	return syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func unmapMemory(b []byte) error { return syscall.Munmap(b) }
