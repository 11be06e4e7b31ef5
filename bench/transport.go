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

// A naive clones each request and sets the headers, as programs without this library do.
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

// newNaive returns a naive that sends the same headers as a Transport with options(gateway).
func newNaive(base http.RoundTripper, gateway string) *naive {
	u, err := url.Parse(gateway)
	check(err)
	return &naive{base, u, staticHeaders()}
}

// naiveContext is portkeyContext for a naive.
func naiveContext(ctx context.Context) context.Context {
	return context.WithValue(context.WithValue(ctx, traceKey{}, traceID), metadataKey{}, metadata)
}

// staticHeaders returns the ten headers that a Transport with options sends with
// every request, in lower case as in Portkey's documentation.
func staticHeaders() [][2]string {
	sent := sentBy(options(gateway), openAIRequest(portkeyContext(context.Background()), provider))
	var headers [][2]string
	for key, values := range sent.Header {
		name := strings.ToLower(key)
		if strings.HasPrefix(name, "x-portkey-") && name != "x-portkey-trace-id" && name != "x-portkey-metadata" {
			headers = append(headers, [2]string{name, values[0]})
		}
	}
	return headers
}

// measureTransports compares the round trip of several RoundTrippers over a stub.
func measureTransports(rounds int, block time.Duration) []goal {
	// With one processor, garbage collection adds to the time of the round trips.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	ctx := context.Background()
	plain := openAIRequest(ctx, provider)
	traced := plain.WithContext(portkeyContext(ctx))
	untraced := plain.WithContext(portkey.WithMetadata(ctx, metadata))
	direct := openAIRequest(portkeyContext(ctx), gateway)
	naiveTraced := plain.WithContext(naiveContext(ctx))

	transport := newTransport(stub{}, options(gateway))
	opts := options(gateway)
	opts.Headers.Metadata = portkey.Metadata{"_environment": "staging", "service": "api"}
	withMetadata := newTransport(stub{}, opts)
	opts.Filter = func(*http.Request) bool { return false }
	withFilter := newTransport(stub{}, opts)

	// The example in the README: nothing but an API key, and no organization.
	exampleOptions := portkey.Options{Headers: portkey.Headers{APIKey: "pk-bench"}}
	exampleRequest := openAIRequest(ctx, provider)
	exampleRequest.Header.Del("OpenAI-Organization")
	example := newTransport(stub{}, exampleOptions)
	quickStartOptions := portkey.Options{BaseURL: gateway,
		Headers: portkey.Headers{APIKey: "pk-bench", Config: portkey.ConfigSlug("pc-bench-1a2b3c")}}
	quickStart := newTransport(stub{}, quickStartOptions)

	checkHeaderCount(sentBy(exampleOptions, exampleRequest), 6)
	checkHeaderCount(sentBy(quickStartOptions, traced), 8)
	sent := sentBy(options(gateway), traced)
	checkHeaderCount(sent, 16)
	checkSame(sent, sentBy(options(gateway), direct))
	var sentByNaive recorder
	send(newNaive(&sentByNaive, gateway), naiveTraced)
	checkSame(sent, sentByNaive.last)

	naiveTransport := newNaive(stub{}, gateway)
	token := &oauth2.Transport{Base: stub{}, Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "t"})}
	otel := otelhttp.NewTransport(stub{}, otelhttp.WithTracerProvider(tracenoop.NewTracerProvider()),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()))
	agent := kube.NewUserAgentRoundTripper("bench", stub{})
	extra := make(map[string][]string)
	for i := range 9 {
		extra[fmt.Sprintf("key-%d", i)] = []string{"value"}
	}
	impersonating := kube.NewImpersonatingRoundTripper(kube.ImpersonationConfig{
		UserName: "user", UID: "4711", Groups: []string{"group"}, Extra: extra}, stub{})

	const (
		inContext    = "**portkey**: trace and metadata in the context"
		generated    = "- trace ID generated"
		twoLevels    = "- metadata on two levels"
		filtered     = "- passed through by Filter"
		eightHeaders = "- quick start, 8 headers²"
		naiveName    = "naive"
		oauth2Name   = "oauth2.Transport, 1 header"
	)
	results := measure(rounds, block,
		loop(inContext, func() { send(transport, traced) }),
		loop(generated, func() { send(transport, untraced) }),
		loop("- context built for the call¹", func() { send(transport, plain.WithContext(portkeyContext(ctx))) }),
		loop("- empty context, trace ID generated, metadata in Options", func() { send(withMetadata, plain) }),
		loop("- addressed to the gateway itself", func() { send(transport, direct) }),
		loop(twoLevels, func() { send(withMetadata, traced) }),
		loop(filtered, func() { send(withFilter, plain) }),
		loop("- the README's first example, 6 headers", func() { send(example, exampleRequest) }),
		loop(eightHeaders, func() { send(quickStart, traced) }),
		loop("no transport", func() { send(stub{}, plain) }),
		loop("Request.Clone of the 16 headers", func() { send(stub{}, sent.Clone(ctx)) }),
		loop(naiveName, func() { send(naiveTransport, naiveTraced) }),
		loop("naive, context built for the call¹", func() {
			send(naiveTransport, plain.WithContext(naiveContext(ctx)))
		}),
		loop(oauth2Name, func() { send(token, plain) }),
		loop("A/A control: oauth2.Transport", func() { send(token, plain) }),
		loop("otelhttp, no-op providers", func() {
			send(otel, plain)
			stubResponse.Body = http.NoBody // otelhttp has wrapped it
		}),
		loop("client-go, user agent, 1 header", func() { send(agent, plain) }),
		loop("client-go, impersonation, 12 headers", func() { send(impersonating, plain) }),
	)

	xOauth2 := func(r result) estimate { return compare(r, find(results, oauth2Name), ratio) }
	xNaive := func(r result) estimate { return compare(r, find(results, naiveName), ratio) }
	var rows []string
	for _, r := range results {
		rows = append(rows, row(r.name, integer(median(r.ns)), integer(r.allocs), integer(r.bytes),
			xOauth2(r).String(), xNaive(r).String()))
	}
	printTable("One round trip over a base that does nothing",
		[]string{"", "ns/op", "allocs/op", "B/op", "x oauth2", "x naive"}, rows...)
	fmt.Print(`
¹ Includes Request.WithContext, 1 allocation of 320 B. A client that creates a new request does not need it.
² API key and config slug in Options, four headers of the client, trace ID and metadata in the context.
`)

	first, quick := find(results, inContext), find(results, eightHeaders)
	return []goal{
		atMost(8, "allocations, trace in the context", first.allocs),
		atMost(9, "allocations, trace ID generated", find(results, generated).allocs),
		atMost(8, "allocations, metadata on two levels", find(results, twoLevels).allocs),
		atMost(0, "allocations, passed through by Filter", find(results, filtered).allocs),
		atMost(6, "allocations, quick start", quick.allocs),
		atMost(1104, "B, quick start", quick.bytes),
		atMost(2.1, "times oauth2.Transport", xOauth2(first).median),
		atMost(0.33, "times the naive one", xNaive(first).median),
	}
}
