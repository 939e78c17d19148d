package run

import (
	"runtime"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/kube"
)

// imageSizes are the sizes of images of runtimes in bytes; nil for one that this
// machine cannot make.
type imageSizes map[topology.RuntimeName]*int64

// add notes in a result how large the images are of what served in processes of its
// own. The result may be nil.
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
