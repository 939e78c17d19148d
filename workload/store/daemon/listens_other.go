//go:build !linux

package daemon

// listens cannot tell who listens at an address here, and takes it for the process.
func listens(int, string) bool { return true }
