//go:build !unix

package front

// Descriptors is how many the process may have, or most if that is more: there is no
// bound to ask for.
func Descriptors(most int) int { return most }
