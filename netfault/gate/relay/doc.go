// Package relay carries data between the two sockets of a connection that nobody wants to
// look at: on Linux by an event loop and splice, so that most of it never enters the
// process. Elsewhere there is no relay, see Available.
package relay

// A Half is one direction of a connection, as Carry finds and leaves it.
type Half struct {
	// Pending was read and is not written yet.
	Pending []byte
	// EOF says that the end of data was read, Shut that it was passed on, too.
	EOF, Shut bool
}
