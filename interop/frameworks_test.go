package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	anyllm "github.com/mozilla-ai/any-llm-go"
	anyllmanthropic "github.com/mozilla-ai/any-llm-go/providers/anthropic"
	"github.com/mozilla-ai/any-llm-go/providers/deepseek"
	"github.com/mozilla-ai/any-llm-go/providers/gemini"
	"github.com/mozilla-ai/any-llm-go/providers/groq"
	"github.com/mozilla-ai/any-llm-go/providers/mistral"
	anyllmollama "github.com/mozilla-ai/any-llm-go/providers/ollama"
	anyllmopenai "github.com/mozilla-ai/any-llm-go/providers/openai"
	"github.com/ollama/ollama/api"
	"github.com/portkey-go/portkey"
)

var ollamaUpstream = portkey.Upstream{BaseURL: "http://localhost:11434", Provider: "ollama"}

var frameworks = []client{
	anyLLM("any-llm-go, openai", openAIDialect, anyllmopenai.New),
	anyLLM("any-llm-go, deepseek", openAIDialect, deepseek.New),
	anyLLM("any-llm-go, groq", openAIDialect, groq.New),
	anyLLM("any-llm-go, mistral", openAIDialect, mistral.New),
	quietly(anyLLM("any-llm-go, gemini", geminiDialect, gemini.New)),
	asks(ollamaUpstream, quietly(anyLLM("any-llm-go, ollama", ollamaDialect, anyllmollama.New))),
	asks(ollamaUpstream, quietly(ollamaClient())),
}

func asks(u portkey.Upstream, cl client) client { cl.upstream = u; return cl }

func anyLLM[P anyllm.Provider](name string, d dialect, connect func(...anyllm.Option) (P, error)) client {
	params := anyllm.CompletionParams{Model: "m1", Messages: []anyllm.Message{{Role: anyllm.RoleUser, Content: "hi"}}}
	with := func(c *http.Client) []anyllm.Option {
		return []anyllm.Option{anyllm.WithAPIKey(clientKey), anyllm.WithHTTPClient(c)}
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			p, err := connect(with(c)...)
			if err != nil {
				return "", err
			}
			resp, err := p.Completion(ctx, params)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(resp.Choices[0].Message.Content), nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			p, err := connect(with(c)...)
			if err != nil {
				return err
			}
			chunks, errs := p.CompletionStream(ctx, params)
			for chunk := range chunks {
				if len(chunk.Choices) > 0 {
					each(chunk.Choices[0].Delta.Content)
				}
			}
			return <-errs
		}}
}

// any-llm-go's anthropic provider uses an HTTP client of its own, so its calls bypass the
// gateway.
func TestAnyLLMIgnoresTheClientForAnthropic(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, answerAnthropic)
	unused := &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("the client is used")
	})}
	p, err := anyllmanthropic.New(anyllm.WithAPIKey(clientKey), anyllm.WithBaseURL(u.URL), anyllm.WithHTTPClient(unused))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Completion(bounded(t), anyllm.CompletionParams{Model: "m1", Messages: []anyllm.Message{{Role: anyllm.RoleUser, Content: "hi"}}}); err != nil {
		t.Fatal(err)
	}
	seen := u.only(t)
	seen.checkURL(t, http.MethodPost, "/v1/messages")
}

var ollamaDialect = dialect{
	answer: reply(http.StatusOK, `{"model":"m1","created_at":"2026-01-31T00:00:00Z","message":{"role":"assistant","content":"hello"},"done":true,"done_reason":"stop"}`),
	event: func(text string) string {
		return fmt.Sprintf(`{"model":"m1","created_at":"2026-01-31T00:00:00Z","message":{"role":"assistant","content":%q},"done":false}`+"\n", text)
	},
	end:        `{"model":"m1","created_at":"2026-01-31T00:00:00Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}` + "\n",
	streamType: "application/x-ndjson",
}

func ollamaClient() client {
	connect := func(c *http.Client) *api.Client {
		return api.NewClient(&url.URL{Scheme: "http", Host: "localhost:11434"}, c)
	}
	messages := []api.Message{{Role: "user", Content: "hi"}}
	return client{name: "ollama/api", speak: ollamaDialect,
		chat: func(ctx context.Context, c *http.Client) (text string, err error) {
			err = connect(c).Chat(ctx, &api.ChatRequest{Model: "m1", Messages: messages, Stream: new(bool)}, func(resp api.ChatResponse) error {
				text += resp.Message.Content
				return nil
			})
			return text, err
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			return connect(c).Chat(ctx, &api.ChatRequest{Model: "m1", Messages: messages}, func(resp api.ChatResponse) error {
				each(resp.Message.Content)
				return nil
			})
		},
		embed: func(ctx context.Context, c *http.Client) error {
			_, err := connect(c).Embed(ctx, &api.EmbedRequest{Model: "m1", Input: "hi"})
			return err
		}}
}
