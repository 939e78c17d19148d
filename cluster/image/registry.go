package image

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// This file knows registries: whom docker trusts there, and what helps against their errors.

// dockerCerts are the directories in which docker looks for the certificate authorities of
// registries, each in a directory of its own.
func dockerCerts() []string {
	dirs := []string{"/etc/docker/certs.d"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".docker", "certs.d")) // that of Docker Desktop, and without root
	}
	return dirs
}

// trustedFor are the certificate authorities for a registry, HOST or HOST:PORT; nil means
// those of this machine.
func trustedFor(registry string) (*x509.CertPool, error) {
	var files []string
	for _, dir := range dockerCerts() {
		found, _ := filepath.Glob(filepath.Join(dir, registry, "*.crt")) // it fails for a bad pattern alone
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading a certificate authority of the registry: %w", err)
		}
		if !roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("reading a certificate authority of the registry: %q has no certificate in PEM", file)
		}
	}
	return roots, nil
}

// oneLine is an error with its white space as single spaces: bodies of answers, which end with a
// line break, are parts of errors.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

// remedy is the next step after an error of a registry.
func remedy(ref name.Reference, err error) string {
	registry, another := ref.Context().RegistryStr(), "or name another with --push"
	var (
		answered *transport.Error
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		misnamed x509.HostnameError
		network  net.Error
		helper   *exec.Error
	)
	switch {
	case errors.As(err, &helper):
		return fmt.Sprintf("the configuration of docker names this program for the credentials of %s: install it, or remove it from there", registry)
	case errors.As(err, &unknown):
		return fmt.Sprintf("put the certificate authority of the registry into %s, as for docker, or name its file in the environment variable SSL_CERT_FILE", filepath.Join(dockerCerts()[0], registry, "ca.crt"))
	case errors.As(err, &invalid), errors.As(err, &misnamed):
		return "mend the certificate of the registry, " + another
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("%s speaks plain HTTP, which is used only with localhost, *.local, *.localhost and private IPv4 addresses: call it by one, or give it TLS", registry)
	case errors.As(err, &answered): // after those of TLS, since plain HTTP was tried then, too
		return remedyFor(answered.StatusCode, ref) + ", " + another
	case errors.As(err, &network):
		return fmt.Sprintf("see that %s is written as you mean it and is reached from here, %s", registry, another)
	}
	return fmt.Sprintf("log in with 'docker login %s', %s", registry, another)
}

// remedyFor is the next step after an answer of a registry.
func remedyFor(status int, ref name.Reference) string {
	registry, repository := ref.Context().RegistryStr(), ref.Context().RepositoryStr()
	switch status {
	case http.StatusUnauthorized:
		return fmt.Sprintf("log in with 'docker login %s'", registry)
	case http.StatusForbidden:
		return fmt.Sprintf("log in with 'docker login %s' as a user who may push to %s", registry, repository)
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return fmt.Sprintf("create the repository %s there first, as registries of clouds want", repository)
	case http.StatusBadRequest, http.StatusConflict:
		return fmt.Sprintf("if tags cannot be changed there, write another than %s", ref.Identifier())
	case http.StatusRequestEntityTooLarge:
		return "raise the size that the registry, or the proxy before it, takes"
	}
	return "try again later"
}
