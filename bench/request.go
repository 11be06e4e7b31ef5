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

const traceID = "0af7651916cd43dd8448eb211c80319c"

var metadata = portkey.Metadata{
	"_user": "user-4711", "_environment": "production", "feature": "summarise", "team": "search",
}

// options are ten headers for every request.
func options(gateway string) portkey.Options {
	return portkey.Options{BaseURL: gateway, Headers: portkey.Headers{
		APIKey:                 "pk-bench",
		Config:                 portkey.ConfigSlug("pc-bench-1a2b3c"),
		CustomHost:             "https://llm.example.com/v1",
		SpanName:               "bench",
		CacheNamespace:         "tenant-17",
		RequestTimeout:         30 * time.Second,
		StrictOpenAICompliance: portkey.Bool(false),
		Debug:                  portkey.Bool(false),
		ForwardHeaders:         []string{"openai-organization"},
		SensitiveHeaders:       []string{"authorization"},
	}}
}

func newTransport(base http.RoundTripper, opts portkey.Options) *portkey.Transport {
	t, err := portkey.NewTransport(base, opts)
	check(err)
	return t
}

// openaiRequest returns the request that go-openai makes of a chat completion.
func openaiRequest(ctx context.Context, baseURL string) *http.Request {
	var c capture
	cfg := openai.DefaultConfig("sk-bench")
	cfg.BaseURL, cfg.OrgID, cfg.HTTPClient = baseURL, "org-bench", &http.Client{Transport: &c}
	_, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "Say this is a test"}},
	})
	check(err)
	return c.sent
}

// sentBy returns the request that rt makes of req. It has to have sixteen headers.
func sentBy(rt func(base http.RoundTripper) http.RoundTripper, req *http.Request) *http.Request {
	var c capture
	_, err := rt(&c).RoundTrip(req)
	check(err)
	if len(c.sent.Header) != 16 {
		panic(fmt.Sprintf("%d headers: %v", len(c.sent.Header), c.sent.Header))
	}
	return c.sent
}

// checkSame panics if two requests do not go to the same place with the same headers.
func checkSame(a, b *http.Request) {
	same := func(x, y []string) bool { return len(x) == 1 && len(y) == 1 && x[0] == y[0] }
	if a.URL.String() != b.URL.String() || !maps.EqualFunc(a.Header, b.Header, same) {
		panic(fmt.Sprintf("not the same:\n%v %v\n%v %v", a.URL, a.Header, b.URL, b.Header))
	}
}

// A capture keeps the request that it is given.
type capture struct{ sent *http.Request }

func (c *capture) RoundTrip(req *http.Request) (*http.Response, error) {
	c.sent = req
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
}

// A stub is the base that costs nothing.
type stub struct{}

var answer = http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}

func (stub) RoundTrip(req *http.Request) (*http.Response, error) {
	req.Body.Close()
	return &answer, nil
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
