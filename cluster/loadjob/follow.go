package loadjob

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/cluster/manifest"
	"github.com/microsim-dev/kubectl-microsim/cluster/watch"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

const (
	// silentAfter is how long a stream may say nothing before it counts as broken.
	silentAfter = 5 * remote.AliveEvery
	// lostAfter is how long a pod may not be reached before it is given up. It is
	// as long as pods go on without anybody who follows.
	lostAfter = 10 * time.Minute
)

// A stream is what was read of the outcomes of one pod.
type stream struct {
	load    *runningLoad
	pod     int
	observe func(measure.Outcome)
	// next is the number of the next line, read counts the outcomes up to it.
	next, read int64
	// broken is since when the stream has been broken; zero where it is whole.
	broken time.Time
}

// followPod hands on the outcomes of a pod until its end, over connections that
// break.
func (r *runningLoad) followPod(ctx context.Context, i int, observe func(measure.Outcome)) (*remote.End, error) {
	s := &stream{load: r, pod: i, observe: observe, next: 1}
	name := r.pods[i].Name
	for {
		end, err := s.connect(ctx)
		switch {
		case end != nil && end.Error != "":
			return end, fmt.Errorf("pod %q ended its share of the load early: %s", name, end.Error)
		case end != nil:
			return end, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("pod %q did not tell in time how its share of the load ended", name)
		}
		if fate := s.fate(ctx); fate != "" {
			return nil, fmt.Errorf("pod %q, with its share of the load, %s", name, fate)
		}
		if s.broken.IsZero() {
			s.broken = time.Now()
			r.c.Config.Progress(fmt.Sprintf("the connection to pod %s broke off, while its load goes on; taking it up again (%v)", name, err))
		}
		if time.Since(s.broken) > lostAfter {
			return nil, fmt.Errorf("pod %q, with its share of the load, could not be reached for %v: %w", name, lostAfter, err)
		}
		watch.Pause(ctx, watch.Tick)
	}
}

// connect reads lines until the stream breaks off or ends.
func (s *stream) connect(ctx context.Context) (*remote.End, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(silentAfter, func() { cancel(fmt.Errorf("nothing came for %v", silentAfter)) })
	defer silent.Stop()
	body, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var line remote.Line
		if err := lines.Decode(&line); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return nil, fmt.Errorf("reading outcomes: %w", err)
		}
		silent.Reset(silentAfter)
		if !s.broken.IsZero() {
			s.load.c.Config.Progress(fmt.Sprintf("pod %s is followed again after %.1fs", s.load.pods[s.pod].Name, time.Since(s.broken).Seconds()))
			s.broken = time.Time{}
		}
		if err := s.take(&line); err != nil {
			return nil, err
		}
		if line.End != nil {
			return line.End, nil
		}
	}
}

// open asks for the lines that have not been read yet.
func (s *stream) open(ctx context.Context) (io.ReadCloser, error) {
	at := s.load.address(s.pod)
	to, err := s.load.c.PodURL(at.Namespace, at.Name, manifest.ControlPort, control.OutcomesFrom(s.next))
	if err != nil {
		return nil, err
	}
	body, err := s.load.c.ControlClient(at.Token).Stream(ctx, to)
	return body, kubeapi.Explain(err)
}

// take hands on the outcomes of a line.
func (s *stream) take(line *remote.Line) error {
	if line.Outcomes == nil && line.End == nil {
		return nil
	}
	if lost := line.Before - s.read; lost > 0 {
		s.load.c.Config.Progress(fmt.Sprintf("%d outcomes of pod %s were not asked for in time: they count in its report alone", lost, s.load.pods[s.pod].Name))
		s.read = line.Before
	}
	err := remote.EachOutcome(line.Outcomes, func(o measure.Outcome) {
		s.read++
		s.observe(o)
	})
	s.next = line.Seq + 1
	return err
}

// fate says what has become of a pod that will tell no more; "" where it may
// still.
func (s *stream) fate(ctx context.Context) string {
	pod := s.load.pods[s.pod]
	now, err := s.load.c.Clientset.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "was deleted by somebody else"
	case err != nil:
		return ""
	case now.UID != pod.UID:
		return "was replaced"
	}
	if how := ended(now); how != "" {
		return how + kubeapi.LastWords(s.load.c.TailOf(ctx, s.load.namespace, pod.Name, "", 5, false))
	}
	return ""
}
