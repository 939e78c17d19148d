// Package truth plays experiments whose figures are known in advance and holds
// what the program shows against them. `make truth` prints each figure beside
// the truth, `make test-truth` does the same at a small size. Both measure real
// time, so they need the machine for themselves.
package truth
