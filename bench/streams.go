package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/portkey-go/portkey"
)

const (
	// fullEvent is as long as those of OpenAI.
	fullEvent = `data: {"id":"chatcmpl-Cf0a7651916cd43dd8448eb211c80","object":"chat.completion.chunk","created":1764000000,"model":"gpt-4o-mini-2024-07-18",` +
		`"service_tier":"default","system_fingerprint":"fp_560af6e559","choices":[{"index":0,"delta":{"content":" This"},"logprobs":null,"finish_reason":null}],` +
		`"usage":null,"obfuscation":"9vKq2"}` + "\n\n"
	lastEvent = "data: [DONE]\n\n"
)

// A streamStub is a base that answers with an event stream of a number of events. Each Read
// of its body returns one event, as over a network.
type streamStub int

var streamHeader = http.Header{"Content-Type": {"text/event-stream"}}

func (events streamStub) RoundTrip(req *http.Request) (*http.Response, error) {
	check(req.Body.Close())
	return &http.Response{StatusCode: http.StatusOK, Header: streamHeader, Body: &eventReader{int(events)}, Request: req}, nil
}

type eventReader struct{ left int }

func (r *eventReader) Read(p []byte) (int, error) {
	r.left--
	switch {
	case r.left >= 0:
		return copy(p, fullEvent), nil
	case r.left == -1:
		return copy(p, lastEvent), nil
	}
	return 0, io.EOF
}

func (*eventReader) Close() error { return nil }

// streamVariants are the options to compare. Their names are those of the results.
var streamVariants = []struct {
	name   string
	change func(*portkey.Options)
}{
	{"not strict", func(*portkey.Options) {}},
	{"A/A control: not strict", func(*portkey.Options) {}},
	{"StrictStreams", func(o *portkey.Options) { o.StrictStreams = true }},
	{"StreamIdleTimeout", func(o *portkey.Options) { o.StreamIdleTimeout = 5 * time.Minute }},
	{"both", func(o *portkey.Options) { o.StrictStreams, o.StreamIdleTimeout = true, 5*time.Minute }},
}

// measureStreams compares the reading of event streams with StrictStreams, with
// StreamIdleTimeout, and without.
func measureStreams(rounds int, block time.Duration) []goal {
	control := streamVariants[0].name
	const events = 1000
	kilobytes := float64(events*len(fullEvent)) / 1024
	short, long := measureStreamStub(rounds, block, 1), measureStreamStub(rounds, block, events)
	var rows []string
	for _, r := range short {
		whole := find(long, r.name)
		perKilobyte := whole.per(kilobytes)
		rows = append(rows, row(r.name, integer(median(r.ns)), integer(r.allocs), integer(r.bytes), compare(r, find(short, control), ratio).String(),
			integer(median(perKilobyte.ns)), compare(perKilobyte, find(long, control).per(kilobytes), difference).String()))
	}
	printTable(fmt.Sprintf("Reading an event stream over a base that does nothing: one event, and %.0f KiB in %d events", kilobytes, events),
		[]string{"", "ns/stream", "allocs/stream", "B/stream", "x not strict", "ns/KiB", "ns/KiB more"}, rows...)

	url, stop := serve()
	defer stop()
	base := &http.Transport{MaxIdleConnsPerHost: 16}
	defer base.CloseIdleConnections()
	all := newCallers(base, url, "text/event-stream")
	plain := all[slices.IndexFunc(all, func(c caller) bool { return c.name == transportCaller })]
	var callers []caller
	for _, v := range streamVariants {
		opts := options(url)
		v.change(&opts)
		c := plain
		c.name, c.client = v.name, &http.Client{Transport: newTransport(base, opts)}
		callers = append(callers, c)
	}
	var benchmarks []benchmark
	for _, c := range callers {
		benchmarks = append(benchmarks, c.concurrent(1))
	}
	results := measure(rounds, 5*block, benchmarks...)
	firstByte := measureFirstByte(200*rounds, callers)
	rows = nil
	for _, r := range results {
		first := find(firstByte, r.name)
		rows = append(rows, row(r.name, fmt.Sprintf("%.1f", microseconds(median(r.ns))), compare(r, find(results, control), ratio).String(),
			fmt.Sprintf("%.1f", microseconds(median(first.ns))), compare(first, find(firstByte, control), microsecondsMore).String()))
	}
	printTable("An event stream over loopback", []string{"", "µs/stream", "x not strict", "µs to the first byte", "µs more"}, rows...)

	more := func(name string) float64 {
		return compare(find(firstByte, name), find(firstByte, control), microsecondsMore).median
	}
	return []goal{
		atMost(1, "µs more to the first byte, StrictStreams", more("StrictStreams")),
		atMost(1, "µs more to the first byte, StrictStreams and StreamIdleTimeout", more("both")),
	}
}

// measureStreamStub measures whole streams over a streamStub.
func measureStreamStub(rounds int, block time.Duration, events int) []result {
	// With one processor, garbage collection adds to the time of the streams.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	request := openAIRequest(portkeyContext(context.Background()), provider)
	buffer := make([]byte, 4096) // of go-openai's size
	var benchmarks []benchmark
	for _, v := range streamVariants {
		opts := options(gateway)
		v.change(&opts)
		transport := newTransport(streamStub(events), opts)
		benchmarks = append(benchmarks, loop(v.name, func() {
			resp, err := transport.RoundTrip(request)
			check(err)
			for err == nil {
				_, err = resp.Body.Read(buffer)
			}
			if err != io.EOF {
				panic(err)
			}
			check(resp.Body.Close())
		}))
	}
	return measure(rounds, block, benchmarks...)
}
