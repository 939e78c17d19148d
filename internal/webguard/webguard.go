// Package webguard refuses requests that web pages in a browser send to a server
// of this machine. Any page can make the user's browser send requests to loopback
// addresses, so a server that acts on requests without a token must tell them
// from those of programs.
package webguard

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// A Guard says which requests a server takes.
type Guard struct {
	// Hosts are the values of the Host header, with port, by which programs reach
	// the server. A page whose name an attacker has pointed to this machine (DNS
	// rebinding) sends another one. Empty means any, for servers that are reached
	// by names which they do not know.
	Hosts []string
	// Name is what errors call the server.
	Name string
	// OwnPage says whether the server's own page sends such a request; nil means
	// that it has no page.
	OwnPage func(*http.Request) bool
}

// Check returns nil if a program has sent the request, or the user by typing the
// address into a browser, or the server's own page. The error is the reason; the
// response to it is 403.
func (g Guard) Check(r *http.Request) error {
	if len(g.Hosts) > 0 && !slices.Contains(g.Hosts, r.Host) {
		return fmt.Errorf("host %q is not %s; use http://%s", r.Host, g.Name, g.Hosts[0])
	}
	// Browsers send Origin with each request that may change something, and
	// Sec-Fetch-Site with each request, to this machine even without TLS.
	site, origin := first(r.Header["Sec-Fetch-Site"]), first(r.Header["Origin"])
	if site == "same-origin" && g.OwnPage != nil && g.OwnPage(r) {
		site = ""
		if origin == "http://"+r.Host {
			origin = ""
		}
	}
	if origin != "" || site != "" && site != "none" {
		return fmt.Errorf("requests of web pages are refused by %s; send it from a program", g.Name)
	}
	return nil
}

// first is what http.Header.Get finds, whose work on the name a mock service would
// feel: a server has brought the names into their canonical form.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// LoopbackHosts are the Hosts of a server that listens on a loopback address of
// this machine, or none if other machines reach it: they may know it by any name.
func LoopbackHosts(listener net.Addr) []string {
	at, err := netip.ParseAddrPort(listener.String())
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return nil
	}
	_, port, _ := net.SplitHostPort(at.String())
	hosts := []string{at.String()}
	for _, name := range []string{"127.0.0.1", "localhost", "::1"} {
		if host := net.JoinHostPort(name, port); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
		if port == "80" {
			hosts = append(hosts, strings.TrimSuffix(net.JoinHostPort(name, port), ":80"))
		}
	}
	return hosts
}
