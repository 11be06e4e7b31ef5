// Package interop, in a module of its own: the many dependencies of fantasy and ollama
// would determine the versions of the clients in the parent directory. The other files
// are symbolic links to that directory: each client here passes the same tests.
package interop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"

	"charm.land/fantasy"
	fantasyanthropic "charm.land/fantasy/providers/anthropic"
	fantasyazure "charm.land/fantasy/providers/azure"
	fantasybedrock "charm.land/fantasy/providers/bedrock"
	fantasygoogle "charm.land/fantasy/providers/google"
	fantasyopenai "charm.land/fantasy/providers/openai"
	"charm.land/fantasy/providers/openaicompat"
	"charm.land/fantasy/providers/openrouter"
	"charm.land/fantasy/providers/vercel"
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

func init() {
	// The clients read these.
	for _, name := range []string{"OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OLLAMA_HOST", "AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION",
		"GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "GOOGLE_GENAI_USE_VERTEXAI"} {
		os.Unsetenv(name)
	}
	if err := os.Chdir(".."); err != nil { // where the gateway is
		panic(err)
	}
}

var (
	ollamaUpstream = portkey.Upstream{BaseURL: "http://localhost:11434", Provider: "ollama"}
	vercelUpstream = portkey.Upstream{BaseURL: "https://ai-gateway.vercel.sh/v1", Provider: "openai"}
)

var clients = []client{
	anyLLM("any-llm-go, openai", openAIDialect, anyllmopenai.New),
	anyLLM("any-llm-go, deepseek", openAIDialect, deepseek.New),
	anyLLM("any-llm-go, groq", openAIDialect, groq.New),
	anyLLM("any-llm-go, mistral", openAIDialect, mistral.New),
	quietly(anyLLM("any-llm-go, gemini", geminiDialect, gemini.New)),
	asks(ollamaUpstream, quietly(anyLLM("any-llm-go, ollama", ollamaDialect, anyllmollama.New))),
	asks(ollamaUpstream, quietly(ollamaClient())),

	fantasyClient("fantasy, openai", openAIDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasyopenai.New(fantasyopenai.WithAPIKey(clientKey), fantasyopenai.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, openai with responses", responsesDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasyopenai.New(fantasyopenai.WithAPIKey(clientKey), fantasyopenai.WithHTTPClient(c), fantasyopenai.WithUseResponsesAPI(),
			fantasyopenai.WithResponsesAPIFunc(func(string) bool { return true }))
	}),
	fantasyClient("fantasy, azure", azureDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasyazure.New(fantasyazure.WithBaseURL("https://res.openai.azure.com"), fantasyazure.WithAPIKey(clientKey), fantasyazure.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, anthropic", anthropicDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasyanthropic.New(fantasyanthropic.WithAPIKey(clientKey), fantasyanthropic.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, bedrock", bedrockClaudeDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasybedrock.New(fantasybedrock.WithAPIKey(clientKey), fantasybedrock.WithRegion("eu-west-1"), fantasybedrock.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, google", geminiDialect, func(c *http.Client) (fantasy.Provider, error) {
		return fantasygoogle.New(fantasygoogle.WithGeminiAPIKey(clientKey), fantasygoogle.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, openrouter", openAIDialect, func(c *http.Client) (fantasy.Provider, error) {
		return openrouter.New(openrouter.WithAPIKey(clientKey), openrouter.WithHTTPClient(c))
	}),
	fantasyClient("fantasy, openaicompat", openAIDialect, func(c *http.Client) (fantasy.Provider, error) {
		return openaicompat.New(openaicompat.WithBaseURL("https://api.x.ai/v1"), openaicompat.WithAPIKey(clientKey), openaicompat.WithHTTPClient(c))
	}),
	asks(vercelUpstream, fantasyClient("fantasy, vercel", openAIDialect, func(c *http.Client) (fantasy.Provider, error) {
		return vercel.New(vercel.WithAPIKey(clientKey), vercel.WithHTTPClient(c))
	})),
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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

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

func fantasyClient(name string, d dialect, connect func(*http.Client) (fantasy.Provider, error)) client {
	call := fantasy.Call{Prompt: fantasy.Prompt{fantasy.NewUserMessage("hi")}}
	model := func(ctx context.Context, c *http.Client) (fantasy.LanguageModel, error) {
		p, err := connect(c)
		if err != nil {
			return nil, err
		}
		return p.LanguageModel(ctx, "m1")
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			m, err := model(ctx, c)
			if err != nil {
				return "", err
			}
			resp, err := m.Generate(ctx, call)
			if err != nil {
				return "", err
			}
			return resp.Content.Text(), nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			m, err := model(ctx, c)
			if err != nil {
				return err
			}
			parts, err := m.Stream(ctx, call)
			if err != nil {
				return err
			}
			for part := range parts {
				switch part.Type {
				case fantasy.StreamPartTypeTextDelta:
					each(part.Delta)
				case fantasy.StreamPartTypeError:
					return part.Error
				}
			}
			return nil
		}}
}
