package control

import (
	"net/url"
	"strconv"
)

// The paths of the helper of a node. All need the token.
const (
	// NodeOrdersPath leads to the orders; see NodeOrderPath.
	NodeOrdersPath = "/orders"
	// NodeStatusPath lists what became of each fault as order.Status.
	NodeStatusPath = "/status"
	// NodeBackendsPath lists Backends.
	NodeBackendsPath = "/backends"
)

// VersionParameter of DELETE NodeOrderPath says up to which version an order is
// withdrawn.
const VersionParameter = "version"

// NodeOrderPath is where the order of an owner is put and withdrawn.
func NodeOrderPath(owner string) string { return NodeOrdersPath + "/" + url.PathEscape(owner) }

// WithdrawPath withdraws the order of an owner up to a version.
func WithdrawPath(owner string, version int64) string {
	return NodeOrderPath(owner) + "?" + VersionParameter + "=" + strconv.FormatInt(version, 10)
}

// A Backend is one way to break the networks of pods on a node.
type Backend struct {
	Name  string `json:"name"`
	Works bool   `json:"works"`
	// Why it does not work, and what would help.
	Why string `json:"why,omitempty"`
}
