package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portkey-go/portkey"
)

// A curve measures one operation at several sizes.
type curve struct {
	title string
	unit  string // of the sizes
	sizes []int
	newOp func(size int) (op func())
}

const upstreamsOnOneHost = "Upstreams, all on one host"

var curves = []curve{
	{"Upstreams, each on its own host", "upstreams", []int{1, 10, 100, 1000}, func(n int) func() {
		return sendToLastUpstream(n, func(i int) string { return fmt.Sprintf("https://llm-%d.example.com/v1", i) })
	}},
	{upstreamsOnOneHost, "upstreams", []int{1, 10, 100, 1000}, func(n int) func() {
		return sendToLastUpstream(n, func(i int) string { return fmt.Sprintf("https://llm.example.com/%04d/v1", i) })
	}},
	{"Nested contexts with metadata", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		return sendWithContext(nestedMetadata(n))
	}},
	{"WithMetadata over nested contexts with metadata", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		ctx := nestedMetadata(n)
		return func() { portkey.WithMetadata(ctx, metadata) }
	}},
	{"Contexts of other packages around portkey's", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		ctx := portkeyContext(context.Background())
		for range n {
			ctx = context.WithValue(ctx, traceKey{}, "")
		}
		return sendWithContext(ctx)
	}},
	{"Headers in Options", "headers", []int{1, 10, 20, 40, 60}, func(n int) func() {
		extra := make(map[string]string)
		for i := range n {
			extra[fmt.Sprintf("x-portkey-static-%02d", i)] = "a value of usual length"
		}
		rt := newTransport(stub{}, portkey.Options{BaseURL: gateway, Headers: portkey.Headers{Extra: extra}})
		req := openAIRequest(portkeyContext(context.Background()), provider)
		return func() { send(rt, req) }
	}},
	{"Metadata in the context", "keys", []int{1, 4, 16, 64}, func(n int) func() {
		m := make(portkey.Metadata)
		for i := range n {
			m[fmt.Sprintf("key-%02d", i)] = "a value of usual length"
		}
		return sendWithContext(portkey.WithTrace(portkey.WithMetadata(context.Background(), m), traceID))
	}},
}

// sendToLastUpstream returns an operation that sends to the last of n Upstreams.
func sendToLastUpstream(n int, baseURL func(i int) string) func() {
	opts := options(gateway)
	for i := range n {
		opts.Upstreams = append(opts.Upstreams, portkey.Upstream{BaseURL: baseURL(i), Provider: "openai"})
	}
	rt := newTransport(stub{}, opts)
	req := openAIRequest(portkeyContext(context.Background()), baseURL(n-1))
	return func() { send(rt, req) }
}

func sendWithContext(ctx context.Context) func() {
	rt := newTransport(stub{}, options(gateway))
	req := openAIRequest(ctx, provider)
	return func() { send(rt, req) }
}

func nestedMetadata(n int) context.Context {
	ctx := portkey.WithTrace(context.Background(), traceID)
	for range n {
		ctx = portkey.WithMetadata(ctx, metadata)
	}
	return ctx
}

// measureGrowth measures how the cost of a call depends on the size of its input.
func measureGrowth(rounds int, block time.Duration) []goal {
	rounds = (rounds + 1) / 2 // growth shows in fewer rounds
	goals := measureCurves(rounds, block)
	measureGoroutines((rounds+4)/5, block)
	measureRows(block)
	return goals
}

// measureRows prints the cost of finding a base URL among the rows of a made-up table of
// providers. Its benchmark is in the package of the table, which exports none.
func measureRows(block time.Duration) {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "^BenchmarkRows$", "-benchtime", (10 * block).String(), "./internal/providers")
	cmd.Dir = ".." // the benchmark program runs in its own directory
	out, err := cmd.CombinedOutput()
	if err != nil {
		fmt.Printf("the rows of the table of providers were not measured: %v\n%s", err, out)
		return
	}
	var rows []string
	for line := range strings.Lines(string(out)) {
		// BenchmarkRows/host/50_rows-2  1000000  134 ns/op  0 B/op  0 allocs/op
		fields := strings.Fields(line)
		if name, ok := strings.CutPrefix(line, "BenchmarkRows/"); ok && len(fields) >= 8 {
			name, _, _ = strings.Cut(strings.ReplaceAll(name, "_", " "), "-")
			rows = append(rows, row(name, fields[2], fields[6], fields[4]))
		}
	}
	slices.Sort(rows)
	printTable("Rows of the table of providers", []string{"URL, rows", "ns/op", "allocs/op", "B/op"}, rows...)
}

func measureCurves(rounds int, block time.Duration) (goals []goal) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, c := range curves {
		var benchmarks []benchmark
		for _, size := range c.sizes {
			benchmarks = append(benchmarks, loop(fmt.Sprint(size), c.newOp(size)))
		}
		results := measure(rounds, block, benchmarks...)
		printGrowth(c.title, c.unit, c.sizes, results)
		if c.title == upstreamsOnOneHost {
			goals = append(goals, atMost(4, "µs, the last of 1,000 Upstreams on one host",
				microseconds(median(find(results, "1000").ns))))
		}
	}
	return goals
}

// measureGoroutines measures a Transport that several goroutines use at the same time.
func measureGoroutines(rounds int, block time.Duration) {
	sizes := []int{1, 10, 100, 1000, 10000}
	calls := 5 * int(block/time.Microsecond)
	var benchmarks []benchmark
	for _, size := range sizes {
		benchmarks = append(benchmarks, loop(fmt.Sprint(size), sendConcurrently(size, calls)))
	}
	results := measure(rounds, block, benchmarks...)
	for i := range results {
		results[i] = results[i].per(float64(calls))
	}
	printGrowth("Goroutines that share a Transport", "goroutines", sizes, results)
}

// sendConcurrently returns an operation in which goroutines send a number of requests between them.
func sendConcurrently(goroutines, calls int) func() {
	rt := newTransport(stub{}, options(gateway))
	req := openAIRequest(portkeyContext(context.Background()), provider)
	return func() {
		var group sync.WaitGroup
		for i := range goroutines {
			group.Go(func() {
				for range (calls + i) / goroutines { // the sum over all i is calls
					send(rt, req)
				}
			})
		}
		group.Wait()
	}
}

func printGrowth(title, unit string, sizes []int, results []result) {
	var rows []string
	for i, r := range results {
		perUnit := ""
		if i > 0 {
			perUnit = fmt.Sprintf("%.1f", compare(r, results[0], difference).median/float64(sizes[i]-sizes[0]))
		}
		rows = append(rows, row(r.name, integer(median(r.ns)), compare(r, results[0], ratio).String(), perUnit,
			integer(r.allocs), integer(r.bytes)))
	}
	printTable(title, []string{unit, "ns/op", "x the first row", "ns for each more", "allocs/op", "B/op"}, rows...)
}
