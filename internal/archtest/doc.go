// Package archtest holds the floor plan of the project as a test: which
// package may import which, and why.
package archtest
