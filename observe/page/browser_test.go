//go:build browser

package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// chromium opens a file and returns the document after its program has run. Any
// message of the page on its console fails the test.
func chromium(t *testing.T, address string) string {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("these tests need a browser: %v; install chromium", err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		// Frames of files count as foreign otherwise, and could not be looked into.
		"--disable-web-security", "--allow-file-access-from-files",
		"--enable-logging=stderr", "--window-size=1280,720", "--virtual-time-budget=20000", "--dump-dom", address)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("running %s: %v\n%s", program, err, log.String())
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the page says on the console: %s", line)
		}
	}
	return out.String()
}

func saved(t *testing.T, p Page) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(written(t, p)), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

// curve is the path of one curve in the document, and its corners.
func curve(t *testing.T, document, chart, name string) (d string, points [][2]float64) {
	t.Helper()
	_, rest, found := strings.Cut(document, `data-chart="`+html.EscapeString(chart)+`"`)
	rest, _, _ = strings.Cut(rest, "</figure>")
	path := regexp.MustCompile(`<path class="curve" d="([^"]*)"[^>]*data-curve="` + regexp.QuoteMeta(html.EscapeString(name)) + `"[^>]*data-points="(\d+)"`).FindStringSubmatch(rest)
	if !found || path == nil {
		t.Fatalf("the page has no curve %q in a chart %q", name, chart)
	}
	for _, corner := range regexp.MustCompile(`[ML]([-\d.]+),([-\d.]+)`).FindAllStringSubmatch(path[1], -1) {
		x, _ := strconv.ParseFloat(corner[1], 64)
		y, _ := strconv.ParseFloat(corner[2], 64)
		points = append(points, [2]float64{x, y})
	}
	if fmt.Sprint(len(points)) != path[2] {
		t.Errorf("curve %q of %q has %d corners and says %s", name, chart, len(points), path[2])
	}
	return path[1], points
}

// checkDrawn holds a curve against its values: heights and times are straight
// lines of what is drawn, upwards and to the right, up to a tenth of a pixel.
func checkDrawn(t *testing.T, what string, points [][2]float64, times, values []num) {
	t.Helper()
	if len(points) != len(values) {
		t.Fatalf("%s: %d points are drawn of %d values", what, len(points), len(values))
	}
	for axis, data := range [][]num{times, values} {
		low, high := 0, 0
		for i := range data {
			if data[i] < data[low] {
				low = i
			}
			if data[i] > data[high] {
				high = i
			}
		}
		scale := (points[high][axis] - points[low][axis]) / float64(data[high]-data[low])
		if (axis == 0) != (scale > 0) {
			t.Fatalf("%s: the scale of axis %d is %g", what, axis, scale)
		}
		for i := range data {
			want := points[low][axis] + scale*float64(data[i]-data[low])
			// Both are rounded: drawn to tenths, written with four digits.
			if math.Abs(points[i][axis]-want) > 0.35 {
				t.Errorf("%s: value %d is drawn at %g, where its data is at %g", what, i, points[i][axis], want)
			}
		}
	}
}

func TestCurvesAreDrawnFromTheData(t *testing.T) {
	p := shop().page()
	address := saved(t, p)
	before := chromium(t, address+"#service=pricing")
	clients := clientCurves(p.Runs[0].Result.Timeline, maxCurve)
	service := serviceCurves(p.Runs[0].Series, maxCurve)["pricing"]
	for _, c := range []struct {
		chart, name   string
		times, values []num
	}{
		{"clients:latency", "p50", clients.T, clients.P50}, {"clients:latency", "p90", clients.T, clients.P90}, {"clients:latency", "p99", clients.T, clients.P99},
		{"clients:rate", "offered", clients.T, clients.Offered}, {"clients:rate", "ended", clients.T, clients.Rate}, {"clients:rate", "goodput", clients.T, clients.Good}, {"clients:errors", "timeout", clients.T, clients.Classes["timeout"]}, {"clients:errors", "http error", clients.T, clients.Classes["http_error"]},
		{"service:rate", "requests", service.T, service.Rate}, {"service:errors", "status 503", service.T, service.Codes["503"]},
		{"service:queue", "in flight", service.T, service.InFlight}, {"service:queue", "waiting", service.T, service.Queue}, {"service:latency", "p99", service.T, service.P99},
	} {
		_, points := curve(t, before, c.chart, c.name)
		checkDrawn(t, c.chart+" "+c.name, points, c.times, c.values)
	}
	caller := chromium(t, address+"#service=catalog")
	held := serviceCurves(p.Runs[0].Series, maxCurve)["catalog"].Held["pricing"]
	_, points := curve(t, caller, "service:breaker", "to pricing")
	checkDrawn(t, "breaker", points, service.T, held)

	old, _ := curve(t, before, "clients:latency", "p99")
	p.Runs[0].Result.Timeline[30].Latency.P99 *= 1.5
	changed, _ := curve(t, chromium(t, saved(t, p)), "clients:latency", "p99")
	if old == changed {
		t.Error("other data is drawn as the same curve")
	}
}

func TestBarsCountTheHistogram(t *testing.T) {
	p := shop().page()
	h, err := newHistogram("", &p.Runs[0].Result.Load.Total)
	if err != nil {
		t.Fatal(err)
	}
	document := chromium(t, saved(t, p))
	if gap := p.Runs[0].Result.Faults[0].Gaps[0]; !strings.Contains(document, "not all the time: "+gap) {
		t.Errorf("the page does not say that a fault had a gap: %s", gap)
	}
	var drawn []string
	for _, bar := range regexp.MustCompile(`data-count="(\d+)"`).FindAllStringSubmatch(document, -1) {
		drawn = append(drawn, bar[1])
	}
	var want []string
	for _, n := range h.Counts {
		if n > 0 {
			want = append(want, fmt.Sprint(n))
		}
	}
	if strings.Join(drawn, " ") != strings.Join(want, " ") {
		t.Errorf("bars of %v are drawn for %v", drawn, want)
	}
}

// probe opens a page in a frame and tries it. It writes its findings into the
// document as JSON.
const probe = `<!doctype html><meta charset="utf-8"><body><script>
const frame = document.createElement('iframe'), found = { errors: [], violations: [], overflow: {}, outside: {} };
frame.style.cssText = 'width:1280px;height:720px;border:0';
const wait = ms => new Promise(done => setTimeout(done, ms));
const text = s => frame.contentDocument.querySelector(s)?.textContent;
function press(target, key) { target.dispatchEvent(new frame.contentWindow.KeyboardEvent('keydown', { key, bubbles: true, cancelable: true })); }
frame.onload = async () => {
  const w = frame.contentWindow, d = w.document;
  w.addEventListener('error', e => found.errors.push(e.message));
  d.addEventListener('securitypolicyviolation', e => found.violations.push(e.blockedURI));
  await wait(300);
  found.ready = d.documentElement.dataset.ready;
  found.values = [];
  for (const values of d.querySelectorAll('[data-chart="clients:latency"] details.values, [data-chart="histogram"] details.values')) {
    values.open = true;
    await wait(50);
    found.values.push([...values.querySelectorAll('tr')].map(row => [...row.cells].map(cell => cell.textContent).join(' | ')));
    values.open = false;
  }
  found.hacked = String(w.hacked);
  found.names = [...d.querySelectorAll('[data-node]')].map(n => n.dataset.node);
  found.levels = [...d.querySelectorAll('[data-node]')].map(n => n.dataset.level).join();
  press(d.body, '2');
  await wait(200);
  found.segment = d.querySelector('input[name=segment]:checked').value;
  found.levelsBefore = [...d.querySelectorAll('[data-node]')].map(n => n.dataset.level).join();
  found.choices = d.querySelectorAll('[data-chart="clients:rate"] .choice').length;
  const node = [...d.querySelectorAll('[data-node]')].find(n => n.dataset.node === WANTED);
  if (node) { node.focus(); press(node, 'Enter'); }
  await wait(50);
  found.service = text('[data-part=service] h2');
  found.focused = d.activeElement.dataset ? d.activeElement.dataset.node : '';
  const chart = d.querySelector('[data-chart="clients:latency"] svg.chart');
  chart.focus(); press(chart, 'ArrowRight'); press(chart, 'ArrowRight');
  found.tip = d.getElementById('tip').hidden ? '' : d.getElementById('tip').textContent;
  press(chart, 'Escape');
  found.tipAfter = d.getElementById('tip').hidden;
  const ground = () => w.getComputedStyle(d.body).backgroundColor;
  found.ground = [ground()]; press(d.body, 't'); found.ground.push(ground());
  press(d.body, '3');
  const sort = d.querySelector('[data-sort=share]');
  found.variants = [...d.querySelectorAll('tr[data-variant]')].map(r => r.dataset.variant);
  if (sort) { sort.click(); found.sorted = [...d.querySelectorAll('tr[data-variant]')].map(r => r.dataset.variant); d.querySelector('[data-sort=share]').click(); found.resorted = [...d.querySelectorAll('tr[data-variant]')].map(r => r.dataset.variant); }
  const group = d.querySelector('[data-group]');
  if (group) { press(group, 'Enter'); found.opened = d.querySelectorAll('.tiles [data-node]').length; }
  for (const width of [400, 1280, 1920]) {
    frame.style.width = width + 'px';
    await wait(300);
    found.overflow[width] = d.documentElement.scrollWidth - width;
    // No element may leave the window, except in a part that scrolls.
    found.outside[width] = [...d.querySelectorAll('main *')].filter(e => !e.closest('.scroll, .drawing, pre, .skip, .hidden, input') && e.getBoundingClientRect().right > width + 1).map(e => e.tagName + '.' + e.getAttribute('class')).slice(0, 5);
  }
  found.unnamed = [...d.querySelectorAll('svg[tabindex], rect[tabindex], button, select, input')].filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label'))).length;
  found.resources = w.performance.getEntriesByType('resource').map(e => e.name);
  const pre = document.createElement('pre');
  pre.id = 'found';
  pre.textContent = JSON.stringify(found);
  document.body.append(pre);
};
frame.src = PAGE;
document.body.append(frame);
</script>`

// A finding is what the probe tells.
type finding struct {
	Ready, Hacked, Levels, LevelsBefore, Segment, Service, Focused, Tip string
	Errors, Violations, Names, Ground, Variants, Sorted, Resorted       []string
	Resources                                                           []string
	Values                                                              [][]string
	Choices, Unnamed, Opened                                            int
	TipAfter                                                            bool
	Overflow                                                            map[string]int
	Outside                                                             map[string][]string
}

// try opens a page in the probe and checks what every page must hold to.
func try(t *testing.T, p Page, wanted string) finding {
	t.Helper()
	quoted := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	path := filepath.Join(t.TempDir(), "probe.html")
	if err := os.WriteFile(path, []byte(strings.NewReplacer("PAGE;", quoted(saved(t, p))+";", "WANTED)", quoted(wanted)+")").Replace(probe)), 0o644); err != nil {
		t.Fatal(err)
	}
	document := chromium(t, "file://"+path)
	_, text, ok := strings.Cut(document, `<pre id="found">`)
	text, _, _ = strings.Cut(text, "</pre>")
	var f finding
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), &f); !ok || err != nil {
		t.Fatalf("the probe found nothing: %v\n%.2000s", err, document)
	}
	if f.Ready != "true" || len(f.Errors)+len(f.Violations)+len(f.Resources) > 0 {
		t.Errorf("ready %q, errors %q, violations %q, loaded %q", f.Ready, f.Errors, f.Violations, f.Resources)
	}
	for width, over := range f.Overflow {
		if over > 0 || len(f.Outside[width]) > 0 {
			t.Errorf("at %s pixels the page is %d too wide: %v", width, over, f.Outside[width])
		}
	}
	if f.Unnamed > 0 {
		t.Errorf("%d things that can be reached with the keyboard have no name", f.Unnamed)
	}
	return f
}

func TestPageIsUsedByKeyboardAtEverySize(t *testing.T) {
	f := try(t, shop().page(), "pricing")
	if f.Segment != "part:before" || f.Levels == f.LevelsBefore || f.Choices != 1 {
		t.Errorf("key 2 chose %q, colours went from %s to %s, %d marks", f.Segment, f.Levels, f.LevelsBefore, f.Choices)
	}
	if f.Service != "Service pricing" || f.Focused != "pricing" {
		t.Errorf("Enter shows %q and leaves the focus on %q", f.Service, f.Focused)
	}
	if !strings.Contains(f.Tip, "Latency, at 1.5 s") || !f.TipAfter {
		t.Errorf("the arrows show %q; hidden after Escape: %v", f.Tip, f.TipAfter)
	}
	if len(f.Ground) != 2 || f.Ground[0] == f.Ground[1] {
		t.Errorf("dark and light have the grounds %q", f.Ground)
	}
}

// TestValuesStandBesideCurves opens the tables below charts.
func TestValuesStandBesideCurves(t *testing.T) {
	p := shop().page()
	f := try(t, p, "pricing")
	clients := clientCurves(p.Runs[0].Result.Timeline, maxCurve)
	if len(f.Values) < 2 || len(f.Values[0]) != len(clients.T)+1 || f.Values[0][0] != "time | p50 | p90 | p99" {
		t.Fatalf("the tables are %.500q", f.Values)
	}
	if row := f.Values[0][1]; !strings.HasSuffix(row, "s") || strings.Count(row, " | ") != 3 {
		t.Errorf("the first row is %q", row)
	}
	if h := f.Values[1]; h[0] != "latency | requests" || len(h) < 3 {
		t.Errorf("the bars are told as %.500q", h)
	}
}

func TestVariantsAreSorted(t *testing.T) {
	f := try(t, lab(3, 3), "pricing")
	if got := strings.Join(f.Sorted, " "); got != "timeouts+retries timeouts none" {
		t.Errorf("by errors, the least first: %s", got)
	}
	if got := strings.Join(f.Resorted, " "); got != "none timeouts timeouts+retries" {
		t.Errorf("by errors, the most first: %s", got)
	}
}

func TestLargeSystemsFit(t *testing.T) {
	for _, n := range []int{45, 150, 400} {
		f := try(t, tree(n).page(), "s005")
		if grouped := n > 60; grouped != (f.Opened > 1) {
			t.Errorf("of %d services, a group lists %d", n, f.Opened)
		}
	}
}

func TestNamesStayText(t *testing.T) {
	f := try(t, hostile().page(), nasty)
	if f.Hacked != "undefined" {
		t.Errorf("a name of a service was run: %s", f.Hacked)
	}
	found := false
	for _, name := range f.Names {
		found = found || name == nasty
	}
	if !found || f.Service != "Service "+nasty {
		t.Errorf("the page has the names %q and shows %q", f.Names, f.Service)
	}
}

// Variants last for different times, and have calls that were never made.
func TestVariantsMayDiffer(t *testing.T) {
	p := lab(3, 1)
	short := p.Runs[2].Result
	short.Timeline = short.Timeline[:len(short.Timeline)-4]
	for i := range p.Runs[0].Result.Segments {
		edges := p.Runs[0].Result.Segments[i].Edges
		for j := range edges {
			edges[j].Calls, edges[j].Errors, edges[j].Outcomes = 0, 0, nil
		}
	}
	try(t, p, "pricing")
}

// The page opens with any fragment in its address.
func TestBadLinksOpenThePage(t *testing.T) {
	address := saved(t, lab(2, 1))
	for _, asked := range []string{"run=0.5", "run=-1", "run=99", "curve=x", "curve=__proto__", "segment=nothing", "service=%00", "by=x&theme=y", "%", "run=1&segment=part:during&curve=p99"} {
		document := chromium(t, address+"#"+asked)
		if !strings.Contains(document, `data-ready="true"`) || !strings.Contains(document, "What the clients saw") {
			t.Errorf("the page did not open with #%s", asked)
		}
	}
}

// A service that fails is on the page of a large system, wherever it stands in
// the file.
func TestTheWorstServicesAreListed(t *testing.T) {
	p := tree(400)
	p.broken = "s390"
	document := chromium(t, saved(t, p.page()))
	if !strings.Contains(document, `data-service="s390"`) {
		t.Error("the service that fails is not listed")
	}
	if n := strings.Count(document, "data-service="); n != 300 {
		t.Errorf("%d services are listed", n)
	}
}

// Degraded answers are not errors, but a page with some does not say that nothing
// went wrong.
func TestDegradedAnswersAreShown(t *testing.T) {
	p := play{variant: "none", seed: 3, seconds: 6, calls: [][2]string{{"web", "db"}}}.page()
	r := p.Runs[0].Result
	for i := range r.Timeline {
		s := &r.Timeline[i]
		s.Outcomes, s.Degraded, s.Good = map[outcome.Class]int64{outcome.OK: 20}, 5, 15
	}
	for i := range r.Segments {
		c := &r.Segments[i].Clients
		c.Errors, c.Degraded, c.Outcomes = 0, c.Requests/4, map[outcome.Class]int64{outcome.OK: c.Requests}
		for j := range r.Segments[i].Services {
			r.Segments[i].Services[j].Degraded = 1
		}
	}
	r.Faults = nil
	document := chromium(t, saved(t, p))
	shown, _, _ := strings.Cut(document, "<script") // the program has its texts, too
	if !strings.Contains(shown, "degraded, of requests") || strings.Contains(shown, "no errors in the whole run") {
		t.Error("the page does not tell that answers were degraded")
	}
	curve(t, document, "clients:errors", "degraded")
}

// A run with a prediction shows both, and by how much it is wrong.
func TestPredictionsAreShown(t *testing.T) {
	p := play{variant: "none", seed: 3, seconds: 6, calls: [][2]string{{"web", "db"}}}.page()
	predicted := *p.Runs[0].Result
	predicted.Environment.Costs = &result.Costs{Of: result.UsualCosts}
	predicted.Segments = append([]result.Segment(nil), predicted.Segments...)
	predicted.Segments[0].Clients.Goodput *= 1.25
	p.Runs[0].Result.Prediction = result.Predict(p.Runs[0].Result, &predicted)
	shown, _, _ := strings.Cut(chromium(t, saved(t, p)), "<script")
	for _, want := range []string{"Predicted in virtual time", "+25.0 %", "usual costs"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
}

// A run in virtual time says why requests went wrong, in its order.
func TestExplanationsAreShown(t *testing.T) {
	p := play{variant: "none", seed: 3, seconds: 6, calls: [][2]string{{"web", "db"}}}.page()
	p.Runs[0].Result.Explanation = &result.Explanation{Trouble: true, Lines: []result.ExplanationLine{{At: 1, Text: "all <b>failed</b>"}, {At: 1.5, Service: "db", Text: "the queue of db was full"}}}
	shown, _, _ := strings.Cut(chromium(t, saved(t, p)), "<script")
	first, second := strings.Index(shown, "all &lt;b&gt;failed"), strings.Index(shown, "the queue of db was full")
	if first < 0 || second < first {
		t.Error("the page does not show the explanation in its order")
	}
}

// The page lists what fired, when, and which fault it detected.
func TestAlertsAreListed(t *testing.T) {
	document := chromium(t, saved(t, shop().page()))
	_, rest, found := strings.Cut(document, ">Alerts</h2>")
	rest, _, _ = strings.Cut(rest, "</section>")
	text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(rest, " ")
	if !found || !regexp.MustCompile(`HighErrors\s+\S+\s+[\d.]+ ?\S* to [\d.]+ ?\S*\s+1 ?s after error`).MatchString(text) {
		t.Errorf("the alerts are shown as %q", text)
	}
}

// The page marks changes by hand in the curves, and lists them with those that failed.
func TestChangesAreMarked(t *testing.T) {
	p := play{variant: "none", seed: 3, seconds: 6, calls: [][2]string{{"web", "db"}}}.page()
	p.Runs[0].Result.Changes = []result.SystemChange{
		{What: []string{"load × 1 to × 3"}, Asked: 2, Done: 2.1, Load: &result.LoadChange{From: 1, To: 3}},
		{What: []string{"<b>cart</b> is added"}, Asked: 3, Error: "cart does not start"},
	}
	shown, _, _ := strings.Cut(chromium(t, saved(t, p)), "<script")
	if !strings.Contains(shown, "<title>load × 1 to × 3</title>") || strings.Contains(shown, "<title>&lt;b&gt;cart&lt;/b&gt; is added</title>") {
		t.Error("the curves do not mark what was changed, and only that")
	}
	_, rest, found := strings.Cut(shown, ">Changed by hand while it ran</h3>")
	rest, _, _ = strings.Cut(rest, "</section>")
	text := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(rest, " ")
	if !found || !regexp.MustCompile(`load × 1 to × 3\s+2\.1 ?s\s+&lt;b&gt;cart&lt;/b&gt; is added\s+failed: cart does not start`).MatchString(text) {
		t.Errorf("the changes are listed as %q", text)
	}
}
