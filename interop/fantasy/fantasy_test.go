// Package fantasy tests the Transport under charm.land/fantasy. It is a module of its own
// because fantasy does not build with the version of openai-go that interop tests.
package fantasy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"charm.land/fantasy"
	"charm.land/fantasy/providers/anthropic"
	"charm.land/fantasy/providers/azure"
	"charm.land/fantasy/providers/google"
	"charm.land/fantasy/providers/openai"
	"charm.land/fantasy/providers/openaicompat"
	"charm.land/fantasy/providers/openrouter"
	"charm.land/fantasy/providers/vercel"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

const clientKey = "sk-test"

func TestMain(m *testing.M) { realgateway.Main(m) }

func init() {
	// The providers read these.
	for _, name := range []string{"OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_USE_VERTEXAI"} {
		os.Unsetenv(name)
	}
	if err := os.Chdir(".."); err != nil { // see package realgateway
		panic(err)
	}
}

// An api is what a provider answers.
type api struct {
	base, answer, stream string
	credential           string // a header and its value
}

var (
	openAI = api{
		base:       "/v1",
		answer:     `{"id":"c1","object":"chat.completion","created":1,"model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}`,
		stream:     `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m1","choices":[{"index":0,"delta":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n",
		credential: "Authorization: Bearer " + clientKey,
	}
	azureAPI = api{base: "/openai", answer: openAI.answer, stream: openAI.stream, credential: "Api-Key: " + clientKey}
	messages = api{
		base:   "/v1",
		answer: `{"id":"m1","type":"message","role":"assistant","model":"m1","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`,
		stream: "event: message_start\n" + `data: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"m1","content":[],"usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n" +
			"event: content_block_start\n" + `data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n" +
			"event: content_block_delta\n" + `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}` + "\n\n" +
			"event: message_delta\n" + `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}` + "\n\n" +
			"event: message_stop\n" + `data: {"type":"message_stop"}` + "\n\n",
		credential: "X-Api-Key: " + clientKey,
	}
	gemini = api{
		answer:     `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],"usageMetadata":{"totalTokenCount":2}}`,
		stream:     `data: {"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":"STOP"}],"usageMetadata":{"totalTokenCount":2}}` + "\n\n",
		credential: "X-Goog-Api-Key: " + clientKey,
	}
)

var providers = []struct {
	name     string
	api      api
	upstream portkey.Upstream // if the base URL is not known
	connect  func(*http.Client) (fantasy.Provider, error)
}{
	{name: "openai", api: openAI, connect: func(c *http.Client) (fantasy.Provider, error) {
		return openai.New(openai.WithAPIKey(clientKey), openai.WithHTTPClient(c))
	}},
	{name: "azure", api: azureAPI, connect: func(c *http.Client) (fantasy.Provider, error) {
		return azure.New(azure.WithBaseURL("https://res.openai.azure.com"), azure.WithAPIKey(clientKey), azure.WithHTTPClient(c))
	}},
	{name: "anthropic", api: messages, connect: func(c *http.Client) (fantasy.Provider, error) {
		return anthropic.New(anthropic.WithAPIKey(clientKey), anthropic.WithHTTPClient(c))
	}},
	{name: "google", api: gemini, connect: func(c *http.Client) (fantasy.Provider, error) {
		return google.New(google.WithGeminiAPIKey(clientKey), google.WithHTTPClient(c))
	}},
	{name: "openrouter", api: openAI, connect: func(c *http.Client) (fantasy.Provider, error) {
		return openrouter.New(openrouter.WithAPIKey(clientKey), openrouter.WithHTTPClient(c))
	}},
	{name: "openaicompat", api: openAI, connect: func(c *http.Client) (fantasy.Provider, error) {
		return openaicompat.New(openaicompat.WithBaseURL("https://api.x.ai/v1"), openaicompat.WithAPIKey(clientKey), openaicompat.WithHTTPClient(c))
	}},
	{name: "vercel", api: openAI, upstream: portkey.Upstream{BaseURL: "https://ai-gateway.vercel.sh/v1", Provider: "openai"},
		connect: func(c *http.Client) (fantasy.Provider, error) {
			return vercel.New(vercel.WithAPIKey(clientKey), vercel.WithHTTPClient(c))
		}},
}

func TestFantasyGoesThroughTheGateway(t *testing.T) {
	t.Parallel()
	for _, p := range providers {
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stream %t", p.name, streams), func(t *testing.T) {
				t.Parallel()
				received := make(chan http.Header, 1)
				upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					io.Copy(io.Discard, r.Body)
					received <- r.Header
					if streams {
						w.Header().Set("Content-Type", "text/event-stream")
						io.WriteString(w, p.api.stream)
						return
					}
					w.Header().Set("Content-Type", "application/json")
					io.WriteString(w, p.api.answer)
				}))
				t.Cleanup(upstream.Close)

				opts := portkey.Options{BaseURL: realgateway.URL(t), StrictStreams: true}
				if p.upstream.BaseURL != "" {
					p.upstream.CustomHost = upstream.URL + p.api.base
					opts.Upstreams = []portkey.Upstream{p.upstream}
				} else {
					opts.Headers.CustomHost = upstream.URL + p.api.base
				}
				client, err := portkey.WrapClient(nil, opts)
				if err != nil {
					t.Fatal(err)
				}
				provider, err := p.connect(client)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				var info portkey.ResponseInfo
				ctx = portkey.WithResponseInfo(portkey.WithTrace(ctx, "trace-1"), &info)
				got, err := ask(ctx, provider, streams)
				if err != nil {
					t.Fatal(err)
				}
				if got != "hello" || info.TraceID != "trace-1" {
					t.Errorf("got %q and trace %q, want hello and trace-1", got, info.TraceID)
				}
				key, want, _ := strings.Cut(p.api.credential, ": ")
				if got := (<-received).Get(key); got != want {
					t.Errorf("got %s %q, want %q", key, got, want)
				}
			})
		}
	}
}

// ask returns the answer of the model to a prompt.
func ask(ctx context.Context, provider fantasy.Provider, streams bool) (text string, err error) {
	model, err := provider.LanguageModel(ctx, "m1")
	if err != nil {
		return "", err
	}
	call := fantasy.Call{Prompt: fantasy.Prompt{fantasy.NewUserMessage("hi")}}
	if !streams {
		resp, err := model.Generate(ctx, call)
		if err != nil {
			return "", err
		}
		return resp.Content.Text(), nil
	}
	parts, err := model.Stream(ctx, call)
	if err != nil {
		return "", err
	}
	for part := range parts {
		switch part.Type {
		case fantasy.StreamPartTypeTextDelta:
			text += part.Delta
		case fantasy.StreamPartTypeError:
			return text, part.Error
		}
	}
	return text, nil
}
