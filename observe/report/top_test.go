package report

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

func topOf(services int) *Top {
	t := &Top{System: "shop"}
	for i := range services {
		s := measure.Sample{
			At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Elapsed: 2 * time.Second, Counted: 2 * time.Second, Service: "s" + string(rune('a'+i)), Requests: 100, Rate: 50,
			InFlight: 3, QueueLength: 2, CPUSeconds: measure.Amount{Value: 0.5, Known: true}, MemoryBytes: 20<<20 + 1, Up: 2, Replicas: 2,
		}
		switch i {
		case 0:
			s.Latency.Add(10*time.Millisecond, 100)
		case 1:
			s.Errors = 4
			// One of another version, which tells wide buckets.
			s.Latency.AddRange(250*time.Millisecond+1, 500*time.Millisecond, 100)
		case 2:
			s.Up = 0
		}
		t.Add(&s)
	}
	return t
}

func TestTopShowsEachService(t *testing.T) {
	lines := strings.Join(topOf(3).Table(Style{Width: 120}), "\n")
	want := strings.TrimSpace(`
SERVICE  RATE/S  ERRORS        P50        P99  INFLIGHT  QUEUE    CPU  MEMORY     UP
sa         50.0      0%       10ms       10ms         3      2   0.25    21Mi    2/2
sb         50.0   4.00%  250-500ms  250-500ms         3      2   0.25    21Mi    2/2
sc            -       -          -          -         -      -      -       -    0/2`)
	if lines != want {
		t.Errorf("got\n%s\nwant\n%s", lines, want)
	}
	// A later sample takes the place of the one before.
	top := topOf(1)
	top.Add(&measure.Sample{Service: "sa", Elapsed: time.Second, Up: 1, Replicas: 2, CPUSeconds: measure.Amount{Known: true}})
	if s := top.Services[0]; len(top.Services) != 1 || s.Up != 1 || s.RequestsPerSecond != 0 || s.Latency != nil || s.CPU == nil || *s.CPU != 0 {
		t.Errorf("after a second sample: %+v", s)
	}
}

// On a narrow screen, the columns go that say least.
func TestTopDropsColumns(t *testing.T) {
	for width, want := range map[int]string{
		100: "SERVICE RATE/S ERRORS P50 P99 INFLIGHT QUEUE CPU MEMORY UP",
		72:  "SERVICE RATE/S ERRORS P50 P99 CPU MEMORY UP",
		60:  "SERVICE RATE/S ERRORS P50 P99 CPU UP",
		50:  "SERVICE RATE/S ERRORS P99 UP",
	} {
		lines := topOf(2).Table(Style{Width: width})
		if got := strings.Join(strings.Fields(lines[0]), " "); got != want || !strings.HasSuffix(lines[1], "2/2") {
			t.Errorf("%d columns show %q", width, lines)
		}
	}
	quiet := topOf(1)
	quiet.Services[0].CPU, quiet.Services[0].Memory = nil, 0
	if got := quiet.Table(Style{Width: 66})[0]; strings.Contains(got, "CPU") || !strings.Contains(got, "QUEUE") {
		t.Errorf("what knows nothing goes first: %q", got)
	}
}

func TestTopFitsTheScreen(t *testing.T) {
	for _, height := range []int{1, 4, 5, 8, 20} {
		lines := topOf(10).Frame(Style{Width: 60}, height)
		if len(lines) > height {
			t.Errorf("%d lines on a screen of %d", len(lines), height)
		}
		for _, line := range lines {
			if columns(line) > 60 {
				t.Errorf("a line of %d columns: %q", columns(line), line)
			}
		}
	}
	// Those in trouble are seen first.
	if text := strings.Join(topOf(10).Frame(Style{}, 7), "\n"); !strings.Contains(text, "sb ") || !strings.Contains(text, "sc ") || !strings.Contains(text, "and 7 more") {
		t.Errorf("ten services on seven lines are\n%s", text)
	}
}

func TestScreenRepaintsItself(t *testing.T) {
	var out strings.Builder
	s := NewScreen(&out, func() (int, int) { return 40, 10 }, false)
	frame := func(lines ...string) func(Style, int) []string {
		return func(style Style, height int) []string {
			if style.Width != 39 || height != 9 {
				t.Errorf("a frame of %d by %d", style.Width, height)
			}
			return lines
		}
	}
	s.Paint(frame("a", "b"))
	s.Paint(frame("c"))
	s.Leave()
	s.Paint(frame("d"))
	s.Clear()
	if got, want := out.String(), "a\nb\n\x1b[2A\r\x1b[Jc\nd\n\x1b[1A\r\x1b[J"; got != want {
		t.Errorf("painted %q, want %q", got, want)
	}
}
