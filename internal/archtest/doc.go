// Package archtest holds the layers of the project as a test: which
// package may import which, and why.
package archtest
