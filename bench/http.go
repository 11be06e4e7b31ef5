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

var completion = `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,"message":` +
	`{"role":"assistant","content":"` + strings.Repeat("This is a test. ", 48) + `"},"finish_reason":"stop"}]}`

const event = `data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"This"}}]}` + "\n\n"

// serve answers chat completions on loopback, and event streams to those who
// accept them. It returns its base URL.
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
	})}
	go server.Serve(listener)
	return "http://" + listener.Addr().String() + "/v1", func() { server.Close() }
}

// A caller calls for a chat completion, with a request and a context made for it.
type caller struct {
	name    string
	client  *http.Client
	url     string
	header  http.Header // as the client made it; shared by all requests
	body    string
	context func(context.Context) context.Context
}

// call returns when the first byte of the answer's body was there.
func (c *caller) call() (first time.Time) {
	ctx := c.context(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(c.body))
	check(err)
	req.Header = c.header
	resp, err := c.client.Do(req)
	check(err)
	defer resp.Body.Close()
	_, err = io.ReadFull(resp.Body, make([]byte, 1))
	check(err)
	first = time.Now()
	_, err = io.Copy(io.Discard, resp.Body)
	check(err)
	return first
}

// by has the calls made by a number of clients at the same time.
func (c *caller) by(clients int) subject {
	return subject{c.name, func(n int) {
		var left atomic.Int64
		left.Store(int64(n))
		var all sync.WaitGroup
		for range clients {
			all.Add(1)
			go func() {
				defer all.Done()
				for left.Add(-1) >= 0 {
					c.call()
				}
			}()
		}
		all.Wait()
	}}
}

// overHTTP compares whole calls over loopback HTTP/1.1 with the same call whose
// headers are there already. The server is in this process: its work is in both.
func overHTTP(rounds int, block time.Duration) []goal {
	url, stop := serve()
	defer stop()
	base := &http.Transport{MaxIdleConnsPerHost: 16}
	defer base.CloseIdleConnections()

	callers := func(accept string) []caller {
		plain := openaiRequest(context.Background(), provider)
		plain.Header.Set("Accept", accept)
		reader, err := plain.GetBody()
		check(err)
		body, err := io.ReadAll(reader)
		check(err)
		sent := sentBy(func(base http.RoundTripper) http.RoundTripper { return newTransport(base, options(url)) },
			plain.WithContext(tracedContext(context.Background())))
		client := func(rt http.RoundTripper) *http.Client { return &http.Client{Transport: rt} }
		same := func(ctx context.Context) context.Context { return ctx }
		prebuilt := caller{"the same headers, prebuilt", client(base), sent.URL.String(), sent.Header, string(body), same}
		again := prebuilt
		again.name = "the same again²"
		return []caller{
			prebuilt, again,
			{"**portkey**", client(newTransport(base, options(url))), plain.URL.String(), plain.Header, string(body), tracedContext},
			{"naive", client(newNaive(base, sent, plain)), plain.URL.String(), plain.Header, string(body), naiveContext},
		}
	}

	var goals []goal
	for _, clients := range []int{1, 8} {
		var subjects []subject
		for _, c := range callers("application/json") {
			subjects = append(subjects, c.by(clients))
		}
		all := measure(rounds, block, subjects...)
		var rows []string
		for _, r := range all {
			rows = append(rows, row(r.name, whole(1e9/median(r.ns)), compare(all[0], r, ratio).String()))
		}
		title := fmt.Sprintf("Requests per second over loopback, clients: %d", clients)
		printTable(title, []string{"", "rps", "x the same headers"}, rows...)
		goals = append(goals, goal{strings.ToLower(title), 0.95, true, compare(all[0], all[2], ratio).median})
	}

	all := firstBytes(200*rounds, callers("text/event-stream"))
	var rows []string
	for _, r := range all {
		rows = append(rows, row(r.name, fmt.Sprintf("%.1f", median(r.ns)), compare(r, all[0], difference).String()))
	}
	printTable("Time to the first byte of an event stream", []string{"", "µs", "µs more than the same headers"}, rows...)
	return append(goals, goal{"µs, first byte of an event stream", 5, false, compare(all[2], all[0], difference).median})
}

// firstBytes times calls one by one, in microseconds.
func firstBytes(rounds int, callers []caller) []result {
	results := make([]result, len(callers))
	for i, c := range callers {
		results[i] = result{name: c.name, ns: make([]float64, rounds)}
	}
	for round := range rounds {
		for _, i := range random.Perm(len(callers)) {
			start := time.Now()
			first := callers[i].call()
			results[i].ns[round] = float64(first.Sub(start)) / float64(time.Microsecond)
		}
	}
	return results
}
