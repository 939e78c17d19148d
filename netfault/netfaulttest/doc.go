// Package netfaulttest holds every backend of netfault against one table of
// measured effects, in a laboratory of two namespaces joined by a veth pair.
//
// It needs Linux and root.
package netfaulttest
