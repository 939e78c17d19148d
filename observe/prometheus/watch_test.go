package prometheus

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// Evaluations are due each second; the watch has seen some of them take place, 0.2 s
// later.
func TestFiringsAreTakenApart(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name      string
		samples   string
		evaluated string
		want      string
	}{
		{"one that goes on", "1 2 3", "1 2 3", "1-3"},
		{"one that ended", "1 2 3", "3 4 5", "1-3 over by 4.2"},
		{"one whose end was seen late", "1 2 3", "3 7", "1-3 over by 7.2"},
		{"two", "1 2 5 6", "2 3 4 5 6", "1-2 over by 3.2, 5-6"},
		{"an evaluation that did not take place", "1 2 4 5", "1 2 4 5", "1-5"},
		{"the evaluation of the last sample", "1", "1", "1-1"},
	} {
		w := &Watch{intervals: map[string]time.Duration{"A": time.Second}, evaluated: map[string][]time.Time{}}
		series := &model.SampleStream{Metric: model.Metric{"__name__": "ALERTS", "alertname": "A", "alertstate": "firing", "service": "cart"}}
		second := func(text string, late time.Duration) time.Time {
			var s int
			fmt.Sscan(text, &s)
			return start.Add(time.Duration(s)*time.Second + late)
		}
		for _, s := range strings.Fields(tt.samples) {
			series.Values = append(series.Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(second(s, 0).UnixNano()), Value: 1})
		}
		for _, s := range strings.Fields(tt.evaluated) {
			w.evaluated["A"] = append(w.evaluated["A"], second(s, 200*time.Millisecond))
		}
		var got []string
		for _, f := range w.firings(series) {
			text := fmt.Sprintf("%v-%v", f.FiredAt.Sub(start).Seconds(), f.LastAt.Sub(start).Seconds())
			if !f.ResolvedAt.IsZero() {
				text += fmt.Sprintf(" over by %v", f.ResolvedAt.Sub(start).Seconds())
			}
			got = append(got, text)
			if f.Alert != "A" || len(f.Labels) != 1 || f.Labels["service"] != "cart" {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, text, tt.want)
		}
	}
}

// apiOf is the API of a Prometheus with answers by path.
func apiOf(t *testing.T, answers map[string]any) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/api/v1/")
		if err := r.ParseForm(); err == nil && r.Form.Get("query") != "" {
			path += " " + strings.Fields(r.Form.Get("query") + " ")[0]
		}
		data, ok := answers[path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func scalar(at time.Time) any {
	return map[string]any{"resultType": "scalar", "result": []any{float64(at.UnixMilli()) / 1000, fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000)}}
}

func TestConnectRefusesWhatIsNoPrometheus(t *testing.T) {
	for name, tt := range map[string]struct {
		answers map[string]any
		want    string
	}{
		"one":         {map[string]any{"status/buildinfo": map[string]any{"version": "2.42.0"}, "query time()": scalar(time.Now())}, ""},
		"an old one":  {map[string]any{"status/buildinfo": map[string]any{"version": "2.20.0"}}, "too old"},
		"nothing":     {map[string]any{}, "name the address of a Prometheus"},
		"odd version": {map[string]any{"status/buildinfo": map[string]any{"version": "x"}}, `it says "x"`},
		"no time":     {map[string]any{"status/buildinfo": map[string]any{"version": "2.42.0"}}, "for its time"},
	} {
		if _, err := Connect(t.Context(), apiOf(t, tt.answers)); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// The times of a Prometheus whose clock is ahead are set back, and known less well.
func TestAnotherClock(t *testing.T) {
	url := apiOf(t, map[string]any{"status/buildinfo": map[string]any{"version": "2.42.0"}, "query time()": scalar(time.Now().Add(time.Hour))})
	w, err := Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if off := (w.offset - time.Hour).Abs(); off > time.Minute || w.uncertain <= 0 {
		t.Errorf("the clock is %v ahead within %v, want an hour", w.offset, w.uncertain)
	}
}
