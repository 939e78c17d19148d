//go:build unix

package work

import "syscall"

// mapMemory allocates memory from the system directly, and not from the garbage
// collector, so that Free returns it at once.
func mapMemory(size int64) ([]byte, error) {
	return syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

func unmapMemory(b []byte) error { return syscall.Munmap(b) }
