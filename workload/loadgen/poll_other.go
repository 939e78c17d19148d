//go:build !unix

package loadgen

// canPoll says whether conn.poll works here.
const canPoll = false

func (c *conn) poll(uintptr) bool { return true }

func (c *conn) alive() bool { return true }
