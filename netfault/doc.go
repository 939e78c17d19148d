// Package netfault describes the network faults of one namespace: the desired
// state and its validation, which packets each rule matches, and what a backend
// that applies it must do.
//
// The package does not depend on a kernel. Backends have packages of their own:
// tc sets queueing disciplines by netlink; emulate does the same in user space,
// for kernels without netem. Both apply the same [Link] values that [Compile]
// makes of a [State], so both mean the same.
package netfault
