// Package trust runs the built program as its users do, against hostile inputs
// and surroundings, and interrupts it at random times. `make trust` and `make
// interrupts` run its tests, without root and without a network; they need Linux.
package trust
