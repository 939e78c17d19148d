package topology

import (
	"reflect"
	"testing"
)

func TestGeneratedSystemsAreValidAndReachable(t *testing.T) {
	for _, shape := range Shapes() {
		for _, n := range []int{1, 2, 13, 1000, 2500} {
			calls := min(5*n, n*(n-1)/2)
			s, err := Generate(shape, n, calls, 7)
			if err != nil {
				t.Fatal(err)
			}
			if problems := s.Validate(); len(problems) > 0 {
				t.Fatalf("%s of %d: %v", shape, n, problems.Err())
			}
			want := n - 1
			if shape == Random {
				want = calls
			}
			if got := len(s.Edges()); got != want {
				t.Errorf("%s of %d has %d calls, not %d", shape, n, got, want)
			}
			executions := s.Executions(EndpointRef{Service: "s0"})
			total := 0.0
			for _, x := range executions {
				total += x
			}
			if len(executions) != n {
				t.Errorf("%s of %d: %d places are reached", shape, n, len(executions))
			}
			if shape == Random && total > 40 {
				t.Errorf("%s of %d: a request makes %v executions", shape, n, total)
			}
			if again, _ := Generate(shape, n, calls, 7); !reflect.DeepEqual(s, again) {
				t.Errorf("%s of %d: the same arguments give another system", shape, n)
			}
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	for name, try := range map[string]func() (*System, error){
		"no services":    func() (*System, error) { return Generate(Chain, 0, 0, 1) },
		"too many":       func() (*System, error) { return Generate(Chain, MaxServices+1, 0, 1) },
		"unknown shape":  func() (*System, error) { return Generate("ring", 3, 0, 1) },
		"too few calls":  func() (*System, error) { return Generate(Random, 10, 8, 1) },
		"too many calls": func() (*System, error) { return Generate(Random, 10, 46, 1) },
	} {
		if s, err := try(); err == nil {
			t.Errorf("%s: got %s", name, s.Describe())
		}
	}
}
