package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/portkey-go/portkey"
	openai "github.com/sashabaranov/go-openai"
)

const (
	gateway  = "https://gateway.example.com/portkey/v1"
	provider = "https://api.openai.com/v1"
	traceID  = "0af7651916cd43dd8448eb211c80319c"
)

var metadata = portkey.Metadata{
	"_user": "user-4711", "_environment": "production", "feature": "summarise", "team": "search",
}

var completion = `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini","choices":[{"index":0,` +
	`"message":{"role":"assistant","content":"` + strings.Repeat("This is a test. ", 48) + `"},` +
	`"finish_reason":"stop"}]}`

// options returns Options with ten headers.
func options(gateway string) portkey.Options {
	off := false
	return portkey.Options{BaseURL: gateway, Headers: portkey.Headers{
		APIKey:                 "pk-bench",
		Config:                 portkey.ConfigSlug("pc-bench-1a2b3c"),
		CustomHost:             "https://llm.example.com/v1",
		SpanName:               "bench",
		CacheNamespace:         "tenant-17",
		RequestTimeout:         30 * time.Second,
		StrictOpenAICompliance: &off,
		Debug:                  &off,
		ForwardHeaders:         []string{"openai-organization"},
		SensitiveHeaders:       []string{"authorization"},
	}}
}

func newTransport(base http.RoundTripper, opts portkey.Options) *portkey.Transport {
	t, err := portkey.NewTransport(base, opts)
	check(err)
	return t
}

// portkeyContext returns a context with a trace ID and metadata for a Transport.
func portkeyContext(ctx context.Context) context.Context {
	return portkey.WithTrace(portkey.WithMetadata(ctx, metadata), traceID)
}

// newOpenAIClient returns a go-openai client that sends four headers.
func newOpenAIClient(baseURL string, httpClient *http.Client) *openai.Client {
	cfg := openai.DefaultConfig("sk-bench")
	cfg.BaseURL, cfg.OrgID, cfg.HTTPClient = baseURL, "org-bench", httpClient
	return openai.NewClientWithConfig(cfg)
}

func createCompletion(ctx context.Context, client *openai.Client) {
	_, err := client.CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "Say this is a test"}},
	})
	check(err)
}

// openAIRequest returns the request that go-openai sends for a chat completion.
func openAIRequest(ctx context.Context, baseURL string) *http.Request {
	var r recorder
	createCompletion(ctx, newOpenAIClient(baseURL, &http.Client{Transport: &r}))
	return r.last
}

// send makes a round trip and closes the response body.
func send(rt http.RoundTripper, req *http.Request) {
	resp, err := rt.RoundTrip(req)
	check(err)
	check(resp.Body.Close())
}

// sentBy returns the request that a Transport with opts sends for req.
func sentBy(opts portkey.Options, req *http.Request) *http.Request {
	var r recorder
	send(newTransport(&r, opts), req)
	return r.last
}

func checkHeaderCount(req *http.Request, want int) {
	if len(req.Header) != want {
		panic(fmt.Sprintf("%d headers, want %d: %v", len(req.Header), want, req.Header))
	}
}

// checkSame panics unless both requests have the same URL and the same headers.
func checkSame(a, b *http.Request) {
	sameValue := func(x, y []string) bool { return len(x) == 1 && len(y) == 1 && x[0] == y[0] }
	if a.URL.String() != b.URL.String() || !maps.EqualFunc(a.Header, b.Header, sameValue) {
		panic(fmt.Sprintf("requests differ:\n%v %v\n%v %v", a.URL, a.Header, b.URL, b.Header))
	}
}

// A recorder is a base that answers with a chat completion and keeps the last request.
type recorder struct{ last *http.Request }

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.last = req
	check(req.Body.Close())
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     jsonHeader,
		Body:       io.NopCloser(strings.NewReader(completion)),
		Request:    req,
	}, nil
}

// A stub is a base that allocates nothing. All its responses are the same.
type stub struct{}

var stubResponse = http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}

func (stub) RoundTrip(req *http.Request) (*http.Response, error) {
	check(req.Body.Close())
	return &stubResponse, nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
