package main

import (
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"time"

	"github.com/go-resty/resty/v2"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// A variant is one way to configure a client.
type variant struct {
	name        string
	sameHeaders bool // sends the same headers as the variant withTransport
	// newCall returns a function that makes one call with a new client over base.
	newCall func(base http.RoundTripper) (call func())
}

const (
	withoutPortkey = "no Portkey headers"
	withTransport  = "**portkey.Transport**"
)

// measureClients compares whole calls of HTTP clients over a base that answers at once.
func measureClients(rounds int, block time.Duration) []goal {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var rows []string
	for _, client := range []struct {
		name     string
		variants []variant
	}{
		{"openai-go v3", openAIGoVariants()},
		{"go-openai", goOpenAIVariants()},
		{"resty v2", restyVariants()},
	} {
		checkVariants(client.variants)
		var benchmarks []benchmark
		for _, v := range client.variants {
			benchmarks = append(benchmarks, loop(v.name, v.newCall(new(recorder))))
		}
		results := measure(rounds, block, benchmarks...)
		for _, r := range results {
			rows = append(rows, row(client.name, r.name, integer(median(r.ns)), integer(r.allocs), integer(r.bytes),
				compare(r, find(results, withoutPortkey), ratio).String()))
		}
	}
	printTable("Whole calls, client included, over a base that answers at once",
		[]string{"client", "", "ns/op", "allocs/op", "B/op", "x without"}, rows...)
	return nil
}

// checkVariants panics if variants that should send the same headers do not.
func checkVariants(variants []variant) {
	sent := make(map[string]*http.Request)
	for _, v := range variants {
		var r recorder
		v.newCall(&r)()
		sent[v.name] = r.last
	}
	for _, v := range variants {
		if v.sameHeaders {
			checkSame(sent[withTransport], sent[v.name])
		}
	}
	// Portkey's headers: ten in Options, the trace ID and the metadata.
	checkHeaderCount(sent[withTransport], len(sent[withoutPortkey].Header)+12)
}

func openAIGoVariants() []variant {
	ctx := context.Background()
	params := openaigo.ChatCompletionNewParams{
		Model:    "gpt-4o-mini",
		Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("Say this is a test")},
	}
	newClient := func(base http.RoundTripper, baseURL string, opts ...option.RequestOption) openaigo.Client {
		return openaigo.NewClient(append(opts, option.WithHTTPClient(&http.Client{Transport: base}),
			option.WithBaseURL(baseURL), option.WithAPIKey("sk-bench"))...)
	}
	complete := func(ctx context.Context, client openaigo.Client, opts ...option.RequestOption) {
		_, err := client.Chat.Completions.New(ctx, params, opts...)
		check(err)
	}
	return []variant{
		{name: withoutPortkey, newCall: func(base http.RoundTripper) func() {
			client := newClient(base, provider)
			return func() { complete(ctx, client) }
		}},
		{name: withTransport, newCall: func(base http.RoundTripper) func() {
			client := newClient(newTransport(base, options(gateway)), provider)
			return func() { complete(portkeyContext(ctx), client) }
		}},
		{name: "option.WithHeader", sameHeaders: true, newCall: func(base http.RoundTripper) func() {
			var opts []option.RequestOption
			for _, h := range staticHeaders() {
				opts = append(opts, option.WithHeader(h[0], h[1]))
			}
			client := newClient(base, gateway, opts...)
			return func() {
				complete(ctx, client, option.WithHeader("x-portkey-trace-id", traceID),
					option.WithHeader("x-portkey-metadata", metadataJSON()))
			}
		}},
	}
}

func goOpenAIVariants() []variant {
	ctx := context.Background()
	return []variant{
		{name: withoutPortkey, newCall: func(base http.RoundTripper) func() {
			client := newOpenAIClient(provider, &http.Client{Transport: base})
			return func() { createCompletion(ctx, client) }
		}},
		{name: withTransport, newCall: func(base http.RoundTripper) func() {
			client := newOpenAIClient(provider, &http.Client{Transport: newTransport(base, options(gateway))})
			return func() { createCompletion(portkeyContext(ctx), client) }
		}},
		{name: "naive RoundTripper", sameHeaders: true, newCall: func(base http.RoundTripper) func() {
			client := newOpenAIClient(provider, &http.Client{Transport: newNaive(base, gateway)})
			return func() { createCompletion(naiveContext(ctx), client) }
		}},
		// net/http handles Timeout in a slower way if the Transport is not an *http.Transport.
		{name: "no Portkey headers, http.Client.Timeout", newCall: func(base http.RoundTripper) func() {
			client := newOpenAIClient(provider, &http.Client{Transport: base, Timeout: time.Minute})
			return func() { createCompletion(ctx, client) }
		}},
	}
}

func restyVariants() []variant {
	ctx := context.Background()
	const body = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Say this is a test"}]}`
	newClient := func(base http.RoundTripper, baseURL string) *resty.Client {
		return resty.NewWithClient(&http.Client{Transport: base}).SetBaseURL(baseURL).
			SetAuthToken("sk-bench").SetHeader("Content-Type", "application/json")
	}
	post := func(ctx context.Context, req *resty.Request) {
		_, err := req.SetContext(ctx).SetBody(body).Post("/chat/completions")
		check(err)
	}
	return []variant{
		{name: withoutPortkey, newCall: func(base http.RoundTripper) func() {
			client := newClient(base, provider)
			return func() { post(ctx, client.R()) }
		}},
		{name: withTransport, newCall: func(base http.RoundTripper) func() {
			client := newClient(newTransport(base, options(gateway)), provider)
			return func() { post(portkeyContext(ctx), client.R()) }
		}},
		{name: "SetHeader", sameHeaders: true, newCall: func(base http.RoundTripper) func() {
			client := newClient(base, gateway)
			for _, h := range staticHeaders() {
				client.SetHeader(h[0], h[1])
			}
			return func() {
				post(ctx, client.R().SetHeader("x-portkey-trace-id", traceID).
					SetHeader("x-portkey-metadata", metadataJSON()))
			}
		}},
	}
}

// metadataJSON encodes metadata as a program without this library does for each call.
func metadataJSON() string {
	text, err := json.Marshal(metadata)
	check(err)
	return string(text)
}
