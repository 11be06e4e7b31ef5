package portkey_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

var hello = openai.ChatCompletionRequest{
	Model:    "gpt-4o-mini",
	Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
}

func chat(t *testing.T, ctx context.Context, cfg openai.ClientConfig) {
	t.Helper()
	client := openai.NewClientWithConfig(cfg)
	const want = "You said: hello"
	resp, err := client.CreateChatCompletion(ctx, hello)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Choices[0].Message.Content; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stream, err := client.CreateChatCompletionStream(ctx, hello)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var got strings.Builder
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString(chunk.Choices[0].Delta.Content)
	}
	if got.String() != want {
		t.Errorf("streamed: got %q, want %q", got.String(), want)
	}
}

func TestOpenAIConfigTalksToTheGateway(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	tr := newTransport(t, nil, portkey.Options{BaseURL: gw.URL(), Headers: portkey.Headers{Provider: "openai"}})
	cfg := portkey.OpenAIConfig("sk", tr.(*portkey.Transport))
	if cfg.BaseURL != gw.URL() {
		t.Errorf("got base URL %q, want %q", cfg.BaseURL, gw.URL())
	}
	if c := cfg.HTTPClient.(*http.Client); c.Timeout != 0 {
		t.Errorf("got timeout %v, want none", c.Timeout)
	}
	var info portkey.ResponseInfo
	chat(t, portkey.WithResponseInfo(portkey.WithTrace(t.Context(), "t1"), &info), cfg)
	want := portkey.ResponseInfo{TraceID: "t1", Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled}
	if info != want {
		t.Errorf("got %+v, want %+v", info, want)
	}
	for _, r := range gw.Requests() {
		if r.Header.Get("Authorization") != "Bearer sk" || r.TraceID() != "t1" || r.Provider() != "openai" {
			t.Errorf("got %v, want the token, the trace and the provider", r.Header)
		}
	}
}

func TestOpenAIConfigOfNoTransportFailsAtEachCall(t *testing.T) {
	t.Parallel()
	for _, tr := range []*portkey.Transport{nil, {}} {
		_, err := openai.NewClientWithConfig(portkey.OpenAIConfig("sk", tr)).CreateChatCompletion(t.Context(), hello)
		if err == nil || !strings.Contains(err.Error(), "NewTransport") {
			t.Errorf("got %v, want an error that names NewTransport", err)
		}
	}
}

func TestWrapOpenAIConfigReroutesAnExistingClient(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	c := &http.Client{Timeout: time.Minute, Transport: base}
	for _, doer := range []openai.HTTPDoer{c, &http.Client{}, nil} {
		cfg := openai.DefaultConfig("sk")
		cfg.OrgID, cfg.HTTPClient = "org-1", doer
		wrapped, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
		if err != nil {
			t.Fatal(err)
		}
		if wrapped.BaseURL != cfg.BaseURL || wrapped.OrgID != "org-1" || cfg.HTTPClient != doer {
			t.Errorf("got %q and %q, want the configuration kept", wrapped.BaseURL, wrapped.OrgID)
		}
		if doer == c && wrapped.HTTPClient.(*http.Client).Timeout != time.Minute {
			t.Error("the client's timeout is lost")
		}
		chat(t, t.Context(), wrapped)
	}
	if c.Transport != base {
		t.Error("the caller's client was changed")
	}
	for _, r := range gw.Requests() {
		if r.Path != "/v1/chat/completions" || r.Provider() != "openai" || r.Header.Get("Authorization") != "Bearer sk" {
			t.Errorf("got %s %v, want openai's endpoint with the token", r.Path, r.Header)
		}
	}
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestWrapOpenAIConfigCallsADoerAsBefore(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	calls := 0
	cfg := openai.DefaultConfig("sk")
	cfg.HTTPClient = doerFunc(func(r *http.Request) (*http.Response, error) {
		calls++
		return http.DefaultTransport.RoundTrip(r)
	})
	wrapped, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	chat(t, t.Context(), wrapped)
	if calls != 2 {
		t.Errorf("got %d calls of Do, want 2", calls)
	}

	// A response that the caller's Do did not follow is not followed now.
	calls = 0
	cfg.HTTPClient = doerFunc(func(r *http.Request) (*http.Response, error) {
		calls++
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/x"}}, Body: http.NoBody, Request: r}, nil
	})
	wrapped, _ = portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
	openai.NewClientWithConfig(wrapped).CreateChatCompletion(t.Context(), hello)
	if calls != 1 {
		t.Errorf("got %d calls of Do for a redirect, want 1", calls)
	}
}

func TestErrorsReachTheCallerOfGoOpenAI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk"), portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	client := openai.NewClientWithConfig(cfg)
	var headerErr *portkey.HeaderError
	if _, err := client.CreateChatCompletion(portkey.WithTrace(t.Context(), "a\nb"), hello); !errors.As(err, &headerErr) {
		t.Errorf("got %v, want a HeaderError", err)
	}
	cfg.BaseURL = "https://llm.example.com/v1"
	var routeErr *portkey.RouteError
	if _, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(t.Context(), hello); !errors.As(err, &routeErr) {
		t.Errorf("got %v, want a RouteError", err)
	}
	if n := len(gw.Requests()); n != 0 {
		t.Errorf("got %d requests at the gateway, want 0", n)
	}
}

func TestWrapOpenAIConfigReportsBadOptions(t *testing.T) {
	t.Parallel()
	for _, doer := range []openai.HTTPDoer{nil, &http.Client{}, doerFunc(nil)} {
		cfg := openai.DefaultConfig("sk")
		cfg.HTTPClient = doer
		if got, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: "gw"}); err == nil || got.HTTPClient != nil || got.BaseURL != "" {
			t.Errorf("%T: got a configuration for %q with client %T, %v, want none", doer, got.BaseURL, got.HTTPClient, err)
		}
	}
}
