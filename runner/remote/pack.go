package remote

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// AppendOutcome packs an outcome behind others, in about 15 bytes: its fields in
// the order of their declaration as variable-length integers, the class as its
// place in outcome.Classes.
func AppendOutcome(dst []byte, o *measure.Outcome) []byte {
	for _, v := range [...]int64{
		int64(o.Phase), int64(o.Request), int64(o.Intended), int64(o.Late), int64(o.Latency),
		int64(outcome.Index(o.Class)), int64(o.Status), o.Bytes,
	} {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

// EachOutcome unpacks outcomes and calls do for each.
func EachOutcome(packed []byte, do func(measure.Outcome)) error {
	classes := outcome.Classes()
	for at := 0; at < len(packed); {
		var v [8]int64
		for i := range v {
			n := 0
			if v[i], n = binary.Varint(packed[at:]); n <= 0 {
				return fmt.Errorf("unpacking outcomes: the number at byte %d is cut short or too large", at)
			}
			at += n
		}
		if v[5] < 0 || v[5] >= int64(len(classes)) {
			return fmt.Errorf("unpacking outcomes: there is no class %d", v[5])
		}
		do(measure.Outcome{
			Phase: int(v[0]), Request: int(v[1]), Intended: time.Duration(v[2]), Late: time.Duration(v[3]), Latency: time.Duration(v[4]),
			Class: classes[v[5]], Status: int(v[6]), Bytes: v[7],
		})
	}
	return nil
}
