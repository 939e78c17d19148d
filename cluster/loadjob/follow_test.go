package loadjob

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/remote"
)

// loadBehind returns a load with one pod behind an API server, which answers the
// requests for outcomes as given, one after another, and those for the pod with
// its phase, or not at all where that is empty.
func loadBehind(t *testing.T, phase corev1.PodPhase, answers ...func(w http.ResponseWriter, from string)) (*runningLoad, func() string) {
	t.Helper()
	var mu sync.Mutex
	var told []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/pods/http:gen:8081/proxy"+control.LoadOutcomesPath):
			mu.Lock()
			answer := answers[0]
			answers = answers[1:]
			mu.Unlock()
			answer(w, r.FormValue("from"))
		case strings.HasSuffix(r.URL.Path, "/pods/gen") && phase != "":
			pod := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "gen", UID: "1"}}
			pod.Status.Phase = phase
			_ = json.NewEncoder(w).Encode(pod)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		}
	}))
	t.Cleanup(server.Close)
	c, err := kubeapi.NewClient(kubeapi.Config{REST: &rest.Config{Host: server.URL}, Progress: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, line)
	}})
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "gen", Namespace: "shop", UID: "1"}}
	load := &runningLoad{c: c, system: "shop", namespace: "shop", name: "microsim-load-x", token: "secret", count: 1, pods: []*corev1.Pod{pod}}
	return load, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(told, "\n")
	}
}

// lines writes lines with one outcome each, numbered from and to, as the request
// with the same number.
func lines(from, to int64, then func(http.ResponseWriter)) func(http.ResponseWriter, string) {
	return func(w http.ResponseWriter, asked string) {
		if asked != fmt.Sprint(from) {
			http.Error(w, "from "+asked+" is not what is missing", http.StatusBadRequest)
			return
		}
		out := json.NewEncoder(w)
		for i := from; i <= to; i++ {
			_ = out.Encode(remote.Line{Seq: i, Before: i - 1, Outcomes: remote.AppendOutcome(nil, &measure.Outcome{Request: int(i), Class: outcome.OK})})
			_ = out.Encode(remote.Line{Seq: i})
		}
		_ = http.NewResponseController(w).Flush()
		then(w)
	}
}

func end(seq int64, e remote.End) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		_ = json.NewEncoder(w).Encode(remote.Line{Seq: seq, Before: seq, End: &e})
	}
}

func breakOff(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func refuse(w http.ResponseWriter, _ string) {
	http.Error(w, "the API server starts", http.StatusServiceUnavailable)
}

func TestStreamsAreTakenUpAgain(t *testing.T) {
	load, told := loadBehind(t, corev1.PodRunning,
		lines(1, 3, breakOff), refuse, lines(4, 5, func(w http.ResponseWriter) { io.WriteString(w, `{"seq":6,"out`) }), lines(6, 7, end(7, remote.End{})))
	var got []int
	last, err := load.followPod(t.Context(), 0, func(o measure.Outcome) { got = append(got, o.Request) })
	if err != nil || last == nil {
		t.Fatalf("the stream ends with %v, %v", last, err)
	}
	if want := "[1 2 3 4 5 6 7]"; fmt.Sprint(got) != want {
		t.Errorf("over broken connections come the outcomes %v, want %s", got, want)
	}
	if !strings.Contains(told(), "taking it up again") {
		t.Errorf("the user is told %q", told())
	}
}

func TestLostOutcomesAreTold(t *testing.T) {
	load, told := loadBehind(t, corev1.PodRunning, func(w http.ResponseWriter, _ string) {
		_ = json.NewEncoder(w).Encode(remote.Line{Seq: 5, Before: 40, Outcomes: remote.AppendOutcome(nil, &measure.Outcome{Class: outcome.OK})})
		_ = json.NewEncoder(w).Encode(remote.Line{Seq: 5, Before: 50, End: &remote.End{}})
	})
	n := 0
	if _, err := load.followPod(t.Context(), 0, func(measure.Outcome) { n++ }); err != nil || n != 1 {
		t.Errorf("%d outcomes come, and %v", n, err)
	}
	if text := told(); !strings.Contains(text, "40 outcomes of pod gen") || !strings.Contains(text, "9 outcomes of pod gen") {
		t.Errorf("the user is told %q", text)
	}
}

func TestTroubleOfAPodIsExplained(t *testing.T) {
	for name, test := range map[string]struct {
		phase   corev1.PodPhase
		answer  func(http.ResponseWriter, string)
		want    string
		reports bool
	}{
		"deleted": {"", lines(1, 2, breakOff), `pod "gen", with its share of the load, was deleted`, false},
		"ended":   {corev1.PodFailed, lines(1, 2, breakOff), `pod "gen", with its share of the load, has ended`, false},
		"told to": {corev1.PodRunning, lines(1, 2, end(2, remote.End{Error: "the pod was told to end"})), `pod "gen" ended its share of the load early: the pod was told to end`, true},
	} {
		t.Run(name, func(t *testing.T) {
			load, _ := loadBehind(t, test.phase, test.answer)
			last, err := load.followPod(t.Context(), 0, func(measure.Outcome) {})
			if err == nil || !strings.Contains(err.Error(), test.want) || (last != nil) != test.reports {
				t.Errorf("the stream ends with %v, %v; want an error with %q", last, err, test.want)
			}
		})
	}
}
