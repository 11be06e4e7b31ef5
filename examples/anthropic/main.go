// Command anthropic calls Anthropic's Messages API through the Portkey gateway, with
// Anthropic's Go SDK.
//
//	go -C examples/anthropic run .
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	var opts portkey.Options
	if os.Getenv("PORTKEY_API_KEY") == "" && os.Getenv("PORTKEY_BASE_URL") == "" {
		gateway := portkeytest.Start() // without a key: a gateway inside this program
		defer gateway.Close()
		opts.BaseURL = gateway.URL()
	}
	c, err := portkey.WrapClient(nil, opts)
	if err != nil {
		return err
	}
	client := anthropic.NewClient(
		option.WithHTTPClient(c),
		option.WithAPIKey(cmp.Or(os.Getenv("ANTHROPIC_API_KEY"), "none")), // the SDK demands a key, even if Portkey has it
	)

	var info portkey.ResponseInfo
	ctx = portkey.WithTrace(ctx, "anthropic-example")
	ctx = portkey.WithMetadata(ctx, portkey.Metadata{"_user": "u-17"})
	stream := client.Messages.NewStreaming(portkey.WithResponseInfo(ctx, &info), anthropic.MessageNewParams{
		Model:     "claude-sonnet-4-5",
		MaxTokens: 256,
		Messages:  []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say this is a test"))},
	})
	defer stream.Close()
	for stream.Next() {
		if event := stream.Current(); event.Type == "content_block_delta" {
			fmt.Fprint(out, event.Delta.Text)
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ntrace %s, provider %s\n", info.TraceID, info.Provider)
	return nil
}
