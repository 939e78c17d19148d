package service

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/workload/service/peer"
)

// A sender sends the calls of a service; peer.Client is one.
type sender interface {
	Send(r *peer.Request) (peer.Answer, error)
	KeepOnly(b *peer.Book)
	Close()
}

// SetPeers replaces the addresses of the system's services; see peer.NewBook.
// Attempts under way finish. Connections to addresses that are no longer in the map
// are not used again.
func (s *Service) SetPeers(peers map[string][]string) error {
	book, err := peer.NewBook(s.cfg.System, peers, s.cfg.AllowHosts)
	if err != nil {
		return fmt.Errorf("reading the peers of service %q: %w", s.Name(), err)
	}
	s.peers.Store(book)
	s.client.KeepOnly(book)
	s.stores.keepOnly(book)
	return nil
}

// Unreachable lists the services of the system that accept no connection now; see
// peer.Book.
func (s *Service) Unreachable(ctx context.Context) []string {
	return s.peers.Load().Unreachable(ctx)
}
