package des

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// python is Debian's own, for which python3-simpy3 is installed; another that
// comes first in PATH would not see it.
const python = "/usr/bin/python3"

// BenchmarkMM1AgainstSimPy plays an M/M/1 queue at a load of 0.7 on the kernel and
// in SimPy (Debian's python3-simpy3), in turn in one run, and reports how many
// times faster the kernel is. The same random numbers are not possible, so both
// means are held to the exact one.
func BenchmarkMM1AgainstSimPy(b *testing.B) {
	const load, exact, ours, theirs = 0.7, 1 / (1 - 0.7), 2_000_000, 100_000
	if err := exec.Command(python, "-c", "import simpy").Run(); err != nil {
		b.Fatalf("%s has no simpy: apt-get install python3-simpy3: %v", python, err)
	}
	queue := models(load)
	var m *model
	for i := range queue {
		if queue[i].name == "M/M/1" {
			m = &queue[i]
		}
	}
	var kernel, simpy time.Duration
	for i := range b.N {
		began := time.Now()
		seen := m.run(uint64(i+1), ours)
		kernel += time.Since(began) * theirs / ours
		near(b, "the kernel", mean(seen), exact)

		took, theirMean := simPy(b, load, theirs)
		simpy += took
		near(b, "SimPy", theirMean, exact)
	}
	b.ReportMetric(float64(simpy)/float64(kernel), "times-SimPy")
	b.ReportMetric(float64(theirs)*float64(b.N)/kernel.Seconds()/1e6, "Mcustomers/s")
}

// simPy runs the queue there, and returns what it took and the mean time in the
// system.
func simPy(b *testing.B, load float64, customers int) (time.Duration, float64) {
	out, err := exec.Command(python, "testdata/mm1.py", fmt.Sprint(load), strconv.Itoa(customers)).Output()
	if err != nil {
		b.Fatalf("running the queue in SimPy: %v", err)
	}
	fields := strings.Fields(string(out))
	if len(fields) != 2 {
		b.Fatalf("SimPy printed %q: want two numbers", out)
	}
	took, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	mean, err := strconv.ParseFloat(fields[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(took * float64(time.Second)), mean
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// near fails if a mean is more than 8 % off, which 100 000 customers at this load
// do not explain.
func near(b *testing.B, who string, got, exact float64) {
	if got < exact*0.92 || got > exact*1.08 {
		b.Fatalf("%s: a mean of %.3f, want about %.3f: the queues compared are not the same", who, got, exact)
	}
}
