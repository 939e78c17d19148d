package dist

import "math/bits"

// A Key names one random decision. Keys are derived from a seed and the names of
// the subjects of the decision (service, request, hop), never from the order of
// events, so the same file and seed give the same decisions on every target.
// Deriving a key and drawing from it allocate nothing.
type Key uint64

// Seed returns the root of all keys of a run.
func Seed(n uint64) Key { return Key(mix(n + golden)) }

// With derives the key of a subject that has a name.
func (k Key) With(name string) Key {
	// FNV-1a, then a finalizer that spreads its weak high bits.
	h := uint64(k) ^ 14695981039346656037
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return Key(mix(h + uint64(len(name))))
}

// WithInt derives the key of a subject that has a number.
func (k Key) WithInt(n int) Key {
	return Key(mix(bits.RotateLeft64(uint64(k), 25) ^ mix(uint64(n)+golden)))
}

// Uint64 returns the key's only draw, uniform over all 64-bit numbers.
func (k Key) Uint64() uint64 { return mix(uint64(k) + golden) }

// Float64 returns the key's only draw, uniform in [0, 1).
func (k Key) Float64() float64 { return float64(k.Uint64()>>11) / (1 << 53) }

// IntN returns the key's only draw, uniform in 0..n-1. n must be positive.
func (k Key) IntN(n int) int {
	hi, _ := bits.Mul64(k.Uint64(), uint64(n))
	return int(hi)
}

// Chance reports whether an event of probability p happens: never for p <= 0,
// always for p >= 1.
func (k Key) Chance(p float64) bool { return p > 0 && k.Float64() < p }

const golden = 0x9e3779b97f4a7c15

// mix is the output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable
// Pseudorandom Number Generators, 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
