//go:build !unix

package http1

// canPoll says whether Conn.poll works here.
const canPoll = false

func (c *Conn) poll(uintptr) bool { return true }

// silent believes that it is: the system cannot be asked without waiting.
func (c *Conn) silent() bool { return true }
