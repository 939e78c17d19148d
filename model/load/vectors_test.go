package load

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

var update = flag.Bool("update", false, "write the vectors anew")

// arrivalsFile has the arrivals of open loops.
const arrivalsFile = "../../testdata/arrivals.json"

type arrivalVector struct {
	Phase       Phase           `json:"phase"`
	Nanoseconds []time.Duration `json:"nanoseconds"`
}

// Arrivals come at the same nanoseconds on every processor.
func TestArrivalVectors(t *testing.T) {
	const second = unit.Duration(time.Second)
	to := 900.0
	var all []arrivalVector
	for _, phase := range []Phase{
		{Name: "constant", Rate: 333, Duration: 10 * second},
		{Name: "poisson", Rate: 77.7, Duration: 10 * second, Arrivals: Poisson},
		{Name: "ramp", Rate: 0.1, RateTo: &to, Duration: 3 * second, Arrivals: Poisson},
		{Name: "sine", Rate: 100, Sine: &Sine{Amplitude: 90, Period: 700 * unit.Duration(time.Millisecond)}, Duration: 10 * second, Arrivals: Poisson},
	} {
		pacer := phase.Pacer(PhaseKey(7, 0))
		of := arrivalVector{Phase: phase}
		for range 100 {
			at, ok := pacer.Next()
			if !ok {
				break
			}
			if len(of.Nanoseconds) == 50 {
				pacer.Rescale(at, 1.7)
			}
			of.Nanoseconds = append(of.Nanoseconds, at)
		}
		all = append(all, of)
	}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(all); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(arrivalsFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(arrivalsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("arrivals differ from %s: `go test ./model/load -run Vectors -update` and git diff show where", arrivalsFile)
	}
}
