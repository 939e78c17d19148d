package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Times of faults whose sum overflows are refused where they stand.
func TestFaultsThatEndTooLateAreRefused(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "fault-too-late.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("fault-too-late.yaml", file)
	if err == nil {
		t.Fatal("the file is accepted")
	}
	for _, want := range []string{":10:41: faults[0].start: ", ":11:55: faults[1].duration: ", ":12:62: faults[2].rounds.interval: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error %v", want, err)
		}
	}
}

// TestStressesAreChecked reads stresses whose methods or sizes there are not.
func TestStressesAreChecked(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "stress-method.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("stress-method.yaml", file)
	for _, want := range []string{
		`7:44: faults[0].args.method: fault type "cpu-stress" has no method "sqrtt" (did you mean "sqrt"?)`,
		`8:43: faults[1].args.method: fault type "io-stress" has no method "matrixprod" (write one of sync, iomix)`,
		`9:41: faults[2].args.size: size "1Ki" is out of range (the smallest is 64Ki)`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
}

// TestStepsInheritNone turns an inherited policy off in a call under steps.
func TestStepsInheritNone(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "steps-inherit-none.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	docs, err := Read("steps-inherit-none.yaml", file)
	if err != nil {
		t.Fatal(err)
	}
	if call := docs[0].System.Services[0].Endpoints[0].Steps[0].Call; call.Retry != nil {
		t.Errorf("the call retries: %+v", call.Retry)
	}
}
