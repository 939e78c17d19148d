package image

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Push brings the images of a program for several architectures to a registry,
// as one from which each node takes its own, and returns the reference by digest.
// The credentials are those that `docker login` has left.
func Push(ctx context.Context, images []*Image, to string) (string, error) {
	ref, err := name.ParseReference(to)
	if err != nil {
		return "", fmt.Errorf("reading the image reference %q: %w", to, err)
	}
	index, err := indexOf(images)
	if err != nil {
		return "", err
	}
	if err := remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", fmt.Errorf("pushing an image to %q: %w; log in with docker login, or name another with --push", to, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("computing the digest of an image: %w", err)
	}
	return ref.Context().Digest(digest.String()).String(), nil
}

// indexOf lists the images by the platforms that they are for.
func indexOf(images []*Image) (v1.ImageIndex, error) {
	var entries []mutate.IndexAddendum
	for _, i := range images {
		config, err := i.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading what an image is for: %w", err)
		}
		entries = append(entries, mutate.IndexAddendum{Add: i.Image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture},
		}})
	}
	return mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.DockerManifestList), entries...), nil
}
