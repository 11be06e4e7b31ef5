// Command fallback calls one provider and, if that is overloaded, another one. The
// gateway does this, as told by a config object; the program makes one call.
//
//	go run ./examples/fallback
//
// With a key, the two targets are integrations of your Portkey account.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	openai "github.com/sashabaranov/go-openai"
)

var config = portkey.ConfigObject{
	Strategy: &portkey.Strategy{Mode: portkey.ModeFallback, OnStatusCodes: []int{429, 500, 502, 503, 504}},
	Targets: []portkey.ConfigObject{
		{Provider: "@openai-prod", Retry: &portkey.Retry{Attempts: 1}},
		{Provider: "@anthropic-prod", OverrideParams: map[string]any{"model": "claude-sonnet-4"}},
	},
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	opts := portkey.Options{Headers: portkey.Headers{Config: config}}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		overloaded := portkeytest.Fault{Status: http.StatusServiceUnavailable}
		gateway.Next(overloaded, overloaded) // for the first target: its call and its retry
		opts.BaseURL = gateway.URL()
	}
	transport, err := portkey.NewTransport(nil, opts)
	if err != nil {
		return err // for a mistake in the config, with its path
	}
	client := openai.NewClientWithConfig(portkey.OpenAIConfig("", transport)) // Portkey has the keys

	var info portkey.ResponseInfo
	answer, err := client.CreateChatCompletion(portkey.WithResponseInfo(ctx, &info), openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Who answers?"}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\nanswered by %s\n", answer.Choices[0].Message.Content, info.LastUsedOption)
	return nil
}
