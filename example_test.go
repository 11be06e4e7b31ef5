package portkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// Wrap the configuration of an existing go-openai client to send its calls through
// Portkey. The rest of the program does not change.
func ExampleWrapOpenAIConfig() {
	// A program omits the test gateway and BaseURL, and sets $PORTKEY_API_KEY.
	gateway := portkeytest.Start()
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

// Calls that share a trace ID belong to one trace. A span names one of its steps.
func ExampleWithTrace() {
	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	ctx = portkey.WithHeaders(ctx, portkey.Headers{SpanID: "s-1", SpanName: "summary"})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-trace-id: "checkout-42", x-portkey-span-id: "s-1", x-portkey-span-name: "summary"}
}

// Metadata of nested contexts is merged. The inner context takes precedence.
func ExampleWithMetadata() {
	ctx := portkey.WithMetadata(context.Background(), portkey.Metadata{"_user": "u-17", "plan": "free"})
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"plan": "gold"})
	fmt.Println(portkey.HeadersFromContext(ctx).Metadata)
	// Output: map[_user:u-17 plan:gold]
}

// Read the gateway's response headers even if the client library hides them.
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
	ctx, traceID := portkey.WithNewTrace(context.Background())
	ctx = portkey.WithResponseInfo(ctx, &info)
	_, err = client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{Model: openai.GPT4oMini})
	fmt.Println(err, info.Provider, info.CacheStatus, info.RetryAttempts, info.TraceID == traceID)
	// Output: <nil> openai DISABLED 0 true
}

// Create a go-openai client that calls the gateway directly. The provider's API key
// is stored in Portkey.
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

// Wrap the http.Client of any LLM client to send its requests through Portkey.
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
	received := gateway.Requests()[0]
	fmt.Println(received.Path, received.Provider(), received.Metadata())
	// Output: /v1/models openai map[_environment:staging]
}

// Add the Transport to a chain of RoundTrippers. RoundTrippers above it see the
// client's URL, those below it see the gateway's.
func ExampleNewTransport() {
	gateway := portkeytest.Start()
	defer gateway.Close()

	logging := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		fmt.Println(req.Method, req.URL.Path)
		return http.DefaultTransport.RoundTrip(req)
	})
	transport, err := portkey.NewTransport(logging, portkey.Options{
		BaseURL: gateway.URL(),
		// Hosts that are not known providers need an Upstream.
		Upstreams: []portkey.Upstream{{BaseURL: "https://llm.example.com/api", Provider: "openai"}},
		// Requests to the intranet bypass the gateway.
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

// A client with its own retries calls the Transport once for each attempt. A trace ID
// in the context puts all attempts into one trace.
func ExampleWithNewTrace() {
	ctx, traceID := portkey.WithNewTrace(context.Background())
	fmt.Println(len(traceID), portkey.HeadersFromContext(ctx).TraceID == traceID)
	// Output: 36 true
}

// Set parameters for one call. Printing them redacts config objects, which may
// contain API keys.
func ExampleWithHeaders() {
	ctx := portkey.WithHeaders(context.Background(), portkey.Headers{
		Config: portkey.ConfigJSON(`{"retry":{"attempts":3},"cache":{"mode":"simple"}}`),
		Debug:  portkey.Ptr(false),
	})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-config: "[redacted]", x-portkey-debug: "false"}
}

// Keep the request and response body of a call out of Portkey's logs. A nil Debug
// omits the header; false is sent.
func ExamplePtr() {
	ctx := portkey.WithHeaders(context.Background(), portkey.Headers{Debug: portkey.Ptr(false)})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-debug: "false"}
}

// Log the parameters that a context adds to a call. Secrets are redacted.
func ExampleHeadersFromContext() {
	ctx := portkey.WithTrace(context.Background(), "checkout-42")
	ctx = portkey.WithHeaders(ctx, portkey.Headers{VirtualKey: "vk-secret", RequestTimeout: 3 * time.Second})
	fmt.Println(portkey.HeadersFromContext(ctx))
	// Output: portkey.Headers{x-portkey-virtual-key: "[redacted]", x-portkey-trace-id: "checkout-42", x-portkey-request-timeout: "3000"}
}

// NewTransport validates the config. The error names the invalid field.
func ExampleConfigObject() {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: portkey.ModeFallback, OnStatusCodes: []int{429, 503}},
		Targets: []portkey.ConfigObject{
			{Provider: "@openai-prod"},
			{Provider: "Anthropic", APIKey: "sk-ant-..."},
		},
	}
	_, err := portkey.NewTransport(nil, portkey.Options{Headers: portkey.Headers{APIKey: "pk-...", Config: config}})
	fmt.Println(err)
	// Output: portkey: invalid header x-portkey-config: targets[1].provider must be a provider's name in lower case, or @slug
}

// Validate a config that was read from a file or a form.
func ExampleConfigObject_Validate() {
	config := portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: "fallbak"},
		Targets:  []portkey.ConfigObject{{Provider: "@openai-prod"}},
	}
	var err *portkey.ConfigError
	if errors.As(config.Validate(), &err) {
		for _, f := range err.Faults {
			fmt.Println(f.Path, f.Reason)
		}
	}
	// Output: strategy.mode must be one of single, loadbalance, fallback, conditional
}

// Count what the gateway reports, for all calls of all clients: put a RoundTripper around
// the Transport. A roundTripperFunc is a function that is its own method RoundTrip.
func ExampleParseResponse() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	gateway.Next(portkeytest.Fault{CacheStatus: portkey.CacheHit}, portkeytest.Fault{Status: 503, RetryAttempts: -1})
	transport, err := portkey.NewTransport(nil, portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}

	var cacheHits, failedRetries expvar.Int
	var byStatus, byProvider expvar.Map
	client := &http.Client{Transport: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			byStatus.Add("error", 1)
			return nil, err
		}
		info := portkey.ParseResponse(resp.Header)
		byStatus.Add(strconv.Itoa(resp.StatusCode), 1)
		byProvider.Add(info.Provider, 1)
		if info.CacheStatus == portkey.CacheHit {
			cacheHits.Add(1)
		}
		if info.RetryAttempts == -1 {
			failedRetries.Add(1)
		}
		return resp, nil
	})}

	for range 3 {
		const body = `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}`
		resp, err := client.Post("https://api.openai.com/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
	}
	fmt.Println(&byStatus, &byProvider, "cache hits:", &cacheHits, "failed retries:", &failedRetries)
	// Output: {"200": 2, "503": 1} {"openai": 3} cache hits: 1 failed retries: 1
}

// Find out which guardrail failed, by plain HTTP. With an SDK, read the member
// hook_results of the response body in the same way: see examples/openai-go.
func ExampleHookResults() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	gateway.Next(portkeytest.Fault{Status: portkey.StatusGuardrailFailed})
	client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: gateway.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}

	const body = `{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}`
	resp, err := client.Post("https://api.openai.com/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var answer struct {
		HookResults portkey.HookResults `json:"hook_results"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("guardrail failed:", resp.StatusCode == portkey.StatusGuardrailFailed)
	for _, hook := range answer.HookResults.BeforeRequestHooks {
		fmt.Println("passed:", hook.Verdict, "denied:", hook.Deny)
	}
	// Output:
	// guardrail failed: true
	// passed: false denied: false
}

// Send the headers of a call with a client that takes no http.Client.
func ExampleHeaders_HTTPHeader() {
	headers := portkey.Headers{
		APIKey: "pk-...", Provider: "@openai-prod", TraceID: "checkout-42", Metadata: portkey.Metadata{"_user": "u-17"},
	}
	header, err := headers.HTTPHeader()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Println(name+":", header.Get(name)) // contains secrets
	}
	// Output:
	// X-Portkey-Api-Key: pk-...
	// X-Portkey-Metadata: {"_user":"u-17"}
	// X-Portkey-Provider: @openai-prod
	// X-Portkey-Trace-Id: checkout-42
}

// A request is not sent if its host is neither the gateway nor a known provider.
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

// A request is not sent if the gateway would misread one of its headers. The error
// names the header but never contains its value.
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
	// Output: x-portkey-trace-id contains a control character
}

// Retry a call whose connection to the gateway fails. All attempts share a trace ID.
func ExampleNewRetryTransport() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	gateway.Next(portkeytest.Fault{Reset: true})

	base := portkey.NewRetryTransport(nil)
	base.Client.RetryMax = 1
	base.Client.RetryWaitMin = time.Millisecond // keeps this example fast
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
	attempts := gateway.Requests()
	fmt.Println(resp.StatusCode, len(attempts), attempts[0].TraceID() == attempts[1].TraceID())
	// Output: 200 2 true
}

// Use the policy in an existing retryablehttp client. It retries errors of a proxy in
// front of the gateway, but not those of the gateway, which has its own retries.
func ExampleRetryPolicy() {
	client := retryablehttp.NewClient()
	client.CheckRetry, client.Backoff = portkey.RetryPolicy, portkey.RetryBackoff

	resp := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}}
	retryProxy, _ := client.CheckRetry(context.Background(), resp, nil)
	resp.Header.Set("x-portkey-trace-id", "checkout-42") // set by the gateway
	retryGateway, _ := client.CheckRetry(context.Background(), resp, nil)
	fmt.Println(retryProxy, retryGateway)
	// Output: true false
}

// Retry-After is honored up to the maximum wait.
func ExampleRetryBackoff() {
	const minWait, maxWait = 500 * time.Millisecond, 8 * time.Second
	resp := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3"}}}
	fmt.Println(portkey.RetryBackoff(minWait, maxWait, 0, resp))
	resp.Header.Set("Retry-After", "3600")
	fmt.Println(portkey.RetryBackoff(minWait, maxWait, 0, resp))
	// Output:
	// 3s
	// 8s
}

// Remove credentials from a header before logging it.
func ExampleSecretHeaders() {
	header := http.Header{"X-Portkey-Api-Key": {"pk-secret"}, "X-Portkey-Trace-Id": {"checkout-42"}}
	for _, name := range portkey.SecretHeaders() {
		header.Del(name)
	}
	fmt.Println(header)
	// Output: map[X-Portkey-Trace-Id:[checkout-42]]
}
