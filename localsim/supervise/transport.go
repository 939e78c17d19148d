package supervise

import (
	"net"
	"net/http"
	"time"
)

// NewTransport carries the calls between all replicas in this process.
// Connections are kept so that a call costs no handshake, and bounded in number
// and age so that a large system does not run out of descriptors.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConns:        4096,
		MaxIdleConnsPerHost: 128,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
}
