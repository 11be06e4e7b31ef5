package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	openaigo "github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

// An unchangedClient calls its provider by its own base URL.
type unchangedClient struct {
	name                    string
	chat, stream, embedding func(context.Context, *http.Client) (string, error) // nil: the provider has none
	code                    func(error) string                                  // of a refusal
}

// codeOf returns the code of an error of the hosted gateway.
func codeOf(body []byte) string {
	var parsed struct{ Error struct{ Code string } }
	json.Unmarshal(body, &parsed)
	return parsed.Error.Code
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func newGoOpenAI(c *http.Client) *openai.Client {
	cfg := openai.DefaultConfig(clientKey)
	cfg.HTTPClient = c
	return openai.NewClientWithConfig(cfg)
}

func newOpenAIGo(c *http.Client) openaigo.Client {
	return openaigo.NewClient(openaioption.WithHTTPClient(c), openaioption.WithAPIKey(clientKey), openaioption.WithMaxRetries(0))
}

func newAnthropic(c *http.Client) anthropic.Client {
	return anthropic.NewClient(anthropicoption.WithHTTPClient(c), anthropicoption.WithAPIKey(clientKey), anthropicoption.WithMaxRetries(0))
}

var (
	savedGoOpenAIRequest = openai.ChatCompletionRequest{Model: "gpt-4o-mini", Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "hi"}}}
	savedOpenAIGoParams  = openaigo.ChatCompletionNewParams{
		Model: "gpt-4o-mini", Messages: []openaigo.ChatCompletionMessageParamUnion{openaigo.UserMessage("hi")}}
	savedAnthropicParams = anthropic.MessageNewParams{
		Model: "claude-sonnet-4-5", MaxTokens: 16, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("hi"))}}
)

var unchangedClients = []unchangedClient{
	{
		name: "go-openai",
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			resp, err := newGoOpenAI(c).CreateChatCompletion(ctx, savedGoOpenAIRequest)
			if err != nil {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client) (text string, err error) {
			stream, err := newGoOpenAI(c).CreateChatCompletionStream(ctx, savedGoOpenAIRequest)
			if err != nil {
				return "", err
			}
			defer stream.Close()
			for err == nil {
				var chunk openai.ChatCompletionStreamResponse
				chunk, err = stream.Recv()
				for _, choice := range chunk.Choices {
					text += choice.Delta.Content
				}
			}
			return text, ignoreEOF(err)
		},
		embedding: func(ctx context.Context, c *http.Client) (string, error) {
			resp, err := newGoOpenAI(c).CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: "text-embedding-3-small", Input: "hi"})
			return fmt.Sprint(len(resp.Data), " embedding"), err
		},
		code: func(err error) string {
			var requestError *openai.RequestError
			var apiError *openai.APIError
			switch {
			case errors.As(err, &apiError):
				return fmt.Sprint(apiError.Code)
			case errors.As(err, &requestError):
				return codeOf(requestError.Body)
			}
			return ""
		},
	},
	{
		name: "openai-go",
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			client := newOpenAIGo(c)
			resp, err := client.Chat.Completions.New(ctx, savedOpenAIGoParams)
			if err != nil {
				return "", err
			}
			return resp.Choices[0].Message.Content, nil
		},
		stream: func(ctx context.Context, c *http.Client) (text string, err error) {
			client := newOpenAIGo(c)
			stream := client.Chat.Completions.NewStreaming(ctx, savedOpenAIGoParams)
			defer stream.Close()
			for stream.Next() {
				for _, choice := range stream.Current().Choices {
					text += choice.Delta.Content
				}
			}
			return text, stream.Err()
		},
		embedding: func(ctx context.Context, c *http.Client) (string, error) {
			client := newOpenAIGo(c)
			resp, err := client.Embeddings.New(ctx, openaigo.EmbeddingNewParams{
				Model: "text-embedding-3-small", Input: openaigo.EmbeddingNewParamsInputUnion{OfString: openaigo.String("hi")}})
			if err != nil {
				return "", err
			}
			return fmt.Sprint(len(resp.Data), " embedding"), nil
		},
		code: func(err error) string {
			var apiError *openaigo.Error
			if errors.As(err, &apiError) {
				return apiError.Code
			}
			return ""
		},
	},
	{
		name: "anthropic-sdk-go",
		chat: func(ctx context.Context, c *http.Client) (string, error) {
			client := newAnthropic(c)
			resp, err := client.Messages.New(ctx, savedAnthropicParams)
			if err != nil {
				return "", err
			}
			return resp.Content[0].Text, nil
		},
		stream: func(ctx context.Context, c *http.Client) (text string, err error) {
			client := newAnthropic(c)
			stream := client.Messages.NewStreaming(ctx, savedAnthropicParams)
			defer stream.Close()
			for stream.Next() {
				text += stream.Current().Delta.Text
			}
			return text, stream.Err()
		},
		code: func(err error) string {
			var apiError *anthropic.Error
			if errors.As(err, &apiError) {
				return codeOf([]byte(apiError.RawJSON()))
			}
			return ""
		},
	},
}

func TestUnchangedClientsWorkInSavedOnlyMode(t *testing.T) {
	t.Parallel()
	for _, client := range unchangedClients {
		for name, call := range map[string]func(context.Context, *http.Client) (string, error){
			"chat": client.chat, "stream": client.stream, "embedding": client.embedding,
		} {
			if call == nil {
				continue
			}
			t.Run(client.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				gw := portkeytest.NewGateway(t)
				gw.SavedOnly = true
				c, err := portkey.WrapClient(nil, portkey.Options{
					BaseURL: gw.URL(), StrictStreams: true,
					ProviderSlugs: map[string]string{"openai": "@openai-prod", "anthropic": "@anthropic-prod"},
				})
				if err != nil {
					t.Fatal(err)
				}
				got, err := call(bounded(t), c)
				if want := map[string]string{"embedding": "1 embedding"}[name]; err != nil || got != want && (want != "" || got != "You said: hi") {
					t.Errorf("got %q and error %v", got, err)
				}
				received := gw.Requests()[0]
				for _, key := range []string{"Authorization", "X-Api-Key"} {
					check(t, key, received.Header.Get(key), "")
				}
			})
		}
	}
}

func TestRefusalsOfSavedOnlyModeReachTheCaller(t *testing.T) {
	t.Parallel()
	saved := map[string]string{"openai": "@openai-prod", "anthropic": "@anthropic-prod"}
	for code, opts := range map[string]portkey.Options{
		"inline_provider_blocked": {},
		"inline_config_blocked":   {ProviderSlugs: saved, Headers: portkey.Headers{Config: portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}}},
		"inline_custom_host_blocked": {ProviderSlugs: saved, Headers: portkey.Headers{
			CustomHost: "https://llm.example.com/v1"}},
		"inline_provider_url_blocked": {ProviderSlugs: saved, Headers: portkey.Headers{
			Databricks: portkey.Databricks{Workspace: "w"}}},
		"inline_forward_headers_blocked": {ProviderSlugs: saved, Headers: portkey.Headers{ForwardHeaders: []string{"X-Tenant"}}},
	} {
		for _, client := range unchangedClients {
			t.Run(code+"/"+client.name, func(t *testing.T) {
				t.Parallel()
				gw := portkeytest.NewGateway(t)
				gw.SavedOnly = true
				opts := opts
				opts.BaseURL = gw.URL()
				var info portkey.ResponseInfo
				c, err := portkey.WrapClient(nil, opts)
				if err != nil {
					t.Fatal(err)
				}
				_, err = client.chat(portkey.WithResponseInfo(bounded(t), &info), c)
				if err == nil {
					t.Fatal("got no error")
				}
				check(t, "code", client.code(err), code)
				check(t, "status", info.StatusCode, http.StatusBadRequest)
			})
		}
	}
}
