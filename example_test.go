package portkey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// An existing go-openai client goes through Portkey: its configuration is
// wrapped, and nothing else changes.
func ExampleWrapOpenAIConfig() {
	gateway := portkeytest.Start() // in a program: nothing, $PORTKEY_API_KEY says it all
	defer gateway.Close()

	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-..."), portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := openai.NewClientWithConfig(cfg)

	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"})
	resp, err := client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Choices[0].Message.Content)
	fmt.Println(resp.Header().Get("x-portkey-trace-id"))
	// Output:
	// You said: hello
	// checkout-42
}

// One trace for several calls, and a name for a step of it.
func ExampleWithTrace() {
	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	step := portkey.WithHeaders(ctx, portkey.Headers{SpanID: "s-1", SpanName: "summary"})
	fmt.Println(portkey.HeadersFromContext(step))
	// Output: portkey.Headers{x-portkey-trace-id: "checkout-42", x-portkey-span-id: "s-1", x-portkey-span-name: "summary"}
}

// The contexts of a call add up; the inner one wins.
func ExampleWithMetadata() {
	ctx := portkey.WithMetadata(context.Background(), portkey.Metadata{"_user": "u-17", "plan": "free"})
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"plan": "gold"})
	fmt.Println(portkey.HeadersFromContext(ctx).Metadata)
	// Output: map[_user:u-17 plan:gold]
}

// What the gateway says about a call, whether the client shows it or not.
func ExampleWithResponseInfo() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-..."), portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := openai.NewClientWithConfig(cfg)

	var info portkey.ResponseInfo
	ctx, trace := portkey.WithNewTrace(context.Background())
	ctx = portkey.WithResponseInfo(ctx, &info)
	_, err = client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{Model: openai.GPT4oMini})
	fmt.Println(err, info.Provider, info.CacheStatus, info.RetryAttempts, info.TraceID == trace)
	// Output: <nil> openai DISABLED 0 true
}

// A new client talks to the gateway directly. Portkey holds the provider's key.
func ExampleOpenAIConfig() {
	transport, err := portkey.NewTransport(nil, portkey.Options{
		Headers: portkey.Headers{APIKey: "pk-...", Provider: "@openai-prod"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := portkey.OpenAIConfig("", transport)
	fmt.Println(cfg.BaseURL)
	// Output: https://api.portkey.ai/v1
}

// Any client that takes an http.Client, here a plain one, goes through Portkey.
func ExampleWrapClient() {
	gateway := portkeytest.Start()
	defer gateway.Close()

	client, err := portkey.WrapClient(http.DefaultClient, portkey.Options{
		BaseURL: gateway.URL(),
		Headers: portkey.Headers{Metadata: portkey.Metadata{"_environment": "staging"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Get("https://api.openai.com/v1/models")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	got := gateway.Requests()[0]
	fmt.Println(got.Path, got.Provider(), got.Metadata())
	// Output: /v1/models openai map[_environment:staging]
}

// A stack of RoundTrippers that exists already: the Transport goes where requests
// still have the client's URL, and what is below it sees the gateway's.
func ExampleNewTransport() {
	gateway := portkeytest.Start()
	defer gateway.Close()

	logging := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		fmt.Println(req.Method, req.URL.Path) // yours
		return http.DefaultTransport.RoundTrip(req)
	})
	transport, err := portkey.NewTransport(logging, portkey.Options{
		BaseURL: gateway.URL(),
		// Its provider is not one that is known by its URL.
		Upstreams: []portkey.Upstream{{BaseURL: "https://llm.example.com/api", Provider: "openai"}},
		// What is not for a model goes its own way.
		Filter: func(req *http.Request) bool { return req.URL.Host != "intranet.example.com" },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	resp, err := client.Get("https://llm.example.com/api/models")
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode)
	// Output:
	// GET /v1/models
	// 200
}

// A client that retries by itself calls the Transport anew for each attempt. With a
// trace in the context they are all of one trace.
func ExampleWithNewTrace() {
	ctx, trace := portkey.WithNewTrace(context.Background())
	fmt.Println(len(trace), portkey.HeadersFromContext(ctx).TraceID == trace)
	// Output: 36 true
}

// One call with parameters of its own.
func ExampleWithHeaders() {
	ctx := portkey.WithHeaders(context.Background(), portkey.Headers{
		Config: portkey.ConfigJSON(`{"retry":{"attempts":3},"cache":{"mode":"simple"}}`),
		Debug:  portkey.Bool(false),
	})
	fmt.Println(portkey.HeadersFromContext(ctx)) // a config object may hold keys
	// Output: portkey.Headers{x-portkey-config: "[redacted]", x-portkey-debug: "false"}
}

// false can be said, too: this call is not logged.
func ExampleBool() {
	ctx := portkey.WithHeaders(context.Background(), portkey.Headers{Debug: portkey.Bool(false)})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-debug: "false"}
}

// What the context adds to a call, for a log. Secrets are not shown.
func ExampleHeadersFromContext() {
	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	ctx = portkey.WithHeaders(ctx, portkey.Headers{VirtualKey: "vk-secret", RequestTimeout: 3 * time.Second})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-virtual-key: "[redacted]", x-portkey-trace-id: "checkout-42", x-portkey-request-timeout: "3000"}
}

// A mistake in a config is found when the Transport is made, with its path.
func ExampleConfigObject() {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: "fallback", OnStatusCodes: []int{429, 503}},
		Targets: []portkey.ConfigObject{
			{Provider: "@openai-prod"},
			{Provider: "Anthropic", APIKey: "sk-ant-..."},
		},
	}
	_, err := portkey.NewTransport(nil, portkey.Options{Headers: portkey.Headers{APIKey: "pk-...", Config: config}})
	fmt.Println(err)
	// Output: portkey: invalid header x-portkey-config: targets[1].provider is not a provider's name in lower case, or @slug
}

// A config that comes from a file or a form can be checked before it is used.
func ExampleConfigObject_Validate() {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: "fallbak"},
		Targets:  []portkey.ConfigObject{{Provider: "@openai-prod"}},
	}
	fmt.Println(config.Validate())
	// Output: portkey: invalid header x-portkey-config: strategy.mode is not one of single, loadbalance, fallback, conditional
}

// Of a response at hand, what the gateway says about it.
func ExampleParseResponse() {
	header := http.Header{}
	header.Set("x-portkey-trace-id", "checkout-42")
	header.Set("x-portkey-cache-status", "HIT")
	header.Set("x-portkey-retry-attempt-count", "2")
	header.Set("x-portkey-last-used-option-index", "config.targets[1]")
	info := portkey.ParseResponse(header)
	fmt.Println(info.TraceID, info.CacheStatus == portkey.CacheHit, info.RetryAttempts, info.LastUsedOption)
	// Output: checkout-42 true 2 config.targets[1]
}

// A request that is neither for the gateway nor for a known provider is not sent.
func ExampleRouteError() {
	transport, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "https://gateway.example.com/v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	_, err = client.Get("https://llm.example.com/v1/models?key=secret")
	var routeErr *portkey.RouteError
	if errors.As(err, &routeErr) {
		fmt.Println(routeErr.URL, "does not lead to", routeErr.Gateway)
	}
	// Output: https://llm.example.com/v1/models does not lead to https://gateway.example.com/v1
}

// A value that the gateway would misread is not sent. The error names the header,
// and never the value.
func ExampleHeaderError() {
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: "https://gateway.example.com/v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := portkey.WithTrace(context.Background(), "two\nlines")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.openai.com/v1/models", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Do(req)
	var headerErr *portkey.HeaderError
	if errors.As(err, &headerErr) {
		fmt.Println(headerErr.Name, headerErr.Reason)
	}
	// Output: x-portkey-trace-id has a control character
}

// What fails on the way to the gateway is tried again, as one trace.
func ExampleNewRetryTransport() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	gateway.Next(portkeytest.Fault{Reset: true})

	base := portkey.NewRetryTransport(nil)
	base.Client.RetryMax = 1                    // beyond the first attempt
	base.Client.RetryWaitMin = time.Millisecond // so that this example is quick
	client, err := portkey.WrapClient(&http.Client{Transport: base}, portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Post("https://api.openai.com/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
	got := gateway.Requests()
	fmt.Println(resp.StatusCode, len(got), got[0].TraceID() == got[1].TraceID())
	// Output: 200 2 true
}

// A retryablehttp client of your own can have the policy: what the gateway has
// dealt with is final, and what a proxy in front of it answers is not.
func ExampleRetryPolicy() {
	client := retryablehttp.NewClient()
	client.CheckRetry, client.Backoff = portkey.RetryPolicy, portkey.RetryBackoff

	busy := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}}
	byProxy, _ := client.CheckRetry(context.Background(), busy, nil)
	busy.Header.Set("x-portkey-trace-id", "checkout-42")
	byGateway, _ := client.CheckRetry(context.Background(), busy, nil)
	fmt.Println(byProxy, byGateway)
	// Output: true false
}

// The wait is what the response asks for, up to the longest one.
func ExampleRetryBackoff() {
	resp := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3"}}}
	fmt.Println(portkey.RetryBackoff(500*time.Millisecond, 8*time.Second, 0, resp))
	resp.Header.Set("Retry-After", "3600")
	fmt.Println(portkey.RetryBackoff(500*time.Millisecond, 8*time.Second, 0, resp))
	// Output:
	// 3s
	// 8s
}

// A header without what is secret in it, for a log.
func ExampleSensitiveHeaders() {
	header := http.Header{"X-Portkey-Api-Key": {"pk-secret"}, "X-Portkey-Trace-Id": {"checkout-42"}}
	for _, name := range portkey.SensitiveHeaders() {
		header.Del(name)
	}
	fmt.Println(header)
	// Output: map[X-Portkey-Trace-Id:[checkout-42]]
}
