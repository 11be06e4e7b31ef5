package interop

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/portkey-go/portkey"
)

// stopRetries is the middleware in docs/clients.md. The SDKs read x-should-retry of a
// response even if there is an error as well.
func stopRetries(r *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	resp, err := next(r)
	if errors.As(err, new(*portkey.HeaderError)) || errors.As(err, new(*portkey.RouteError)) {
		resp = &http.Response{Header: http.Header{"X-Should-Retry": {"false"}}, Body: http.NoBody}
	}
	return resp, err
}

// A countingTransport counts the calls that an SDK makes.
type countingTransport struct {
	*portkey.Transport
	calls atomic.Int32
}

func (c *countingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c.calls.Add(1)
	return c.Transport.RoundTrip(r)
}

// sdkOptions has the options of one call for each SDK.
type sdkOptions struct {
	openAI    []option.RequestOption
	anthropic []anthropicoption.RequestOption
}

func callOpenAIGo(ctx context.Context, c *http.Client, baseURL string, opts sdkOptions) error {
	client := openaigo.NewClient(append(opts.openAI, option.WithAPIKey(clientKey), option.WithHTTPClient(c),
		option.WithBaseURL(baseURL))...)
	_, err := client.Chat.Completions.New(ctx, openaigo.ChatCompletionNewParams{
		Model:    "m1",
		Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("hi")},
	})
	return err
}

func callAnthropicSDK(ctx context.Context, c *http.Client, baseURL string, opts sdkOptions) error {
	client := anthropic.NewClient(append(opts.anthropic, anthropicoption.WithAPIKey(clientKey),
		anthropicoption.WithHTTPClient(c), anthropicoption.WithBaseURL(baseURL))...)
	_, err := client.Messages.New(ctx, anthropicParams)
	return err
}

// openai-go and anthropic-sdk-go retry every error of the Transport, unless they are
// told not to: docs/clients.md says how.
func TestSDKsRetryErrorsOfTheTransport(t *testing.T) {
	t.Parallel()
	for _, sdk := range []struct {
		name    string
		baseURL string
		call    func(ctx context.Context, c *http.Client, baseURL string, opts sdkOptions) error
	}{
		{"openai-go", "https://api.openai.com/v1/", callOpenAIGo},
		{"anthropic-sdk-go", "https://api.anthropic.com/", callAnthropicSDK},
	} {
		for _, e := range []struct {
			name    string
			traceID string
			baseURL string
			is      func(error) bool
		}{
			{"HeaderError", "a\nb", sdk.baseURL, func(err error) bool {
				return errors.As(err, new(*portkey.HeaderError))
			}},
			{"RouteError", "t", "https://llm.example/v1/", func(err error) bool {
				return errors.As(err, new(*portkey.RouteError))
			}},
		} {
			for _, tt := range []struct {
				name      string
				opts      sdkOptions
				wantCalls int32
			}{
				{"by default", sdkOptions{}, 3},
				{"WithMaxRetries(0)", sdkOptions{
					[]option.RequestOption{option.WithMaxRetries(0)},
					[]anthropicoption.RequestOption{anthropicoption.WithMaxRetries(0)},
				}, 1},
				{"WithMiddleware(stopRetries)", sdkOptions{
					[]option.RequestOption{option.WithMiddleware(stopRetries)},
					[]anthropicoption.RequestOption{anthropicoption.WithMiddleware(stopRetries)},
				}, 1},
			} {
				t.Run(sdk.name+" "+e.name+" "+tt.name, func(t *testing.T) {
					t.Parallel()
					tr, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://127.0.0.1:1/v1"})
					if err != nil {
						t.Fatal(err)
					}
					counting := &countingTransport{Transport: tr}
					ctx := portkey.WithTrace(bounded(t), e.traceID)
					if err := sdk.call(ctx, &http.Client{Transport: counting}, e.baseURL, tt.opts); !e.is(err) {
						t.Errorf("got %v, want a %s", err, e.name)
					}
					check(t, "calls of the Transport", counting.calls.Load(), tt.wantCalls)
				})
			}
		}
	}
}
