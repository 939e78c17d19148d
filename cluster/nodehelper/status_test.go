package nodehelper

import (
	"fmt"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/order"
)

func TestDeeds(t *testing.T) {
	deeds := FaultStatuses([]order.Status{
		{Owner: "a", FaultID: "x", By: "tc", Effective: "delay 1s"}, {Owner: "a", FaultID: "x", By: "tc", Effective: "delay 1s"},
		{Owner: "a", FaultID: "x", Error: "no such pod"}, {Owner: "b", FaultID: "x", By: "emulate"},
	})
	d := deeds[[2]string{"a", "x"}]
	if got := fmt.Sprint(d.by, d.effective, d.Errors); len(deeds) != 2 || got != "[tc] [delay 1s] [no such pod]" {
		t.Errorf("%d deeds, and the first is %s", len(deeds), got)
	}
	if err := FaultError("x", []order.Status{{FaultID: "y", Error: "no"}, {FaultID: "x"}}); err != nil {
		t.Errorf("trouble of another fault, or of none, is %v", err)
	}
}
