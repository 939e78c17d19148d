package load

import (
	"encoding/pem"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/problem"
)

// A TLS says how the certificates of https URLs are checked. Without one, they are
// checked with the authorities that the sending machine trusts.
type TLS struct {
	// Insecure sends to servers whatever certificates they have.
	Insecure bool `json:"insecure,omitempty"`
	// CA is certificates in PEM, whose authorities are trusted instead of those of the
	// machine.
	CA string `json:"ca,omitempty"`
}

// validate says what is wrong with how certificates are checked, or that none is.
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
