//go:build !unix

package gate

// descriptors is how many the process may have: there is no bound to ask for.
func descriptors() int { return 4 * MaxConnections }
