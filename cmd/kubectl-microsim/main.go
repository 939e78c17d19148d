// Command kubectl-microsim is the kubectl plugin "kubectl microsim".
package main

import (
	"os"

	"github.com/microsim-dev/kubectl-microsim/plugin"
)

func main() { os.Exit(plugin.Main()) }
