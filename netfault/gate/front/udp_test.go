package front

import (
	"sync/atomic"
	"testing"
)

// A client that floods while nothing is read loses datagrams.
func TestWaitingDatagramsAreBounded(t *testing.T) {
	var held atomic.Int64
	f := &datagrams{server: Server{Held: &held, MaxHeld: 3 * maxWaiting}}
	for i := range 5 {
		c := &udpClient{front: f, readable: make(chan struct{}, 1)}
		for range 100 {
			c.put(make([]byte, 60000))
		}
		if c.bytes > maxWaiting {
			t.Errorf("%d bytes wait for one client, the bound is %d", c.bytes, maxWaiting)
		}
		if held := held.Load(); held > 3*maxWaiting+60200 {
			t.Errorf("%d bytes wait after %d clients", held, i+1)
		}
		defer c.end()
	}
}
