package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/portkey-go/portkey"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/oauth2"
	kube "k8s.io/client-go/transport"
)

const (
	gateway  = "https://gateway.example.com/portkey/v1"
	provider = "https://api.openai.com/v1"
)

// A naive is what people write for want of a library.
type naive struct {
	base    http.RoundTripper
	gateway *url.URL
	headers [][2]string
}

type (
	traceKey    struct{}
	metadataKey struct{}
)

func (n *naive) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = n.gateway.Scheme, n.gateway.Host, n.gateway.Host
	req.URL.Path = n.gateway.Path + strings.TrimPrefix(req.URL.Path, "/v1")
	for _, h := range n.headers {
		req.Header.Set(h[0], h[1])
	}
	trace, ok := req.Context().Value(traceKey{}).(string)
	if !ok {
		trace = uuid.NewString()
	}
	req.Header.Set("x-portkey-trace-id", trace)
	metadata, err := json.Marshal(req.Context().Value(metadataKey{}))
	if err != nil {
		return nil, err
	}
	req.Header.Set("x-portkey-metadata", string(metadata))
	return n.base.RoundTrip(req)
}

// newNaive returns a naive that sends what a Transport made of req, with the
// names in lower case, as Portkey's documentation has them.
func newNaive(base http.RoundTripper, sent, req *http.Request) *naive {
	u := *sent.URL
	u.Path = strings.TrimSuffix(u.Path, "/chat/completions")
	n := &naive{base: base, gateway: &u}
	for key, values := range sent.Header {
		name := strings.ToLower(key)
		if _, own := req.Header[key]; !own && name != "x-portkey-trace-id" && name != "x-portkey-metadata" {
			n.headers = append(n.headers, [2]string{name, values[0]})
		}
	}
	return n
}

func naiveContext(ctx context.Context) context.Context {
	return context.WithValue(context.WithValue(ctx, traceKey{}, traceID), metadataKey{}, metadata)
}

func tracedContext(ctx context.Context) context.Context {
	return portkey.WithTrace(portkey.WithMetadata(ctx, metadata), traceID)
}

// send sends req, and reads the answer as far as that costs anything.
func send(rt http.RoundTripper, req *http.Request) {
	resp, err := rt.RoundTrip(req)
	check(err)
	check(resp.Body.Close())
}

// transports compares what the round trip itself costs, over a base that does
// nothing. With one processor, what the collector does costs time as well.
func transports(rounds int, block time.Duration) []goal {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx := context.Background()
	plain := openaiRequest(ctx, provider)
	traced := plain.WithContext(tracedContext(ctx))
	untraced := plain.WithContext(portkey.WithMetadata(ctx, metadata))
	direct := openaiRequest(tracedContext(ctx), gateway)
	handmade := plain.WithContext(naiveContext(ctx))

	ours := newTransport(stub{}, options(gateway))
	opts := options(gateway)
	opts.Headers.Metadata = portkey.Metadata{"_environment": "staging", "service": "api"}
	merging := newTransport(stub{}, opts)
	opts.Filter = func(*http.Request) bool { return false }
	filtering := newTransport(stub{}, opts)

	through := func(base http.RoundTripper) http.RoundTripper { return newTransport(base, options(gateway)) }
	sent := sentBy(through, traced)
	checkSame(sent, sentBy(through, direct))
	byHand := newNaive(stub{}, sent, plain)
	checkSame(sent, sentBy(func(base http.RoundTripper) http.RoundTripper { return newNaive(base, sent, plain) }, handmade))

	token := &oauth2.Transport{Base: stub{}, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})}
	otel := otelhttp.NewTransport(stub{}, otelhttp.WithTracerProvider(tracenoop.NewTracerProvider()),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()))
	extra := make(map[string][]string)
	for i := range 9 {
		extra[fmt.Sprintf("key-%d", i)] = []string{"value"}
	}
	agent := kube.NewUserAgentRoundTripper("bench", stub{})
	impersonating := kube.NewImpersonatingRoundTripper(kube.ImpersonationConfig{
		UserName: "user", UID: "4711", Groups: []string{"group"}, Extra: extra}, stub{})

	all := measure(rounds, block,
		each("**portkey**: trace and metadata in the context", func() { send(ours, traced) }),
		each("- trace ID generated", func() { send(ours, untraced) }),
		each("- context built for the call¹", func() { send(ours, plain.WithContext(tracedContext(ctx))) }),
		each("- nothing for the call", func() { send(merging, plain) }),
		each("- addressed to the gateway itself", func() { send(ours, direct) }),
		each("- metadata of two levels merged", func() { send(merging, traced) }),
		each("- let past by Filter", func() { send(filtering, plain) }),
		each("no transport", func() { send(stub{}, plain) }),
		each("Request.Clone of the 16 headers", func() { send(stub{}, sent.Clone(ctx)) }),
		each("naive", func() { send(byHand, handmade) }),
		each("naive, context built for the call¹", func() { send(byHand, plain.WithContext(naiveContext(ctx))) }),
		each("oauth2.Transport, 1 header", func() { send(token, plain) }),
		each("the same again²", func() { send(token, plain) }),
		each("otelhttp, no-op providers", func() {
			send(otel, plain)
			answer.Body = http.NoBody // it was wrapped, and would be again
		}),
		each("client-go, user agent, 1 header", func() { send(agent, plain) }),
		each("client-go, impersonation, 12 headers", func() { send(impersonating, plain) }),
	)
	byName := make(map[string]result)
	for _, r := range all {
		byName[r.name] = r
	}
	oauth, hand := byName["oauth2.Transport, 1 header"], byName["naive"]
	var rows []string
	for _, r := range all {
		rows = append(rows, row(r.name, whole(median(r.ns)), whole(r.bytes), whole(r.allocs),
			compare(r, oauth, ratio).String(), compare(r, hand, ratio).String()))
	}
	printTable("One round trip over a base that does nothing",
		[]string{"", "ns/op", "B/op", "allocs/op", "x oauth2", "x naive"}, rows...)
	fmt.Println("\n¹ Of these, one allocation of 320 B is Request.WithContext, which a client that makes a new request does not need.")
	fmt.Println("² What this is off 1 is the error of the method.")

	main := all[0]
	return []goal{
		{"allocations, trace in the context", 9, false, main.allocs},
		{"allocations, trace ID generated", 10, false, all[1].allocs},
		{"allocations, context built for the call, without Request.WithContext", 12, false, all[2].allocs - 1},
		{"allocations, let past by Filter", 0, false, all[6].allocs},
		{"KiB, trace in the context", 2.5, false, main.bytes / 1024},
		{"KiB, trace ID generated", 2.5, false, all[1].bytes / 1024},
		{"times oauth2.Transport", 2.2, false, compare(main, oauth, ratio).median},
		{"times the naive one", 0.33, false, compare(main, hand, ratio).median},
	}
}
