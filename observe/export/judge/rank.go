package judge

import (
	"math"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/stats"
)

// rank reads the table of a case, orders its services by each rule, and returns how
// far the metrics of the cause moved.
func (j *judged) rank(path string) ([]MetricEffect, error) {
	f, err := readFrame(path)
	if err != nil {
		return nil, err
	}
	j.table = &frame{times: f.times[:1], names: f.names}
	normal, faulty := f.split(float64(j.label.InjectTime))
	services := map[string]bool{}
	for _, name := range f.names {
		services[serviceOf(name)] = true
	}
	j.services = len(services)
	sigma, robust, shift := map[string]float64{}, map[string]float64{}, map[string]float64{}
	constants := map[string]float64{}
	var effects []MetricEffect
	for i, name := range f.names {
		a, b := normal[i], faulty[i]
		service, metric := serviceOf(name), name[strings.Index(name, "_")+1:]
		if isConstant(a) {
			constants[service]++
		}
		if service == j.cause() {
			if d, ok := glass(a, b); ok {
				effects = append(effects, MetricEffect{string(j.label.Type), metric, 1, d})
			}
		}
		if metric == "latency-90" || metric == "error" {
			raise(shift, service, medianShift(a, b))
		}
		// As RCAEval reads its files: it drops the medians, and columns that are
		// constant before or after.
		if metric == "latency-50" || isConstant(a) || isConstant(b) {
			continue
		}
		mean, deviation := moments(a)
		raise(sigma, service, highest(b, mean, deviation))
		median, iqr := quartiles(a)
		raise(robust, service, highest(b, median, iqr))
	}
	j.ranks = map[string][]string{rules()[0]: ranked(sigma), rules()[1]: ranked(robust), rules()[2]: j.deepest(shift)}
	j.leaks = map[string][]string{
		firstColumn: {serviceOf(f.names[0])}, lastColumn: {serviceOf(f.names[len(f.names)-1])}, constantOnes: ranked(constants),
	}
	return effects, nil
}

// deepest ranks services that are anomalous, by three deviations, and call nobody who
// is before all others.
func (j *judged) deepest(shift map[string]float64) []string {
	const anomalous = 3
	score := map[string]float64{}
	for service, s := range shift {
		score[service] = math.Atan(s) // below pi/2, and in the same order
		if s < anomalous {
			continue
		}
		deep := !slices.ContainsFunc(j.record.Graph, func(e edge) bool {
			return plain(e.Caller) == service && shift[plain(e.Callee)] >= anomalous
		})
		if deep {
			score[service] += math.Pi
		}
	}
	return ranked(score)
}

func plain(service string) string { return strings.ReplaceAll(service, "_", "-") }

func serviceOf(column string) string {
	service, _, _ := strings.Cut(column, "_")
	return service
}

func raise(m map[string]float64, key string, v float64) {
	if old, ok := m[key]; !ok || v > old {
		m[key] = v
	}
}

// ranked lists the keys by their values, the highest first; equal ones by name.
func ranked(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		switch {
		case m[a] > m[b]:
			return -1
		case m[a] < m[b]:
			return 1
		}
		return strings.Compare(a, b)
	})
	return keys
}

func isConstant(values []float64) bool {
	for _, v := range values {
		if v != values[0] {
			return false
		}
	}
	return true
}

// moments are the mean and the standard deviation of the values themselves, as
// scikit-learn's StandardScaler takes them; a deviation of 0 becomes 1.
func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v / float64(len(values))
	}
	for _, v := range values {
		deviation += (v - mean) * (v - mean) / float64(len(values))
	}
	if deviation = math.Sqrt(deviation); deviation == 0 {
		deviation = 1
	}
	return mean, deviation
}

// quartiles are the median and the distance of the quartiles, as scikit-learn's
// RobustScaler takes them; a distance of 0 becomes 1.
func quartiles(values []float64) (median, distance float64) {
	sorted := slices.Sorted(slices.Values(values))
	distance = stats.Quantile(sorted, 0.75) - stats.Quantile(sorted, 0.25)
	if distance == 0 {
		distance = 1
	}
	return stats.Quantile(sorted, 0.5), distance
}

// highest is how far the highest value is above a middle.
func highest(values []float64, middle, scale float64) float64 {
	top := math.Inf(-1)
	for _, v := range values {
		top = max(top, (v-middle)/scale)
	}
	return top
}

// medianShift is by how many deviations the median rose; any rise from a constant is
// large.
func medianShift(a, b []float64) float64 {
	mean, deviation := moments(a)
	if isConstant(a) {
		deviation = 1e-9
	}
	middle, _ := quartiles(b)
	return (middle - mean) / deviation
}

// glass is the difference of means in standard deviations before the fault; nothing
// where that is 0.
func glass(a, b []float64) (float64, bool) {
	before, deviation := moments(a)
	after, _ := moments(b)
	if isConstant(a) {
		return 0, before == after
	}
	return (after - before) / deviation, true
}
