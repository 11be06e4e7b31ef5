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

var helloRequest = openai.ChatCompletionRequest{
	Model:    "gpt-4o-mini",
	Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "hello"}},
}

// checkChat sends helloRequest with a client of cfg, whole and streamed, and checks
// that the portkeytest gateway's echo comes back.
func checkChat(t *testing.T, ctx context.Context, cfg openai.ClientConfig) {
	t.Helper()
	const want = "You said: hello"
	client := openai.NewClientWithConfig(cfg)
	resp, err := client.CreateChatCompletion(ctx, helloRequest)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Choices[0].Message.Content; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	stream, err := client.CreateChatCompletionStream(ctx, helloRequest)
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
		t.Errorf("got stream %q, want %q", got.String(), want)
	}
}

func TestOpenAIConfigCallsTheGatewayDirectly(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	tr := newTransport(t, nil, portkey.Options{BaseURL: gw.URL(), Headers: portkey.Headers{Provider: "openai"}})
	cfg := portkey.OpenAIConfig("sk", tr.(*portkey.Transport))
	if cfg.BaseURL != gw.URL() {
		t.Errorf("got base URL %q, want %q", cfg.BaseURL, gw.URL())
	}
	if got := cfg.HTTPClient.(*http.Client).Timeout; got != 0 {
		t.Errorf("got timeout %v, want 0", got)
	}

	var got portkey.ResponseInfo
	checkChat(t, portkey.WithResponseInfo(portkey.WithTrace(t.Context(), "t1"), &got), cfg)
	want := portkey.ResponseInfo{
		StatusCode: http.StatusOK, TraceID: "t1", Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, r := range gw.Requests() {
		if r.Header.Get("Authorization") != "Bearer sk" || r.TraceID() != "t1" || r.Provider() != "openai" {
			t.Errorf("got %v, want the token, the trace ID and the provider", r.Header)
		}
	}
}

func TestOpenAIConfigWithoutATransportFailsEachCall(t *testing.T) {
	t.Parallel()
	for name, tr := range map[string]*portkey.Transport{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			client := openai.NewClientWithConfig(portkey.OpenAIConfig("sk", tr))
			_, err := client.CreateChatCompletion(t.Context(), helloRequest)
			if err == nil || !strings.Contains(err.Error(), "NewTransport") {
				t.Errorf("got %v, want an error that names NewTransport", err)
			}
		})
	}
}

func TestWrapOpenAIConfigReroutesAnExistingClient(t *testing.T) {
	t.Parallel()
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	for _, tt := range []struct {
		name string
		doer openai.HTTPDoer
	}{
		{"client with timeout and transport", &http.Client{Timeout: time.Minute, Transport: base}},
		{"zero client", &http.Client{}},
		{"no client", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := portkeytest.NewGateway(t)
			var before http.Client
			client, isClient := tt.doer.(*http.Client)
			if isClient {
				before = *client
			}
			cfg := openai.DefaultConfig("sk")
			cfg.OrgID, cfg.HTTPClient = "org-1", tt.doer
			wrapped, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
			if err != nil {
				t.Fatal(err)
			}
			if wrapped.BaseURL != cfg.BaseURL || wrapped.OrgID != "org-1" {
				t.Errorf("got base URL %q and organization %q, want them unchanged", wrapped.BaseURL, wrapped.OrgID)
			}
			if got := wrapped.HTTPClient.(*http.Client).Timeout; got != before.Timeout {
				t.Errorf("got timeout %v, want %v", got, before.Timeout)
			}
			checkChat(t, t.Context(), wrapped)
			if cfg.HTTPClient != tt.doer {
				t.Error("the caller's configuration was changed")
			}
			if isClient && (client.Transport != before.Transport || client.Timeout != before.Timeout) {
				t.Error("the caller's client was changed")
			}
			for _, r := range gw.Requests() {
				if r.Path != "/v1/chat/completions" || r.Provider() != "openai" || r.Header.Get("Authorization") != "Bearer sk" {
					t.Errorf("got %s %v, want OpenAI's endpoint and the token", r.Path, r.Header)
				}
			}
		})
	}
}

type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestWrapOpenAIConfigSendsThroughTheCallersDoer(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	doer := &recorder{respond: loopback.RoundTrip}
	cfg := openai.DefaultConfig("sk")
	cfg.HTTPClient = doerFunc(doer.RoundTrip)
	wrapped, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	checkChat(t, t.Context(), wrapped)
	if n := len(doer.all()); n != 2 {
		t.Errorf("got %d calls of Do, want 2", n)
	}
}

func TestWrapOpenAIConfigFollowsNoRedirectThatTheCallersDoerReturns(t *testing.T) {
	t.Parallel()
	doer := &recorder{respond: func(r *http.Request) (*http.Response, error) {
		header := http.Header{"Location": {"/x"}}
		return &http.Response{StatusCode: http.StatusFound, Header: header, Body: http.NoBody, Request: r}, nil
	}}
	cfg := openai.DefaultConfig("sk")
	cfg.HTTPClient = doerFunc(doer.RoundTrip)
	wrapped, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: "http://gateway.example/v1"})
	if err != nil {
		t.Fatal(err)
	}
	openai.NewClientWithConfig(wrapped).CreateChatCompletion(t.Context(), helloRequest)
	if n := len(doer.all()); n != 1 {
		t.Errorf("got %d calls of Do, want 1", n)
	}
}

func TestTransportErrorsReachTheCallerOfGoOpenAI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk"), portkey.Options{BaseURL: gw.URL()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := portkey.WithTrace(t.Context(), "a\nb")
	_, err = openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, helloRequest)
	if !errors.As(err, new(*portkey.HeaderError)) {
		t.Errorf("got %v, want a HeaderError", err)
	}
	cfg.BaseURL = "https://llm.example.com/v1"
	_, err = openai.NewClientWithConfig(cfg).CreateChatCompletion(t.Context(), helloRequest)
	if !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
	if n := len(gw.Requests()); n != 0 {
		t.Errorf("got %d requests at the gateway, want 0", n)
	}
}

func TestWrapOpenAIConfigReturnsAnErrorForInvalidOptions(t *testing.T) {
	t.Parallel()
	for name, doer := range map[string]openai.HTTPDoer{
		"no client":   nil,
		"http.Client": &http.Client{},
		"other doer":  doerFunc(nil),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := openai.DefaultConfig("sk")
			cfg.HTTPClient = doer
			got, err := portkey.WrapOpenAIConfig(cfg, portkey.Options{BaseURL: "gw"})
			if err == nil {
				t.Error("got no error for an invalid base URL")
			}
			if got.HTTPClient != nil || got.BaseURL != "" {
				t.Errorf("got base URL %q and client %T, want a zero configuration", got.BaseURL, got.HTTPClient)
			}
		})
	}
}
