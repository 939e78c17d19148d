package result

import (
	"cmp"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
)

// Bounds of what a report says in detail.
const (
	// MaxFailures is how many kinds of failure a report tells apart.
	MaxFailures = 32
	// MaxPairs is how many distinct pairs of a chain and its answer it has.
	MaxPairs = 32
	// MaxPairText is how many bytes it has of a chain, and of an answer.
	MaxPairText = 2 << 10
)

// A FailureKind is what makes two failures the same.
type FailureKind struct {
	Class  outcome.Class  `json:"class"`
	Reason outcome.Reason `json:"reason"`
	// Hop is the hop of a chain that failed: "front -> cart".
	Hop string `json:"hop,omitempty"`
}

// A Failure is one reason for which requests of a load did not end well.
type Failure struct {
	FailureKind
	// Count is exact.
	Count int64 `json:"count"`
	// Example is the earliest of these requests that was told of.
	Example Example `json:"example,omitzero"`
}

// Add counts requests that failed for the same reason. Those who tell of them come in any
// order, so the example is that of the request that was to start first.
func (f *Failure) Add(count int64, example *Example) {
	f.Count += count
	if example.At < f.Example.At {
		f.Example = *example
	}
}

// An Example is one request that did not end well.
type Example struct {
	// Request is its name in the mix, URL where it was sent, ID its X-Request-ID.
	Request string `json:"request,omitempty"`
	URL     string `json:"url,omitempty"`
	ID      string `json:"id,omitempty"`
	// At is when it was to start, in seconds since the load began.
	At float64 `json:"at"`
	// Text is what was seen: an error, or the status and beginning of an answer.
	Text string `json:"text,omitempty"`
}

// A Pair is a chain as it was sent, and an answer that came back.
type Pair struct {
	// ID is the beginning of the SHA-256 of both texts, so that texts that were
	// cut can be told apart.
	ID string `json:"id"`
	// Request is the name in the mix.
	Request string `json:"request"`
	// Sent and Answer are the bodies, up to MaxPairText bytes of each.
	Sent   string `json:"sent"`
	Answer string `json:"answer"`
	Status int    `json:"status"`
	// Count is of the requests that were alike in both; exact.
	Count int64 `json:"count"`
}

// Details are what a report tells beside counts and latencies: reasons of
// failures, and the pairs of chains and answers. Both are bounded.
type Details struct {
	// Failures are the most frequent first. Requests beyond MaxFailures kinds are
	// counted in FurtherFailures alone.
	Failures        []Failure `json:"failures,omitempty"`
	FurtherFailures int64     `json:"furtherFailures,omitempty"`
	// Pairs are the most frequent first. Answers to chains that are like none of
	// the first MaxPairs are counted in FurtherPairs alone.
	Pairs        []Pair `json:"pairs,omitempty"`
	FurtherPairs int64  `json:"furtherPairs,omitempty"`
}

// mergeDetails sums up those of several reports.
func mergeDetails(reports []*LoadReport) (whole Details) {
	failures, pairs := map[FailureKind]int{}, map[string]int{}
	for _, r := range reports {
		whole.FurtherFailures += r.FurtherFailures
		whole.FurtherPairs += r.FurtherPairs
		for _, f := range r.Failures {
			if i, known := failures[f.FailureKind]; known {
				whole.Failures[i].Add(f.Count, &f.Example)
				continue
			}
			failures[f.FailureKind] = len(whole.Failures)
			whole.Failures = append(whole.Failures, f)
		}
		for _, p := range r.Pairs {
			if i, known := pairs[p.ID]; known {
				whole.Pairs[i].Count += p.Count
				continue
			}
			pairs[p.ID] = len(whole.Pairs)
			whole.Pairs = append(whole.Pairs, p)
		}
	}
	whole.Sort()
	return whole
}

// Sort puts the most frequent first and keeps the bounds.
func (d *Details) Sort() {
	slices.SortFunc(d.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Hop, b.Hop))
	})
	slices.SortFunc(d.Pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID))
	})
	for ; len(d.Failures) > MaxFailures; d.Failures = d.Failures[:len(d.Failures)-1] {
		d.FurtherFailures += d.Failures[len(d.Failures)-1].Count
	}
	for ; len(d.Pairs) > MaxPairs; d.Pairs = d.Pairs[:len(d.Pairs)-1] {
		d.FurtherPairs += d.Pairs[len(d.Pairs)-1].Count
	}
}
