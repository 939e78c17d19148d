package image

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A Pushable is the image of one architecture.
type Pushable interface {
	// OCI returns the image as a registry stores it.
	OCI() (v1.Image, error)
}

// OCI implements Pushable.
func (i *Image) OCI() (v1.Image, error) { return i.Image, nil }

// OCI implements Pushable.
func (i *Bundled) OCI() (v1.Image, error) { return i.image() }

// answerTimeout bounds the wait for an answer of a registry that has got the whole
// request. Some store a large layer before they answer.
const answerTimeout = 2 * time.Minute

// Push brings the images of a program for several architectures to a registry,
// as one from which each node takes its own, and returns the reference by digest.
// The credentials are those that `docker login` has left.
func Push[I Pushable](ctx context.Context, images []I, to string) (string, error) {
	ref, err := pushReference(to)
	if err != nil {
		return "", err
	}
	index, err := indexOf(images)
	if err != nil {
		return "", err
	}
	through, err := transportTo(ref.Context().RegistryStr())
	if err != nil {
		return "", fmt.Errorf("pushing an image to %q: %w", to, err)
	}
	defer through.CloseIdleConnections()
	err = remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(through))
	if ctx.Err() != nil {
		return "", fmt.Errorf("pushing an image to %q: %w", to, context.Cause(ctx))
	}
	if err != nil {
		return "", fmt.Errorf("pushing an image to %q: %w; %s", to, oneLine{err}, remedy(ref, err))
	}
	digest, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("computing the digest of an image: %w", err)
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

// CheckPush says why no image can be pushed to a reference.
func CheckPush(to string) error {
	_, err := pushReference(to)
	return err
}

// CheckReference says why a text names no image.
func CheckReference(text string) error {
	if _, err := name.ParseReference(text); err != nil {
		return fmt.Errorf("reading the image reference %q: %w; write it as REGISTRY/REPOSITORY:TAG", text, err)
	}
	return nil
}

// pushReference reads where an image is to go.
func pushReference(to string) (name.Reference, error) {
	if err := CheckReference(to); err != nil {
		return nil, err
	}
	ref, err := name.ParseReference(to)
	if err != nil {
		return nil, err
	}
	if _, fixed := ref.(name.Digest); fixed {
		return nil, fmt.Errorf("reading the image reference %q: a digest names what is there already; write a tag, as in %s:v1", to, ref.Context())
	}
	return ref, nil
}

// transportTo is the way to a registry. It trusts the certificate authorities of this
// machine, and those that docker trusts for this registry.
func transportTo(registry string) (*http.Transport, error) {
	usual, ok := remote.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("the HTTP client of this program is another than expected")
	}
	through := usual.Clone()
	through.ResponseHeaderTimeout = answerTimeout
	roots, err := trustedFor(registry)
	if err == nil && roots != nil {
		through.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return through, err
}

// indexOf lists the images by the platforms that they are for.
func indexOf[I Pushable](images []I) (v1.ImageIndex, error) {
	var entries []mutate.IndexAddendum
	for _, i := range images {
		image, err := i.OCI()
		if err != nil {
			return nil, fmt.Errorf("packing an image: %w", err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading what an image is for: %w", err)
		}
		entries = append(entries, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture},
		}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.DockerManifestList), entries...), nil
}
