package loadgen

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// TLSConfig returns the settings for the check of certificates. For nil, the check
// uses the authorities that this machine trusts.
func TLSConfig(t *load.TLS) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case t == nil:
	case t.Insecure:
		config.InsecureSkipVerify = true //nolint:gosec // the user has asked for it by name
	default:
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("reading the authorities of https URLs: there is no valid certificate in PEM")
		}
	}
	return config, nil
}
