package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	einoopenai "github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/schema"
	openaigo "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	openai "github.com/sashabaranov/go-openai"
	"github.com/tmc/langchaingo/llms"
	langanthropic "github.com/tmc/langchaingo/llms/anthropic"
	langopenai "github.com/tmc/langchaingo/llms/openai"
	"google.golang.org/genai"
)

var clients = []client{
	goOpenAI("go-openai", openAIDialect, openai.DefaultConfig(clientKey)),
	goOpenAI("go-openai, Azure", azureDialect, openai.DefaultAzureConfig(clientKey, "https://res.openai.azure.com")),
	goOpenAI("go-openai, Azure with Entra", entraDialect, entraConfig()),
	goOpenAIForAnthropic(),
	openAIGo("openai-go", openAIDialect, option.WithAPIKey(clientKey)),
	openAIGo("openai-go, Azure", azureDialect, azure.WithEndpoint("https://res.openai.azure.com", "2024-06-01"), azure.WithAPIKey(clientKey)),
	{name: "openai-go, responses", speak: responsesDialect, chat: responsesChat, stream: responsesStream, message: openAIGoMessage},
	anthropicSDK("anthropic-sdk-go", anthropicDialect, "/v1/messages/count_tokens", withAnthropicKey),
	quietly(langchain("langchaingo, openai", openAIDialect, func(c *http.Client) (llms.Model, error) {
		return langopenai.New(langopenai.WithToken(clientKey), langopenai.WithHTTPClient(c), langopenai.WithModel("m1"))
	})),
	langchain("langchaingo, anthropic", anthropicDialect, func(c *http.Client) (llms.Model, error) {
		return langanthropic.New(langanthropic.WithToken(clientKey), langanthropic.WithHTTPClient(c), langanthropic.WithModel("m1"))
	}),
	{name: "eino-ext openai", speak: openAIDialect, chat: einoChat, stream: einoStream},
	genaiSDK("genai", geminiDialect, "/v1beta/models/m1:countTokens", withGeminiKey),
	genaiVertex(), anthropicVertex(), anthropicBedrock(), bedrockRuntime("bedrockruntime, SigV4", signing), bedrockRuntime("bedrockruntime, API key", withBedrockKey),
	azOpenAI(), cohereClient(),
}

var entraDialect = dialect{base: "/openai", answer: answerOpenAI, event: openAIDialect.event, end: openAIDialect.end, credential: "Authorization", bearer: true}

func entraConfig() openai.ClientConfig {
	cfg := openai.DefaultAzureConfig(clientKey, "https://res.openai.azure.com")
	cfg.APIType = openai.APITypeAzureAD
	return cfg
}

func goOpenAI(name string, d dialect, cfg openai.ClientConfig) client {
	connect := func(c *http.Client) *openai.Client {
		cfg := cfg
		cfg.HTTPClient = c
		return openai.NewClientWithConfig(cfg)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			resp, err := connect(c).CreateChatCompletion(ctx, chatRequest("m1"))
			if err != nil || len(resp.Choices) == 0 {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			stream, err := connect(c).CreateChatCompletionStream(ctx, chatRequest("m1"))
			if err != nil {
				return err
			}
			defer stream.Close()
			for {
				chunk, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if len(chunk.Choices) > 0 {
					each(chunk.Choices[0].Delta.Content)
				}
			}
		},
		embed: func(ctx context.Context, c *http.Client) error {
			_, err := connect(c).CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: "m1", Input: "hi"})
			return err
		},
		transcribe: func(ctx context.Context, c *http.Client, file io.Reader) (string, error) {
			resp, err := connect(c).CreateTranscription(ctx, openai.AudioRequest{Model: "m1", FilePath: "a.wav", Reader: file})
			return resp.Text, err
		}}
}

func goOpenAIForAnthropic() client {
	cl := goOpenAI("go-openai, Anthropic", anthropicDialect, openai.DefaultAnthropicConfig(clientKey, ""))
	cl.sendsNone, cl.embed, cl.transcribe = true, nil, nil
	return cl
}

func openAIGo(name string, d dialect, opts ...option.RequestOption) client {
	connect := func(c *http.Client) openaigo.Client {
		return openaigo.NewClient(append(opts, option.WithHTTPClient(c), option.WithMaxRetries(0))...)
	}
	params := openaigo.ChatCompletionNewParams{Model: "m1", Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("hi")}}
	return client{name: name, speak: d, message: openAIGoMessage,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			cl := connect(c)
			resp, err := cl.Chat.Completions.New(ctx, params)
			if err != nil {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			cl := connect(c)
			stream := cl.Chat.Completions.NewStreaming(ctx, params)
			defer stream.Close()
			for stream.Next() {
				if choices := stream.Current().Choices; len(choices) > 0 {
					each(choices[0].Delta.Content)
				}
			}
			return stream.Err()
		},
		embed: func(ctx context.Context, c *http.Client) error {
			cl := connect(c)
			_, err := cl.Embeddings.New(ctx, openaigo.EmbeddingNewParams{Model: "m1",
				Input: openaigo.EmbeddingNewParamsInputUnion{OfString: openaigo.String("hi")}})
			return err
		},
		transcribe: func(ctx context.Context, c *http.Client, file io.Reader) (string, error) {
			cl := connect(c)
			resp, err := cl.Audio.Transcriptions.New(ctx, openaigo.AudioTranscriptionNewParams{Model: "m1",
				File: openaigo.File(file, "a.wav", "audio/wav")})
			if err != nil {
				return "", err
			}
			return resp.Text, nil
		}}
}

func openAIGoMessage(err error) string {
	var apiErr *openaigo.Error
	if !errors.As(err, &apiErr) {
		return ""
	}
	return apiErr.Message
}

func responsesClient(c *http.Client) openaigo.Client {
	return openaigo.NewClient(option.WithAPIKey(clientKey), option.WithHTTPClient(c), option.WithMaxRetries(0))
}

var responsesParams = responses.ResponseNewParams{Model: "m1", Input: responses.ResponseNewParamsInputUnion{OfString: openaigo.String("hi")}}

func responsesChat(ctx context.Context, c *http.Client) (string, error) {
	cl := responsesClient(c)
	resp, err := cl.Responses.New(ctx, responsesParams)
	if err != nil {
		return "", err
	}
	return resp.OutputText(), nil
}

func responsesStream(ctx context.Context, c *http.Client, each func(string)) error {
	cl := responsesClient(c)
	stream := cl.Responses.NewStreaming(ctx, responsesParams)
	defer stream.Close()
	for stream.Next() {
		if e := stream.Current(); e.Type == "response.output_text.delta" {
			each(e.Delta)
		}
	}
	return stream.Err()
}

func withAnthropicKey(_ context.Context, c *http.Client) []anthropicoption.RequestOption {
	return []anthropicoption.RequestOption{anthropicoption.WithAPIKey(clientKey), anthropicoption.WithHTTPClient(c), anthropicoption.WithMaxRetries(0)}
}

var anthropicParams = anthropic.MessageNewParams{Model: "claude-x", MaxTokens: 16,
	Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}

// anthropicSDK returns a client that is made with options.
func anthropicSDK(name string, d dialect, countPath string, options func(context.Context, *http.Client) []anthropicoption.RequestOption) client {
	connect := func(ctx context.Context, c *http.Client) anthropic.Client {
		return anthropic.NewClient(options(ctx, c)...)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			cl := connect(ctx, c)
			resp, err := cl.Messages.New(ctx, anthropicParams)
			if err != nil {
				return "", err
			}
			return resp.Content[0].Text, nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			cl := connect(ctx, c)
			stream := cl.Messages.NewStreaming(ctx, anthropicParams)
			defer stream.Close()
			for stream.Next() {
				if e := stream.Current(); e.Type == "content_block_delta" {
					each(e.Delta.Text)
				}
			}
			return stream.Err()
		},
		count: counter{countPath, func(ctx context.Context, c *http.Client) (int64, error) {
			cl := connect(ctx, c)
			resp, err := cl.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: "claude-x", Messages: anthropicParams.Messages})
			if err != nil {
				return 0, err
			}
			return resp.InputTokens, nil
		}}}
}

func langchain(name string, d dialect, connect func(*http.Client) (llms.Model, error)) client {
	generate := func(ctx context.Context, c *http.Client, opts ...llms.CallOption) (string, error) {
		m, err := connect(c)
		if err != nil {
			return "", err
		}
		return llms.GenerateFromSinglePrompt(ctx, m, "hi", opts...)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) { return generate(ctx, c) },
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			_, err := generate(ctx, c, llms.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
				each(string(chunk))
				return nil
			}))
			return err
		}}
}

func einoModel(ctx context.Context, c *http.Client) (*einoopenai.ChatModel, error) {
	return einoopenai.NewChatModel(ctx, &einoopenai.ChatModelConfig{APIKey: clientKey, Model: "m1", HTTPClient: c})
}

func einoChat(ctx context.Context, c *http.Client) (string, error) {
	m, err := einoModel(ctx, c)
	if err != nil {
		return "", err
	}
	resp, err := m.Generate(ctx, []*schema.Message{schema.UserMessage("hi")})
	if err != nil {
		return "", err
	}
	return resp.Content, nil
}

func einoStream(ctx context.Context, c *http.Client, each func(string)) error {
	m, err := einoModel(ctx, c)
	if err != nil {
		return err
	}
	stream, err := m.Stream(ctx, []*schema.Message{schema.UserMessage("hi")})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		each(message.Content)
	}
}

// genaiSDK returns a client that is made with config.
func genaiSDK(name string, d dialect, countPath string, config func(*http.Client) genai.ClientConfig) client {
	connect := func(ctx context.Context, c *http.Client) (*genai.Client, error) {
		cfg := config(c)
		return genai.NewClient(ctx, &cfg)
	}
	return client{name: name, speak: d,
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			cl, err := connect(ctx, c)
			if err != nil {
				return "", err
			}
			resp, err := cl.Models.GenerateContent(ctx, "m1", genai.Text("hi"), nil)
			if err != nil {
				return "", err
			}
			return resp.Text(), nil
		},
		stream: func(ctx context.Context, c *http.Client, each func(string)) error {
			cl, err := connect(ctx, c)
			if err != nil {
				return err
			}
			for resp, err := range cl.Models.GenerateContentStream(ctx, "m1", genai.Text("hi"), nil) {
				if err != nil {
					return err
				}
				each(resp.Text())
			}
			return nil
		},
		embed: func(ctx context.Context, c *http.Client) error {
			cl, err := connect(ctx, c)
			if err != nil {
				return err
			}
			_, err = cl.Models.EmbedContent(ctx, "m1", genai.Text("hi"), nil)
			return err
		},
		count: counter{countPath, func(ctx context.Context, c *http.Client) (int64, error) {
			cl, err := connect(ctx, c)
			if err != nil {
				return 0, err
			}
			resp, err := cl.Models.CountTokens(ctx, "m1", genai.Text("hi"), nil)
			if err != nil {
				return 0, err
			}
			return int64(resp.TotalTokens), nil
		}}}
}

func withGeminiKey(c *http.Client) genai.ClientConfig {
	return genai.ClientConfig{APIKey: clientKey, Backend: genai.BackendGeminiAPI, HTTPClient: c}
}

// The gateway has a version and a beta of its own for a request without: the ones
// here are neither.
func TestAnthropicKeepsVersionAndBeta(t *testing.T) {
	t.Parallel()
	const version, betas = "2042-01-01", "first-beta,second-beta"
	opts := []anthropicoption.RequestOption{anthropicoption.WithHeader("anthropic-version", version)}
	params := anthropic.BetaMessageNewParams{Model: "claude-x", MaxTokens: 16, Betas: strings.Split(betas, ","),
		Messages: []anthropic.BetaMessageParam{anthropic.NewBetaUserMessage(anthropic.NewBetaTextBlock("hi"))}}
	test := func(name string, answer http.HandlerFunc, call func(context.Context, anthropic.Client) (string, error)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, answer)
			c, _ := client{speak: anthropicDialect}.connect(t, u)
			ctx := bounded(t)
			got, err := call(ctx, anthropic.NewClient(withAnthropicKey(ctx, c)...))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "answer", got, "hello")
			seen := u.only(t)
			seen.checkURL(t, http.MethodPost, "/v1/messages")
			seen.checkHeader(t, "Anthropic-Version", version)
			seen.checkHeader(t, "Anthropic-Beta", betas)
		})
	}
	test("message", answerAnthropic, func(ctx context.Context, cl anthropic.Client) (string, error) {
		resp, err := cl.Messages.New(ctx, anthropicParams, append(opts, anthropicoption.WithHeader("anthropic-beta", betas))...)
		if err != nil {
			return "", err
		}
		return resp.Content[0].Text, nil
	})
	test("beta message", answerAnthropic, func(ctx context.Context, cl anthropic.Client) (string, error) {
		resp, err := cl.Beta.Messages.New(ctx, params, opts...)
		if err != nil {
			return "", err
		}
		return resp.Content[0].Text, nil
	})
	test("beta stream", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, anthropicDialect.begin+anthropicDialect.event("hello")+anthropicDialect.end)
	}, func(ctx context.Context, cl anthropic.Client) (text string, err error) {
		stream := cl.Beta.Messages.NewStreaming(ctx, params, opts...)
		defer stream.Close()
		for stream.Next() {
			text += stream.Current().Delta.Text
		}
		return text, stream.Err()
	})
}
