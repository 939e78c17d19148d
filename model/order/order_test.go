package order

import (
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func netDelay() fault.Fault {
	return fault.Fault{Type: fault.NetDelay, Target: fault.Target{Service: "db"}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Second)}}
}

func TestValidate(t *testing.T) {
	good := Fault{ID: "a", Fault: netDelay()}
	for _, test := range []struct {
		order Order
		want  string
	}{
		{Order{Owner: "shop", Pods: []Pod{{UID: "1", Faults: []Fault{good}}, {UID: "2", Faults: []Fault{good}}}}, ""},
		{Order{Owner: "shop"}, ""},
		{Order{}, "no owner"},
		{Order{Owner: "shop", Pods: []Pod{{Name: "db-1"}}}, `pod "db-1" has no UID`},
		{Order{Owner: "shop", Pods: []Pod{{UID: "1", Faults: []Fault{good, good}}}}, "there twice"},
		{Order{Owner: "shop", Pods: []Pod{{UID: "1", Faults: []Fault{{ID: "a", Fault: fault.Fault{Type: "nonsense"}}}}}}, "nonsense"},
		{Order{Owner: "shop", Pods: []Pod{{UID: "1", Faults: []Fault{{ID: "a", Fault: fault.Fault{Type: fault.Hang, Target: fault.Target{Service: "db"}, Probability: 1}}}}}}, "not the business"},
	} {
		err := test.order.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v; want %q", test.order, err, test.want)
		}
	}
}

func TestEnd(t *testing.T) {
	now := time.Now()
	o := Order{Pods: []Pod{{Faults: []Fault{{Deadline: now.Add(time.Minute)}, {Deadline: now}}}}}
	if end, forever := o.End(); !end.Equal(now.Add(time.Minute)) || forever {
		t.Errorf("the end is %v, %v", end, forever)
	}
	o.Pods = append(o.Pods, Pod{Faults: []Fault{{}}})
	if _, forever := o.End(); !forever {
		t.Error("a fault without a deadline has an end")
	}
}
