package load

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/plugin/preview"
)

// followInterval is the pause between two looks at the file of a load.
const followInterval = 500 * time.Millisecond

// followFile applies changes of the load's file to the running load: the rates,
// bursts and users of its first phase, in proportion to those with which it began.
// The returned function ends the following and waits until it has ended.
func (o *loadOptions) followFile(ctx context.Context, began load.Profile, change func(control.LoadFactors)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	path := o.inputs.Filenames[0]
	seen := modified(path)
	fmt.Fprintf(o.streams.Err, "following %s\n", path)
	go func() {
		defer close(done)
		tick := time.NewTicker(followInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := modified(path)
			if now.Equal(seen) {
				continue
			}
			seen = now
			changed, _, err := o.read(ctx, nil)
			if err != nil {
				fmt.Fprintf(o.streams.Err, "the load goes on as it was: %v\n", err)
				continue
			}
			if !sameBeats(&began, &changed) {
				fmt.Fprintln(o.streams.Err, "the load goes on as it was: the requests, or the rates of some of them, have changed, and only all rates, bursts and users together can be followed: start the load anew")
				continue
			}
			change(factorsOf(&began.Phases[0], &changed.Phases[0]))
			fmt.Fprintf(o.streams.Err, "%s has changed: the load is now %s\n", path, preview.Phase(&changed.Phases[0]))
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// modified returns when a file was last changed, or the zero time if that is not
// known.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// sameBeats reports whether two loads have the same requests at the same shares of
// the rate.
func sameBeats(a, b *load.Profile) bool {
	return slices.EqualFunc(a.Requests, b.Requests, func(a, b load.Request) bool {
		return a.Name == b.Name && (a.Beat == b.Beat || a.Beat != nil && b.Beat != nil && *a.Beat == *b.Beat)
	})
}

// factorsOf returns the factors by which one phase becomes another.
func factorsOf(from, to *load.Phase) control.LoadFactors {
	f := control.LoadFactors{Rate: 1, Burst: float64(max(to.Burst, 1)) / float64(max(from.Burst, 1)), Users: 1}
	if from.Rate > 0 {
		f.Rate = to.Rate / from.Rate
	}
	if from.Users > 0 {
		f.Users = float64(to.Users) / float64(from.Users)
	}
	return f
}
