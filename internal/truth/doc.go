// Package truth plays experiments whose figures are known in advance and holds
// what the program shows against them. `make truth` prints each figure beside
// the truth; its tests run the same at a small size.
package truth
