package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A subject is something that costs time and memory.
type subject struct {
	name string
	run  func(n int) // does it n times
}

// each makes a subject of something to be done once.
func each(name string, once func()) subject {
	return subject{name, func(n int) {
		for range n {
			once()
		}
	}}
}

// A result is what one subject costs.
type result struct {
	name          string
	ns            []float64 // per operation, an entry a round
	allocs, bytes float64   // per operation
}

// per returns r for the parts that an operation has.
func (r result) per(parts float64) result {
	for i := range r.ns {
		r.ns[i] /= parts
	}
	r.allocs, r.bytes = r.allocs/parts, r.bytes/parts
	return r
}

var random = rand.New(rand.NewPCG(1, 2))

// measure runs every subject for about the time block in each round, in an order
// that is shuffled anew. On a machine whose speed drifts, what was measured in
// one round can be compared, and nothing else. A block has to be long enough for
// several runs of the garbage collector, or their number is a matter of luck.
func measure(rounds int, block time.Duration, subjects ...subject) []result {
	results := make([]result, len(subjects))
	times := make([]int, len(subjects))
	for i, s := range subjects {
		results[i] = result{name: s.name, ns: make([]float64, rounds)}
		times[i] = timesIn(block, s)
		results[i].allocs, results[i].bytes = allocated(s, times[i])
	}
	for round := range rounds {
		for _, i := range random.Perm(len(subjects)) {
			took := timed(subjects[i], times[i])
			results[i].ns[round] = float64(took) / float64(times[i])
		}
	}
	return results
}

// timesIn returns how often s fits into the time block.
func timesIn(block time.Duration, s subject) int {
	for n := 1; ; n *= 4 {
		if took := min(timed(s, n), timed(s, n), timed(s, n)); took > block/4 {
			return 1 + int(float64(n)*float64(block)/float64(took))
		}
	}
}

func timed(s subject, n int) time.Duration {
	start := time.Now()
	s.run(n)
	return time.Since(start)
}

func allocated(s subject, n int) (allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s.run(n)
	runtime.ReadMemStats(&after)
	// Rounded, since the rest of the process allocates a little too.
	return math.Round(float64(after.Mallocs-before.Mallocs) / float64(n)),
		math.Round(float64(after.TotalAlloc-before.TotalAlloc) / float64(n))
}

// An estimate is a median with its confidence interval of 95 %.
type estimate struct{ median, low, high float64 }

func ratio(x, y float64) float64      { return x / y }
func difference(x, y float64) float64 { return x - y }

// compare estimates what by says about the two results of one round.
func compare(x, y result, by func(x, y float64) float64) estimate {
	values := make([]float64, len(x.ns))
	for i := range values {
		values[i] = by(x.ns[i], y.ns[i])
	}
	resampled := make([]float64, len(values))
	medians := make([]float64, 500)
	for i := range medians {
		for k := range resampled {
			resampled[k] = values[random.IntN(len(values))]
		}
		medians[i] = median(resampled)
	}
	slices.Sort(medians)
	return estimate{median(values), medians[len(medians)/40], medians[len(medians)-1-len(medians)/40]}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func (e estimate) String() string { return fmt.Sprintf("%.2f [%.2f, %.2f]", e.median, e.low, e.high) }

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

// A goal is a number that is to be kept.
type goal struct {
	what    string
	limit   float64
	atLeast bool
	got     float64
}

func (g goal) String() string {
	by, verdict := "at most", "met"
	if g.atLeast {
		by = "at least"
	}
	if g.got > g.limit && !g.atLeast || g.got < g.limit && g.atLeast {
		verdict = fmt.Sprintf("missed by %.2f", math.Abs(g.got-g.limit))
	}
	return row(g.what, fmt.Sprintf("%s %v", by, g.limit), fmt.Sprintf("%.2f", g.got), verdict)
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

func printTable(title string, columns []string, rows ...string) {
	fmt.Printf("\n### %s\n\n%s\n%s\n", title, row(columns...), "|"+strings.Repeat(" --- |", len(columns)))
	for _, r := range rows {
		fmt.Println(r)
	}
}
