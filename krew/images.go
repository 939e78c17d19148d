package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/microsim-dev/kubectl-microsim/cluster/image"
)

// publish pushes the images of the programs, for all architectures of pods, and writes down
// their digests for the archives. The credentials are those of `docker login`.
func (r *release) publish(ctx context.Context, programs string) error {
	published := &image.Published{Version: r.version}
	if r.images == "" {
		return published.Write(programs)
	}
	for _, p := range []struct {
		to   *string
		tag  string
		find func(arch string) *image.Agent
	}{
		{&published.Agent, r.version, func(arch string) *image.Agent {
			return &image.Agent{Path: filepath.Join(programs, "microsim-agent-linux-"+arch), Arch: arch}
		}},
		{&published.Store, r.version + "-store", func(arch string) *image.Agent {
			return &image.Agent{Path: filepath.Join(programs, "microsim-store-linux-"+arch), Arch: arch, Stores: true}
		}},
		{&published.Runner, r.version + "-runner", func(arch string) *image.Agent {
			return &image.Agent{Path: platform{"linux", arch}.program(programs), Arch: arch, Runner: true}
		}},
	} {
		var images []*image.Image
		for _, of := range agentPlatforms() {
			img, err := image.Build(p.find(of.arch))
			if err != nil {
				return fmt.Errorf("publishing the images of release %s: %w", r.version, err)
			}
			images = append(images, img)
		}
		reference, err := image.Push(ctx, images, r.images+":"+p.tag)
		if err != nil {
			return fmt.Errorf("publishing the images of release %s: %w", r.version, err)
		}
		*p.to = reference
		r.tell(r.images + ":" + p.tag + ": " + reference)
	}
	return published.Write(programs)
}
