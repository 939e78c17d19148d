package detached

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/archive"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/nodehelper"
	"github.com/microsim-dev/kubectl-microsim/model/order"
)

const (
	// MaxResults bounds, in bytes, what is kept of an experiment in its cluster.
	MaxResults = 20 << 20
	// maxPiece is what goes into one ConfigMap; the API server takes objects of
	// up to 1.5 MiB, in which binary data is a third longer.
	maxPiece = 900 << 10
)

// Results tell of what an experiment has left in the cluster.
type Results struct {
	// Code is the exit code of the run, Error what it said where that is not 0.
	Code    int       `json:"code"`
	Error   string    `json:"error,omitempty"`
	Verdict Phase     `json:"verdict"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	// LeftSystem is set where the run could not take its system down.
	LeftSystem bool `json:"leftSystem,omitempty"`
	// Pieces and Size, in bytes, are those of the archive; Digest is its SHA-256
	// in hexadecimal digits. No pieces means that nothing was recorded.
	Pieces int    `json:"pieces"`
	Size   int    `json:"size"`
	Digest string `json:"digest,omitempty"`
	// Omitted are the files that there was no room for.
	Omitted []string `json:"omitted,omitempty"`
}

// Lost says that what was recorded cannot be kept: a verdict without it is not to be read.
func (r *Results) Lost(code int, err error) {
	r.Code, r.Verdict, r.Error = code, Ended, strings.TrimPrefix(r.Error+"; "+err.Error(), "; ")
}

// phase takes a verdict that is none for a bad end.
func (r *Results) phase() Phase {
	switch r.Verdict {
	case Passed, Failed:
		return r.Verdict
	default:
		return Ended
	}
}

// indexKey is the key of the index in its ConfigMap, pieceKey that of a piece.
const (
	indexKey = "index.json"
	pieceKey = "piece"
)

func readIndex(config *corev1.ConfigMap) (*Results, error) {
	r := &Results{}
	if err := json.Unmarshal([]byte(config.Data[indexKey]), r); err != nil {
		return nil, fmt.Errorf("reading the index of results in the ConfigMap %s/%s: %w", config.Namespace, config.Name, err)
	}
	if r.Pieces < 0 || r.Size < 0 || r.Size > MaxResults || r.Pieces > MaxResults/maxPiece+1 {
		return nil, fmt.Errorf("reading the index of results in the ConfigMap %s/%s: %d pieces of %d bytes cannot be", config.Namespace, config.Name, r.Pieces, r.Size)
	}
	return r, nil
}

// KeepResults stores the archive of an experiment's results in the cluster. The
// index comes last, so that results that can be found are whole.
func KeepResults(ctx context.Context, c *kubeapi.Client, x *Experiment, r Results, data []byte) error {
	if len(data) > MaxResults {
		return fmt.Errorf("keeping the results of experiment %q: %d bytes are more than %d", x.Name, len(data), MaxResults)
	}
	configs := c.Clientset.CoreV1().ConfigMaps(x.Namespace)
	keep := func(config *corev1.ConfigMap) error {
		_, err := configs.Create(ctx, config, metav1.CreateOptions{FieldManager: kubeapi.FieldManager})
		return err
	}
	var pieces [][]byte
	if len(data) > 0 {
		pieces = archive.Split(data, maxPiece)
		r.Digest = digest(data)
	}
	r.Pieces, r.Size = len(pieces), len(data)
	for i, piece := range pieces {
		meta := manifest.ExperimentMeta(x.Name, x.System, x.Namespace, manifest.PieceName(x.Name, i+1), manifest.PieceRole)
		if err := keep(&corev1.ConfigMap{ObjectMeta: meta, BinaryData: map[string][]byte{pieceKey: piece}}); err != nil {
			return fmt.Errorf("keeping piece %d of %d of the results of experiment %q: %w", i+1, len(pieces), x.Name, kubeapi.Explain(err))
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing the index of results: %w", err)
	}
	meta := manifest.ExperimentMeta(x.Name, x.System, x.Namespace, manifest.ResultsName(x.Name), manifest.ResultsRole)
	if err := keep(&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{indexKey: string(text)}}); err != nil {
		return fmt.Errorf("keeping the results of experiment %q: %w", x.Name, kubeapi.Explain(err))
	}
	// No fault acts after the results are stored, so the helpers of the experiment
	// may end.
	err = nodehelper.Unreserve(ctx, c, order.SystemOwner(x.Namespace, x.System))
	if kubeapi.IgnoreForbidden(err) != nil {
		c.Config.Progress(fmt.Sprintf("helpers of experiment %s end at its deadline, or with 'kubectl microsim down %s': %v", x.Name, x.Name, err))
	}
	return nil
}

// FetchResults returns the archive of an experiment's results as it was kept.
func FetchResults(ctx context.Context, c *kubeapi.Client, x *Experiment) ([]byte, error) {
	if x.Results == nil || x.Results.Pieces == 0 {
		return nil, fmt.Errorf("fetching the results of experiment %q: it has left none", x.Name)
	}
	pieces := make([][]byte, x.Results.Pieces)
	err := kubeapi.Each(len(pieces), func(i int) error {
		config, err := c.Clientset.CoreV1().ConfigMaps(x.Namespace).Get(ctx, manifest.PieceName(x.Name, i+1), metav1.GetOptions{})
		if err == nil {
			pieces[i] = config.BinaryData[pieceKey]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetching the results of experiment %q: %w", x.Name, kubeapi.Explain(kubeapi.Summarize(err)))
	}
	data := make([]byte, 0, x.Results.Size)
	for _, piece := range pieces {
		data = append(data, piece...)
	}
	if len(data) != x.Results.Size || digest(data) != x.Results.Digest {
		return nil, fmt.Errorf("fetching the results of experiment %q: %w", x.Name, errDamaged)
	}
	return data, nil
}

var errDamaged = errors.New("they are not those that were kept: somebody has changed the ConfigMaps that hold them") //nolint:gochecknoglobals // a sentinel

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
