// Command krew builds what a release consists of: an archive of the plugin for
// each platform, their checksums, and the manifest by which krew installs it.
package main

import (
	"compress/flate"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	version := flag.String("version", "v0.0.0-dev", "version of the release, a tag such as v1.2.3")
	out := flag.String("out", "dist", "directory for the archives, which is emptied first")
	images := flag.String("images", "", "repository that the images of the programs are pushed to, such as registry.example/microsim; the archives then name them by digest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := release{root: ".", out: *out, version: *version, build: goBuild, images: *images, level: flate.BestCompression, tell: func(line string) { fmt.Fprintln(os.Stderr, line) }}
	if err := r.make(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
