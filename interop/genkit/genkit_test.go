// Package interop, in a module of its own: genkit's dependencies want an older
// invopop/jsonschema than anthropic-sdk-go does, and do not build with both. Its
// gateway_test.go and common_test.go are symbolic links to those next door.
package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/core/api"
	"github.com/firebase/genkit/go/genkit"
	"github.com/firebase/genkit/go/plugins/compat_oai/anthropic"
	"github.com/firebase/genkit/go/plugins/compat_oai/openai"
	openaigo "github.com/openai/openai-go"
	"github.com/openai/openai-go/option"
	"github.com/portkey-go/portkey"
)

func init() {
	// The plugins read these.
	for _, name := range []string{"GENKIT_ENV", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"} {
		os.Unsetenv(name)
	}
	if err := os.Chdir(".."); err != nil { // where the gateway is
		panic(err)
	}
}

type pluginFunc func(...option.RequestOption) api.Plugin

func withOpenAI(opts ...option.RequestOption) api.Plugin {
	return &openai.OpenAI{APIKey: clientKey, Opts: opts}
}

func withAnthropic(opts ...option.RequestOption) api.Plugin {
	return &anthropic.Anthropic{Opts: append(opts, option.WithAPIKey(clientKey))}
}

// connect returns a Genkit whose plugin calls a provider that answers with answer,
// the requests as the Transport sends them, and as they reach the provider.
func connect(t *testing.T, plugin pluginFunc, answer http.HandlerFunc) (g *genkit.Genkit, sent, seen <-chan *http.Request) {
	t.Helper()
	out, in := make(chan *http.Request, 9), make(chan *http.Request, 9)
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for key := range r.Header {
			if strings.HasPrefix(key, "X-Portkey-") {
				t.Errorf("got header %s upstream, want no x-portkey-* header", key)
			}
		}
		in <- r
		answer(w, r)
	}))
	t.Cleanup(u.Close)
	record := roundTripper(func(r *http.Request) (*http.Response, error) {
		out <- r
		return http.DefaultTransport.RoundTrip(r)
	})
	c, err := portkey.WrapClient(&http.Client{Transport: record},
		portkey.Options{BaseURL: gatewayURL(t), Headers: portkey.Headers{CustomHost: u.URL + "/v1"}})
	if err != nil {
		t.Fatal(err)
	}
	return genkit.Init(t.Context(), genkit.WithPlugins(plugin(option.WithHTTPClient(c)))), out, in
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestChat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		model                         string
		plugin                        pluginFunc
		answer, path, credential, key string
	}{
		{"openai/gpt-4o", withOpenAI, `{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o",
			"choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}]}`,
			"/v1/chat/completions", "Authorization", "Bearer " + clientKey},
		{"anthropic/claude-3-haiku-20240307", withAnthropic, `{"id":"m1","type":"message","role":"assistant","model":"claude-3-haiku-20240307",
			"content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`,
			"/v1/messages", "X-Api-Key", clientKey},
	} {
		t.Run(test.model, func(t *testing.T) {
			t.Parallel()
			g, sent, seen := connect(t, test.plugin, reply(http.StatusOK, test.answer))
			var info portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithTrace(bounded(t), "trace-1"), &info)
			ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "jö"})
			got, err := genkit.GenerateText(ctx, g, ai.WithModelName(test.model), ai.WithPrompt("hi"))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "answer", got, "hello")
			check(t, "trace ID that the gateway names", info.TraceID, "trace-1")
			check(t, "metadata", (<-sent).Header.Get("X-Portkey-Metadata"), `{"_user":"j\u00f6"}`)
			r := <-seen
			check(t, "path upstream", r.URL.Path, test.path)
			check(t, "credential upstream", r.Header.Get(test.credential), test.key)
		})
	}
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	g, _, seen := connect(t, withOpenAI, reply(http.StatusOK, `{"object":"list","model":"m1","data":[{"object":"embedding","index":0,"embedding":[0.5]}],
		"usage":{"prompt_tokens":1,"total_tokens":1}}`))
	resp, err := genkit.Embed(bounded(t), g, ai.WithEmbedderName("openai/text-embedding-3-small"), ai.WithTextDocs("hi"))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "embedding", fmt.Sprint(resp.Embeddings[0].Embedding), "[0.5]")
	check(t, "path upstream", (<-seen).URL.Path, "/v1/embeddings")
}

// streaming streams two pieces, the second when next says so.
func streaming(t *testing.T, next <-chan struct{}) http.HandlerFunc {
	const event = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"content":%q}}]}` + "\n\n"
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, event, "one ")
		w.(http.Flusher).Flush()
		select {
		case <-next:
			fmt.Fprintf(w, event+"data: [DONE]\n\n", "two")
		case <-t.Context().Done(): // before the upstream closes
		}
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	g, _, _ := connect(t, withOpenAI, streaming(t, next))
	pieces := 0
	got, err := genkit.GenerateText(bounded(t), g, ai.WithModelName("openai/gpt-4o"), ai.WithPrompt("hi"),
		ai.WithStreaming(func(context.Context, *ai.ModelResponseChunk) error {
			if pieces++; pieces == 1 {
				close(next)
			}
			return nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "answer", got, "one two")
	check(t, "pieces", pieces, 2)
}

func TestCancelInMidStream(t *testing.T) {
	t.Parallel()
	g, _, _ := connect(t, withOpenAI, streaming(t, nil))
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	_, err := genkit.GenerateText(ctx, g, ai.WithModelName("openai/gpt-4o"), ai.WithPrompt("hi"),
		ai.WithStreaming(func(context.Context, *ai.ModelResponseChunk) error { cancel(); return nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}

// The plugin retries by itself. The context names one trace for all attempts.
func TestErrorAfterRetries(t *testing.T) {
	t.Parallel()
	busy := reply(http.StatusTooManyRequests, `{"error":{"message":"slow down, please","type":"rate_limit_error"}}`)
	g, sent, _ := connect(t, withOpenAI, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After-Ms", "1")
		busy(w, r)
	})
	ctx, id := portkey.WithNewTrace(bounded(t))
	_, err := genkit.GenerateText(ctx, g, ai.WithModelName("openai/gpt-4o"), ai.WithPrompt("hi"))
	var apiErr *openaigo.Error
	if !errors.As(err, &apiErr) || !strings.Contains(apiErr.Message, "slow down, please") || !strings.Contains(err.Error(), "slow down, please") {
		t.Errorf("got error %v, want an *openai.Error with the provider's message", err)
	}
	check(t, "attempts", len(sent), 3)
	for range len(sent) {
		check(t, "trace ID", (<-sent).Header.Get("X-Portkey-Trace-Id"), id)
	}
}
