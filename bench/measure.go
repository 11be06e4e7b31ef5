package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A benchmark is an operation to measure.
type benchmark struct {
	name string
	run  func(n int) // runs the operation n times
}

// loop returns a benchmark that calls op in a loop.
func loop(name string, op func()) benchmark {
	return benchmark{name, func(n int) {
		for range n {
			op()
		}
	}}
}

// A result is the cost of one operation.
type result struct {
	name          string
	ns            []float64 // one value per round
	allocs, bytes float64
}

// per returns the cost of one of the n equal parts of r's operation.
func (r result) per(n float64) result {
	ns := slices.Clone(r.ns)
	for i := range ns {
		ns[i] /= n
	}
	return result{r.name, ns, r.allocs / n, r.bytes / n}
}

// find returns the result with this name.
func find(results []result, name string) result {
	i := slices.IndexFunc(results, func(r result) bool { return r.name == name })
	if i < 0 {
		panic("no benchmark has the name " + name)
	}
	return results[i]
}

var random = rand.New(rand.NewPCG(1, 2))

// measure runs every benchmark once per round, for about the time block and in
// random order. Compare only values of the same round: the speed of the machine
// may change between rounds. A block must be long enough for several runs of the
// garbage collector, or their number depends on chance.
func measure(rounds int, block time.Duration, benchmarks ...benchmark) []result {
	results := make([]result, len(benchmarks))
	counts := make([]int, len(benchmarks))
	for i, b := range benchmarks {
		results[i] = result{name: b.name, ns: make([]float64, rounds)}
		counts[i] = countPerBlock(b, block)
		results[i].allocs, results[i].bytes = measureMemory(b, counts[i])
	}
	for round := range rounds {
		for _, i := range random.Perm(len(benchmarks)) {
			elapsed := measureTime(benchmarks[i], counts[i])
			results[i].ns[round] = float64(elapsed) / float64(counts[i])
		}
	}
	return results
}

// countPerBlock returns how many operations of b take about the time block.
func countPerBlock(b benchmark, block time.Duration) int {
	for n := 1; ; n *= 4 {
		elapsed := min(measureTime(b, n), measureTime(b, n), measureTime(b, n))
		if elapsed > block/4 {
			return 1 + int(float64(n)*float64(block)/float64(elapsed))
		}
	}
}

func measureTime(b benchmark, n int) time.Duration {
	start := time.Now()
	b.run(n)
	return time.Since(start)
}

func measureMemory(b benchmark, n int) (allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.run(n)
	runtime.ReadMemStats(&after)
	// Round, because the rest of the process allocates a little, too.
	return math.Round(float64(after.Mallocs-before.Mallocs) / float64(n)),
		math.Round(float64(after.TotalAlloc-before.TotalAlloc) / float64(n))
}

// An estimate is a median with its 95 % confidence interval.
type estimate struct{ median, low, high float64 }

func (e estimate) String() string { return fmt.Sprintf("%.2f [%.2f, %.2f]", e.median, e.low, e.high) }

func ratio(x, y float64) float64            { return x / y }
func difference(x, y float64) float64       { return x - y }
func microseconds(ns float64) float64       { return ns / 1000 }
func microsecondsMore(x, y float64) float64 { return microseconds(x - y) }

// compare estimates f of the values that x and y have in the same round. The
// confidence interval is a bootstrap: the spread of the medians of 500 resamples.
func compare(x, y result, f func(x, y float64) float64) estimate {
	values := make([]float64, len(x.ns))
	for i := range values {
		values[i] = f(x.ns[i], y.ns[i])
	}
	resample := make([]float64, len(values))
	medians := make([]float64, 500)
	for i := range medians {
		for k := range resample {
			resample[k] = values[random.IntN(len(values))]
		}
		medians[i] = median(resample)
	}
	slices.Sort(medians)
	return estimate{median(values), medians[len(medians)/40], medians[len(medians)-1-len(medians)/40]}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// A goal is a limit for one of the results.
type goal struct {
	what     string
	lower    bool // limit is a lower limit
	limit    float64
	measured float64
}

func atMost(limit float64, what string, measured float64) goal {
	return goal{what, false, limit, measured}
}

func atLeast(limit float64, what string, measured float64) goal {
	return goal{what, true, limit, measured}
}

func (g goal) String() string {
	limit, missedBy := "at most ", g.measured-g.limit
	if g.lower {
		limit, missedBy = "at least ", g.limit-g.measured
	}
	verdict := "met"
	if missedBy > 0 {
		verdict = "missed by " + decimals(missedBy)
	}
	return row(g.what, limit+decimals(g.limit), decimals(g.measured), verdict)
}

// decimals formats v with at most three decimals.
func decimals(v float64) string { return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) }

func integer(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

func printTable(title string, columns []string, rows ...string) {
	fmt.Printf("\n### %s\n\n%s\n%s\n", title, row(columns...), "|"+strings.Repeat(" --- |", len(columns)))
	for _, r := range rows {
		fmt.Println(r)
	}
}
