package run

import (
	"runtime"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
)

// imageSizes has the sizes of runtime images in bytes; nil for an image that this
// machine cannot build.
type imageSizes map[topology.RuntimeName]*int64

// add adds, to the processes of a result, the sizes of the images of their
// runtimes. The result may be nil.
func (s imageSizes) add(r *result.Result) {
	if r == nil {
		return
	}
	for i := range r.Processes {
		p := &r.Processes[i]
		size, known := s[p.Runtime]
		if !known && p.Runtime != "" {
			if bytes, err := kube.ImageSize(p.Runtime, runtime.GOARCH); err == nil {
				size = &bytes
			}
			s[p.Runtime] = size
		}
		p.ImageBytes = size
	}
}
