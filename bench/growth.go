package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/portkey-go/portkey"
)

// A curve is the cost of a call against one quantity.
type curve struct {
	title    string
	quantity string
	at       []int
	subject  func(n int) func() // what to do once, at n
}

var curves = []curve{
	{"Upstreams, each on a host of its own", "upstreams", []int{1, 10, 100, 1000}, func(n int) func() {
		return toUpstream(n, func(i int) string { return fmt.Sprintf("https://llm-%d.example.com/v1", i) })
	}},
	{"Upstreams, all on one host", "upstreams", []int{1, 10, 100, 1000}, func(n int) func() {
		return toUpstream(n, func(i int) string { return fmt.Sprintf("https://llm.example.com/%04d/v1", i) })
	}},
	{"Contexts of ours within each other", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		return withContext(nested(n))
	}},
	{"One more context within them", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		ctx := nested(n)
		return func() { portkey.WithMetadata(ctx, metadata) }
	}},
	{"Contexts of others around", "contexts", []int{1, 2, 5, 10, 20}, func(n int) func() {
		ctx := tracedContext(context.Background())
		for range n {
			ctx = context.WithValue(ctx, traceKey{}, "")
		}
		return withContext(ctx)
	}},
	{"Static headers", "headers", []int{1, 10, 20, 40, 60}, func(n int) func() {
		extra := make(map[string]string)
		for i := range n {
			extra[fmt.Sprintf("x-portkey-static-%02d", i)] = "a value of usual length"
		}
		rt := newTransport(stub{}, portkey.Options{BaseURL: gateway, Headers: portkey.Headers{Extra: extra}})
		req := openaiRequest(tracedContext(context.Background()), provider)
		return func() { send(rt, req) }
	}},
	{"Metadata in the context", "keys", []int{1, 4, 16, 64}, func(n int) func() {
		m := make(portkey.Metadata)
		for i := range n {
			m[fmt.Sprintf("key-%02d", i)] = "a value of usual length"
		}
		return withContext(portkey.WithTrace(portkey.WithMetadata(context.Background(), m), traceID))
	}},
}

func toUpstream(n int, baseURL func(i int) string) func() {
	opts := options(gateway)
	for i := range n {
		opts.Upstreams = append(opts.Upstreams, portkey.Upstream{BaseURL: baseURL(i), Provider: "openai"})
	}
	rt := newTransport(stub{}, opts)
	req := openaiRequest(tracedContext(context.Background()), baseURL(n-1))
	return func() { send(rt, req) }
}

func nested(n int) context.Context {
	ctx := portkey.WithTrace(context.Background(), traceID)
	for range n {
		ctx = portkey.WithMetadata(ctx, metadata)
	}
	return ctx
}

func withContext(ctx context.Context) func() {
	rt := newTransport(stub{}, options(gateway))
	req := openaiRequest(ctx, provider)
	return func() { send(rt, req) }
}

// growth shows what a call costs as things around it grow in number.
func growth(rounds int, block time.Duration) {
	processors := runtime.GOMAXPROCS(1)
	for _, c := range curves {
		var subjects []subject
		for _, n := range c.at {
			subjects = append(subjects, each(fmt.Sprint(n), c.subject(n)))
		}
		printCurve(c.title, c.quantity, c.at, measure(rounds, block, subjects...))
	}
	runtime.GOMAXPROCS(processors)

	at := []int{1, 10, 100, 1000, 10000}
	calls := 5 * int(block/time.Microsecond)
	var subjects []subject
	for _, n := range at {
		subjects = append(subjects, concurrently(n, calls))
	}
	all := measure((rounds+4)/5, block, subjects...)
	for i := range all {
		all[i] = all[i].per(float64(calls))
	}
	printCurve("Goroutines that share a Transport", "goroutines", at, all)
}

// concurrently shares a number of calls out to goroutines.
func concurrently(goroutines, calls int) subject {
	rt := newTransport(stub{}, options(gateway))
	req := openaiRequest(tracedContext(context.Background()), provider)
	return each(fmt.Sprint(goroutines), func() {
		var all sync.WaitGroup
		for i := range goroutines {
			all.Add(1)
			go func() {
				defer all.Done()
				for range (calls + i) / goroutines {
					send(rt, req)
				}
			}()
		}
		all.Wait()
	})
}

func printCurve(title, quantity string, at []int, all []result) {
	var rows []string
	for i, r := range all {
		more := ""
		if i > 0 {
			more = fmt.Sprintf("%.1f", compare(r, all[0], difference).median/float64(at[i]-at[0]))
		}
		rows = append(rows, row(r.name, whole(median(r.ns)), compare(r, all[0], ratio).String(), more, whole(r.bytes), whole(r.allocs)))
	}
	printTable(title, []string{quantity, "ns/op", "x the first", "ns each one more", "B/op", "allocs/op"}, rows...)
}
