package peer

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// reachTimeout bounds one attempt to connect.
	reachTimeout = time.Second
	// reachAtOnce bounds the attempts that are under way at once.
	reachAtOnce = 64
)

// Unreachable connects to one address of every service of the system, without
// sending anything, and lists the services that accept no connection. If addresses
// become known only after some time, as names and virtual addresses do, the list
// shows when they all are.
func (b *Book) Unreachable(ctx context.Context) []string {
	unreachable := []string{}
	var (
		mu    sync.Mutex
		wait  sync.WaitGroup
		slots = make(chan struct{}, reachAtOnce)
	)
	for name, urls := range b.urls {
		if len(urls) == 0 {
			continue
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if reaches(ctx, urls[0]) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			unreachable = append(unreachable, name)
		})
	}
	wait.Wait()
	slices.Sort(unreachable)
	return unreachable
}

func reaches(ctx context.Context, base string) bool {
	r, err := newReplica(base)
	if err != nil {
		return false
	}
	dialer := net.Dialer{Timeout: reachTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
