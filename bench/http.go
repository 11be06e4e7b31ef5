package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const event = `data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"This"}}]}` + "\n\n"

// serve starts a server on the loopback interface that answers with a chat
// completion, or with an event stream if the request accepts that.
func serve() (baseURL string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("Accept") != "text/event-stream" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, completion)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, lastEvent)
	})}
	go server.Serve(listener)
	return "http://" + listener.Addr().String() + "/v1", func() { server.Close() }
}

// A caller sends requests for a chat completion. It creates a request and a context for each call.
type caller struct {
	name    string
	client  *http.Client
	url     string
	body    string
	header  func() http.Header                    // returns the client's headers for one request
	context func(context.Context) context.Context // returns the context for one request
}

// call makes one call and returns the time at which the first byte of the response body arrived.
func (c *caller) call() (firstByte time.Time) {
	ctx := c.context(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(c.body))
	check(err)
	req.Header = c.header()
	resp, err := c.client.Do(req)
	check(err)
	defer resp.Body.Close()
	_, err = io.ReadFull(resp.Body, make([]byte, 1))
	check(err)
	firstByte = time.Now()
	_, err = io.Copy(io.Discard, resp.Body)
	check(err)
	return firstByte
}

// concurrent returns a benchmark in which a number of clients make calls at the same time.
func (c *caller) concurrent(clients int) benchmark {
	return benchmark{c.name, func(n int) {
		var remaining atomic.Int64
		remaining.Store(int64(n))
		var group sync.WaitGroup
		for range clients {
			group.Go(func() {
				for remaining.Add(-1) >= 0 {
					c.call()
				}
			})
		}
		group.Wait()
	}}
}

const (
	controlCaller   = "the same headers, cloned for each request"
	transportCaller = "**portkey**"
)

// newCallers returns the callers to compare. All send the same request.
func newCallers(base http.RoundTripper, gateway, accept string) []caller {
	plain := openAIRequest(context.Background(), provider)
	plain.Header.Set("Accept", accept)
	reader, err := plain.GetBody()
	check(err)
	body, err := io.ReadAll(reader)
	check(err)
	sent := sentBy(options(gateway), plain.WithContext(portkeyContext(context.Background())))
	checkHeaderCount(sent, 16)

	// A RoundTripper must not modify a request, so requests may share the client's headers.
	plainHeader := func() http.Header { return plain.Header }
	noValues := func(ctx context.Context) context.Context { return ctx }
	client := func(rt http.RoundTripper) *http.Client { return &http.Client{Transport: rt} }
	direct, url := sent.URL.String(), plain.URL.String()
	control := caller{controlCaller, client(base), direct, string(body), sent.Header.Clone, noValues}
	transport := newTransport(base, options(gateway))
	again := control
	again.name = "A/A control: " + controlCaller
	return []caller{
		control,
		again,
		{transportCaller, client(transport), url, string(body), plainHeader, portkeyContext},
		{"naive", client(newNaive(base, gateway)), url, string(body), plainHeader, naiveContext},
	}
}

// measureHTTP compares calls over loopback HTTP/1.1. The server runs in this
// process, so every call includes its work.
func measureHTTP(rounds int, block time.Duration) []goal {
	block *= 5 // calls over a connection vary more than those over a stub
	url, stop := serve()
	defer stop()
	base := &http.Transport{MaxIdleConnsPerHost: 16}
	defer base.CloseIdleConnections()

	var goals []goal
	for _, clients := range []int{1, 8} {
		var benchmarks []benchmark
		for _, c := range newCallers(base, url, "application/json") {
			benchmarks = append(benchmarks, c.concurrent(clients))
		}
		results := measure(rounds, block, benchmarks...)
		control := find(results, controlCaller)
		// Requests per second are the inverse of the time per request, and so is their ratio.
		throughput := func(r result) estimate { return compare(control, r, ratio) }
		var rows []string
		for _, r := range results {
			rows = append(rows, row(r.name, integer(1e9/median(r.ns)), throughput(r).String()))
		}
		title := fmt.Sprintf("Requests per second over loopback, clients: %d", clients)
		printTable(title, []string{"", "rps", "x the control"}, rows...)
		what := fmt.Sprintf("times the control's requests per second, clients: %d", clients)
		goals = append(goals, atLeast(0.98, what, throughput(find(results, transportCaller)).median))
	}

	results := measureFirstByte(200*rounds, newCallers(base, url, "text/event-stream"))
	control := find(results, controlCaller)
	var rows []string
	for _, r := range results {
		rows = append(rows, row(r.name, fmt.Sprintf("%.1f", microseconds(median(r.ns))),
			compare(r, control, microsecondsMore).String()))
	}
	printTable("Time to the first byte of an event stream", []string{"", "µs", "µs more than the control"}, rows...)
	return append(goals, atMost(5, "µs more than the control, first byte of an event stream",
		compare(find(results, transportCaller), control, microsecondsMore).median))
}

// measureFirstByte makes one call of each caller per round.
func measureFirstByte(rounds int, callers []caller) []result {
	results := make([]result, len(callers))
	for i, c := range callers {
		results[i] = result{name: c.name, ns: make([]float64, rounds)}
	}
	for round := range rounds {
		for _, i := range random.Perm(len(callers)) {
			start := time.Now()
			firstByte := callers[i].call()
			results[i].ns[round] = float64(firstByte.Sub(start))
		}
	}
	return results
}
