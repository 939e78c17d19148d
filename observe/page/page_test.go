package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// nasty would end the script it stands in, and start another.
const nasty = `</script><script>window.hacked=1</script><!--<script>"'&` + "\u2028" + `<img src=x onerror="window.hacked=2">`

// hostile is a run in which every text is nasty.
func hostile() play {
	p := shop()
	p.variant, p.broken = nasty, nasty
	for i := range p.calls {
		if p.calls[i][0] == "pricing" {
			p.calls[i][0] = nasty
		}
		if p.calls[i][1] == "pricing" {
			p.calls[i][1] = nasty
		}
	}
	return p
}

// tree is a system of n services.
func tree(n int) play {
	p := shop()
	name := func(i int) string { return fmt.Sprintf("s%03d", i) }
	p.calls, p.broken, p.seconds = nil, name(5), 12
	for i := 1; i < n; i++ {
		p.calls = append(p.calls, [2]string{name((i - 1) / 3), name(i)})
		if i%4 == 0 && i/5 != (i-1)/3 {
			p.calls = append(p.calls, [2]string{name(i / 5), name(i)})
		}
	}
	return p
}

// data is what is embedded in a page.
func data(t *testing.T, page string) document {
	t.Helper()
	_, text, _ := strings.Cut(page, `<script type="application/json" id="data">`)
	text, _, _ = strings.Cut(text, "</script>")
	var d document
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Fatalf("the data of the page: %v", err)
	}
	return d
}

func TestNoTextEndsItsElement(t *testing.T) {
	p := hostile().page()
	p.Title, p.Inputs = nasty, nasty
	r := p.Runs[0].Result
	r.Name, r.Command, r.Target, r.Why, r.Incomplete = nasty, nasty, nasty, nasty, true
	r.Versions = map[string]string{nasty: nasty}
	r.Checks[0].Why = nasty
	page := written(t, p)
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("the page has %d scripts, not the data and the program", n)
	}
	for _, banned := range []string{"<img", "<!--", "window.hacked=1<"} {
		if strings.Contains(page, banned) {
			t.Errorf("%q stands in the page as it was given", banned)
		}
	}
	d := data(t, page)
	if d.Title != nasty || d.Inputs != nasty || d.Runs[0].Variant != nasty || d.Runs[0].Command != nasty {
		t.Error("the texts are not the same any more")
	}
}

func TestSamePageSameBytes(t *testing.T) {
	first, second := written(t, lab(3, 2)), written(t, lab(3, 2))
	if first != second {
		t.Error("two pages of the same runs differ")
	}
}

func TestPageAsksForNothing(t *testing.T) {
	page := written(t, shop().page())
	for _, link := range regexp.MustCompile(`(?i)(src|href|action|url|@import)\s*[=(]\s*["']?[^\s>]*`).FindAllString(page, -1) {
		if !strings.HasPrefix(link, "url(#") { // a part of the page itself
			t.Errorf("the page refers to something: %s", link)
		}
	}
	for _, address := range regexp.MustCompile(`https?://[^"'\s<]*`).FindAllString(page, -1) {
		if address != "http://www.w3.org/2000/svg" { // a name, not a place
			t.Errorf("the page has the address %s", address)
		}
	}
	if !strings.Contains(page, "default-src &#39;none&#39;") && !strings.Contains(page, "default-src 'none'") {
		t.Error("the page does not forbid loading")
	}
}

func TestPageIsSmall(t *testing.T) {
	for name, c := range map[string]struct {
		page Page
		most int
	}{
		"one run":       {shop().page(), 1_500_000},
		"20 runs":       {lab(4, 5), 2_500_000},
		"an hour of 40": {func() Page { p := tree(40); p.seconds = 3600; return p.page() }(), 8_000_000},
	} {
		if size := len(written(t, c.page)); size > c.most {
			t.Errorf("the page of %s has %d bytes", name, size)
		} else {
			t.Logf("the page of %s has %d bytes", name, size)
		}
	}
}

func TestPageWithoutSamplesOrSystem(t *testing.T) {
	p := shop().page()
	p.Runs[0].Series, p.Runs[0].System = nil, nil
	d := data(t, written(t, p))
	if got := len(d.Runs[0].Drawing.Nodes); got != 11 {
		t.Errorf("%d nodes are drawn, not the clients and 10 services", got)
	}
	if e := d.Runs[0].Drawing.Edges; len(e) != 11 || e[len(e)-1].From != 0 {
		t.Errorf("the calls are %v", e)
	}
	p.Runs[0].Result = &result.Result{Name: "nothing", Incomplete: true, Why: "interrupted"}
	if d := data(t, written(t, p)); !d.Runs[0].Incomplete {
		t.Error("the run is not marked incomplete")
	}
}

func TestWriteRefuses(t *testing.T) {
	broken := shop().page()
	broken.Runs[0].Result.Load.Total.Histogram = "HISTnonsense"
	for want, p := range map[string]Page{
		`the page of "x": there is no run`:   {Title: "x"},
		`run 1 has no result`:                {Title: "x", Runs: []Run{{}}},
		`the latency histogram of "all requ`: broken,
	} {
		var b bytes.Buffer
		if err := Write(&b, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, where %q is wanted", err, want)
		} else if b.Len() > 0 {
			t.Errorf("%d bytes were written beside the error %v", b.Len(), err)
		}
	}
}
