// Command catalog calls two providers that are saved in Portkey's Model Catalog. Their
// clients are unchanged and share one http.Client; the program has no provider key.
//
//	go -C examples/catalog run .
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	opts := portkey.Options{ProviderSlugs: map[string]string{
		"openai":    "@openai-prod",
		"anthropic": "@anthropic-prod",
	}}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	return ask(ctx, out, opts)
}

func ask(ctx context.Context, out io.Writer, opts portkey.Options) error {
	httpClient, err := portkey.WrapClient(nil, opts)
	if err != nil {
		return err
	}

	cfg := openai.DefaultConfig("") // Portkey has the key
	cfg.HTTPClient = httpClient
	answer, err := openai.NewClientWithConfig(cfg).CreateChatCompletion(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Say this is a test"}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "OpenAI:", answer.Choices[0].Message.Content)

	// This client needs a key to start. It is not sent.
	claude := anthropic.NewClient(option.WithHTTPClient(httpClient), option.WithAPIKey("unused"))
	message, err := claude.Messages.New(ctx, anthropic.MessageNewParams{
		Model:     "claude-sonnet-4-5",
		MaxTokens: 256,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say this is a test"))},
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Anthropic:", message.Content[0].Text)
	return nil
}
