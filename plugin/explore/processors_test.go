package explore

import (
	"bytes"
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/search"
)

// The number of runs that are played at once does not change the answers.
func TestAnswersDoNotHangOnProcessors(t *testing.T) {
	for name, find := range map[string]func(*player) (any, error){
		"limit": func(p *player) (any, error) {
			e := readExperiment(t, mm1)
			l := limitsOf(t, e, "p99 < 300ms")
			l.Steady.WarmUp, l.Steady.Duration = 2*time.Second, 10*time.Second
			return l.Find(e, p.play)
		},
		"sweep": func(p *player) (any, error) {
			e := readExperiment(t, mm1)
			v, err := search.ParseVariation("load.rate=20..80/20")
			if err != nil {
				return nil, err
			}
			g := search.Grid{Vary: []search.Variation{v}, Seeds: 5, Figures: []experiment.Rank{{Metric: experiment.P99}}}
			return g.Sweep(e, p.play)
		},
		"search": func(p *player) (any, error) {
			e := readExperiment(t, weakLink)
			return huntIn(t, &e, 80, "errors < 1%", "p99 < 180ms").Find(e, p.playAll)
		},
	} {
		var first []byte
		for _, processors := range []int{1, 2, 5} {
			before := runtime.GOMAXPROCS(processors)
			found, err := find(newTestPlayer(t.Context()))
			runtime.GOMAXPROCS(before)
			if err != nil {
				t.Fatalf("%s on %d processors: %v", name, processors, err)
			}
			text, err := json.Marshal(found)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = text
			}
			if !bytes.Equal(text, first) || len(text) < 500 {
				t.Errorf("%s on %d processors finds\n%s\nand on 1\n%s", name, processors, text, first)
			}
		}
	}
}
