package load

import (
	"encoding/pem"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A TLS says how the certificates of https URLs are checked. Without one, they are
// checked with the authorities that the sending machine trusts.
type TLS struct {
	// Insecure accepts every certificate of a server.
	Insecure bool `json:"insecure,omitempty"`
	// CA has certificates in PEM, whose authorities are trusted in place of the
	// machine's.
	CA string `json:"ca,omitempty"`
}

// validate reports mistakes in the settings, and settings without a request to an
// https URL.
func (t *TLS) validate(requests []Request) problem.List {
	var problems problem.List
	switch {
	case !t.Insecure && t.CA == "":
		problems.AddHint("", "write insecure or ca, or remove it", "it says nothing about certificates")
	case t.Insecure && t.CA != "":
		problems.AddHint("insecure", "keep one", "certificates are either checked with ca, or not at all")
	}
	if block, _ := pem.Decode([]byte(t.CA)); t.CA != "" && (block == nil || block.Type != "CERTIFICATE") {
		problems.AddHint("ca", "write certificates in PEM, which begin with -----BEGIN CERTIFICATE-----", "there is no certificate")
	}
	for i := range requests {
		if strings.HasPrefix(strings.ToLower(requests[i].URL), "https:") || strings.Contains(strings.ToLower(requests[i].Chain), `"https:`) {
			return problems
		}
	}
	problems.AddHint("", "remove it, or write an https URL", "no request goes to an https URL, so there are no certificates to check")
	return problems
}
