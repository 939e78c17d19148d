package page

import (
	"reflect"
	"slices"
	"testing"

	layout "github.com/microsim-dev/kubectl-microsim/model/drawing"
)

// Of a large system, what failed or was under fault in any run is drawn by itself,
// and all runs are grouped alike.
func TestLargeSystemsAreDrawnInGroups(t *testing.T) {
	p := tree(400)
	p.broken = "s390"
	well := p
	well.hurt = 0
	page := p.page()
	page.Runs = append(page.Runs, well.page().Runs...)
	d, err := newDocument(page)
	if err != nil {
		t.Fatal(err)
	}
	first, second := d.Runs[0].Drawing, d.Runs[1].Drawing
	if n := len(first.Boxes); n > layout.MaxBoxes || n < layout.MaxBoxes/2 {
		t.Errorf("%d boxes are drawn", n)
	}
	if !reflect.DeepEqual(first.Boxes, second.Boxes) {
		t.Error("two runs of one system are grouped differently")
	}
	if !slices.ContainsFunc(first.Boxes, func(b boxDrawing) bool { return len(b.Members) == 1 && b.Name == "s390" }) {
		t.Error("the service that fails is in a group")
	}
	drawn := map[int]int{}
	for _, b := range first.Boxes {
		for _, v := range b.Members {
			drawn[v]++
		}
	}
	if len(drawn) != len(first.Nodes) {
		t.Errorf("%d of %d services are drawn", len(drawn), len(first.Nodes))
	}
}
