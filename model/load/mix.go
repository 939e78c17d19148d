package load

import (
	"encoding/binary"
	"encoding/hex"
	"sort"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
)

// A Mix draws requests by weight. It may be used by several goroutines at once.
type Mix struct {
	upTo []float64 // sums of the weights
}

// NewMix returns the mix of the requests, which must have weights over 0.
func NewMix(requests []Request) *Mix {
	m := &Mix{upTo: make([]float64, len(requests))}
	sum := 0.0
	for i := range requests {
		sum += requests[i].Weight
		m.upTo[i] = sum
	}
	return m
}

// Pick returns the index of the request that the key decides.
func (m *Mix) Pick(key dist.Key) int {
	last := len(m.upTo) - 1
	if last <= 0 {
		return 0
	}
	x := key.With("request").Float64() * m.upTo[last]
	return min(sort.Search(last, func(i int) bool { return x < m.upTo[i] }), last)
}

// PhaseKey returns the key of everything that is drawn in one phase of a run.
func PhaseKey(seed uint64, phase int) dist.Key {
	return dist.Seed(seed).With("load").WithInt(phase)
}

// ArrivalKey returns the key of an open loop's arrival. It decides which request is
// sent, and the probabilities of a chain.
func ArrivalKey(phase dist.Key, index int) dist.Key { return phase.With("arrival").WithInt(index) }

// UserKey returns the key of the n-th request of a closed loop's user; both numbers
// count from 0.
func UserKey(phase dist.Key, user, n int) dist.Key {
	return phase.With("user").WithInt(user).WithInt(n)
}

// CopyKey returns the key of one request of an arrival that sends several: the copy
// with the given number of the request with the given index. It decides the
// request's id and replica.
func CopyKey(arrival dist.Key, request, number int) dist.Key {
	return arrival.WithInt(request).WithInt(number)
}

// CallKey returns the key of everything that a seed decides about one request sent
// by hand: its probabilities and, through RequestID, the draws of the services.
func CallKey(seed uint64) dist.Key { return dist.Seed(seed).With("call") }

// RequestID returns the id that a key gives to a request, in the text form of a
// random UUID (RFC 9562, version 4).
func RequestID(key dist.Key) string {
	return string(AppendRequestID(make([]byte, 0, RequestIDLength), key))
}

// RequestIDLength is the length of a request id in bytes.
const RequestIDLength = 36

// AppendRequestID appends the id of RequestID to a buffer.
func AppendRequestID(dst []byte, key dist.Key) []byte {
	return AppendUUID(dst, key.With("id").Uint64(), key.With("id low").Uint64())
}

// AppendUUID appends 128 random bits, of which it uses 122, in the text form of a
// random UUID (RFC 9562, version 4).
func AppendUUID(dst []byte, hi, lo uint64) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], hi&^0xf000|0x4000)  // version 4
	binary.BigEndian.PutUint64(b[8:], lo&^(3<<62)|2<<62) // variant 10
	dst = append(hex.AppendEncode(dst, b[:4]), '-')
	dst = append(hex.AppendEncode(dst, b[4:6]), '-')
	dst = append(hex.AppendEncode(dst, b[6:8]), '-')
	dst = append(hex.AppendEncode(dst, b[8:10]), '-')
	return hex.AppendEncode(dst, b[10:])
}
