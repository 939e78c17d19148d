package loadgen

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// pairs counts the distinct pairs of a chain and its answer, as MicroSim does, up
// to a bound.
type pairs struct {
	seed maphash.Seed
	// known has the *pair values by the hash of both texts.
	known sync.Map
	mu    sync.Mutex
	// list is guarded by mu.
	list    []*pair
	further atomic.Int64
}

type pair struct {
	result.Pair
	count atomic.Int64
}

func newPairs() *pairs { return &pairs{seed: maphash.MakeSeed()} }

// add counts an answer to a chain. It keeps neither of the texts.
func (p *pairs) add(request string, sent, answer []byte, status int) {
	var h maphash.Hash
	h.SetSeed(p.seed)
	_, _ = h.Write(sent)
	_ = h.WriteByte(0)
	_, _ = h.Write(answer)
	sum := h.Sum64()
	if known, ok := p.known.Load(sum); ok {
		known.(*pair).count.Add(1)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.known.Load(sum); ok {
		known.(*pair).count.Add(1)
		return
	}
	if len(p.list) == result.MaxPairs {
		p.further.Add(1)
		return
	}
	digest := sha256.New()
	digest.Write(sent)
	digest.Write([]byte{0})
	digest.Write(answer)
	made := &pair{Pair: result.Pair{
		ID: hex.EncodeToString(digest.Sum(nil)[:8]), Request: request, Sent: beginning(sent), Answer: beginning(answer), Status: status,
	}}
	made.count.Add(1)
	p.list = append(p.list, made)
	p.known.Store(sum, made)
}

// beginning returns the part of a document that is stored: its beginning, without
// passwords of URLs.
func beginning(text []byte) string {
	text = []byte(problem.CleanText(string(text)))
	if len(text) > result.MaxPairText {
		return strings.ToValidUTF8(string(text[:result.MaxPairText]), "") + "..."
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text)), "\uFFFD")
}

// report adds the pairs to the details of a report.
func (p *pairs) report(d *result.Details) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, counted := range p.list {
		one := counted.Pair
		one.Count = counted.count.Load()
		d.Pairs = append(d.Pairs, one)
	}
	d.FurtherPairs = p.further.Load()
}
