// Package netfault says what shall be wrong with the network of one
// namespace: the desired state, what is wrong with a desired state, which
// packets each rule means, and what a backend that carries it out must do.
//
// The package knows no kernel. Backends live in rooms of their own: tc sets
// queueing disciplines by netlink, emulate does the same in user space where
// the kernel has no netem. Both carry out the same [Link] values that
// [Compile] makes of a [State], so both mean the same.
package netfault
