package loadgen

import (
	"sync"
)

// Responses remembers which different answers came, up to a bound, so that a
// long load cannot fill the memory. Hand it to a Generator; it may be read while
// the load runs.
type Responses struct {
	mu    sync.Mutex
	most  int
	seen  map[distinct]int
	list  []DistinctResponse
	other int64
}

type distinct struct {
	request, status int
	sum             [32]byte
}

// A DistinctResponse is one answer that at least one request of the mix got.
type DistinctResponse struct {
	// Request is its index in the profile.
	Request int `json:"request"`
	Status  int `json:"status"`
	// SHA256 is that of the body.
	SHA256 [32]byte `json:"-"`
	// Count is how often it came.
	Count int64 `json:"count"`
}

// NewResponses remembers up to most different answers.
func NewResponses(most int) *Responses {
	return &Responses{most: most, seen: map[distinct]int{}}
}

func (r *Responses) add(request, status int, sum []byte) {
	key := distinct{request: request, status: status}
	copy(key.sum[:], sum)
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known := r.seen[key]
	switch {
	case known:
		r.list[at].Count++
	case len(r.list) < r.most:
		r.seen[key] = len(r.list)
		r.list = append(r.list, DistinctResponse{request, status, key.sum, 1})
	default:
		r.other++
	}
}

// All returns the answers in the order in which they first came, and how many
// more came that found the memory full.
func (r *Responses) All() (list []DistinctResponse, others int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(list, r.list...), r.other
}
