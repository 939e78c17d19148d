//go:build !unix

package work

func mapMemory(size int64) ([]byte, error) { return make([]byte, size), nil }

// unmapMemory leaves the memory to the garbage collector.
func unmapMemory([]byte) error { return nil }
