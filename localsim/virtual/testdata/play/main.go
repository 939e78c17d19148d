// Command play plays an example in virtual time, and writes its result.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

func main() {
	if err := play(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(name string) error {
	text, err := examples.Open(name)
	if err != nil {
		return err
	}
	docs, err := spec.Read(name, bytes.NewReader(text))
	if err != nil {
		return err
	}
	all, err := virtual.RunAll(context.Background(), *docs.Experiments()[0], nil, []uint64{1, 2}, virtual.Options{})
	if err != nil {
		return err
	}
	return all.Encode(os.Stdout)
}
