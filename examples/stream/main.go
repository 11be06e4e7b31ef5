// Command stream prints an answer as it arrives, and fails if the answer is cut off. The
// context carries the user of the call, and ResponseInfo what the gateway reports.
//
//	go run ./examples/stream
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

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
	// If the provider breaks off, the gateway ends its own response properly. Without
	// StrictStreams, half an answer would look like a whole one.
	opts := portkey.Options{StrictStreams: true}
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key, one inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig(os.Getenv("OPENAI_API_KEY")), opts)
	if err != nil {
		return err
	}
	client := openai.NewClientWithConfig(cfg)

	var info portkey.ResponseInfo
	ctx = portkey.WithTrace(ctx, "stream-example")
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"})
	ctx = portkey.WithResponseInfo(ctx, &info)
	stream, err := client.CreateChatCompletionStream(ctx, openai.ChatCompletionRequest{
		Model:    openai.GPT4oMini,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Count to three"}},
	})
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if streamErr := new(portkey.StreamError); errors.As(err, &streamErr) {
			return fmt.Errorf("the answer is incomplete: %w", err)
		}
		if err != nil {
			return err
		}
		for _, choice := range chunk.Choices {
			fmt.Fprint(out, choice.Delta.Content)
		}
	}
	fmt.Fprintf(out, "\ntrace %s, provider %s, cache %s\n", info.TraceID, info.Provider, info.CacheStatus)
	return nil
}
